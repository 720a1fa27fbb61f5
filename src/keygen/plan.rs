//! A layer laid out for the inner loops: where activations lie, which weights meet them, and where sums go.

mod depthwise;

use std::ops::Range;

use super::kernel::{FOUR, Filter, Instructions, LANES, Mixing, Quad, Scale};
use super::model::{Depthwise, Layer};
use super::network::Shape;

/// Pixels that share one block of outputs where a layer has fewer than 16 channels, and the channels they then have.
const FEW: usize = 4;

/// Accumulators of a split layer that are held, at most: a megabyte of them stays in the second cache.
const HELD_MAX: usize = 1 << 18;

/// How activations lie in memory: rows framed by zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) side: usize,
    /// As laid out: 4, 16, 32 or 64.
    pub(super) channels: usize,
    /// Rows of zeros above and below.
    pub(super) margin: usize,
    /// Pixels of zeros on the left and on the right.
    margin_pixels: usize,
    pub(super) order: Order,
}

/// In which order the activations of a row lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Pixel by pixel, their channels side by side: for convolutions that mix them.
    Pixels,
    /// Four neighbouring pixels by four, in them channel by channel: for filters.
    Fours,
    /// The same where channels are few: four bands of the image, one above the other, lie as if they were its channels.
    Bands,
}

/// Bands of an image of few channels, which together have as many as there are lanes.
const BANDS: usize = LANES / FEW;

impl Frame {
    /// The input of a layer, which may be split in two halves.
    pub(super) fn before(shape: &Shape, side: usize, split: bool) -> Self {
        let (order, margin_pixels, channels) = match (split, laid_out(shape.inputs)) {
            (false, channels) => (Order::Pixels, shape.padding(), channels),
            (true, FEW) => (Order::Bands, FOUR, BANDS * FEW),
            (true, channels) => (Order::Fours, FOUR, channels),
        };
        Self { side: shape.side_in(side), channels, margin: shape.padding(), margin_pixels, order }
    }

    /// What lies between the halves of a layer.
    fn between(shape: &Shape, side_out: usize) -> Self {
        let channels = laid_out(shape.inputs);
        Self { side: side_out, channels, margin: 0, margin_pixels: 0, order: Order::Pixels }
    }

    /// Bytes from a row to the next.
    pub(super) const fn stride(&self) -> usize {
        (self.side + 2 * self.margin_pixels) * self.channels
    }

    /// Rows without the margins; of each band where there are such.
    pub(super) fn rows(&self) -> usize {
        if self.order == Order::Bands { self.side / BANDS } else { self.side }
    }

    /// Where a row of the image lies, in which bands: in those next to its own, it may be in a margin.
    pub(super) fn places(&self, row: usize) -> impl Iterator<Item = (usize, usize)> {
        let (rows, margin) = (self.rows(), self.margin);
        (0..BANDS).filter_map(move |band| {
            let place = (row + margin).checked_sub(band * rows)?;
            (place < rows + 2 * margin).then_some((band, place))
        })
    }

    /// Bytes in all.
    pub(super) fn length(&self) -> usize {
        self.stride() * (self.rows() + 2 * self.margin)
    }

    /// Rows of a layer's output that are computed together.
    fn rows_together(&self, shape: &Shape) -> usize {
        match self.order {
            Order::Bands => BANDS,
            _ if shape.transposed => shape.stride,
            _ => 1,
        }
    }

    /// Where the pixels of a row stand in it, margins left out.
    pub(super) const fn pixels(&self) -> Range<usize> {
        self.margin_pixels * self.channels..(self.margin_pixels + self.side) * self.channels
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
    /// Rows that are computed together: both that lie over one row of a transposed convolution's input, or one of each
    /// band.
    pub(super) rows: usize,
    /// What comes first where the layer is split.
    pub(super) depthwise: Option<Filtering>,
    mixing: Passes<Mixing>,
}

/// The depthwise half of a layer.
#[derive(Debug)]
pub(super) struct Filtering {
    passes: Passes<Filter>,
    /// Bytes that it gives for one group of rows.
    pub(super) group: usize,
}

/// What has to be run for one group of rows.
#[derive(Debug)]
struct Passes<T> {
    all: Vec<Pass<T>>,
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

impl<T> Passes<T> {
    /// Runs `row(convolution, activations, outputs, positions)` for each pass of a group.
    fn run<O>(&self, group: usize, input: &[u8], out: &mut [O], row: impl Fn(&T, &[u8], &mut [O], usize)) {
        let from = &input[self.start + group * self.step..];
        for pass in &self.all {
            row(&pass.convolution, from, &mut out[pass.place..], self.positions);
        }
    }
}

impl Stage {
    pub(super) fn new(shape: &Shape, layer: &Layer, side: usize) -> Self {
        let frame = Frame::before(shape, side, layer.depthwise.is_some());
        let side_out = shape.side_out(side);
        let between = Frame::between(shape, side_out);
        let pointwise = Shape { kernel: 1, stride: 1, transposed: false, ..*shape };
        let mixing = match &layer.depthwise {
            None => mix(shape, frame, |at: At| weight(shape, &layer.weights, &at)),
            Some(_) => mix(&pointwise, between, |at| weight(&pointwise, &layer.weights, &at)),
        };
        let filtering = |depthwise: &Depthwise| Filtering::new(shape, frame, depthwise, between);
        Self {
            shape: *shape,
            gain: layer.gain,
            carry: layer.carry,
            side_out,
            channels_out: laid_out(shape.outputs),
            rows: frame.rows_together(shape),
            depthwise: layer.depthwise.as_ref().map(filtering),
            mixing,
        }
    }

    /// Accumulators in one row.
    pub(super) const fn row(&self) -> usize {
        self.side_out * self.channels_out
    }

    /// Accumulators in one group of rows.
    pub(super) const fn group(&self) -> usize {
        self.rows * self.side_out * self.channels_out
    }

    /// Computes one group of rows of accumulators from the layer's input; where it is split, the row at this place of
    /// what the depthwise half gave.
    pub(super) fn run(&self, with: Instructions, group: usize, input: &[u8], out: &mut [i32]) {
        self.mixing.run(group, input, out, |mixing, from, to, count| mixing.row(with, from, to, count));
    }

    /// Where a row stands among those that the groups give one after the other.
    pub(super) fn place(&self, row: usize) -> usize {
        if self.rows == BANDS {
            row % (self.side_out / BANDS) * BANDS + row / (self.side_out / BANDS)
        } else {
            row
        }
    }

    /// Whether its accumulators are held until their statistics are known. Where they are many, and the mixing is the
    /// small half of the work, it is quicker to mix again what the depthwise half gave than to fetch them from afar.
    pub(super) const fn holds(&self) -> bool {
        self.depthwise.is_none() || self.side_out * self.side_out * self.channels_out <= HELD_MAX
    }

    /// Accumulators that are held.
    pub(super) const fn held(&self) -> usize {
        if self.holds() { self.side_out * self.side_out * self.channels_out } else { 0 }
    }

    /// Bytes between its halves.
    pub(super) fn between(&self) -> usize {
        self.depthwise.as_ref().map_or(0, |half| half.group * self.side_out / self.rows)
    }
}

impl Filtering {
    fn new(shape: &Shape, frame: Frame, depthwise: &Depthwise, between: Frame) -> Self {
        let scale = Scale::new(between.channels, 0, 64, |channel| {
            let centre = depthwise.centre.get(channel).copied().unwrap_or_default();
            (centre.into(), depthwise.factor.get(channel).copied().unwrap_or_default().into())
        });
        let passes = depthwise::passes(shape, frame, &depthwise.weights, &scale);
        Self { passes, group: frame.rows_together(shape) * between.stride() }
    }

    /// Computes one group of rows of what lies between the halves.
    pub(super) fn run(&self, with: Instructions, group: usize, input: &[u8], out: &mut [u8]) {
        self.passes.run(group, input, out, |filter, from, to, count| filter.row(with, from, to, count));
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

/// A tap along one axis: which of the kernel, and how far from the position.
type Along = (usize, usize);

/// The taps of one phase of a convolution along one axis.
fn taps(shape: &Shape, phase: usize) -> Vec<Along> {
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
    Passes { all: passes, positions, start, step }
}

/// Where the first group of rows has its activations, and how far it is to the next group's.
fn groups(shape: &Shape, frame: Frame) -> (usize, usize) {
    if shape.transposed {
        (frame.margin * frame.stride() + frame.margin_pixels * frame.channels, frame.stride())
    } else {
        (0, shape.stride * frame.stride())
    }
}

/// Steps for outputs that are channels of one pixel.
fn mix_steps(
    frame: Frame,
    (rows, columns): (&[Along], &[Along]),
    outputs: Range<usize>,
    weight: &impl Fn(At) -> i8,
) -> (Vec<u32>, Vec<Quad>) {
    let (mut offsets, mut quads) = (Vec::new(), Vec::new());
    for (&(ky, y), &(kx, x)) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
        for first in (0..frame.channels).step_by(4) {
            offsets.push(offset(y * frame.stride() + x * frame.channels + first));
            for block in outputs.clone().step_by(LANES) {
                quads.push(quad(|lane, four| {
                    weight(At { output: block + lane, input: first + four, ky, kx })
                }));
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

fn quad(weight: impl Fn(usize, usize) -> i8) -> Quad {
    Quad(std::array::from_fn(|lane| std::array::from_fn(|four| weight(lane, four))))
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a few rows are far below 2^32 bytes")
}
