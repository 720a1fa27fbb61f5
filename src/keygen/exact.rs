//! The integer-exact engine: the network on the processor, on all its cores, the same bytes everywhere.

use std::sync::Mutex;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::buffer::Buffer;
use super::engine::Engine;
use super::error::KeygenError;
use super::id::GeneratorId;
use super::image::{KeyImage, SIDE};
use super::kernel::{Fold, Instructions, Scale, Sums, take_band, take_pixels};
use super::model::Model;
use super::network::Post;
use super::pace::Pace;
use super::plan::{Frame, Order, Stage};
use super::reference::Statistics;
use super::seed::Seed;

/// Runs a model in plain integers.
pub struct Exact {
    id: GeneratorId,
    with: Instructions,
    side: usize,
    stages: Vec<Stage>,
    threads: ThreadPool,
    /// Buffers between runs, so that they are not allocated anew; erased.
    idle: Mutex<Vec<Workspace>>,
}

/// How the last layer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The fold of section 6; what every engine gives.
    Fold,
    /// The paper's tanh, to see what the plain network does. No key is made of it.
    Tanh,
}

/// The input of each layer, and of the one that runs what lies between its halves and the accumulators.
struct Workspace {
    frames: Vec<Frame>,
    /// Where each layer has its input: layers that take turns share two.
    slots: Vec<usize>,
    inputs: Vec<Buffer<u8>>,
    between: Buffer<u8>,
    accumulators: Buffer<i32>,
}

/// Whether one image is spread over the threads, or each thread has its own.
#[derive(Clone, Copy)]
enum Spread {
    Rows,
    Images,
}

impl Spread {
    /// The least number of rows that one task takes.
    const fn rows_min(self) -> usize {
        match self {
            Self::Rows => 4,
            Self::Images => usize::MAX,
        }
    }
}

impl Workspace {
    fn new(stages: &[Stage], side: usize) -> Self {
        let frames: Vec<_> =
            stages.iter().map(|stage| Frame::before(&stage.shape, side, stage.depthwise.is_some())).collect();
        let most = |of: fn(&Stage) -> usize| stages.iter().map(of).max().unwrap_or_default();
        let mut slots: Vec<usize> = Vec::new();
        let mut inputs = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            // The margins have to be where they were; the layer in between still reads its own.
            let same = number.checked_sub(2).filter(|before| frames[*before] == *frame);
            slots.push(same.map_or(inputs.len(), |before| slots[before]));
            if same.is_none() {
                inputs.push(Buffer::new(frame.length()));
            }
        }
        Self {
            inputs,
            slots,
            frames,
            between: Buffer::new(most(Stage::between)),
            accumulators: Buffer::new(most(Stage::held)),
        }
    }

    fn erase(&mut self) {
        self.inputs.iter_mut().for_each(Buffer::erase);
        self.between.erase();
        self.accumulators.erase();
    }

    /// Writes a seed image into the input of the first layer.
    fn load(&mut self, with: Instructions, seed_image: &[u8]) {
        let frame = self.frames[0];
        for (row, from) in seed_image.chunks_exact(frame.side * 3).enumerate() {
            if frame.order == Order::Pixels {
                let start = (row + frame.margin) * frame.stride();
                take_pixels(from, &mut self.inputs[0][start..start + frame.stride()][frame.pixels()]);
                continue;
            }
            for (band, place) in frame.places(row) {
                let start = place * frame.stride();
                let to = &mut self.inputs[0][start..start + frame.stride()][frame.pixels()];
                take_band(with, from, band, to);
            }
        }
    }
}

impl Exact {
    /// An engine with the fastest instructions there are, on `threads` threads; on all cores if 0.
    pub fn new(model: &Model, threads: usize) -> Result<Self, KeygenError> {
        Self::with(model, threads, Instructions::best())
    }

    /// An engine with the instructions that are named.
    pub fn with(model: &Model, threads: usize, with: Instructions) -> Result<Self, KeygenError> {
        Self::of_side(model, threads, with, SIDE, Pace::Prompt)
    }

    /// The same, at this pace.
    pub fn paced(model: &Model, threads: usize, pace: Pace) -> Result<Self, KeygenError> {
        Self::of_side(model, threads, Instructions::best(), SIDE, pace)
    }

    fn of_side(
        model: &Model,
        threads: usize,
        with: Instructions,
        side: usize,
        pace: Pace,
    ) -> Result<Self, KeygenError> {
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("keygen-{number}"))
            .start_handler(move |_| pace.take_up())
            .build()
            .map_err(|error| KeygenError::Engine(error.to_string()))?;
        let stages = model.layers().map(|(shape, layer)| Stage::new(shape, layer, side)).collect();
        Ok(Self { id: model.id(), with, side, stages, threads, idle: Mutex::new(Vec::new()) })
    }

    /// The key image of any seed image, as the paper makes it, such as a picture. No key is made of it.
    pub fn transform(&self, seed_image: &[u8], ending: Ending) -> Result<KeyImage, KeygenError> {
        if seed_image.len() != KeyImage::LENGTH || self.side != SIDE {
            return Err(KeygenError::Engine(format!(
                "a seed image of {} bytes, {} were expected",
                seed_image.len(),
                KeyImage::LENGTH
            )));
        }
        let mut image = KeyImage::blank();
        self.threads.install(|| {
            self.with_workspace(|space| {
                space.load(self.with, seed_image);
                self.run(space, image.bytes_mut(), Spread::Rows, ending);
            });
        });
        Ok(image)
    }

    fn with_workspace<T>(&self, deed: impl FnOnce(&mut Workspace) -> T) -> T {
        let lock = || self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let idle = lock().pop();
        let mut space = idle.unwrap_or_else(|| Workspace::new(&self.stages, self.side));
        let result = deed(&mut space);
        space.erase();
        lock().push(space);
        result
    }

    /// From the loaded input to `image`.
    fn run(&self, space: &mut Workspace, image: &mut [u8], spread: Spread, ending: Ending) {
        for (number, stage) in self.stages.iter().enumerate() {
            let accumulators = &mut space.accumulators[..stage.held()];
            let between = &mut space.between[..stage.between()];
            let input = &space.inputs[space.slots[number]];
            let sums = self.accumulate(stage, input, between, accumulators, spread);
            let statistics = statistics(stage, &sums);
            if stage.shape.post == Post::Fold {
                finish((stage, self.with), accumulators, &statistics, image, spread, ending);
            } else {
                let next = space.slots[number + 1];
                let mut output = std::mem::take(&mut space.inputs[next]);
                let from = (&space.inputs[space.slots[number]][..], space.frames[number]);
                let to = (&mut output[..], space.frames[number + 1]);
                self.activate(stage, &statistics, (between, accumulators), from, to, spread);
                space.inputs[next] = output;
            }
        }
    }

    /// Gives the sums of a layer's accumulators, and what it is that they are had from once more.
    fn accumulate(
        &self,
        stage: &Stage,
        input: &[u8],
        between: &mut [u8],
        accumulators: &mut [i32],
        spread: Spread,
    ) -> Sums {
        let width = stage.channels_out.max(16);
        let Some(depthwise) = &stage.depthwise else {
            let add = |mut sums: Sums, (group, rows): (usize, &mut [i32])| {
                stage.run(self.with, group, input, rows);
                sums.add(self.with, rows, width);
                sums
            };
            let groups = accumulators.par_chunks_exact_mut(stage.group()).enumerate();
            return total(groups.with_min_len(spread.rows_min()).fold(|| Sums::ZERO, add));
        };
        let row_length = stage.row();
        let mix = |between: &[u8], row: usize, accumulators: &mut [i32], sums: &mut Sums| {
            stage.run(self.with, row, between, accumulators);
            sums.add(self.with, accumulators, width);
        };
        let groups = between.par_chunks_exact_mut(depthwise.group).enumerate();
        let groups = groups.with_min_len(spread.rows_min());
        if stage.holds() {
            let add = |mut sums, ((group, between), rows): ((usize, &mut [u8]), &mut [i32])| {
                depthwise.run(self.with, group, input, between);
                let rows = rows.chunks_exact_mut(row_length).enumerate();
                rows.for_each(|(row, accumulators)| mix(between, row, accumulators, &mut sums));
                sums
            };
            let held = accumulators.par_chunks_exact_mut(stage.group());
            return total(groups.zip(held).fold(|| Sums::ZERO, add));
        }
        let add = |(mut room, mut sums): (Buffer<i32>, Sums), (group, between): (usize, &mut [u8])| {
            depthwise.run(self.with, group, input, between);
            (0..stage.rows).for_each(|row| mix(between, row, room.room(row_length), &mut sums));
            (room, sums)
        };
        total(groups.fold(|| (Buffer::default(), Sums::ZERO), add).map(|(_, sums)| sums))
    }

    fn activate(
        &self,
        stage: &Stage,
        statistics: &[Statistics],
        (between, accumulators): (&[u8], &[i32]),
        (input, frame_in): (&[u8], Frame),
        (output, frame_out): (&mut [u8], Frame),
        spread: Spread,
    ) {
        let scale = scale(stage, statistics);
        let row_length = stage.row();
        let activate = |scratch: &mut Buffer<i32>, (row, out): (usize, &mut [u8])| {
            let out = &mut out[frame_out.pixels()];
            let added = (stage.shape.post == Post::Add).then(|| {
                let start = (row + frame_in.margin) * frame_in.stride();
                &input[start..start + frame_in.stride()][frame_in.pixels()]
            });
            let accumulators = if stage.holds() {
                &accumulators[stage.place(row) * row_length..][..row_length]
            } else {
                let again = scratch.room(row_length);
                stage.run(self.with, stage.place(row), between, again);
                again
            };
            match frame_out.order {
                Order::Pixels => scale.row(self.with, accumulators, added, out),
                Order::Fours | Order::Bands => scale.fours(self.with, accumulators, added, out),
            }
        };
        output[frame_out.margin * frame_out.stride()..]
            .par_chunks_exact_mut(frame_out.stride())
            .take(stage.side_out)
            .enumerate()
            .with_min_len(spread.rows_min())
            .for_each_init(Buffer::default, activate);
    }
}

fn total(parts: impl ParallelIterator<Item = Sums>) -> Sums {
    parts.reduce(|| Sums::ZERO, |one, other| one.plus(&other))
}

impl Engine for Exact {
    fn id(&self) -> GeneratorId {
        self.id
    }

    fn name(&self) -> String {
        let threads = self.threads.current_num_threads();
        format!("exact ({}, {threads} thread{})", self.with, if threads == 1 { "" } else { "s" })
    }

    fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
        let mut images: Vec<_> = seeds.iter().map(|_| KeyImage::blank()).collect();
        let threads = self.threads.current_num_threads();
        let one = |space: &mut Workspace, seed: &Seed, image: &mut KeyImage, spread| {
            space.load(self.with, &seed.expand());
            self.run(space, image.bytes_mut(), spread, Ending::Fold);
        };
        // As many whole images as there are threads side by side; what is left over is shared row by row.
        let whole = seeds.len() / threads * threads;
        let (seeds, seeds_left) = seeds.split_at(whole);
        let (first, left) = images.split_at_mut(whole);
        self.threads.install(|| {
            let each = (whole / threads).max(1);
            first.par_chunks_mut(each).zip(seeds.par_chunks(each)).for_each(|(images, seeds)| {
                self.with_workspace(|space| {
                    images
                        .iter_mut()
                        .zip(seeds)
                        .for_each(|(image, seed)| one(space, seed, image, Spread::Images));
                });
            });
            self.with_workspace(|space| {
                left.iter_mut()
                    .zip(seeds_left)
                    .for_each(|(image, seed)| one(space, seed, image, Spread::Rows));
            });
        });
        Ok(images)
    }
}

/// The statistics of each channel.
fn statistics(stage: &Stage, sums: &Sums) -> Vec<Statistics> {
    let channels = stage.channels_out;
    let total = |all: &[i64; 64], channel: usize| all.iter().skip(channel).step_by(channels).sum();
    let area = stage.side_out * stage.side_out;
    (0..channels)
        .map(|channel| Statistics::of(area, total(&sums.sum, channel), total(&sums.squares, channel)))
        .collect()
}

fn scale(stage: &Stage, statistics: &[Statistics]) -> Scale {
    Scale::new(stage.channels_out, stage.carry, 0, |channel| {
        (statistics[channel].mean, statistics[channel].factor(stage.gain))
    })
}

/// Ends the last layer: accumulators to bytes.
fn finish(
    (stage, with): (&Stage, Instructions),
    accumulators: &[i32],
    statistics: &[Statistics],
    image: &mut [u8],
    spread: Spread,
    ending: Ending,
) {
    // Accumulators are below 2^23, and so is their mean.
    let mean = |c: usize| i32::try_from(statistics[c].mean).expect("a mean of accumulators");
    let fold = Fold::new(std::array::from_fn(mean), std::array::from_fn(|c| statistics[c].shift()));
    image
        .par_chunks_exact_mut(stage.side_out * 3)
        .zip(accumulators.par_chunks_exact(stage.row()))
        .with_min_len(spread.rows_min())
        .for_each(|(out, row)| match ending {
            Ending::Fold => fold.row(with, row, out),
            Ending::Tanh => bend(row, statistics, out),
        });
}

/// The paper's ending, a tanh.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn bend(row: &[i32], statistics: &[Statistics], out: &mut [u8]) {
    let byte = |x: i32, of: &Statistics| {
        let x = (i64::from(x) - of.mean) as f64 * 256.0;
        ((x / of.spread as f64).tanh() * 127.5 + 127.5).round() as u8
    };
    for (pixel, x) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<4>().0) {
        *pixel = std::array::from_fn(|c| byte(x[c], &statistics[c]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::network::Kind;
    use crate::keygen::quantise::{Calibration, quantise};
    use crate::keygen::reference;

    fn model(kind: Kind, seed: u8) -> Model {
        quantise(&untrained(kind, seed), Calibration { images: 1, side: 32 }).unwrap()
    }

    fn image_of(engine: &Exact, seed_image: &[u8]) -> Vec<u8> {
        let mut image = vec![0; seed_image.len()];
        engine.with_workspace(|space| {
            space.load(engine.with, seed_image);
            engine.run(space, &mut image, Spread::Rows, Ending::Fold);
        });
        image
    }

    #[test]
    fn every_set_of_instructions_gives_what_the_reference_gives() {
        for kind in Kind::ALL {
            let model = model(kind, 5);
            let mut seed_image = vec![0; 64 * 64 * 3];
            Seed::new([7; 32]).expand_into(&mut seed_image);
            let expected = reference::generate(&model, &seed_image, 64);
            for with in Instructions::available() {
                let engine = Exact::of_side(&model, 2, with, 64, Pace::Prompt).unwrap();
                assert!(image_of(&engine, &seed_image) == expected, "{kind} with {with}");
                // The second run finds used buffers.
                assert!(image_of(&engine, &seed_image) == expected, "{kind} with {with}, again");
            }
        }
    }
}
