//! The open journal: changes are appended, made durable for many callers at once, and written anew when outdated.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::spool::changes::{Change, HEADER};
use crate::spool::disk::{Disk, DiskFile};
use crate::spool::error::SpoolError;
use crate::spool::rounds::{Rounds, Ticket, locked};

/// Zero bytes kept behind the last record, for about a thousand changes on a full disk.
const AHEAD_BYTES: u64 = 128 << 10;

/// The journal of an open spool.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Records that no round has taken yet.
    pending: Mutex<Vec<u8>>,
    tail: Mutex<Tail>,
    rounds: Rounds,
}

/// Where the next record goes. Only the one who works for a round touches it.
struct Tail {
    file: Box<dyn DiskFile>,
    position: u64,
    /// How far zeros have been written.
    ahead: u64,
    /// How long the journal was when it was written anew.
    base: u64,
}

impl Tail {
    /// Writes zeros ahead, where half of them are used up.
    fn extend(&mut self) -> std::io::Result<()> {
        if self.ahead > self.position + AHEAD_BYTES / 2 {
            return Ok(());
        }
        let from = self.ahead.max(self.position);
        let zeros = vec![0; usize::try_from(self.position + AHEAD_BYTES - from).unwrap_or_default()];
        self.file.write_all_at(&zeros, from)?;
        self.ahead = from + zeros.len() as u64;
        Ok(())
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The journal's file in the folder of a spool.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// Where it is written anew.
pub(crate) fn new_path(folder: &Path) -> PathBuf {
    folder.join("journal.new")
}

impl Journal {
    /// Starts with a journal of these changes.
    pub(crate) fn start(disk: Arc<dyn Disk>, folder: &Path, changes: &[Change]) -> Result<Self, SpoolError> {
        let tail = write_new(&*disk, folder, changes)?;
        put_in_place(&*disk, folder, &tail)?;
        Ok(Self::with(disk, folder, tail))
    }

    /// Goes on behind `end` of the journal that is there.
    pub(crate) fn adopt(disk: Arc<dyn Disk>, folder: &Path, end: u64) -> Result<Self, SpoolError> {
        let path = path(folder);
        let file = disk.open_to_write(&path).map_err(SpoolError::disk("opening", &path))?;
        file.sync().map_err(SpoolError::disk("syncing", &path))?;
        let ahead = file.size().map_err(SpoolError::disk("looking at", &path))?;
        Ok(Self::with(disk, folder, Tail { file, position: end, ahead, base: end }))
    }

    fn with(disk: Arc<dyn Disk>, folder: &Path, tail: Tail) -> Self {
        let (pending, rounds) = (Mutex::new(Vec::new()), Rounds::default());
        Self { disk, folder: folder.to_owned(), pending, tail: Mutex::new(tail), rounds }
    }

    /// Appends a change, not yet durable. The order of calls is the order of records.
    pub(crate) fn append(&self, change: &Change) -> Ticket {
        change.encode(&mut locked(&self.pending));
        self.rounds.ask()
    }

    /// Waits until the change with this ticket is durable. False when that failed, now or before.
    ///
    /// `snapshot` gives every change that still counts, those that are pending included; `failed` hears of the error.
    pub(crate) fn wait(
        &self,
        ticket: Ticket,
        bytes_max: u64,
        snapshot: impl FnOnce() -> Result<Vec<Change>, SpoolError>,
        failed: impl FnOnce(&SpoolError),
    ) -> bool {
        self.rounds.wait(ticket, || {
            let done = self.write_pending().and_then(|position| {
                if position > bytes_max.max(2 * locked(&self.tail).base) {
                    self.renew(snapshot)
                } else {
                    Ok(())
                }
            });
            done.inspect_err(failed).is_ok()
        })
    }

    /// Writes and syncs what is pending.
    fn write_pending(&self) -> Result<u64, SpoolError> {
        let bytes = std::mem::take(&mut *locked(&self.pending));
        let mut tail = locked(&self.tail);
        let path = path(&self.folder);
        match tail.extend() {
            // What was written ahead before is still there to be used.
            Err(error) if is_full(&error) => {}
            other => other.map_err(SpoolError::disk("writing", &path))?,
        }
        tail.file.write_all_at(&bytes, tail.position).map_err(SpoolError::disk("writing", &path))?;
        tail.file.sync().map_err(SpoolError::disk("syncing", &path))?;
        tail.position += bytes.len() as u64;
        Ok(tail.position)
    }

    /// Writes the journal anew; a full disk leaves the old one in use.
    fn renew(&self, snapshot: impl FnOnce() -> Result<Vec<Change>, SpoolError>) -> Result<(), SpoolError> {
        // What is pending meanwhile is in the snapshot and is written behind it once more, in its order.
        let changes = snapshot()?;
        match write_new(&*self.disk, &self.folder, &changes) {
            Ok(tail) => {
                put_in_place(&*self.disk, &self.folder, &tail)?;
                *locked(&self.tail) = tail;
                Ok(())
            }
            Err(error) if error.is_full() => {
                // Not again before it has doubled.
                let mut tail = locked(&self.tail);
                tail.base = tail.position;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes a whole journal under another name; nothing of it counts yet.
fn write_new(disk: &dyn Disk, folder: &Path, changes: &[Change]) -> Result<Tail, SpoolError> {
    let new = new_path(folder);
    let mut bytes = HEADER.to_vec();
    for change in changes {
        change.encode(&mut bytes);
    }
    let position = bytes.len() as u64;
    remove_if_there(disk, &new)?;
    let file = disk.create(&new).map_err(SpoolError::disk("making", &new))?;
    let mut tail = Tail { file, position, ahead: 0, base: position };
    if let Err(error) = tail.file.write_all_at(&bytes, 0).and_then(|()| tail.extend()) {
        let _ = disk.remove(&new);
        return Err(SpoolError::disk("writing", &new)(error));
    }
    Ok(tail)
}

/// Makes a new journal durable and the one that counts.
fn put_in_place(disk: &dyn Disk, folder: &Path, tail: &Tail) -> Result<(), SpoolError> {
    let (path, new) = (path(folder), new_path(folder));
    tail.file.sync().map_err(SpoolError::disk("syncing", &new))?;
    disk.rename(&new, &path).map_err(SpoolError::disk("renaming", &new))?;
    disk.sync_folder(folder).map_err(SpoolError::disk("syncing", folder))
}

/// Removes what an earlier process left.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), SpoolError> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SpoolError::disk("removing", path)(error))
        }
        _ => Ok(()),
    }
}
