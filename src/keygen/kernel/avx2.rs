//! The inner loops with AVX2. Activations reach 127 at most, so that two products fit the 16 bits they are added in.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; the bounds are checked in the parent")]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm_max_epi8, _mm_packs_epi16, _mm_setzero_si128,
    _mm_srli_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpackhi_epi16, _mm_unpackhi_epi32,
    _mm_unpackhi_epi64, _mm_unpacklo_epi8, _mm_unpacklo_epi16, _mm_unpacklo_epi32, _mm_unpacklo_epi64,
    _mm256_add_epi32, _mm256_add_epi64, _mm256_and_si256, _mm256_blend_epi32, _mm256_castps_si256,
    _mm256_castsi256_si128, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_extracti128_si256,
    _mm256_fmadd_ps, _mm256_load_si256, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_epi32, _mm256_mul_epu32, _mm256_packs_epi32, _mm256_permute4x64_epi64,
    _mm256_set_m128i, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_setr_epi64x, _mm256_setzero_si256, _mm256_srli_epi32, _mm256_srli_epi64,
    _mm256_storeu_si256, _mm256_sub_epi32,
};

use super::floats::{Floats, ROUNDER_BITS};
use super::{FOUR, Filter, LANES, Mixing, PixelFilter, Scale, Sums};

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Mixing::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe {
        match (plan.blocks, plan.advance) {
            (1, 4) => mixing_row::<1, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 8) => mixing_row::<1, 8>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 16) => mixing_row::<1, 16>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, 32) => mixing_row::<1, 32>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (1, _) => mixing_row::<1, 64>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 4) => mixing_row::<2, 4>(plan, input.as_ptr(), out.as_mut_ptr(), count),
            (_, 8) => mixing_row::<2, 8>(plan, input.as_ptr(), out.as_mut_ptr(), count),
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
                    let weights = [_mm256_load_si256(quad), _mm256_load_si256(quad.add(1))];
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let four = _mm256_set1_epi32(here.add(p * ADVANCE).cast::<i32>().read_unaligned());
                        for half in 0..2 {
                            let pairs = _mm256_maddubs_epi16(four, weights[half]);
                            sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, ones));
                        }
                    }
                }
                for (p, sums) in sums.iter().enumerate() {
                    let to = out.add((position + p) * plan.out_advance + q * LANES);
                    _mm256_storeu_si256(to.cast(), sums[0]);
                    _mm256_storeu_si256(to.add(8).cast(), sums[1]);
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

/// One position at a time, in eight registers.
#[target_feature(enable = "avx2,fma")]
unsafe fn filter_row<const FLOATS: bool>(
    plan: &Filter,
    floats: &Floats,
    input: *const u8,
    out: *mut u8,
    count: usize,
) {
    let blocks = plan.channels / LANES;
    let ones = _mm256_set1_epi16(1);
    let none = [_mm256_setzero_si256(); 2];
    for block in 0..blocks {
        let scale = Lanes::load(&plan.scale, block * LANES);
        // SAFETY: `block + 1` blocks are at most 64 numbers.
        let (start, factor) = unsafe {
            let start = floats.start.as_ptr().add(block * LANES);
            let factor = floats.factor.as_ptr().add(block * LANES);
            let start = [_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.add(8).cast())];
            (start, [_mm256_loadu_ps(factor), _mm256_loadu_ps(factor.add(8))])
        };
        let first = if FLOATS { start } else { none };
        for position in 0..count {
            let mut sums = [first; FOUR];
            // SAFETY: see `filter`; `Filter::new` has counted the weights.
            unsafe {
                let mut next = plan.quads.as_ptr().add(plan.quads.len() / blocks * block).cast::<__m256i>();
                let base = input.add(position * plan.advance + block * LANES * FOUR);
                for step in &plan.steps {
                    let here = base.add(step.offset as usize);
                    let fours = [_mm256_loadu_si256(here.cast()), _mm256_loadu_si256(here.add(32).cast())];
                    for (output, sums) in sums.iter_mut().enumerate() {
                        if step.outputs >> output & 1 == 1 {
                            for (half, sum) in sums.iter_mut().enumerate() {
                                let pairs =
                                    _mm256_maddubs_epi16(fours[half], _mm256_load_si256(next.add(half)));
                                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                            }
                            next = next.add(2);
                        }
                    }
                }
            }
            let mut pixels = [_mm_setzero_si128(); FOUR];
            for (pixel, [low, high]) in pixels.iter_mut().zip(sums) {
                *pixel = if FLOATS {
                    let low = rounded(low, factor[0], floats.shift);
                    cut([low, rounded(high, factor[1], floats.shift)])
                } else {
                    scale.activations::<false>([low, high], none)
                };
            }
            let (quarters, apart) = match plan.bands {
                Some(band) => (turned(pixels), band),
                None => (pixels, plan.channels),
            };
            for (number, quarter) in quarters.into_iter().enumerate() {
                let at = position * plan.out_advance + number * apart + block * LANES;
                // SAFETY: see `filter`.
                unsafe { _mm_storeu_si128(out.add(at).cast(), quarter) };
            }
        }
    }
}

pub(super) fn pixel_filter(plan: &PixelFilter, input: &[u8], out: &mut [u8], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `PixelFilter::row`, the only caller,
    // has checked that `count` positions of pixels and outputs lie within the slices.
    unsafe { pixel_filter_row(plan, input.as_ptr(), out.as_mut_ptr(), count) }
}

#[target_feature(enable = "avx2")]
unsafe fn pixel_filter_row(plan: &PixelFilter, input: *const u8, out: *mut u8, count: usize) {
    let blocks = plan.channels / LANES;
    let ones = _mm256_set1_epi16(1);
    let none = [_mm256_setzero_si256(); 2];
    for block in 0..blocks {
        let scale = Lanes::load(&plan.scale, block * LANES);
        for position in 0..count {
            let mut sums = none;
            // SAFETY: see `pixel_filter`.
            unsafe {
                let base = input.add(position * plan.advance + block * LANES);
                for (offsets, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(blocks)) {
                    let taps = offsets.map(|offset| _mm_loadu_si128(base.add(offset as usize).cast()));
                    let taps = interleave(taps);
                    let quad = quads.as_ptr().add(block).cast::<__m256i>();
                    for (half, sum) in sums.iter_mut().enumerate() {
                        let pairs = _mm256_maddubs_epi16(taps[half], _mm256_load_si256(quad.add(half)));
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                    }
                }
                let to = out.add(position * plan.channels + block * LANES);
                _mm_storeu_si128(to.cast(), scale.activations::<false>(sums, none));
            }
        }
    }
}

/// Accumulators less the mean become whole activations, not yet cut: `Floats::activation`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn rounded(x: __m256i, factor: __m256, shift: f32) -> __m256i {
    let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(x), factor, _mm256_set1_ps(shift));
    _mm256_sub_epi32(_mm256_castps_si256(sum), _mm256_set1_epi32(ROUNDER_BITS))
}

/// 16 whole activations, cut to 0 to 127.
#[inline]
#[target_feature(enable = "avx2")]
fn cut(whole: [__m256i; 2]) -> __m128i {
    // To 16 bits, then to -128 to 127, then to 0 and above. Packing works within halves of a register.
    let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(whole[0], whole[1]));
    let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    _mm_max_epi8(bytes, _mm_setzero_si128())
}

/// Four pixels of four bands become four bands of four pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn turned([a, b, c, d]: [__m128i; FOUR]) -> [__m128i; FOUR] {
    let (ab, cd) = (_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d));
    [
        _mm_unpacklo_epi64(ab, cd),
        _mm_unpackhi_epi64(ab, cd),
        _mm_unpacklo_epi64(ab_high, cd_high),
        _mm_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The scale of 16 channels: for each eight the even lanes and the odd ones.
#[derive(Clone, Copy)]
struct Lanes {
    factor: [[__m256i; 2]; 2],
    bias: [[__m256i; 2]; 2],
    carry: __m256i,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(plan: &Scale, first: usize) -> Self {
        let factor = |half: usize, odd: usize| {
            let at = |lane: usize| plan.factor[first + half * 8 + 2 * lane + odd];
            _mm256_setr_epi32(at(0), 0, at(1), 0, at(2), 0, at(3), 0)
        };
        let bias = |half: usize, odd: usize| {
            let at = |lane: usize| plan.bias[first + half * 8 + 2 * lane + odd];
            _mm256_setr_epi64x(at(0), at(1), at(2), at(3))
        };
        Self {
            factor: [[factor(0, 0), factor(0, 1)], [factor(1, 0), factor(1, 1)]],
            bias: [[bias(0, 0), bias(0, 1)], [bias(1, 0), bias(1, 1)]],
            carry: _mm256_set1_epi64x(i64::from(plan.carry)),
        }
    }

    /// 16 accumulators, and where `ADD` the layer's input, become activations.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn activations<const ADD: bool>(&self, x: [__m256i; 2], added: [__m256i; 2]) -> __m128i {
        let mut high = [_mm256_setzero_si256(); 2];
        for half in 0..2 {
            let ([even_factor, odd_factor], [even_bias, odd_bias]) = (self.factor[half], self.bias[half]);
            let x_odd = _mm256_srli_epi64::<32>(x[half]);
            let mut even = _mm256_add_epi64(_mm256_mul_epi32(x[half], even_factor), even_bias);
            let mut odd = _mm256_add_epi64(_mm256_mul_epi32(x_odd, odd_factor), odd_bias);
            if ADD {
                let a = added[half];
                even = _mm256_add_epi64(even, _mm256_mul_epu32(a, self.carry));
                odd = _mm256_add_epi64(odd, _mm256_mul_epu32(_mm256_srli_epi64::<32>(a), self.carry));
            }
            // The upper halves of the products are what a shift by 32 leaves.
            high[half] = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        }
        cut(high)
    }
}

/// Four pixels of 16 channels become 16 channels of four pixels.
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
    assert!(
        width.is_multiple_of(LANES) && width <= 64 && row.len() <= 256 * width,
        "groups that can be summed"
    );
    // SAFETY: the set exists only where the processor has these instructions, and `width` is as it has to be.
    unsafe { sums_row(sums, row, width) }
}

#[target_feature(enable = "avx2")]
unsafe fn sums_row(sums: &mut Sums, row: &[i32], width: usize) {
    for block in (0..width).step_by(8) {
        let (mut sum, mut even, mut odd) =
            (_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256());
        for group in row.chunks_exact(width) {
            // SAFETY: `block + 8` is at most `width`.
            let x = unsafe { _mm256_loadu_si256(group.as_ptr().add(block).cast()) };
            let x_odd = _mm256_srli_epi64::<32>(x);
            // At most 256 accumulators below 2^23.
            sum = _mm256_add_epi32(sum, x);
            even = _mm256_add_epi64(even, _mm256_mul_epi32(x, x));
            odd = _mm256_add_epi64(odd, _mm256_mul_epi32(x_odd, x_odd));
        }
        let (mut plain, mut squares) = ([0_i32; 8], [[0_i64; 4]; 2]);
        // SAFETY: 32 bytes each.
        unsafe {
            _mm256_storeu_si256(plain.as_mut_ptr().cast(), sum);
            _mm256_storeu_si256(squares[0].as_mut_ptr().cast(), even);
            _mm256_storeu_si256(squares[1].as_mut_ptr().cast(), odd);
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

#[target_feature(enable = "avx2")]
unsafe fn scale_row<const ADD: bool>(plan: &Scale, row: &[i32], added: *const u8, out: *mut u8) {
    for block in (0..plan.width).step_by(LANES) {
        let scale = Lanes::load(plan, block);
        for at in (block..row.len()).step_by(plan.width) {
            // SAFETY: see `scale`.
            unsafe {
                let x = row.as_ptr().add(at);
                let x = [_mm256_loadu_si256(x.cast()), _mm256_loadu_si256(x.add(8).cast())];
                let mut before = [_mm256_setzero_si256(); 2];
                if ADD {
                    let bytes = _mm_loadu_si128(added.add(at).cast());
                    before = [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))];
                }
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

#[target_feature(enable = "avx2")]
unsafe fn fours_row<const ADD: bool>(plan: &Scale, row: &[i32], added: *const u8, out: *mut u8) {
    let byte = _mm256_set1_epi32(0xFF);
    for block in (0..plan.width).step_by(LANES) {
        let scale = Lanes::load(plan, block);
        for first in (0..row.len()).step_by(FOUR * plan.width) {
            let at = first + block * FOUR;
            // SAFETY: see `fours`.
            unsafe {
                let mut before = [_mm256_setzero_si256(); 2];
                if ADD {
                    let from = added.add(at);
                    before = [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())];
                }
                let mut pixels = [_mm_setzero_si128(); FOUR];
                for (pixel, activations) in pixels.iter_mut().enumerate() {
                    let x = row.as_ptr().add(first + pixel * plan.width + block);
                    let x = [_mm256_loadu_si256(x.cast()), _mm256_loadu_si256(x.add(8).cast())];
                    let own = [_mm256_and_si256(before[0], byte), _mm256_and_si256(before[1], byte)];
                    *activations = scale.activations::<ADD>(x, own);
                    before = [_mm256_srli_epi32::<8>(before[0]), _mm256_srli_epi32::<8>(before[1])];
                }
                let turned = interleave(pixels);
                _mm256_storeu_si256(out.add(at).cast(), turned[0]);
                _mm256_storeu_si256(out.add(at + 32).cast(), turned[1]);
            }
        }
    }
}
