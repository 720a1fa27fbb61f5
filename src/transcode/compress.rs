//! Native images compressed for a receiver that takes no native form: every value stays, which is looked at frame by frame.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use dicom_core::{Tag, VR};

use super::encode::{self, Packing};
use super::error::TranscodeError;
use super::frame::{self, Codec};
use super::image::Image;
use super::{DataSet, Out, PHOTOMETRIC, PIXEL_DATA, PLANAR, Set};
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::ClearBytes;
use crate::seal::element::{Layout, Length, write_header};

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const SEQUENCE_DELIMITER: &[u8; 8] = b"\xFE\xFF\xDD\xE0\0\0\0\0";

/// The transfer syntaxes that native images can be compressed to, the ones that are tried first before the others.
pub fn lossless() -> impl Iterator<Item = TransferSyntax> {
    Packing::ALL.iter().filter_map(|packing| TransferSyntax::by_uid(packing.syntax()))
}

/// Whether native images can be compressed to this transfer syntax.
#[must_use]
pub fn can_compress(syntax: TransferSyntax) -> bool {
    Packing::of(syntax).is_some()
}

/// A data set with compressed pixels out of one in Explicit VR Little Endian; at most `bytes_max` of pixels. Each frame has
/// been decompressed again, and was the same.
pub fn compress(
    pieces: VecDeque<Bytes>,
    target: TransferSyntax,
    bytes_max: u64,
) -> Result<VecDeque<Bytes>, TranscodeError> {
    let packing = Packing::of(target).ok_or(TranscodeError::NoEncoder(target.keyword))?;
    let codec = Codec::of(target).ok_or(TranscodeError::NoEncoder(target.keyword))?;
    let packed = catch_unwind(AssertUnwindSafe(|| run(pieces, packing, codec, bytes_max)));
    packed.unwrap_or(Err(TranscodeError::Panicked))
}

fn run(
    pieces: VecDeque<Bytes>,
    packing: Packing,
    codec: Codec,
    bytes_max: u64,
) -> Result<VecDeque<Bytes>, TranscodeError> {
    let DataSet { header, value, behind, .. } = DataSet::read(pieces, Encoding::ExplicitLittle)?;
    let image = Image::read(header.iter().map(|one| (one.tag, one.value())))?;
    let size = image.size(bytes_max)?;
    // With one byte of padding where the number is odd. Colours that share samples (YBR_FULL_422) have fewer bytes.
    if value.len() as u64 != size + size % 2 {
        let (have, wanted) = (format!("{} bytes in all", value.len()), format!("{size} bytes"));
        return Err(TranscodeError::Frame { have, wanted });
    }
    packing.check(&image)?;
    let by_plane = image.samples > 1 && header.iter().any(|one| one.tag == PLANAR && one.value() == [1, 0]);
    let count = usize::try_from(image.frames).unwrap_or(usize::MAX);
    let frames = value.chunks_exact(image.frame_bytes()).take(count).map(|native| {
        let samples = if by_plane && !packing.keeps_planes() {
            Cow::Owned(by_pixel(native, &image))
        } else {
            Cow::Borrowed(native)
        };
        packed(&samples, &image, packing, codec)
    });
    let frames: Vec<ClearBytes> = frames.collect::<Result<_, _>>()?;

    let mut out = Out::default();
    out.elements(&header, attributes(packing, &image));
    encapsulated(out, frames, &behind)
}

/// What is no longer as it was: Photometric Interpretation and Planar Configuration. Nothing of it has been lost, so Lossy
/// Image Compression stays what it is.
fn attributes(packing: Packing, image: &Image) -> Set<'static> {
    let mut set = Set::new();
    if let Some(photometric) = packing.photometric(image) {
        set.push_back((PHOTOMETRIC, VR::CS, photometric));
    }
    if image.samples > 1
        && let Some(planar) = packing.planar_configuration()
    {
        set.push_back((PLANAR, VR::US, planar));
    }
    set
}

/// One frame, compressed; of an even length. That it comes back as it was has been seen.
pub(super) fn packed(
    samples: &[u8],
    image: &Image,
    packing: Packing,
    codec: Codec,
) -> Result<ClearBytes, TranscodeError> {
    let mut bytes = ClearBytes::from(encode::encode(packing, samples, image)?);
    if bytes.len() % 2 == 1 {
        let mut even = ClearBytes::with_capacity(bytes.len() + 1);
        even.extend_from_slice(&bytes);
        even.push(0);
        bytes = even;
    }
    let again = ClearBytes::from(frame::decode(codec, &bytes, image, &mut image.clone())?);
    if again[..] == *samples { Ok(bytes) } else { Err(TranscodeError::NotTheSame) }
}

/// Planes put together, pixel by pixel.
fn by_pixel(frame: &[u8], image: &Image) -> Vec<u8> {
    let (samples, width, pixels) = (usize::from(image.samples), image.sample_bytes(), image.pixels());
    let mut out = Vec::with_capacity(frame.len());
    for pixel in 0..pixels {
        for plane in 0..samples {
            let at = (plane * pixels + pixel) * width;
            out.extend_from_slice(frame.get(at..at + width).unwrap_or_default());
        }
    }
    out
}

/// The header that is in `out`, the frames as items behind their table, and what stood behind the pixels.
fn encapsulated(
    mut out: Out,
    frames: Vec<ClearBytes>,
    behind: &[u8],
) -> Result<VecDeque<Bytes>, TranscodeError> {
    write_header(&mut out.0, Layout::from(Encoding::ExplicitLittle), PIXEL_DATA, VR::OB, Length::Undefined);
    let table = offsets(&frames);
    item(&mut out.0, table.len())?;
    out.0.extend_from_slice(&table);
    let mut pieces = VecDeque::new();
    for frame in frames {
        item(&mut out.0, frame.len())?;
        pieces.push_back(Bytes::from(std::mem::take(&mut out.0)));
        pieces.push_back(Bytes::from_owner(frame));
    }
    out.0.extend_from_slice(SEQUENCE_DELIMITER);
    out.0.extend_from_slice(behind);
    pieces.push_back(Bytes::from(out.0));
    Ok(pieces)
}

/// The Basic Offset Table; empty, as it may be, where an offset would not fit.
fn offsets(frames: &[ClearBytes]) -> Vec<u8> {
    let (mut table, mut at) = (Vec::with_capacity(frames.len() * 4), 0_u64);
    for frame in frames {
        let Ok(offset) = u32::try_from(at) else { return Vec::new() };
        table.extend_from_slice(&offset.to_le_bytes());
        at += 8 + frame.len() as u64;
    }
    table
}

fn item(out: &mut Vec<u8>, length: usize) -> Result<(), TranscodeError> {
    let bytes = length as u64;
    let length =
        u32::try_from(length).map_err(|_| TranscodeError::TooLarge { bytes, max: u64::from(u32::MAX) })?;
    out.extend_from_slice(&ITEM.group().to_le_bytes());
    out.extend_from_slice(&ITEM.element().to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    Ok(())
}
