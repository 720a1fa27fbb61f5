//! Trains a network that reads chaotic parameters off metadata, all its layers from end to end, and makes integers of it.
//!
//! The paper trains its networks "to correlate metadata with chaotic parameters" and names neither a target nor a loss. What
//! a key needs of them is what is asked for here: each output spread evenly over its range, no output telling of another,
//! and none of what it was before one bit of the metadata changed.

mod forward;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{TchError, Tensor};

use self::forward::{loss, outputs};
use super::TrainError;
use super::adam::{self, Adam};
use super::draw::Draws;
use super::network::{Parameter, random, size};
use super::saved::{NETWORK, Saved};
use super::weights::Weights;
use crate::keygen::KeygenError;
use crate::keygen::parametric::{
    Floats, Network, PICTURE_SIDE, Spread, Topology, draw, quantise, sample, settle, with_one_bit,
};

/// Outputs.
const OUTPUTS: usize = 6;
/// What the record's measurements are made with is drawn from this, whatever the training's seed is.
const HELD_OUT: &str = "held out";

/// What is trained, and for how long.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// The suite it is for; only its name counts.
    pub suite: String,
    /// Which network.
    pub topology: Topology,
    /// Everything random follows from it.
    pub seed: String,
    /// Steps.
    pub iterations: u64,
    /// Pieces of metadata in a batch; each comes with a twin in which one bit is changed.
    pub batch: u32,
    /// The learning rate.
    pub rate: f64,
    /// What the integer network is made with, and measured with.
    pub samples: Samples,
    /// Threads of the processor.
    pub threads: u32,
    /// A checkpoint after this many iterations; not 0.
    pub checkpoint_every: u64,
    /// Where checkpoints go.
    pub checkpoint: PathBuf,
    /// Whether to go on from the checkpoint.
    pub resume: bool,
}

/// How many pieces of metadata the integer network is made and measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// Its layers are scaled by these.
    pub calibration: u64,
    /// Its outputs are spread by these.
    pub settled: u64,
    /// The record's measurements are made with these; none of them is trained with.
    pub measured: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self { calibration: 64, settled: 2048, measured: 2048 }
    }
}

/// One step of a training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NetworkProgress {
    /// Which one, from 1.
    pub iteration: u64,
    /// The loss before it.
    pub loss: f64,
}

/// How a training ended.
pub enum NetworkOutcome {
    /// All iterations are done.
    Done(Box<Network>),
    /// It was told to stop after this many; the checkpoint is written.
    Stopped(u64),
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// What came out of it.
    #[error(transparent)]
    Keygen(#[from] KeygenError),
}

impl From<TchError> for NetworkError {
    fn from(error: TchError) -> Self {
        Self::Train(error.into())
    }
}

/// Trains on the processor, and makes an integer network of the weights. `watch` says whether to go on.
pub fn train_network(
    plan: &NetworkPlan,
    watch: &mut dyn FnMut(NetworkProgress) -> bool,
) -> Result<NetworkOutcome, NetworkError> {
    tch::set_num_threads(i32::try_from(plan.threads).unwrap_or(i32::MAX));
    let mut training = Training::begin(plan)?;
    if plan.resume {
        training.resume()?;
    }
    loop {
        let done = training.history.len() as u64;
        if done >= plan.iterations {
            return Ok(NetworkOutcome::Done(Box::new(training.finish()?)));
        }
        let progress = training.step(done.saturating_add(1))?;
        let go_on = watch(progress);
        if progress.iteration.is_multiple_of(plan.checkpoint_every) || !go_on {
            training.checkpoint()?.write(&plan.checkpoint)?;
        }
        if !go_on {
            return Ok(NetworkOutcome::Stopped(progress.iteration));
        }
    }
}

/// Everything that changes while training.
struct Training<'a> {
    plan: &'a NetworkPlan,
    parameters: Vec<Parameter>,
    adam: Adam,
    history: Vec<NetworkProgress>,
}

impl<'a> Training<'a> {
    fn begin(plan: &'a NetworkPlan) -> Result<Self, NetworkError> {
        let parameters = fresh(plan)?;
        let adam = Adam::new(&parameters, plan.rate)?;
        Ok(Self { plan, parameters, adam, history: Vec::new() })
    }

    fn step(&mut self, iteration: u64) -> Result<NetworkProgress, NetworkError> {
        let first = iteration.saturating_sub(1).saturating_mul(u64::from(self.plan.batch));
        let pictures = pictures(&self.plan.seed, first, self.plan.batch)?;
        let loss = loss(&outputs(self.plan.topology, &self.parameters, &pictures)?, self.plan.batch)?;
        loss.f_backward()?;
        self.adam.step(&mut self.parameters, iteration)?;
        let loss = loss.f_double_value(&[])?;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { iteration, loss }.into());
        }
        let progress = NetworkProgress { iteration, loss };
        self.history.push(progress);
        Ok(progress)
    }

    /// The integer network, with a record of how it came to be.
    fn finish(&self) -> Result<Network, NetworkError> {
        let measured = self.plan.samples.measured;
        let untrained = Spread::of(&integers(self.plan, &fresh(self.plan)?)?, HELD_OUT, measured);
        let plain = integers(self.plan, &self.parameters)?;
        let trained = Spread::of(&plain, HELD_OUT, measured);
        let step = self.history.len().div_ceil(50).max(1);
        let history: Vec<_> = self.history.iter().step_by(step).chain(self.history.last()).collect();
        let batch = self.plan.batch;
        let record = json!({
            "program": concat!("sealgate ", env!("CARGO_PKG_VERSION")),
            "torch": "tch 0.24, libtorch 2.11.0",
            "suite": self.plan.suite,
            "topology": self.plan.topology.to_string(),
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "iterations": self.history.len(),
            "data": format!("metadata drawn from the seed; each batch {batch}, and the same with one bit changed"),
            "samples": self.plan.samples,
            "loss": "squared correlations between outputs, squared correlations with the outputs after one bit \
                changed, squared distances from an even distribution",
            "optimiser": adam::in_words(self.plan.rate, batch),
            "history": history,
            "untrained": untrained,
            "trained": trained,
        });
        Ok(plain.with_provenance(&record.to_string())?)
    }

    /// What the training is, as far as another could not go on from it.
    fn identity(&self) -> String {
        let NetworkPlan { suite, topology, seed, batch, rate, threads, .. } = self.plan;
        let topology = topology.to_string();
        json!({
            "suite": suite,
            "topology": topology,
            "seed": seed,
            "batch": batch,
            "rate": rate,
            "threads": threads,
        })
        .to_string()
    }

    fn checkpoint(&self) -> Result<Weights, TrainError> {
        let mut weights = Weights::default();
        weights.metadata.insert(NETWORK.into(), self.identity());
        let history = serde_json::to_string(&self.history).expect("numbers can be written");
        weights.metadata.insert("sealgate.history".into(), history);
        weights.add_state(&self.parameters, &self.adam)?;
        Ok(weights)
    }

    /// Takes everything over from the checkpoint, if it is one of this training.
    fn resume(&mut self) -> Result<(), TrainError> {
        let path = &self.plan.checkpoint;
        let saved = Saved::read(path)?;
        let (ours, theirs) = (self.identity(), saved.text(NETWORK)?);
        if ours != theirs {
            let theirs = theirs.to_owned();
            return Err(TrainError::OtherTraining { path: path.clone(), what: "the plan", theirs, ours });
        }
        self.history = saved.json("sealgate.history")?;
        saved.put_state(&mut self.parameters, &mut self.adam)
    }
}

/// Pictures of so many pieces of metadata from this one on, and behind them those of their twins with one bit changed.
fn pictures(seed: &str, first: u64, count: u32) -> Result<Tensor, TchError> {
    let numbers = || first..first.saturating_add(u64::from(count));
    let metadata: Vec<_> = numbers().map(|number| sample(seed, number)).collect();
    let twins = numbers().zip(&metadata).map(|(number, one)| with_one_bit(one, number));
    let all: Vec<u8> = metadata.iter().cloned().chain(twins).flat_map(|one| draw(&one)).collect();
    let side = size(PICTURE_SIDE);
    let bytes = Tensor::f_from_slice(&all)?.f_reshape([-1, side, side, 3])?.f_permute([0, 3, 1, 2])?;
    // The integer network takes the upper seven bits.
    bytes.f_to_kind(tch::Kind::Float)?.f_div_scalar(2.0)?.f_floor()
}

/// Random weights.
fn fresh(plan: &NetworkPlan) -> Result<Vec<Parameter>, TchError> {
    let mut draws = Draws::new(&plan.seed, "network weights", 0);
    let device = tch::Device::Cpu;
    let mut parameters = Vec::new();
    for (at, c) in plan.topology.convolutions().iter().enumerate() {
        let inputs = if c.depthwise { 1 } else { c.inputs };
        let shape = [size(c.outputs), size(inputs), size(c.kernel), size(c.kernel)];
        parameters.push(random(&format!("layer{at:02}.weight"), &shape, &mut draws, device)?);
    }
    let shape = [size(OUTPUTS), size(plan.topology.features()), 1, 1];
    parameters.push(random("head.weight", &shape, &mut draws, device)?);
    Ok(parameters)
}

/// The integer network of these weights: layers scaled by some pictures, outputs spread by more.
fn integers(plan: &NetworkPlan, parameters: &[Parameter]) -> Result<Network, NetworkError> {
    let floats = |p: &Parameter| Vec::<f32>::try_from(p.value.f_detach()?.f_flatten(0, -1)?);
    let mut layers: Vec<Vec<f32>> = parameters.iter().map(floats).collect::<Result<_, TchError>>()?;
    let head = layers.pop().unwrap_or_default();
    let from_the_end = |count: u64| (0..count).map(|n| sample(&plan.seed, u64::MAX - n)).collect::<Vec<_>>();
    let floats = Floats { layers, head };
    let plain = quantise(plan.topology, &floats, "{}", &from_the_end(plan.samples.calibration))?;
    Ok(settle(&plain, &floats.head, &from_the_end(plan.samples.settled))?)
}
