//! Native images compressed for a receiver that takes RLE Lossless alone: every value stays, bit for bit.

use std::collections::VecDeque;

use bytes::Bytes;
use dicom_core::{Tag, VR};

use super::error::TranscodeError;
use super::image::Image;
use super::{DataSet, Out, PIXEL_DATA, PLANAR, Set, rle};
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::ClearBytes;
use crate::seal::element::{Layout, Length, write_header};

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const SEQUENCE_DELIMITER: &[u8; 8] = b"\xFE\xFF\xDD\xE0\0\0\0\0";
/// PS3.5 G.2: a segment for each byte of each sample, and room for 15.
const SEGMENTS_MAX: usize = 15;

/// Whether native images can be compressed to this transfer syntax.
#[must_use]
pub fn can_compress(syntax: TransferSyntax) -> bool {
    syntax.keyword == "RLELossless"
}

/// A data set with pixels in RLE Lossless out of one in Explicit VR Little Endian; at most `bytes_max` of pixels.
pub fn compress(pieces: VecDeque<Bytes>, bytes_max: u64) -> Result<VecDeque<Bytes>, TranscodeError> {
    let DataSet { header, value, behind, .. } = DataSet::read(pieces, Encoding::ExplicitLittle)?;
    let image = Image::read(header.iter().map(|one| (one.tag, one.value())))?;
    let size = image.size(bytes_max)?;
    let segments = usize::from(image.samples) * image.sample_bytes();
    // With one byte of padding where the number is odd. Colours that share samples (YBR_FULL_422) have fewer bytes.
    if value.len() as u64 != size + size % 2 || segments > SEGMENTS_MAX {
        let (have, wanted) = (format!("{} bytes in all", value.len()), format!("{size} bytes"));
        return Err(TranscodeError::Frame { have, wanted });
    }
    let by_plane = header.iter().any(|one| one.tag == PLANAR && one.value() == [1, 0]);
    let frames =
        value.chunks_exact(image.frame_bytes()).take(usize::try_from(image.frames).unwrap_or(usize::MAX));
    let frames: Vec<ClearBytes> =
        frames.map(|frame| ClearBytes::from(rle::encode(frame, &image, by_plane))).collect();

    let mut out = Out::default();
    let mut set = Set::new();
    if image.samples > 1 {
        // PS3.5 table 8.2.2-1: the segments are planes.
        set.push_back((PLANAR, VR::US, &[1, 0]));
    }
    out.elements(&header, set);
    write_header(&mut out.0, layout(), PIXEL_DATA, VR::OB, Length::Undefined);
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
    out.0.extend_from_slice(&behind);
    pieces.push_back(Bytes::from(out.0));
    Ok(pieces)
}

fn layout() -> Layout {
    Layout::from(Encoding::ExplicitLittle)
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
