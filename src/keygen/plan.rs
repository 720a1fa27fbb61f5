//! A layer laid out for the inner loops: where activations lie, which weights meet them, and where sums go.

use super::kernel::{Filter, Instructions, LANES, Mixing, Quad, Scale};
use super::model::{Depthwise, Layer};
use super::network::Shape;

/// Pixels that share one block of outputs where a layer has fewer than 16 channels, and the channels they then have.
const FEW: usize = 4;

/// How activations lie in memory: pixels with their channels side by side, rows framed by zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) side: usize,
    /// As laid out: 4, 16, 32 or 64.
    pub(super) channels: usize,
    pub(super) margin: usize,
}

impl Frame {
    /// The input of a layer.
    pub(super) fn before(shape: &Shape, side: usize) -> Self {
        Self { side: shape.side_in(side), channels: laid_out(shape.inputs), margin: shape.padding() }
    }

    /// Bytes from a row to the next.
    pub(super) const fn stride(&self) -> usize {
        (self.side + 2 * self.margin) * self.channels
    }

    /// Bytes in all. A filter reads whole groups of four taps, up to three pixels behind the last: those meet zeros.
    pub(super) const fn length(&self) -> usize {
        self.stride() * (self.side + 2 * self.margin) + 4 * self.channels
    }

    /// Where the pixels of a row stand in it, margins left out.
    pub(super) const fn pixels(&self) -> std::ops::Range<usize> {
        self.margin * self.channels..(self.margin + self.side) * self.channels
    }
}

/// Channels as they lie in memory.
const fn laid_out(channels: usize) -> usize {
    if channels < FEW { FEW } else { channels }
}

/// One layer, ready to run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) shape: Shape,
    pub(super) gain: u32,
    pub(super) carry: u32,
    pub(super) side_out: usize,
    /// Channels of its accumulators as laid out.
    pub(super) channels_out: usize,
    /// Rows that are computed together: both that lie over one row of a transposed convolution's input.
    pub(super) rows: usize,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Whole(Passes<Mixing>),
    Split { filter: Filtering, pointwise: Passes<Mixing> },
}

#[derive(Debug)]
enum Filtering {
    /// For a multiple of 16 channels.
    Wide(Passes<Filter>),
    /// For few channels: a mixing convolution that mixes nothing.
    Few(Passes<Mixing>, Box<Scale>),
}

/// What has to be run for one group of rows.
#[derive(Debug)]
struct Passes<T> {
    passes: Vec<Pass<T>>,
    positions: usize,
    /// Where the first position of the first group has its activations, and how far it is to the next group's.
    start: usize,
    step: usize,
}

#[derive(Debug)]
struct Pass<T> {
    convolution: T,
    /// Where in the group its outputs begin.
    place: usize,
}

/// Room for what lies between the two halves of a split layer. Erased when dropped.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    accumulators: Vec<i32>,
    activations: Vec<u8>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        erase(&mut self.accumulators);
        erase(&mut self.activations);
    }
}

/// Overwrites with zeros, in a way that the compiler keeps.
pub(super) fn erase<T: Copy + Default>(numbers: &mut [T]) {
    numbers.fill(T::default());
    std::hint::black_box(numbers);
}

impl<T> Passes<T> {
    /// Runs `row(convolution, activations, outputs, positions)` for each pass of a group.
    fn run<O>(&self, group: usize, input: &[u8], out: &mut [O], row: impl Fn(&T, &[u8], &mut [O], usize)) {
        let from = &input[self.start + group * self.step..];
        for pass in &self.passes {
            row(&pass.convolution, from, &mut out[pass.place..], self.positions);
        }
    }
}

impl Stage {
    pub(super) fn new(shape: &Shape, layer: &Layer, side: usize) -> Self {
        let frame = Frame::before(shape, side);
        let side_out = shape.side_out(side);
        let work = match &layer.depthwise {
            None => Work::Whole(mix(shape, frame, |at: At| weight(shape, &layer.weights, &at))),
            Some(depthwise) => {
                let flat = Frame { side: side_out, channels: frame.channels, margin: 0 };
                let pointwise = Shape { kernel: 1, stride: 1, transposed: false, ..*shape };
                Work::Split {
                    filter: filtering(shape, frame, depthwise),
                    pointwise: mix(&pointwise, flat, |at| weight(&pointwise, &layer.weights, &at)),
                }
            }
        };
        Self {
            shape: *shape,
            gain: layer.gain,
            carry: layer.carry,
            side_out,
            channels_out: laid_out(shape.outputs),
            rows: rows_together(shape, layer.depthwise.is_some()),
            work,
        }
    }

    /// Accumulators in one group of rows.
    pub(super) const fn group(&self) -> usize {
        self.rows * self.side_out * self.channels_out
    }

    /// Computes one group of rows of accumulators.
    pub(super) fn run(
        &self,
        with: Instructions,
        group: usize,
        input: &[u8],
        out: &mut [i32],
        scratch: &mut Scratch,
    ) {
        let mixing =
            |mixing: &Mixing, from: &[u8], to: &mut [i32], count: usize| mixing.row(with, from, to, count);
        match &self.work {
            Work::Whole(passes) => passes.run(group, input, out, mixing),
            Work::Split { filter, pointwise } => {
                let between = self.rows * self.side_out * laid_out(self.shape.inputs);
                scratch.activations.resize(between, 0);
                match filter {
                    Filtering::Wide(passes) => {
                        passes.run(group, input, &mut scratch.activations, |filter, from, to, count| {
                            filter.row(with, from, to, count);
                        });
                    }
                    Filtering::Few(passes, scale) => {
                        scratch.accumulators.resize(between, 0);
                        passes.run(group, input, &mut scratch.accumulators, mixing);
                        scale.row(with, &scratch.accumulators, None, &mut scratch.activations);
                    }
                }
                let width = self.side_out * self.channels_out;
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    pointwise.run(row, &scratch.activations, out, mixing);
                }
            }
        }
    }
}

/// One weight: which output it is for, which input it meets, through which tap.
#[derive(Clone, Copy)]
struct At {
    output: usize,
    input: usize,
    ky: usize,
    kx: usize,
}

/// The weight of a convolution, in the order of model files; none where the layout has more channels than the layer.
fn weight(shape: &Shape, weights: &[i8], at: &At) -> i8 {
    if at.output >= shape.outputs || at.input >= shape.inputs {
        return 0;
    }
    weights[((at.output * shape.inputs + at.input) * shape.kernel + at.ky) * shape.kernel + at.kx]
}

/// The taps of one phase of a convolution along one axis: which of the kernel, and how far from the position.
fn taps(shape: &Shape, phase: usize) -> Vec<(usize, usize)> {
    if !shape.transposed {
        return (0..shape.kernel).map(|k| (k, k)).collect();
    }
    // An even place lies on an input and meets the middle tap; an odd one lies between two.
    if phase == 0 { vec![(1, 0)] } else { vec![(2, 0), (0, 1)] }
}

/// The passes of a convolution that mixes channels.
fn mix(shape: &Shape, frame: Frame, weight: impl Fn(At) -> i8) -> Passes<Mixing> {
    let channels_out = laid_out(shape.outputs);
    let side_out = if shape.transposed { frame.side * shape.stride } else { frame.side / shape.stride };
    let mut passes = Vec::new();
    if channels_out == FEW {
        passes.push(Pass { convolution: mix_few(shape, frame, &weight), place: 0 });
    } else {
        let phases = if shape.transposed { 2 } else { 1 };
        for phase in 0..phases * phases {
            let (row, column) = (phase / phases, phase % phases);
            for first in (0..channels_out).step_by(2 * LANES) {
                let blocks = ((channels_out - first) / LANES).min(2);
                let (offsets, quads) = mix_steps(
                    frame,
                    (&taps(shape, row), &taps(shape, column)),
                    first..first + blocks * LANES,
                    &weight,
                );
                let advance = if shape.transposed { 1 } else { shape.stride } * frame.channels;
                let convolution = Mixing::new(offsets, quads, advance, phases * channels_out);
                let place = (row * side_out + column) * channels_out + first;
                passes.push(Pass { convolution, place });
            }
        }
    }
    let positions = match (channels_out, shape.transposed) {
        (FEW, _) => side_out / FEW,
        (_, true) => frame.side,
        (_, false) => side_out,
    };
    let (start, step) = groups(shape, frame);
    Passes { passes, positions, start, step }
}

/// Rows of the output that are computed together.
const fn rows_together(shape: &Shape, split: bool) -> usize {
    if shape.transposed {
        shape.stride
    } else if split && is_tall(shape) {
        TALL
    } else {
        1
    }
}

/// Rows that a large filter computes together: the pixels it reads count for all of them.
const TALL: usize = 4;

/// Whether a filter is large enough for that, and its channels lie in one piece of memory with its taps.
const fn is_tall(shape: &Shape) -> bool {
    shape.kernel > TALL && shape.inputs == LANES && shape.stride == 1
}

/// Where the first group of rows has its activations, and how far it is to the next group's.
fn groups(shape: &Shape, frame: Frame) -> (usize, usize) {
    if shape.transposed {
        (frame.margin * (frame.stride() + frame.channels), frame.stride())
    } else {
        (0, shape.stride * frame.stride())
    }
}

/// Steps for outputs that are channels of one pixel.
fn mix_steps(
    frame: Frame,
    (rows, columns): (&[(usize, usize)], &[(usize, usize)]),
    outputs: std::ops::Range<usize>,
    weight: &impl Fn(At) -> i8,
) -> (Vec<u32>, Vec<Quad>) {
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for &(ky, y) in rows {
        for &(kx, x) in columns {
            for first in (0..frame.channels).step_by(4) {
                offsets.push(offset(y * frame.stride() + x * frame.channels + first));
                for block in outputs.clone().step_by(LANES) {
                    quads.push(quad(|lane, four| {
                        weight(At { output: block + lane, input: first + four, ky, kx })
                    }));
                }
            }
        }
    }
    (offsets, quads)
}

/// A convolution with few outputs: a position is four pixels, whose kernels overlap, each shifted by one.
fn mix_few(shape: &Shape, frame: Frame, weight: &impl Fn(At) -> i8) -> Mixing {
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for ky in 0..shape.kernel {
        for x in 0..shape.kernel + FEW - 1 {
            for first in (0..frame.channels).step_by(4) {
                offsets.push(offset(ky * frame.stride() + x * frame.channels + first));
                quads.push(quad(|lane, four| {
                    let (pixel, output) = (lane / FEW, lane % FEW);
                    let kx = x.checked_sub(pixel).filter(|kx| *kx < shape.kernel);
                    kx.map_or(0, |kx| weight(At { output, input: first + four, ky, kx }))
                }));
            }
        }
    }
    Mixing::new(offsets, quads, FEW * frame.channels, LANES)
}

fn filtering(shape: &Shape, frame: Frame, depthwise: &Depthwise) -> Filtering {
    let each = shape.kernel * shape.kernel;
    let scale = Scale::new(frame.channels, 0, 64, |channel| {
        let centre = depthwise.centre.get(channel).copied().unwrap_or_default();
        (centre.into(), depthwise.factor.get(channel).copied().unwrap_or_default().into())
    });
    if frame.channels == FEW {
        let alone = Shape { outputs: shape.inputs, ..*shape };
        let diagonal = |at: At| {
            let own = at.output == at.input && at.input < shape.inputs;
            if own { depthwise.weights[at.input * each + at.ky * shape.kernel + at.kx] } else { 0 }
        };
        return Filtering::Few(mix(&alone, frame, diagonal), Box::new(scale));
    }
    let (taps, outputs) = if shape.transposed {
        transposed_taps(frame, frame.side * shape.stride)
    } else {
        plain_taps(shape, frame)
    };
    let outputs_tall = is_tall(shape);
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for four in taps {
        offsets.push(four.map(|tap| tap.offset));
        for output in 0..outputs.len() {
            for block in (0..frame.channels).step_by(LANES) {
                quads.push(quad(|lane, at| {
                    four[at].weight[output]
                        .map_or(0, |weight| depthwise.weights[(block + lane) * each + weight])
                }));
            }
        }
    }
    let (advance, positions) = if shape.transposed {
        (frame.channels, frame.side)
    } else {
        (shape.stride * frame.channels, frame.side / shape.stride)
    };
    let out_advance = if shape.transposed { shape.stride } else { 1 } * frame.channels;
    let convolution = Filter::new(offsets, quads, outputs, (advance, out_advance), scale);
    let (start, step) = groups(shape, frame);
    let step = if outputs_tall { TALL * step } else { step };
    Filtering::Wide(Passes { passes: vec![Pass { convolution, place: 0 }], positions, start, step })
}

/// A pixel that a filter reads, and which of its weights it meets for each output; none for some.
#[derive(Clone, Copy)]
struct Tap {
    offset: u32,
    weight: [Option<usize>; 4],
}

/// The taps of a filter in groups of four, and where outputs go. Along a row taps lie side by side; where a group is not
/// full, nothing meets whatever comes next.
fn plain_taps(shape: &Shape, frame: Frame) -> (Vec<[Tap; 4]>, Vec<usize>) {
    let outputs = if is_tall(shape) { TALL } else { 1 };
    // For each output, which lies one row below the one before, the tap that meets this pixel.
    let tap = |y: usize, x: usize| Tap {
        offset: offset(y * frame.stride() + x * frame.channels),
        weight: [0, 1, 2, 3].map(|output| {
            let ky = y
                .checked_sub(output)
                .filter(|ky| output < outputs && *ky < shape.kernel && x < shape.kernel)?;
            Some(ky * shape.kernel + x)
        }),
    };
    // With 16 channels a row of taps is one piece of memory, and four of them one load.
    let width = if frame.channels == LANES { shape.kernel.next_multiple_of(4) } else { shape.kernel };
    let height = shape.kernel + outputs - 1;
    let mut all: Vec<Tap> = (0..height * width).map(|at| tap(at / width, at % width)).collect();
    all.resize(all.len().next_multiple_of(4), Tap { offset: 0, weight: [None; 4] });
    let places = (0..outputs).map(|output| output * frame.side * frame.channels).collect();
    (all.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]).collect(), places)
}

/// The four pixels between which the four outputs of a position lie.
fn transposed_taps(frame: Frame, side_out: usize) -> (Vec<[Tap; 4]>, Vec<usize>) {
    // Which tap of the kernel an input `behind` by 0 or 1 meets, for the output at an even or odd place: `taps`.
    let along = |behind: usize, odd: usize| match (behind, odd) {
        (0, 0) => Some(1),
        (0, _) => Some(2),
        (_, 0) => None,
        _ => Some(0),
    };
    let four = [0, 1, 2, 3].map(|pixel| {
        let (y, x) = (pixel / 2, pixel % 2);
        let weight = [0, 1, 2, 3].map(|output| Some(along(y, output / 2)? * 3 + along(x, output % 2)?));
        Tap { offset: offset(y * frame.stride() + x * frame.channels), weight }
    });
    let places = [0, 1, 2, 3].map(|output| (output / 2 * side_out + output % 2) * frame.channels);
    (vec![four], places.to_vec())
}

fn quad(weight: impl Fn(usize, usize) -> i8) -> Quad {
    Quad(std::array::from_fn(|lane| std::array::from_fn(|four| weight(lane, four))))
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a few rows are far below 2^32 bytes")
}
