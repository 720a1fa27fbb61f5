//! The start: what an earlier process left is verified, completed or set aside; nothing that was acknowledged is lost.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::spool::changes::{self, Parsed};
use crate::spool::config::Config;
use crate::spool::content::Checked;
use crate::spool::damage::{self, Damaged};
use crate::spool::disk::Disk;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::index::Index;
use crate::spool::journal::{self, Journal, remove_if_there};
use crate::spool::record::Unreadable;
use crate::spool::rounds::locked;
use crate::spool::shared::{Paths, Shared};

/// Largest journal that is read; it is written anew long before.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// In what state the journal was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalFound {
    /// There was none, and nothing that it would have been about.
    #[default]
    New,
    /// Whole.
    Whole,
    /// Whole, with a last record that was cut off while it was written: it had not been acknowledged.
    CutOff,
    /// Gone although there are entries: all of them are delivered again.
    Missing,
    /// With so many damaged stretches; a copy is kept, and what they said is done again.
    Damaged(usize),
}

/// What a start found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Recovery {
    /// Entries that are there.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were being written, and had not been acknowledged; they are removed.
    pub drafts_removed: u64,
    /// Entries that were delivered everywhere, and whose files are removed now.
    pub purged: u64,
    /// Entries that do not verify; they have been moved to the folder `damaged`.
    pub damaged: Vec<Damaged>,
    /// Names in the folder that are not the spool's; they are left alone.
    pub foreign: Vec<String>,
    /// In what state the journal was.
    pub journal: JournalFound,
    /// Entries whose content has been read and verified.
    pub verified: u64,
    /// Entries whose content is to be verified yet, see [`Spool::verify`](crate::spool::Spool::verify). Each is
    /// verified in any case when it is read.
    pub unverified: u64,
}

/// The files in the folder of entries.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    pub(crate) entries: Vec<EntryId>,
    drafts: Vec<EntryId>,
    spares: Vec<EntryId>,
    foreign: Vec<String>,
}

pub(crate) fn file_names(disk: &dyn Disk, paths: &Paths) -> Result<FileNames, SpoolError> {
    let folder = &paths.entries;
    let mut found = FileNames::default();
    for name in disk.list(folder).map_err(SpoolError::disk("listing", folder))? {
        let id = |suffix| name.to_str()?.strip_suffix(suffix)?.parse::<EntryId>().ok();
        match (id(".entry"), id(".draft"), id(".spare")) {
            (Some(id), ..) => found.entries.push(id),
            (_, Some(id), _) => found.drafts.push(id),
            (.., Some(id)) => found.spares.push(id),
            _ => found.foreign.push(name.to_string_lossy().into_owned()),
        }
    }
    Ok(found)
}

/// The bytes of the journal, if there is one.
pub(crate) fn read_journal(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, SpoolError> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(SpoolError::disk("opening", path))?,
    };
    let bytes = file.size().map_err(SpoolError::disk("looking at", path))?;
    if bytes > JOURNAL_BYTES_MAX {
        return Err(SpoolError::TooLong {
            what: "the journal of the spool",
            bytes,
            limit: JOURNAL_BYTES_MAX,
        });
    }
    let mut whole = vec![0; usize::try_from(bytes).unwrap_or_default()];
    file.read_exact_at(&mut whole, 0).map_err(SpoolError::disk("reading", path))?;
    Ok(Some(whole))
}

/// Opens the spool in the folder of the configuration.
pub(crate) fn open(disk: Arc<dyn Disk>, config: &Config) -> Result<(Shared, Recovery), SpoolError> {
    config.check()?;
    let paths = Paths::new(&config.folder);
    let lock = make_folders(&*disk, &paths)?;
    let mut recovery = Recovery::default();
    let mut index = read_entries(&*disk, &paths, &mut recovery)?;
    let parsed = apply_journal(&*disk, &paths, &mut index, &mut recovery)?;
    purge(&*disk, &paths, &mut index, &mut recovery)?;
    let unverified = verify(&*disk, config, &mut index, &mut recovery)?;
    // What another process renamed or removed before it was killed may not be durable yet.
    disk.sync_folder(&paths.entries).map_err(SpoolError::disk("syncing", &paths.entries))?;
    let journal = start_journal(&disk, &paths, &index, parsed.end)?;
    (recovery.entries, recovery.bytes) = index.totals();
    recovery.unverified = unverified.len() as u64;
    let shared = Shared::new(disk, config, index, journal, lock);
    *locked(&shared.unverified) = unverified;
    Ok((shared, recovery))
}

fn make_folders(disk: &dyn Disk, paths: &Paths) -> Result<Box<dyn std::any::Any + Send + Sync>, SpoolError> {
    for folder in [&paths.root, &paths.entries, &paths.damaged] {
        disk.make_folder(folder).map_err(SpoolError::disk("making the folder", folder))?;
    }
    let path = paths.root.join("lock");
    let lock = disk.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => SpoolError::Locked(paths.root.clone()),
        _ => SpoolError::disk("locking", &path)(error),
    })?;
    let parent = paths.root.parent().filter(|parent| !parent.as_os_str().is_empty());
    for folder in [Some(paths.root.as_path()), parent].into_iter().flatten() {
        disk.sync_folder(folder).map_err(SpoolError::disk("syncing", folder))?;
    }
    Ok(lock)
}

/// Reads the record of every entry, removes drafts, and sets damaged ones aside.
fn read_entries(disk: &dyn Disk, paths: &Paths, recovery: &mut Recovery) -> Result<Index, SpoolError> {
    let names = file_names(disk, paths)?;
    recovery.foreign = names.foreign;
    for id in names.drafts {
        remove_if_there(disk, &paths.draft(id))?;
        recovery.drafts_removed += 1;
    }
    for id in names.spares {
        remove_if_there(disk, &paths.spare(id))?;
    }
    let mut records = Vec::with_capacity(names.entries.len());
    for id in names.entries {
        let checked = match Checked::open(disk, paths.entry(id)) {
            Ok(checked) if checked.record.id == id => checked,
            Ok(checked) => {
                let reason = format!("it is the file of entry {}", checked.record.id);
                set_aside(disk, paths, Damaged { id, reason, key: None }, recovery)?;
                continue;
            }
            Err(Unreadable::Damaged(reason)) => {
                set_aside(disk, paths, Damaged { id, reason, key: None }, recovery)?;
                continue;
            }
            Err(Unreadable::Error(error)) => return Err(error),
        };
        let bytes = checked.file_bytes()?;
        // Meta and sums are on the disk; a long queue of them would not fit into memory.
        let mut record = checked.record;
        record.meta.bytes = Vec::new();
        record.sums = Vec::new();
        records.push((record, bytes));
    }
    records.sort_by_key(|(record, _)| record.sequence);
    let mut index = Index::default();
    for (record, bytes) in &records {
        index.insert(record, *bytes);
    }
    Ok(index)
}

fn set_aside(
    disk: &dyn Disk,
    paths: &Paths,
    damaged: Damaged,
    recovery: &mut Recovery,
) -> Result<(), SpoolError> {
    tracing::error!(entry = %damaged.id, reason = damaged.reason, "an entry of the spool is damaged");
    damage::keep(disk, paths, damaged.id, &damaged.reason)?;
    recovery.damaged.push(damaged);
    Ok(())
}

/// Applies what the journal says, and notes in what state it is.
fn apply_journal(
    disk: &dyn Disk,
    paths: &Paths,
    index: &mut Index,
    recovery: &mut Recovery,
) -> Result<Parsed, SpoolError> {
    let path = journal::path(&paths.root);
    let Some(bytes) = read_journal(disk, &path)? else {
        let is_new = index.totals().0 == 0;
        recovery.journal = if is_new { JournalFound::New } else { JournalFound::Missing };
        return Ok(Parsed::default());
    };
    let parsed = changes::parse(&bytes).map_err(|found| SpoolError::Version {
        path,
        found,
        known: changes::VERSION,
    })?;
    recovery.journal = match (parsed.gaps, parsed.torn) {
        (0, false) => JournalFound::Whole,
        (0, true) => JournalFound::CutOff,
        (gaps, _) => {
            tracing::error!(gaps, "the journal of the spool is damaged; some deliveries are repeated");
            damage::keep_journal(disk, paths, &bytes)?;
            JournalFound::Damaged(gaps)
        }
    };
    parsed.changes.iter().for_each(|change| index.apply(change));
    Ok(parsed)
}

/// Removes what is delivered everywhere.
fn purge(
    disk: &dyn Disk,
    paths: &Paths,
    index: &mut Index,
    recovery: &mut Recovery,
) -> Result<(), SpoolError> {
    let complete: Vec<EntryId> =
        index.after(0).filter(|entry| entry.is_complete()).map(|entry| entry.id).collect();
    for id in complete {
        remove_if_there(disk, &paths.entry(id))?;
        index.remove(id);
        recovery.purged += 1;
    }
    Ok(())
}

/// Verifies contents, the newest first, as a crash hits these; gives back those that time did not allow.
fn verify(
    disk: &dyn Disk,
    config: &Config,
    index: &mut Index,
    recovery: &mut Recovery,
) -> Result<Vec<EntryId>, SpoolError> {
    let paths = Paths::new(&config.folder);
    let (start, limit) = (Instant::now(), Duration::from_secs(config.verify_seconds_max));
    let mut left: Vec<EntryId> = index.newest_first().map(|entry| entry.id).collect();
    left.reverse();
    while let Some(id) = left.pop() {
        if start.elapsed() >= limit {
            left.push(id);
            break;
        }
        match verify_content(disk, &paths, id) {
            Ok(_) => recovery.verified += 1,
            Err(Unreadable::Damaged(reason)) => {
                let key = index.remove(id).map(|entry| entry.key.to_vec());
                set_aside(disk, &paths, Damaged { id, reason, key }, recovery)?;
            }
            Err(Unreadable::Error(error)) => return Err(error),
        }
    }
    Ok(left)
}

/// Reads the whole content of an entry; its bytes.
pub(crate) fn verify_content(disk: &dyn Disk, paths: &Paths, id: EntryId) -> Result<u64, Unreadable> {
    let checked = Checked::open(disk, paths.entry(id))?;
    let mut block = Vec::new();
    (0..checked.blocks()).try_for_each(|number| checked.read_block(number, &mut block))?;
    Ok(checked.record.content_bytes)
}

/// Writes the journal anew; on a full disk the old one goes on, because deliveries are what makes room.
fn start_journal(
    disk: &Arc<dyn Disk>,
    paths: &Paths,
    index: &Index,
    end: usize,
) -> Result<Journal, SpoolError> {
    match Journal::start(Arc::clone(disk), &paths.root, &index.changes()) {
        Err(error) if error.is_full() && end > 0 => Journal::adopt(Arc::clone(disk), &paths.root, end as u64),
        other => other,
    }
}
