//! Modalities that wait until the PACS has what they sent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::dicom::Status;
use crate::spool::EntryId;

/// What became of an entry at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// The destination has it, and said so with this status: success, or a warning.
    Taken(Status),
    /// The destination answered something else.
    Answered(Status),
    /// It could not be asked.
    Failed,
}

/// One sender of an entry, and where it is waited for.
struct Waiter {
    destination: String,
    sender: oneshot::Sender<Settled>,
}

/// Who waits for what. Two senders of the same bytes may wait for one entry.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<EntryId, Vec<Waiter>>>);

impl Waiting {
    /// Begins to wait, before the entry can be taken by a worker.
    pub(super) fn expect(&self, entry: EntryId, destination: &str) -> oneshot::Receiver<Settled> {
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter { destination: destination.to_owned(), sender };
        self.lock().entry(entry).or_default().push(waiter);
        receiver
    }

    /// Tells whoever waits, if anybody does.
    pub(super) fn settle(&self, entry: EntryId, destination: &str, settled: &Settled) {
        let mut waiting = self.lock();
        let Some(waiters) = waiting.get_mut(&entry) else { return };
        for waiter in waiters.extract_if(.., |waiter| waiter.destination == destination) {
            // Who has gone away does not want to know.
            let _gone = waiter.sender.send(settled.clone());
        }
        if waiters.is_empty() {
            waiting.remove(&entry);
        }
    }

    /// Another destination takes an entry over.
    pub(super) fn hand_over(&self, entry: EntryId, from: &str, to: &str) {
        for waiter in self.lock().get_mut(&entry).into_iter().flatten() {
            if waiter.destination == from {
                to.clone_into(&mut waiter.destination);
            }
        }
    }

    /// Forgets those that wait for this entry no more.
    pub(super) fn forget(&self, entry: EntryId) {
        let mut waiting = self.lock();
        let Some(waiters) = waiting.get_mut(&entry) else { return };
        waiters.retain(|waiter| !waiter.sender.is_closed());
        if waiters.is_empty() {
            waiting.remove(&entry);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EntryId, Vec<Waiter>>> {
        // The map is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_waits_is_told_and_nobody_is_kept() {
        let (waiting, entry) = (Waiting::default(), EntryId::random().unwrap());
        let mut first = waiting.expect(entry, "one");
        let mut second = waiting.expect(entry, "one");
        let mut other = waiting.expect(entry, "two");
        waiting.hand_over(entry, "two", "three");
        waiting.settle(entry, "two", &Settled::Failed);
        waiting.settle(entry, "one", &Settled::Taken(Status::SUCCESS));
        assert_eq!(
            (first.try_recv(), second.try_recv()),
            (Ok(Settled::Taken(Status::SUCCESS)), Ok(Settled::Taken(Status::SUCCESS)))
        );
        waiting.forget(entry);
        waiting.settle(entry, "three", &Settled::Taken(Status::SUCCESS));
        assert_eq!(other.try_recv(), Ok(Settled::Taken(Status::SUCCESS)));
        drop(waiting.expect(entry, "one"));
        waiting.forget(entry);
        assert!(waiting.lock().is_empty());
    }
}
