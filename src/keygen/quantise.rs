//! From a checkpoint to a model: integer weights, and the scales between layers found by watching seed images pass.
//!
//! Instance normalisation takes the scale of each channel out again, so weights are scaled to the full range of a byte,
//! channel by channel, and nothing has to be kept of it. What is calibrated is how many steps one standard deviation gets.

use serde_json::{Map, Value, json};

use super::checkpoint::{Checkpoint, FloatLayer};
use super::error::KeygenError;
use super::model::{ACCUMULATOR_LIMIT, ACTIVATION_MAX, Depthwise, GAIN_MAX, Layer, Model};
use super::network::{Kind, LAYERS, Post, Shape};
use super::reference::{self, Planes};
use super::seed::Seed;

/// What calibration looks at.
#[derive(Debug, Clone, Copy)]
pub struct Calibration {
    /// Seed images.
    pub images: u64,
    /// Rows and columns of each, a power of two from 16 to 256.
    pub side: usize,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { images: 4, side: 128 }
    }
}

/// The seed of the seed images that calibration uses; any would do, but it has to be the same every time.
const CALIBRATION_SEED: Seed = Seed::new(*b"sealgate: calibration of scales ");
/// The part of all activations that may be larger than 127 and are cut to it.
const CUT_OFF: f64 = 0.001;
/// Standard deviations on each side that the depthwise halves have room for.
const DEPTHWISE_SPAN: f64 = 4.0;

/// The integer model of a checkpoint. The same checkpoint gives the same model, so the same generator id.
pub fn quantise(checkpoint: &Checkpoint, calibration: Calibration) -> Result<Model, KeygenError> {
    let Calibration { images, side } = calibration;
    if images == 0 || !side.is_power_of_two() || !(16..=256).contains(&side) {
        return Err(KeygenError::Config(format!(
            "{images} images of {side} rows: at least one of 16, 32, 64, 128 or 256 is needed"
        )));
    }
    let mut passing: Vec<Planes> = (0..images)
        .map(|number| {
            let mut image = vec![0; side * side * 3];
            CALIBRATION_SEED.child(number).expand_into(&mut image);
            reference::input(&image, side)
        })
        .collect();
    let mut layers = Vec::with_capacity(LAYERS.len());
    let mut gain_before = 0;
    for (shape, float) in LAYERS.iter().zip(&checkpoint.layers) {
        let (layer, after) = calibrate(shape, float, &passing, gain_before)?;
        gain_before = layer.gain;
        layers.push(layer);
        passing = after;
    }
    Model::new(checkpoint.kind(), provenance(checkpoint, calibration), layers)
}

impl Model {
    /// A model that was never trained, its weights drawn from this seed: to compare with. No key is made with it.
    pub fn drawn(kind: Kind, seed: u8) -> Result<Self, KeygenError> {
        quantise(&Checkpoint::drawn(kind, seed), Calibration { images: 1, side: 64 })
    }
}

fn provenance(checkpoint: &Checkpoint, calibration: Calibration) -> String {
    let mut record = Map::new();
    record.insert("training".into(), Value::Object(checkpoint.training.clone()));
    record.insert(
        "quantisation".into(),
        json!({ "images": calibration.images, "side": calibration.side, "cut_off": CUT_OFF }),
    );
    Value::Object(record).to_string()
}

/// Finds the numbers of one layer, and gives what comes out of it for the next.
fn calibrate(
    shape: &Shape,
    float: &FloatLayer,
    passing: &[Planes],
    gain_before: u32,
) -> Result<(Layer, Vec<Planes>), KeygenError> {
    let mut steps = vec![1.0; shape.inputs];
    let depthwise = float.depthwise.as_ref().map(|weights| {
        let (half, found) = calibrate_depthwise(shape, weights, passing);
        steps = found;
        half
    });
    let weights = mixing_weights(shape, &float.weights, &steps);
    let mut layer = Layer { gain: 0, carry: 0, depthwise, weights };
    if shape.post == Post::Fold {
        return Ok((layer, Vec::new()));
    }
    let accumulators: Vec<_> =
        passing.iter().map(|input| reference::accumulate(shape, &layer, input)).collect();
    let level = level(shape, &accumulators, passing, gain_before);
    if !(level.is_finite() && level > 0.0) {
        return Err(KeygenError::Checkpoint(format!(
            "nothing comes through {}: its outputs are all alike",
            shape.name
        )));
    }
    layer.gain = whole(256.0 * 127.0 / level).clamp(1, GAIN_MAX);
    if shape.post == Post::Add {
        // The carry is below 2^32, so a block's output never has finer steps than its input.
        layer.gain = layer.gain.min(gain_before);
        let ratio = (u64::from(layer.gain) << 32) / u64::from(gain_before);
        layer.carry = u32::try_from(ratio).unwrap_or(u32::MAX).max(1);
    }
    let after = accumulators
        .iter()
        .zip(passing)
        .map(|(x, input)| reference::activate(shape, &layer, x, input))
        .collect();
    Ok((layer, after))
}

/// The value, in standard deviations, that all but [`CUT_OFF`] of the outputs stay below.
fn level(shape: &Shape, accumulators: &[Planes], inputs: &[Planes], gain_before: u32) -> f64 {
    let mut values = Vec::new();
    for (planes, input) in accumulators.iter().zip(inputs) {
        for (number, channel) in planes.channels.iter().enumerate() {
            let statistics = reference::statistics(channel);
            let sigma = float(statistics.spread) / 256.0;
            values.extend(channel.iter().enumerate().map(|(at, x)| {
                let added = if shape.post == Post::Add {
                    float(input.channels[number][at]) * 256.0 / f64::from(gain_before)
                } else {
                    0.0
                };
                float(x - statistics.mean) / sigma + added
            }));
        }
    }
    // The cast rounds down, which is as good as any other way here.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let place = (values.len() as f64 * (1.0 - CUT_OFF)) as usize;
    let place = place.min(values.len() - 1);
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

/// The depthwise half, and what one step of each of its outputs is worth.
fn calibrate_depthwise(shape: &Shape, weights: &[f32], passing: &[Planes]) -> (Depthwise, Vec<f64>) {
    let each = shape.kernel * shape.kernel;
    let (mut bytes, mut scales) = (Vec::with_capacity(weights.len()), Vec::new());
    for channel in weights.chunks_exact(each) {
        let channel: Vec<f64> = channel.iter().map(|weight| f64::from(*weight)).collect();
        // Half of the bound is left for the centre, which is a mean of accumulators.
        let (quantised, scale) = to_bytes(&channel, ACCUMULATOR_LIMIT / 2);
        bytes.extend(quantised);
        scales.push(scale);
    }
    let filtered: Vec<_> = passing.iter().map(|input| reference::filter(shape, &bytes, input)).collect();
    let mut half = Depthwise { centre: Vec::new(), factor: Vec::new(), weights: bytes };
    let mut steps = Vec::new();
    for (number, scale) in scales.iter().enumerate() {
        let all: Vec<i64> =
            filtered.iter().flat_map(|planes| planes.channels[number].iter().copied()).collect();
        let (mean, sigma) = mean_and_sigma(&all);
        let factor =
            whole(4_294_967_296.0 * 63.0 / (DEPTHWISE_SPAN * sigma.max(1.0))).clamp(1, (1 << 31) - 1);
        half.centre.push(mean);
        half.factor.push(factor);
        steps.push(4_294_967_296.0 / f64::from(factor) / scale);
    }
    (half, steps)
}

fn mean_and_sigma(values: &[i64]) -> (i32, f64) {
    let count = float(i64::try_from(values.len()).unwrap_or(i64::MAX));
    let mean = float(values.iter().sum()) / count;
    let variance = values.iter().map(|x| (float(*x) - mean).powi(2)).sum::<f64>() / count;
    #[allow(clippy::cast_possible_truncation, reason = "the accumulators of a depthwise half are below 2^23")]
    let rounded = mean.round() as i32;
    (rounded, variance.sqrt())
}

/// The weights that mix the channels, each input channel counted with the worth of its steps.
fn mixing_weights(shape: &Shape, weights: &[f32], steps: &[f64]) -> Vec<i8> {
    let per_output = weights.len() / shape.outputs;
    let per_input = per_output / shape.inputs;
    let mut bytes = Vec::with_capacity(weights.len());
    for channel in weights.chunks_exact(per_output) {
        let worth: Vec<f64> =
            channel.iter().enumerate().map(|(at, w)| f64::from(*w) * steps[at / per_input]).collect();
        bytes.extend(to_bytes(&worth, ACCUMULATOR_LIMIT).0);
    }
    bytes
}

/// Weights as bytes, scaled as far as a byte and the bound on accumulators allow, and the scale.
fn to_bytes(weights: &[f64], limit: i64) -> (Vec<i8>, f64) {
    let largest = weights.iter().fold(0.0_f64, |largest, weight| largest.max(weight.abs()));
    let sum: f64 = weights.iter().map(|weight| weight.abs()).sum();
    if largest == 0.0 {
        return (vec![0; weights.len()], 1.0);
    }
    // Rounding can add a half to each.
    let room = float(limit / ACTIVATION_MAX - 1) - float(i64::try_from(weights.len()).unwrap_or(i64::MAX));
    let scale = (127.0 / largest).min(room / sum);
    #[allow(clippy::cast_possible_truncation, reason = "the scale keeps it within -127 to 127")]
    let bytes = weights.iter().map(|weight| (weight * scale).round() as i8).collect();
    (bytes, scale)
}

#[allow(clippy::cast_precision_loss, reason = "the values are far below 2^52, or only a mean of them counts")]
fn float(value: i64) -> f64 {
    value as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as is wanted here"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::network::Kind;

    const SMALL: Calibration = Calibration { images: 1, side: 32 };

    #[test]
    fn the_same_checkpoint_gives_the_same_generator() {
        for kind in Kind::ALL {
            let one = quantise(&untrained(kind, 1), SMALL).unwrap();
            assert_eq!(one.id(), quantise(&untrained(kind, 1), SMALL).unwrap().id());
            assert_ne!(one.id(), quantise(&untrained(kind, 2), SMALL).unwrap().id());
        }
    }

    #[test]
    fn weights_that_would_break_the_bound_are_scaled_down_to_it() {
        // 784 weights of one size would be 127 * 127 * 784, above the bound.
        let (bytes, _) = to_bytes(&vec![0.5; 784], ACCUMULATOR_LIMIT);
        let reached = 127 * bytes.iter().map(|byte| i64::from(*byte)).sum::<i64>();
        assert!((ACCUMULATOR_LIMIT * 9 / 10..ACCUMULATOR_LIMIT).contains(&reached), "{reached}");
    }

    #[test]
    fn activations_use_their_range_and_are_seldom_cut() {
        for kind in Kind::ALL {
            let model = quantise(&untrained(kind, 3), SMALL).unwrap();
            let mut image = vec![0; 32 * 32 * 3];
            Seed::new([9; 32]).expand_into(&mut image);
            let mut planes = reference::input(&image, 32);
            for (shape, layer) in model.layers().take(11) {
                let accumulators = reference::accumulate(shape, layer, &planes);
                planes = reference::activate(shape, layer, &accumulators, &planes);
                let all: Vec<i64> = planes.channels.concat();
                let cut = all.iter().filter(|a| **a == 127).count();
                assert!(cut * 100 < all.len(), "{kind} {}: {cut} of {}", shape.name, all.len());
                assert!(all.iter().any(|a| *a > 90), "{kind} {}", shape.name);
            }
        }
    }

    #[test]
    fn a_network_that_lets_nothing_through_is_refused() {
        let mut dead = untrained(Kind::Full, 1);
        dead.layers[4].weights.fill(0.0);
        dead.layers[2].weights.fill(0.0);
        let error = quantise(&dead, SMALL).unwrap_err().to_string();
        assert!(error.contains("nothing comes through down3"), "{error}");
    }
}
