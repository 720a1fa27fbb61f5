//! The inner loops with NEON. Activations reach 127 at most, so that they are signed bytes as well.
#![allow(unsafe_code, reason = "vector loads and stores take pointers; the bounds are checked in the parent")]

use std::arch::aarch64::{
    int8x8_t, int32x4_t, vdup_n_s32, vdupq_n_s32, vld1_s8, vmull_s8, vpadalq_s16, vpaddq_s32,
    vreinterpret_s8_s32, vst1q_s32,
};

use super::{LANES, Mixing};

/// Positions computed side by side: 16 accumulators in registers.
const TOGETHER: usize = 2;
/// Vectors of two outputs with two half sums each.
const PAIRS: usize = LANES / 2;

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    // SAFETY: the set exists only where the processor has these instructions, and `Mixing::row`, the only caller, has
    // checked that `count` positions of activations and outputs lie within the slices.
    unsafe { mixing_row(plan, input.as_ptr(), out.as_mut_ptr(), count) }
}

#[target_feature(enable = "neon")]
unsafe fn mixing_row(plan: &Mixing, input: *const u8, out: *mut i32, count: usize) {
    for position in (0..count).step_by(TOGETHER) {
        for block in 0..plan.blocks {
            let mut sums: [[int32x4_t; PAIRS]; TOGETHER] = [[vdupq_n_s32(0); PAIRS]; TOGETHER];
            // SAFETY: see `mixing`.
            unsafe {
                let base = input.add(position * plan.advance);
                for (step, offset) in plan.offsets.iter().enumerate() {
                    let here = base.add(*offset as usize);
                    let weights = plan.quads.as_ptr().add(step * plan.blocks + block).cast::<i8>();
                    let mut fours: [int8x8_t; TOGETHER] = [vreinterpret_s8_s32(vdup_n_s32(0)); TOGETHER];
                    for (p, four) in fours.iter_mut().enumerate() {
                        let bytes = here.add(p * plan.advance).cast::<i32>().read_unaligned();
                        *four = vreinterpret_s8_s32(vdup_n_s32(bytes));
                    }
                    for pair in 0..PAIRS {
                        let weights = vld1_s8(weights.add(pair * 8));
                        for p in 0..TOGETHER {
                            sums[p][pair] = vpadalq_s16(sums[p][pair], vmull_s8(fours[p], weights));
                        }
                    }
                }
                for (p, sums) in sums.iter().enumerate() {
                    let to = out.add((position + p) * plan.out_advance + block * LANES);
                    for (four, pairs) in sums.chunks_exact(2).enumerate() {
                        vst1q_s32(to.add(four * 4), vpaddq_s32(pairs[0], pairs[1]));
                    }
                }
            }
        }
    }
}
