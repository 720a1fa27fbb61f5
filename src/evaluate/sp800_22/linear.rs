//! Linear complexity: SP 800-22 2.10, with Berlekamp-Massey over whole words.

use super::bits::Bits;
use super::frequency::fit;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;

/// Blocks of at most this many bits, 2.10.7; the registers below are sized for it.
pub const BLOCK_MAX: usize = 5_000;

/// The chances of the seven classes of T, section 3.10: the geometric ones, which add up to one.
///
/// The document prints 0.01047 for the first, a slip of the pen for 1/96.
pub const LINEAR_CHANCES: [f64; 7] =
    [1.0 / 96.0, 1.0 / 32.0, 1.0 / 8.0, 1.0 / 2.0, 1.0 / 4.0, 1.0 / 16.0, 1.0 / 48.0];

/// Linear complexity test, section 2.10: how long a shift register does it take to make each block of `block` bits?
pub fn linear_complexity(bits: &Bits, block: usize, chances: &[f64; 7]) -> Result<f64, EvaluateError> {
    if !(8..=BLOCK_MAX).contains(&block) {
        return Err(EvaluateError::Parameter {
            parameter: "the block length of the linear complexity test",
            found: block.to_string(),
            allowed: "8 to 5000 bits",
        });
    }
    at_least("the linear complexity test", "bits", block, bits.len())?;
    let m = block as f64;
    let sign = if block % 2 == 0 { 1.0 } else { -1.0 };
    let mean = m / 2.0 + (9.0 - sign) / 36.0 - (m / 3.0 + 2.0 / 9.0) / 2_f64.powi(block as i32);
    let mut seen = [0_u32; 7];
    for i in 0..bits.len() / block {
        let t = sign * (complexity(bits, i * block, block) as f64 - mean) + 2.0 / 9.0;
        seen[class(t)] += 1;
    }
    Ok(fit(&seen, chances))
}

/// The class of section 2.10.4 (5).
fn class(t: f64) -> usize {
    [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5].iter().position(|limit| t <= *limit).unwrap_or(6)
}

/// The length of the shortest linear feedback shift register that makes the `length` bits from `start`.
///
/// The connection polynomials and the last bits, newest first, are words: a discrepancy is the parity of an AND.
fn complexity(bits: &Bits, start: usize, length: usize) -> usize {
    let size = length / 64 + 1;
    let (mut c, mut b, mut old) = (vec![0_u64; size], vec![0_u64; size], vec![0_u64; size]);
    // `seen` holds bit n - i at position i.
    let mut seen = vec![0_u64; size];
    (c[0], b[0]) = (1, 1);
    let (mut complexity, mut since) = (0, 1);
    for n in 0..length {
        push_front(&mut seen, bits.get(start + n));
        let used = complexity / 64 + 1;
        let parity: u64 = c[..used].iter().zip(&seen).fold(0, |sum, (c, s)| sum ^ (c & s));
        if parity.count_ones() % 2 == 0 {
            since += 1;
        } else if 2 * complexity <= n {
            old.copy_from_slice(&c);
            xor_shifted(&mut c, &b, since);
            std::mem::swap(&mut b, &mut old);
            complexity = n + 1 - complexity;
            since = 1;
        } else {
            xor_shifted(&mut c, &b, since);
            since += 1;
        }
    }
    complexity
}

/// Moves everything one place up and puts `bit` at place 0.
fn push_front(words: &mut [u64], bit: bool) {
    let mut carry = u64::from(bit);
    for word in words {
        let out = *word >> 63;
        *word = *word << 1 | carry;
        carry = out;
    }
}

/// Adds `from`, moved up by `shift` places, to `to`.
fn xor_shifted(to: &mut [u64], from: &[u64], shift: usize) {
    let (words, shift) = (shift / 64, shift % 64);
    let mut carry = 0;
    for (to, from) in to.iter_mut().skip(words).zip(from) {
        *to ^= from << shift | carry;
        carry = if shift == 0 { 0 } else { from >> (64 - shift) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_register_has_length_four() {
        // 2.10.4 (2): 1101011110001 has the linear complexity 4.
        assert_eq!(complexity(&Bits::from_text("1101011110001").unwrap(), 0, 13), 4);
    }

    #[test]
    fn simple_sequences_have_their_known_complexity() {
        let of = |text: &str| complexity(&Bits::from_text(text).unwrap(), 0, text.len());
        assert_eq!(of(&"0".repeat(200)), 0);
        assert_eq!(of(&"1".repeat(200)), 1);
        assert_eq!(of(&"10".repeat(100)), 2);
        assert_eq!(of(&format!("{}1", "0".repeat(199))), 200);
    }

    #[test]
    fn the_chances_add_up() {
        assert!((LINEAR_CHANCES.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_block_outside_the_range_is_refused() {
        let bits = Bits::from_bytes(&[0; 8]);
        assert!(linear_complexity(&bits, 7, &LINEAR_CHANCES).is_err());
        assert!(linear_complexity(&bits, 5_001, &LINEAR_CHANCES).is_err());
    }
}
