//! How much room there is: what is taken, what is promised to entries being written, and when to refuse more.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::spool::config::Config;
use crate::spool::error::SpoolError;
use crate::spool::rounds::locked;

/// What the spool can take at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pressure {
    /// Everything.
    Open,
    /// What is on its way; no new associations.
    RefuseAssociations,
    /// Nothing.
    RefuseStores,
}

/// How much is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Entries that are committed.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries being written.
    pub drafts: u64,
    /// Bytes promised to these, written or not.
    pub reserved_bytes: u64,
    /// Bytes of these that are written.
    pub draft_bytes: u64,
}

impl Usage {
    /// Promised, and not on the disk yet: the file system still counts them as free.
    const fn outstanding(&self) -> u64 {
        self.reserved_bytes.saturating_sub(self.draft_bytes)
    }

    /// What counts against the limit.
    const fn taken(&self) -> u64 {
        self.bytes.saturating_add(self.reserved_bytes)
    }
}

/// The account of an open spool.
pub(crate) struct Space {
    usage: Mutex<Usage>,
    config: Config,
}

impl Space {
    pub(crate) fn new(config: &Config, entries: u64, bytes: u64) -> Arc<Self> {
        let usage = Mutex::new(Usage { entries, bytes, ..Usage::default() });
        Arc::new(Self { usage, config: config.clone() })
    }

    pub(crate) fn usage(&self) -> Usage {
        *locked(&self.usage)
    }

    /// Room for a new draft of `bytes`, with so many bytes free on the disk.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64, free: u64) -> Result<Reservation, SpoolError> {
        let mut usage = locked(&self.usage);
        if usage.entries.saturating_add(usage.drafts) >= self.config.entries_max {
            return Err(SpoolError::FullOfEntries(self.config.entries_max));
        }
        if usage.drafts >= self.config.drafts_max {
            return Err(SpoolError::FullOfDrafts(self.config.drafts_max));
        }
        self.check(&usage, bytes, free)?;
        usage.drafts += 1;
        usage.reserved_bytes += bytes;
        drop(usage);
        Ok(Reservation { space: Arc::clone(self), reserved: bytes, written: 0 })
    }

    fn check(&self, usage: &Usage, wanted: u64, free: u64) -> Result<(), SpoolError> {
        let (used, limit) = (usage.taken(), self.config.bytes_max);
        if used.saturating_add(wanted) > limit {
            return Err(SpoolError::FullOfBytes { wanted, used, limit });
        }
        let (free, reserve) =
            (free.saturating_sub(usage.outstanding()), self.config.refuse_stores_free_bytes);
        if free < reserve.saturating_add(wanted) {
            return Err(SpoolError::DiskFull { wanted, free, reserve });
        }
        Ok(())
    }

    /// An entry is gone.
    pub(crate) fn release(&self, bytes: u64) {
        let mut usage = locked(&self.usage);
        usage.entries = usage.entries.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(bytes);
    }

    /// What can be taken, with so many bytes free on the disk.
    pub(crate) fn pressure(&self, free: u64) -> Pressure {
        let (usage, config) = (self.usage(), &self.config);
        let free = free.saturating_sub(usage.outstanding());
        let entries = usage.entries.saturating_add(usage.drafts);
        let part = |limit: u64| {
            // Percent of a limit, in wide numbers.
            let part = u128::from(limit) * u128::from(config.refuse_associations_percent) / 100;
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        if usage.taken() >= config.bytes_max
            || entries >= config.entries_max
            || free <= config.refuse_stores_free_bytes
        {
            return Pressure::RefuseStores;
        }
        if usage.taken() >= part(config.bytes_max)
            || entries >= part(config.entries_max)
            || free <= config.refuse_associations_free_bytes
        {
            return Pressure::RefuseAssociations;
        }
        Pressure::Open
    }
}

/// Room that one draft has been promised; given back when dropped.
pub(crate) struct Reservation {
    space: Arc<Space>,
    reserved: u64,
    written: u64,
}

impl Reservation {
    /// Sees to it that `total` bytes are promised, in steps where more is needed; `free` asks the disk.
    pub(crate) fn cover(
        &mut self,
        total: u64,
        free: impl FnOnce() -> Result<u64, SpoolError>,
    ) -> Result<(), SpoolError> {
        let Some(missing) = total.checked_sub(self.reserved).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let free = free()?;
        let mut usage = locked(&self.space.usage);
        let step = missing.max(self.space.config.draft_step_bytes);
        // Near the limits the step may not fit while what is needed does.
        let more = if self.space.check(&usage, step, free).is_ok() { step } else { missing };
        self.space.check(&usage, more, free)?;
        usage.reserved_bytes += more;
        self.reserved += more;
        Ok(())
    }

    /// So many bytes are on the disk now.
    pub(crate) fn wrote(&mut self, bytes: u64) {
        self.written += bytes;
        locked(&self.space.usage).draft_bytes += bytes;
    }

    /// The draft has become an entry of so many bytes.
    pub(crate) fn commit(self, bytes: u64) {
        let mut usage = locked(&self.space.usage);
        usage.entries += 1;
        usage.bytes += bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut usage = locked(&self.space.usage);
        usage.drafts = usage.drafts.saturating_sub(1);
        usage.reserved_bytes = usage.reserved_bytes.saturating_sub(self.reserved);
        usage.draft_bytes = usage.draft_bytes.saturating_sub(self.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(bytes_max: u64) -> Arc<Space> {
        let config = Config {
            bytes_max,
            entries_max: 10,
            drafts_max: 5,
            draft_step_bytes: 4096,
            refuse_stores_free_bytes: 1000,
            refuse_associations_free_bytes: 2000,
            ..Config::default()
        };
        Space::new(&config, 0, 0)
    }

    #[test]
    fn what_is_promised_is_not_promised_again() {
        let space = space(10_000);
        let first = space.reserve(6000, 1 << 30).unwrap();
        assert!(matches!(space.reserve(6000, 1 << 30), Err(SpoolError::FullOfBytes { used: 6000, .. })));
        drop(first);
        let _ = space.reserve(6000, 1 << 30).unwrap();
        assert_eq!(space.usage(), Usage::default());
    }

    #[test]
    fn free_bytes_that_others_will_write_are_not_free() {
        let space = space(1 << 20);
        let mut first = space.reserve(5000, 10_000).unwrap();
        assert!(matches!(space.reserve(5000, 10_000), Err(SpoolError::DiskFull { free: 5000, .. })));
        // Once written, the disk itself no longer counts them as free.
        first.wrote(5000);
        assert!(space.reserve(4000, 5000).is_ok());
        assert!(space.reserve(4001, 5000).is_err());
    }

    #[test]
    fn a_draft_grows_in_steps_and_at_the_limit_by_what_it_needs() {
        let space = space(10_000);
        let mut draft = space.reserve(0, 1 << 30).unwrap();
        let cover = |draft: &mut Reservation, total| draft.cover(total, || Ok(1 << 30));
        cover(&mut draft, 1).unwrap();
        assert_eq!(space.usage().reserved_bytes, 4096);
        draft.cover(4096, || panic!("it is covered")).unwrap();
        cover(&mut draft, 9000).unwrap();
        cover(&mut draft, 10_000).unwrap();
        assert!(matches!(cover(&mut draft, 10_001), Err(SpoolError::FullOfBytes { .. })));
        draft.commit(9500);
        assert_eq!(space.usage(), Usage { entries: 1, bytes: 9500, ..Usage::default() });
        space.release(9500);
        assert_eq!(space.usage(), Usage::default());
    }

    #[test]
    fn entries_and_drafts_are_counted() {
        let space = space(1 << 20);
        let drafts: Vec<_> = (0..5).map(|_| space.reserve(0, 1 << 30).unwrap()).collect();
        assert!(matches!(space.reserve(0, 1 << 30), Err(SpoolError::FullOfDrafts(5))));
        for draft in drafts {
            draft.commit(1);
        }
        let drafts: Vec<_> = (0..5).map(|_| space.reserve(0, 1 << 30).unwrap()).collect();
        assert!(matches!(space.reserve(0, 1 << 30), Err(SpoolError::FullOfEntries(10))));
        drop(drafts);
    }

    #[test]
    fn associations_are_refused_before_stores() {
        let space = space(10_000);
        let at = |reserved: u64, free: u64| {
            let draft = space.reserve(reserved, 1 << 30).unwrap();
            let pressure = space.pressure(free);
            drop(draft);
            pressure
        };
        assert_eq!(at(0, 1 << 30), Pressure::Open);
        assert_eq!(at(8999, 1 << 30), Pressure::Open);
        assert_eq!(at(9000, 1 << 30), Pressure::RefuseAssociations);
        assert_eq!(at(10_000, 1 << 30), Pressure::RefuseStores);
        assert_eq!(at(0, 2001), Pressure::Open);
        assert_eq!(at(0, 2000), Pressure::RefuseAssociations);
        assert_eq!(at(500, 2400), Pressure::RefuseAssociations);
        assert_eq!(at(0, 1000), Pressure::RefuseStores);
    }
}
