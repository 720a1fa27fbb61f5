//! The spool that others use: begin an entry, take what is due, look, decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::spool::changes::Change;
use crate::spool::config::Config;
use crate::spool::content::Content;
use crate::spool::damage::{self, Damaged};
use crate::spool::disk::{Disk, RealDisk};
use crate::spool::draft::Draft;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::index::Entry;
use crate::spool::job::Job;
use crate::spool::queue::{Counts, Order};
use crate::spool::record::{Unreadable, check_destination};
use crate::spool::recover::{self, Recovery, verify_content};
use crate::spool::rounds::locked;
use crate::spool::shared::{OnHeld, OnWork, Shared};
use crate::spool::space::{Pressure, Usage};
use crate::spool::state::{Delivery, State, reason};
use crate::spool::view::Summary;

/// What waits at one destination is to go to another.
pub struct HandOver<'a> {
    /// Where it waits.
    pub from: &'a str,
    /// Where it is to go.
    pub to: &'a str,
    /// Why, for the record.
    pub why: &'a str,
    /// The flags that keep an entry whose delivery there is its so manieth, counted from 0.
    pub holds: &'a dyn Fn(usize) -> u32,
}

/// Bytes that survive a crash, in order. Cheap to clone; all clones are one spool.
///
/// Calls block on the disk, so asynchronous callers make them where blocking is allowed. Many threads may call at once:
/// commits and verdicts at the same time share their fsyncs.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

impl Spool {
    /// Opens the spool in the folder of the configuration, and makes it if there is none.
    pub fn open(config: &Config) -> Result<(Self, Recovery), SpoolError> {
        Self::open_on(Arc::new(RealDisk), config)
    }

    /// The same on another file system, such as one whose calls fail.
    pub fn open_on(disk: Arc<dyn Disk>, config: &Config) -> Result<(Self, Recovery), SpoolError> {
        let (shared, recovery) = recover::open(disk, config)?;
        Ok((Self { shared: Arc::new(shared) }, recovery))
    }

    /// Has `call` called with the name of a destination whenever it has something new to do; once for a spool.
    ///
    /// It is called from the thread that made the change, and shall only wake a worker.
    pub fn on_work(&self, call: impl Fn(&str) + Send + Sync + 'static) {
        let call: OnWork = Box::new(call);
        let _ = self.shared.on_work.set(call);
    }

    /// Has `call` called with every entry that is delivered or dropped everywhere from now on and is held by flags; once
    /// for a spool. It is called from the thread that made the change, and shall only wake a worker.
    pub fn on_held(&self, call: impl Fn(EntryId) + Send + Sync + 'static) {
        let call: OnHeld = Box::new(call);
        let _ = self.shared.on_held.set(call);
    }

    /// Entries that nothing but their flags keeps, the oldest first.
    #[must_use]
    pub fn held(&self) -> Vec<EntryId> {
        let index = locked(&self.shared.index);
        index.after(0).filter(|entry| entry.is_held()).map(|entry| entry.id).collect()
    }

    /// Begins an entry. `expected_bytes`, if known, are set apart for it at once.
    pub fn begin(&self, expected_bytes: Option<u64>) -> Result<Draft, SpoolError> {
        let expected = expected_bytes.unwrap_or(self.shared.config.draft_step_bytes);
        Draft::begin(Arc::clone(&self.shared), expected)
    }

    /// Takes up to `limit` entries that are due at a destination, the oldest first.
    pub fn take(
        &self,
        destination: &str,
        now_unix_millis: u64,
        limit: usize,
        order: Order,
    ) -> Result<Vec<Job>, SpoolError> {
        self.shared.check_running()?;
        let later_millis_max = self.shared.config.later_seconds_max.saturating_mul(1000);
        let mut index = locked(&self.shared.index);
        let entries = index.take(destination, now_unix_millis, later_millis_max, limit, order);
        drop(index);
        let destination: Arc<str> = destination.into();
        let job = |entry| Job::new(Arc::clone(&self.shared), entry, Arc::clone(&destination));
        Ok(entries.into_iter().map(job).collect())
    }

    /// When something is due at a destination: 0 for now, none while nothing waits.
    #[must_use]
    pub fn next_due_unix_millis(&self, destination: &str) -> Option<u64> {
        locked(&self.shared.index).queues.get(destination)?.next_due_unix_millis()
    }

    /// Opens the content of an entry.
    pub fn read(&self, id: EntryId) -> Result<Content, SpoolError> {
        self.shared.check_running()?;
        locked(&self.shared.index).get(id)?;
        Content::open(Arc::clone(&self.shared), id)
    }

    /// Entries with this key, the oldest first, delivered or not as long as they are here.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Vec<Summary> {
        locked(&self.shared.index).find(key).map(Summary::of).collect()
    }

    /// One entry.
    pub fn show(&self, id: EntryId) -> Result<Summary, SpoolError> {
        locked(&self.shared.index).get(id).map(Summary::of)
    }

    /// Up to `limit` entries behind a sequence (0 for the start), the oldest first.
    #[must_use]
    pub fn list(&self, after_sequence: u64, limit: usize) -> Vec<Summary> {
        locked(&self.shared.index).after(after_sequence).take(limit).map(Summary::of).collect()
    }

    /// How many deliveries of each destination are in which state.
    #[must_use]
    pub fn counts(&self) -> Vec<(Arc<str>, Counts)> {
        let index = locked(&self.shared.index);
        index.queues.iter().map(|(name, queue)| (Arc::clone(name), queue.counts())).collect()
    }

    /// When the oldest instance was committed that a destination still has to get; none where it has all.
    #[must_use]
    pub fn oldest_unix_millis(&self, destination: &str) -> Option<u64> {
        locked(&self.shared.index).oldest_unix_millis(destination)
    }

    /// Bytes that its file system has free; none where that cannot be told.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.shared.free_bytes().ok()
    }

    /// Its limits.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Entries that have been set aside as damaged, now or ever before.
    pub fn damaged(&self) -> Result<Vec<Damaged>, SpoolError> {
        damage::list(&*self.shared.disk, &self.shared.paths)
    }

    /// Tries deliveries again that were put off or set aside, at once; how many these were.
    ///
    /// `destination` limits it to one.
    pub fn retry(
        &self,
        id: EntryId,
        destination: Option<&str>,
        now_unix_millis: u64,
    ) -> Result<usize, SpoolError> {
        let mut names = BTreeSet::new();
        let tried = self.shared.change(|index| {
            changes(index.get(id)?, destination, |name, old| {
                Ok(tried_again(name, old, now_unix_millis, &mut names))
            })
        })?;
        self.call_all(&names);
        Ok(tried)
    }

    /// The same for every entry that goes to a destination, in one step.
    pub fn retry_all(&self, destination: &str, now_unix_millis: u64) -> Result<usize, SpoolError> {
        let mut names = BTreeSet::new();
        let tried = self.shared.change(|index| {
            let mut found = Vec::new();
            for entry in index.after(0).filter(|entry| entry.delivery(destination).is_some()) {
                let change =
                    |name: &Arc<str>, old: &Delivery| Ok(tried_again(name, old, now_unix_millis, &mut names));
                found.append(&mut changes(entry, Some(destination), change)?);
            }
            Ok(found)
        })?;
        self.call_all(&names);
        Ok(tried)
    }

    fn call_all(&self, names: &BTreeSet<Arc<str>>) {
        for name in names {
            self.shared.call(name);
        }
    }

    /// Gives deliveries up, at one destination or at all; how many these were. The entry goes with the last of them,
    /// unless it is held.
    pub fn discard(
        &self,
        id: EntryId,
        destination: Option<&str>,
        why: &str,
        now_unix_millis: u64,
    ) -> Result<usize, SpoolError> {
        self.shared.change(|index| {
            let change = |name: &Arc<str>, old: &Delivery| match old.state {
                State::InHand => Err(SpoolError::InHand { id, destination: name.to_string() }),
                State::Done | State::Dropped => Ok(None),
                _ => Ok(Some(Delivery {
                    state: State::Dropped,
                    changed_unix_millis: now_unix_millis,
                    reason: reason(why),
                    ..old.clone()
                })),
            };
            changes(index.get(id)?, destination, change)
        })
    }

    /// Has an entry delivered to a further destination, such as one that takes over from another.
    pub fn send_also(&self, id: EntryId, destination: &str, now_unix_millis: u64) -> Result<(), SpoolError> {
        check_destination(destination)?;
        self.shared.change(|index| {
            if index.get(id)?.delivery(destination).is_some() {
                return Ok(Vec::new());
            }
            let delivery = Delivery::waiting(now_unix_millis);
            Ok(vec![Change::Delivery { id, destination: destination.into(), delivery }])
        })?;
        self.shared.call(destination);
        Ok(())
    }

    /// Hands up to `limit` deliveries that wait at one destination over to another, the oldest first: begun there, given up
    /// here, in one step. Entries that go to both anyway stay. Gives the entries as they were.
    pub fn hand_over(
        &self,
        over: &HandOver<'_>,
        limit: usize,
        now_unix_millis: u64,
    ) -> Result<Vec<Summary>, SpoolError> {
        check_destination(over.to)?;
        let mut handed = Vec::new();
        self.shared.change(|index| {
            let here = index.waiting(over.from).filter(|entry| entry.delivery(over.to).is_none()).take(limit);
            let mut found = Vec::new();
            for entry in here {
                found.append(&mut handed_over(entry, over, now_unix_millis));
                handed.push(Summary::of(entry));
            }
            Ok(found)
        })?;
        if !handed.is_empty() {
            self.shared.call(over.to);
        }
        Ok(handed)
    }

    /// Sets flags that keep an entry, beside those it has.
    pub fn hold(&self, id: EntryId, flags: u32) -> Result<(), SpoolError> {
        self.set_holds(id, |holds| holds | flags)
    }

    /// Takes flags away; an entry that is delivered and has none left goes.
    pub fn release(&self, id: EntryId, flags: u32) -> Result<(), SpoolError> {
        self.set_holds(id, |holds| holds & !flags)
    }

    /// The same for many at once, in one step; what is not here any more is passed over.
    pub fn release_all(&self, entries: &[(EntryId, u32)]) -> Result<(), SpoolError> {
        let changed = self.shared.change(|index| {
            let change = |(id, flags): &(EntryId, u32)| {
                let old = index.get(*id).ok()?.holds;
                (old & flags != 0).then_some(Change::Holds { id: *id, holds: old & !flags })
            };
            Ok(entries.iter().filter_map(change).collect())
        });
        changed.map(|_| ())
    }

    /// Has an entry delivered once more to a destination that said it has it, and has lost it; whether it will be.
    pub fn send_again(
        &self,
        id: EntryId,
        destination: &str,
        why: &str,
        now_unix_millis: u64,
    ) -> Result<bool, SpoolError> {
        let again = Delivery { reason: reason(why), ..Delivery::waiting(now_unix_millis) };
        let changed = self.instead_of_done(id, destination, &again)?;
        self.shared.call(destination);
        Ok(changed)
    }

    /// Sets an entry aside at a destination that said it has it, and has something else; whether it was.
    pub fn set_aside(
        &self,
        id: EntryId,
        destination: &str,
        why: &str,
        now_unix_millis: u64,
    ) -> Result<bool, SpoolError> {
        let aside =
            Delivery { state: State::Aside, reason: reason(why), ..Delivery::waiting(now_unix_millis) };
        self.instead_of_done(id, destination, &aside)
    }

    /// What a delivery is now that said it was done, and was not; whether there is such a one.
    fn instead_of_done(
        &self,
        id: EntryId,
        destination: &str,
        delivery: &Delivery,
    ) -> Result<bool, SpoolError> {
        let changed = self.shared.change(|index| {
            changes(index.get(id)?, Some(destination), |_, old| {
                Ok((old.state == State::Done).then(|| delivery.clone()))
            })
        })?;
        Ok(changed > 0)
    }

    fn set_holds(&self, id: EntryId, change: impl FnOnce(u32) -> u32) -> Result<(), SpoolError> {
        let changed = self.shared.change(|index| {
            let old = index.get(id)?.holds;
            let holds = change(old);
            Ok(if holds == old { Vec::new() } else { vec![Change::Holds { id, holds }] })
        });
        changed.map(|_| ())
    }

    /// What can be taken at present.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        if self.shared.failed().is_some() {
            return Pressure::RefuseStores;
        }
        // A disk that does not even say how full it is takes nothing.
        self.shared.free_bytes().map_or(Pressure::RefuseStores, |free| self.shared.space.pressure(free))
    }

    /// How much is in the spool.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.space.usage()
    }

    /// Why the spool has stopped, if it has: then it refuses everything until it is opened again.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.shared.failed()
    }

    /// Verifies the contents of entries that the start had no time for, until about `bytes_max` are read; how many
    /// entries are left. To be called in the background until none is.
    pub fn verify(&self, bytes_max: u64) -> Result<usize, SpoolError> {
        let mut read = 0_u64;
        while read < bytes_max {
            self.shared.check_running()?;
            let Some(id) = locked(&self.shared.unverified).pop() else { return Ok(0) };
            if locked(&self.shared.index).get(id).is_err() {
                continue;
            }
            match verify_content(&*self.shared.disk, &self.shared.paths, id) {
                Ok(bytes) => read = read.saturating_add(bytes),
                Err(Unreadable::Damaged(reason)) => _ = self.shared.set_damaged(id, &reason),
                // Delivered meanwhile.
                Err(Unreadable::Error(_)) if locked(&self.shared.index).get(id).is_err() => {}
                Err(Unreadable::Error(error)) => return Err(error),
            }
        }
        Ok(locked(&self.shared.unverified).len())
    }
}

/// Changes to the deliveries of an entry, to one destination or all.
fn changes(
    entry: &Entry,
    only: Option<&str>,
    mut change: impl FnMut(&Arc<str>, &Delivery) -> Result<Option<Delivery>, SpoolError>,
) -> Result<Vec<Change>, SpoolError> {
    let id = entry.id;
    if let Some(destination) = only.filter(|only| entry.delivery(only).is_none()) {
        return Err(SpoolError::UnknownDestination { id, destination: destination.to_owned() });
    }
    let mut found = Vec::new();
    for (name, old) in entry.deliveries.iter().filter(|(name, _)| only.is_none_or(|only| only == &**name)) {
        if let Some(delivery) = change(name, old)? {
            found.push(Change::Delivery { id, destination: Arc::clone(name), delivery });
        }
    }
    Ok(found)
}

/// The delivery, waiting again, if it was put off or set aside; its destination is then to be called.
fn tried_again(
    name: &Arc<str>,
    old: &Delivery,
    now_unix_millis: u64,
    names: &mut BTreeSet<Arc<str>>,
) -> Option<Delivery> {
    if !matches!(old.state, State::Later | State::Aside) {
        return None;
    }
    names.insert(Arc::clone(name));
    Some(Delivery { reason: old.reason.clone(), ..Delivery::waiting(now_unix_millis) })
}

/// The changes that hand an entry over.
fn handed_over(entry: &Entry, over: &HandOver<'_>, now_unix_millis: u64) -> Vec<Change> {
    let Some(old) = entry.delivery(over.from) else { return Vec::new() };
    let id = entry.id;
    let given_up = Delivery {
        state: State::Dropped,
        changed_unix_millis: now_unix_millis,
        reason: reason(over.why),
        ..old.clone()
    };
    let holds = entry.holds | (over.holds)(entry.deliveries.len());
    // Begun first: a journal that ends between the two has it delivered twice rather than not. Held before it can be done.
    let begun = Delivery::waiting(now_unix_millis);
    let mut found = vec![Change::Delivery { id, destination: over.to.into(), delivery: begun }];
    if holds != entry.holds {
        found.push(Change::Holds { id, holds });
    }
    found.push(Change::Delivery { id, destination: over.from.into(), delivery: given_up });
    found
}
