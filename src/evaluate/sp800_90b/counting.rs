//! Estimators that count: most common value, collision, Markov, compression (sections 6.3.1 to 6.3.4).

use super::{CONFIDENCE, min_entropy_of, upper_bound};
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;

/// Most common value estimate, section 6.3.1, in bits for each symbol.
pub fn most_common_value(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the most common value estimate", "symbols", 2, symbols.len())?;
    let mut counts = [0_usize; 256];
    symbols.iter().for_each(|symbol| counts[usize::from(*symbol)] += 1);
    let most = counts.iter().max().copied().unwrap_or(0) as f64 / symbols.len() as f64;
    Ok(min_entropy_of(upper_bound(most, symbols.len())).min((values as f64).log2()))
}

/// Collision estimate over bits, section 6.3.2.
pub fn collision(bits: &[u8]) -> Result<f64, EvaluateError> {
    at_least("the collision estimate", "bits", 6, bits.len())?;
    // Among three bits two are equal: a collision takes two bits or three.
    let (mut at, mut twos, mut threes) = (0, 0_usize, 0_usize);
    loop {
        match bits.get(at..at + 3) {
            Some([a, b, _]) if a == b => (at, twos) = (at + 2, twos + 1),
            Some(_) => (at, threes) = (at + 3, threes + 1),
            None if at + 2 == bits.len() && bits[at] == bits[at + 1] => (at, twos) = (at + 2, twos + 1),
            None => break,
        }
    }
    let v = (twos + threes) as f64;
    let mean = (2 * twos + 3 * threes) as f64 / v;
    let squares = twos as f64 * (2.0 - mean).powi(2) + threes as f64 * (3.0 - mean).powi(2);
    let lower = mean - CONFIDENCE * (squares / (v - 1.0)).sqrt() / v.sqrt();
    // The mean of a source with chance p is 2 + 2p(1 - p), at most 2.5.
    if lower >= 2.5 {
        return Ok(1.0);
    }
    let p = 0.5 + (1.25 - 0.5 * lower.max(2.0)).sqrt();
    Ok(min_entropy_of(p.min(1.0)))
}

/// Markov estimate over bits, section 6.3.3.
pub fn markov(bits: &[u8]) -> Result<f64, EvaluateError> {
    at_least("the Markov estimate", "bits", 2, bits.len())?;
    let mut pairs = [[0_usize; 2]; 2];
    bits.windows(2).for_each(|pair| pairs[usize::from(pair[0] & 1)][usize::from(pair[1] & 1)] += 1);
    let ones = bits.iter().filter(|bit| **bit == 1).count() as f64 / bits.len() as f64;
    let log = |share: f64| share.log2();
    let next = |from: usize, to: usize| {
        let total = pairs[from][0] + pairs[from][1];
        if total == 0 { f64::NEG_INFINITY } else { log(pairs[from][to] as f64 / total as f64) }
    };
    let (p0, p1) = (log(1.0 - ones), log(ones));
    // The likeliest sequences of 128 bits; a count of zero times minus infinity does not occur.
    let candidates = [
        p0 + 127.0 * next(0, 0),
        p0 + 64.0 * next(0, 1) + 63.0 * next(1, 0),
        p0 + next(0, 1) + 126.0 * next(1, 1),
        p1 + next(1, 0) + 126.0 * next(0, 0),
        p1 + 64.0 * next(1, 0) + 63.0 * next(0, 1),
        p1 + 127.0 * next(1, 1),
    ];
    let likeliest = candidates.into_iter().fold(f64::NEG_INFINITY, f64::max);
    Ok((-likeliest / 128.0).clamp(0.0, 1.0))
}

/// Bits of one block of the compression estimate.
const BLOCK: usize = 6;

/// Compression estimate over bits, section 6.3.4: Maurer's statistic turned into a bound.
pub fn compression(bits: &[u8]) -> Result<f64, EvaluateError> {
    compression_after(bits, 1_000)
}

/// The same with a dictionary made of the first `warm_up` blocks.
fn compression_after(bits: &[u8], warm_up: usize) -> Result<f64, EvaluateError> {
    at_least("the compression estimate", "bits", (warm_up + 2) * BLOCK, bits.len())?;
    let blocks = bits.len() / BLOCK;
    let mut last_seen = [0_usize; 1 << BLOCK];
    let (mut sum, mut squares) = (0.0, 0.0);
    for (block, symbols) in bits.chunks_exact(BLOCK).enumerate() {
        let value = symbols.iter().fold(0, |value, bit| value << 1 | usize::from(bit & 1));
        let number = block + 1;
        if block >= warm_up {
            // A value never seen before is as far away as the beginning.
            let distance = ((number - last_seen[value]) as f64).log2();
            sum += distance;
            squares += distance * distance;
        }
        last_seen[value] = number;
    }
    let v = (blocks - warm_up) as f64;
    let mean = sum / v;
    let deviation = 0.5907 * (squares / (v - 1.0) - mean * mean).max(0.0).sqrt();
    let lower = mean - CONFIDENCE * deviation / v.sqrt();
    Ok(solve(lower, warm_up, blocks).map_or(1.0, |p| min_entropy_of(p) / BLOCK as f64))
}

/// The chance p of the likeliest value for which the expected mean is `mean`; none when even p = 2^-6 expects less.
fn solve(mean: f64, warm_up: usize, blocks: usize) -> Option<f64> {
    let values = (1 << BLOCK) as f64;
    let expected =
        |p: f64| g(p, warm_up, blocks) + (values - 1.0) * g((1.0 - p) / (values - 1.0), warm_up, blocks);
    let (mut low, mut high) = (1.0 / values, 1.0);
    if expected(low) <= mean {
        return None;
    }
    // The expected mean falls from p = 2^-6 to p = 1.
    for _ in 0..48 {
        let middle = f64::midpoint(low, high);
        if expected(middle) > mean { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

/// G(z) of section 6.3.4, its double sum over t and u < t turned round: each u counts for all t above it.
fn g(z: f64, warm_up: usize, blocks: usize) -> f64 {
    let mut sum = 0.0;
    let mut power = 1.0;
    for u in 1..=blocks {
        let log = (u as f64).log2();
        let later = blocks - u.max(warm_up);
        sum += later as f64 * log * z * z * power;
        if u > warm_up {
            sum += log * z * power;
        }
        power *= 1.0 - z;
        if power < 1e-300 {
            break;
        }
    }
    sum / (blocks - warm_up) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|digit| digit - b'0').collect()
    }

    /// The bits that the examples of 6.3.2 and 6.3.3 share.
    const FORTY: &str = "1000111001010101110011000111001010101110";

    fn near(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 5e-5, "{ours}, the document says {theirs}");
    }

    #[test]
    fn the_documents_examples_come_out() {
        near(most_common_value(&digits("01120122010110221021"), 3).unwrap(), 0.5363);
        near(collision(&digits(FORTY)).unwrap(), 0.4483);
        // Its Markov example goes on with chances rounded to three digits.
        assert!((markov(&digits(FORTY)).unwrap() - 0.7610).abs() < 5e-4);
        near(
            compression_after(&digits("100011100101010111001100011100101010111011100011"), 4).unwrap(),
            0.1345,
        );
    }

    #[test]
    fn constants_hold_nothing() {
        for constant in [[0; 20_000], [1; 20_000]] {
            assert!(most_common_value(&constant, 2).unwrap().abs() < 1e-12);
            assert!(collision(&constant).unwrap().abs() < 1e-9);
            assert!(markov(&constant).unwrap().abs() < 1e-12);
            assert!(compression(&constant).unwrap().abs() < 1e-6);
        }
    }

    #[test]
    fn an_alternating_sequence_deceives_counting_but_not_markov() {
        let alternating: Vec<u8> = (0..20_000).map(|i| (i % 2) as u8).collect();
        assert!(most_common_value(&alternating, 2).unwrap() > 0.9);
        assert!(markov(&alternating).unwrap() < 0.02);
    }
}
