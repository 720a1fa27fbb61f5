//! A story that uses everything a spool can do, and the record of what it was told, to be compared after a crash.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use sealgate::spool::{Config, EntryId, JournalFound, Meta, Order, Recovery, Spool, SpoolError, State};

use super::sim::{Chance, Sim};

pub(crate) const NOW: u64 = 1_700_000_000_000;

pub(crate) fn config() -> Config {
    // Small limits, so that a short story reaches them; verification as long as it takes.
    Config {
        folder: PathBuf::from("/sim/spool"),
        journal_bytes_max: 4096,
        verify_seconds_max: 3600,
        ..Config::default()
    }
}

pub(crate) fn open(sim: &Sim) -> Result<(Spool, Recovery), SpoolError> {
    Spool::open_on(Arc::new(sim.clone()), &config())
}

pub(crate) fn meta(key: &str, destinations: &[&str]) -> Meta {
    Meta {
        bytes: format!("{{\"route\":\"{key}\"}}").into_bytes(),
        destinations: destinations.iter().map(|name| (*name).to_owned()).collect(),
        key: key.as_bytes().to_vec(),
        group: b"study".to_vec(),
        digest: vec![7; 32],
        holds: 0,
    }
}

pub(crate) fn content(key: &str, bytes: usize) -> Vec<u8> {
    let seed = key.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    Chance(seed).bytes(bytes)
}

pub(crate) fn read_all(spool: &Spool, id: EntryId) -> Result<Vec<u8>, String> {
    let mut content = spool.read(id).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// State and number of attempts: what must survive.
type Seen = (State, u32);

/// What is known about one entry.
#[derive(Debug, Clone)]
struct Known {
    content: Vec<u8>,
    meta: Meta,
    committed: bool,
    /// A call that lets it go has been made; acknowledged or not.
    may_be_gone: bool,
    gone: bool,
    deliveries: BTreeMap<String, Vec<Seen>>,
}

/// What the spool has acknowledged, and what it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    entries: BTreeMap<EntryId, Known>,
}

impl Told {
    /// Writes in odd pieces, patches three places, commits.
    pub(crate) fn store(&mut self, spool: &Spool, meta: Meta, bytes: usize) -> Result<EntryId, SpoolError> {
        let content = content(std::str::from_utf8(&meta.key).unwrap(), bytes);
        let mut draft = spool.begin(Some(bytes as u64))?;
        // The fields to patch are written as something else first.
        let mut first = content.clone();
        let places = [0, bytes / 2, bytes.saturating_sub(4)];
        for at in places {
            first[at..(at + 4).min(bytes)].fill(0xEE);
        }
        for piece in first.chunks(50_001) {
            draft.write(piece)?;
        }
        for at in places {
            draft.patch(at as u64, &content[at..(at + 4).min(bytes)])?;
        }
        let deliveries =
            meta.destinations.iter().map(|name| (name.clone(), vec![(State::Waiting, 0)])).collect();
        let (may_be_gone, gone, id) = (false, false, draft.id());
        let known = Known { content, meta: meta.clone(), committed: false, may_be_gone, gone, deliveries };
        self.entries.insert(id, known);
        let receipt = draft.commit(meta, NOW)?;
        assert_eq!((receipt.id(), receipt.content_bytes()), (id, bytes as u64));
        self.known(id).committed = true;
        Ok(id)
    }

    /// Takes in what another thread was told.
    pub(crate) fn join(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// Every entry that was acknowledged and has not been let go.
    pub(crate) fn kept(&self) -> impl Iterator<Item = EntryId> {
        self.entries.iter().filter(|(_, known)| known.committed && !known.may_be_gone).map(|(id, _)| *id)
    }

    fn known(&mut self, id: EntryId) -> &mut Known {
        self.entries.get_mut(&id).expect("it was stored")
    }

    /// Says that a delivery may come into a state, asks for it, and notes that it has.
    fn change(
        &mut self,
        id: EntryId,
        to: &str,
        seen: Seen,
        ask: impl FnOnce() -> Result<(), SpoolError>,
    ) -> Result<(), SpoolError> {
        let known = self.known(id);
        known.deliveries.entry(to.to_owned()).or_default().push(seen);
        let is_final = |seen: &Seen| seen.0.is_final();
        let goes = known.meta.holds == 0
            && known.deliveries.values().all(|states| states.last().is_some_and(is_final));
        known.may_be_gone |= goes;
        ask()?;
        let known = self.known(id);
        known.deliveries.insert(to.to_owned(), vec![seen]);
        known.gone |= goes;
        Ok(())
    }

    fn attempts(&self, id: EntryId, to: &str) -> u32 {
        self.entries[&id].deliveries[to].last().expect("a state").1
    }

    pub(crate) fn done(&mut self, spool: &Spool, id: EntryId, to: &str) -> Result<(), SpoolError> {
        let attempts = self.attempts(id, to);
        let job = take_one(spool, id, to)?;
        self.change(id, to, (State::Done, attempts), || job.done(NOW))
    }

    pub(crate) fn later(
        &mut self,
        spool: &Spool,
        id: EntryId,
        to: &str,
        why: &str,
    ) -> Result<(), SpoolError> {
        let attempts = self.attempts(id, to) + 1;
        let job = take_one(spool, id, to)?;
        self.change(id, to, (State::Later, attempts), || job.later(NOW + 1000, why, NOW))
    }

    fn aside(&mut self, spool: &Spool, id: EntryId, to: &str) -> Result<(), SpoolError> {
        let attempts = self.attempts(id, to) + 1;
        let job = take_one(spool, id, to)?;
        self.change(id, to, (State::Aside, attempts), || job.aside("C000H", NOW))
    }

    fn release(&mut self, spool: &Spool, id: EntryId) -> Result<(), SpoolError> {
        self.known(id).may_be_gone = true;
        spool.release(id, 1)?;
        self.known(id).gone = true;
        Ok(())
    }

    /// Everything that a spool can do, once; ends at the first error.
    pub(crate) fn story(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        let a = self.store(spool, meta("a", &["pacs", "backup"]), 200_000)?;
        let mut abandoned = spool.begin(None)?;
        abandoned.write(&content("abandoned", 70_000))?;
        drop(abandoned);
        let held = self.store(spool, Meta { holds: 1, ..meta("held", &["pacs"]) }, 10)?;
        self.later(spool, a, "pacs", "A700H")?;
        self.done(spool, held, "pacs")?;
        let b = self.store(spool, meta("b", &["pacs"]), 65_536)?;
        self.aside(spool, b, "pacs")?;
        self.change(b, "pacs", (State::Waiting, 0), || spool.retry(b, None, NOW).map(|_| ()))?;
        // Enough to have the journal written anew twice.
        let c = self.store(spool, meta("c", &["pacs"]), 4)?;
        for number in 0..20 {
            self.later(spool, c, "pacs", &format!("{number} {}", "x".repeat(500)))?;
        }
        self.done(spool, a, "backup")?;
        self.done(spool, a, "pacs")?;
        // And once more right behind a purge, which nothing has made durable yet.
        for number in 0..10 {
            self.later(spool, c, "pacs", &format!("{number} {}", "x".repeat(500)))?;
        }
        self.release(spool, held)?;
        self.change(b, "second", (State::Waiting, 0), || spool.send_also(b, "second", NOW))?;
        self.done(spool, b, "second")?;
        let d = self.store(spool, meta("d", &["backup"]), 131_072)?;
        self.change(d, "backup", (State::Dropped, 0), || {
            spool.discard(d, None, "asked for", NOW).map(|_| ())
        })?;
        self.store(spool, meta("e", &["backup"]), 66_000)?;
        // Over the files of those that have gone, which were longer and shorter.
        for (key, bytes) in [("f", 300), ("g", 250_000), ("h", 70_000)] {
            let id = self.store(spool, meta(key, &["pacs"]), bytes)?;
            self.done(spool, id, "pacs")?;
        }
        self.store(spool, meta("i", &["pacs"]), 140_000)?;
        Ok(())
    }

    /// Compares what a spool holds after a start with what was acknowledged; the first difference, in words.
    pub(crate) fn compare(&self, spool: &Spool, recovery: &Recovery, sim: &Sim) -> Result<(), String> {
        if !recovery.damaged.is_empty() || recovery.unverified > 0 || !recovery.foreign.is_empty() {
            return Err(format!("found damage: {recovery:?}"));
        }
        if matches!(recovery.journal, JournalFound::Damaged(_) | JournalFound::Missing) {
            return Err(format!("found the journal {:?}", recovery.journal));
        }
        let strange = |path: &&PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".draft")
                || name.ends_with(".spare")
                || name.ends_with(".new")
                || name.contains("/damaged/")
        };
        if let Some(left) = sim.files().keys().find(strange) {
            return Err(format!("{} is left", left.display()));
        }
        let listed: Vec<EntryId> = spool.list(0, usize::MAX).iter().map(|summary| summary.id).collect();
        if let Some(id) = listed.iter().find(|id| !self.entries.contains_key(id)) {
            return Err(format!("{id} was never written"));
        }
        self.entries.iter().try_for_each(|(id, known)| known.compare(spool, *id))
    }
}

impl Known {
    fn compare(&self, spool: &Spool, id: EntryId) -> Result<(), String> {
        let key = String::from_utf8_lossy(&self.meta.key);
        let Ok(summary) = spool.show(id) else {
            let may_be_missing = self.may_be_gone || !self.committed;
            return if may_be_missing { Ok(()) } else { Err(format!("{key} was acknowledged, and is gone")) };
        };
        if self.gone {
            return Err(format!("{key} was delivered everywhere, and is here again"));
        }
        if read_all(spool, id)? != self.content {
            return Err(format!("{key} has other bytes"));
        }
        let opened = spool.read(id).map_err(|error| error.to_string())?;
        if *opened.meta() != self.meta {
            return Err(format!("{key} has another meta"));
        }
        for delivery in &summary.deliveries {
            let seen = (delivery.delivery.state, delivery.delivery.attempts);
            let allowed = self.deliveries.get(&delivery.destination);
            if allowed.is_none_or(|allowed| !allowed.contains(&seen)) {
                return Err(format!("{key} at {}: {seen:?}, and not {allowed:?}", delivery.destination));
            }
        }
        Ok(())
    }
}

/// Takes just this entry; whatever else was due goes back.
fn take_one(spool: &Spool, id: EntryId, to: &str) -> Result<sealgate::spool::Job, SpoolError> {
    let later = NOW + 10_000;
    let job = spool.take(to, later, usize::MAX, Order::Any)?.into_iter().find(|job| job.id() == id);
    Ok(job.expect("it is due"))
}
