//! Trains a network that reads chaotic parameters off metadata: outputs that are even, and hang together with nothing.
//!
//! The paper trains its networks "to correlate metadata with chaotic parameters" and names neither a target nor a loss. What
//! a key needs of them is what is asked for here: each output spread evenly over its range, no output telling of another,
//! and none of what it was before one bit of the metadata changed.

use serde::Serialize;
use serde_json::json;
use tch::{Kind as Element, TchError, Tensor};

use super::TrainError;
use super::adam::Adam;
use super::draw::Draws;
use super::network::{Parameter, random, size};
use crate::keygen::KeygenError;
use crate::keygen::parametric::{
    Convolution, Floats, LINEAR_CENTRE, Network, PICTURE_SIDE, Spread, Step, Topology, carry_of, centre_of,
    draw, quantise, sample, spread_of, with_one_bit,
};

/// Pairs of metadata in a batch.
const PAIRS: u64 = 8;
/// Pictures that the integer network is scaled by.
const CALIBRATION: u64 = 64;
/// Metadata that the record's measurements are made with.
const MEASURED: u64 = 256;
/// Outputs.
const OUTPUTS: usize = 6;
/// Guards divisions by a deviation.
const EPSILON: f64 = 1e-5;

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
    /// Threads of the processor.
    pub threads: u32,
}

/// A line of the history: the mean loss since the line before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NetworkReport {
    /// After how many iterations.
    pub iteration: u64,
    /// The loss.
    pub loss: f64,
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
    watch: &mut dyn FnMut(NetworkReport) -> bool,
) -> Result<Network, NetworkError> {
    tch::set_num_threads(i32::try_from(plan.threads).unwrap_or(i32::MAX));
    let mut parameters = fresh(plan)?;
    let before = integers(plan, &parameters, "{}".into())?;
    let mut adam = Adam::new(&parameters)?;
    let mut history = Vec::new();
    for iteration in 1..=plan.iterations {
        let loss = loss(&outputs(plan.topology, &parameters, &batch(plan, iteration)?)?)?;
        loss.f_backward()?;
        adam.step(&mut parameters, iteration)?;
        let loss = loss.double_value(&[]);
        if !loss.is_finite() {
            return Err(TrainError::Diverged { iteration, loss }.into());
        }
        let report = NetworkReport { iteration, loss };
        history.push(report);
        if !watch(report) {
            break;
        }
    }
    let untrained = Spread::of(&before, "held out", MEASURED);
    let trained = Spread::of(&integers(plan, &parameters, "{}".into())?, "held out", MEASURED);
    let every: Vec<_> = history.chunks(10).filter_map(<[_]>::last).collect();
    let record = json!({
        "program": concat!("sealgate ", env!("CARGO_PKG_VERSION")),
        "suite": plan.suite,
        "topology": plan.topology.to_string(),
        "seed": plan.seed,
        "threads": plan.threads,
        "iterations": history.len(),
        "data": "metadata drawn from the seed; each batch 8, and the same 8 with one bit changed",
        "loss": "squared correlations between outputs, squared correlations with the outputs after one bit changed, squared distance from an even distribution",
        "optimiser": "Adam, rate 0.0002, betas 0.5 and 0.999, batch 16",
        "history": every,
        "untrained": untrained,
        "trained": trained,
    });
    Ok(integers(plan, &parameters, record.to_string())?)
}

/// Random weights.
fn fresh(plan: &NetworkPlan) -> Result<Vec<Parameter>, TchError> {
    let mut draws = Draws::new(&plan.seed, "network weights", 0);
    let device = tch::Device::Cpu;
    let mut parameters = Vec::new();
    for (at, c) in plan.topology.convolutions().iter().enumerate() {
        let inputs = if c.depthwise { 1 } else { c.inputs };
        let shape = [size(c.outputs), size(inputs), size(c.kernel), size(c.kernel)];
        parameters.push(random(&format!("layer{at}.weight"), &shape, &mut draws, device)?);
    }
    let shape = [size(OUTPUTS), size(plan.topology.features()), 1, 1];
    parameters.push(random("head.weight", &shape, &mut draws, device)?);
    Ok(parameters)
}

/// The integer network of these weights, scaled by pictures of its own.
fn integers(plan: &NetworkPlan, parameters: &[Parameter], record: String) -> Result<Network, NetworkError> {
    let floats = |p: &Parameter| Vec::<f32>::try_from(p.value.f_detach()?.f_flatten(0, -1)?);
    let mut layers: Vec<Vec<f32>> = parameters.iter().map(floats).collect::<Result<_, TchError>>()?;
    let head = layers.pop().unwrap_or_default();
    let metadata: Vec<_> = (0..CALIBRATION).map(|number| sample(&plan.seed, u64::MAX - number)).collect();
    Ok(quantise(plan.topology, &Floats { layers, head }, record, &metadata)?)
}

/// Pictures of the batch: some metadata, and the same with one bit changed.
fn batch(plan: &NetworkPlan, iteration: u64) -> Result<Tensor, TchError> {
    let first = (iteration - 1) * PAIRS;
    let metadata: Vec<_> = (first..first + PAIRS).map(|number| sample(&plan.seed, number)).collect();
    let changed = (first..).zip(&metadata).map(|(number, one)| with_one_bit(one, number));
    let all: Vec<u8> = metadata.iter().cloned().chain(changed).flat_map(|one| draw(&one)).collect();
    let side = size(PICTURE_SIDE);
    let bytes = Tensor::f_from_slice(&all)?.f_reshape([-1, side, side, 3])?.f_permute([0, 3, 1, 2])?;
    bytes.f_to_kind(Element::Float)?.f_div_scalar(2.0)?.f_floor()
}

/// The outputs in standard deviations, one row for each picture.
fn outputs(topology: Topology, parameters: &[Parameter], pictures: &Tensor) -> Result<Tensor, TchError> {
    let shapes = topology.shapes();
    let mut tensors = vec![pictures.shallow_clone()];
    let mut weights = parameters.iter();
    for step in topology.steps() {
        let next = match step {
            Step::Pool { from } => tensors[from].f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?,
            Step::Convolution(c) => {
                let weights = weights.next().expect("weights for each convolution");
                let zero = c.add.map_or(0.0, |add| if shapes[add].linear { LINEAR_CENTRE } else { 0.0 });
                let added = c.add.map(|add| tensors[add].f_sub_scalar(zero)).transpose()?;
                convolve(&c, &tensors[c.from], &weights.value, added)?
            }
        };
        tensors.push(next);
    }
    let last = tensors.pop().expect("every network has steps");
    let features = last.f_sum_dim_intlist([2_i64, 3].as_slice(), true, Element::Float)?;
    let head = &parameters.last().expect("the head").value;
    let sums = features.f_conv2d(head, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
    standardise(&sums.f_flatten(1, -1)?, &[0])
}

fn convolve(
    c: &Convolution,
    x: &Tensor,
    weights: &Tensor,
    added: Option<Tensor>,
) -> Result<Tensor, TchError> {
    let groups = if c.depthwise { size(c.inputs) } else { 1 };
    let (stride, padding) = ([size(c.stride); 2], [size(c.padding()); 2]);
    let sums = x.f_conv2d(weights, None::<&Tensor>, stride, padding, [1, 1], groups)?;
    let mut x = standardise(&sums, &[0, 2, 3])?.f_mul_scalar(spread_of(c))?.f_add_scalar(centre_of(c))?;
    if let Some(added) = added {
        x = x.f_add(&added.f_mul_scalar(carry_of(c))?)?;
    }
    x.f_clamp(0.0, 127.0)
}

/// Mean 0 and deviation 1 over these dimensions.
fn standardise(x: &Tensor, over: &[i64]) -> Result<Tensor, TchError> {
    let off = x.f_sub(&x.f_mean_dim(over, true, Element::Float)?)?;
    let variance = off.f_square()?.f_mean_dim(over, true, Element::Float)?;
    off.f_div(&variance.f_add_scalar(EPSILON)?.f_sqrt()?)
}

/// See the training record.
fn loss(z: &Tensor) -> Result<Tensor, TchError> {
    let (pairs, all) = (PAIRS.cast_signed(), 2 * PAIRS.cast_signed());
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let count = all as f64;
    let together = z.f_transpose(0, 1)?.f_matmul(z)?.f_div_scalar(count)?;
    let between = together.f_triu(1)?.f_square()?.f_sum(Element::Float)?;
    let (one, other) = (z.f_narrow(0, 0, pairs)?, z.f_narrow(0, pairs, pairs)?);
    let changed = one.f_mul(&other)?.f_mean_dim([0_i64].as_slice(), false, Element::Float)?;
    let even = z.f_div_scalar(2.0_f64.sqrt())?.f_erf()?.f_add_scalar(1.0)?.f_div_scalar(2.0)?;
    let places =
        Tensor::f_arange(all, (Element::Float, z.device()))?.f_add_scalar(0.5)?.f_div_scalar(count)?;
    let off = even.f_sort(0, false)?.0.f_sub(&places.f_unsqueeze(1)?)?;
    between.f_add(&changed.f_square()?.f_sum(Element::Float)?)?.f_add(&off.f_square()?.f_sum(Element::Float)?)
}
