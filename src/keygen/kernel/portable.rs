//! The inner loops in plain Rust.

use super::{FOUR, Filter, LANES, Mixing, PixelFilter, Quad, Scale, Sums};

/// Positions computed side by side, so that a weight is loaded once for all of them.
const TOGETHER: usize = 4;

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
    let blocks = plan.channels / LANES;
    for (block, quads) in plan.quads.chunks_exact(plan.quads.len() / blocks).enumerate() {
        for position in 0..count {
            let mut sums = [[0_i32; LANES]; FOUR];
            let mut quads = quads.iter();
            for step in &plan.steps {
                let at = position * plan.advance + step.offset as usize + block * LANES * FOUR;
                let activations = &input[at..at + LANES * FOUR];
                let counts = |output: &usize| step.outputs >> output & 1 == 1;
                for (output, quad) in (0..FOUR).filter(counts).zip(&mut quads) {
                    meet_own(&mut sums[output], quad, activations);
                }
            }
            for (output, sums) in sums.iter().enumerate() {
                for (lane, x) in sums.iter().enumerate() {
                    let place = match plan.bands {
                        None => output * plan.channels + block * LANES + lane,
                        Some(band) => lane / FOUR * band + output * FOUR + lane % FOUR,
                    };
                    out[position * plan.out_advance + place] =
                        activation(&plan.scale, *x, block * LANES + lane, 0);
                }
            }
        }
    }
}

/// Four weights of each channel meet four neighbours of that channel.
#[inline]
fn meet_own(sums: &mut [i32; LANES], quad: &Quad, activations: &[u8]) {
    for ((sum, weights), four) in sums.iter_mut().zip(&quad.0).zip(activations.chunks_exact(FOUR)) {
        *sum += (0..FOUR).map(|at| i32::from(weights[at]) * i32::from(four[at])).sum::<i32>();
    }
}

pub(super) fn pixel_filter(plan: &PixelFilter, input: &[u8], out: &mut [u8], count: usize) {
    let blocks = plan.channels / LANES;
    for (position, out) in out.chunks_exact_mut(plan.channels).take(count).enumerate() {
        for (block, out) in out.chunks_exact_mut(LANES).enumerate() {
            let base = position * plan.advance + block * LANES;
            let mut sums = [0_i32; LANES];
            for (offsets, quads) in plan.offsets.iter().zip(plan.quads.chunks_exact(blocks)) {
                let taps = offsets.map(|offset| &input[base + offset as usize..][..LANES]);
                for (lane, (sum, weights)) in sums.iter_mut().zip(&quads[block].0).enumerate() {
                    *sum +=
                        (0..FOUR).map(|at| i32::from(weights[at]) * i32::from(taps[at][lane])).sum::<i32>();
                }
            }
            for (lane, out) in out.iter_mut().enumerate() {
                *out = activation(&plan.scale, sums[lane], block * LANES + lane, 0);
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

pub(super) fn fours(plan: &Scale, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
    let width = plan.width;
    for (number, (group, out)) in
        row.chunks_exact(FOUR * width).zip(out.chunks_exact_mut(FOUR * width)).enumerate()
    {
        let added = added.map(|added| &added[number * FOUR * width..][..FOUR * width]);
        for at in 0..width {
            for pixel in 0..FOUR {
                let place = at * FOUR + pixel;
                let more = added.map_or(0, |added| i64::from(added[place]) * i64::from(plan.carry));
                out[place] = activation(plan, group[pixel * width + at], at, more);
            }
        }
    }
}
