//! The inner loops in plain Rust.

use super::{Filter, LANES, Mixing, Quad, Scale, Sums};

/// Positions computed side by side, so that a weight is loaded once for all of them.
const TOGETHER: usize = 4;

fn dot(quad: &[i8; 4], activations: [u8; 4]) -> i32 {
    (0..4).map(|at| i32::from(quad[at]) * i32::from(activations[at])).sum()
}

fn four(input: &[u8], at: usize) -> [u8; 4] {
    [input[at], input[at + 1], input[at + 2], input[at + 3]]
}

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    for position in (0..count).step_by(TOGETHER) {
        for block in 0..plan.blocks {
            let mut sums = [[0_i32; LANES]; TOGETHER];
            for (offset, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(plan.blocks)) {
                let Quad(weights) = &quads[block];
                for (next, sums) in sums.iter_mut().enumerate() {
                    let activations = four(input, (position + next) * plan.advance + *offset as usize);
                    for (sum, quad) in sums.iter_mut().zip(weights) {
                        *sum += dot(quad, activations);
                    }
                }
            }
            for (next, sums) in sums.iter().enumerate() {
                let at = (position + next) * plan.out_advance + block * LANES;
                out[at..at + LANES].copy_from_slice(sums);
            }
        }
    }
}

pub(super) fn filter(plan: &Filter, input: &[u8], out: &mut [i32], count: usize) {
    let blocks = plan.channels / LANES;
    for position in 0..count {
        for block in 0..blocks {
            let mut sums = [0_i32; LANES];
            for (offsets, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(blocks)) {
                let base = position * plan.advance + block * LANES;
                let taps = offsets.map(|offset| &input[base + offset as usize..][..LANES]);
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum += dot(&quads[block].0[lane], taps.map(|tap| tap[lane]));
                }
            }
            let at = position * plan.out_advance + block * LANES;
            out[at..at + LANES].copy_from_slice(&sums);
        }
    }
}

/// Inlined into the variants, whose instructions the compiler then uses for it.
#[inline(always)]
pub(super) fn sums(sums: &mut Sums, row: &[i32], width: usize) {
    for group in row.chunks_exact(width) {
        for ((x, sum), squares) in group.iter().zip(&mut sums.sum).zip(&mut sums.squares) {
            let x = i64::from(*x);
            *sum += x;
            *squares += x * x;
        }
    }
}

/// Inlined into the variants, whose instructions the compiler then uses for it.
#[inline(always)]
pub(super) fn scale(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    let width = plan.width;
    let (mean, factor) = (&plan.mean[..width], &plan.factor[..width]);
    let one = |x: i32, at: usize, added: i64| -> u8 {
        let product = i64::from(x - mean[at]) * i64::from(factor[at]) + added + (1 << 31);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 127")]
        let activation = ((product >> 32) as i32 + plan.shift).clamp(0, 127) as u8;
        activation
    };
    let groups = row.chunks_exact(width).zip(out.chunks_exact_mut(width));
    match added {
        None => {
            for (group, out) in groups {
                for at in 0..width {
                    out[at] = one(group[at], at, 0);
                }
            }
        }
        Some(added) => {
            for ((group, out), added) in groups.zip(added.chunks_exact(width)) {
                for at in 0..width {
                    out[at] = one(group[at], at, i64::from(added[at]) * i64::from(plan.carry));
                }
            }
        }
    }
}
