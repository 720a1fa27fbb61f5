//! Damaged entries: moved aside with the reason beside them, never deleted.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::spool::disk::Disk;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::journal::remove_if_there;
use crate::spool::record::Record;
use crate::spool::shared::Paths;

/// Most bytes of a reason that are read back.
const REASON_BYTES_MAX: u64 = 4096;

/// A damaged entry, in the folder `damaged`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Its name.
    pub id: EntryId,
    /// What is wrong with it.
    pub reason: String,
    /// What it was found by, if its record can still be read.
    pub key: Option<Vec<u8>>,
}

/// Moves the file of an entry to the damaged ones. Safe to repeat after a crash at any point.
pub(crate) fn keep(disk: &dyn Disk, paths: &Paths, id: EntryId, reason: &str) -> Result<(), SpoolError> {
    write_note(disk, &paths.damaged.join(format!("{id}.reason")), reason.as_bytes())?;
    let (from, to) = (paths.entry(id), paths.damaged.join(format!("{id}.entry")));
    match disk.rename(&from, &to) {
        // Somebody removed the file: the note alone says so.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        other => other.map_err(SpoolError::disk("moving aside", &from))?,
    }
    for folder in [&paths.damaged, &paths.entries] {
        disk.sync_folder(folder).map_err(SpoolError::disk("syncing", folder))?;
    }
    Ok(())
}

/// Keeps the bytes of a damaged journal.
pub(crate) fn keep_journal(disk: &dyn Disk, paths: &Paths, bytes: &[u8]) -> Result<(), SpoolError> {
    let path = paths.damaged.join(format!("journal.{}", EntryId::random()?));
    write_note(disk, &path, bytes)?;
    disk.sync_folder(&paths.damaged).map_err(SpoolError::disk("syncing", &paths.damaged))
}

fn write_note(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), SpoolError> {
    remove_if_there(disk, path)?;
    let file = disk.create(path).map_err(SpoolError::disk("making", path))?;
    file.write_all_at(bytes, 0).map_err(SpoolError::disk("writing", path))?;
    file.sync().map_err(SpoolError::disk("syncing", path))
}

/// Every damaged entry, with its reason.
pub(crate) fn list(disk: &dyn Disk, paths: &Paths) -> Result<Vec<Damaged>, SpoolError> {
    let folder = &paths.damaged;
    let names = disk.list(folder).map_err(SpoolError::disk("listing", folder))?;
    let id =
        |name: &str| name.strip_suffix(".entry").or(name.strip_suffix(".reason"))?.parse::<EntryId>().ok();
    let ids: BTreeSet<EntryId> = names.iter().filter_map(|name| id(name.to_str()?)).collect();
    Ok(ids.into_iter().map(|id| describe(disk, paths, id)).collect())
}

fn describe(disk: &dyn Disk, paths: &Paths, id: EntryId) -> Damaged {
    let path = paths.damaged.join(format!("{id}.entry"));
    let record = disk.open(&path).ok().and_then(|file| Record::read(&*file, &path).ok());
    let reason = read_note(disk, &paths.damaged.join(format!("{id}.reason")));
    let reason = reason.unwrap_or_else(|| "the reason was not noted".to_owned());
    Damaged { id, reason, key: record.map(|record| record.meta.key) }
}

fn read_note(disk: &dyn Disk, path: &Path) -> Option<String> {
    let file = disk.open(path).ok()?;
    let count = file.size().ok()?.min(REASON_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(count).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
