//! Where the frames of an original lie: native ones by their length, compressed ones by the offset table or their fragments.

use std::io::{Read, Seek};

use dicom_core::Tag;
use zeroize::Zeroizing;

use super::records::Records;
use super::{Fault, FrameError};
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::carrier::LIMITS;
use crate::seal::element::{ITEM, Layout, Length, SEQUENCE_DELIMITATION, is_pixel_data, tag_of};
use crate::seal::opener::OpenError;
use crate::seal::record::{Original, RecordError};
use crate::seal::scan::{Event, Image, ImageAttributes, NativeFit, ScanError, Scanner};

/// (7FE0,0001), offsets of 64 bits (PS3.3 C.7.6.3.1.8).
const EXTENDED_OFFSETS: Tag = Tag(0x7FE0, 0x0001);
/// Bytes of an item's header.
const ITEM_BYTES: u64 = 8;
/// How much of a record that stays as it is is looked at at once, for as long as the pixels have not begun.
const PIECE_BYTES: u64 = 4096;

/// The pixels of an original.
pub(super) struct Pixels {
    pub(super) image: Image,
    /// The first byte of their value, in the original with its front.
    at: u64,
    /// None for encapsulated ones.
    length: Option<u64>,
    extended: Vec<u64>,
}

/// What the original's header says.
struct Looking {
    attributes: ImageAttributes,
    extended: Vec<u64>,
    found: Option<(u64, Length)>,
}

impl Looking {
    fn take(&mut self, event: &Event<'_>) -> Result<(), ScanError> {
        match event {
            _ if self.found.is_some() => Ok(()),
            Event::Element(element) => {
                if element.tag == EXTENDED_OFFSETS {
                    self.extended =
                        element.value.as_chunks().0.iter().map(|one| u64::from_le_bytes(*one)).collect();
                }
                self.attributes.take(element)
            }
            Event::Begin(head) if is_pixel_data(head.tag) => {
                self.found = Some((head.at.saturating_add(head.raw.len() as u64), head.length));
                Ok(())
            }
            Event::Begin(_) | Event::Bytes(_) | Event::End(_) => Ok(()),
        }
    }
}

impl Pixels {
    /// Reads the original's header up to its pixels.
    pub(super) fn find<R: Read + Seek>(records: &mut Records<R>, original: &Original) -> Result<Self, Fault> {
        let syntax = &original.transfer_syntax;
        let known = TransferSyntax::by_uid(syntax.as_str());
        let encoding = known.ok_or_else(|| OpenError::OriginalSyntax(syntax.clone()))?.encoding;
        if encoding == Encoding::Deflated {
            return Err(FrameError::Deflated("the original").into());
        }
        let mut scanner = Scanner::new(encoding, LIMITS, None);
        let attributes = ImageAttributes::new(encoding);
        let mut looking = Looking { attributes, extended: Vec::new(), found: None };
        let front = u64::from(original.front_bytes);
        let mut at = front;
        while looking.found.is_none() {
            while records.known() <= at {
                if !records.walk()? {
                    return Err(RecordError::NoEnd.into());
                }
            }
            let now = records.known().saturating_sub(at).min(PIECE_BYTES);
            let piece = records.read(at, usize::try_from(now).unwrap_or(usize::MAX))?;
            scanner.push(&piece, &mut |event| looking.take(&event))?;
            at = at.saturating_add(now);
        }
        let (behind, length) = looking.found.unwrap_or((0, Length::Undefined));
        let length = match length {
            Length::Defined(length) => Some(u64::from(length)),
            Length::Undefined => None,
        };
        let image = looking.attributes.image()?;
        Ok(Self { image, at: front.saturating_add(behind), length, extended: looking.extended })
    }

    /// The bytes of a frame.
    pub(super) fn frame<R: Read + Seek>(
        &self,
        records: &mut Records<R>,
        number: u32,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let frames = self.image.frames;
        let index = number.checked_sub(1).filter(|index| *index < frames);
        let index = u64::from(index.ok_or(FrameError::Number { asked: number, frames })?);
        match self.length {
            Some(length) => self.native(records, index, length),
            None => self.encapsulated(records, index),
        }
    }

    fn native<R: Read + Seek>(
        &self,
        records: &mut Records<R>,
        index: u64,
        length: u64,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        if matches!(self.image.fit(length), NativeFit::Shorter(_)) {
            return Err(FrameError::Pixels.into());
        }
        let bits = self.image.frame_bits().ok_or(FrameError::Pixels)?;
        let first = bits.checked_mul(index).ok_or(FrameError::Pixels)?;
        let (from, shift) = (first / 8, u32::try_from(first % 8).unwrap_or(0));
        let to = first.checked_add(bits).ok_or(FrameError::Pixels)?.div_ceil(8);
        let size = usize::try_from(to.saturating_sub(from)).map_err(|_| FrameError::Pixels)?;
        let mut bytes = records.read(self.at.saturating_add(from), size)?;
        if bits % 8 != 0 {
            align(&mut bytes, shift, bits);
        }
        Ok(bytes)
    }

    fn encapsulated<R: Read + Seek>(
        &self,
        records: &mut Records<R>,
        index: u64,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let frames = self.image.frames;
        let table_bytes =
            item(records, self.at, frames)?.ok_or(FrameError::Fragments { fragments: 0, frames })?;
        let behind = self.at.saturating_add(ITEM_BYTES);
        let first = behind.saturating_add(table_bytes);
        let mut offsets = self.extended.clone();
        if offsets.len() as u64 != u64::from(frames) && table_bytes == u64::from(frames).saturating_mul(4) {
            let table = records.read(behind, usize::try_from(table_bytes).unwrap_or(usize::MAX))?;
            offsets = table.as_chunks().0.iter().map(|one| u64::from(u32::from_le_bytes(*one))).collect();
        }
        let fragments = if frames > 1 && offsets.len() as u64 == u64::from(frames) {
            let at = |index: u64| {
                offsets.get(usize::try_from(index).ok()?).map(|offset| first.saturating_add(*offset))
            };
            let wrong = FrameError::Fragments { fragments: 0, frames };
            until(records, at(index).ok_or(wrong)?, at(index.saturating_add(1)), frames)?
        } else {
            let all = until(records, first, None, frames)?;
            one_of(all, index, frames)?
        };
        let mut out = Zeroizing::new(Vec::new());
        for (at, length) in fragments {
            let bytes = records.read(at, usize::try_from(length).unwrap_or(usize::MAX))?;
            out.reserve_exact(bytes.len());
            out.extend_from_slice(&bytes);
        }
        Ok(out)
    }
}

/// Without an offset table: all fragments of a single frame, or the one that is as many as there are frames.
fn one_of(all: Vec<(u64, u64)>, index: u64, frames: u32) -> Result<Vec<(u64, u64)>, FrameError> {
    let fragments = all.len() as u64;
    if frames == 1 && fragments > 0 {
        return Ok(all);
    }
    let one = usize::try_from(index).ok().and_then(|index| all.get(index));
    match one {
        Some(one) if fragments == u64::from(frames) => Ok(vec![*one]),
        _ => Err(FrameError::Fragments { fragments, frames }),
    }
}

/// The fragments from `at` to where the next frame begins, or to the last one: where each begins, and its length.
fn until<R: Read + Seek>(
    records: &mut Records<R>,
    mut at: u64,
    end: Option<u64>,
    frames: u32,
) -> Result<Vec<(u64, u64)>, Fault> {
    let mut fragments = Vec::new();
    while end.is_none_or(|end| at < end) {
        let Some(length) = item(records, at, frames)? else { break };
        let first = at.saturating_add(ITEM_BYTES);
        fragments.push((first, length));
        at = first.saturating_add(length);
    }
    // A table that does not lead from item to item is none.
    if fragments.is_empty() || end.is_some_and(|end| end != at) {
        return Err(FrameError::Fragments { fragments: fragments.len() as u64, frames }.into());
    }
    Ok(fragments)
}

/// The length of the item that begins here; none at the end of the pixels.
fn item<R: Read + Seek>(records: &mut Records<R>, at: u64, frames: u32) -> Result<Option<u64>, Fault> {
    let bytes = records.read(at, 8)?;
    let (Some(tag), Some(length)) = (bytes.first_chunk::<4>(), bytes.last_chunk()) else { return Ok(None) };
    match tag_of(Layout::ExplicitLittle, tag) {
        ITEM => Ok(Some(u64::from(u32::from_le_bytes(*length)))),
        SEQUENCE_DELIMITATION => Ok(None),
        _ => Err(FrameError::Fragments { fragments: 0, frames }.into()),
    }
}

/// Moves a frame that begins inside of a byte to the beginning of the first one: the first pixel is the lowest bit
/// (PS3.5 D.2). Bits behind the last one become 0.
fn align(bytes: &mut Vec<u8>, shift: u32, bits: u64) {
    let above = 8_u32.saturating_sub(shift);
    let next: Vec<u8> = bytes.iter().skip(1).copied().chain([0]).collect();
    for (byte, next) in bytes.iter_mut().zip(next) {
        *byte = (*byte >> shift) | next.checked_shl(above).unwrap_or(0);
    }
    bytes.truncate(usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX));
    let used = u32::try_from(bits % 8).unwrap_or(0);
    if let (Some(last), 1..) = (bytes.last_mut(), used) {
        *last &= (1_u8 << used).wrapping_sub(1);
    }
}
