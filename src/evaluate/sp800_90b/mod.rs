//! The min-entropy estimators of NIST SP 800-90B section 6.3, the ones for sources that are not independent.
//!
//! They bound from above what a source can hold: a low figure is a finding, a high one is none. A good cipher under a
//! known key shows nearly 8 bits a byte and holds none.

mod counting;
mod prediction;
mod predictors;
mod tuples;

pub use counting::{collision, compression, markov, most_common_value};
pub use predictors::{lag, lz78y, multi_mcw, multi_mmc};
pub use tuples::{longest_repeat, t_tuple};

use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;

/// The factor of a 99 % confidence bound, section 6.3.
const CONFIDENCE: f64 = 2.576;

/// How many bits or bytes an estimate looks at: the number that section 3.1.1 asks for.
pub const SAMPLES_MAX: usize = 1_000_000;

/// The bits of bytes as symbols 0 and 1, highest bit first.
#[must_use]
pub fn bits_of(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect()
}

/// One estimator's figures, each in bits of entropy for each byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Its name in the document.
    pub name: &'static str,
    /// Over the bits, times eight.
    pub from_bits: f64,
    /// Over the bytes; some estimators exist for bits only.
    pub from_bytes: Option<f64>,
}

/// All estimates of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct MinEntropy {
    /// Bytes that were looked at.
    pub sample: usize,
    /// The ten estimators, in the document's order.
    pub estimates: Vec<Estimate>,
    /// Bits of entropy for each byte: the lowest of them, section 3.1.3.
    pub per_byte: f64,
}

impl MinEntropy {
    /// The estimator that gave the lowest figure.
    #[must_use]
    pub fn lowest(&self) -> &'static str {
        let low = |e: &Estimate| e.from_bytes.unwrap_or(8.0).min(e.from_bits);
        self.estimates.iter().min_by(|a, b| low(a).total_cmp(&low(b))).map_or("", |estimate| estimate.name)
    }
}

/// An estimator over bits.
type BitEstimator = fn(&[u8]) -> Result<f64, EvaluateError>;

/// An estimator over symbols of `values` values.
type Estimator = fn(&[u8], usize) -> Result<f64, EvaluateError>;

/// All ten estimators over the first million bits and the first million bytes of `bytes`.
pub fn min_entropy(bytes: &[u8]) -> Result<MinEntropy, EvaluateError> {
    at_least("the estimation of min-entropy", "bytes", 10_000, bytes.len())?;
    let bits = bits_of(&bytes[..bytes.len().min(SAMPLES_MAX / 8)]);
    let bytes = &bytes[..bytes.len().min(SAMPLES_MAX)];
    let only_bits: [(&str, BitEstimator); 3] =
        [("Collision", collision), ("Markov", markov), ("Compression", compression)];
    let both: [(&str, Estimator); 7] = [
        ("Most common value", most_common_value),
        ("t-tuple", t_tuple),
        ("Longest repeated substring", longest_repeat),
        ("MultiMCW prediction", multi_mcw),
        ("Lag prediction", lag),
        ("MultiMMC prediction", multi_mmc),
        ("LZ78Y prediction", lz78y),
    ];
    let mut estimates = Vec::with_capacity(10);
    for (name, estimator) in both {
        let (from_bits, from_bytes) = rayon::join(|| estimator(&bits, 2), || estimator(bytes, 256));
        estimates.push(Estimate { name, from_bits: 8.0 * from_bits?, from_bytes: Some(from_bytes?) });
    }
    for (place, (name, estimator)) in only_bits.into_iter().enumerate() {
        estimates.insert(place + 1, Estimate { name, from_bits: 8.0 * estimator(&bits)?, from_bytes: None });
    }
    let per_byte =
        estimates.iter().flat_map(|e| [Some(e.from_bits), e.from_bytes]).flatten().fold(8.0, f64::min);
    Ok(MinEntropy { sample: bytes.len(), estimates, per_byte })
}

/// The upper end of the confidence interval of a share that was seen among `n`.
fn upper_bound(share: f64, n: usize) -> f64 {
    (share + CONFIDENCE * (share * (1.0 - share) / (n as f64 - 1.0)).sqrt()).min(1.0)
}

/// Bits of min-entropy of a chance; never minus zero.
fn min_entropy_of(chance: f64) -> f64 {
    if chance >= 1.0 { 0.0 } else { -chance.log2() }
}
