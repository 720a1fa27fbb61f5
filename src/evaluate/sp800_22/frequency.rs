//! Frequency, frequency within blocks, runs, longest run of ones, cumulative sums: SP 800-22 2.1 to 2.4 and 2.13.

use super::bits::Bits;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;
use crate::evaluate::special::{erfc, igamc, normal_cdf};

/// Frequency (monobit) test, section 2.1: are there as many ones as zeros?
pub fn frequency(bits: &Bits) -> Result<f64, EvaluateError> {
    at_least("the frequency test", "bits", 1, bits.len())?;
    let sum = 2.0 * bits.ones() as f64 - bits.len() as f64;
    Ok(erfc(sum.abs() / (2.0 * bits.len() as f64).sqrt()))
}

/// Frequency test within blocks of `block` bits, section 2.2.
pub fn block_frequency(bits: &Bits, block: usize) -> Result<f64, EvaluateError> {
    at_least("the block frequency test", "bits", block.max(1), bits.len())?;
    let blocks = bits.len() / block.max(1);
    let sum: f64 =
        (0..blocks).map(|i| (bits.ones_in(i * block, block) as f64 / block as f64 - 0.5).powi(2)).sum();
    Ok(igamc(blocks as f64 / 2.0, 4.0 * block as f64 * sum / 2.0))
}

/// Runs test, section 2.3: do ones and zeros alternate too often or too rarely?
pub fn runs(bits: &Bits) -> Result<f64, EvaluateError> {
    at_least("the runs test", "bits", 2, bits.len())?;
    let n = bits.len() as f64;
    let ones = bits.ones() as f64 / n;
    // 2.3.4 (2): without a fair share of ones the test is not applicable, and its P-value is 0.
    if (ones - 0.5).abs() >= 2.0 / n.sqrt() {
        return Ok(0.0);
    }
    let changes = count_changes(bits) as f64 + 1.0;
    let expected = 2.0 * n * ones * (1.0 - ones);
    Ok(erfc((changes - expected).abs() / (2.0 * (2.0 * n).sqrt() * ones * (1.0 - ones))))
}

/// The places where a bit differs from the next one.
fn count_changes(bits: &Bits) -> usize {
    let pairs = bits.len() - 1;
    let whole: u32 =
        (0..pairs / 64).map(|i| (bits.word_at(i * 64) ^ bits.word_at(i * 64 + 1)).count_ones()).sum();
    let rest = pairs % 64;
    let at = pairs - rest;
    let tail =
        if rest == 0 { 0 } else { ((bits.word_at(at) ^ bits.word_at(at + 1)) >> (64 - rest)).count_ones() };
    (whole + tail) as usize
}

/// One row of the tables in sections 2.4.2 and 3.4.
struct LongestRun {
    bits_min: usize,
    block: usize,
    shortest: usize,
    chances: &'static [f64],
}

const LONGEST_RUN: [LongestRun; 3] = [
    LongestRun {
        bits_min: 750_000,
        block: 10_000,
        shortest: 10,
        chances: &[0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727],
    },
    LongestRun {
        bits_min: 6_272,
        block: 128,
        shortest: 4,
        chances: &[0.1174, 0.2430, 0.2493, 0.1752, 0.1027, 0.1124],
    },
    LongestRun { bits_min: 128, block: 8, shortest: 1, chances: &[0.2148, 0.3672, 0.2305, 0.1875] },
];

/// Test for the longest run of ones in a block, section 2.4.
pub fn longest_run(bits: &Bits) -> Result<f64, EvaluateError> {
    at_least("the longest run test", "bits", 128, bits.len())?;
    let row = LONGEST_RUN.iter().find(|row| bits.len() >= row.bits_min).unwrap_or(&LONGEST_RUN[2]);
    let blocks = bits.len() / row.block;
    let mut seen = vec![0_u32; row.chances.len()];
    for block in 0..blocks {
        let longest = longest_in(bits, block * row.block, row.block);
        seen[longest.saturating_sub(row.shortest).min(row.chances.len() - 1)] += 1;
    }
    Ok(fit(&seen, row.chances))
}

/// The P-value of counts against chances, as sections 2.4, 2.5, 2.8 and 2.10 compute it.
pub(super) fn fit(seen: &[u32], chances: &[f64]) -> f64 {
    let total: f64 = seen.iter().map(|n| f64::from(*n)).sum();
    let chi_square: f64 = seen
        .iter()
        .zip(chances)
        .map(|(n, chance)| (f64::from(*n) - total * chance).powi(2) / (total * chance))
        .sum();
    igamc((chances.len() - 1) as f64 / 2.0, chi_square / 2.0)
}

fn longest_in(bits: &Bits, start: usize, length: usize) -> usize {
    let (mut longest, mut run) = (0, 0);
    for at in start..start + length {
        run = if bits.get(at) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Cumulative sums test, section 2.13, read forward and backward.
pub fn cumulative_sums(bits: &Bits) -> Result<[f64; 2], EvaluateError> {
    at_least("the cumulative sums test", "bits", 1, bits.len())?;
    let (mut sum, mut highest, mut lowest) = (0_i32, 0_i32, 0_i32);
    for step in bits.steps() {
        sum += step;
        highest = highest.max(sum);
        lowest = lowest.min(sum);
    }
    let forward = highest.max(-lowest);
    // Backward, the partial sums are the total less the forward ones.
    let backward = (sum - lowest).max(highest - sum);
    Ok([forward, backward].map(|z| excursion_p(bits.len() as f64, f64::from(z))))
}

/// The P-value of the largest excursion `z`, section 2.13.4 (4).
fn excursion_p(n: f64, z: f64) -> f64 {
    if z == 0.0 {
        return 0.0;
    }
    let phi = |k: f64| normal_cdf(k * z / n.sqrt());
    // The limits are cut towards zero, as in the NIST's own programme.
    let range = |from: f64, to: f64| (from.trunc() as i64..=to.trunc() as i64).map(|k| k as f64);
    let last = (n / z - 1.0) / 4.0;
    let first: f64 = range((-n / z + 1.0) / 4.0, last).map(|k| phi(4.0 * k + 1.0) - phi(4.0 * k - 1.0)).sum();
    let second: f64 =
        range((-n / z - 3.0) / 4.0, last).map(|k| phi(4.0 * k + 3.0) - phi(4.0 * k + 1.0)).sum();
    (1.0 - first + second).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 100 bits that the document's examples share.
    const HUNDRED: &str = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000";

    fn near(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 1e-6, "{ours}, the document says {theirs}");
    }

    #[test]
    fn the_documents_examples_come_out() {
        let hundred = Bits::from_text(HUNDRED).unwrap();
        let text = |text| Bits::from_text(text).unwrap();
        near(frequency(&text("1011010101")).unwrap(), 0.527_089);
        near(frequency(&hundred).unwrap(), 0.109_599);
        near(block_frequency(&text("0110011010"), 3).unwrap(), 0.801_252);
        near(block_frequency(&hundred, 10).unwrap(), 0.706_438);
        near(runs(&text("1001101011")).unwrap(), 0.147_232);
        near(runs(&hundred).unwrap(), 0.500_798);
        let [forward, backward] = cumulative_sums(&hundred).unwrap();
        near(forward, 0.219_194);
        near(backward, 0.114_866);
    }

    #[test]
    fn the_longest_run_example_comes_out() {
        let bits = Bits::from_text(
            "11001100000101010110110001001100111000000000001001001101010100010001001111010110100000001101011111001100\
             111001101101100010110010",
        )
        .unwrap();
        // 2.4.8 prints 0.180609 from rounded chances; ours are the document's four digits, hence the wider band.
        assert!((longest_run(&bits).unwrap() - 0.180_609).abs() < 1e-4);
    }

    #[test]
    fn too_short_a_sequence_is_refused() {
        let error = longest_run(&Bits::from_text("101").unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the longest run test needs at least 128 bits, there are 3; give more data"
        );
        assert!(frequency(&Bits::from_bytes(&[])).is_err());
        assert!(block_frequency(&Bits::from_text("1").unwrap(), 0).is_ok_and(|p| p.is_nan() || p >= 0.0));
    }
}
