//! How much two images differ pixel by pixel: NPCR and UACI, with the critical values of Wu, Noonan and Agaian 2011.

use super::raster::Raster;
use crate::evaluate::EvaluateError;
use crate::evaluate::special::normal_quantile;

/// NPCR and UACI of two images, as shares of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Number of pixel change rate: the share of samples that differ.
    pub npcr: f64,
    /// Unified average changing intensity: the mean absolute difference, over the largest value.
    pub uaci: f64,
}

/// What two independent random images show, and the bounds beyond which a pair is rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CriticalValues {
    /// The NPCR to be expected.
    pub npcr_mean: f64,
    /// An NPCR below this is rejected (the test is one-sided).
    pub npcr_min: f64,
    /// The UACI to be expected.
    pub uaci_mean: f64,
    /// A UACI outside this is rejected.
    pub uaci_range: [f64; 2],
}

/// NPCR and UACI over all samples of two images of one shape.
pub fn difference(first: &Raster, second: &Raster) -> Result<Difference, EvaluateError> {
    first.same_shape(second)?;
    let pairs = || first.samples().iter().zip(second.samples());
    let changed = pairs().filter(|(a, b)| a != b).count();
    let distance: u64 = pairs().map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let n = first.samples().len() as f64;
    Ok(Difference { npcr: changed as f64 / n, uaci: distance as f64 / (n * f64::from(first.peak())) })
}

/// The critical values for `samples` samples of `bits` bits at the level `alpha` (sections III and IV of the paper).
#[must_use]
pub fn critical_values(bits: u8, samples: usize, alpha: f64) -> CriticalValues {
    let (n, f) = (samples as f64, f64::from(u16::MAX >> (16 - bits.clamp(1, 16))));
    let npcr_mean = f / (f + 1.0);
    let npcr_deviation = (f / n).sqrt() / (f + 1.0);
    let uaci_mean = (f + 2.0) / (3.0 * f + 3.0);
    let uaci_variance = (f + 2.0) * (f * f + 2.0 * f + 3.0) / (18.0 * (f + 1.0).powi(2) * f * n);
    let spread = normal_quantile(1.0 - alpha / 2.0) * uaci_variance.sqrt();
    CriticalValues {
        npcr_mean,
        npcr_min: npcr_mean - normal_quantile(1.0 - alpha) * npcr_deviation,
        uaci_mean,
        uaci_range: [uaci_mean - spread, uaci_mean + spread],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_critical_values_are_those_of_the_papers_tables() {
        // Wu, Noonan, Agaian 2011, tables of N*0.05 and U*0.05: 256 x 256 and 512 x 512 pixels of 8 bits.
        let percent = |x: f64| (x * 1e6).round() / 1e4;
        let small = critical_values(8, 256 * 256, 0.05);
        assert_eq!([small.npcr_mean, small.npcr_min].map(percent), [99.6094, 99.5693]);
        assert_eq!(small.uaci_range.map(percent), [33.2824, 33.6447]);
        let large = critical_values(8, 512 * 512, 0.05);
        assert_eq!(percent(large.npcr_min), 99.5893);
        assert_eq!(large.uaci_range.map(percent), [33.3730, 33.5541]);
        assert_eq!(percent(critical_values(8, 512 * 512, 0.001).npcr_min), 99.5717);
    }

    #[test]
    fn known_pairs_give_known_figures() {
        let image = |bytes: &[u8]| Raster::from_bytes(bytes.len(), 1, 1, bytes).unwrap();
        let same = difference(&image(&[1, 2, 3]), &image(&[1, 2, 3])).unwrap();
        assert_eq!((same.npcr, same.uaci), (0.0, 0.0));
        let opposite = difference(&image(&[0, 255, 0, 9]), &image(&[255, 0, 255, 9])).unwrap();
        assert_eq!((opposite.npcr, opposite.uaci), (0.75, 0.75));
    }

    #[test]
    fn images_of_different_shape_are_refused() {
        let (a, b) =
            (Raster::from_bytes(2, 1, 1, &[0; 2]).unwrap(), Raster::from_bytes(1, 2, 1, &[0; 2]).unwrap());
        assert_eq!(
            difference(&a, &b).unwrap_err().to_string(),
            "the images differ in shape: 2 x 1 of 8 bits and 1 x 2 of 8 bits; compare images of one shape"
        );
    }
}
