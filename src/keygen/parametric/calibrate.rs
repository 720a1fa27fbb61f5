//! From floating-point weights to a network in integers: each layer is scaled by what comes out of it for given pictures.

use super::file::{Head, KNOTS, Layer, Network, Numbers, OUTPUT_BITS, OUTPUTS};
use super::layers::{carry_of, centre_of, spread_of, zero_of};
use super::reference::{Tensor, accumulate, activate, pool};
use super::topology::{Convolution, Shape, Step, Topology};
use crate::keygen::KeygenError;

/// Floating-point weights, in the order of the file.
#[derive(Debug, Clone)]
pub struct Floats {
    /// Those of each convolution: output, input, row, column.
    pub layers: Vec<Vec<f32>>,
    /// Those of the last layer: output, feature.
    pub head: Vec<f32>,
}

/// 2^32.
const UNIT: f64 = 4_294_967_296.0;
/// No channel varies less: one that does not vary at all would be scaled without end.
const DEVIATION_MIN: f64 = 256.0;
/// Standard deviations of an output that the curve holds, on either side.
const CURVE_DEVIATIONS: f64 = 4.0;

/// Makes a network of weights. What is added up is counted over `pictures`, each drawn of other metadata.
pub fn quantise(
    topology: Topology,
    floats: &Floats,
    provenance: String,
    metadata: &[Vec<u8>],
) -> Result<Network, KeygenError> {
    let shapes = topology.shapes();
    if metadata.is_empty() || floats.layers.len() != topology.convolutions().len() {
        return Err(KeygenError::Network("weights of other layers, or nothing to calibrate it with".into()));
    }
    let first = |text: &Vec<u8>| vec![Tensor::of_picture(&super::draw(text), &shapes[0])];
    let mut runs: Vec<Vec<Tensor>> = metadata.iter().map(first).collect();
    let mut layers = Vec::new();
    let mut weights = floats.layers.iter();
    for step in topology.steps() {
        match step {
            Step::Pool { from } => runs.iter_mut().for_each(|run| run.push(pool(&run[from]))),
            Step::Convolution(convolution) => {
                let weights = weights.next().map(Vec::as_slice).unwrap_or_default();
                layers.push(calibrate(&convolution, weights, &shapes, &mut runs)?);
            }
        }
    }
    let features: Vec<Vec<i32>> = runs.iter().filter_map(|run| run.last()).map(Tensor::features).collect();
    let head = calibrate_head(&floats.head, &features);
    Network::new(topology, provenance, Numbers { layers, head })
}

/// Scales one layer, and makes its tensor in every run.
fn calibrate(
    convolution: &Convolution,
    weights: &[f32],
    shapes: &[Shape],
    runs: &mut [Vec<Tensor>],
) -> Result<Layer, KeygenError> {
    if weights.len() != convolution.weights() {
        return Err(KeygenError::Network(format!(
            "{} weights where {} were expected",
            weights.len(),
            convolution.weights()
        )));
    }
    let weights: Vec<i8> = weights.chunks_exact(convolution.weights_each()).flat_map(to_bytes).collect();
    let all: Vec<Vec<i32>> =
        runs.iter().map(|run| accumulate(convolution, &weights, &run[convolution.from])).collect();
    let carry = carry_of(convolution);
    let zero = convolution.add.map_or(0.0, |add| zero_of(&shapes[add]));
    let (mut means, mut factors) = (Vec::new(), Vec::new());
    for channel in 0..convolution.outputs {
        let values = || all.iter().flat_map(|run| run.iter().skip(channel).step_by(convolution.outputs));
        let (mean, deviation) = moments(values().map(|value| f64::from(*value)));
        let scale = spread_of(convolution) / deviation;
        factors.push(whole(scale * UNIT).unsigned_abs());
        // What the mean becomes, less what the added tensor brings along as its zero.
        means.push(whole(mean - (centre_of(convolution) - zero * carry) / scale));
    }
    let carry = whole(carry * UNIT / 2.0).unsigned_abs() * 2;
    let layer = Layer { carry, mean: means, factor: factors, weights };
    for (run, accumulators) in runs.iter_mut().zip(&all) {
        let activations = activate(&layer, accumulators, convolution.add.map(|add| &run[add]));
        let side = run[convolution.from].side / convolution.stride;
        run.push(Tensor { side, channels: convolution.outputs, activations });
    }
    Ok(layer)
}

fn calibrate_head(weights: &[f32], features: &[Vec<i32>]) -> Head {
    let each = weights.len() / OUTPUTS;
    let weights: Vec<i8> = weights.chunks_exact(each.max(1)).flat_map(to_bytes).collect();
    let mut head = Head { mean: [0; OUTPUTS], factor: [1; OUTPUTS], weights, curve: curve() };
    let all: Vec<[i64; OUTPUTS]> = features.iter().map(|features| head.accumulators(features)).collect();
    for at in 0..OUTPUTS {
        #[expect(clippy::cast_precision_loss, reason = "accumulators are far below 2^53")]
        let (mean, deviation) = moments(all.iter().map(|run| run[at] as f64));
        head.mean[at] = whole(mean);
        let half = f64::from(1_u32 << (OUTPUT_BITS - 1));
        head.factor[at] = whole(half / CURVE_DEVIATIONS / deviation * 65536.0).unsigned_abs().max(1);
    }
    head
}

/// Scaled so that the largest weight of an output is 127.
fn to_bytes(weights: &[f32]) -> impl Iterator<Item = i8> {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "from -127 to 127")]
    weights.iter().map(move |weight| (weight * scale).round() as i8)
}

/// Mean and standard deviation.
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
        squares += value * value;
    }
    let mean: f64 = sum / count;
    (mean, (squares / count - mean * mean).max(0.0).sqrt().max(DEVIATION_MIN))
}

#[expect(clippy::cast_possible_truncation, reason = "the callers' numbers are below 2^31")]
fn whole(value: f64) -> i32 {
    value.round() as i32
}

/// The cumulative normal distribution from -4 to 4 standard deviations: what is distributed normally comes out evenly.
fn curve() -> Vec<u32> {
    let top = f64::from((1_u32 << OUTPUT_BITS) - 1);
    let knot = |at: usize| {
        let x = (f64::from(u16::try_from(at).unwrap_or(0)) - 128.0) / 32.0;
        whole(top * normal(x)).unsigned_abs()
    };
    (0..KNOTS).map(knot).collect()
}

/// The integral of the normal density up to x, by Simpson's rule.
fn normal(x: f64) -> f64 {
    const STEPS: i32 = 256;
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let width = x / f64::from(STEPS);
    let inner = (1..STEPS).map(|at| {
        let weight = if at % 2 == 1 { 4.0 } else { 2.0 };
        weight * density(f64::from(at) * width)
    });
    (0.5 + (density(0.0) + inner.sum::<f64>() + density(x)) * width / 3.0).clamp(0.0, 1.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::keygen::Instructions;

    /// Numbers that look random, always the same.
    pub(crate) fn untrained(topology: Topology, seed: u64) -> Network {
        let mut state = seed;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(i16::try_from(state >> 49).unwrap()) / 16384.0 - 1.0
        };
        let mut draw = |count: usize| (0..count).map(|_| number()).collect::<Vec<f32>>();
        let layers = topology.convolutions().iter().map(|c| draw(c.weights())).collect();
        let head = draw(OUTPUTS * topology.features());
        let metadata: Vec<Vec<u8>> = (0..2_u8).map(|at| vec![at; 40]).collect();
        quantise(topology, &Floats { layers, head }, "{}".into(), &metadata).unwrap()
    }

    /// The outputs by plain loops.
    fn plainly(network: &Network, metadata: &[u8]) -> [u32; OUTPUTS] {
        let topology = network.topology();
        let mut tensors = vec![Tensor::of_picture(&super::super::draw(metadata), &topology.shapes()[0])];
        let mut layers = network.numbers().layers.iter();
        for step in topology.steps() {
            let next = match step {
                Step::Pool { from } => pool(&tensors[from]),
                Step::Convolution(c) => {
                    let layer = layers.next().unwrap();
                    let accumulators = accumulate(&c, &layer.weights, &tensors[c.from]);
                    let activations = activate(layer, &accumulators, c.add.map(|add| &tensors[add]));
                    Tensor { side: tensors[c.from].side / c.stride, channels: c.outputs, activations }
                }
            };
            tensors.push(next);
        }
        network.numbers().head.outputs(&tensors.last().unwrap().features())
    }

    #[test]
    fn every_set_of_instructions_gives_what_plain_loops_give() {
        for topology in Topology::ALL {
            let network = untrained(topology, 7);
            let expected = plainly(&network, b"metadata");
            assert!(expected.iter().any(|output| *output != expected[0]), "{topology}: {expected:?}");
            for with in Instructions::available() {
                for _ in 0..2 {
                    let found = network.outputs(&super::super::draw(b"metadata"), with);
                    assert_eq!(found, expected, "{topology} with {with}");
                }
            }
        }
    }

    #[test]
    fn a_file_gives_the_network_back_and_a_changed_one_does_not() {
        let network = untrained(Topology::ResNet18, 3);
        let file = network.to_bytes();
        let again = Network::parse(&file).unwrap();
        assert_eq!((again.id(), again.numbers()), (network.id(), network.numbers()));
        for at in [0, 12, 15, 100, file.len() - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(Network::parse(&changed).is_err(), "byte {at}");
        }
        assert!(Network::parse(&file[..file.len() - 1]).is_err() && Network::parse(&[]).is_err());
    }
}
