//! The first frame of an image as a picture to look at: the gateway's own scanner and codecs read it.

use std::collections::VecDeque;

use bytes::Bytes;
use dicom_core::Tag;

use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::scan::{Event, Limits, ScanError, Scanner};
use crate::transcode;

const SAMPLES: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const REPRESENTATION: Tag = Tag(0x0028, 0x0103);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// No image of the trial has more pixels, decompressed.
const PIXEL_BYTES_MAX: u64 = 64 << 20;
/// Of a thousand pixels so many may be darker than black, and as many brighter than white: markers and text on a film
/// would leave the body in between without contrast.
const BEYOND_PER_MILLE: usize = 5;

/// Pixels of 8 bits, grey or red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    width: u32,
    height: u32,
    is_colour: bool,
    bytes: Vec<u8>,
}

/// What the scanner finds of an image.
#[derive(Default)]
struct Found {
    samples: u16,
    rows: u16,
    columns: u16,
    bits: u16,
    is_signed: bool,
    /// Whether low values are bright (PS3.3 C.7.6.3.1.2).
    is_inverted: bool,
    is_pixels: bool,
    pixels: Vec<u8>,
}

impl Picture {
    /// The picture of a data set; nothing if it has none, or one in a compression that nothing here decodes.
    pub(super) fn of(data_set: &[u8], syntax: TransferSyntax) -> Option<Self> {
        let found = match syntax.encoding {
            Encoding::Encapsulated => {
                let pieces = VecDeque::from([Bytes::copy_from_slice(data_set)]);
                let native = transcode::decompress(pieces, syntax, PIXEL_BYTES_MAX).ok()?;
                let native: Vec<u8> = native.into_iter().flatten().collect();
                scan(&native, Encoding::ExplicitLittle)
            }
            encoding => scan(data_set, encoding),
        };
        let found = found.ok()?;
        let pixels = usize::from(found.rows) * usize::from(found.columns) * usize::from(found.samples);
        let frame = found.pixels.get(..pixels * usize::from(found.bits / 8))?;
        let bytes = if found.bits == 16 { found.shown(frame) } else { frame.to_vec() };
        let (width, height) = (u32::from(found.columns), u32::from(found.rows));
        (width * height > 0).then_some(Self { width, height, is_colour: found.samples == 3, bytes })
    }

    /// As a PNG file.
    pub(super) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(if self.is_colour { png::ColorType::Rgb } else { png::ColorType::Grayscale });
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.bytes)?;
        writer.finish()?;
        Ok(file)
    }
}

/// The value of Pixel Data as it stands in a data set, with the items of a compressed one; empty where there is none.
pub(super) fn pixel_data(data_set: &[u8], syntax: TransferSyntax) -> Vec<u8> {
    scan(data_set, syntax.encoding).map(|found| found.pixels).unwrap_or_default()
}

fn scan(data_set: &[u8], encoding: Encoding) -> Result<Found, ScanError> {
    let mut found = Found::default();
    let mut scanner = Scanner::new(encoding, Limits::default(), Some(data_set.len() as u64));
    scanner.push(data_set, &mut |event| {
        match event {
            Event::Element(element) => {
                let number = || element.value.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
                match element.tag {
                    SAMPLES => found.samples = number(),
                    PHOTOMETRIC => found.is_inverted = element.value.starts_with(b"MONOCHROME1"),
                    ROWS => found.rows = number(),
                    COLUMNS => found.columns = number(),
                    BITS_ALLOCATED => found.bits = number(),
                    REPRESENTATION => found.is_signed = number() == 1,
                    _ => {}
                }
            }
            Event::Begin(head) => found.is_pixels = head.tag == PIXEL_DATA,
            Event::Bytes(bytes) if found.is_pixels => found.pixels.extend_from_slice(bytes),
            Event::Bytes(_) | Event::End(_) => {}
        }
        Ok::<(), ScanError>(())
    })?;
    scanner.finish()?;
    Ok(found)
}

impl Found {
    /// 16-bit samples from black to white, as wide as nearly all of them are.
    fn shown(&self, frame: &[u8]) -> Vec<u8> {
        let value = |bytes: &[u8; 2]| {
            let value = u16::from_le_bytes(*bytes);
            if self.is_signed { i32::from(value.cast_signed()) } else { i32::from(value) }
        };
        let values: Vec<i32> = frame.as_chunks().0.iter().map(value).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let beyond = sorted.len() * BEYOND_PER_MILLE / 1000;
        let low = sorted.get(beyond).copied().unwrap_or(0);
        let high = sorted.iter().rev().nth(beyond).copied().unwrap_or(0).max(low + 1);
        let shown = |value: i32| {
            let light = ((value.clamp(low, high) - low) * 255 / (high - low)).to_le_bytes()[0];
            if self.is_inverted { 255 - light } else { light }
        };
        values.into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_values_are_shown_by_sign_and_by_which_end_is_bright() {
        let frame: Vec<u8> = [-1000_i16, 0, 1000].iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut found = Found { is_signed: true, ..Found::default() };
        assert_eq!(found.shown(&frame), [0, 127, 255]);
        found.is_inverted = true;
        assert_eq!(found.shown(&frame), [255, 128, 0]);
        found.is_signed = false;
        assert_eq!(found.shown(&frame), [0, 255, 252], "as unsigned numbers the first is the largest");
    }
}
