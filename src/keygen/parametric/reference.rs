//! A network in plain loops, step by step: what calibration counts with, and what the fast way is compared with.

use super::file::Layer;
use super::topology::{Convolution, Shape};

/// Activations with the channels of a pixel side by side, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) side: usize,
    pub(super) channels: usize,
    pub(super) activations: Vec<u8>,
}

impl Tensor {
    /// Tensor 0.
    pub(super) fn of_picture(picture: &[u8], shape: &Shape) -> Self {
        let activations = picture.iter().map(|sample| sample >> 1).collect();
        Self { side: shape.side, channels: shape.channels, activations }
    }

    /// The channels of a pixel; zeros beyond the border.
    fn pixel(&self, row: Option<usize>, column: Option<usize>) -> Option<&[u8]> {
        let (row, column) = (row?, column?);
        let start = (row * self.side + column) * self.channels;
        (row < self.side && column < self.side).then(|| &self.activations[start..start + self.channels])
    }

    /// The sum of each channel.
    pub(super) fn features(&self) -> Vec<i32> {
        let mut sums = vec![0; self.channels];
        for pixel in self.activations.chunks_exact(self.channels) {
            sums.iter_mut().zip(pixel).for_each(|(sum, activation)| *sum += i32::from(*activation));
        }
        sums
    }
}

/// The accumulators of a convolution, output by output at each place.
pub(super) fn accumulate(convolution: &Convolution, weights: &[i8], input: &Tensor) -> Vec<i32> {
    let &Convolution { kernel, stride, outputs, depthwise, .. } = convolution;
    let side = input.side / stride;
    let inputs = if depthwise { 1 } else { convolution.inputs };
    // Order: row, column, input, output, so that the innermost loop is over neighbours.
    let taps = kernel * kernel;
    let mut turned = vec![0_i32; weights.len()];
    for (at, weight) in weights.iter().enumerate() {
        let (output, input, tap) = (at / (inputs * taps), at / taps % inputs, at % taps);
        turned[(tap * inputs + input) * outputs + output] = i32::from(*weight);
    }
    let mut all = vec![0; side * side * outputs];
    for (place, sums) in all.chunks_exact_mut(outputs).enumerate() {
        for tap in 0..taps {
            let inside = |at: usize, step: usize| (at * stride + step).checked_sub(convolution.padding());
            let pixel = input.pixel(inside(place / side, tap / kernel), inside(place % side, tap % kernel));
            let weights = &turned[tap * inputs * outputs..][..inputs * outputs];
            match pixel {
                None => {}
                Some(pixel) if depthwise => add(sums, weights, |at| pixel[at]),
                Some(pixel) => {
                    let rows = weights.chunks_exact(outputs).zip(pixel);
                    rows.for_each(|(weights, activation)| add(sums, weights, |_| *activation));
                }
            }
        }
    }
    all
}

fn add(sums: &mut [i32], weights: &[i32], activation: impl Fn(usize) -> u8) {
    for (at, (sum, weight)) in sums.iter_mut().zip(weights).enumerate() {
        *sum += weight * i32::from(activation(at));
    }
}

/// What accumulators become.
pub(super) fn activate(layer: &Layer, accumulators: &[i32], added: Option<&Tensor>) -> Vec<u8> {
    let outputs = layer.mean.len();
    let one = |(at, accumulator): (usize, &i32)| {
        let off = i64::from(*accumulator) - i64::from(layer.mean[at % outputs]);
        let added = added.map_or(0, |tensor| i64::from(tensor.activations[at]) * i64::from(layer.carry));
        let activation = (off * i64::from(layer.factor[at % outputs]) + added + (1 << 31)) >> 32;
        u8::try_from(activation.clamp(0, 127)).unwrap_or(0)
    };
    accumulators.iter().enumerate().map(one).collect()
}

/// The largest of three by three, at every other place.
pub(super) fn pool(input: &Tensor) -> Tensor {
    let (side, channels) = (input.side / 2, input.channels);
    let mut activations = vec![0_u8; side * side * channels];
    for (place, out) in activations.chunks_exact_mut(channels).enumerate() {
        for tap in 0..9 {
            let (row, column) = (2 * (place / side) + tap / 3, 2 * (place % side) + tap % 3);
            if let Some(pixel) = input.pixel(row.checked_sub(1), column.checked_sub(1)) {
                out.iter_mut().zip(pixel).for_each(|(out, activation)| *out = (*out).max(*activation));
            }
        }
    }
    Tensor { side, channels, activations }
}
