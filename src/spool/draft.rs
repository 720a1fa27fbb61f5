//! An entry being written: bytes in their order, fields patched later, then the commit that makes it durable.

use std::path::PathBuf;
use std::sync::Arc;

use crate::spool::disk::DiskFile;
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::record::{BLOCK_BYTES, CONTENT_BYTES_MAX, Meta, Record};
use crate::spool::shared::Shared;
use crate::spool::space::Reservation;

/// Proof that an entry is durable: only a commit makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "without looking at the receipt nothing may be acknowledged"]
pub struct Receipt {
    id: EntryId,
    content_bytes: u64,
}

impl Receipt {
    /// The name of the entry.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// Bytes of its content.
    #[must_use]
    pub const fn content_bytes(&self) -> u64 {
        self.content_bytes
    }
}

/// An entry being written. Dropped without a commit, it leaves nothing behind.
///
/// Every call may block on the disk. It holds two blocks of 64 KiB in memory, and four bytes for each one written.
pub struct Draft {
    shared: Arc<Shared>,
    id: EntryId,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// How long the file was, where it is one that was used before.
    old_bytes: u64,
    /// None once it is committed.
    reservation: Option<Reservation>,
    /// The block at the end, not yet written.
    buffer: Vec<u8>,
    /// Sums of the blocks that are full; that of the first one once it is written.
    sums: Vec<u32>,
    /// The first block, once it is full: it is written last, for a header is patched when everything else has come.
    first: Vec<u8>,
    broken: bool,
    /// Whether the file has or may have the name of an entry.
    renamed: bool,
}

impl Draft {
    pub(crate) fn begin(shared: Arc<Shared>, expected_bytes: u64) -> Result<Self, SpoolError> {
        shared.check_running()?;
        let free = shared.free_bytes()?;
        let reservation = shared.space.reserve(expected_bytes, free)?;
        let id = EntryId::random()?;
        let path = shared.paths.draft(id);
        let (file, old_bytes) = match shared.reuse(&path, free) {
            Some(reused) => (reused.file, reused.bytes),
            None => (shared.disk.create(&path).map_err(SpoolError::disk("making", &path))?, 0),
        };
        Ok(Self {
            shared,
            id,
            path,
            file,
            old_bytes,
            reservation: Some(reservation),
            buffer: Vec::with_capacity(BLOCK_BYTES),
            sums: Vec::new(),
            first: Vec::new(),
            broken: false,
            renamed: false,
        })
    }

    /// The name that the entry will have.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// Bytes written.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.written() + self.buffer.len() as u64
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of whole blocks.
    fn written(&self) -> u64 {
        self.sums.len() as u64 * BLOCK_BYTES as u64
    }

    /// Appends bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SpoolError> {
        self.check()?;
        let total = self.len().saturating_add(bytes.len() as u64);
        if total > CONTENT_BYTES_MAX {
            return Err(SpoolError::TooLong { what: "an entry", bytes: total, limit: CONTENT_BYTES_MAX });
        }
        self.cover(total)?;
        while !bytes.is_empty() {
            let whole = bytes.len() - bytes.len() % BLOCK_BYTES;
            if self.buffer.is_empty() && whole > 0 {
                let (blocks, rest) = bytes.split_at(whole);
                self.write_blocks(blocks)?;
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(head);
            bytes = rest;
            if self.buffer.len() == BLOCK_BYTES {
                let full = std::mem::take(&mut self.buffer);
                self.write_blocks(&full)?;
                self.buffer = full;
                self.buffer.clear();
            }
        }
        Ok(())
    }

    /// Replaces bytes that were written before.
    pub fn patch(&mut self, mut at: u64, mut bytes: &[u8]) -> Result<(), SpoolError> {
        self.check()?;
        let written = self.len();
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > written) {
            return Err(SpoolError::PatchOutside { at, bytes: bytes.len() as u64, written });
        }
        while !bytes.is_empty() {
            let number = at / BLOCK_BYTES as u64;
            let inside = usize::try_from(at % BLOCK_BYTES as u64).unwrap_or_default();
            let (head, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - inside));
            let patched = self.patch_block(number, inside, head);
            self.note(patched)?;
            at += head.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Patches inside one block, in the file or in memory.
    fn patch_block(&mut self, number: u64, inside: usize, bytes: &[u8]) -> Result<(), SpoolError> {
        let range = inside..inside + bytes.len();
        let Some(sum) = usize::try_from(number).ok().and_then(|number| self.sums.get_mut(number)) else {
            if let Some(old) = self.buffer.get_mut(range) {
                old.copy_from_slice(bytes);
            }
            return Ok(());
        };
        if number == 0 {
            if let Some(old) = self.first.get_mut(range) {
                old.copy_from_slice(bytes);
            }
            return Ok(());
        }
        let start = number * BLOCK_BYTES as u64;
        let mut block = vec![0; BLOCK_BYTES];
        self.file.read_exact_at(&mut block, start).map_err(SpoolError::disk("reading", &self.path))?;
        if crc32fast::hash(&block) != *sum {
            // A new sum over wrong bytes would make them look right for ever.
            let reason = format!("block {number} reads back otherwise than it was written");
            return Err(SpoolError::Damaged { id: self.id, reason });
        }
        if let Some(old) = block.get_mut(range) {
            old.copy_from_slice(bytes);
        }
        let at = start + inside as u64;
        self.file.write_all_at(bytes, at).map_err(SpoolError::disk("writing", &self.path))?;
        *sum = crc32fast::hash(&block);
        Ok(())
    }

    /// Makes the entry durable. Only then does it count, and only the receipt may be acknowledged.
    ///
    /// Blocks until content, record and name are on the disk; commits at the same time share the last step.
    pub fn commit(self, meta: Meta, now_unix_millis: u64) -> Result<Receipt, SpoolError> {
        self.commit_after(meta, now_unix_millis, || Ok(()))
    }

    /// The same for an entry that needs something beside it: `other` waits for that while the bytes go to the disk, and the
    /// entry gets its name only when it returned without an error.
    pub fn commit_after<E: From<SpoolError>>(
        mut self,
        meta: Meta,
        now_unix_millis: u64,
        other: impl FnOnce() -> Result<(), E>,
    ) -> Result<Receipt, E> {
        let (record, file_bytes) = self.write_record(meta, now_unix_millis)?;
        self.sync_content()?;
        other()?;
        self.name_it()?;
        if let Some(reservation) = self.reservation.take() {
            self.shared.publish(&record, file_bytes, reservation);
        }
        Ok(Receipt { id: self.id, content_bytes: record.content_bytes })
    }

    /// Writes what is left, and the record behind it; gives the size of the whole file too.
    fn write_record(&mut self, meta: Meta, now_unix_millis: u64) -> Result<(Record, u64), SpoolError> {
        meta.check()?;
        self.check()?;
        let content_bytes = self.len();
        if let (Some(sum), false) = (self.sums.first_mut(), self.first.is_empty()) {
            *sum = crc32fast::hash(&self.first);
            self.file.write_all_at(&self.first, 0).map_err(SpoolError::disk("writing", &self.path))?;
        }
        if !self.buffer.is_empty() {
            self.sums.push(crc32fast::hash(&self.buffer));
        }
        let record = Record {
            id: self.id,
            sequence: self.shared.next_sequence(),
            committed_unix_millis: now_unix_millis,
            content_bytes,
            sums: std::mem::take(&mut self.sums),
            meta,
        };
        let encoded = record.encode();
        let file_bytes = content_bytes + encoded.len() as u64;
        self.cover(file_bytes)?;
        let tail_at = content_bytes - self.buffer.len() as u64;
        self.buffer.extend_from_slice(&encoded);
        let written = self.file.write_all_at(&self.buffer, tail_at);
        written.map_err(SpoolError::disk("writing", &self.path))?;
        if self.old_bytes > file_bytes {
            self.file.cut(file_bytes).map_err(SpoolError::disk("cutting", &self.path))?;
        }
        Ok((record, file_bytes))
    }

    fn sync_content(&mut self) -> Result<(), SpoolError> {
        let shared = Arc::clone(&self.shared);
        self.file.sync().map_err(|error| shared.fail(&SpoolError::disk("syncing", &self.path)(error)))
    }

    /// Bytes first, then the name: a file with the name of an entry was whole once.
    fn name_it(&mut self) -> Result<(), SpoolError> {
        let shared = Arc::clone(&self.shared);
        // Another's fsync may have failed meanwhile; then no name may appear that was not announced as durable.
        shared.check_running()?;
        self.renamed = true;
        let entry = shared.paths.entry(self.id);
        let renamed = shared.disk.rename(&self.path, &entry);
        renamed.map_err(|error| shared.fail(&SpoolError::disk("renaming", &self.path)(error)))?;
        shared.sync_names()
    }

    fn check(&self) -> Result<(), SpoolError> {
        self.shared.check_running()?;
        if self.broken { Err(SpoolError::DraftFailed) } else { Ok(()) }
    }

    fn cover(&mut self, total: u64) -> Result<(), SpoolError> {
        let shared = &self.shared;
        let reservation = self.reservation.as_mut().ok_or(SpoolError::DraftFailed)?;
        let covered = reservation.cover(total, || shared.free_bytes());
        self.note(covered)
    }

    /// Writes whole blocks behind those that are written.
    fn write_blocks(&mut self, mut blocks: &[u8]) -> Result<(), SpoolError> {
        if let (true, Some((first, rest))) = (self.sums.is_empty(), blocks.split_at_checked(BLOCK_BYTES)) {
            self.first.extend_from_slice(first);
            self.sums.push(0);
            blocks = rest;
        }
        let at = self.written();
        let written = self.file.write_all_at(blocks, at).map_err(SpoolError::disk("writing", &self.path));
        self.note(written)?;
        self.sums.extend(blocks.chunks(BLOCK_BYTES).map(crc32fast::hash));
        if let Some(reservation) = &mut self.reservation {
            reservation.wrote(blocks.len() as u64);
        }
        Ok(())
    }

    /// After a failure the bytes of the draft have a hole: it takes nothing more.
    fn note<T>(&mut self, result: Result<T, SpoolError>) -> Result<T, SpoolError> {
        self.broken |= result.is_err();
        result
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a stop the disk is left as it is; the next start removes drafts.
        if !self.renamed && self.shared.failed().is_none() {
            let _ = self.shared.disk.remove(&self.path);
        }
    }
}
