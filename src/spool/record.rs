//! The file of an entry, byte by byte: content first, then the record that describes it, then a fixed end.
//!
//! Numbers are big-endian. An entry is one file, so one fsync makes content and record durable together, and no
//! damage to one file touches another entry. While it is written it is called `ID.draft`; once its bytes are fsynced
//! it is renamed to `ID.entry` and the folder is fsynced. So a draft is never an entry, whatever it holds, and an entry
//! that does not verify was whole once: it is damage, and is kept.
//!
//! | field | bytes | |
//! |---|---|---|
//! | content | n | what the caller wrote |
//! | magic | 8 | `SGSPOOLR` |
//! | version | 2 | 1 |
//! | id | 16 | the same as in the file's name |
//! | sequence | 8 | the order of commits |
//! | committed | 8 | milliseconds since 1970 |
//! | content bytes | 8 | n |
//! | sums | 4 + 4 each | CRC-32 of every 64 KiB of content, the last one shorter; each over id, number of the block (8), bytes |
//! | holds | 4 | the caller's flags that keep the entry from being purged |
//! | digest | 1 + up to 64 | the caller's |
//! | key | 2 + up to 1024 | what the entry is found by |
//! | group | 2 + up to 1024 | what keeps its order |
//! | destinations | 2 + (1 + up to 255) each | UTF-8, up to 64 of them |
//! | meta | 4 + up to 65536 | the caller's |
//! | record bytes | 4 | from `SGSPOOLR` up to here |
//! | record sum | 4 | CRC-32 of these |
//! | content bytes | 8 | n again |
//! | magic | 8 | `SGSPOOLE` |
//!
//! CRC-32 finds what disks do: torn, lost and misplaced blocks, flipped bits. Against forgery stands the seal of the
//! content itself, which is not this room's.

use std::path::Path;

use crc32fast::Hasher;

use crate::spool::disk::DiskFile;
use crate::spool::error::SpoolError;
use crate::spool::fields::{Append, Reader};
use crate::spool::id::EntryId;

/// Bytes of content under one sum.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// The largest content; its sums are then 4 MiB.
pub(crate) const CONTENT_BYTES_MAX: u64 = 64 << 30;
/// The largest record that is read: the sums of the largest content, and every field at its limit.
const RECORD_BYTES_MAX: u32 = 8 << 20;
const RECORD_MAGIC: &[u8; 8] = b"SGSPOOLR";
const END_MAGIC: &[u8; 8] = b"SGSPOOLE";
const END_BYTES: usize = 24;
const VERSION: u16 = 1;
/// Read at once from the end of a file: most records fit.
const TAIL_BYTES: u64 = 4096;

/// What a caller says about an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Opaque bytes of the caller, up to [`Meta::BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// The names of the destinations it goes to.
    pub destinations: Vec<String>,
    /// What it is found by, see [`Spool::find`](crate::spool::Spool::find).
    pub key: Vec<u8>,
    /// What keeps its order, see [`Order::PerGroup`](crate::spool::Order::PerGroup); empty for none.
    pub group: Vec<u8>,
    /// A digest of whatever the caller compares by; it is kept, and not looked into.
    pub digest: Vec<u8>,
    /// Flags of the caller; while one is set the entry stays, even when it is delivered everywhere.
    pub holds: u32,
}

impl Meta {
    /// Most opaque bytes.
    pub const BYTES_MAX: usize = 65_536;
    /// Most bytes of a digest.
    pub const DIGEST_BYTES_MAX: usize = 64;
    /// Most bytes of a key and of a group.
    pub const KEY_BYTES_MAX: usize = 1024;
    /// Most bytes of the name of a destination.
    pub const DESTINATION_BYTES_MAX: usize = 255;
    /// Most destinations.
    pub const DESTINATIONS_MAX: usize = 64;

    /// Refuses what does not fit its field.
    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        let rows = [
            ("the meta of an entry", self.bytes.len(), Self::BYTES_MAX),
            ("the digest of an entry", self.digest.len(), Self::DIGEST_BYTES_MAX),
            ("the key of an entry", self.key.len(), Self::KEY_BYTES_MAX),
            ("the group of an entry", self.group.len(), Self::KEY_BYTES_MAX),
            ("the list of destinations", self.destinations.len(), Self::DESTINATIONS_MAX),
        ];
        if let Some((what, bytes, limit)) = rows.into_iter().find(|(_, bytes, limit)| bytes > limit) {
            return Err(SpoolError::TooLong { what, bytes: bytes as u64, limit: limit as u64 });
        }
        for (number, name) in self.destinations.iter().enumerate() {
            check_destination(name)?;
            if self.destinations.iter().take(number).any(|other| other == name) {
                return Err(SpoolError::BadDestination(name.clone()));
            }
        }
        if self.destinations.is_empty() && self.holds == 0 {
            return Err(SpoolError::NoDestination);
        }
        Ok(())
    }
}

/// Refuses a name that no field holds.
pub(crate) fn check_destination(name: &str) -> Result<(), SpoolError> {
    let (bytes, limit) = (name.len() as u64, Meta::DESTINATION_BYTES_MAX as u64);
    match bytes {
        0 => Err(SpoolError::BadDestination(String::new())),
        _ if bytes > limit => Err(SpoolError::TooLong { what: "the name of a destination", bytes, limit }),
        _ => Ok(()),
    }
}

/// The sum of one block of content.
pub(crate) fn block_sum(id: EntryId, number: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// What stands behind the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: EntryId,
    pub(crate) sequence: u64,
    pub(crate) committed_unix_millis: u64,
    pub(crate) content_bytes: u64,
    pub(crate) sums: Vec<u32>,
    pub(crate) meta: Meta,
}

/// Why a file gives no record.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The bytes are not what was written, or the disk does not give them.
    Damaged(String),
    /// Everything else, such as too many open files: no word about the entry.
    Error(SpoolError),
}

impl Record {
    /// Record and end, as they follow the content.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.sums.len() * 4 + self.meta.bytes.len());
        out.extend_from_slice(RECORD_MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.committed_unix_millis.to_be_bytes());
        out.extend_from_slice(&self.content_bytes.to_be_bytes());
        let count = u32::try_from(self.sums.len()).expect("the content has a limit");
        out.extend_from_slice(&count.to_be_bytes());
        self.sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_be_bytes()));
        out.extend_from_slice(&self.meta.holds.to_be_bytes());
        out.short(&self.meta.digest);
        out.medium(&self.meta.key);
        out.medium(&self.meta.group);
        let count = u16::try_from(self.meta.destinations.len()).expect("there are 64 at most");
        out.extend_from_slice(&count.to_be_bytes());
        self.meta.destinations.iter().for_each(|name| out.short(name.as_bytes()));
        out.long(&self.meta.bytes);
        let length = u32::try_from(out.len()).expect("every field has a limit");
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&sum.to_be_bytes());
        out.extend_from_slice(&self.content_bytes.to_be_bytes());
        out.extend_from_slice(END_MAGIC);
        out
    }

    /// Reads and checks the record of an open file; the content is not looked at.
    pub(crate) fn read(file: &dyn DiskFile, path: &Path) -> Result<Self, Unreadable> {
        let size = file.size().map_err(|error| cannot_read(error, path))?;
        let tail_bytes = size.min(TAIL_BYTES);
        let tail = read_at(file, path, size - tail_bytes, tail_bytes)?;
        let Some((head, end)) = tail.split_last_chunk::<END_BYTES>() else {
            return damaged(format!("it has {size} bytes, fewer than its end alone"));
        };
        let (length, sum, content_bytes) = parse_end(end)?;
        let whole =
            u64::from(length).checked_add(content_bytes).and_then(|n| n.checked_add(END_BYTES as u64));
        if whole != Some(size) || length > RECORD_BYTES_MAX {
            return damaged(format!(
                "it has {size} bytes, its end says {content_bytes} and a record of {length}"
            ));
        }
        let record = match usize::try_from(length).ok().and_then(|length| head.len().checked_sub(length)) {
            Some(start) => head.get(start..).unwrap_or_default().to_vec(),
            None => read_at(file, path, content_bytes, length.into())?,
        };
        if crc32fast::hash(&record) != sum {
            return damaged("the sum of its record does not fit".into());
        }
        let record = Self::decode(&record, path)?;
        if record.content_bytes != content_bytes {
            return damaged("record and end disagree about the length of the content".into());
        }
        Ok(record)
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self, Unreadable> {
        let mut reader = Reader(bytes);
        if reader.take(RECORD_MAGIC.len()) != Some(RECORD_MAGIC) {
            return damaged("its record begins with something else".into());
        }
        match reader.u16() {
            Some(VERSION) => {}
            Some(found) => {
                let path = path.to_owned();
                return Err(Unreadable::Error(SpoolError::Version { path, found, known: VERSION }));
            }
            None => return damaged("its record has no version".into()),
        }
        let record = Self::decode_fields(&mut reader);
        match record {
            Some(record) if reader.0.is_empty() => Ok(record),
            _ => damaged("the fields of its record do not fit its length".into()),
        }
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Option<Self> {
        let id = EntryId::from_bytes(reader.array()?);
        let sequence = reader.u64()?;
        let committed_unix_millis = reader.u64()?;
        let content_bytes = reader.u64()?;
        let count = usize::try_from(reader.u32()?).ok()?;
        if count as u64 != content_bytes.div_ceil(BLOCK_BYTES as u64) {
            return None;
        }
        let sums = reader.take(count.checked_mul(4)?)?;
        let sums = sums.as_chunks::<4>().0.iter().map(|sum| u32::from_be_bytes(*sum)).collect();
        let holds = reader.u32()?;
        let digest = reader.short()?.to_vec();
        let key = reader.medium()?.to_vec();
        let group = reader.medium()?.to_vec();
        let count = reader.u16()?;
        let name = |reader: &mut Reader<'_>| String::from_utf8(reader.short()?.to_vec()).ok();
        let destinations = (0..count).map(|_| name(reader)).collect::<Option<_>>()?;
        let bytes = reader.long()?.to_vec();
        let meta = Meta { bytes, destinations, key, group, digest, holds };
        Some(Self { id, sequence, committed_unix_millis, content_bytes, sums, meta })
    }
}

fn damaged<T>(reason: String) -> Result<T, Unreadable> {
    Err(Unreadable::Damaged(reason))
}

/// Record bytes, record sum, content bytes.
fn parse_end(end: &[u8; END_BYTES]) -> Result<(u32, u32, u64), Unreadable> {
    let mut reader = Reader(end);
    match (reader.u32(), reader.u32(), reader.u64(), reader.0 == END_MAGIC) {
        (Some(length), Some(sum), Some(content), true) => Ok((length, sum, content)),
        _ => damaged("it does not end as an entry does".into()),
    }
}

fn read_at(file: &dyn DiskFile, path: &Path, at: u64, count: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = vec![0; usize::try_from(count).unwrap_or_default()];
    file.read_exact_at(&mut bytes, at).map_err(|error| cannot_read(error, path))?;
    Ok(bytes)
}

/// EIO and a sudden end are the disk's word about these very bytes; other errors say nothing about them.
pub(crate) fn cannot_read(error: std::io::Error, path: &Path) -> Unreadable {
    let about_the_bytes = error.kind() == std::io::ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    if about_the_bytes {
        return Unreadable::Damaged(format!("it cannot be read: {error}"));
    }
    Unreadable::Error(SpoolError::Disk { doing: "reading", path: path.to_owned(), source: error })
}
