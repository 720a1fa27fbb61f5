//! Modalities that wait until the PACS has what they sent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::dicom::Status;
use crate::spool::EntryId;

/// What became of an entry at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// The destination has it.
    Taken,
    /// The destination answered something else.
    Answered(Status),
    /// It could not be asked.
    Failed,
}

type Waiters = HashMap<(EntryId, String), oneshot::Sender<Settled>>;

/// Who waits for what.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Waiters>);

impl Waiting {
    /// Begins to wait, before the entry can be taken by a worker.
    pub(super) fn expect(&self, entry: EntryId, destination: &str) -> oneshot::Receiver<Settled> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert((entry, destination.to_owned()), sender);
        receiver
    }

    /// Tells whoever waits, if anybody does.
    pub(super) fn settle(&self, entry: EntryId, destination: &str, settled: Settled) {
        if let Some(sender) = self.lock().remove(&(entry, destination.to_owned())) {
            // Who has gone away does not want to know.
            let _gone = sender.send(settled);
        }
    }

    /// Nobody waits for this entry any more.
    pub(super) fn forget(&self, entry: EntryId) {
        self.lock().retain(|(waiting, _), _| *waiting != entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiters> {
        // The map is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
