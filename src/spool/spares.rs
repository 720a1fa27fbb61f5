//! Files of entries that have gone, kept for those that come: to write over one costs the file system far less than to
//! make a new one, sync it, and free the old one.
//!
//! A spare is written to only when its name as a spare is durable. Before, a crash could bring back the name that it had as
//! an entry, over bytes of another one.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::spool::disk::{Disk, DiskFile};
use crate::spool::rounds::{Rounds, Ticket, locked};

/// Most files that are kept.
const SPARES_MAX: usize = 64;
/// Most bytes of one that is kept.
const SPARE_BYTES_MAX: u64 = 4 << 20;

/// The files, the oldest first.
#[derive(Default)]
pub(crate) struct Spares {
    files: Mutex<VecDeque<Spare>>,
}

struct Spare {
    path: PathBuf,
    /// Asked for when it got this name.
    named: Ticket,
}

/// A file that was taken for a new draft.
pub(crate) struct Reused {
    pub(crate) file: Box<dyn DiskFile>,
    /// How long it still is.
    pub(crate) bytes: u64,
}

impl Spares {
    /// Most bytes of all of them.
    pub(crate) const BYTES_MAX: u64 = SPARES_MAX as u64 * SPARE_BYTES_MAX;

    /// Whether one of so many bytes is worth keeping.
    pub(crate) fn wants(&self, bytes: u64) -> bool {
        bytes <= SPARE_BYTES_MAX && locked(&self.files).len() < SPARES_MAX
    }

    /// Keeps a file that has got this name; `named` was asked for since.
    pub(crate) fn keep(&self, path: PathBuf, named: Ticket) {
        locked(&self.files).push_back(Spare { path, named });
    }

    /// One under a new name; none where there is none whose own name is durable.
    pub(crate) fn take(&self, disk: &dyn Disk, names: &Rounds, path: &std::path::Path) -> Option<Reused> {
        let spare = {
            let mut files = locked(&self.files);
            let is_ready = files.front().is_some_and(|oldest| names.is_done(oldest.named));
            is_ready.then(|| files.pop_front()).flatten()?
        };
        let opened = disk.open_to_write(&spare.path).and_then(|file| Ok((file.size()?, file)));
        let taken = opened.and_then(|(bytes, file)| {
            disk.rename(&spare.path, path)?;
            Ok(Reused { file, bytes })
        });
        taken
            .inspect_err(|error| {
                tracing::warn!(%error, file = %spare.path.display(), "a spare file cannot be used");
                let _ = disk.remove(&spare.path);
            })
            .ok()
    }

    /// Gives all of them back to the file system.
    pub(crate) fn clear(&self, disk: &dyn Disk) {
        for spare in std::mem::take(&mut *locked(&self.files)) {
            let _ = disk.remove(&spare.path);
        }
    }
}
