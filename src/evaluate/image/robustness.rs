//! Damage to try on ciphertexts: noise, and parts cut out.

use super::raster::Raster;
use crate::evaluate::{EvaluateError, Seeded};

/// What disturbs an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// This share of the samples becomes black or white.
    SaltAndPepper(f64),
    /// Every sample moves by a normal variable with this deviation, as a share of the peak.
    Gaussian(f64),
}

/// The image with noise drawn by `seed`.
pub fn disturb(image: &Raster, noise: Noise, seed: u64) -> Result<Raster, EvaluateError> {
    let strength = match noise {
        Noise::SaltAndPepper(share) | Noise::Gaussian(share) => share,
    };
    if !(0.0..=1.0).contains(&strength) {
        return Err(EvaluateError::Parameter {
            parameter: "the strength of noise",
            found: strength.to_string(),
            allowed: "0 to 1",
        });
    }
    let mut seeded = Seeded::new(seed);
    let peak = f64::from(image.peak());
    let samples = image.samples().iter().map(|sample| match noise {
        Noise::SaltAndPepper(share) if unit(&mut seeded) < share => {
            if seeded.next_u64() & 1 == 1 {
                image.peak()
            } else {
                0
            }
        }
        Noise::SaltAndPepper(_) => *sample,
        Noise::Gaussian(deviation) => {
            let moved = f64::from(*sample) + deviation * peak * normal(&mut seeded);
            moved.round().clamp(0.0, peak) as u16
        }
    });
    image.with_samples(samples.collect())
}

/// The image with the rectangle of `width` x `height` pixels at (`left`, `top`) set to zero.
pub fn crop(
    image: &Raster,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
) -> Result<Raster, EvaluateError> {
    let mut samples = image.samples().to_vec();
    let (stride, channels) = (image.width() * image.channels(), image.channels());
    let (from, to) = (left.min(image.width()), left.saturating_add(width).min(image.width()));
    for row in top.min(image.height())..top.saturating_add(height).min(image.height()) {
        samples[row * stride + from * channels..row * stride + to * channels].fill(0);
    }
    image.with_samples(samples)
}

/// A number from 0 to below 1.
fn unit(seeded: &mut Seeded) -> f64 {
    (seeded.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A standard normal number (Box and Muller).
fn normal(seeded: &mut Seeded) -> f64 {
    let radius = (-2.0 * (1.0 - unit(seeded)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(seeded)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey() -> Raster {
        Raster::from_bytes(100, 100, 1, &[128; 10_000]).unwrap()
    }

    #[test]
    fn salt_and_pepper_touches_its_share() {
        let noisy = disturb(&grey(), Noise::SaltAndPepper(0.1), 4).unwrap();
        let count = |value| noisy.samples().iter().filter(|s| **s == value).count();
        assert!((900..1100).contains(&(count(0) + count(255))), "{} {}", count(0), count(255));
        assert!(count(0) > 400 && count(255) > 400 && count(128) == 10_000 - count(0) - count(255));
    }

    #[test]
    fn gaussian_noise_has_its_deviation() {
        let noisy = disturb(&grey(), Noise::Gaussian(0.1), 4).unwrap();
        let variance: f64 =
            noisy.samples().iter().map(|s| (f64::from(*s) - 128.0).powi(2)).sum::<f64>() / 1e4;
        assert!((variance.sqrt() - 25.5).abs() < 0.7, "{}", variance.sqrt());
    }

    #[test]
    fn a_cut_is_black_and_stays_inside() {
        let cut = crop(&grey(), 90, 95, 50, usize::MAX).unwrap();
        assert_eq!(cut.samples().iter().filter(|s| **s == 0).count(), 50);
        assert_eq!(cut.samples()[99 * 100 + 89], 128);
    }

    #[test]
    fn impossible_strengths_are_refused() {
        assert!(disturb(&grey(), Noise::Gaussian(f64::NAN), 1).is_err());
        assert!(disturb(&grey(), Noise::SaltAndPepper(1.5), 1).is_err());
    }
}
