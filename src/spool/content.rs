//! Reading an entry: every block is checked before a byte of it is handed on.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use crate::spool::disk::{Disk, DiskFile};
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::record::{BLOCK_BYTES, Meta, Record, Unreadable, block_sum, cannot_read};
use crate::spool::rounds::locked;
use crate::spool::shared::Shared;

/// The file of an entry, opened, its record read.
pub(crate) struct Checked {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    pub(crate) record: Record,
}

impl Checked {
    /// Opens and reads the record.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf) -> Result<Self, Unreadable> {
        let file = disk.open(&path).map_err(|error| cannot_read(error, &path))?;
        let record = Record::read(&*file, &path)?;
        Ok(Self { file, path, record })
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.record.sums.len() as u64
    }

    /// Reads one block and checks it.
    pub(crate) fn read_block(&self, number: u64, block: &mut Vec<u8>) -> Result<(), Unreadable> {
        let at = number * BLOCK_BYTES as u64;
        let count = self.record.content_bytes.saturating_sub(at).min(BLOCK_BYTES as u64);
        block.resize(usize::try_from(count).unwrap_or_default(), 0);
        self.file.read_exact_at(block, at).map_err(|error| cannot_read(error, &self.path))?;
        let wanted = usize::try_from(number).ok().and_then(|number| self.record.sums.get(number));
        if wanted == Some(&block_sum(self.record.id, number, block)) {
            return Ok(());
        }
        Err(Unreadable::Damaged(format!("the bytes from {at} to {} do not fit their sum", at + count)))
    }

    /// The whole size of the file.
    pub(crate) fn file_bytes(&self) -> Result<u64, SpoolError> {
        self.file.size().map_err(SpoolError::disk("looking at", &self.path))
    }
}

/// The content of an entry, to be read from its start.
///
/// A block that does not fit its sum ends the reading with an error, and the entry is set aside as damaged.
pub struct Content {
    shared: Arc<Shared>,
    checked: Checked,
    block: Vec<u8>,
    /// How much of `block` is handed on.
    given: usize,
    next: u64,
}

impl Content {
    pub(crate) fn open(shared: Arc<Shared>, id: EntryId) -> Result<Self, SpoolError> {
        let path = shared.paths.entry(id);
        let checked = match Checked::open(&*shared.disk, path) {
            Ok(checked) if checked.record.id == id => checked,
            Ok(_) => return Err(shared.set_damaged(id, "it is the file of another entry")),
            Err(Unreadable::Damaged(reason)) => return Err(shared.set_damaged(id, &reason)),
            Err(Unreadable::Error(SpoolError::Disk { source, .. }))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                // Purged between being found and being opened; or somebody else removed it, which is a loss.
                let is_gone = locked(&shared.index).get(id).is_err();
                return Err(if is_gone {
                    SpoolError::Unknown(id)
                } else {
                    shared.set_damaged(id, "its file is gone")
                });
            }
            Err(Unreadable::Error(error)) => return Err(error),
        };
        Ok(Self { shared, checked, block: Vec::with_capacity(BLOCK_BYTES), given: 0, next: 0 })
    }

    /// What the caller said about the entry at its commit.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.checked.record.meta
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.checked.record.content_bytes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that come next, checked; none at the end. Up to 64 KiB, without a copy.
    pub fn next_block(&mut self) -> Result<&[u8], SpoolError> {
        if self.given == self.block.len() {
            self.given = 0;
            self.block.clear();
            if self.next < self.checked.blocks() {
                self.read_next()?;
            }
        }
        let given = std::mem::replace(&mut self.given, self.block.len());
        Ok(self.block.get(given..).unwrap_or_default())
    }

    fn read_next(&mut self) -> Result<(), SpoolError> {
        let read = self.checked.read_block(self.next, &mut self.block);
        if read.is_err() {
            // Nothing of it is handed on, now or by the next call.
            self.block.clear();
        } else {
            self.next += 1;
        }
        read.map_err(|problem| match problem {
            Unreadable::Damaged(reason) => self.shared.set_damaged(self.checked.record.id, &reason),
            Unreadable::Error(error) => error,
        })
    }
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.given == self.block.len() {
            self.next_block().map_err(io::Error::other)?;
            self.given = 0;
        }
        let left = self.block.get(self.given..).unwrap_or_default();
        let count = left.len().min(out.len());
        if let (Some(from), Some(to)) = (left.get(..count), out.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        Ok(count)
    }
}
