//! Algorithm 1 of the paper: generator and discriminator learn from each other, batch by batch.

use std::path::{Path, PathBuf};

use tch::{Kind as Element, TchError, Tensor};

use super::adam::{self, Adam};
use super::draw::Draws;
use super::images::Images;
use super::network::{Discriminator, Generator};
use super::record::{LOSS, Record, Report, SOURCE, TRANSFORMATION};
use super::saved::{Saved, TRAINING};
use super::weights::Weights;
use super::{Device, TrainError};
use crate::keygen::chaos::{self, IMAGE_BYTES, PLANES, SIDE, System};
use crate::keygen::{KeyImage, Kind, Seed};

/// What to train, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which network.
    pub kind: Kind,
    /// Everything random follows from this text.
    pub seed: String,
    /// Where to compute.
    pub device: Device,
    /// Threads of the processor; the order of sums, and so the last bits of the weights, depends on their number.
    pub threads: u32,
    /// The learning rate.
    pub rate: f64,
    /// Images in a batch; not 0.
    pub batch: u32,
    /// How many batches to learn from.
    pub iterations: u64,
    /// A line of the history after this many iterations; not 0.
    pub report_every: u64,
    /// A checkpoint after this many iterations; not 0.
    pub checkpoint_every: u64,
    /// Where checkpoints go.
    pub checkpoint: PathBuf,
    /// Whether to go on from the checkpoint.
    pub resume: bool,
    /// Where the weights go.
    pub out: PathBuf,
}

/// How far a training is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Iterations done.
    pub iteration: u64,
    /// The discriminator's loss in the last one.
    pub discriminator: f64,
    /// The generator's loss in the last one.
    pub generator: f64,
    /// Bits per byte of the key image at the last line of the history; none before the first.
    pub entropy: Option<f64>,
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All iterations are done, the weights are written.
    Done,
    /// It was told to stop after this many; the checkpoint and the weights so far are written.
    Stopped(u64),
}

/// Trains a generator. `progress` hears of each iteration, and says whether to go on.
pub fn train(
    plan: &Plan,
    images: &Images,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Outcome, TrainError> {
    tch::set_num_threads(i32::try_from(plan.threads).unwrap_or(i32::MAX));
    // Trying out algorithms would make the choice, and so the last bits, a matter of time.
    tch::Cuda::cudnn_set_benchmark(false);
    let mut training = Training::begin(plan, images)?;
    if plan.resume {
        training.resume(plan)?;
    }
    while training.record.iterations < plan.iterations {
        let (discriminator, generator) = training.step(images)?;
        let iteration = training.record.iterations;
        if iteration.is_multiple_of(plan.report_every) || iteration == plan.iterations {
            training.report()?;
        }
        let entropy = training.record.history.last().map(|report| report.entropy);
        let go_on = progress(Progress { iteration, discriminator, generator, entropy });
        if iteration.is_multiple_of(plan.checkpoint_every) || iteration == plan.iterations || !go_on {
            training.checkpoint()?.write(&plan.checkpoint)?;
        }
        if !go_on {
            break;
        }
    }
    training.weights()?.write(&plan.out)?;
    match training.record.iterations {
        done if done < plan.iterations => Ok(Outcome::Stopped(done)),
        _ => Ok(Outcome::Done),
    }
}

/// Everything that changes while training.
struct Training {
    device: Device,
    generator: Generator,
    discriminator: Discriminator,
    generator_adam: Adam,
    discriminator_adam: Adam,
    record: Record,
    /// Sums of both losses since the last line of the history.
    sums: (f64, f64),
}

impl Training {
    fn begin(plan: &Plan, images: &Images) -> Result<Self, TrainError> {
        let mut draws = Draws::new(&plan.seed, "weights", 0);
        let generator = Generator::new(plan.kind, &mut draws, plan.device.0)?;
        let discriminator = Discriminator::new(&mut draws, plan.device.0)?;
        let record = Record {
            program: concat!("sealgate ", env!("CARGO_PKG_VERSION")).to_owned(),
            torch: "tch 0.24, libtorch 2.11.0".to_owned(),
            kind: plan.kind.name().to_owned(),
            seed: plan.seed.clone(),
            device: plan.device.to_string(),
            threads: plan.threads,
            images: images.len(),
            data: images.digest.clone(),
            source_domain: SOURCE.to_owned(),
            transformation_domain: TRANSFORMATION.to_owned(),
            loss: LOSS.to_owned(),
            optimiser: adam::in_words(plan.rate, plan.batch),
            rate: plan.rate,
            batch: plan.batch,
            iterations_planned: plan.iterations,
            iterations: 0,
            history: Vec::new(),
        };
        let generator_adam = Adam::new(&generator.parameters, plan.rate)?;
        let discriminator_adam = Adam::new(&discriminator.parameters, plan.rate)?;
        let device = plan.device;
        Ok(Self {
            device,
            generator,
            discriminator,
            generator_adam,
            discriminator_adam,
            record,
            sums: (0.0, 0.0),
        })
    }

    /// Lines 2 to 7 of algorithm 1. Both losses are of the networks as they were before the step.
    fn step(&mut self, images: &Images) -> Result<(f64, f64), TrainError> {
        let iteration = self.record.iterations + 1;
        let (source, target) = domains(&self.record.seed, iteration, self.record.batch, images);
        let x = tensor(&source, self.device)?.f_div_scalar(255.0)?;
        let y = tensor(&target, self.device)?.f_div_scalar(127.5)?.f_sub_scalar(1.0)?;
        let key = self.generator.forward(&x)?;

        self.discriminator.learn(true)?;
        let real = self.discriminator.forward(&y)?;
        let fake = self.discriminator.forward(&key.f_detach()?)?;
        let loss =
            (real.f_log_sigmoid()? + fake.f_neg()?.f_log_sigmoid()?).f_neg()?.f_mean(Element::Float)?;
        loss.f_backward()?;

        // The generator's gradient passes through the discriminator without leaving one there.
        self.discriminator.learn(false)?;
        let verdict = self.discriminator.forward(&key)?;
        let misled = verdict.f_neg()?.f_log_sigmoid()?.f_mean(Element::Float)?;
        misled.f_backward()?;

        self.discriminator_adam.step(&mut self.discriminator.parameters, iteration)?;
        self.generator_adam.step(&mut self.generator.parameters, iteration)?;
        let losses = (loss.f_double_value(&[])?, misled.f_double_value(&[])?);
        if let Some(loss) = [losses.0, losses.1].into_iter().find(|loss| !loss.is_finite()) {
            return Err(TrainError::Diverged { iteration, loss });
        }
        self.record.iterations = iteration;
        self.sums = (self.sums.0 + losses.0, self.sums.1 + losses.1);
        Ok(losses)
    }

    /// Adds a line to the history.
    #[expect(clippy::cast_precision_loss, reason = "iterations are far below 2^53")]
    fn report(&mut self) -> Result<(), TrainError> {
        let iteration = self.record.iterations;
        let since = self.record.history.last().map_or(0, |report| report.iteration);
        let count = (iteration - since).max(1) as f64;
        let (discriminator, generator) = (self.sums.0 / count, self.sums.1 / count);
        // For a fixed seed, as the gateway feeds it.
        let entropy = key_entropy(&self.generator, &expanded(&Seed::new([0; 32])), self.device)?
            .ok_or(TrainError::Diverged { iteration, loss: f64::NAN })?;
        self.record.history.push(Report { iteration, discriminator, generator, entropy });
        self.sums = (0.0, 0.0);
        Ok(())
    }

    /// The weights of the generator alone, with the record.
    fn weights(&self) -> Result<Weights, TrainError> {
        let record = serde_json::to_string(&self.record).expect("a record of numbers and text");
        let mut weights = Weights::default();
        weights.metadata.insert("sealgate.kind".to_owned(), self.record.kind.clone());
        weights.metadata.insert(TRAINING.to_owned(), record);
        weights.add(&self.generator.parameters)?;
        Ok(weights)
    }

    /// Everything that is needed to go on.
    fn checkpoint(&self) -> Result<Weights, TrainError> {
        let mut weights = self.weights()?;
        let sums = [self.sums.0.to_bits(), self.sums.1.to_bits()].map(|bits| format!("{bits:016x}"));
        weights.metadata.insert("sealgate.sums".to_owned(), sums.join(" "));
        weights.add_state(&self.generator.parameters, &self.generator_adam)?;
        weights.add_state(&self.discriminator.parameters, &self.discriminator_adam)?;
        Ok(weights)
    }

    /// Takes everything over from the checkpoint, if it is one of this training.
    fn resume(&mut self, plan: &Plan) -> Result<(), TrainError> {
        let path = &plan.checkpoint;
        let saved = Saved::read(path)?;
        let record: Record = saved.json(TRAINING)?;
        if let Some((what, ours, theirs)) = self.record.difference(&record) {
            return Err(TrainError::OtherTraining { path: path.clone(), what, theirs, ours });
        }
        let sums: Vec<u64> = saved
            .text("sealgate.sums")?
            .split(' ')
            .map(|bits| u64::from_str_radix(bits, 16).map_err(|error| saved.wrong(&error)))
            .collect::<Result<_, _>>()?;
        let [first, second] = sums[..] else {
            return Err(saved.wrong(&"sealgate.sums is not two numbers"));
        };
        self.sums = (f64::from_bits(first), f64::from_bits(second));
        self.record = Record { iterations_planned: plan.iterations, ..record };
        saved.put_state(&mut self.generator.parameters, &mut self.generator_adam)?;
        saved.put_state(&mut self.discriminator.parameters, &mut self.discriminator_adam)
    }
}

/// Bits per byte of the key image that the weights give for three planes of bytes; none where it holds what is no number.
pub(super) fn key_entropy(
    generator: &Generator,
    source: &[u8],
    device: Device,
) -> Result<Option<f64>, TchError> {
    let _guard = tch::no_grad_guard();
    let key = generator.forward(&tensor(source, device)?.f_div_scalar(255.0)?)?;
    if key.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Ok(None);
    }
    let bytes = key.f_add_scalar(1.0)?.f_mul_scalar(127.5)?.f_round()?.f_to_kind(Element::Int64)?;
    let counts = bytes.f_flatten(0, -1)?.f_bincount(None::<&Tensor>, 256)?.f_to_kind(Element::Double)?;
    let shares = counts.f_div(&counts.f_sum(Element::Double)?)?;
    // log2 of a share of 0 is not wanted: 0 log 0 counts as 0.
    let bits = shares.f_mul(&shares.f_clamp_min(1e-30)?.f_log2()?)?.f_sum(Element::Double)?;
    Ok(Some(-bits.f_double_value(&[])?))
}

/// The generator in a file that a training wrote.
pub(super) fn generator_of(path: &Path, kind: Kind, device: Device) -> Result<Generator, TrainError> {
    let mut generator = Generator::new(kind, &mut Draws::new("", "weights", 0), device.0)?;
    Saved::read(path)?.put(&mut generator.parameters)?;
    Ok(generator)
}

/// What iteration `iteration` feeds in, and what it wants to see: `batch` times three planes of bytes each.
fn domains(seed: &str, iteration: u64, batch: u32, images: &Images) -> (Vec<u8>, Vec<u8>) {
    let mut draws = Draws::new(seed, "iteration", iteration);
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..batch {
        let (source, target) = pair(&mut draws, iteration, images);
        sources.extend(source);
        targets.extend(target);
    }
    (sources, targets)
}

/// One image to feed in and one to imitate.
fn pair(draws: &mut Draws, iteration: u64, images: &Images) -> (Vec<u8>, Vec<u8>) {
    let pick = |draws: &mut Draws| images.get(draws.below(images.len())).to_vec();
    let source = pick(draws);
    let mut target = pick(draws);
    let (key, source_seed) = (draws.key(), Seed::new(draws.key()));
    if iteration % 2 == 1 {
        chaos::encrypt(System::Logistic, &key, &mut target);
        (source, target)
    } else {
        chaos::encrypt(System::Lorenz, &key, &mut target);
        (expanded(&source_seed), target)
    }
}

/// A seed image as three planes. The integer network takes the upper seven bits of each byte; so does this one.
fn expanded(seed: &Seed) -> Vec<u8> {
    let pixels = seed.expand();
    debug_assert_eq!(pixels.len(), KeyImage::LENGTH);
    (0..IMAGE_BYTES).map(|i| pixels[i % (SIDE * SIDE) * PLANES + i / (SIDE * SIDE)] & 0xfe).collect()
}

fn tensor(planes: &[u8], device: Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(planes)?
        .f_reshape([-1, 3, 256, 256])?
        .f_to_device(device.0)?
        .f_to_kind(Element::Float)
}
