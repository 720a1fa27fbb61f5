//! Information entropy of values, of whole images, and of random blocks of them (local Shannon entropy).

use std::collections::HashSet;
use std::sync::LazyLock;

use super::histogram::counts;
use super::raster::Raster;
use crate::evaluate::error::at_least;
use crate::evaluate::special::normal_quantile;
use crate::evaluate::{EvaluateError, Seeded};

/// Shannon entropy in bits per sample of how often each value occurs.
#[must_use]
pub fn entropy(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let share = |n: &u64| *n as f64 / total as f64;
    -counts.iter().filter(|n| **n > 0).map(|n| share(n) * share(n).log2()).sum::<f64>()
}

/// What `entropy` gives on average for `samples` truly random samples of `values` equally likely values.
///
/// It is below log2(values): a finite sample never looks perfectly even. This, not 8, is what a good 8-bit ciphertext
/// shows, and a difference to it that is larger than chance is a defect.
#[must_use]
pub fn entropy_expected(values: usize, samples: usize) -> f64 {
    let term = |k: usize| if k == 0 { 0.0 } else { k as f64 * (k as f64).log2() };
    let mean: f64 = binomial(samples, 1.0 / values as f64).iter().map(|(k, chance)| chance * term(*k)).sum();
    (samples as f64).log2() - values as f64 * mean / samples as f64
}

/// Local Shannon entropy (Wu et al. 2013): the mean entropy of random blocks, and the interval it should lie in.
///
/// The interval is computed from the exact variance of the mean. The one that Wu et al. print, `PUBLISHED_INTERVAL`, is
/// narrower by the square root of the number of blocks: their variance is divided by it twice, and about 72 of 100 truly
/// random images fall outside. So it is shown, and nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalEntropy {
    /// The mean over the blocks.
    pub mean: f64,
    /// The interval that holds the mean of a random image with the chance `1 - alpha`.
    pub acceptable: [f64; 2],
}

impl LocalEntropy {
    /// Whether the image passes.
    #[must_use]
    pub fn holds(&self) -> bool {
        (self.acceptable[0]..=self.acceptable[1]).contains(&self.mean)
    }
}

/// The interval that Wu et al. 2013 print for alpha = 0.05 and 30 blocks of 1936 pixels.
pub const PUBLISHED_INTERVAL: [f64; 2] = [7.901_901_305, 7.903_037_329];

/// The edge of the square blocks: 44 x 44 = 1936 pixels, as Wu et al. recommend.
const EDGE: usize = 44;
/// How many blocks they recommend.
const BLOCKS: usize = 30;

/// Local Shannon entropy of an 8-bit image: 30 random blocks of 44 x 44 pixels that do not overlap, chosen by `seed`.
pub fn local_entropy(image: &Raster, alpha: f64, seed: u64) -> Result<LocalEntropy, EvaluateError> {
    if image.bits() != 8 {
        return Err(EvaluateError::Parameter {
            parameter: "the bits of a sample for local entropy",
            found: image.bits().to_string(),
            allowed: "8; measure 16-bit images by their bytes",
        });
    }
    // The blocks come from a grid, so that none overlaps another; the first channel stands for all.
    let (across, down) = (image.width() / EDGE, image.height() / EDGE);
    at_least("local entropy", "blocks of 44 x 44 pixels", BLOCKS, across * down)?;
    let mut seeded = Seeded::new(seed);
    let mut chosen = HashSet::new();
    let mut sum = 0.0;
    while chosen.len() < BLOCKS {
        let block = seeded.below(across * down);
        if chosen.insert(block) {
            sum += block_entropy(image, block % across * EDGE, block / across * EDGE);
        }
    }
    let (mean, variance) = *OF_A_BLOCK;
    let spread = normal_quantile(1.0 - alpha / 2.0) * (variance / BLOCKS as f64).sqrt();
    Ok(LocalEntropy { mean: sum / BLOCKS as f64, acceptable: [mean - spread, mean + spread] })
}

/// Mean and variance of the entropy of one block.
static OF_A_BLOCK: LazyLock<(f64, f64)> = LazyLock::new(|| block_statistics(256, EDGE * EDGE));

fn block_entropy(image: &Raster, left: usize, top: usize) -> f64 {
    let row = |y: usize| (y * image.width() + left) * image.channels();
    let block = (top..top + EDGE).flat_map(|y| {
        image.samples()[row(y)..row(y) + EDGE * image.channels()].iter().step_by(image.channels())
    });
    entropy(&counts(block.copied(), 256))
}

/// Mean and variance of the entropy of `samples` random samples of `values` values, exactly, from the multinomial law.
///
/// Entropy is log2(n) - sum(k log2 k) / n over the counts k; each count is binomial, two counts together are
/// trinomial, and all pairs are alike. Counts further than 12 deviations from their mean are left out.
fn block_statistics(values: usize, samples: usize) -> (f64, f64) {
    let (n, p) = (samples as f64, 1.0 / values as f64);
    let term = |k: usize| if k == 0 { 0.0 } else { k as f64 * (k as f64).log2() };
    let first = binomial(samples, p);
    let mean_term: f64 = first.iter().map(|(k, chance)| chance * term(*k)).sum();
    let square: f64 = first.iter().map(|(k, chance)| chance * term(*k).powi(2)).sum();
    let mean = n.log2() - values as f64 * mean_term / n;
    if values < 2 {
        return (mean, 0.0);
    }
    // Given the first count is k, the second is binomial over the other n - k samples and values - 1 values.
    let product: f64 = first
        .iter()
        .filter(|(_, chance)| *chance > 1e-18)
        .map(|(k, chance)| {
            let second = binomial(samples - k, 1.0 / (values - 1) as f64);
            chance * term(*k) * second.iter().map(|(j, c)| c * term(*j)).sum::<f64>()
        })
        .sum();
    let m = values as f64;
    let variance = m * (square - mean_term.powi(2)) + m * (m - 1.0) * (product - mean_term.powi(2));
    (mean, variance / (n * n))
}

/// The chances of a binomial distribution around its mean.
fn binomial(n: usize, p: f64) -> Vec<(usize, f64)> {
    let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
    let low = (mean - 12.0 * deviation - 12.0).max(0.0) as usize;
    let high = ((mean + 12.0 * deviation + 12.0) as usize).min(n);
    // From the mode outwards: ratios of neighbours keep every digit, where factorials would lose them.
    let mode = (((n + 1) as f64 * p) as usize).clamp(low, high);
    let mut weights = vec![0.0; high - low + 1];
    weights[mode - low] = 1.0;
    let odds = p / (1.0 - p);
    for k in mode..high {
        weights[k + 1 - low] = weights[k - low] * odds * (n - k) as f64 / (k + 1) as f64;
    }
    for k in (low..mode).rev() {
        weights[k - low] = weights[k + 1 - low] * (k + 1) as f64 / (odds * (n - k) as f64);
    }
    let total: f64 = weights.iter().sum();
    weights.into_iter().enumerate().map(|(i, weight)| (low + i, weight / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_distributions() {
        assert!((entropy(&[1; 256]) - 8.0).abs() < 1e-12);
        assert!((entropy(&[1, 1]) - 1.0).abs() < 1e-12);
        assert!(entropy(&[5, 0, 0]).abs() < 1e-12);
        // H(1/2, 1/4, 1/4) = 3/2.
        assert!((entropy(&[2, 1, 1]) - 1.5).abs() < 1e-12);
    }

    #[test]
    fn mean_and_variance_are_those_of_scipy() {
        // testdata/evaluate/known_answers.py sums the same law with SciPy's binomial chances; Wu et al. 2013 print
        // the same mean, 7.902469317.
        let (mean, variance) = block_statistics(256, 1936);
        assert!((mean - 7.902_469_316_646_557).abs() < 1e-10, "{mean}");
        assert!((variance / 7.558_956_295_566e-5 - 1.0).abs() < 1e-4, "{variance}");
    }

    #[test]
    fn the_published_interval_divides_the_variance_twice() {
        let (mean, variance) = block_statistics(256, 1936);
        let spread = normal_quantile(0.975) * (variance / 30.0 / 30.0).sqrt();
        assert!((mean - spread - PUBLISHED_INTERVAL[0]).abs() < 2e-6);
        assert!((mean + spread - PUBLISHED_INTERVAL[1]).abs() < 2e-6);
    }

    #[test]
    fn random_images_stay_in_the_interval_as_often_as_it_says() {
        let mut seeded = Seeded::new(77);
        let mut bytes = vec![0; 44 * 6 * 44 * 5];
        let inside = (0..400).filter(|_| {
            seeded.fill(&mut bytes);
            let image = Raster::from_bytes(44 * 6, 44 * 5, 1, &bytes).unwrap();
            local_entropy(&image, 0.05, 1).unwrap().holds()
        });
        // 380 of 400 are expected, with a deviation of 4.4.
        assert!((362..=398).contains(&inside.count()));
    }

    #[test]
    fn a_finite_sample_is_expected_to_fall_short_of_eight_bits() {
        // Miller and Madow: about (values - 1) / (2 n ln 2) below.
        let expected = entropy_expected(256, 196_608);
        assert!(
            (8.0 - expected - 255.0 / (2.0 * 196_608.0 * std::f64::consts::LN_2)).abs() < 1e-6,
            "{expected}"
        );
    }

    #[test]
    fn random_images_pass_and_ramps_do_not() {
        let mut bytes = vec![0; 512 * 512];
        Seeded::new(3).fill(&mut bytes);
        let random = Raster::from_bytes(512, 512, 1, &bytes).unwrap();
        assert!(local_entropy(&random, 0.001, 1).unwrap().holds());
        let ramp: Vec<u8> = (0..512 * 512).map(|i| (i % 256) as u8).collect();
        // Every value is equally frequent, so the global entropy is perfect; the local one is not.
        let ramp = Raster::from_bytes(512, 512, 1, &ramp).unwrap();
        assert!(!local_entropy(&ramp, 0.001, 1).unwrap().holds());
    }

    #[test]
    fn too_small_an_image_is_refused() {
        let small = Raster::from_bytes(44, 44, 1, &[0; 44 * 44]).unwrap();
        assert!(local_entropy(&small, 0.05, 1).unwrap_err().to_string().contains("there are 1"));
    }
}
