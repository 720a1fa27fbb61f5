//! A network at work, on one core, with the generator's inner loops.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::file::{Head, Layer, Network, Numbers, OUTPUT_BITS, OUTPUTS};
use super::picture::{PICTURE_BYTES, draw};
use super::topology::{Convolution, Shape, Step, Topology};
use crate::keygen::Instructions;
use crate::keygen::kernel::{LANES, Mixing, POSITIONS, PixelFilter, Quad, Scale};

/// Bytes behind a tensor: rows are computed in groups of positions, whose last ones nobody looks at.
const SLACK: usize = 8192;
/// Buffers that are kept between runs, several MB each.
const IDLE_MAX: usize = 4;

/// What a network read off an instance's metadata. No secret: metadata is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The network's id.
    pub network: [u8; 32],
    /// SHA-256 of the picture that was drawn of the metadata.
    pub picture: [u8; 32],
    /// The network's outputs.
    pub outputs: [u32; OUTPUTS],
}

impl Reading {
    /// Bits of each output.
    pub const OUTPUT_BITS: u32 = OUTPUT_BITS;
}

impl Network {
    /// Reads metadata.
    #[must_use]
    pub fn read(&self, metadata: &[u8]) -> Reading {
        let drawn = draw(metadata);
        let mut picture = [0; 32];
        picture.copy_from_slice(digest(&SHA256, &drawn).as_ref());
        let outputs = self.runner.run(&drawn, Instructions::best());
        Reading { network: *self.id().as_bytes(), picture, outputs }
    }

    /// What the last layer reads of a picture.
    pub(super) fn features(&self, picture: &[u8], with: Instructions) -> Vec<i32> {
        self.runner.features(picture, with)
    }

    /// The outputs for a picture, with the instructions that are named.
    #[must_use]
    pub fn outputs(&self, picture: &[u8], with: Instructions) -> [u32; OUTPUTS] {
        self.runner.run(picture, with)
    }
}

/// A tensor's layout: channels of a pixel side by side, rows framed by `margin` pixels of zeros.
#[derive(Debug, Clone, Copy)]
struct Frame {
    side: usize,
    /// With padding to whole groups of four.
    channels: usize,
    margin: usize,
}

impl Frame {
    const fn stride(&self) -> usize {
        (self.side + 2 * self.margin) * self.channels
    }

    const fn length(&self) -> usize {
        self.stride() * (self.side + 2 * self.margin) + SLACK
    }

    /// Where pixel 0 of a row is.
    const fn row(&self, row: usize) -> usize {
        (row + self.margin) * self.stride() + self.margin * self.channels
    }
}

/// A network made ready to run.
pub(super) struct Runner {
    frames: Vec<Frame>,
    works: Vec<Work>,
    head: Head,
    idle: Mutex<Vec<Workspace>>,
}

struct Workspace {
    tensors: Vec<Vec<u8>>,
    accumulators: Vec<i32>,
    activations: Vec<u8>,
}

enum Work {
    /// Up to 32 outputs each.
    Mixing {
        convolution: Convolution,
        parts: Vec<Mixing>,
        scale: Scale,
    },
    Filter {
        convolution: Convolution,
        filter: PixelFilter,
    },
    Pool {
        from: usize,
    },
}

impl Runner {
    pub(super) fn new(topology: Topology, numbers: &Numbers) -> Self {
        let shapes = topology.shapes();
        let margin = |at: usize| if at == 0 { 3 } else { 1 };
        let frame = |(at, shape): (usize, &Shape)| Frame {
            side: shape.side,
            channels: shape.channels.next_multiple_of(4),
            margin: margin(at),
        };
        let frames: Vec<Frame> = shapes.iter().enumerate().map(frame).collect();
        let mut layers = numbers.layers.iter();
        let works = topology.steps().into_iter().map(|step| match step {
            Step::Pool { from } => Work::Pool { from },
            Step::Convolution(convolution) => {
                let layer = layers.next().expect("a layer for each convolution");
                Work::new(convolution, layer, frames[convolution.from])
            }
        });
        let works = works.collect();
        Self { frames, works, head: numbers.head.clone(), idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn run(&self, picture: &[u8], with: Instructions) -> [u32; OUTPUTS] {
        self.head.outputs(&self.features(picture, with))
    }

    fn features(&self, picture: &[u8], with: Instructions) -> Vec<i32> {
        assert_eq!(picture.len(), PICTURE_BYTES, "a picture");
        let lock = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().pop();
        let mut space = idle.unwrap_or_else(|| self.workspace());
        self.load(&mut space.tensors[0], picture);
        for (number, work) in self.works.iter().enumerate() {
            work.run(with, &mut space, &self.frames, number + 1);
        }
        let features = self.sums(&space);
        let mut idle = lock();
        if idle.len() < IDLE_MAX {
            idle.push(space);
        }
        features
    }

    fn workspace(&self) -> Workspace {
        let row =
            self.frames.iter().map(|frame| frame.side.next_multiple_of(POSITIONS) * frame.channels).max();
        let row = row.unwrap_or(0);
        Workspace {
            tensors: self.frames.iter().map(|frame| vec![0; frame.length()]).collect(),
            accumulators: vec![0; row],
            activations: vec![0; row],
        }
    }

    fn load(&self, tensor: &mut [u8], picture: &[u8]) {
        let frame = self.frames[0];
        for (row, samples) in picture.chunks_exact(frame.side * 3).enumerate() {
            let pixels = tensor[frame.row(row)..].chunks_exact_mut(frame.channels);
            for (pixel, samples) in pixels.zip(samples.chunks_exact(3)) {
                pixel.iter_mut().zip(samples).for_each(|(activation, sample)| *activation = sample >> 1);
            }
        }
    }

    /// The sum of each channel of the last tensor.
    fn sums(&self, space: &Workspace) -> Vec<i32> {
        let (Some(frame), Some(tensor)) = (self.frames.last(), space.tensors.last()) else {
            return Vec::new();
        };
        let mut sums = vec![0; frame.channels];
        for row in 0..frame.side {
            let pixels = &tensor[frame.row(row)..][..frame.side * frame.channels];
            for pixel in pixels.chunks_exact(frame.channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, activation)| *sum += i32::from(*activation));
            }
        }
        sums
    }
}

impl Head {
    /// The sums of the weighted features, around the curve.
    pub(super) fn outputs(&self, features: &[i32]) -> [u32; OUTPUTS] {
        let accumulators = self.accumulators(features);
        std::array::from_fn(|at| {
            let off = accumulators[at] - i64::from(self.mean[at]);
            let place = ((off * i64::from(self.factor[at])) >> 16) + (1 << (OUTPUT_BITS - 1));
            let place = u32::try_from(place.clamp(0, (1 << OUTPUT_BITS) - 1)).unwrap_or(0);
            let (knot, rest) = ((place >> 16) as usize, u64::from(place & 0xFFFF));
            let [low, high] = [self.curve[knot], self.curve[knot + 1]];
            let above = (u64::from(high - low) * rest) >> 16;
            low + u32::try_from(above).unwrap_or(0)
        })
    }

    pub(super) fn accumulators(&self, features: &[i32]) -> [i64; OUTPUTS] {
        let mut rows = self.weights.chunks_exact(features.len());
        std::array::from_fn(|_| {
            let row = rows.next().unwrap_or_default();
            row.iter().zip(features).map(|(weight, feature)| i64::from(*weight) * i64::from(*feature)).sum()
        })
    }
}

impl Work {
    fn new(convolution: Convolution, layer: &Layer, from: Frame) -> Self {
        let of = |channel: usize| (i64::from(layer.mean[channel]), i64::from(layer.factor[channel]));
        let scale = Scale::new(convolution.outputs, layer.carry, 0, of);
        if convolution.depthwise {
            return Self::Filter { convolution, filter: filter(&convolution, layer, from, scale) };
        }
        let parts = (0..convolution.outputs).step_by(32);
        let parts = parts.map(|first| mixing(&convolution, layer, from, first)).collect();
        Self::Mixing { convolution, parts, scale }
    }

    /// Makes tensor `to`.
    fn run(&self, with: Instructions, space: &mut Workspace, frames: &[Frame], to: usize) {
        let Workspace { tensors, accumulators, activations } = space;
        let (before, after) = tensors.split_at_mut(to);
        let (out, frame) = (&mut after[0][..], frames[to]);
        let used = frame.side * frame.channels;
        let count = frame.side.next_multiple_of(POSITIONS);
        for row in 0..frame.side {
            let out = &mut out[frame.row(row)..][..used];
            match self {
                Self::Mixing { convolution, parts, scale } => {
                    let input =
                        &before[convolution.from][first(convolution, frames[convolution.from], row)..];
                    for (number, part) in parts.iter().enumerate() {
                        part.row(with, input, &mut accumulators[number * 32..], count);
                    }
                    let added = convolution.add.map(|add| &before[add][frames[add].row(row)..][..used]);
                    scale.row(with, &accumulators[..used], added, out);
                }
                Self::Filter { convolution, filter } => {
                    let input =
                        &before[convolution.from][first(convolution, frames[convolution.from], row)..];
                    filter.row(with, input, activations, count);
                    out.copy_from_slice(&activations[..used]);
                }
                Self::Pool { from } => pool(&before[*from], frames[*from], row, out),
            }
        }
    }
}

/// Where the first activation lies that output row `row` needs.
fn first(convolution: &Convolution, from: Frame, row: usize) -> usize {
    let off = from.margin - convolution.padding();
    (row * convolution.stride + off) * from.stride() + off * from.channels
}

fn offset(from: Frame, row: usize, column: usize, channel: usize) -> u32 {
    u32::try_from(row * from.stride() + column * from.channels + channel).expect("tensors are small")
}

/// The inner loop for the outputs from `first` on, 32 at most.
fn mixing(convolution: &Convolution, layer: &Layer, from: Frame, first: usize) -> Mixing {
    let &Convolution { kernel, stride, inputs, outputs, .. } = convolution;
    let blocks = (outputs - first).min(32) / LANES;
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for (row, column) in (0..kernel).flat_map(|row| (0..kernel).map(move |column| (row, column))) {
        for channel in (0..inputs).step_by(4) {
            offsets.push(offset(from, row, column, channel));
            for block in 0..blocks {
                // A picture's pixels have three channels of four.
                let weight = |lane: usize, at: usize| {
                    let (output, input) = (first + block * LANES + lane, channel + at);
                    let place = ((output * inputs + input) * kernel + row) * kernel + column;
                    layer.weights.get(place).copied().filter(|_| input < inputs).unwrap_or_default()
                };
                quads.push(Quad(std::array::from_fn(|lane| std::array::from_fn(|at| weight(lane, at)))));
            }
        }
    }
    Mixing::new(offsets, quads, stride * from.channels, outputs)
}

fn filter(convolution: &Convolution, layer: &Layer, from: Frame, scale: Scale) -> PixelFilter {
    let &Convolution { kernel, stride, outputs, .. } = convolution;
    let taps = kernel * kernel;
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for four in (0..taps).step_by(4) {
        // What is left over of the last four reads the last tap again, with weights of 0.
        offsets.push(std::array::from_fn(|at| {
            let tap = (four + at).min(taps - 1);
            offset(from, tap / kernel, tap % kernel, 0)
        }));
        for block in 0..outputs / LANES {
            let weight = |lane: usize, tap: usize| {
                if tap < taps { layer.weights[(block * LANES + lane) * taps + tap] } else { 0 }
            };
            quads.push(Quad(std::array::from_fn(|lane| std::array::from_fn(|at| weight(lane, four + at)))));
        }
    }
    PixelFilter::new(offsets, quads, stride * from.channels, scale)
}

/// The largest of three by three activations; beyond the border there are zeros.
fn pool(input: &[u8], from: Frame, row: usize, out: &mut [u8]) {
    for (column, pixel) in out.chunks_exact_mut(from.channels).enumerate() {
        pixel.fill(0);
        for tap in 0..9 {
            let at = (2 * row + tap / 3) * from.stride() + (2 * column + tap % 3) * from.channels;
            let activations = &input[at..at + from.channels];
            pixel.iter_mut().zip(activations).for_each(|(out, activation)| *out = (*out).max(*activation));
        }
    }
}
