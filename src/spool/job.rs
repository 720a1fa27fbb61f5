//! One entry in the hand of a worker, on its way to one destination.

use std::sync::Arc;

use crate::spool::changes::Change;
use crate::spool::content::Content;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::index::Entry;
use crate::spool::rounds::locked;
use crate::spool::shared::Shared;
use crate::spool::state::{Delivery, State, reason};

/// One entry in the hand of a worker. Dropped without a verdict, it waits again as before.
///
/// A verdict returns when it is durable; only then does the entry go, if it was the last one.
pub struct Job {
    shared: Arc<Shared>,
    entry: Entry,
    destination: Arc<str>,
    /// As it was before it was taken.
    before: Delivery,
    settled: bool,
}

impl Job {
    pub(crate) fn new(shared: Arc<Shared>, entry: Entry, destination: Arc<str>) -> Self {
        let before = entry.delivery(&destination).cloned().unwrap_or_else(|| Delivery::waiting(0));
        Self { shared, entry, destination, before, settled: false }
    }

    /// The name of the entry.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.entry.id
    }

    /// Its place in the order of commits.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.entry.sequence
    }

    /// Where it shall go.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// What it is found by.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.entry.key
    }

    /// What keeps its order.
    #[must_use]
    pub fn group(&self) -> &[u8] {
        &self.entry.group
    }

    /// Bytes of its content.
    #[must_use]
    pub const fn content_bytes(&self) -> u64 {
        self.entry.content_bytes
    }

    /// When it was committed, in milliseconds since 1970.
    #[must_use]
    pub const fn committed_unix_millis(&self) -> u64 {
        self.entry.committed_unix_millis
    }

    /// How often it has failed there.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.before.attempts
    }

    /// Opens its content. Where that is damaged the entry is set aside as damaged, and the job ends with it.
    pub fn open(&self) -> Result<Content, SpoolError> {
        self.shared.check_running()?;
        Content::open(Arc::clone(&self.shared), self.entry.id)
    }

    /// The destination has it.
    pub fn done(self, now_unix_millis: u64) -> Result<(), SpoolError> {
        self.settle(now_unix_millis, |before| Delivery { state: State::Done, reason: "".into(), ..before })
    }

    /// It failed, and is tried again at a time; no later than `later_seconds_max` from now.
    pub fn later(self, at_unix_millis: u64, why: &str, now_unix_millis: u64) -> Result<(), SpoolError> {
        let latest =
            now_unix_millis.saturating_add(self.shared.config.later_seconds_max.saturating_mul(1000));
        self.settle(now_unix_millis, |before| Delivery {
            state: State::Later,
            attempts: before.attempts.saturating_add(1),
            not_before_unix_millis: at_unix_millis.min(latest),
            reason: reason(why),
            ..before
        })
    }

    /// It failed, and is not tried again until somebody says so.
    pub fn aside(self, why: &str, now_unix_millis: u64) -> Result<(), SpoolError> {
        self.settle(now_unix_millis, |before| Delivery {
            state: State::Aside,
            attempts: before.attempts.saturating_add(1),
            reason: reason(why),
            ..before
        })
    }

    fn settle(
        mut self,
        now_unix_millis: u64,
        verdict: impl FnOnce(Delivery) -> Delivery,
    ) -> Result<(), SpoolError> {
        let (id, destination) = (self.entry.id, Arc::clone(&self.destination));
        let before = Delivery { changed_unix_millis: now_unix_millis, ..self.before.clone() };
        let delivery = verdict(before);
        let settled = self.shared.change(|index| {
            // In hand it stays until its job ends; only damage takes an entry away from under it.
            index.get(id)?;
            Ok(vec![Change::Delivery { id, destination, delivery }])
        });
        self.settled = true;
        settled.map(|_| ())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Not written down: after a restart nothing is in hand anyway.
        let state = if self.before.not_before_unix_millis > 0 { State::Later } else { State::Waiting };
        let (id, destination) = (self.entry.id, Arc::clone(&self.destination));
        let delivery = Delivery { state, ..self.before.clone() };
        locked(&self.shared.index).apply(&Change::Delivery { id, destination, delivery });
        self.shared.call(&self.destination);
    }
}
