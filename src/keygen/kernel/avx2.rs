//! The inner loops with AVX2. Activations reach 127 at most, so that two products fit the 16 bits they are added in.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; the bounds are checked in the parent")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_unpackhi_epi8, _mm_unpackhi_epi16, _mm_unpacklo_epi8,
    _mm_unpacklo_epi16, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_set_m128i, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::{Filter, LANES, Mixing, Scale, Sums, portable};

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Mixing::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe {
        match (plan.blocks, plan.advance) {
            (1, 4) => mixing_row::<1, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 16) => mixing_row::<1, 16>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 32) => mixing_row::<1, 32>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, _) => mixing_row::<1, 64>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 4) => mixing_row::<2, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 16) => mixing_row::<2, 16>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 32) => mixing_row::<2, 32>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            _ => mixing_row::<2, 64>(plan, input.as_ptr(), out.as_mut_ptr(), count),
        }
    }
}

/// Four positions at a time for one block, in eight registers; the blocks one after the other.
#[target_feature(enable = "avx2")]
unsafe fn mixing_row<const Q: usize, const ADVANCE: usize>(
    plan: &Mixing,
    input: *const u8,
    out: *mut i32,
    count: usize,
) {
    const P: usize = 4;
    let ones = _mm256_set1_epi16(1);
    for position in (0..count).step_by(P) {
        for q in 0..Q {
            let mut sums = [[_mm256_setzero_si256(); 2]; P];
            // SAFETY: see `mixing`.
            unsafe {
                let base = input.add(position * ADVANCE);
                for (step, offset) in plan.offsets.iter().enumerate() {
                    let here = base.add(*offset as usize);
                    let quad = plan.quads.as_ptr().add(step * Q + q).cast::<__m256i>();
                    let weights = [_mm256_loadu_si256(quad), _mm256_loadu_si256(quad.add(1))];
                    for p in 0..P {
                        let four = _mm256_set1_epi32(here.add(p * ADVANCE).cast::<i32>().read_unaligned());
                        for half in 0..2 {
                            let pairs = _mm256_maddubs_epi16(four, weights[half]);
                            sums[p][half] = _mm256_add_epi32(sums[p][half], _mm256_madd_epi16(pairs, ones));
                        }
                    }
                }
                for (p, sums) in sums.iter().enumerate() {
                    let to = out.add((position + p) * plan.out_advance + q * LANES).cast::<__m256i>();
                    _mm256_storeu_si256(to, sums[0]);
                    _mm256_storeu_si256(to.add(1), sums[1]);
                }
            }
        }
    }
}

pub(super) fn filter(plan: &Filter, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Filter::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe { filter_row(plan, input.as_ptr(), out.as_mut_ptr(), count) }
}

#[target_feature(enable = "avx2")]
unsafe fn filter_row(plan: &Filter, input: *const u8, out: *mut i32, count: usize) {
    let blocks = plan.channels / LANES;
    let ones = _mm256_set1_epi16(1);
    for block in 0..blocks {
        for position in 0..count {
            let mut sums = [_mm256_setzero_si256(); 2];
            // SAFETY: see `filter`.
            unsafe {
                let base = input.add(position * plan.advance + block * LANES);
                for (offsets, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(blocks)) {
                    let quad = quads.as_ptr().add(block).cast::<__m256i>();
                    let taps = offsets.map(|offset| _mm_loadu_si128(base.add(offset as usize).cast()));
                    for (half, taps) in interleave(taps).into_iter().enumerate() {
                        let pairs = _mm256_maddubs_epi16(taps, _mm256_loadu_si256(quad.add(half)));
                        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, ones));
                    }
                }
                let to = out.add(position * plan.out_advance + block * LANES).cast::<__m256i>();
                _mm256_storeu_si256(to, sums[0]);
                _mm256_storeu_si256(to.add(1), sums[1]);
            }
        }
    }
}

/// Four taps of 16 channels become 16 channels of four taps.
#[inline]
#[target_feature(enable = "avx2")]
fn interleave([a, b, c, d]: [__m128i; 4]) -> [__m256i; 2] {
    let (ab_low, ab_high) = (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b));
    let (cd_low, cd_high) = (_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d));
    [
        _mm256_set_m128i(_mm_unpackhi_epi16(ab_low, cd_low), _mm_unpacklo_epi16(ab_low, cd_low)),
        _mm256_set_m128i(_mm_unpackhi_epi16(ab_high, cd_high), _mm_unpacklo_epi16(ab_high, cd_high)),
    ]
}

pub(super) fn sums(sums: &mut Sums, row: &[i32], width: usize) {
    // SAFETY: the set exists only where the processor has these instructions; the code is plain Rust.
    unsafe { sums_row(sums, row, width) }
}

#[target_feature(enable = "avx2")]
fn sums_row(sums: &mut Sums, row: &[i32], width: usize) {
    portable::sums(sums, row, width);
}

pub(super) fn scale(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    // SAFETY: the set exists only where the processor has these instructions; the code is plain Rust.
    unsafe { scale_row(plan, row, added, out) }
}

#[target_feature(enable = "avx2")]
fn scale_row(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    portable::scale(plan, row, added, out);
}
