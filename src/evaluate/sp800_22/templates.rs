//! Non-overlapping and overlapping template matching: SP 800-22 2.7 and 2.8.

use super::bits::Bits;
use super::frequency::fit;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;
use crate::evaluate::special::igamc;

/// The independent blocks of the non-overlapping test, section 2.7.2.
const BLOCKS: usize = 8;

/// The block length of the overlapping test, section 2.8.2.
const OVERLAPPING_BLOCK: usize = 1032;

/// The chances of 0, 1, 2, 3, 4 and more occurrences of nine ones in 1032 bits, section 3.8 of revision 1a.
pub const OVERLAPPING_CHANCES: [f64; 6] =
    [0.364_091, 0.185_659, 0.139_381, 0.100_571, 0.070_432_3, 0.139_865];

/// All templates of `width` bits that no shift of themselves overlaps, in ascending order: 148 of 9 bits.
#[must_use]
pub fn aperiodic_templates(width: usize) -> Vec<usize> {
    let overlaps =
        |template: usize, shift: usize| template >> shift == template & ((1 << (width - shift)) - 1);
    (0..1_usize << width).filter(|template| !(1..width).any(|shift| overlaps(*template, shift))).collect()
}

/// Non-overlapping template matching, section 2.7: the P-value of every aperiodic template of `width` (2 to 16) bits.
pub fn non_overlapping(bits: &Bits, width: usize) -> Result<Vec<(usize, f64)>, EvaluateError> {
    at_least("the non-overlapping template test", "bits", BLOCKS * width * 2, bits.len())?;
    let block = bits.len() / BLOCKS;
    // No aperiodic template can overlap itself, so counting every place counts non-overlapping occurrences.
    let counts: Vec<Vec<u32>> = (0..BLOCKS).map(|i| counts_in(bits, i * block, block, width)).collect();
    let (m, l, size) = (width as f64, block as f64, 2_f64.powi(width as i32));
    let mean = (l - m + 1.0) / size;
    let variance = l * (1.0 / size - (2.0 * m - 1.0) / (size * size));
    let p_value = |template: usize| {
        let chi_square: f64 =
            counts.iter().map(|seen| (f64::from(seen[template]) - mean).powi(2) / variance).sum();
        igamc(BLOCKS as f64 / 2.0, chi_square / 2.0)
    };
    Ok(aperiodic_templates(width).into_iter().map(|template| (template, p_value(template))).collect())
}

/// How often each value of `width` bits stands anywhere in a block.
fn counts_in(bits: &Bits, start: usize, length: usize, width: usize) -> Vec<u32> {
    let mut counts = vec![0; 1 << width];
    for at in start..=start + length - width {
        counts[bits.window(at, width)] += 1;
    }
    counts
}

/// Overlapping template matching with nine ones, section 2.8, against the chances of `chances`.
pub fn overlapping(bits: &Bits, chances: &[f64; 6]) -> Result<f64, EvaluateError> {
    const WIDTH: usize = 9;
    // 2.8.7: the smallest chance times the number of blocks has to exceed five.
    at_least("the overlapping template test", "bits", 72 * OVERLAPPING_BLOCK, bits.len())?;
    let mut seen = [0_u32; 6];
    for block in 0..bits.len() / OVERLAPPING_BLOCK {
        let start = block * OVERLAPPING_BLOCK;
        let last = start + OVERLAPPING_BLOCK - WIDTH;
        let matches = (start..=last).filter(|at| bits.window(*at, WIDTH) == (1 << WIDTH) - 1).count();
        seen[matches.min(5)] += 1;
    }
    Ok(fit(&seen, chances))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_148_templates_of_nine_bits() {
        let templates = aperiodic_templates(9);
        assert_eq!((templates.len(), templates[0], templates[1]), (148, 0b0_0000_0001, 0b0_0000_0011));
        // Counts of aperiodic templates as in the NIST's tables, 2 to 8 bits.
        assert_eq!(
            (2..=8).map(|width| aperiodic_templates(width).len()).collect::<Vec<_>>(),
            [2, 4, 6, 12, 20, 40, 74]
        );
    }

    #[test]
    fn the_chances_of_the_overlapping_test_add_up() {
        assert!((OVERLAPPING_CHANCES.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }
}
