//! What is in the spool, in memory: entries in their order, found by id and by key, and a queue for each destination.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::spool::changes::Change;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::queue::{Order, Queue};
use crate::spool::record::Record;
use crate::spool::state::{Delivery, State};

/// An entry without its content and meta, which stay on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) sequence: u64,
    pub(crate) committed_unix_millis: u64,
    pub(crate) content_bytes: u64,
    /// Of the whole file.
    pub(crate) file_bytes: u64,
    pub(crate) key: Arc<[u8]>,
    pub(crate) group: Arc<[u8]>,
    pub(crate) holds: u32,
    /// The flags it was committed with.
    holds_first: u32,
    /// In the order of the record; destinations added later follow.
    pub(crate) deliveries: Vec<(Arc<str>, Delivery)>,
    /// How many of these the record names.
    named: usize,
    /// Its file is being removed.
    leaving: bool,
}

impl Entry {
    pub(crate) fn delivery(&self, destination: &str) -> Option<&Delivery> {
        self.deliveries.iter().find(|(name, _)| &**name == destination).map(|(_, delivery)| delivery)
    }

    /// Whether it is delivered or dropped everywhere, and nothing holds it.
    pub(crate) fn is_complete(&self) -> bool {
        self.holds == 0 && self.deliveries.iter().all(|(_, delivery)| delivery.state.is_final())
    }

    /// Whether it is delivered or dropped everywhere, and only its flags hold it.
    pub(crate) fn is_held(&self) -> bool {
        self.holds != 0 && self.deliveries.iter().all(|(_, delivery)| delivery.state.is_final())
    }

    /// What the journal has to say about it.
    fn changes(&self, out: &mut Vec<Change>) {
        let id = self.id;
        if self.holds != self.holds_first {
            out.push(Change::Holds { id, holds: self.holds });
        }
        for (number, (destination, delivery)) in self.deliveries.iter().enumerate() {
            if number >= self.named || !delivery.is_untouched() {
                let (destination, delivery) = (Arc::clone(destination), delivery.clone());
                out.push(Change::Delivery { id, destination, delivery });
            }
        }
    }
}

/// Everything in the spool.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<u64, Entry>,
    by_id: HashMap<EntryId, u64>,
    by_key: HashMap<Arc<[u8]>, BTreeSet<u64>>,
    pub(crate) queues: BTreeMap<Arc<str>, Queue>,
}

impl Index {
    /// Takes in a committed entry.
    pub(crate) fn insert(&mut self, record: &Record, file_bytes: u64) {
        let meta = &record.meta;
        // Two entries with one sequence cannot come from one spool; should they meet, none is lost.
        let is_taken = self.entries.contains_key(&record.sequence);
        let sequence = if is_taken { self.last_sequence().saturating_add(1) } else { record.sequence };
        let group: Arc<[u8]> = meta.group.as_slice().into();
        let mut deliveries = Vec::with_capacity(meta.destinations.len());
        for name in &meta.destinations {
            let (name, queue) = self.queue(name);
            let delivery = Delivery::waiting(record.committed_unix_millis);
            queue.put(sequence, &group, &delivery);
            deliveries.push((name, delivery));
        }
        let entry = Entry {
            id: record.id,
            sequence,
            committed_unix_millis: record.committed_unix_millis,
            content_bytes: record.content_bytes,
            file_bytes,
            key: meta.key.as_slice().into(),
            group,
            holds: meta.holds,
            holds_first: meta.holds,
            named: deliveries.len(),
            deliveries,
            leaving: false,
        };
        self.by_id.insert(entry.id, sequence);
        if !entry.key.is_empty() {
            self.by_key.entry(Arc::clone(&entry.key)).or_default().insert(sequence);
        }
        self.entries.insert(sequence, entry);
    }

    /// The queue of a destination, and its name as all share it.
    fn queue(&mut self, name: &str) -> (Arc<str>, &mut Queue) {
        let shared =
            self.queues.get_key_value(name).map_or_else(|| name.into(), |(name, _)| Arc::clone(name));
        (Arc::clone(&shared), self.queues.entry(shared).or_default())
    }

    /// The entry with this id, unless it is leaving.
    pub(crate) fn get(&self, id: EntryId) -> Result<&Entry, SpoolError> {
        let entry = self.by_id.get(&id).and_then(|sequence| self.entries.get(sequence));
        entry.filter(|entry| !entry.leaving).ok_or(SpoolError::Unknown(id))
    }

    /// Entries with this key, the oldest first.
    pub(crate) fn find<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let found = self.by_key.get(key).into_iter().flatten();
        found.filter_map(|sequence| self.entries.get(sequence)).filter(|entry| !entry.leaving)
    }

    /// Entries behind this sequence, the oldest first.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = &Entry> {
        let from = (std::ops::Bound::Excluded(sequence), std::ops::Bound::Unbounded);
        self.entries.range(from).map(|(_, entry)| entry).filter(|entry| !entry.leaving)
    }

    /// Entries that wait at a destination, or are put off there, the oldest first.
    pub(crate) fn waiting(&self, destination: &str) -> impl Iterator<Item = &Entry> {
        let sequences = self.queues.get(destination).map(Queue::waiting).unwrap_or_default();
        let entries = sequences.into_iter().filter_map(|sequence| self.entries.get(&sequence));
        entries.filter(|entry| !entry.leaving)
    }

    /// When the oldest that a destination still has to get was committed.
    pub(crate) fn oldest_unix_millis(&self, destination: &str) -> Option<u64> {
        let sequence = self.queues.get(destination)?.oldest()?;
        self.entries.get(&sequence).map(|entry| entry.committed_unix_millis)
    }

    /// Every entry, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().rev()
    }

    /// Applies a change, new or from the journal; none when the entry is gone.
    pub(crate) fn apply(&mut self, change: &Change) {
        let Some(sequence) = self.by_id.get(&change.id()).copied() else { return };
        match change {
            Change::Holds { holds, .. } => {
                if let Some(entry) = self.entries.get_mut(&sequence) {
                    entry.holds = *holds;
                }
            }
            Change::Delivery { destination, delivery, .. } => {
                self.set(sequence, destination, delivery.clone());
            }
        }
    }

    /// Puts a delivery into a state; a destination that is new to the entry is added.
    fn set(&mut self, sequence: u64, destination: &str, delivery: Delivery) {
        let (name, _) = self.queue(destination);
        let Some(entry) = self.entries.get_mut(&sequence) else { return };
        let Some(queue) = self.queues.get_mut(&name) else { return };
        if let Some((_, old)) = entry.deliveries.iter_mut().find(|(other, _)| *other == name) {
            queue.take_out(sequence, &entry.group, old);
            queue.put(sequence, &entry.group, &delivery);
            *old = delivery;
        } else {
            queue.put(sequence, &entry.group, &delivery);
            entry.deliveries.push((name, delivery));
        }
    }

    /// Hands out what is due at a destination.
    pub(crate) fn take(
        &mut self,
        destination: &str,
        now_unix_millis: u64,
        later_millis_max: u64,
        limit: usize,
        order: Order,
    ) -> Vec<Entry> {
        let Some(queue) = self.queues.get_mut(destination) else { return Vec::new() };
        queue.wake(now_unix_millis, later_millis_max);
        let entries = &self.entries;
        let group = |sequence: u64| entries.get(&sequence).map(|entry| Arc::clone(&entry.group));
        let by_key = &self.by_key;
        // A version that overtook an earlier one would be overwritten by it.
        let may_go = |sequence: u64| {
            let Some(entry) = entries.get(&sequence) else { return false };
            let earlier = by_key.get(&entry.key).into_iter().flat_map(|same| same.range(..sequence));
            let mut earlier = earlier.filter_map(|one| entries.get(one)?.delivery(destination));
            earlier.all(|delivery| !delivery.state.is_open())
        };
        let chosen = queue.choose(limit, order, group, may_go);
        for sequence in &chosen {
            let old = self.entries.get(sequence).and_then(|entry| entry.delivery(destination)).cloned();
            if let Some(old) = old {
                self.set(*sequence, destination, Delivery { state: State::InHand, ..old });
            }
        }
        chosen.iter().filter_map(|sequence| self.entries.get(sequence)).cloned().collect()
    }

    /// Marks a complete entry as leaving, so that nobody finds it any more; its bytes and whether that was news.
    pub(crate) fn leave(&mut self, id: EntryId) -> Option<u64> {
        let entry = self.entries.get_mut(self.by_id.get(&id)?)?;
        if entry.leaving {
            return None;
        }
        entry.leaving = true;
        Some(entry.file_bytes)
    }

    /// Forgets an entry.
    pub(crate) fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let sequence = self.by_id.remove(&id)?;
        let entry = self.entries.remove(&sequence)?;
        for (name, delivery) in &entry.deliveries {
            if let Some(queue) = self.queues.get_mut(name) {
                queue.take_out(sequence, &entry.group, delivery);
            }
        }
        if let Some(same_key) = self.by_key.get_mut(&entry.key) {
            same_key.remove(&sequence);
            if same_key.is_empty() {
                self.by_key.remove(&entry.key);
            }
        }
        Some(entry)
    }

    /// Everything that the journal has to say.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut out = Vec::new();
        self.entries.values().for_each(|entry| entry.changes(&mut out));
        out
    }

    /// The last sequence in use.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(sequence, _)| *sequence)
    }

    /// How many entries there are, and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.entries.values().map(|entry| entry.file_bytes).sum())
    }
}
