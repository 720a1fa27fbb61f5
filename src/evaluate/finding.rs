//! Defects with names: what a report has to say about a source or a suite before any table.

use std::fmt;

use super::image::{Direction, Raster, correlation, critical_values, difference, of_bytes};
use super::sp800_22::Assessment;
use super::sp800_90b::MinEntropy;

/// Something that is wrong, and that a reader has to know first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Finding {
    /// Every byte is the same.
    Constant(u8),
    /// The bytes repeat.
    Repeats {
        /// After so many bytes.
        period: usize,
    },
    /// Values are not equally frequent, beyond all chance.
    Uneven {
        /// The P-value of the histogram.
        p_value: f64,
        /// Entropy in bits a byte.
        entropy: f64,
        /// What an even source of this length shows.
        expected: f64,
    },
    /// The estimators of SP 800-90B find less entropy than an even source shows.
    LowEntropy {
        /// Bits a byte.
        per_byte: f64,
        /// The estimator that found it.
        estimator: &'static str,
    },
    /// SP 800-22 rejects it.
    FailsSuite {
        /// The test with the most failures.
        test: &'static str,
        /// Lines that do not hold.
        failed: usize,
        /// Lines that were tested.
        tested: usize,
    },
    /// Two images were encrypted with the same stream: their ciphertexts give away how the images differ.
    KeyUsedTwice,
    /// The same image under another key gives nearly the same ciphertext.
    IgnoresKey {
        /// The share of samples that changed.
        npcr: f64,
    },
    /// The ciphertext still follows the image.
    ShowsImage {
        /// The correlation of plain and encrypted samples, or of neighbours.
        coefficient: f64,
        /// What chance explains.
        noise: f64,
    },
    /// What was encrypted does not come back.
    NotReversible,
}

impl Finding {
    /// Its name, the same on every page.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant key",
            Self::Repeats { .. } => "repeated key",
            Self::Uneven { .. } => "uneven values",
            Self::LowEntropy { .. } => "low entropy",
            Self::FailsSuite { .. } => "fails SP 800-22",
            Self::KeyUsedTwice => "key used twice",
            Self::IgnoresKey { .. } => "does not react to the key",
            Self::ShowsImage { .. } => "the image shows through",
            Self::NotReversible => "not reversible",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(byte) => write!(f, "every byte is {byte}"),
            Self::Repeats { period } => write!(f, "the bytes repeat after {period}"),
            Self::Uneven { p_value, entropy, expected } => write!(
                f,
                "values are not equally frequent: {entropy:.4} bits a byte where an even source of this length shows \
                 {expected:.4}; P-value {p_value:.1e}"
            ),
            Self::LowEntropy { per_byte, estimator } => {
                write!(
                    f,
                    "at most {per_byte:.2} bits of entropy a byte, by the estimator \"{estimator}\" of SP 800-90B"
                )
            }
            Self::FailsSuite { test, failed, tested } => {
                write!(
                    f,
                    "{failed} of {tested} lines of SP 800-22 do not hold, most of them of the test \"{test}\""
                )
            }
            Self::KeyUsedTwice => {
                write!(
                    f,
                    "two images under the same stream: the XOR of the ciphertexts is the XOR of the images"
                )
            }
            Self::IgnoresKey { npcr } => {
                write!(
                    f,
                    "the same image under another key changes only {:.2} % of the samples",
                    100.0 * npcr
                )
            }
            Self::ShowsImage { coefficient, noise } => {
                write!(f, "a correlation of {coefficient:.3} remains where chance explains {noise:.3}")
            }
            Self::NotReversible => write!(f, "what was encrypted does not come back bit for bit"),
        }
    }
}

/// The chance below which unevenness is a finding: so small that no honest source meets it in a lifetime of reports.
const CHANCE: f64 = 1e-9;

/// The share of the entropy of an even source below which the estimators' figure is a finding. They are lower bounds:
/// a perfect source of a million bytes gets about 7.9 from most of them, and from the bit estimators down to 6.
const ENTROPY_SHARE: f64 = 0.7;

/// What the bytes of a stream alone give away.
#[must_use]
pub fn of_stream(bytes: &[u8]) -> Vec<Finding> {
    let Some(first) = bytes.first() else { return Vec::new() };
    if bytes.iter().all(|byte| byte == first) {
        return vec![Finding::Constant(*first)];
    }
    let mut findings = Vec::new();
    if let Some(period) = period(bytes) {
        findings.push(Finding::Repeats { period });
    }
    let histogram = of_bytes(bytes);
    if histogram.p_value < CHANCE {
        let entropy = super::image::entropy(&histogram.counts);
        let expected = super::image::entropy_expected(256, bytes.len());
        findings.push(Finding::Uneven { p_value: histogram.p_value, entropy, expected });
    }
    findings
}

/// What the estimators of min-entropy give away.
#[must_use]
pub fn of_estimates(estimates: &MinEntropy) -> Option<Finding> {
    let low = estimates.per_byte < 8.0 * ENTROPY_SHARE;
    low.then(|| Finding::LowEntropy { per_byte: estimates.per_byte, estimator: estimates.lowest() })
}

/// What the suite gives away.
#[must_use]
pub fn of_assessment(assessment: &Assessment) -> Option<Finding> {
    if !assessment.is_caught() {
        return None;
    }
    let failed = assessment.failures().count();
    let count = |test| assessment.failures().filter(|line| line.test == test).count();
    let worst = assessment.failures().map(|line| line.test).max_by_key(|test| count(*test))?;
    Some(Finding::FailsSuite { test: worst.name(), failed, tested: assessment.tested() })
}

/// The shortest period that the whole of `bytes` keeps to, if it does at least twice over.
fn period(bytes: &[u8]) -> Option<usize> {
    // The failure function of Knuth, Morris and Pratt: the longest border of the whole gives the shortest period.
    let mut border = vec![0_usize; bytes.len()];
    let mut length = 0;
    for at in 1..bytes.len() {
        while length > 0 && bytes[at] != bytes[length] {
            length = border[length - 1];
        }
        if bytes[at] == bytes[length] {
            length += 1;
        }
        border[at] = length;
    }
    let period = bytes.len() - length;
    (period * 2 <= bytes.len()).then_some(period)
}

/// Two images and what a suite made of them under the keys that it was given.
pub struct Trial<'a> {
    /// The first image.
    pub plain: &'a Raster,
    /// It, encrypted.
    pub cipher: &'a Raster,
    /// It, encrypted again with another key.
    pub other_key: &'a Raster,
    /// Another image of the same shape.
    pub other_plain: &'a Raster,
    /// That, encrypted as the suite encrypts the next image.
    pub other_cipher: &'a Raster,
    /// What came back from `cipher`.
    pub decrypted: &'a Raster,
}

/// What a suite's ciphertexts give away.
#[must_use]
pub fn of_trial(trial: &Trial<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if trial.decrypted != trial.plain {
        findings.push(Finding::NotReversible);
    }
    if is_same_stream(trial) {
        findings.push(Finding::KeyUsedTwice);
    }
    let samples = trial.plain.samples().len();
    if let Ok(changed) = difference(trial.cipher, trial.other_key) {
        // A thousandth of the level: an honest suite meets it once in a million reports.
        if changed.npcr < critical_values(trial.cipher.bits(), samples, 1e-6).npcr_min {
            findings.push(Finding::IgnoresKey { npcr: changed.npcr });
        }
    }
    findings.extend(shows_image(trial.plain, trial.cipher));
    findings
}

/// Whether the two ciphertexts differ exactly as the two images do.
fn is_same_stream(trial: &Trial<'_>) -> bool {
    let xor = |a: &Raster, b: &Raster| -> Vec<u16> {
        a.samples().iter().zip(b.samples()).map(|(a, b)| a ^ b).collect()
    };
    trial.plain != trial.other_plain
        && xor(trial.plain, trial.other_plain) == xor(trial.cipher, trial.other_cipher)
}

/// The largest correlation that chance does not explain: with the image, or of neighbours.
fn shows_image(plain: &Raster, cipher: &Raster) -> Option<Finding> {
    let mut coefficients: Vec<f64> = Direction::ALL
        .into_iter()
        .filter_map(|direction| correlation(cipher, direction).ok()?.coefficient)
        .collect();
    coefficients.extend(coefficient(plain.samples(), cipher.samples()));
    // Six standard errors: beyond any number of images looked at.
    let noise = 6.0 / (cipher.samples().len() as f64).sqrt();
    let strongest = coefficients.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    (strongest.abs() > noise).then_some(Finding::ShowsImage { coefficient: strongest, noise })
}

/// Pearson's coefficient of two rows of samples.
fn coefficient(x: &[u16], y: &[u16]) -> Option<f64> {
    let n = x.len() as f64;
    let mean = |v: &[u16]| v.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (f64::from(*a) - mean_x, f64::from(*b) - mean_y);
        (xx, yy, xy) = (xx + a * a, yy + b * b, xy + a * b);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Seeded;
    use crate::evaluate::source::Comparison;

    fn drawn(source: Comparison, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        source.open(5).fill(&mut bytes);
        bytes
    }

    fn names(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(Finding::name).collect()
    }

    #[test]
    fn each_weak_source_is_caught_by_name() {
        assert_eq!(names(&of_stream(&drawn(Comparison::Constant, 65_536))), ["constant key"]);
        assert_eq!(of_stream(&drawn(Comparison::Repeated, 65_536))[0], Finding::Repeats { period: 32 });
        assert_eq!(names(&of_stream(&drawn(Comparison::LowEntropy, 65_536))), ["uneven values"]);
    }

    #[test]
    fn honest_streams_give_nothing_away() {
        for source in
            [Comparison::AesCtr, Comparison::MersenneTwister, Comparison::Rc4, Comparison::OperatingSystem]
        {
            assert_eq!(of_stream(&drawn(source, 1 << 18)), [], "{source}");
        }
    }

    #[test]
    fn a_period_is_found_only_where_it_is_kept_to_the_end() {
        assert_eq!(period(b"abcabcab"), Some(3));
        assert_eq!(period(b"abcabcaa"), None);
        assert_eq!(period(b"abcdefab"), None);
    }

    /// A picture with structure, and a stream cipher made of `streams`.
    fn trial_findings(streams: [&[u8]; 3]) -> Vec<&'static str> {
        let picture = |shift: usize| -> Vec<u8> {
            (0..64 * 64).map(|i| ((i % 64 + i / 64 + shift) % 200) as u8).collect()
        };
        let raster = |bytes: &[u8]| Raster::from_bytes(64, 64, 1, bytes).unwrap();
        let xor = |a: &[u8], b: &[u8]| -> Vec<u8> { a.iter().zip(b).map(|(a, b)| a ^ b).collect() };
        let (plain, other) = (picture(0), picture(31));
        let cipher = xor(&plain, streams[0]);
        names(&of_trial(&Trial {
            plain: &raster(&plain),
            cipher: &raster(&cipher),
            other_key: &raster(&xor(&plain, streams[1])),
            other_plain: &raster(&other),
            other_cipher: &raster(&xor(&other, streams[2])),
            decrypted: &raster(&xor(&cipher, streams[0])),
        }))
    }

    #[test]
    fn weak_suites_are_caught_by_name() {
        let stream = |seed| {
            let mut bytes = vec![0; 4096];
            Seeded::new(seed).fill(&mut bytes);
            bytes
        };
        let (a, b, c) = (stream(1), stream(2), stream(3));
        assert_eq!(trial_findings([&a, &b, &c]), [""; 0]);
        assert_eq!(trial_findings([&a, &b, &a]), ["key used twice"]);
        assert_eq!(trial_findings([&a, &a, &c]), ["does not react to the key"]);
        let constant = vec![0x5a; 4096];
        assert!(trial_findings([&constant, &b, &c]).contains(&"the image shows through"));
    }
}
