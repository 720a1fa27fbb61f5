//! The inner loops with AVX-512 VNNI: one instruction multiplies and adds 64 bytes.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; the bounds are checked in the parent")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_storeu_si128, _mm512_add_epi32, _mm512_add_epi64,
    _mm512_castsi128_si512, _mm512_castsi512_si256, _mm512_cvtepi32_epi8, _mm512_cvtepi32_epi64,
    _mm512_cvtepu8_epi32, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_inserti32x4,
    _mm512_loadu_si512, _mm512_mask_blend_epi32, _mm512_max_epi32, _mm512_min_epi32, _mm512_mul_epi32,
    _mm512_mul_epu32, _mm512_permutexvar_epi32, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_setr_epi32,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi32,
};

use super::{Filter, LANES, Mixing, Quad, Scale, Sums};

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Mixing::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe {
        match (plan.blocks, plan.advance) {
            (1, 4) => mixing_row::<16, 1, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 16) => mixing_row::<16, 1, 16>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 32) => mixing_row::<16, 1, 32>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, _) => mixing_row::<16, 1, 64>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 4) => mixing_row::<8, 2, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 16) => mixing_row::<8, 2, 16>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 32) => mixing_row::<8, 2, 32>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            _ => mixing_row::<8, 2, 64>(plan, input.as_ptr(), out.as_mut_ptr(), count),
        }
    }
}

/// `P` positions at a time with `Q` blocks each: 16 accumulators in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn mixing_row<const P: usize, const Q: usize, const ADVANCE: usize>(
    plan: &Mixing,
    input: *const u8,
    out: *mut i32,
    count: usize,
) {
    let quads = plan.quads.as_ptr();
    for position in (0..count).step_by(P) {
        let mut sums = [[_mm512_setzero_si512(); Q]; P];
        // SAFETY: see `mixing`.
        unsafe {
            let base = input.add(position * ADVANCE);
            for (step, offset) in plan.offsets.iter().enumerate() {
                let here = base.add(*offset as usize);
                let mut weights = [_mm512_setzero_si512(); Q];
                for (q, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(quads.add(step * Q + q).cast());
                }
                for p in 0..P {
                    let four = _mm512_set1_epi32(here.add(p * ADVANCE).cast::<i32>().read_unaligned());
                    for q in 0..Q {
                        sums[p][q] = _mm512_dpbusd_epi32(sums[p][q], four, weights[q]);
                    }
                }
            }
            for (p, sums) in sums.iter().enumerate() {
                let to = out.add((position + p) * plan.out_advance);
                for (q, sum) in sums.iter().enumerate() {
                    _mm512_storeu_si512(to.add(q * LANES).cast(), *sum);
                }
            }
        }
    }
}

pub(super) fn filter(plan: &Filter, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Filter::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe {
        if plan.joined {
            filter_row::<true>(plan, input.as_ptr(), out.as_mut_ptr(), count);
        } else {
            filter_row::<false>(plan, input.as_ptr(), out.as_mut_ptr(), count);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn filter_row<const JOINED: bool>(plan: &Filter, input: *const u8, out: *mut i32, count: usize) {
    const TOGETHER: usize = 4;
    let blocks = plan.channels / LANES;
    // Four taps of 16 channels become 16 channels of four taps: whole dwords first, then bytes within each quarter.
    let dwords = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let bytes = {
        let quarter = [0x0C08_0400, 0x0D09_0501, 0x0E0A_0602, 0x0F0B_0703];
        let [a, b, c, d] = quarter;
        _mm512_setr_epi32(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d)
    };
    for block in 0..blocks {
        for position in (0..count).step_by(TOGETHER) {
            let mut sums = [_mm512_setzero_si512(); TOGETHER];
            // SAFETY: see `filter`.
            unsafe {
                let base = input.add(position * plan.advance + block * LANES);
                for (offsets, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(blocks)) {
                    let weights = load(quads.as_ptr().add(block));
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let here = base.add(p * plan.advance);
                        let taps = if JOINED {
                            _mm512_loadu_si512(here.add(offsets[0] as usize).cast())
                        } else {
                            gather(here, offsets)
                        };
                        let taps = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(dwords, taps), bytes);
                        *sum = _mm512_dpbusd_epi32(*sum, taps, weights);
                    }
                }
                for (p, sum) in sums.iter().enumerate() {
                    let to = out.add((position + p) * plan.out_advance + block * LANES);
                    _mm512_storeu_si512(to.cast(), *sum);
                }
            }
        }
    }
}

/// # Safety
///
/// `quad` points to one.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(quad: *const Quad) -> __m512i {
    // SAFETY: it is 64 bytes.
    unsafe { _mm512_loadu_si512(quad.cast()) }
}

/// 16 bytes at each of four offsets.
///
/// # Safety
///
/// They can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn gather(here: *const u8, offsets: &[u32; 4]) -> __m512i {
    // SAFETY: the caller has seen to it.
    unsafe {
        let tap = |at: usize| -> __m128i { _mm_loadu_si128(here.add(offsets[at] as usize).cast()) };
        let taps = _mm512_castsi128_si512(tap(0));
        let taps = _mm512_inserti32x4::<1>(taps, tap(1));
        let taps = _mm512_inserti32x4::<2>(taps, tap(2));
        _mm512_inserti32x4::<3>(taps, tap(3))
    }
}

pub(super) fn sums(sums: &mut Sums, row: &[i32], width: usize) {
    assert!(width.is_multiple_of(LANES) && width <= 64 && row.len().is_multiple_of(width), "whole groups");
    // SAFETY: the set exists only where the processor has these instructions, and `row` is whole groups of `width`.
    unsafe { sums_row(sums, row, width) }
}

#[target_feature(enable = "avx512f")]
unsafe fn sums_row(sums: &mut Sums, row: &[i32], width: usize) {
    for block in (0..width).step_by(LANES) {
        let mut totals = [_mm512_setzero_si512(); 4];
        for group in row.chunks_exact(width) {
            // SAFETY: `block + LANES` is at most `width`.
            let x = unsafe { _mm512_loadu_si512(group.as_ptr().add(block).cast()) };
            let halves = [_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x)]
                .map(|h| _mm512_cvtepi32_epi64(h));
            for (half, x) in halves.into_iter().enumerate() {
                totals[half] = _mm512_add_epi64(totals[half], x);
                totals[2 + half] = _mm512_add_epi64(totals[2 + half], _mm512_mul_epi32(x, x));
            }
        }
        for half in 0..2 {
            let at = block + half * 8;
            for (to, total) in [(&mut sums.sum, totals[half]), (&mut sums.squares, totals[2 + half])] {
                let to = to[at..at + 8].as_mut_ptr();
                // SAFETY: eight numbers of 64 bits, just cut out.
                unsafe {
                    let before = _mm512_loadu_si512(to.cast());
                    _mm512_storeu_si512(to.cast(), _mm512_add_epi64(before, total));
                }
            }
        }
    }
}

pub(super) fn scale(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    // SAFETY: the set exists only where the processor has these instructions, and `Scale::row`, the only caller, has
    // checked that the three slices are whole groups of `width`, and as many.
    unsafe {
        match added {
            Some(added) => scale_row::<true>(plan, row, added.as_ptr(), out.as_mut_ptr()),
            None => scale_row::<false>(plan, row, std::ptr::null(), out.as_mut_ptr()),
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn scale_row<const ADD: bool>(plan: &Scale, row: &[i32], added: *const u8, out: *mut u8) {
    let half = _mm512_set1_epi64(1 << 31);
    let carry = _mm512_set1_epi64(i64::from(plan.carry));
    let (zero, top) = (_mm512_setzero_si512(), _mm512_set1_epi32(127));
    let shift = _mm512_set1_epi32(plan.shift);
    for block in (0..plan.width).step_by(LANES) {
        // SAFETY: `block + LANES` is at most `width`, which is at most 64; for the rest see `scale`.
        unsafe {
            let mean = _mm512_loadu_si512(plan.mean.as_ptr().add(block).cast());
            let factor = _mm512_loadu_si512(plan.factor.as_ptr().add(block).cast());
            let factor_odd = _mm512_srli_epi64::<32>(factor);
            for at in (block..row.len()).step_by(plan.width) {
                let x = _mm512_sub_epi32(_mm512_loadu_si512(row.as_ptr().add(at).cast()), mean);
                let mut even = _mm512_add_epi64(_mm512_mul_epi32(x, factor), half);
                let mut odd =
                    _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64::<32>(x), factor_odd), half);
                if ADD {
                    let a = _mm512_cvtepu8_epi32(_mm_loadu_si128(added.add(at).cast()));
                    even = _mm512_add_epi64(even, _mm512_mul_epu32(a, carry));
                    odd = _mm512_add_epi64(odd, _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), carry));
                }
                // The upper halves of the products are what a shift by 32 leaves.
                let high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64::<32>(even), odd);
                let activation = _mm512_add_epi32(high, shift);
                let activation = _mm512_min_epi32(_mm512_max_epi32(activation, zero), top);
                _mm_storeu_si128(out.add(at).cast(), _mm512_cvtepi32_epi8(activation));
            }
        }
    }
}
