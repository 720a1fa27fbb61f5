//! The integer-exact engine: the network on the processor, on all its cores, the same bytes everywhere.

use std::sync::Mutex;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::engine::Engine;
use super::error::KeygenError;
use super::id::GeneratorId;
use super::image::{KeyImage, SIDE};
use super::kernel::{Instructions, Scale, Sums};
use super::model::Model;
use super::network::{LAYERS, Post};
use super::pace::Pace;
use super::plan::{Frame, Scratch, Stage, erase};
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

/// The input of each layer and the accumulators of the one that runs.
struct Workspace {
    frames: Vec<Frame>,
    inputs: Vec<Vec<u8>>,
    accumulators: Vec<i32>,
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
        let frames: Vec<_> = LAYERS.iter().map(|shape| Frame::before(shape, side)).collect();
        let largest = stages.iter().map(|stage| stage.side_out * stage.side_out * stage.channels_out).max();
        Self {
            inputs: frames.iter().map(|frame| vec![0; frame.length()]).collect(),
            frames,
            accumulators: vec![0; largest.unwrap_or_default()],
        }
    }

    fn erase(&mut self) {
        self.inputs.iter_mut().for_each(|input| erase(input));
        erase(&mut self.accumulators);
    }

    /// Writes a seed image into the input of the first layer.
    fn load(&mut self, seed_image: &[u8]) {
        let frame = self.frames[0];
        let rows = self.inputs[0].chunks_exact_mut(frame.stride()).skip(frame.margin);
        for (row, from) in rows.zip(seed_image.chunks_exact(frame.side * 3)) {
            let pixels = row[frame.pixels()].chunks_exact_mut(frame.channels);
            for (pixel, from) in pixels.zip(from.chunks_exact(3)) {
                for (activation, byte) in pixel.iter_mut().zip(from) {
                    *activation = byte >> 1;
                }
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
                space.load(seed_image);
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
            let area = stage.side_out * stage.side_out;
            let accumulators = &mut space.accumulators[..area * stage.channels_out];
            let sums = self.accumulate(stage, &space.inputs[number], accumulators, spread);
            let statistics = statistics(stage, &sums);
            if stage.shape.post == Post::Fold {
                finish(stage, accumulators, &statistics, image, spread, ending);
            } else {
                let (before, after) = space.inputs.split_at_mut(number + 1);
                let (from, to) = (
                    (&before[number][..], space.frames[number]),
                    (&mut after[0][..], space.frames[number + 1]),
                );
                self.activate(stage, &statistics, accumulators, from, to, spread);
            }
        }
    }

    fn accumulate(&self, stage: &Stage, input: &[u8], accumulators: &mut [i32], spread: Spread) -> Sums {
        let width = stage.channels_out.max(16);
        accumulators
            .par_chunks_exact_mut(stage.group())
            .enumerate()
            .with_min_len(spread.rows_min())
            .fold(
                || (Scratch::default(), Sums::ZERO),
                |(mut scratch, mut sums), (group, rows)| {
                    stage.run(self.with, group, input, rows, &mut scratch);
                    sums.add(self.with, rows, width);
                    (scratch, sums)
                },
            )
            .map(|(_, sums)| sums)
            .reduce(|| Sums::ZERO, |one, other| one.plus(&other))
    }

    fn activate(
        &self,
        stage: &Stage,
        statistics: &[Statistics],
        accumulators: &[i32],
        (input, frame_in): (&[u8], Frame),
        (output, frame_out): (&mut [u8], Frame),
        spread: Spread,
    ) {
        let scale = scale(stage, statistics);
        let row_length = stage.side_out * stage.channels_out;
        output[frame_out.margin * frame_out.stride()..]
            .par_chunks_exact_mut(frame_out.stride())
            .zip(accumulators.par_chunks_exact(row_length))
            .enumerate()
            .with_min_len(spread.rows_min())
            .for_each(|(row, (out, accumulators))| {
                let added = (stage.shape.post == Post::Add).then(|| {
                    let start = (row + frame_in.margin) * frame_in.stride();
                    &input[start..start + frame_in.stride()][frame_in.pixels()]
                });
                scale.row(self.with, accumulators, added, &mut out[frame_out.pixels()]);
            });
    }
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
            space.load(&seed.expand());
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
    stage: &Stage,
    accumulators: &[i32],
    statistics: &[Statistics],
    image: &mut [u8],
    spread: Spread,
    ending: Ending,
) {
    let side = stage.side_out;
    let means: [i64; 3] = std::array::from_fn(|c| statistics[c].mean);
    let shifts: [u32; 3] = std::array::from_fn(|c| statistics[c].shift());
    let spreads: [i64; 3] = std::array::from_fn(|c| statistics[c].spread);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let byte = |x: i32, c: usize| {
        let x = i64::from(x) - means[c];
        match ending {
            Ending::Fold => (x >> shifts[c]) as u8,
            Ending::Tanh => ((x as f64 * 256.0 / spreads[c] as f64).tanh() * 127.5 + 127.5).round() as u8,
        }
    };
    image
        .par_chunks_exact_mut(side * 3)
        .zip(accumulators.par_chunks_exact(side * stage.channels_out))
        .with_min_len(spread.rows_min())
        .for_each(|(row, accumulators)| {
            for (pixel, x) in row.chunks_exact_mut(3).zip(accumulators.chunks_exact(stage.channels_out)) {
                for c in 0..3 {
                    pixel[c] = byte(x[c], c);
                }
            }
        });
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
            space.load(seed_image);
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
