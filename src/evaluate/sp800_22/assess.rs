//! What the P-values of many sequences say together: SP 800-22 section 4.2.

use rayon::prelude::*;

use super::{ALPHA, Bits, Test, run};
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;
use crate::evaluate::special::igamc;

/// Below this many P-values their uniformity says nothing, section 4.2.2.
const UNIFORMITY_MIN: usize = 55;

/// The chance below which P-values are taken not to be uniform, section 4.2.2.
const UNIFORMITY_LIMIT: f64 = 0.0001;

/// One P-value's fate over all sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSummary {
    /// The test.
    pub test: Test,
    /// Which part of it.
    pub part: String,
    /// The sequences to which it could be applied.
    pub sequences: usize,
    /// Those with a P-value of at least `ALPHA`.
    pub passed: usize,
    /// How the P-values spread over ten equal classes.
    pub classes: [u32; 10],
    /// The chance of such a spread, where there are enough P-values to say.
    pub uniformity: Option<f64>,
}

impl LineSummary {
    /// The share of sequences that passed.
    #[must_use]
    pub fn proportion(&self) -> f64 {
        self.passed as f64 / self.sequences as f64
    }

    /// The interval in which the share should lie, section 4.2.1.
    #[must_use]
    pub fn acceptable(&self) -> [f64; 2] {
        let spread = 3.0 * (ALPHA * (1.0 - ALPHA) / self.sequences as f64).sqrt();
        [(1.0 - ALPHA - spread).max(0.0), (1.0 - ALPHA + spread).min(1.0)]
    }

    /// Whether share and spread are as they should be; lines that could not be tested hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        let [low, high] = self.acceptable();
        self.sequences == 0
            || ((low..=high).contains(&self.proportion())
                && self.uniformity.is_none_or(|p| p >= UNIFORMITY_LIMIT))
    }

    /// Whether the result lies so far out that no number of lines looked at explains it.
    fn is_hopeless(&self) -> bool {
        let deviation =
            (1.0 - ALPHA - self.proportion()) / (ALPHA * (1.0 - ALPHA) / self.sequences as f64).sqrt();
        self.sequences > 0 && (deviation > 10.0 || self.uniformity.is_some_and(|p| p < 1e-12))
    }
}

/// The suite over many sequences of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// How many sequences were tested.
    pub sequences: usize,
    /// The bits of each.
    pub bits: usize,
    /// One summary for each P-value.
    pub lines: Vec<LineSummary>,
}

impl Assessment {
    /// The lines that do not hold.
    pub fn failures(&self) -> impl Iterator<Item = &LineSummary> {
        self.lines.iter().filter(|line| !line.holds())
    }

    /// How many lines were tested at all.
    #[must_use]
    pub fn tested(&self) -> usize {
        self.lines.iter().filter(|line| line.sequences > 0).count()
    }

    /// How many failures a perfect source may show: each line fails by chance about once in 300 times, and the lines of
    /// one sequence are not independent, so up to 2 % of them are borne.
    #[must_use]
    pub fn failures_borne(&self) -> usize {
        (self.tested() as f64 * 0.02).ceil() as usize
    }

    /// Whether this source is caught: one line beyond all chance, or more failures than chance explains.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        self.lines.iter().any(LineSummary::is_hopeless) || self.failures().count() > self.failures_borne()
    }
}

/// Runs the suite over as many sequences of `bits` bits as `data` holds, on all cores; `done` is called after each.
pub fn assess(data: &[u8], bits: usize, done: impl Fn() + Sync) -> Result<Assessment, EvaluateError> {
    if bits == 0 || bits % 8 != 0 {
        return Err(EvaluateError::Parameter {
            parameter: "the bits of a sequence",
            found: bits.to_string(),
            allowed: "a positive multiple of 8",
        });
    }
    at_least("the test suite", "bits", bits, data.len() * 8)?;
    let results: Vec<_> = data
        .par_chunks_exact(bits / 8)
        .map(|sequence| {
            let lines = run(&Bits::from_bytes(sequence));
            done();
            lines
        })
        .collect();
    let lines = (0..results[0].len())
        .map(|i| {
            let p_values: Vec<f64> = results.iter().filter_map(|lines| lines[i].p_value).collect();
            let line = &results[0][i];
            summary(line.test, line.part.clone(), &p_values)
        })
        .collect();
    Ok(Assessment { sequences: results.len(), bits, lines })
}

fn summary(test: Test, part: String, p_values: &[f64]) -> LineSummary {
    let mut classes = [0_u32; 10];
    for p in p_values {
        classes[((p * 10.0) as usize).min(9)] += 1;
    }
    let uniformity = (p_values.len() >= UNIFORMITY_MIN).then(|| {
        let expected = p_values.len() as f64 / 10.0;
        let chi_square: f64 = classes.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        igamc(4.5, chi_square / 2.0)
    });
    let passed = p_values.iter().filter(|p| **p >= ALPHA).count();
    LineSummary { test, part, sequences: p_values.len(), passed, classes, uniformity }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(p_values: &[f64]) -> LineSummary {
        summary(Test::Frequency, String::new(), p_values)
    }

    #[test]
    fn the_interval_is_the_documents() {
        // 4.2.1: 1000 sequences and alpha = 0.01 give 0.99 +- 0.0094392.
        let [low, high] = line(&[0.5; 1000]).acceptable();
        assert!((low - 0.980_560_8).abs() < 1e-6 && (high - 0.999_439_2).abs() < 1e-6, "{low} {high}");
    }

    #[test]
    fn uniform_p_values_hold_and_equal_ones_do_not() {
        let uniform: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
        assert!(line(&uniform).holds());
        assert!((line(&uniform).uniformity.unwrap() - 1.0).abs() < 1e-12);
        assert!(!line(&[0.5; 100]).holds());
        assert!(line(&[0.5; 54]).uniformity.is_none());
    }

    #[test]
    fn too_many_low_p_values_do_not_hold() {
        let mut p_values: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
        p_values[50..54].fill(0.001);
        assert!(!line(&p_values).holds());
    }

    #[test]
    fn a_length_that_is_no_multiple_of_eight_is_refused() {
        assert!(assess(&[0; 100], 15, || ()).is_err());
        assert!(assess(&[0; 1], 16, || ()).is_err());
    }
}
