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
    Split { filter: Filtering, scale: Box<Scale>, pointwise: Passes<Mixing> },
}

#[derive(Debug)]
enum Filtering {
    /// For a multiple of 16 channels.
    Wide(Passes<Filter>),
    /// For few channels: a mixing convolution that mixes nothing.
    Few(Passes<Mixing>),
}

/// What has to be run for one group of rows.
#[derive(Debug)]
struct Passes<T> {
    passes: Vec<Pass<T>>,
    positions: usize,
    /// Where the first position of the first group has its activations, and how far it is to the next group's.
    start: usize,
    step: usize,
    /// Accumulators in a row of the output.
    width: usize,
}

#[derive(Debug)]
struct Pass<T> {
    convolution: T,
    /// Which row of the group, and where in it.
    row: usize,
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
    fn run(&self, group: usize, input: &[u8], out: &mut [i32], row: impl Fn(&T, &[u8], &mut [i32], usize)) {
        let from = &input[self.start + group * self.step..];
        for pass in &self.passes {
            let to = &mut out[pass.row * self.width + pass.place..(pass.row + 1) * self.width];
            row(&pass.convolution, from, to, self.positions);
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
                    scale: Box::new(scale_between(depthwise, frame.channels)),
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
            rows: if shape.transposed { shape.stride } else { 1 },
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
            Work::Split { filter, scale, pointwise } => {
                let between = self.rows * self.side_out * laid_out(self.shape.inputs);
                scratch.accumulators.resize(between, 0);
                scratch.activations.resize(between, 0);
                match filter {
                    Filtering::Wide(passes) => {
                        passes.run(group, input, &mut scratch.accumulators, |filter, from, to, count| {
                            filter.row(with, from, to, count);
                        });
                    }
                    Filtering::Few(passes) => passes.run(group, input, &mut scratch.accumulators, mixing),
                }
                scale.row(with, &scratch.accumulators, None, &mut scratch.activations);
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
        passes.push(Pass { convolution: mix_few(shape, frame, &weight), row: 0, place: 0 });
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
                passes.push(Pass { convolution, row, place: column * channels_out + first });
            }
        }
    }
    let positions = match (channels_out, shape.transposed) {
        (FEW, _) => side_out / FEW,
        (_, true) => frame.side,
        (_, false) => side_out,
    };
    let (start, step) = groups(shape, frame);
    Passes { passes, positions, start, step, width: side_out * channels_out }
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
    if frame.channels == FEW {
        let alone = Shape { outputs: shape.inputs, ..*shape };
        let diagonal = |at: At| {
            let own = at.output == at.input && at.input < shape.inputs;
            if own { depthwise.weights[at.input * each + at.ky * shape.kernel + at.kx] } else { 0 }
        };
        return Filtering::Few(mix(&alone, frame, diagonal));
    }
    let phases = if shape.transposed { 2 } else { 1 };
    let mut passes = Vec::new();
    for phase in 0..phases * phases {
        let (row, column) = (phase / phases, phase % phases);
        let (offsets, quads) = filter_steps(shape, frame, (row, column), &depthwise.weights);
        let advance = if shape.transposed { 1 } else { shape.stride } * frame.channels;
        let convolution = Filter::new(offsets, quads, frame.channels, advance, phases * frame.channels);
        passes.push(Pass { convolution, row, place: column * frame.channels });
    }
    let side_out = if shape.transposed { frame.side * shape.stride } else { frame.side / shape.stride };
    let positions = if shape.transposed { frame.side } else { side_out };
    let (start, step) = groups(shape, frame);
    Filtering::Wide(Passes { passes, positions, start, step, width: side_out * frame.channels })
}

/// The taps of a filter in groups of four. Along a row they lie side by side; where a group is not full, weights of zero
/// meet whatever comes next.
fn filter_steps(
    shape: &Shape,
    frame: Frame,
    (row, column): (usize, usize),
    weights: &[i8],
) -> (Vec<[u32; 4]>, Vec<Quad>) {
    let mut all = Vec::new();
    for (ky, y) in taps(shape, row) {
        for (kx, x) in taps(shape, column) {
            all.push((Some(ky * shape.kernel + kx), y * frame.stride() + x * frame.channels));
        }
        // With 16 channels a row of taps is one piece of memory, and four of them one load.
        let one_load = frame.channels == LANES && !shape.transposed;
        while one_load && !all.len().is_multiple_of(4) {
            let last = all.last().map_or(0, |(_, offset)| *offset);
            all.push((None, last + frame.channels));
        }
    }
    while !all.len().is_multiple_of(4) {
        all.push((None, 0));
    }
    let each = shape.kernel * shape.kernel;
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for four in all.chunks_exact(4) {
        offsets.push([0, 1, 2, 3].map(|at| offset(four[at].1)));
        for block in (0..frame.channels).step_by(LANES) {
            quads.push(quad(|lane, at| four[at].0.map_or(0, |tap| weights[(block + lane) * each + tap])));
        }
    }
    (offsets, quads)
}

/// The depthwise half's own scale, for each channel as laid out.
fn scale_between(depthwise: &Depthwise, channels: usize) -> Scale {
    let mut scale = Scale { mean: [0; 64], factor: [0; 64], carry: 0, shift: 64, width: channels.max(LANES) };
    for at in 0..scale.width {
        let channel = at % channels;
        if let (Some(centre), Some(factor)) = (depthwise.centre.get(channel), depthwise.factor.get(channel)) {
            scale.mean[at] = *centre;
            scale.factor[at] = factor.cast_signed();
        }
    }
    scale
}

fn quad(weight: impl Fn(usize, usize) -> i8) -> Quad {
    Quad(std::array::from_fn(|lane| std::array::from_fn(|four| weight(lane, four))))
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a few rows are far below 2^32 bytes")
}
