//! The depthwise half of a layer laid out: which four neighbouring pixels count for which of four outputs.

use super::{Frame, Order, Pass, Passes, laid_out, offset, quad, taps};
use crate::keygen::kernel::{FOUR, Filter, FilterStep, LANES, Quad, Scale};
use crate::keygen::network::Shape;

/// The passes of a filter: for each phase of a transposed convolution's rows, and each four of its outputs that lie over
/// four pixels of its input.
pub(super) fn passes(shape: &Shape, frame: Frame, weights: &[i8], scale: &Scale) -> Passes<Filter> {
    let (phases, halves, ahead) = if shape.transposed { (2, 2, 1) } else { (1, 1, shape.stride) };
    let side_out = if shape.transposed { frame.side * shape.stride } else { frame.side / shape.stride };
    let channels = laid_out(shape.inputs);
    let bands = (frame.order == Order::Bands).then_some(side_out * channels);
    let mut all = Vec::new();
    for phase in 0..phases {
        for half in 0..halves {
            let columns = [0, 1, 2, 3].map(|output| column(shape, half * FOUR + output));
            let (steps, quads) = steps(shape, frame, weights, &taps(shape, phase), &columns);
            let advances = (ahead * FOUR * frame.channels, halves * FOUR * channels);
            let convolution = Filter::new(steps, quads, advances, bands, scale.clone());
            all.push(Pass { convolution, place: (phase * side_out + half * FOUR) * channels });
        }
    }
    // Plain convolutions begin above and left of their output, transposed ones at it.
    let first_row = if shape.transposed { frame.margin } else { 0 };
    Passes {
        all,
        positions: side_out / (halves * FOUR),
        start: first_row * frame.stride(),
        step: ahead * frame.stride(),
    }
}

/// The taps of an output along a row: which of the kernel, and how far the pixel that it meets is from the first of the
/// position, which stands on the first of four pixels; one more than the pixels of the left margin is added to all.
fn column(shape: &Shape, output: usize) -> Vec<(usize, usize)> {
    if shape.transposed {
        let pixel = FOUR + output / 2;
        return taps(shape, output % 2).into_iter().map(|(kx, x)| (kx, pixel + x)).collect();
    }
    let pixel = FOUR + output * shape.stride - shape.padding();
    taps(shape, 0).into_iter().map(|(kx, x)| (kx, pixel + x)).collect()
}

/// What is read, and the weights that it meets: for each 16 channels, each four pixels, each output that they count for.
fn steps(
    shape: &Shape,
    frame: Frame,
    weights: &[i8],
    rows: &[(usize, usize)],
    columns: &[Vec<(usize, usize)>; FOUR],
) -> (Vec<FilterStep>, Vec<Quad>) {
    // Four pixels in the margin or before the position's own, those, and four after them.
    let reads = |fours: usize, output: usize| columns[output].iter().any(|(_, x)| x / FOUR == fours);
    let fours: Vec<(usize, u8)> = (0..3)
        .map(|fours| (fours, (0..FOUR).map(|output| u8::from(reads(fours, output)) << output).sum()))
        .filter(|(_, outputs)| *outputs != 0)
        .collect();
    let each = shape.kernel * shape.kernel;
    let quad_of = |block: usize, ky: usize, fours: usize, output: usize| {
        quad(|lane, at| {
            // Lanes of bands stand for the same few channels again and again.
            let channel = (block + lane) % laid_out(shape.inputs);
            let tap = columns[output].iter().find(|(_, x)| *x == fours * FOUR + at);
            let tap = tap.filter(|_| channel < shape.inputs);
            tap.map_or(0, |(kx, _)| weights[channel * each + ky * shape.kernel + kx])
        })
    };
    let (mut found, mut quads) = (Vec::new(), Vec::new());
    for (_, y) in rows {
        found.extend(fours.iter().map(|(fours, outputs)| FilterStep {
            offset: offset(y * frame.stride() + fours * FOUR * frame.channels),
            outputs: *outputs,
        }));
    }
    for block in (0..frame.channels).step_by(LANES) {
        for (ky, _) in rows {
            for (fours, outputs) in &fours {
                let counts = (0..FOUR).filter(|output| outputs >> output & 1 == 1);
                quads.extend(counts.map(|output| quad_of(block, *ky, *fours, output)));
            }
        }
    }
    (found, quads)
}
