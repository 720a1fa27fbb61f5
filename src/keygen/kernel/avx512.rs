//! The inner loops with AVX-512 VNNI: one instruction multiplies and adds 64 bytes.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; the bounds are checked in the parent")]

use std::arch::x86_64::{
    __m128i, __m512, __m512i, _mm_loadu_si128, _mm_max_epi8, _mm_setzero_si128, _mm_storeu_si128,
    _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi128_si512,
    _mm512_castsi512_si128, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtsepi32_epi8,
    _mm512_dpbusd_epi32, _mm512_extracti32x4_epi32, _mm512_fmadd_ps, _mm512_inserti32x4, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_max_epi8, _mm512_mul_epi32, _mm512_mul_epu32, _mm512_packs_epi16,
    _mm512_packs_epi32, _mm512_permutex2var_epi32, _mm512_permutex2var_epi64, _mm512_permutexvar_epi32,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_ps, _mm512_setr_epi32, _mm512_setr_epi64,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_srli_epi32, _mm512_srli_epi64, _mm512_storeu_si512,
    _mm512_sub_epi32,
};

use std::hint::black_box;

use super::floats::{Floats, ROUNDER_BITS};
use super::{FOUR, Filter, LANES, Mixing, PixelFilter, Scale, Sums};

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
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe {
        match &plan.floats {
            Some(floats) => filter_row::<true>(plan, floats, input.as_ptr(), out.as_mut_ptr(), count),
            None => filter_row::<false>(plan, &Floats::NONE, input.as_ptr(), out.as_mut_ptr(), count),
        }
    }
}

/// Positions at a time: 16 accumulators in registers.
const TOGETHER: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn filter_row<const FLOATS: bool>(
    plan: &Filter,
    floats: &Floats,
    input: *const u8,
    out: *mut u8,
    count: usize,
) {
    let blocks = plan.channels / LANES;
    let pixels = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for block in 0..blocks {
        // SAFETY: see `filter`; the scale has as many channels as the filter, and `Filter::new` has counted the weights.
        unsafe {
            let scale = Lanes::load(&plan.scale, block * LANES);
            let start = _mm512_loadu_si512(floats.start.as_ptr().add(block * LANES).cast());
            let factor = _mm512_loadu_ps(floats.factor.as_ptr().add(block * LANES));
            let weights = plan.quads.as_ptr().add(plan.quads.len() / blocks * block);
            for position in (0..count).step_by(TOGETHER) {
                let base = input.add(position * plan.advance + block * LANES * FOUR);
                let mut sums = [[if FLOATS { start } else { _mm512_setzero_si512() }; FOUR]; TOGETHER];
                let mut next = weights;
                for step in &plan.steps {
                    let here = base.add(step.offset as usize);
                    let mut fours = [_mm512_setzero_si512(); TOGETHER];
                    for (p, four) in fours.iter_mut().enumerate() {
                        *four = _mm512_loadu_si512(here.add(p * plan.advance).cast());
                    }
                    for output in 0..FOUR {
                        if step.outputs >> output & 1 == 1 {
                            let weights = _mm512_loadu_si512(next.cast());
                            next = next.add(1);
                            for (sums, four) in sums.iter_mut().zip(&fours) {
                                sums[output] = _mm512_dpbusd_epi32(sums[output], *four, weights);
                            }
                        }
                    }
                }
                for (p, sums) in sums.iter().enumerate() {
                    let mut whole = *sums;
                    for x in &mut whole {
                        *x = if FLOATS {
                            rounded(*x, factor, floats.shift)
                        } else {
                            scale.whole::<false>(*x, _mm512_setzero_si512())
                        };
                    }
                    // As packed, each quarter has what belongs to one band.
                    let (quarters, apart) = match plan.bands {
                        Some(band) => (packed(&whole), band),
                        None => (_mm512_permutexvar_epi32(pixels, packed(&whole)), plan.channels),
                    };
                    let to = out.add((position + p) * plan.out_advance + block * LANES);
                    if apart == LANES {
                        _mm512_storeu_si512(to.cast(), quarters);
                    } else {
                        _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(quarters));
                        let part = _mm512_extracti32x4_epi32::<1>(quarters);
                        _mm_storeu_si128(to.add(apart).cast(), part);
                        let part = _mm512_extracti32x4_epi32::<2>(quarters);
                        _mm_storeu_si128(to.add(2 * apart).cast(), part);
                        let part = _mm512_extracti32x4_epi32::<3>(quarters);
                        _mm_storeu_si128(to.add(3 * apart).cast(), part);
                    }
                }
            }
        }
    }
}

/// Accumulators less the mean become whole activations, not yet cut: `Floats::activation`.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(x: __m512i, factor: __m512, shift: f32) -> __m512i {
    let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(x), factor, _mm512_set1_ps(shift));
    _mm512_sub_epi32(_mm512_castps_si512(sum), _mm512_set1_epi32(ROUNDER_BITS))
}

/// Four times 16 whole activations, cut to 0 to 127: in each quarter, four of the first, four of the second and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn packed(whole: &[__m512i; FOUR]) -> __m512i {
    let words = [_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3])];
    _mm512_max_epi8(_mm512_packs_epi16(words[0], words[1]), _mm512_setzero_si512())
}

pub(super) fn pixel_filter(plan: &PixelFilter, input: &[u8], out: &mut [u8], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `PixelFilter::row`, the only caller,
    // has checked that `count` positions of pixels and outputs lie within the slices.
    unsafe { pixel_filter_row(plan, input.as_ptr(), out.as_mut_ptr(), count) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn pixel_filter_row(plan: &PixelFilter, input: *const u8, out: *mut u8, count: usize) {
    let blocks = plan.channels / LANES;
    // Four taps of 16 channels become 16 channels of four taps: whole dwords first, then bytes within each quarter.
    // Hidden from the compiler, which would make five instructions of these two.
    let dwords = black_box(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let bytes = black_box({
        let [a, b, c, d] = [0x0C08_0400, 0x0D09_0501, 0x0E0A_0602, 0x0F0B_0703];
        _mm512_setr_epi32(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d)
    });
    for block in 0..blocks {
        // SAFETY: see `pixel_filter`; the scale has as many channels as the filter.
        unsafe {
            let scale = Lanes::load(&plan.scale, block * LANES);
            for position in (0..count).step_by(TOGETHER) {
                let mut sums = [_mm512_setzero_si512(); TOGETHER];
                let base = input.add(position * plan.advance + block * LANES);
                for (step, offsets) in plan.offsets.iter().enumerate() {
                    let weights = _mm512_loadu_si512(plan.quads.as_ptr().add(step * blocks + block).cast());
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let taps = gather(base.add(p * plan.advance), offsets);
                        let taps = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(dwords, taps), bytes);
                        *sum = _mm512_dpbusd_epi32(*sum, taps, weights);
                    }
                }
                for (p, sum) in sums.iter().enumerate() {
                    let to = out.add((position + p) * plan.channels + block * LANES);
                    _mm_storeu_si128(to.cast(), scale.activations::<false>(*sum, _mm_setzero_si128()));
                }
            }
        }
    }
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

/// The scale of 16 channels: the even lanes and the odd ones.
#[derive(Clone, Copy)]
struct Lanes {
    factor: [__m512i; 2],
    bias: [__m512i; 2],
    carry: __m512i,
    /// Which halves of products are taken.
    upper: __m512i,
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
            // Hidden from the compiler, which would make two instructions of one.
            upper: black_box(_mm512_setr_epi32(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)),
        }
    }

    /// 16 accumulators, and where `ADD` the layer's input, become whole activations, not yet cut.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn whole<const ADD: bool>(&self, x: __m512i, added: __m512i) -> __m512i {
        let mut even = _mm512_add_epi64(_mm512_mul_epi32(x, self.factor[0]), self.bias[0]);
        let mut odd =
            _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64::<32>(x), self.factor[1]), self.bias[1]);
        if ADD {
            even = _mm512_add_epi64(even, _mm512_mul_epu32(added, self.carry));
            odd = _mm512_add_epi64(odd, _mm512_mul_epu32(_mm512_srli_epi64::<32>(added), self.carry));
        }
        // The upper halves of the products are what a shift by 32 leaves.
        _mm512_permutex2var_epi32(even, self.upper, odd)
    }

    /// The same, cut to 0 to 127.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn activations<const ADD: bool>(&self, x: __m512i, added: __m128i) -> __m128i {
        let added = if ADD { _mm512_cvtepu8_epi32(added) } else { _mm512_setzero_si512() };
        // Cut to -128 to 127, and then to 0 and above.
        let bytes = _mm512_cvtsepi32_epi8(self.whole::<ADD>(x, added));
        _mm_max_epi8(bytes, _mm_setzero_si128())
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

pub(super) fn fours(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    // SAFETY: the set exists only where the processor has these instructions, and `Scale::fours`, the only caller, has
    // checked that the three slices are whole fours of `width`, and as many.
    unsafe {
        match added {
            Some(added) => fours_row::<true>(plan, row, added.as_ptr(), out.as_mut_ptr()),
            None => fours_row::<false>(plan, row, std::ptr::null(), out.as_mut_ptr()),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn fours_row<const ADD: bool>(plan: &Scale, row: &[i32], added: *const u8, out: *mut u8) {
    // In each quarter, four channels of four pixels become four pixels of four channels.
    let turned = {
        let [a, b, c, d] = [0x0C08_0400, 0x0D09_0501, 0x0E0A_0602, 0x0F0B_0703];
        _mm512_setr_epi32(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d)
    };
    let byte = _mm512_set1_epi32(0xFF);
    for block in (0..plan.width).step_by(LANES) {
        // SAFETY: `block + LANES` is at most `width`, which is at most 64; for the rest see `fours`.
        unsafe {
            let scale = Lanes::load(plan, block);
            for first in (0..row.len()).step_by(FOUR * plan.width) {
                let at = first + block * FOUR;
                let mut before =
                    if ADD { _mm512_loadu_si512(added.add(at).cast()) } else { _mm512_setzero_si512() };
                let mut whole = [_mm512_setzero_si512(); FOUR];
                for (pixel, whole) in whole.iter_mut().enumerate() {
                    let x = _mm512_loadu_si512(row.as_ptr().add(first + pixel * plan.width + block).cast());
                    *whole = scale.whole::<ADD>(x, _mm512_and_si512(before, byte));
                    before = _mm512_srli_epi32::<8>(before);
                }
                _mm512_storeu_si512(out.add(at).cast(), _mm512_shuffle_epi8(packed(&whole), turned));
            }
        }
    }
}
