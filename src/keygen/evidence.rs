//! What can be counted in key images: entropy, histogram, likeness. It finds defects; it proves no security.

use super::image::KeyImage;

/// Counted over some key images of one generator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Key images.
    pub images: usize,
    /// The least Shannon entropy of an image, in bits for each byte.
    pub entropy_min: f64,
    /// The largest chi-square of an image's histogram against a uniform one, with 255 degrees of freedom.
    pub chi_square_max: f64,
    /// The mean of them.
    pub chi_square_mean: f64,
    /// The largest part of bytes that two neighbouring images have in common; 1 in 256 by chance.
    pub equal_bytes_max: f64,
}

/// Entropy that every key image must have.
pub const ENTROPY_MIN: f64 = 7.99;
/// A chi-square with 255 degrees of freedom is above this once in ten million times.
pub const CHI_SQUARE_LIMIT: f64 = 388.0;
/// Two images with more equal bytes than this are no coincidence: 1 in 256 is, give or take 3 %.
pub const EQUAL_BYTES_LIMIT: f64 = 0.005;

impl Evidence {
    /// Counts.
    #[must_use]
    pub fn of(images: &[KeyImage]) -> Self {
        let mut evidence = Self {
            images: images.len(),
            entropy_min: f64::INFINITY,
            chi_square_max: 0.0,
            chi_square_mean: 0.0,
            equal_bytes_max: 0.0,
        };
        for image in images {
            let counts = histogram(image.expose_secret());
            evidence.entropy_min = evidence.entropy_min.min(entropy(&counts));
            let chi_square = chi_square(&counts);
            evidence.chi_square_max = evidence.chi_square_max.max(chi_square);
            evidence.chi_square_mean += chi_square / count(images.len());
        }
        for pair in images.windows(2) {
            let equal = 1.0 - difference(pair[0].expose_secret(), pair[1].expose_secret()).0;
            evidence.equal_bytes_max = evidence.equal_bytes_max.max(equal);
        }
        evidence
    }

    /// What is wrong, if anything is.
    pub fn check(&self) -> Result<(), String> {
        if self.entropy_min < ENTROPY_MIN {
            return Err(format!(
                "a key image has an entropy of {:.4}, at least {ENTROPY_MIN} is needed",
                self.entropy_min
            ));
        }
        if self.chi_square_max > CHI_SQUARE_LIMIT {
            return Err(format!(
                "a key image has a chi-square of {:.0}, the limit is {CHI_SQUARE_LIMIT}",
                self.chi_square_max
            ));
        }
        if self.equal_bytes_max > EQUAL_BYTES_LIMIT {
            return Err(format!(
                "two key images have {:.2} % of their bytes in common, the limit is {:.2} %",
                self.equal_bytes_max * 100.0,
                EQUAL_BYTES_LIMIT * 100.0
            ));
        }
        Ok(())
    }
}

/// How often each byte is there.
#[must_use]
pub fn histogram(bytes: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    counts
}

/// Shannon entropy in bits for each byte.
#[must_use]
pub fn entropy(counts: &[u64; 256]) -> f64 {
    let total: f64 = counts.iter().map(|n| float(*n)).sum();
    let share = |n: &u64| float(*n) / total;
    counts.iter().filter(|n| **n > 0).map(|n| share(n) * (1.0 / share(n)).log2()).sum()
}

/// Chi-square against the uniform distribution.
#[must_use]
pub fn chi_square(counts: &[u64; 256]) -> f64 {
    let expected = counts.iter().map(|n| float(*n)).sum::<f64>() / 256.0;
    counts.iter().map(|n| (float(*n) - expected).powi(2) / expected).sum()
}

/// The part of bytes that differ (NPCR), and by how much of 255 on average (UACI).
#[must_use]
pub fn difference(one: &[u8], other: &[u8]) -> (f64, f64) {
    let pairs = || one.iter().zip(other);
    let total = count(one.len().min(other.len()));
    let changed = count(pairs().filter(|(a, b)| a != b).count());
    let sum: u64 = pairs().map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    (changed / total, float(sum) / 255.0 / total)
}

fn count(number: usize) -> f64 {
    float(number as u64)
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_definitions() {
        let even = std::array::from_fn(|_| 768);
        assert!((entropy(&even) - 8.0).abs() < 1e-9 && chi_square(&even) == 0.0);
        let mut two = [0; 256];
        (two[3], two[200]) = (50, 50);
        assert!((entropy(&two) - 1.0).abs() < 1e-9);
        // 100 bytes, 100/256 expected of each: 254 are missing and two are 50.
        let expected: f64 =
            254.0 * (100.0 / 256.0) + 2.0 * (50.0 - 100.0 / 256.0_f64).powi(2) / (100.0 / 256.0);
        assert!((chi_square(&two) - expected).abs() < 1e-6);
        let (npcr, uaci) = difference(&[0, 10, 255, 7], &[0, 20, 0, 7]);
        assert!((npcr - 0.5).abs() < 1e-9 && (uaci - 265.0 / 255.0 / 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_generator_that_gives_one_image_for_all_seeds_is_found() {
        let mut bytes = vec![0; KeyImage::LENGTH];
        crate::keygen::Seed::new([3; 32]).expand_into(&mut bytes);
        let good = KeyImage::new(bytes.clone().into()).unwrap();
        assert!(Evidence::of(std::slice::from_ref(&good)).check().is_ok());
        let error = Evidence::of(&[good.clone(), good]).check().unwrap_err();
        assert!(error.contains("100.00 % of their bytes in common"), "{error}");
        bytes[..1000].fill(17);
        let uneven = KeyImage::new(bytes.into()).unwrap();
        assert!(Evidence::of(&[uneven]).check().unwrap_err().contains("chi-square"));
        assert!(Evidence::of(&[KeyImage::blank()]).check().unwrap_err().contains("entropy of 0.0000"));
    }
}
