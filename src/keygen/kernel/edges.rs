//! Both ends of the network: bytes of a seed image taken in, bytes of a key image given out.
//!
//! These are plain loops; the compiler makes more of them where it may use wider vectors.
#![allow(
    unsafe_code,
    reason = "functions for instructions that a processor may not have; a set proves that it does"
)]
#![allow(clippy::inline_always, reason = "so that each caller has them compiled for its own instructions")]

#[cfg(target_arch = "x86_64")]
use super::Set;
use super::{FOUR, Instructions, LANES};

/// The fold of section 6, for four pixels at a time, each with a place that stands for no channel.
#[derive(Debug)]
pub(in crate::keygen) struct Fold {
    means: [i32; LANES],
    shifts: [u32; LANES],
}

impl Fold {
    /// With the mean and the shift of each channel.
    pub(in crate::keygen) fn new(means: [i32; 3], shifts: [u32; 3]) -> Self {
        let of = |at: usize| (at % FOUR < 3).then_some(at % FOUR);
        Self {
            means: std::array::from_fn(|at| of(at).map_or(0, |channel| means[channel])),
            shifts: std::array::from_fn(|at| of(at).map_or(0, |channel| shifts[channel])),
        }
    }

    /// Writes a byte for each accumulator of the three channels of a row.
    pub(in crate::keygen) fn row(&self, with: Instructions, row: &[i32], out: &mut [u8]) {
        assert!(row.len().is_multiple_of(LANES) && out.len() * 4 == row.len() * 3, "whole fours of pixels");
        match with.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: both sets exist only where the processor has AVX2.
            Set::Avx2 | Set::Avx512Vnni => unsafe { fold_avx2(self, row, out) },
            _ => fold(self, row, out),
        }
    }
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the last eight bits")]
fn fold(plan: &Fold, row: &[i32], out: &mut [u8]) {
    for (out, x) in out.as_chunks_mut::<12>().0.iter_mut().zip(row.as_chunks::<LANES>().0) {
        let bytes: [u8; LANES] =
            std::array::from_fn(|at| ((x[at] - plan.means[at]) >> plan.shifts[at]) as u8);
        *out = std::array::from_fn(|at| bytes[at + at / 3]);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_avx2(plan: &Fold, row: &[i32], out: &mut [u8]) {
    fold(plan, row, out);
}

/// Takes a row of a seed image in, pixel by pixel, each followed by a zero.
pub(in crate::keygen) fn take_pixels(from: &[u8], row: &mut [u8]) {
    for (pixel, from) in row.as_chunks_mut::<FOUR>().0.iter_mut().zip(from.as_chunks::<3>().0) {
        *pixel = [from[0] >> 1, from[1] >> 1, from[2] >> 1, 0];
    }
}

/// Takes a row of a seed image in as one of four bands: four pixels by four, in them channel by channel.
pub(in crate::keygen) fn take_band(with: Instructions, from: &[u8], band: usize, row: &mut [u8]) {
    assert!(band < FOUR && row.len() == from.len() / 3 * LANES, "a row of one of four bands");
    match with.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: both sets exist only where the processor has AVX2.
        Set::Avx2 | Set::Avx512Vnni => unsafe { band_avx2(from, band, row) },
        _ => take(from, band, row),
    }
}

#[inline(always)]
fn take(from: &[u8], band: usize, row: &mut [u8]) {
    for (fours, from) in row.as_chunks_mut::<{ FOUR * LANES }>().0.iter_mut().zip(from.as_chunks::<12>().0) {
        let own: [u8; LANES] =
            std::array::from_fn(|at| if at < 12 { from[at % FOUR * 3 + at / FOUR] >> 1 } else { 0 });
        fours[band * LANES..][..LANES].copy_from_slice(&own);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn band_avx2(from: &[u8], band: usize, row: &mut [u8]) {
    take(from, band, row);
}
