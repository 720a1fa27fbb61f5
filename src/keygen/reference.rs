//! The network computed directly from sections 4 and 6 of `docs/GENERATOR.md`, in 64-bit integers and plain loops.
//!
//! It is far too slow for use. Every other engine is tested against it, and calibration walks through it layer by layer.

use super::model::{Depthwise, Layer, Model};
use super::network::{Post, Shape};

/// Activations or accumulators: channels, in them rows.
#[derive(Clone)]
pub(crate) struct Planes {
    pub(crate) side: usize,
    pub(crate) channels: Vec<Vec<i64>>,
}

/// Mean and 256 times the standard deviation of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) mean: i64,
    pub(crate) spread: i64,
}

impl Statistics {
    /// From the number of accumulators, their sum and the sum of their squares.
    pub(crate) fn of(count: usize, sum: i64, squares: i64) -> Self {
        let n = count.ilog2();
        let count = 1_i64 << n;
        let mean = (sum + count / 2) >> n;
        let deviations = squares - mean * (2 * sum - count * mean);
        Self { mean, spread: (deviations << (16 - n)).isqrt().max(1) }
    }

    /// The factor that makes `gain` / 256 steps of one standard deviation.
    pub(crate) fn factor(self, gain: u32) -> i64 {
        ((i64::from(gain) << 32) / self.spread).min((1 << 31) - 1)
    }

    /// The shift of the fold.
    pub(crate) fn shift(self) -> u32 {
        self.spread.ilog2().saturating_sub(19)
    }
}

const HALF: i64 = 1 << 31;

/// The key image for a seed image of `side` rows and columns.
pub(crate) fn generate(model: &Model, seed_image: &[u8], side: usize) -> Vec<u8> {
    let mut planes = input(seed_image, side);
    for (shape, layer) in model.layers() {
        let accumulators = accumulate(shape, layer, &planes);
        if shape.post == Post::Fold {
            return fold(&accumulators);
        }
        planes = activate(shape, layer, &accumulators, &planes);
    }
    unreachable!("the last layer folds")
}

/// The network's input.
pub(crate) fn input(seed_image: &[u8], side: usize) -> Planes {
    let channel =
        |c: usize| (0..side * side).map(|pixel| i64::from(seed_image[pixel * 3 + c] >> 1)).collect();
    Planes { side, channels: (0..3).map(channel).collect() }
}

/// The accumulators of a layer, those of the pointwise half where it is split.
pub(crate) fn accumulate(shape: &Shape, layer: &Layer, input: &Planes) -> Planes {
    match &layer.depthwise {
        None => dense(shape, &layer.weights, input),
        Some(depthwise) => {
            let middle = rescale(depthwise, &filter(shape, &depthwise.weights, input));
            let pointwise = Shape { kernel: 1, stride: 1, transposed: false, ..*shape };
            dense(&pointwise, &layer.weights, &middle)
        }
    }
}

/// The accumulators of a depthwise half.
pub(crate) fn filter(shape: &Shape, weights: &[i8], input: &Planes) -> Planes {
    let each = shape.kernel * shape.kernel;
    let channels = weights.chunks_exact(each).zip(&input.channels);
    let side = shape_side(shape, input.side);
    let filtered = |(weights, channel): (&[i8], &Vec<i64>)| {
        let mut out = vec![0; side * side];
        convolve(shape, weights, channel, input.side, &mut out);
        out
    };
    Planes { side, channels: channels.map(filtered).collect() }
}

fn dense(shape: &Shape, weights: &[i8], input: &Planes) -> Planes {
    let each = shape.kernel * shape.kernel;
    let side = shape_side(shape, input.side);
    let channels = weights.chunks_exact(each * shape.inputs).map(|weights| {
        let mut out = vec![0; side * side];
        for (weights, channel) in weights.chunks_exact(each).zip(&input.channels) {
            convolve(shape, weights, channel, input.side, &mut out);
        }
        out
    });
    Planes { side, channels: channels.collect() }
}

fn shape_side(shape: &Shape, side: usize) -> usize {
    if shape.transposed { side * shape.stride } else { side / shape.stride }
}

/// Adds the convolution of one channel to `out`.
fn convolve(shape: &Shape, weights: &[i8], channel: &[i64], side: usize, out: &mut [i64]) {
    let side_out = shape_side(shape, side);
    let (kernel, padding) = (shape.kernel, shape.padding());
    // The place in the input that tap `k` meets at `at` in the output, if there is one.
    let meets = |at: usize, k: usize| -> Option<usize> {
        let place = if shape.transposed {
            let doubled = (at + padding).checked_sub(k)?;
            doubled.is_multiple_of(shape.stride).then_some(doubled / shape.stride)?
        } else {
            (at * shape.stride + k).checked_sub(padding)?
        };
        (place < side).then_some(place)
    };
    for row in 0..side_out {
        for column in 0..side_out {
            let mut sum = 0;
            for ky in 0..kernel {
                let Some(y) = meets(row, ky) else { continue };
                for kx in 0..kernel {
                    let Some(x) = meets(column, kx) else { continue };
                    sum += i64::from(weights[ky * kernel + kx]) * channel[y * side + x];
                }
            }
            out[row * side_out + column] += sum;
        }
    }
}

/// The depthwise half's own post-operation.
pub(crate) fn rescale(depthwise: &Depthwise, accumulators: &Planes) -> Planes {
    let parameters = depthwise.centre.iter().zip(&depthwise.factor);
    let channels = accumulators.channels.iter().zip(parameters).map(|(channel, (centre, factor))| {
        let (centre, factor) = (i64::from(*centre), i64::from(*factor));
        channel.iter().map(|x| ((((x - centre) * factor + HALF) >> 32) + 64).clamp(0, 127)).collect()
    });
    Planes { side: accumulators.side, channels: channels.collect() }
}

/// Statistics of one channel.
pub(crate) fn statistics(channel: &[i64]) -> Statistics {
    Statistics::of(channel.len(), channel.iter().sum(), channel.iter().map(|x| x * x).sum())
}

/// Instance normalisation, the input added where the layer says so, and ReLU.
pub(crate) fn activate(shape: &Shape, layer: &Layer, accumulators: &Planes, input: &Planes) -> Planes {
    let carry = i64::from(layer.carry);
    let channels = accumulators.channels.iter().enumerate().map(|(number, channel)| {
        let statistics = statistics(channel);
        let factor = statistics.factor(layer.gain);
        let pixel = |(at, x): (usize, &i64)| {
            let added = if shape.post == Post::Add { input.channels[number][at] * carry } else { 0 };
            (((x - statistics.mean) * factor + added + HALF) >> 32).clamp(0, 127)
        };
        channel.iter().enumerate().map(pixel).collect()
    });
    Planes { side: accumulators.side, channels: channels.collect() }
}

/// The fold of section 6.
fn fold(accumulators: &Planes) -> Vec<u8> {
    let mut image = vec![0; accumulators.side * accumulators.side * 3];
    for (number, channel) in accumulators.channels.iter().enumerate() {
        let statistics = statistics(channel);
        for (pixel, x) in channel.iter().enumerate() {
            let folded = ((x - statistics.mean) >> statistics.shift()) & 255;
            image[pixel * 3 + number] = u8::try_from(folded).expect("eight bits");
        }
    }
    image
}
