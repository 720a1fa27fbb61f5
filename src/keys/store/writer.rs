//! The one thread that writes: it takes whatever waits, commits it as one transaction, then answers everyone.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::keys::error::KeysError;
use crate::keys::store::log::Log;
use crate::keys::store::rows;
use crate::keys::store::{Done, Write};

type Job = (Write, Done);

/// The writer's side that others see.
pub(crate) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    stopped: Arc<OnceLock<String>>,
}

impl Writer {
    /// Starts the thread; it owns the connection.
    pub(crate) fn start(
        connection: Connection,
        path: &Path,
        commit_records_max: usize,
        queue_records_max: usize,
    ) -> Result<Self, KeysError> {
        let (jobs, waiting) = sync_channel(queue_records_max);
        let stopped = Arc::new(OnceLock::new());
        let shared = Arc::clone(&stopped);
        let (place, log) = (Place::of(path)?, Log::of(&connection, path)?);
        let thread = thread::Builder::new()
            .name("key store".into())
            .spawn(move || run(connection, log, &waiting, commit_records_max, &shared, &place))
            .map_err(|error| KeysError::StoreStopped(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), stopped })
    }

    /// Queues a write; blocks while the queue is full.
    pub(crate) fn submit(&self, write: Write, done: Done) {
        let ended = || KeysError::StoreStopped("its writer has ended".into());
        let Some(jobs) = &self.jobs else { return done(Err(ended())) };
        if let Err(refused) = jobs.send((write, done)) {
            let (_, done) = refused.0;
            done(Err(ended()));
        }
    }

    /// Why nothing is written any more, if so.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }
}

impl Drop for Writer {
    /// Lets the thread finish what waits.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The file that is written to, and what its name stood for when it was opened.
struct Place {
    path: PathBuf,
    inode: (u64, u64),
}

impl Place {
    fn of(path: &Path) -> Result<Self, KeysError> {
        let inode = inode(path).map_err(|error| KeysError::StoreStopped(error.to_string()))?;
        Ok(Self { path: path.to_owned(), inode })
    }

    /// An error where the name stands for another file by now, or for none: what is committed would be gone with the end of
    /// the process, and SQLite says nothing of it.
    fn check(&self) -> Result<(), String> {
        let path = self.path.display();
        match inode(&self.path) {
            Ok(found) if found == self.inode => Ok(()),
            Ok(_) => Err(format!("{path} has been replaced while it was in use")),
            Err(error) => Err(format!("{path} is gone while it was in use: {error}")),
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn run(
    mut connection: Connection,
    mut log: Log,
    waiting: &Receiver<Job>,
    commit_max: usize,
    stopped: &OnceLock<String>,
    place: &Place,
) {
    while let Ok(first) = waiting.recv() {
        let mut writes = Vec::with_capacity(commit_max.min(64));
        let mut answers = Vec::with_capacity(commit_max.min(64));
        // Group commit: while one fsync runs the next writers queue up, so no artificial delay is needed.
        let more = std::iter::from_fn(|| waiting.try_recv().ok());
        for (write, done) in std::iter::once(first).chain(more.take(commit_max.saturating_sub(1))) {
            writes.push(write);
            answers.push(done);
        }
        if let Some(reason) = stopped.get() {
            for done in answers {
                done(Err(KeysError::StoreStopped(reason.clone())));
            }
            continue;
        }
        let committed = commit(&mut connection, &writes);
        if let Err(problem) = place.check() {
            tracing::error!(problem, "key store stopped");
            for done in answers {
                done(Err(KeysError::StoreStopped(problem.clone())));
            }
            let _ = stopped.set(problem);
            continue;
        }
        match committed {
            Ok(results) => {
                results.into_iter().zip(answers).for_each(|(result, done)| done(result));
                log.grew(&connection, writes.len());
            }
            Err(error) => {
                // After a failed write or fsync nobody knows what is on the disk: stop, never retry.
                if is_io_error(&error) && stopped.set(error.to_string()).is_ok() {
                    tracing::error!(error = %error, "key store stopped after an I/O error");
                }
                for done in answers {
                    done(Err(refusal(&error)));
                }
            }
        }
    }
}

fn commit(connection: &mut Connection, writes: &[Write]) -> rusqlite::Result<Vec<Result<u32, KeysError>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let results =
        writes.iter().map(|write| rows::apply(&transaction, write)).collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(results)
}

fn is_io_error(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// The error for each writer of a failed batch.
fn refusal(error: &rusqlite::Error) -> KeysError {
    match (error.sqlite_error_code(), error) {
        (Some(ErrorCode::DiskFull), _) => KeysError::StoreFull,
        (Some(ErrorCode::ReadOnly), _) => KeysError::StoreReadOnly,
        (_, rusqlite::Error::SqliteFailure(code, text)) if !is_io_error(error) => KeysError::Store {
            doing: "committing",
            source: rusqlite::Error::SqliteFailure(*code, text.clone()),
        },
        _ => KeysError::StoreStopped(error.to_string()),
    }
}
