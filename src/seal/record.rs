//! The plaintext of a sealed stream: the original data set in the order it arrived, as records that say what they are.
//!
//! `docs/FORMAT.md` section 6 has the layout. What is easily packed (the header) is packed, what is not (pixels) stays as
//! it is; the last record has the length and the digest of the whole, so that what comes out is what went in.

mod pack;

use self::pack::Dictionary;
use super::digest::DataDigest;
use crate::dicom::{Uid, UidError};

/// Bytes before the body of a record: its kind and the length of its body.
pub(super) const HEAD_BYTES: usize = 5;
/// Bytes that one packed record unpacks to, at most.
const PACKED_BYTES_MAX: usize = 64 * 1024;
/// A verbatim piece of at least this size becomes a record at once; smaller ones are gathered, so that a sender of
/// tiny pieces does not blow up what is stored.
const VERBATIM_BYTES_MIN: usize = 4 * 1024;
/// DEFLATE adds five bytes to each stored block and no block is that small; this is far above what it can add.
const PACKED_BODY_BYTES_MAX: usize = PACKED_BYTES_MAX + 4 + 1024;
const DIGEST_BYTES: usize = 32;
const END_BYTES: usize = 8 + DIGEST_BYTES;
const BEGIN_BYTES_MAX: usize = 5 + 64;

pub(super) const BEGIN: u8 = 1;
pub(super) const PACKED: u8 = 2;
pub(super) const VERBATIM: u8 = 3;
pub(super) const END: u8 = 4;
/// Packed with the dictionary; this is what a sealer writes, [`PACKED`] is only read.
pub(super) const PACKED_USUAL: u8 = 5;

/// Why the plaintext of a stream is not what a sealer writes. The stream was authentic, so a sealer was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A kind that this version does not know, or one in the wrong place.
    #[error("a record of kind {kind} {place}: it was sealed by a program that breaks the format")]
    Unexpected {
        /// The kind.
        kind: u8,
        /// Where.
        place: &'static str,
    },
    /// A body whose length its kind cannot have.
    #[error("a record of kind {kind} has {length} bytes, which no such record has")]
    Length {
        /// The kind.
        kind: u8,
        /// The length of its body.
        length: u32,
    },
    /// A packed record that does not unpack to what it says.
    #[error("a packed record does not unpack to the {0} bytes that it says")]
    Packed(u32),
    /// No UID where the transfer syntax stands.
    #[error("the transfer syntax of the original: {0}")]
    TransferSyntax(#[from] UidError),
    /// The end came too soon, or not at all.
    #[error(
        "the sealed data set ends without its last record: have it sent again, or get the instance from a backup"
    )]
    NoEnd,
    /// What came out is not what went in.
    #[error(
        "the opened data set is not the one that was sealed: its length or its digest differs; get the instance from a backup, or have it stored again"
    )]
    Digest,
}

/// What the first record says of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its transfer syntax.
    pub transfer_syntax: Uid,
    /// Bytes of preamble and file meta information before the data set; 0 where it was no file.
    pub front_bytes: u32,
}

/// Writes the records; what it writes goes to the stream.
pub struct RecordWriter {
    front_left: u32,
    digest: DataDigest,
    length: u64,
    /// What is gathered for the next record, less than a record's worth.
    pending: Vec<u8>,
    pending_kind: u8,
    /// Bytes still to come of the verbatim record in hand, whose length was announced.
    announced: u32,
}

impl RecordWriter {
    /// Begins with what is known of the original.
    pub fn new<E>(original: &Original, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<Self, E> {
        let uid = original.transfer_syntax.as_str().as_bytes();
        let mut body = original.front_bytes.to_be_bytes().to_vec();
        body.push(u8::try_from(uid.len()).expect("a UID has 64 characters at most"));
        body.extend_from_slice(uid);
        write(BEGIN, &body, out)?;
        let front_left = original.front_bytes;
        Ok(Self {
            front_left,
            digest: DataDigest::default(),
            length: 0,
            pending: Vec::new(),
            pending_kind: PACKED_USUAL,
            announced: 0,
        })
    }

    /// Takes bytes of the original that are worth packing.
    pub fn pack<E>(
        &mut self,
        mut bytes: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.account(bytes);
        self.gather(PACKED_USUAL, out)?;
        while let Some((now, later)) =
            bytes.split_at_checked(PACKED_BYTES_MAX.saturating_sub(self.pending.len()))
        {
            self.pending.extend_from_slice(now);
            self.flush(out)?;
            bytes = later;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Says that the next `length` bytes come through [`RecordWriter::verbatim`]: they become one record, and none of
    /// them is held.
    pub fn announce<E>(
        &mut self,
        length: u32,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.flush(out)?;
        self.announced = length;
        if length == 0 { Ok(()) } else { out(&head(VERBATIM, length)) }
    }

    /// Takes bytes of the original that stay as they are.
    pub fn verbatim<E>(
        &mut self,
        mut bytes: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.account(bytes);
        let announced = usize::try_from(self.announced).unwrap_or(usize::MAX).min(bytes.len());
        if let Some((now, later)) = bytes.split_at_checked(announced).filter(|(now, _)| !now.is_empty()) {
            self.announced = self.announced.saturating_sub(u32::try_from(announced).unwrap_or(u32::MAX));
            out(now)?;
            bytes = later;
        }
        self.gather(VERBATIM, out)?;
        if bytes.len() >= VERBATIM_BYTES_MIN {
            self.flush(out)?;
            for piece in bytes.chunks(usize::try_from(u32::MAX).unwrap_or(usize::MAX)) {
                write(VERBATIM, piece, out)?;
            }
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= VERBATIM_BYTES_MIN { self.flush(out) } else { Ok(()) }
    }

    /// Ends with the length and the digest of the data set, and gives the digest.
    pub fn finish<E>(mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<[u8; 32], E> {
        self.flush(out)?;
        let digest = self.digest.finish();
        write(END, &[&self.length.to_be_bytes()[..], &digest].concat(), out)?;
        Ok(digest)
    }

    /// Length and digest are those of the data set, without what stood before it in a file.
    fn account(&mut self, bytes: &[u8]) {
        let front = bytes.len().min(usize::try_from(self.front_left).unwrap_or(usize::MAX));
        self.front_left = self.front_left.saturating_sub(u32::try_from(front).unwrap_or(u32::MAX));
        let data = bytes.get(front..).unwrap_or_default();
        self.digest.update(data);
        self.length = self.length.saturating_add(data.len() as u64);
    }

    /// Makes sure that what is pending is of this kind.
    fn gather<E>(&mut self, kind: u8, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.pending_kind != kind {
            self.flush(out)?;
            self.pending_kind = kind;
        }
        Ok(())
    }

    fn flush<E>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.pending_kind == VERBATIM {
            let written = write(VERBATIM, &self.pending, out);
            self.pending.clear();
            return written;
        }
        let raw = u32::try_from(self.pending.len()).expect("it is flushed at 64 KiB");
        let mut body = raw.to_be_bytes().to_vec();
        pack::pack(&self.pending, &mut body);
        self.pending.clear();
        write(PACKED_USUAL, &body, out)
    }
}

fn write<E>(kind: u8, body: &[u8], out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    out(&head(kind, u32::try_from(body.len()).expect("longer bodies are cut before")))?;
    if body.is_empty() { Ok(()) } else { out(body) }
}

fn head(kind: u8, length: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    [kind, a, b, c, d]
}

/// What the reader tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Restored<'a> {
    /// What the original was; always first.
    Begin(Original),
    /// The next bytes of the original: first those of the front, then the data set.
    Bytes(&'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// In a body that is held until it is whole.
    Held {
        kind: u8,
        length: usize,
    },
    /// In a body that passes through.
    Passing {
        left: u32,
    },
    Ended,
}

/// Reads the records from authentic plaintext in pieces of any size; holds one packed record at most.
pub struct RecordReader {
    state: State,
    held: Vec<u8>,
    begun: bool,
    front_left: u32,
    digest: DataDigest,
    length: u64,
}

impl Default for RecordReader {
    fn default() -> Self {
        Self {
            state: State::Head,
            held: Vec::new(),
            begun: false,
            front_left: 0,
            digest: DataDigest::default(),
            length: 0,
        }
    }
}

impl RecordReader {
    /// Takes the next plaintext, and tells `on` what it completes.
    pub fn push<E: From<RecordError>>(
        &mut self,
        mut plain: &[u8],
        on: &mut impl FnMut(Restored<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !plain.is_empty() {
            plain = match self.state {
                State::Head => self.take_head(plain)?,
                State::Held { kind, length } => self.take_held(kind, length, plain, on)?,
                State::Passing { left } => self.pass(left, plain, on)?,
                State::Ended => {
                    let kind = plain.first().copied().unwrap_or_default();
                    return Err(RecordError::Unexpected { kind, place: "after the last one" }.into());
                }
            };
        }
        Ok(())
    }

    /// The plaintext is over. Only now is it certain that what came out is what went in.
    pub fn finish(&self) -> Result<(), RecordError> {
        if self.state == State::Ended { Ok(()) } else { Err(RecordError::NoEnd) }
    }

    /// Moves bytes into what is held until it has `want`; gives the rest when it does.
    fn hold<'a>(&mut self, want: usize, plain: &'a [u8]) -> (bool, &'a [u8]) {
        let missing = want.saturating_sub(self.held.len());
        let (now, later) = plain.split_at_checked(missing).unwrap_or((plain, &[]));
        self.held.extend_from_slice(now);
        (self.held.len() == want, later)
    }

    fn take_head<'a>(&mut self, plain: &'a [u8]) -> Result<&'a [u8], RecordError> {
        let (whole, later) = self.hold(HEAD_BYTES, plain);
        let (true, &[kind, a, b, c, d]) = (whole, &self.held[..]) else { return Ok(later) };
        self.held.clear();
        let length = u32::from_be_bytes([a, b, c, d]);
        if (kind == BEGIN) == self.begun {
            return Err(RecordError::Unexpected { kind, place: "where the first one stands, or again" });
        }
        let size = checked(kind, length)?;
        self.state = match kind {
            VERBATIM if length == 0 => State::Head,
            VERBATIM => State::Passing { left: length },
            _ => State::Held { kind, length: size },
        };
        Ok(later)
    }

    fn take_held<'a, E: From<RecordError>>(
        &mut self,
        kind: u8,
        length: usize,
        plain: &'a [u8],
        on: &mut impl FnMut(Restored<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        let (whole, later) = self.hold(length, plain);
        if !whole {
            return Ok(later);
        }
        let body = std::mem::take(&mut self.held);
        self.state = State::Head;
        match kind {
            BEGIN => {
                let original = read_begin(&body)?;
                self.begun = true;
                self.front_left = original.front_bytes;
                on(Restored::Begin(original))?;
            }
            PACKED | PACKED_USUAL => {
                let bytes = unpack(kind, &body)?;
                self.account(&bytes);
                on(Restored::Bytes(&bytes))?;
            }
            _ => self.check_end(&body)?,
        }
        Ok(later)
    }

    fn pass<'a, E: From<RecordError>>(
        &mut self,
        left: u32,
        plain: &'a [u8],
        on: &mut impl FnMut(Restored<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        let size = usize::try_from(left).unwrap_or(usize::MAX);
        let (now, later) = plain.split_at_checked(size).unwrap_or((plain, &[]));
        let left = left.saturating_sub(u32::try_from(now.len()).unwrap_or(u32::MAX));
        self.state = if left == 0 { State::Head } else { State::Passing { left } };
        self.account(now);
        on(Restored::Bytes(now))?;
        Ok(later)
    }

    fn account(&mut self, bytes: &[u8]) {
        let front = bytes.len().min(usize::try_from(self.front_left).unwrap_or(usize::MAX));
        self.front_left = self.front_left.saturating_sub(u32::try_from(front).unwrap_or(u32::MAX));
        let data = bytes.get(front..).unwrap_or_default();
        self.digest.update(data);
        self.length = self.length.saturating_add(data.len() as u64);
    }

    fn check_end(&mut self, body: &[u8]) -> Result<(), RecordError> {
        let (length, digest) = body.split_first_chunk().ok_or(RecordError::Digest)?;
        // No secret: the key that opened the stream opens the digest too.
        let same = u64::from_be_bytes(*length) == self.length && digest == self.digest.finish();
        if !same || self.front_left != 0 {
            return Err(RecordError::Digest);
        }
        self.state = State::Ended;
        Ok(())
    }
}

/// The length of a body, if one of this kind may have it.
pub(super) fn checked(kind: u8, length: u32) -> Result<usize, RecordError> {
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    let fits = match kind {
        BEGIN => (6..=BEGIN_BYTES_MAX).contains(&size),
        PACKED | PACKED_USUAL => (5..=PACKED_BODY_BYTES_MAX).contains(&size),
        VERBATIM => true,
        END => size == END_BYTES,
        _ => return Err(RecordError::Unexpected { kind, place: "of this version of the format" }),
    };
    if fits { Ok(size) } else { Err(RecordError::Length { kind, length }) }
}

pub(super) fn read_begin(body: &[u8]) -> Result<Original, RecordError> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let wrong = RecordError::Length { kind: BEGIN, length };
    let (front, rest) = body.split_first_chunk().ok_or(wrong.clone())?;
    let (uid_length, uid) = rest.split_first().ok_or(wrong.clone())?;
    if usize::from(*uid_length) != uid.len() {
        return Err(wrong);
    }
    let text = std::str::from_utf8(uid).map_err(|_| UidError::BadCharacter { byte: 0, position: 0 })?;
    Ok(Original { transfer_syntax: Uid::parse(text)?, front_bytes: u32::from_be_bytes(*front) })
}

/// The bytes that a packed record has in it.
pub(super) fn unpack(kind: u8, body: &[u8]) -> Result<Vec<u8>, RecordError> {
    let dictionary = if kind == PACKED { Dictionary::None } else { Dictionary::Usual };
    let (raw, packed) = body.split_first_chunk().ok_or(RecordError::Packed(0))?;
    let raw = u32::from_be_bytes(*raw);
    let size = usize::try_from(raw).unwrap_or(usize::MAX);
    if size == 0 || size > PACKED_BYTES_MAX {
        return Err(RecordError::Packed(raw));
    }
    pack::unpack(packed, size, dictionary).ok_or(RecordError::Packed(raw))
}

#[cfg(test)]
mod tests;
