//! The inner loops with AVX-512 VNNI: one instruction multiplies and adds 64 bytes.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; the bounds are checked in the parent")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_max_epi8, _mm_setzero_si128, _mm_storeu_si128, _mm512_add_epi32,
    _mm512_add_epi64, _mm512_castsi128_si512, _mm512_cvtepu8_epi32, _mm512_cvtsepi32_epi8,
    _mm512_dpbusd_epi32, _mm512_inserti32x4, _mm512_loadu_si512, _mm512_mask_blend_epi32, _mm512_mul_epi32,
    _mm512_mul_epu32, _mm512_permutex2var_epi64, _mm512_permutexvar_epi32, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_setr_epi32, _mm512_setr_epi64, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_srli_epi64, _mm512_storeu_si512,
};
use std::hint::black_box;

use super::{Filter, LANES, Mixing, Quad, Scale, Sums};

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Mixing::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe {
        match (plan.blocks, plan.advance) {
            (1, 4) => mixing_row::<16, 1, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 8) => mixing_row::<16, 1, 8>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 16) => mixing_row::<16, 1, 16>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 32) => mixing_row::<16, 1, 32>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, _) => mixing_row::<16, 1, 64>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 4) => mixing_row::<8, 2, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 8) => mixing_row::<8, 2, 8>(plan, input.as_ptr(), out.as_mut_ptr(), count),
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
                for (p, sums) in sums.iter_mut().enumerate() {
                    let four = _mm512_set1_epi32(here.add(p * ADVANCE).cast::<i32>().read_unaligned());
                    for (sum, weights) in sums.iter_mut().zip(&weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, four, *weights);
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

pub(super) fn filter(plan: &Filter, input: &[u8], out: &mut [u8], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Filter::row`, the only caller, has
    // checked that `count` positions of pixels and outputs lie within the slices.
    unsafe {
        match (plan.places.len(), plan.joined) {
            (1, true) => filter_row::<4, 1, true>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, false) => filter_row::<4, 1, false>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, true) => filter_row::<2, 4, true>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, false) => filter_row::<2, 4, false>(plan, input.as_ptr(), out.as_mut_ptr(), count),
        }
    }
}

/// `P` positions at a time with `K` outputs each.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn filter_row<const P: usize, const K: usize, const JOINED: bool>(
    plan: &Filter,
    input: *const u8,
    out: *mut u8,
    count: usize,
) {
    let blocks = plan.channels / LANES;
    // Four taps of 16 channels become 16 channels of four taps: whole dwords first, then bytes within each quarter.
    // Hidden from the compiler, which would make five instructions of these two.
    let dwords = black_box(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let bytes = black_box({
        let [a, b, c, d] = [0x0C08_0400, 0x0D09_0501, 0x0E0A_0602, 0x0F0B_0703];
        _mm512_setr_epi32(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d)
    });
    for block in 0..blocks {
        // SAFETY: see `filter`; the scale has as many channels as the filter.
        unsafe {
            let scale = Lanes::load(&plan.scale, block * LANES);
            for position in (0..count).step_by(P) {
                let mut sums = [[_mm512_setzero_si512(); K]; P];
                let base = input.add(position * plan.advance + block * LANES);
                for (step, offsets) in plan.offsets.iter().enumerate() {
                    let quads = plan.quads.as_ptr().add(step * K * blocks + block);
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let here = base.add(p * plan.advance);
                        let taps = if JOINED {
                            _mm512_loadu_si512(here.add(offsets[0] as usize).cast())
                        } else {
                            gather(here, offsets)
                        };
                        let taps = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(dwords, taps), bytes);
                        for (k, sum) in sums.iter_mut().enumerate() {
                            *sum = _mm512_dpbusd_epi32(*sum, taps, load(quads.add(k * blocks)));
                        }
                    }
                }
                for (p, sums) in sums.iter().enumerate() {
                    for (sum, place) in sums.iter().zip(&plan.places) {
                        let to = out.add((position + p) * plan.out_advance + place + block * LANES);
                        _mm_storeu_si128(to.cast(), scale.activations::<false>(*sum, _mm_setzero_si128()));
                    }
                }
            }
        }
    }
}

/// The scale of 16 channels: the even lanes and the odd ones.
#[derive(Clone, Copy)]
struct Lanes {
    factor: [__m512i; 2],
    bias: [__m512i; 2],
    carry: __m512i,
}

impl Lanes {
    /// # Safety
    ///
    /// `first + 16` is at most 64.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(plan: &Scale, first: usize) -> Self {
        // SAFETY: the caller has seen to it.
        let (factor, low, high) = unsafe {
            let bias = plan.bias.as_ptr().add(first);
            (
                _mm512_loadu_si512(plan.factor.as_ptr().add(first).cast()),
                _mm512_loadu_si512(bias.cast()),
                _mm512_loadu_si512(bias.add(8).cast()),
            )
        };
        let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        let odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
        Self {
            factor: [factor, _mm512_srli_epi64::<32>(factor)],
            bias: [_mm512_permutex2var_epi64(low, even, high), _mm512_permutex2var_epi64(low, odd, high)],
            carry: _mm512_set1_epi64(i64::from(plan.carry)),
        }
    }

    /// 16 accumulators, and where `ADD` the layer's input, become activations.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn activations<const ADD: bool>(&self, x: __m512i, added: __m128i) -> __m128i {
        let mut even = _mm512_add_epi64(_mm512_mul_epi32(x, self.factor[0]), self.bias[0]);
        let mut odd =
            _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64::<32>(x), self.factor[1]), self.bias[1]);
        if ADD {
            let a = _mm512_cvtepu8_epi32(added);
            even = _mm512_add_epi64(even, _mm512_mul_epu32(a, self.carry));
            odd = _mm512_add_epi64(odd, _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), self.carry));
        }
        // The upper halves of the products are what a shift by 32 leaves. They are cut to -128 to 127 here, and then
        // to 0 and above.
        let high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64::<32>(even), odd);
        let bytes = _mm512_cvtsepi32_epi8(high);
        _mm_max_epi8(bytes, _mm_setzero_si128())
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
    assert!(
        width.is_multiple_of(LANES) && width <= 64 && row.len() <= 256 * width,
        "groups that can be summed"
    );
    // SAFETY: the set exists only where the processor has these instructions, and `width` is as it has to be.
    unsafe { sums_row(sums, row, width) }
}

#[target_feature(enable = "avx512f")]
unsafe fn sums_row(sums: &mut Sums, row: &[i32], width: usize) {
    for block in (0..width).step_by(LANES) {
        let (mut sum, mut even, mut odd) =
            (_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512());
        for group in row.chunks_exact(width) {
            // SAFETY: `block + LANES` is at most `width`.
            let x = unsafe { _mm512_loadu_si512(group.as_ptr().add(block).cast()) };
            let x_odd = _mm512_srli_epi64::<32>(x);
            // At most 256 accumulators below 2^23.
            sum = _mm512_add_epi32(sum, x);
            even = _mm512_add_epi64(even, _mm512_mul_epi32(x, x));
            odd = _mm512_add_epi64(odd, _mm512_mul_epi32(x_odd, x_odd));
        }
        let (mut plain, mut squares) = ([0_i32; LANES], [[0_i64; 8]; 2]);
        // SAFETY: 64 bytes each.
        unsafe {
            _mm512_storeu_si512(plain.as_mut_ptr().cast(), sum);
            _mm512_storeu_si512(squares[0].as_mut_ptr().cast(), even);
            _mm512_storeu_si512(squares[1].as_mut_ptr().cast(), odd);
        }
        for (lane, x) in plain.into_iter().enumerate() {
            sums.sum[block + lane] += i64::from(x);
            sums.squares[block + lane] += squares[lane % 2][lane / 2];
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
    for block in (0..plan.width).step_by(LANES) {
        // SAFETY: `block + LANES` is at most `width`, which is at most 64; for the rest see `scale`.
        unsafe {
            let scale = Lanes::load(plan, block);
            for at in (block..row.len()).step_by(plan.width) {
                let x = _mm512_loadu_si512(row.as_ptr().add(at).cast());
                let before = if ADD { _mm_loadu_si128(added.add(at).cast()) } else { _mm_setzero_si128() };
                _mm_storeu_si128(out.add(at).cast(), scale.activations::<ADD>(x, before));
            }
        }
    }
}
