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
        /// The correlation of neighbours, or with the image, or Cramer's coefficient of dependence on it.
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
                 {expected:.4}; P-value {}",
                if *p_value > 0.0 { format!("{p_value:.1e}") } else { "below 1e-300".to_owned() }
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
                write!(f, "a dependence of {coefficient:.3} remains where chance explains {noise:.3}")
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
/// The same for samples of fewer than `SHORT` bytes, of which a perfect source gets down to 5.5.
const ENTROPY_SHARE_SHORT: f64 = 0.5;
const SHORT: usize = 100_000;

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
    findings.extend(uneven(bytes));
    findings
}

/// Whether some bytes are more frequent than others, beyond all chance.
fn uneven(bytes: &[u8]) -> Option<Finding> {
    let histogram = of_bytes(bytes);
    (histogram.p_value < CHANCE).then(|| {
        let entropy = super::image::entropy(&histogram.counts);
        let expected = super::image::entropy_expected(256, bytes.len());
        Finding::Uneven { p_value: histogram.p_value, entropy, expected }
    })
}

/// What the estimators of min-entropy give away.
#[must_use]
pub fn of_estimates(estimates: &MinEntropy) -> Option<Finding> {
    let share = if estimates.sample < SHORT { ENTROPY_SHARE_SHORT } else { ENTROPY_SHARE };
    let low = estimates.per_byte < 8.0 * share;
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

/// Whether two keys give what is nearly the same: less than nine tenths of what unrelated samples of so many bits differ in.
/// Keys that are merely uneven coincide a little more often than by chance, and are named for that.
#[must_use]
pub fn ignores_key(npcr: f64, bits: u8) -> Option<Finding> {
    (npcr < 0.9 * critical_values(bits, 1, 0.5).npcr_mean).then_some(Finding::IgnoresKey { npcr })
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
    if let Ok(changed) = difference(trial.cipher, trial.other_key) {
        findings.extend(ignores_key(changed.npcr, trial.cipher.bits()));
    }
    findings.extend(shows_image(trial.plain, trial.cipher));
    // Below 8 bits a sample the bytes of a raster are not those of a stream.
    findings.extend(Some(trial.cipher).filter(|c| c.bits() >= 8).and_then(|c| uneven(&c.to_bytes())));
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

/// What chance does not explain: a correlation of neighbours or with the image, or any other dependence on it.
fn shows_image(plain: &Raster, cipher: &Raster) -> Option<Finding> {
    let mut coefficients: Vec<f64> = Direction::ALL
        .into_iter()
        .filter_map(|direction| correlation(cipher, direction).ok()?.coefficient)
        .collect();
    coefficients.extend(coefficient(plain.samples(), cipher.samples()));
    // Six standard errors: beyond any number of images looked at.
    let noise = 6.0 / (cipher.samples().len() as f64).sqrt();
    let strongest = coefficients.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    if strongest.abs() > noise {
        return Some(Finding::ShowsImage { coefficient: strongest, noise });
    }
    let (coefficient, noise) = dependence(plain, cipher)?;
    (coefficient > noise).then_some(Finding::ShowsImage { coefficient, noise })
}

/// Classes of encrypted samples: their highest four bits.
const CLASSES: usize = 16;

/// Cramer's coefficient between the quarters of the plain values and the classes of the encrypted ones, and what chance
/// explains of it. A key of low entropy need not correlate to show an image: dark and bright parts differ in spread.
fn dependence(plain: &Raster, cipher: &Raster) -> Option<(f64, f64)> {
    let mut sorted = plain.samples().to_vec();
    sorted.sort_unstable();
    let limits = [1, 2, 3].map(|quarter| sorted[sorted.len() * quarter / 4]);
    let mut counts = [[0_u32; CLASSES]; 4];
    let shift = cipher.bits().saturating_sub(4);
    for (value, sample) in plain.samples().iter().zip(cipher.samples()) {
        let quarter = limits.iter().filter(|limit| value >= *limit).count();
        counts[quarter][usize::from(sample >> shift).min(CLASSES - 1)] += 1;
    }
    // Five to be expected in a class is the least at which the statistic follows its law.
    let rows: Vec<_> = counts.iter().filter(|row| row.iter().sum::<u32>() as usize >= 5 * CLASSES).collect();
    let total: f64 = rows.iter().flat_map(|row| row.iter()).map(|n| f64::from(*n)).sum();
    let of_class: Vec<f64> =
        (0..CLASSES).map(|class| rows.iter().map(|row| f64::from(row[class])).sum()).collect();
    let classes = of_class.iter().filter(|n| **n > 0.0).count();
    let least = rows.len().min(classes);
    if least < 2 {
        return None;
    }
    let mut chi_square = 0.0;
    for row in &rows {
        let of_row: f64 = row.iter().map(|n| f64::from(*n)).sum();
        for (n, of_class) in row.iter().zip(&of_class).filter(|(_, of_class)| **of_class > 0.0) {
            let expected = of_row * of_class / total;
            chi_square += (f64::from(*n) - expected).powi(2) / expected;
        }
    }
    let freedom = ((rows.len() - 1) * (classes - 1)) as f64;
    let share = |statistic: f64| (statistic / (total * (least - 1) as f64)).sqrt();
    // Ten deviations of the chi-square law: about one chance in 10^11.
    Some((share(chi_square), share(freedom + 10.0 * (2.0 * freedom).sqrt())))
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
    use crate::evaluate::sp800_90b::min_entropy;

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
    fn a_short_sample_of_an_honest_source_is_not_said_to_hold_little() {
        for source in [Comparison::Rc4, Comparison::AesCtr, Comparison::MersenneTwister] {
            let estimates = min_entropy(&drawn(source, 10_000)).unwrap();
            assert_eq!(of_estimates(&estimates), None, "{source}: {}", estimates.per_byte);
        }
        assert!(of_estimates(&min_entropy(&drawn(Comparison::Repeated, 10_000)).unwrap()).is_some());
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
    fn a_key_of_low_entropy_is_caught_over_deep_images_whose_high_bytes_hide_it() {
        let words: Vec<u8> = (0..96 * 96_u16).flat_map(|i| (900 + i % 96).to_le_bytes()).collect();
        let raster = |bytes: &[u8]| Raster::from_words(96, 96, 1, bytes).unwrap();
        let with = |seed| {
            let mut key = vec![0; words.len()];
            Comparison::LowEntropy.open(seed).fill(&mut key);
            raster(&words.iter().zip(key).map(|(a, b)| a ^ b).collect::<Vec<u8>>())
        };
        let plain = raster(&words);
        let (cipher, other_key, other_cipher) = (with(1), with(2), with(3));
        let trial = Trial {
            plain: &plain,
            cipher: &cipher,
            other_key: &other_key,
            other_plain: &plain,
            other_cipher: &other_cipher,
            decrypted: &plain,
        };
        assert!(names(&of_trial(&trial)).contains(&"uneven values"), "{:?}", of_trial(&trial));
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
