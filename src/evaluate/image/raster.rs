//! An image as the measures read it: samples of 1 to 16 bits, channels interleaved.

use std::fmt;

use crate::evaluate::EvaluateError;

/// Width, height, channels, and samples that fit the bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster {
    width: usize,
    height: usize,
    channels: usize,
    bits: u8,
    samples: Vec<u16>,
}

impl Raster {
    /// An image, if there are as many samples as its shape takes and each fits in `bits` (1 to 16).
    pub fn new(
        width: usize,
        height: usize,
        channels: usize,
        bits: u8,
        samples: Vec<u16>,
    ) -> Result<Self, EvaluateError> {
        if !(1..=16).contains(&bits) {
            return Err(EvaluateError::Parameter {
                parameter: "the bits of a sample",
                found: bits.to_string(),
                allowed: "1 to 16",
            });
        }
        let raster = Self { width, height, channels, bits, samples };
        let needed = width.checked_mul(height).and_then(|n| n.checked_mul(channels)).unwrap_or(usize::MAX);
        if needed == 0 || needed != raster.samples.len() {
            let (shape, found) = (raster.shape(), raster.samples.len());
            return Err(EvaluateError::Samples { shape, needed, found });
        }
        let limit = raster.peak();
        if let Some(position) = raster.samples.iter().position(|sample| *sample > limit) {
            return Err(EvaluateError::Sample { value: raster.samples[position], position, bits });
        }
        Ok(raster)
    }

    /// An image of 8-bit samples.
    pub fn from_bytes(
        width: usize,
        height: usize,
        channels: usize,
        bytes: &[u8],
    ) -> Result<Self, EvaluateError> {
        Self::new(width, height, channels, 8, bytes.iter().map(|b| u16::from(*b)).collect())
    }

    /// An image of 16-bit samples, lower byte first.
    pub fn from_words(
        width: usize,
        height: usize,
        channels: usize,
        bytes: &[u8],
    ) -> Result<Self, EvaluateError> {
        let words =
            bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        Self::new(width, height, channels, 16, words.collect())
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Samples of a pixel.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bits of a sample.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The largest value a sample can have.
    #[must_use]
    pub fn peak(&self) -> u16 {
        u16::MAX >> (16 - self.bits)
    }

    /// All samples: row by row, pixel by pixel, channel by channel.
    #[must_use]
    pub fn samples(&self) -> &[u16] {
        &self.samples
    }

    /// The same shape with other samples.
    pub fn with_samples(&self, samples: Vec<u16>) -> Result<Self, EvaluateError> {
        Self::new(self.width, self.height, self.channels, self.bits, samples)
    }

    /// Its samples as bytes: one each up to 8 bits, else two, lower byte first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.bits <= 8 {
            return self.samples.iter().map(|sample| *sample as u8).collect();
        }
        self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    /// The same picture in 8 bits, its darkest value black and its brightest white: what the papers' images are. One that
    /// has 8 bits stays as it is.
    #[must_use]
    pub fn to_eight_bits(&self) -> Self {
        if self.bits == 8 {
            return self.clone();
        }
        let (low, high) =
            self.samples.iter().fold((u16::MAX, 0), |(low, high), s| (low.min(*s), high.max(*s)));
        let span = u32::from(high - low).max(1);
        let samples = self.samples.iter().map(|s| ((u32::from(s - low) * 255 + span / 2) / span) as u16);
        Self { bits: 8, samples: samples.collect(), ..*self }
    }

    /// The shape in words.
    #[must_use]
    pub fn shape(&self) -> String {
        let channels =
            if self.channels == 1 { String::new() } else { format!(", {} channels", self.channels) };
        format!("{} x {} of {} bits{channels}", self.width, self.height, self.bits)
    }

    /// A guard: another image of the same shape.
    pub(super) fn same_shape(&self, other: &Self) -> Result<(), EvaluateError> {
        let shape = |r: &Self| (r.width, r.height, r.channels, r.bits);
        if shape(self) != shape(other) {
            return Err(EvaluateError::Shapes { ours: self.shape(), theirs: other.shape() });
        }
        Ok(())
    }
}

// Pixels are patient data: the shape is all that may be printed.
impl fmt::Debug for Raster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raster({})", self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_to_fill_the_shape_and_fit_the_bits() {
        assert_eq!(
            Raster::from_bytes(2, 2, 1, &[1, 2, 3]).unwrap_err().to_string(),
            "2 x 2 of 8 bits needs 4 samples, there are 3; give the whole image"
        );
        assert_eq!(
            Raster::new(2, 1, 1, 12, vec![4095, 4096]).unwrap_err().to_string(),
            "the sample 4096 at position 1 does not fit in 12 bits"
        );
        assert!(Raster::new(0, 5, 1, 8, vec![]).is_err());
        assert!(Raster::new(usize::MAX, 2, 2, 8, vec![1]).is_err());
        assert!(Raster::new(1, 1, 1, 17, vec![1]).is_err());
    }

    #[test]
    fn bytes_come_back() {
        let words = Raster::from_words(2, 1, 1, &[1, 2, 3, 4]).unwrap();
        assert_eq!((words.samples(), words.to_bytes()), (&[0x0201, 0x0403][..], vec![1, 2, 3, 4]));
        assert_eq!(Raster::from_bytes(3, 1, 1, &[7, 8, 9]).unwrap().to_bytes(), [7, 8, 9]);
    }

    #[test]
    fn eight_bits_reach_from_black_to_white() {
        let deep = Raster::new(4, 1, 1, 16, vec![1_000, 1_500, 2_000, 3_000]).unwrap();
        assert_eq!(deep.to_eight_bits().samples(), [0, 64, 128, 255]);
        let flat = Raster::new(2, 1, 1, 12, vec![9, 9]).unwrap();
        assert_eq!(flat.to_eight_bits().samples(), [0, 0]);
        let grey = Raster::from_bytes(2, 1, 1, &[7, 9]).unwrap();
        assert_eq!(grey.to_eight_bits(), grey);
    }

    #[test]
    fn pixels_are_not_printed() {
        let raster = Raster::from_bytes(1, 1, 3, &[201, 202, 203]).unwrap();
        assert_eq!(format!("{raster:?}"), "Raster(1 x 1 of 8 bits, 3 channels)");
    }
}
