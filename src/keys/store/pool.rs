//! Connections that read: opened when needed, kept for the next, never more at once than the limit.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use crate::keys::error::KeysError;
use crate::keys::store::schema;

/// Readers of one database.
pub(crate) struct Pool {
    path: PathBuf,
    busy_milliseconds: u32,
    readers_max: usize,
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    in_use: usize,
}

impl Pool {
    pub(crate) fn new(path: PathBuf, busy_milliseconds: u32, readers_max: usize) -> Self {
        Self { path, busy_milliseconds, readers_max, state: Mutex::default(), free: Condvar::new() }
    }

    /// Runs `work` on a connection, waiting while all are in use.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let slot = self.take();
        let connection = match slot.connection {
            Some(connection) => connection,
            None => schema::open_reader(&self.path, self.busy_milliseconds)?,
        };
        let result = work(&connection);
        // A connection in the middle of an error is not worth keeping.
        if result.is_ok() && connection.is_autocommit() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).idle.push(connection);
        }
        drop(slot.ticket);
        result
    }

    fn take(&self) -> Slot<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .free
            .wait_while(state, |state| state.in_use >= self.readers_max)
            .unwrap_or_else(PoisonError::into_inner);
        state.in_use = state.in_use.saturating_add(1);
        let connection = state.idle.pop();
        Slot { connection, ticket: Ticket(self) }
    }
}

struct Slot<'a> {
    connection: Option<Connection>,
    ticket: Ticket<'a>,
}

/// The right to use one connection; given back on drop, even out of a panic.
struct Ticket<'a>(&'a Pool);

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_use = state.in_use.saturating_sub(1);
        drop(state);
        self.0.free.notify_one();
    }
}
