//! The original's bytes by position: the heads of the records are walked over, and only bodies that are asked for are read.

use std::io::{Read, Seek};

use zeroize::Zeroizing;

use super::plain::Plain;
use super::{Fault, FrameError};
use crate::seal::record::{
    BEGIN, END, HEAD_BYTES, Original, PACKED, PACKED_USUAL, RecordError, VERBATIM, checked, read_begin,
    unpack,
};

/// Most records that are walked over.
const RECORDS_MAX: usize = 1 << 20;

/// The original behind its records.
pub(super) struct Records<R> {
    plain: Plain<R>,
    /// Where the next head stands.
    next: u64,
    /// How many bytes of the original are in the records that were walked over.
    known: u64,
    segments: Vec<Segment>,
    ended: bool,
}

/// A record with bytes of the original in it.
#[derive(Clone, Copy)]
struct Segment {
    kind: u8,
    /// Its first byte in the original, and how many there are.
    start: u64,
    length: u64,
    /// Its body in the records, and the length of that.
    at: u64,
    body: usize,
}

impl<R: Read + Seek> Records<R> {
    /// Reads the first record.
    pub(super) fn begin(plain: Plain<R>) -> Result<(Self, Original), Fault> {
        let mut records = Self { plain, next: 0, known: 0, segments: Vec::new(), ended: false };
        let (kind, length) = records.head()?;
        if kind != BEGIN {
            return Err(
                RecordError::Unexpected { kind, place: "where the first one stands, or again" }.into()
            );
        }
        let body = records.bytes(records.next, length)?;
        records.next = records.next.saturating_add(length as u64);
        let original = read_begin(&body)?;
        Ok((records, original))
    }

    pub(super) fn chunks(&self) -> (u64, u64) {
        self.plain.chunks()
    }

    /// How many bytes of the original are known to be there.
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    /// Walks over the next record; false where there is none any more.
    pub(super) fn walk(&mut self) -> Result<bool, Fault> {
        if self.ended {
            return Ok(false);
        }
        if self.segments.len() >= RECORDS_MAX {
            return Err(FrameError::Records(RECORDS_MAX).into());
        }
        let (kind, body) = self.head()?;
        let (start, at) = (self.known, self.next);
        let length = match kind {
            END => {
                self.ended = true;
                return Ok(false);
            }
            VERBATIM => body as u64,
            PACKED | PACKED_USUAL => {
                let length = self.bytes(at, 4)?;
                u64::from(u32::from_be_bytes(*length.first_chunk().ok_or(RecordError::NoEnd)?))
            }
            kind => {
                return Err(
                    RecordError::Unexpected { kind, place: "where the first one stands, or again" }.into()
                );
            }
        };
        self.segments.push(Segment { kind, start, length, at, body });
        self.next = at.saturating_add(body as u64);
        self.known = start.saturating_add(length);
        Ok(true)
    }

    /// Reads a head; what follows it is its body.
    fn head(&mut self) -> Result<(u8, usize), Fault> {
        let head = self.bytes(self.next, HEAD_BYTES)?;
        let &[kind, a, b, c, d] = &head[..] else { return Err(RecordError::NoEnd.into()) };
        self.next = self.next.saturating_add(HEAD_BYTES as u64);
        Ok((kind, checked(kind, u32::from_be_bytes([a, b, c, d]))?))
    }

    fn bytes(&mut self, at: u64, length: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        self.plain.read(at, length, &mut out)?;
        Ok(out)
    }

    /// The `length` bytes of the original from `at` on, preamble and file meta information counted.
    pub(super) fn read(&mut self, at: u64, length: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let end = at.saturating_add(length as u64);
        while self.known < end {
            if !self.walk()? {
                return Err(RecordError::NoEnd.into());
            }
        }
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        let mut index =
            self.segments.partition_point(|segment| segment.start.saturating_add(segment.length) <= at);
        let mut now = at;
        while now < end {
            let segment = *self.segments.get(index).ok_or(RecordError::NoEnd)?;
            let skipped = now.saturating_sub(segment.start);
            let take = segment.length.saturating_sub(skipped).min(end.saturating_sub(now));
            self.take(&segment, skipped, take, &mut out)?;
            now = now.saturating_add(take);
            index = index.saturating_add(1);
        }
        Ok(out)
    }

    /// Puts bytes of one record behind what `out` has.
    fn take(&mut self, segment: &Segment, skipped: u64, length: u64, out: &mut Vec<u8>) -> Result<(), Fault> {
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if segment.kind == VERBATIM {
            return self.plain.read(segment.at.saturating_add(skipped), size, out);
        }
        let body = self.bytes(segment.at, segment.body)?;
        let bytes = Zeroizing::new(unpack(segment.kind, &body)?);
        let from = usize::try_from(skipped).unwrap_or(usize::MAX);
        let wanted = bytes.get(from..).and_then(|behind| behind.get(..size));
        out.extend_from_slice(wanted.ok_or(RecordError::NoEnd)?);
        Ok(())
    }
}
