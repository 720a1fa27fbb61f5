//! The inner loops in plain Rust.

use super::{Filter, LANES, Mixing, Quad, Scale, Sums};

/// Positions computed side by side, so that a weight is loaded once for all of them.
const TOGETHER: usize = 4;

#[inline]
fn dot(quad: [i8; 4], activations: [u8; 4]) -> i32 {
    let product = |at: usize| i32::from(quad[at]) * i32::from(activations[at]);
    product(0) + product(1) + product(2) + product(3)
}

#[inline]
fn four(input: &[u8], at: usize) -> [u8; 4] {
    input[at..at + 4].try_into().expect("four bytes")
}

pub(super) fn mixing(plan: &Mixing, input: &[u8], out: &mut [i32], count: usize) {
    for position in (0..count).step_by(TOGETHER) {
        for block in 0..plan.blocks {
            let mut sums = [[0_i32; LANES]; TOGETHER];
            let here = &input[position * plan.advance..];
            for (offset, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(plan.blocks)) {
                let at = *offset as usize;
                let fours: [[u8; 4]; TOGETHER] =
                    std::array::from_fn(|next| four(here, next * plan.advance + at));
                meet(&mut sums, &quads[block], &fours);
            }
            for (next, sums) in sums.iter().enumerate() {
                let at = (position + next) * plan.out_advance + block * LANES;
                out[at..at + LANES].copy_from_slice(sums);
            }
        }
    }
}

/// Four weights of each output meet four activations of each position. The loops are of fixed length for the compiler's
/// sake.
#[inline]
fn meet(sums: &mut [[i32; LANES]; TOGETHER], quad: &Quad, fours: &[[u8; 4]; TOGETHER]) {
    for at in 0..4 {
        let weights: [i32; LANES] = std::array::from_fn(|lane| i32::from(quad.0[lane][at]));
        for (sums, four) in sums.iter_mut().zip(fours) {
            let activation = i32::from(four[at]);
            for (sum, weight) in sums.iter_mut().zip(&weights) {
                *sum += weight * activation;
            }
        }
    }
}

pub(super) fn filter(plan: &Filter, input: &[u8], out: &mut [u8], count: usize) {
    let (blocks, places) = (plan.channels / LANES, plan.places.len());
    for position in 0..count {
        for (number, place) in plan.places.iter().enumerate() {
            for block in 0..blocks {
                let base = position * plan.advance + block * LANES;
                let mut sums = [0_i32; LANES];
                for (offsets, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(places * blocks)) {
                    let taps = offsets.map(|offset| &input[base + offset as usize..][..LANES]);
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        *sum += dot(quads[number * blocks + block].0[lane], taps.map(|tap| tap[lane]));
                    }
                }
                let at = position * plan.out_advance + place + block * LANES;
                for (lane, out) in out[at..at + LANES].iter_mut().enumerate() {
                    *out = activation(&plan.scale, sums[lane], block * LANES + lane, 0);
                }
            }
        }
    }
}

#[inline]
fn activation(plan: &Scale, x: i32, at: usize, added: i64) -> u8 {
    let product = i64::from(x) * i64::from(plan.factor[at]) + plan.bias[at] + added;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 127")]
    let activation = ((product >> 32) as i32).clamp(0, 127) as u8;
    activation
}

pub(super) fn sums(sums: &mut Sums, row: &[i32], width: usize) {
    let (sum, squares) = (&mut sums.sum[..width], &mut sums.squares[..width]);
    for group in row.chunks_exact(width) {
        for at in 0..width {
            let x = i64::from(group[at]);
            sum[at] += x;
            squares[at] += x * x;
        }
    }
}

pub(super) fn scale(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    let width = plan.width;
    let groups = row.chunks_exact(width).zip(out.chunks_exact_mut(width));
    match added {
        None => {
            for (group, out) in groups {
                for at in 0..width {
                    out[at] = activation(plan, group[at], at, 0);
                }
            }
        }
        Some(added) => {
            for ((group, out), added) in groups.zip(added.chunks_exact(width)) {
                for at in 0..width {
                    out[at] = activation(plan, group[at], at, i64::from(added[at]) * i64::from(plan.carry));
                }
            }
        }
    }
}
