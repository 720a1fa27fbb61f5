//! The first frame of an image as a picture to look at: the gateway's own scanner reads it, the whole range is shown.

use dicom_core::Tag;

use super::rle;
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::scan::{Event, Limits, ScanError, Scanner};

const SAMPLES: Tag = Tag(0x0028, 0x0002);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// Pixels of 8 bits, grey or red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    width: u32,
    height: u32,
    is_colour: bool,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Found {
    samples: u16,
    rows: u16,
    columns: u16,
    bits: u16,
    is_pixels: bool,
    pixels: Vec<u8>,
}

impl Picture {
    /// The picture of a data set; nothing if it has none, or one in a compression that this room does not know.
    pub(super) fn of(data_set: &[u8], syntax: TransferSyntax) -> Option<Self> {
        let found = scan(data_set, syntax.encoding).ok()?;
        let pixels = usize::from(found.rows) * usize::from(found.columns) * usize::from(found.samples);
        let wide = usize::from(found.bits / 8);
        let frame = match syntax.encoding {
            Encoding::Encapsulated => rle::decode(first_fragment(&found.pixels)?, wide, pixels)?,
            _ => found.pixels.get(..pixels * wide)?.to_vec(),
        };
        let bytes = if wide == 2 { full_range(&frame) } else { frame };
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

fn scan(data_set: &[u8], encoding: Encoding) -> Result<Found, ScanError> {
    let mut found = Found::default();
    let mut scanner = Scanner::new(encoding, Limits::default(), Some(data_set.len() as u64));
    scanner.push(data_set, &mut |event| {
        match event {
            Event::Element(element) => {
                let number = || element.value.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
                match element.tag {
                    SAMPLES => found.samples = number(),
                    ROWS => found.rows = number(),
                    COLUMNS => found.columns = number(),
                    BITS_ALLOCATED => found.bits = number(),
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

/// The bytes of the first fragment behind the offset table (PS3.5 A.4).
fn first_fragment(items: &[u8]) -> Option<&[u8]> {
    let length_at = |at: usize| {
        let bytes = items.get(at + 4..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let second = 8 + length_at(0)?;
    items.get(second + 8..second + 8 + length_at(second)?)
}

/// 16-bit samples, the darkest as 0 and the brightest as 255.
fn full_range(frame: &[u8]) -> Vec<u8> {
    let values: Vec<u16> =
        frame.as_chunks().0.iter().map(|bytes: &[u8; 2]| u16::from_le_bytes(*bytes)).collect();
    let low = values.iter().min().copied().unwrap_or(0);
    let range = u32::from(values.iter().max().copied().unwrap_or(0) - low).max(1);
    let shown = |value: &u16| (u32::from(value - low) * 255 / range).to_le_bytes()[0];
    values.iter().map(shown).collect()
}
