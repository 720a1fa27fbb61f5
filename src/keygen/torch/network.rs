//! The floating-point networks: the generator of table I, full or lite, and the discriminator of table II.

use tch::{Device, Kind as Element, TchError, Tensor};

use super::draw::Draws;
use crate::keygen::Kind;
use crate::keygen::network::{LAYERS, Post, Shape};

/// Guards instance normalisation against a channel without variance.
const EPSILON: f64 = 1e-5;
/// The standard deviation of the weights before the first step.
const WEIGHT_SPREAD: f64 = 0.02;
/// The slope of the discriminator's activation below zero.
const LEAK: f64 = 0.2;

/// A tensor of weights and its name in files.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: Tensor,
}

/// A convolution without bias, with one filter for each input channel when `groups` says so.
fn convolve(x: &Tensor, weight: &Tensor, shape: &Shape, groups: i64) -> Result<Tensor, TchError> {
    let (stride, padding) = ([size(shape.stride); 2], [size(shape.padding()); 2]);
    let none = None::<&Tensor>;
    if shape.transposed {
        x.f_conv_transpose2d(weight, none, stride, padding, [1, 1], groups, [1, 1])
    } else {
        x.f_conv2d(weight, none, stride, padding, [1, 1], groups)
    }
}

/// A size as libtorch counts.
pub(super) fn size(count: usize) -> i64 {
    i64::try_from(count).expect("the sizes of the networks are small")
}

/// Instance normalisation without affine parameters.
fn normalise(x: &Tensor) -> Result<Tensor, TchError> {
    let none = None::<&Tensor>;
    x.f_instance_norm(none, none, none, none, true, 0.0, EPSILON, true)
}

/// Turns seed images into key images: 3 x 256 x 256 in, values from -1 to 1 of the same shape out.
#[derive(Debug)]
pub(super) struct Generator {
    kind: Kind,
    /// One tensor for each layer, or two in a lite one: depthwise, then pointwise.
    pub(super) parameters: Vec<Parameter>,
}

impl Generator {
    /// A generator with random weights, drawn on the CPU so that every device starts alike.
    pub(super) fn new(kind: Kind, draws: &mut Draws, device: Device) -> Result<Self, TchError> {
        let mut parameters = Vec::new();
        for layer in &LAYERS {
            for (suffix, shape) in tensors(kind, layer) {
                parameters.push(random(&format!("{}.{suffix}", layer.name), &shape, draws, device)?);
            }
        }
        Ok(Self { kind, parameters })
    }

    /// A generator with these weights, in the order of the layers.
    pub(super) fn with(kind: Kind, parameters: Vec<Parameter>) -> Self {
        Self { kind, parameters }
    }

    /// A batch of seed images, bytes over 255, through the network.
    pub(super) fn forward(&self, seeds: &Tensor) -> Result<Tensor, TchError> {
        let per_layer = self.parameters.len() / LAYERS.len();
        let mut x = seeds.shallow_clone();
        for (layer, weights) in LAYERS.iter().zip(self.parameters.chunks(per_layer)) {
            let sums = match (self.kind, weights) {
                (Kind::Lite, [depthwise, pointwise]) => {
                    let mixed = convolve(&x, &depthwise.value, layer, size(layer.inputs))?;
                    mixed.f_conv2d(&pointwise.value, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)?
                }
                (_, weights) => convolve(&x, &weights[0].value, layer, 1)?,
            };
            let normal = normalise(&sums)?;
            x = match layer.post {
                Post::Normalise => normal.f_relu()?,
                Post::Add => (x + normal).f_relu()?,
                // The integer network folds here: a fold has no slope to learn from.
                Post::Fold => normal.f_tanh()?,
            };
        }
        Ok(x)
    }
}

/// The tensors of a layer: the end of the name, and the dimensions in PyTorch's order.
fn tensors(kind: Kind, layer: &Shape) -> Vec<(&'static str, [i64; 4])> {
    let (k, inputs, outputs) = (size(layer.kernel), size(layer.inputs), size(layer.outputs));
    match kind {
        Kind::Full if layer.transposed => vec![("weight", [inputs, outputs, k, k])],
        Kind::Full => vec![("weight", [outputs, inputs, k, k])],
        Kind::Lite => {
            vec![("depthwise.weight", [inputs, 1, k, k]), ("pointwise.weight", [outputs, inputs, 1, 1])]
        }
    }
}

/// Evenly distributed weights of the usual spread: a bell curve would need logarithms, which differ between machines.
pub(super) fn random(
    name: &str,
    shape: &[i64; 4],
    draws: &mut Draws,
    device: Device,
) -> Result<Parameter, TchError> {
    let width = WEIGHT_SPREAD * 3_f64.sqrt();
    let count = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..count).map(|_| width * (2.0 * draws.unit() - 1.0)).collect();
    let value =
        Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_kind(Element::Float)?.f_to_device(device)?;
    Ok(Parameter { name: name.to_owned(), value: value.f_set_requires_grad(true)? })
}

/// Tells key images from the transformation domain: one number, positive for the domain.
#[derive(Debug)]
pub(super) struct Discriminator {
    pub(super) parameters: Vec<Parameter>,
}

impl Discriminator {
    /// A discriminator with random weights.
    pub(super) fn new(draws: &mut Draws, device: Device) -> Result<Self, TchError> {
        // "4*4+1" in the last row of table II, with (4*4+1)*128*128 parameters: a 4x4 convolution, then a 1x1 one.
        let table = [
            ("state1.weight", [16, 3, 4, 4]),
            ("state2.weight", [32, 16, 4, 4]),
            ("state3.weight", [64, 32, 4, 4]),
            ("state4.weight", [128, 64, 4, 4]),
            ("state5a.weight", [128, 128, 4, 4]),
            ("state5b.weight", [128, 128, 1, 1]),
        ];
        let parameters: Result<_, _> =
            table.iter().map(|(name, shape)| random(name, shape, draws, device)).collect();
        Ok(Self { parameters: parameters? })
    }

    /// The verdict on a batch of images: its logit, the mean over the last convolution.
    pub(super) fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let none = None::<&Tensor>;
        let leaky = |x: Tensor| x.f_maximum(&x.f_mul_scalar(LEAK)?);
        let mut x = images.shallow_clone();
        for (n, parameter) in self.parameters.iter().take(4).enumerate() {
            x = x.f_conv2d(&parameter.value, none, [2, 2], [1, 1], [1, 1], 1)?;
            // Instance normalisation "besides the first and last layers".
            x = leaky(if n == 0 { x } else { normalise(&x)? })?;
        }
        x = leaky(x.f_conv2d(&self.parameters[4].value, none, [1, 1], [1, 1], [1, 1], 1)?)?;
        x = x.f_conv2d(&self.parameters[5].value, none, [1, 1], [0, 0], [1, 1], 1)?;
        x.f_mean_dim([1_i64, 2, 3].as_slice(), false, Element::Float)
    }

    /// Whether the next backward pass reaches the weights.
    pub(super) fn learn(&mut self, learning: bool) -> Result<(), TchError> {
        for parameter in &mut self.parameters {
            parameter.value = parameter.value.f_set_requires_grad(learning)?;
        }
        Ok(())
    }
}
