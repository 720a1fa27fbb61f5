//! The open spool as its parts share it: durable changes, purging, damage, and the stop after an error nobody understands.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::spool::changes::Change;
use crate::spool::config::Config;
use crate::spool::damage;
use crate::spool::disk::Disk;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::index::{Entry, Index};
use crate::spool::journal::Journal;
use crate::spool::record::Record;
use crate::spool::rounds::{Rounds, locked};
use crate::spool::space::{Reservation, Space};
use crate::spool::spares::{Reused, Spares};

/// Called with the name of a destination that has something new to do.
pub(crate) type OnWork = Box<dyn Fn(&str) + Send + Sync>;

/// Called with an entry that nothing but its flags keeps.
pub(crate) type OnHeld = Box<dyn Fn(EntryId) + Send + Sync>;

/// Where things are in the folder of a spool.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) entries: PathBuf,
    pub(crate) damaged: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), entries: root.join("entries"), damaged: root.join("damaged") }
    }

    pub(crate) fn draft(&self, id: EntryId) -> PathBuf {
        self.entries.join(format!("{id}.draft"))
    }

    pub(crate) fn spare(&self, id: EntryId) -> PathBuf {
        self.entries.join(format!("{id}.spare"))
    }

    pub(crate) fn entry(&self, id: EntryId) -> PathBuf {
        self.entries.join(format!("{id}.entry"))
    }
}

/// What all parts of an open spool share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) config: Config,
    pub(crate) paths: Paths,
    pub(crate) index: Mutex<Index>,
    pub(crate) journal: Journal,
    pub(crate) space: Arc<Space>,
    /// Entries whose content has not been read since the start.
    pub(crate) unverified: Mutex<Vec<EntryId>>,
    pub(crate) on_work: OnceLock<OnWork>,
    pub(crate) on_held: OnceLock<OnHeld>,
    spares: Spares,
    names: Rounds,
    failed: OnceLock<String>,
    sequence: AtomicU64,
    /// Kept for its end.
    _lock: Box<dyn Any + Send + Sync>,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        config: &Config,
        index: Index,
        journal: Journal,
        lock: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let (entries, bytes) = index.totals();
        Self {
            disk,
            config: config.clone(),
            paths: Paths::new(&config.folder),
            sequence: AtomicU64::new(index.last_sequence()),
            index: Mutex::new(index),
            journal,
            space: Space::new(config, entries, bytes),
            unverified: Mutex::new(Vec::new()),
            on_work: OnceLock::new(),
            on_held: OnceLock::new(),
            spares: Spares::default(),
            names: Rounds::default(),
            failed: OnceLock::new(),
            _lock: lock,
        }
    }

    /// Why the spool has stopped, if it has.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Refuses when the spool has stopped.
    pub(crate) fn check_running(&self) -> Result<(), SpoolError> {
        self.failed().map_or(Ok(()), |reason| Err(SpoolError::Failed(reason.to_owned())))
    }

    /// Stops the spool: after this error nobody knows what the disk holds, and trying again would hide it.
    ///
    /// The kernel may report a failed write-back once and forget it, so a second fsync that succeeds proves nothing.
    pub(crate) fn fail(&self, error: &SpoolError) -> SpoolError {
        if self.failed.set(error.to_string()).is_ok() {
            tracing::error!(error = %error, "the spool has stopped after an I/O error");
        }
        self.stopped()
    }

    /// The error for those who come after.
    fn stopped(&self) -> SpoolError {
        SpoolError::Failed(self.failed().unwrap_or("another call failed").to_owned())
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    pub(crate) fn free_bytes(&self) -> Result<u64, SpoolError> {
        let root = &self.paths.root;
        self.disk.free_bytes(root).map_err(SpoolError::disk("asking for the free space of", root))
    }

    /// Whether files may lie idle; a disk that fills up has better use for their bytes.
    const fn is_roomy(&self, free_bytes: u64) -> bool {
        free_bytes >= self.config.refuse_associations_free_bytes.saturating_add(Spares::BYTES_MAX)
    }

    /// A file under this name for a new draft, where there is a spare one.
    pub(crate) fn reuse(&self, path: &Path, free_bytes: u64) -> Option<Reused> {
        if !self.is_roomy(free_bytes) {
            self.spares.clear(&*self.disk);
        }
        self.spares.take(&*self.disk, &self.names, path)
    }

    /// Makes the names in the folder of entries durable, for all who ask at once.
    pub(crate) fn sync_names(&self) -> Result<(), SpoolError> {
        let folder = &self.paths.entries;
        let ticket = self.names.ask();
        let done = self.names.wait(ticket, || {
            let result = self.disk.sync_folder(folder).map_err(SpoolError::disk("syncing", folder));
            result.inspect_err(|error| _ = self.fail(error)).is_ok()
        });
        if done { Ok(()) } else { Err(self.stopped()) }
    }

    /// Takes a durable entry in, and says so to its destinations.
    pub(crate) fn publish(&self, record: &Record, file_bytes: u64, reservation: Reservation) {
        // Counted before it can be found, delivered and counted off.
        reservation.commit(file_bytes);
        locked(&self.index).insert(record, file_bytes);
        record.meta.destinations.iter().for_each(|destination| self.call(destination));
    }

    pub(crate) fn call(&self, destination: &str) {
        if let Some(call) = self.on_work.get() {
            call(destination);
        }
    }

    /// Changes entries: `decide` looks at the index and names the changes, which are then applied and made durable.
    ///
    /// Entries that are complete afterwards are purged.
    pub(crate) fn change(
        &self,
        decide: impl FnOnce(&Index) -> Result<Vec<Change>, SpoolError>,
    ) -> Result<usize, SpoolError> {
        self.check_running()?;
        let mut index = locked(&self.index);
        let changes = decide(&index)?;
        // Applied and appended under one lock: memory and journal agree about the order.
        let mut ticket = None;
        for change in &changes {
            index.apply(change);
            ticket = Some(self.journal.append(change));
        }
        drop(index);
        let Some(ticket) = ticket else { return Ok(0) };
        let durable = self.journal.wait(
            ticket,
            self.config.journal_bytes_max,
            || self.snapshot(),
            |error| _ = self.fail(error),
        );
        if !durable {
            return Err(self.stopped());
        }
        let mut ids: Vec<EntryId> = changes.iter().map(Change::id).collect();
        ids.dedup();
        for id in ids {
            self.purge_if_complete(id);
        }
        Ok(changes.len())
    }

    /// Everything that a journal has to say.
    fn snapshot(&self) -> Result<Vec<Change>, SpoolError> {
        let changes = locked(&self.index).changes();
        // What was purged is not in the snapshot, so its file must not come back.
        self.sync_names()?;
        Ok(changes)
    }

    /// Removes an entry that is delivered everywhere and held by nothing. That it is has been made durable before, so
    /// a file that comes back after a crash is removed again.
    fn purge_if_complete(&self, id: EntryId) {
        let mut index = locked(&self.index);
        if index.get(id).is_ok_and(Entry::is_held) {
            drop(index);
            return self.on_held.get().map(|call| call(id)).unwrap_or_default();
        }
        let is_complete = index.get(id).is_ok_and(Entry::is_complete);
        let Some(bytes) = is_complete.then(|| index.leave(id)).flatten() else { return };
        drop(index);
        match self.put_away(id, bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                // It stays on the disk, out of sight, and goes at the next start.
                tracing::error!(entry = %id, error = %error, "a delivered entry cannot be removed");
            }
            _ => {
                locked(&self.index).remove(id);
                self.space.release(bytes);
            }
        }
    }

    /// Takes the name of an entry away; its file is kept as a spare one, or removed.
    fn put_away(&self, id: EntryId, bytes: u64) -> std::io::Result<()> {
        let (entry, spare) = (self.paths.entry(id), self.paths.spare(id));
        let is_roomy = || self.free_bytes().is_ok_and(|free| self.is_roomy(free));
        if self.spares.wants(bytes) && is_roomy() && self.disk.rename(&entry, &spare).is_ok() {
            self.spares.keep(spare, self.names.ask());
            return Ok(());
        }
        self.disk.remove(&entry)
    }

    /// Takes a damaged entry out of the way, loudly. Its file is kept.
    pub(crate) fn set_damaged(&self, id: EntryId, reason: &str) -> SpoolError {
        let error = SpoolError::Damaged { id, reason: reason.to_owned() };
        let Some(bytes) = locked(&self.index).leave(id) else { return error };
        tracing::error!(entry = %id, reason, "an entry of the spool is damaged");
        if let Err(error) = damage::keep(&*self.disk, &self.paths, id, reason) {
            return self.fail(&error);
        }
        locked(&self.index).remove(id);
        self.space.release(bytes);
        error
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // After a stop the disk is left as it is; the next start removes them.
        if self.failed().is_none() {
            self.spares.clear(&*self.disk);
        }
    }
}
