//! What the image is: the attributes of the Image Pixel Module, gathered while the data set passes (PS3.3 C.7.6.3).

use dicom_core::Tag;

use super::error::ScanError;
use super::event::Element;
use crate::dicom::Encoding;
use crate::seal::element::read_u16;

const SAMPLES_PER_PIXEL: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = Tag(0x0028, 0x0006);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const BITS_STORED: Tag = Tag(0x0028, 0x0101);
const HIGH_BIT: Tag = Tag(0x0028, 0x0102);
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

/// The attributes that say what the pixels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows (0028,0010).
    pub rows: u16,
    /// Columns (0028,0011).
    pub columns: u16,
    /// Samples per Pixel (0028,0002); 1 where it is missing, as in files older than colour.
    pub samples: u16,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: u16,
    /// Bits Stored (0028,0101); Bits Allocated where it is missing, as it has to be beside float pixels.
    pub bits_stored: u16,
    /// High Bit (0028,0102); Bits Stored less one where it is missing.
    pub high_bit: u16,
    /// Pixel Representation (0028,0103); 0 where it is missing.
    pub representation: u16,
    /// Number of Frames (0028,0008); 1 where it is missing, empty or 0.
    pub frames: u32,
    /// Photometric Interpretation (0028,0004) without padding; empty where it is missing.
    pub photometric: String,
    /// Planar Configuration (0028,0006), if there is one.
    pub planar: Option<u16>,
}

/// How a native value's length compares with what the image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeFit {
    /// As long as needed, or one byte longer to be even.
    Exact,
    /// So many bytes behind the last pixel, as some writers leave there.
    Longer(u64),
    /// So many bytes of pixels are missing.
    Shorter(u64),
}

impl Image {
    /// The bytes of native pixel data, without padding; none if they would be more than 2^64.
    #[must_use]
    pub fn native_length(&self) -> Option<u64> {
        let Self { rows, columns, samples, bits_allocated, frames, .. } = *self;
        expected_native_length(rows, columns, samples, bits_allocated, frames, &self.photometric)
    }

    /// The bits of one frame of native pixel data; none if they would be more than 2^64.
    #[must_use]
    pub fn frame_bits(&self) -> Option<u64> {
        let pixels = u64::from(self.rows).checked_mul(u64::from(self.columns))?;
        let samples = samples_each(self.samples, &self.photometric);
        pixels.checked_mul(u64::from(samples))?.checked_mul(u64::from(self.bits_allocated))
    }

    /// How a native value of this length fits the image.
    #[must_use]
    pub fn fit(&self, length: u64) -> NativeFit {
        let needed = self.native_length().unwrap_or(u64::MAX);
        match length.checked_sub(needed) {
            None => NativeFit::Shorter(needed.saturating_sub(length)),
            Some(0) => NativeFit::Exact,
            Some(1) if needed % 2 == 1 => NativeFit::Exact,
            Some(extra) => NativeFit::Longer(extra),
        }
    }
}

/// The bytes of native pixel data without the byte that makes them even; none if they would be more than 2^64.
///
/// Pixels follow each other without gaps, bit by bit, also from frame to frame (PS3.5 8.1.1 and annex D).
#[must_use]
pub fn expected_native_length(
    rows: u16,
    columns: u16,
    samples: u16,
    bits_allocated: u16,
    frames: u32,
    photometric: &str,
) -> Option<u64> {
    let samples = samples_each(samples, photometric);
    let pixels = u64::from(rows).checked_mul(u64::from(columns))?.checked_mul(u64::from(frames))?;
    let bits =
        u128::from(pixels).checked_mul(u128::from(samples))?.checked_mul(u128::from(bits_allocated))?;
    u64::try_from(bits.div_ceil(8)).ok()
}

/// Samples that are stored for each pixel: in these two pixels share their two chrominance samples (PS3.3 C.7.6.3.1.2).
fn samples_each(samples: u16, photometric: &str) -> u16 {
    match photometric {
        "YBR_FULL_422" | "YBR_PARTIAL_422" if samples == 3 => 2,
        _ => samples,
    }
}

/// Gathers the attributes from top-level elements.
#[derive(Debug, Clone)]
pub struct ImageAttributes {
    encoding: Encoding,
    samples: Option<u16>,
    photometric: Option<String>,
    planar: Option<u16>,
    frames: Option<u32>,
    rows: Option<u16>,
    columns: Option<u16>,
    bits_allocated: Option<u16>,
    bits_stored: Option<u16>,
    high_bit: Option<u16>,
    representation: Option<u16>,
}

impl ImageAttributes {
    /// Nothing gathered yet, from a data set in this encoding.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            samples: None,
            photometric: None,
            planar: None,
            frames: None,
            rows: None,
            columns: None,
            bits_allocated: None,
            bits_stored: None,
            high_bit: None,
            representation: None,
        }
    }

    /// Looks at one element; those that say nothing about the image are none of its business.
    pub fn take(&mut self, element: &Element<'_>) -> Result<(), ScanError> {
        let slot = match element.tag {
            SAMPLES_PER_PIXEL => &mut self.samples,
            PLANAR_CONFIGURATION => &mut self.planar,
            ROWS => &mut self.rows,
            COLUMNS => &mut self.columns,
            BITS_ALLOCATED => &mut self.bits_allocated,
            BITS_STORED => &mut self.bits_stored,
            HIGH_BIT => &mut self.high_bit,
            PIXEL_REPRESENTATION => &mut self.representation,
            NUMBER_OF_FRAMES => {
                self.frames = frames_of(element)?;
                return Ok(());
            }
            PHOTOMETRIC_INTERPRETATION => {
                self.photometric = Some(text_of(element)?.to_owned());
                return Ok(());
            }
            _ => return Ok(()),
        };
        if element.value.is_empty() {
            return Ok(());
        }
        let number = if element.value.len() == 2 { read_u16(self.encoding, element.value) } else { None };
        *slot = Some(number.ok_or_else(|| bad(element, "one 16-bit number"))?);
        Ok(())
    }

    /// The image, if enough is known by now. Ask when the pixels begin.
    pub fn image(&self) -> Result<Image, ScanError> {
        let need = |value: Option<u16>, tag| value.ok_or(ScanError::MissingValue { tag });
        let bits_allocated = need(self.bits_allocated, BITS_ALLOCATED)?;
        let bits_stored = self.bits_stored.unwrap_or(bits_allocated);
        Ok(Image {
            rows: need(self.rows, ROWS)?,
            columns: need(self.columns, COLUMNS)?,
            samples: self.samples.unwrap_or(1),
            bits_allocated,
            bits_stored,
            high_bit: self.high_bit.unwrap_or(bits_stored.saturating_sub(1)),
            representation: self.representation.unwrap_or(0),
            frames: self.frames.unwrap_or(1),
            photometric: self.photometric.clone().unwrap_or_default(),
            planar: self.planar,
        })
    }
}

/// 0 frames are as impossible as they are common; readers take them for one.
fn frames_of(element: &Element<'_>) -> Result<Option<u32>, ScanError> {
    match text_of(element)? {
        "" => Ok(None),
        text => match text.parse() {
            Ok(0) => Ok(Some(1)),
            Ok(frames) => Ok(Some(frames)),
            Err(_) => Err(bad(element, "one whole number, at least 1")),
        },
    }
}

fn text_of<'a>(element: &Element<'a>) -> Result<&'a str, ScanError> {
    match std::str::from_utf8(element.value) {
        Ok(text) if text.len() <= 64 => Ok(text.trim_matches([' ', '\0'])),
        _ => Err(bad(element, "a short text")),
    }
}

fn bad(element: &Element<'_>, expected: &'static str) -> ScanError {
    let found = element.value.get(..64.min(element.value.len())).unwrap_or_default();
    ScanError::BadValue { tag: element.tag, found: found.escape_ascii().to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(attributes: &mut ImageAttributes, tag: Tag, value: &[u8]) -> Result<(), ScanError> {
        attributes.take(&Element { tag, vr: None, raw: value, value, at: 0, holds_pixels: false })
    }

    #[test]
    fn computes_native_lengths_of_one_to_sixty_four_bits() {
        assert_eq!(expected_native_length(512, 512, 1, 16, 1, "MONOCHROME2"), Some(524_288));
        assert_eq!(
            expected_native_length(3, 5, 1, 1, 3, "MONOCHROME2"),
            Some(6),
            "45 bits, frames without gaps"
        );
        assert_eq!(expected_native_length(2, 3, 1, 12, 1, "MONOCHROME2"), Some(9), "packed 12 bits");
        assert_eq!(expected_native_length(2, 2, 3, 8, 1, "YBR_FULL_422"), Some(8));
        assert_eq!(expected_native_length(2, 2, 3, 8, 1, "RGB"), Some(12));
        assert_eq!(expected_native_length(2, 2, 1, 64, 1, "MONOCHROME2"), Some(32));
        assert_eq!(expected_native_length(0, 2, 1, 8, 1, "MONOCHROME2"), Some(0));
        let most = u16::MAX;
        assert_eq!(expected_native_length(most, most, most, most, u32::MAX, ""), None, "over 2^64");
    }

    #[test]
    fn gathers_an_image_with_defaults_for_what_old_files_lack() {
        let mut attributes = ImageAttributes::new(Encoding::ExplicitBig);
        for (tag, value) in [(ROWS, [1, 0]), (COLUMNS, [0, 2]), (BITS_ALLOCATED, [0, 16])] {
            assert!(attributes.image().is_err(), "without {tag}");
            take(&mut attributes, tag, &value).unwrap();
        }
        take(&mut attributes, NUMBER_OF_FRAMES, b"0 ").unwrap();
        let image = attributes.image().unwrap();
        assert_eq!((image.rows, image.columns, image.samples, image.frames), (256, 2, 1, 1));
        assert_eq!((image.bits_stored, image.high_bit, image.representation), (16, 15, 0));
        take(&mut attributes, PHOTOMETRIC_INTERPRETATION, b"PALETTE COLOR \0").unwrap();
        assert_eq!(attributes.image().unwrap().photometric, "PALETTE COLOR");
    }

    #[test]
    fn refuses_values_that_are_no_numbers() {
        let mut attributes = ImageAttributes::new(Encoding::ExplicitLittle);
        let error = take(&mut attributes, ROWS, &[1, 2, 3, 4]).unwrap_err();
        assert!(error.to_string().contains("(0028,0010)"), "{error}");
        assert!(take(&mut attributes, NUMBER_OF_FRAMES, b"-1").is_err());
        assert!(take(&mut attributes, NUMBER_OF_FRAMES, b"4294967296").is_err());
        assert!(take(&mut attributes, NUMBER_OF_FRAMES, b"\xFF").is_err());
        assert!(take(&mut attributes, NUMBER_OF_FRAMES, b"").is_ok(), "empty is as if it were not there");
    }

    #[test]
    fn says_how_a_length_fits() {
        let mut attributes = ImageAttributes::new(Encoding::ExplicitLittle);
        for (tag, value) in [(ROWS, 3), (COLUMNS, 3), (BITS_ALLOCATED, 8)] {
            take(&mut attributes, tag, &[value, 0]).unwrap();
        }
        let image = attributes.image().unwrap();
        let fits = [8, 9, 10, 11].map(|length| image.fit(length));
        let expected = [NativeFit::Shorter(1), NativeFit::Exact, NativeFit::Exact, NativeFit::Longer(2)];
        assert_eq!(fits, expected);
    }
}
