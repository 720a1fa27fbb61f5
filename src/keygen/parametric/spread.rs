//! How evenly a network spreads its outputs, and how little they hang together.

use serde::{Deserialize, Serialize};

use super::file::OUTPUTS;
use super::{Network, Reading, sample, with_one_bit};

/// What was measured over metadata that the network has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub samples: u64,
    /// The largest distance of an output's distribution from the even one (Kolmogorov-Smirnov).
    pub unevenness: f64,
    /// The largest correlation between two outputs, without its sign.
    pub between_outputs: f64,
    /// The largest correlation between an output and the same one after one bit of the metadata changed.
    pub after_one_bit: f64,
}

impl Spread {
    /// Measures a network.
    #[must_use]
    pub fn of(network: &Network, seed: &str, samples: u64) -> Self {
        let read = |metadata: &[u8]| fractions(&network.read(metadata));
        let all: Vec<Vec<u8>> = (0..samples).map(|number| sample(seed, number)).collect();
        let outputs: Vec<_> = all.iter().map(|metadata| read(metadata)).collect();
        let changed: Vec<_> = (0..).zip(&all).map(|(n, metadata)| read(&with_one_bit(metadata, n))).collect();
        let column = |of: &[[f64; OUTPUTS]], at: usize| of.iter().map(|run| run[at]).collect::<Vec<f64>>();
        let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| a.max(b.abs()));
        let pairs = || (0..OUTPUTS).flat_map(|one| (0..one).map(move |other| (one, other)));
        Self {
            samples,
            unevenness: largest(&mut (0..OUTPUTS).map(|at| unevenness(column(&outputs, at)))),
            between_outputs: largest(
                &mut pairs()
                    .map(|(one, other)| correlation(&column(&outputs, one), &column(&outputs, other))),
            ),
            after_one_bit: largest(
                &mut (0..OUTPUTS).map(|at| correlation(&column(&outputs, at), &column(&changed, at))),
            ),
        }
    }
}

fn fractions(reading: &Reading) -> [f64; OUTPUTS] {
    reading.outputs.map(|output| f64::from(output) / f64::from(1_u32 << Reading::OUTPUT_BITS))
}

#[expect(clippy::cast_precision_loss, reason = "there are few samples")]
fn unevenness(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let off = |(at, value): (usize, &f64)| {
        let at = at as f64;
        (value - at / count).abs().max((value - (at + 1.0) / count).abs())
    };
    values.iter().enumerate().map(off).fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "there are few samples")]
fn correlation(one: &[f64], other: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (a, b) = (mean(one), mean(other));
    let sum = |of: &mut dyn Iterator<Item = f64>| of.sum::<f64>();
    let together = sum(&mut one.iter().zip(other).map(|(x, y)| (x - a) * (y - b)));
    let apart =
        sum(&mut one.iter().map(|x| (x - a).powi(2))) * sum(&mut other.iter().map(|y| (y - b).powi(2)));
    together / apart.sqrt().max(f64::MIN_POSITIVE)
}
