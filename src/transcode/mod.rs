//! Compressed images made native for a viewer that takes no other form of them, and native ones compressed without losses;
//! pixels keep the values they decode to.
//!
//! The codecs are used directly, not through `dicom-pixeldata`: its readers fill up with zeros where an image is smaller
//! than its header says, and take the colours of a JPEG from its markers, not from Photometric Interpretation. Here a
//! frame that is not exactly what the header says is an error, and so is a codec that panics.

mod compress;
mod deflate;
mod encode;
mod error;
mod frame;
mod frames;
mod image;
mod jpeg;
mod jpeg_2000;
#[cfg(feature = "jpeg-ls")]
mod jpeg_ls;
mod jpeg_xl;
mod rle;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use dicom_core::{Tag, VR};

pub use self::compress::{can_compress, compress, lossless};
pub use self::deflate::deflate;
pub use self::error::TranscodeError;
use self::frame::Codec;
use self::image::Image;
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::ClearBytes;
use crate::seal::element::{Layout, Length, write_header};
use crate::seal::scan::{Element, Event, Limits, Scanner};

const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
const PLANAR: Tag = Tag(0x0028, 0x0006);
const LOSSY: Tag = Tag(0x0028, 0x2110);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// Bytes that go out in one piece.
const PIECE_BYTES: usize = 128 * 1024;

/// Whether images in this transfer syntax can be decompressed.
#[must_use]
pub fn can_decompress(syntax: TransferSyntax) -> bool {
    Codec::of(syntax).is_some()
}

/// A data set in Explicit VR Little Endian out of one with compressed pixels; at most `bytes_max` of pixels.
pub fn decompress(
    pieces: VecDeque<Bytes>,
    syntax: TransferSyntax,
    bytes_max: u64,
) -> Result<VecDeque<Bytes>, TranscodeError> {
    let codec = Codec::of(syntax).ok_or(TranscodeError::Syntax(syntax.keyword))?;
    // Codecs see bytes that were sealed by us, or that an administrator lets pass; they may be odd all the same.
    let decoded = catch_unwind(AssertUnwindSafe(|| run(pieces, codec, bytes_max)));
    decoded.unwrap_or(Err(TranscodeError::Panicked))
}

fn run(pieces: VecDeque<Bytes>, codec: Codec, bytes_max: u64) -> Result<VecDeque<Bytes>, TranscodeError> {
    let DataSet { header, value, behind, offsets } = DataSet::read(pieces, Encoding::Encapsulated)?;
    let mut image = Image::read(header.iter().map(|one| (one.tag, one.value())))?;
    let size = image.size(bytes_max)?;
    let frames = frames::split(&value, &offsets, image.frames, codec)?;
    let mut out = Out::default();
    let (mut native, before) = (VecDeque::new(), image.clone());
    for frame in frames {
        let decoded = frame::decode(codec, &frame, &before, &mut image)?;
        for part in decoded.chunks(PIECE_BYTES) {
            native.push_back(Bytes::from_owner(ClearBytes::from(part.to_vec())));
        }
    }
    if size % 2 == 1 {
        native.push_back(Bytes::from_static(&[0]));
    }
    let mut out_header = out.header(&header, &image, size)?;
    out_header.append(&mut native);
    if !behind.is_empty() {
        out_header.push_back(Bytes::from(behind));
    }
    Ok(out_header)
}

/// An element of the header, as it came.
struct Kept {
    tag: Tag,
    raw: Vec<u8>,
    /// Where its value begins.
    value_at: usize,
}

impl Kept {
    fn of(element: &Element<'_>) -> Self {
        let value_at = element.raw.len() - element.value.len();
        Self { tag: element.tag, raw: element.raw.to_vec(), value_at }
    }

    fn value(&self) -> &[u8] {
        self.raw.get(self.value_at..).unwrap_or_default()
    }
}

/// A data set taken apart at its pixels.
#[derive(Default)]
struct DataSet {
    header: Vec<Kept>,
    /// The value of Pixel Data: native, or items and their delimiter.
    value: ClearBytes,
    /// What stands behind it.
    behind: Vec<u8>,
    /// Extended Offset Table, if there is one.
    offsets: Vec<u64>,
}

impl DataSet {
    fn read(pieces: VecDeque<Bytes>, encoding: Encoding) -> Result<Self, TranscodeError> {
        let mut set = Self::default();
        // It must not grow: what it leaves behind would not be erased.
        set.value.reserve_exact(pieces.iter().map(Bytes::len).sum());
        let limits = Limits { header_bytes_max: 64 << 20, element_bytes_max: 32 << 20, ..Limits::default() };
        let mut scanner = Scanner::new(encoding, limits, None);
        let (mut in_pixels, mut had_pixels, mut large) = (false, false, None);
        for piece in pieces {
            scanner.push(&piece, &mut |event| {
                match event {
                    // PS3.5 7.2: group lengths are retired, and would be wrong.
                    Event::Element(element) if element.tag.element() == 0 => {}
                    Event::Element(element) if had_pixels => set.behind.extend_from_slice(element.raw),
                    Event::Element(element) => set.take(&element),
                    Event::Begin(head) if head.tag == PIXEL_DATA => (in_pixels, had_pixels) = (true, true),
                    Event::Begin(head) => large = Some(head.tag),
                    Event::Bytes(bytes) if in_pixels => set.value.extend_from_slice(bytes),
                    Event::Bytes(_) => {}
                    Event::End(_) => in_pixels = false,
                }
                Ok::<(), TranscodeError>(())
            })?;
        }
        scanner.finish()?;
        match large {
            Some(tag) => Err(TranscodeError::Element(tag)),
            None if !had_pixels => Err(TranscodeError::NoPixels),
            None => Ok(set),
        }
    }

    fn take(&mut self, element: &Element<'_>) {
        match element.tag {
            // PS3.3 C.7.6.3.1.8: they describe the fragments, of which there are none any more.
            Tag(0x7FE0, 0x0001) => {
                let numbers = element.value.chunks_exact(8).filter_map(|bytes| bytes.first_chunk().copied());
                self.offsets = numbers.map(u64::from_le_bytes).collect();
            }
            Tag(0x7FE0, 0x0002 | 0x0003) => {}
            _ => self.header.push(Kept::of(element)),
        }
    }
}

/// What goes out.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    /// The header of the native image, up to the first byte of its pixels.
    fn header(
        &mut self,
        header: &[Kept],
        image: &Image,
        size: u64,
    ) -> Result<VecDeque<Bytes>, TranscodeError> {
        let photometric = image.photometric_value();
        // What stands in its place, or in its order where nothing does.
        let mut set: Set<'_> = VecDeque::from([(PHOTOMETRIC, VR::CS, photometric.as_slice())]);
        if image.samples > 1 && !image.keeps_planes {
            set.push_back((PLANAR, VR::US, &[0, 0]));
        }
        if image.is_lossy {
            // PS3.3 C.7.6.1.1.5: once it was, it stays so, and the transfer syntax says so no more.
            set.push_back((LOSSY, VR::CS, b"01"));
        }
        self.elements(header, set);
        // PS3.5 A.2: OW where more than 8 bits are allocated.
        let vr = if image.bits_allocated > 8 { VR::OW } else { VR::OB };
        let even = size + size % 2;
        let too_large = |_| TranscodeError::TooLarge { bytes: even, max: u64::from(u32::MAX) };
        let length = Length::Defined(u32::try_from(even).map_err(too_large)?);
        write_header(&mut self.0, Layout::from(Encoding::ExplicitLittle), PIXEL_DATA, vr, length);
        Ok(VecDeque::from([Bytes::from(std::mem::take(&mut self.0))]))
    }

    /// The header, with the elements of `set` in their places.
    fn elements(&mut self, header: &[Kept], mut set: Set<'_>) {
        for one in header {
            while let Some((tag, vr, value)) = next_if(&mut set, |tag| tag < one.tag) {
                self.element(tag, vr, value);
            }
            match next_if(&mut set, |tag| tag == one.tag) {
                Some((tag, vr, value)) => self.element(tag, vr, value),
                None => self.0.extend_from_slice(&one.raw),
            }
        }
        for (tag, vr, value) in set {
            self.element(tag, vr, value);
        }
    }

    fn element(&mut self, tag: Tag, vr: VR, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("a few bytes");
        write_header(&mut self.0, Layout::from(Encoding::ExplicitLittle), tag, vr, Length::Defined(length));
        self.0.extend_from_slice(value);
    }
}

/// Elements in the order of their tags.
type Set<'a> = VecDeque<(Tag, VR, &'a [u8])>;

/// Takes the first one, if its tag is such.
fn next_if<'a>(set: &mut Set<'a>, is_such: impl Fn(Tag) -> bool) -> Option<(Tag, VR, &'a [u8])> {
    let (tag, ..) = set.front()?;
    if is_such(*tag) { set.pop_front() } else { None }
}

#[cfg(test)]
mod tests;
