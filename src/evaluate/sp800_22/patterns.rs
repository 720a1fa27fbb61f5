//! Serial and approximate entropy tests: SP 800-22 2.11 and 2.12.

use super::bits::Bits;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;
use crate::evaluate::special::igamc;

/// The widest pattern whose counts are kept.
const WIDTH_MAX: usize = 20;

/// Serial test, section 2.11: are all patterns of `width` bits equally frequent? Two P-values.
pub fn serial(bits: &Bits, width: usize) -> Result<[f64; 2], EvaluateError> {
    check(bits, width, "the serial test")?;
    let widest = bits.ring_counts(width);
    let middle = shorter(&widest);
    let [a, b, c] = [psi(&widest, bits.len()), psi(&middle, bits.len()), psi(&shorter(&middle), bits.len())];
    let first = igamc(2_f64.powi(width as i32 - 2), (a - b) / 2.0);
    let second = igamc(2_f64.powi(width as i32 - 3), (a - 2.0 * b + c) / 2.0);
    Ok([first, second])
}

/// Approximate entropy test, section 2.12: patterns of `width` bits against those one bit longer.
pub fn approximate_entropy(bits: &Bits, width: usize) -> Result<f64, EvaluateError> {
    check(bits, width + 1, "the approximate entropy test")?;
    let longer = bits.ring_counts(width + 1);
    let n = bits.len() as f64;
    let entropy = phi(&shorter(&longer), n) - phi(&longer, n);
    let chi_square = 2.0 * n * (std::f64::consts::LN_2 - entropy);
    Ok(igamc(2_f64.powi(width as i32 - 1), chi_square / 2.0))
}

fn check(bits: &Bits, width: usize, test: &'static str) -> Result<(), EvaluateError> {
    if !(2..=WIDTH_MAX).contains(&width) {
        return Err(EvaluateError::Parameter {
            parameter: "the width of a pattern",
            found: width.to_string(),
            allowed: "2 to 20 bits",
        });
    }
    at_least(test, "bits", width, bits.len())
}

/// The counts of patterns one bit shorter: on a ring they are sums of two.
fn shorter(counts: &[u32]) -> Vec<u32> {
    counts.chunks(2).map(|pair| pair.iter().sum()).collect()
}

/// Psi squared of section 2.11.4 (3); zero for patterns of no bits.
fn psi(counts: &[u32], n: usize) -> f64 {
    if counts.len() == 1 {
        return 0.0;
    }
    let squares: f64 = counts.iter().map(|c| f64::from(*c).powi(2)).sum();
    squares * counts.len() as f64 / n as f64 - n as f64
}

/// Phi of section 2.12.4 (4).
fn phi(counts: &[u32], n: f64) -> f64 {
    counts.iter().filter(|c| **c > 0).map(|c| f64::from(*c) / n * (f64::from(*c) / n).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 1e-6, "{ours}, the document says {theirs}");
    }

    #[test]
    fn the_documents_examples_come_out() {
        let [first, second] = serial(&Bits::from_text("0011011101").unwrap(), 3).unwrap();
        near(first, 0.808_792);
        near(second, 0.670_320);
        near(approximate_entropy(&Bits::from_text("0100110101").unwrap(), 3).unwrap(), 0.261_961);
        let hundred = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000";
        near(approximate_entropy(&Bits::from_text(hundred).unwrap(), 2).unwrap(), 0.235_301);
    }

    #[test]
    fn a_width_outside_the_range_is_refused() {
        assert!(serial(&Bits::from_bytes(&[1; 8]), 1).is_err());
        assert!(serial(&Bits::from_bytes(&[1; 8]), 21).is_err());
    }
}
