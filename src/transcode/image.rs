//! What the header says of an image, as far as codecs need it.

use dicom_core::Tag;

use super::error::TranscodeError;

/// The image of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) rows: u16,
    pub(super) columns: u16,
    /// Samples per Pixel.
    pub(super) samples: u16,
    pub(super) bits_allocated: u16,
    pub(super) bits_stored: u16,
    pub(super) high_bit: u16,
    /// Whether Pixel Representation says two's complement.
    pub(super) is_signed: bool,
    pub(super) frames: u32,
    pub(super) photometric: String,
    /// Whether samples stay in the order of Planar Configuration.
    pub(super) keeps_planes: bool,
    /// Whether the stream itself shows that it was compressed with losses.
    pub(super) is_lossy: bool,
}

impl Image {
    pub(super) fn read<'a>(elements: impl Iterator<Item = (Tag, &'a [u8])>) -> Result<Self, TranscodeError> {
        let mut image = Self {
            rows: 0,
            columns: 0,
            samples: 0,
            bits_allocated: 0,
            bits_stored: 0,
            high_bit: 0,
            is_signed: false,
            frames: 1,
            photometric: String::new(),
            keeps_planes: false,
            is_lossy: false,
        };
        let number = |value: &[u8]| value.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        for (tag, value) in elements {
            match tag {
                Tag(0x0028, 0x0002) => image.samples = number(value),
                Tag(0x0028, 0x0004) => image.photometric = text(value),
                Tag(0x0028, 0x0008) => {
                    let text = text(value);
                    if !text.is_empty() {
                        image.frames = text.parse().unwrap_or(0);
                    }
                }
                Tag(0x0028, 0x0010) => image.rows = number(value),
                Tag(0x0028, 0x0011) => image.columns = number(value),
                Tag(0x0028, 0x0100) => image.bits_allocated = number(value),
                Tag(0x0028, 0x0101) => image.bits_stored = number(value),
                Tag(0x0028, 0x0102) => image.high_bit = number(value),
                Tag(0x0028, 0x0103) => image.is_signed = number(value) == 1,
                _ => {}
            }
        }
        let rows = [
            (0x0002, matches!(image.samples, 1 | 3 | 4)),
            (0x0004, !image.photometric.is_empty()),
            (0x0008, image.frames > 0),
            (0x0010, image.rows > 0),
            (0x0011, image.columns > 0),
            (0x0100, matches!(image.bits_allocated, 8 | 16 | 32)),
        ];
        match rows.into_iter().find(|(_, is_good)| !is_good) {
            Some((element, _)) => Err(TranscodeError::Attribute { tag: Tag(0x0028, element) }),
            None => Ok(image),
        }
    }

    /// Pixels of a frame.
    pub(super) fn pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// Bytes of a sample.
    pub(super) fn sample_bytes(&self) -> usize {
        usize::from(self.bits_allocated / 8)
    }

    /// Bytes of a frame.
    pub(super) fn frame_bytes(&self) -> usize {
        self.pixels() * usize::from(self.samples) * self.sample_bytes()
    }

    /// Bytes of all frames, if they are no more than that.
    pub(super) fn size(&self, max: u64) -> Result<u64, TranscodeError> {
        let bytes = (self.frame_bytes() as u64).saturating_mul(u64::from(self.frames));
        if bytes <= max { Ok(bytes) } else { Err(TranscodeError::TooLarge { bytes, max }) }
    }

    /// Whether a frame of a codec is a frame of this image.
    pub(super) fn check(&self, columns: u32, rows: u32, samples: u32) -> Result<(), TranscodeError> {
        let own = (u32::from(self.columns), u32::from(self.rows), u32::from(self.samples));
        if own == (columns, rows, samples) {
            return Ok(());
        }
        let words = |(columns, rows, samples)| format!("{columns} by {rows} of {samples} samples");
        Err(TranscodeError::Frame { have: words((columns, rows, samples)), wanted: words(own) })
    }

    /// Photometric Interpretation, padded.
    pub(super) fn photometric_value(&self) -> Vec<u8> {
        let mut value = self.photometric.clone().into_bytes();
        if value.len() % 2 == 1 {
            value.push(b' ');
        }
        value
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches([' ', '\0']).to_owned()
}
