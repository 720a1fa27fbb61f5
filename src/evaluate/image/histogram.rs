//! How often each value occurs, and whether that is even.

use super::raster::Raster;
use crate::evaluate::special::chi_square_p;

/// The values of an image, in at most 256 classes where it has more bits than eight.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// How often each value (or class of neighbouring values) occurs.
    pub counts: Vec<u64>,
    /// Pearson's statistic against equal frequency.
    pub chi_square: f64,
    /// The chance that random samples are spread less evenly.
    pub p_value: f64,
}

/// The classes of a histogram: a 16-bit image has too few pixels to fill 65,536.
const CLASSES_MAX: usize = 256;

/// The histogram of all samples.
#[must_use]
pub fn histogram(image: &Raster) -> Histogram {
    let shift = image.bits().saturating_sub(8);
    let classes = CLASSES_MAX.min(1 << image.bits());
    of_counts(counts(image.samples().iter().map(|sample| sample >> shift), classes))
}

/// The histogram of bytes.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> Histogram {
    of_counts(counts(bytes.iter().map(|byte| u16::from(*byte)), CLASSES_MAX))
}

fn of_counts(counts: Vec<u64>) -> Histogram {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let chi_square: f64 = counts.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
    let p_value = chi_square_p((counts.len() - 1) as f64, chi_square);
    Histogram { counts, chi_square, p_value }
}

/// How often each value below `values` occurs.
pub(super) fn counts(samples: impl Iterator<Item = u16>, values: usize) -> Vec<u64> {
    let mut counts = vec![0; values];
    samples.for_each(|sample| counts[usize::from(sample)] += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_once_is_perfectly_even() {
        let bytes: Vec<u8> = (0..=255).collect();
        let even = of_bytes(&bytes);
        assert!(even.chi_square.abs() < 1e-12 && (even.p_value - 1.0).abs() < 1e-12);
    }

    #[test]
    fn sixteen_bits_are_read_by_their_upper_byte() {
        let image = Raster::new(2, 1, 1, 16, vec![0x12ff, 0x1200]).unwrap();
        assert_eq!(histogram(&image).counts[0x12], 2);
        let image = Raster::new(2, 1, 1, 12, vec![0x0fff, 0x0010]).unwrap();
        assert_eq!((histogram(&image).counts[0xff], histogram(&image).counts[1]), (1, 1));
    }

    #[test]
    fn one_value_alone_is_no_chance() {
        let one = of_bytes(&[7; 1000]);
        assert!(one.p_value < 1e-100 && (one.chi_square - 255_000.0).abs() < 1e-6);
    }
}
