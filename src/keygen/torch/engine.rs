//! The integer network through libtorch, in batches: the same bits as the exact engine, on a GPU or the processor.
//!
//! Sums of products run in 32-bit floats, where they are exact: activations and weights have eight bits, and no partial
//! sum reaches 2^24 (section 4 of `docs/GENERATOR.md`). For that the convolutions are products of matrices; a library
//! that picks Winograd's or a Fourier algorithm for a convolution would compute something else. The products may use
//! TF32, whose ten bits hold both factors. Everything after the sums is 64-bit integers.

use std::sync::{Mutex, PoisonError};

use tch::{Kind as Element, TchError, Tensor};

use super::Device;
use super::network::size;
use crate::keygen::model::{self, Layer, Model};
use crate::keygen::network::{Post, Shape};
use crate::keygen::{Engine, GeneratorId, KeyImage, KeygenError, SIDE, Seed};

/// Images that go through the network together on a GPU: about 4 GB of its memory.
const BATCH_CUDA: usize = 64;
/// On the processor a batch gains little and costs memory.
const BATCH_CPU: usize = 4;
const HALF: i64 = 1 << 31;

/// Runs a model through libtorch. Wants to be watched: see [`Guarded`](crate::keygen::Guarded).
pub struct TorchEngine {
    id: GeneratorId,
    device: Device,
    /// One call at a time: a device does not get faster by two, and tensors are not to be shared.
    stages: Mutex<Vec<Stage>>,
}

/// One layer with its weights as tensors.
struct Stage {
    shape: &'static Shape,
    gain: i64,
    carry: i64,
    depthwise: Option<Depthwise>,
    /// Matrices: one for each row of the kernel, [out, in * k]; of a transposed convolution one, [out * k * k, in].
    matrices: Vec<Tensor>,
    /// The kernel of the part that mixes the channels.
    kernel: i64,
    /// Whether that part is the transposed one.
    transposed: bool,
}

struct Depthwise {
    /// [channel, 1, 1] for each tap, row by row.
    taps: Vec<Tensor>,
    /// [channel, 1, 1].
    centre: Tensor,
    factor: Tensor,
}

impl TorchEngine {
    /// Puts the weights of a model on a device.
    pub fn new(model: &Model, device: Device) -> Result<Self, KeygenError> {
        let _guard = tch::no_grad_guard();
        let stages: Result<Vec<_>, TchError> =
            model.layers().map(|(shape, layer)| Stage::new(shape, layer, device.0)).collect();
        Ok(Self { id: model.id(), device, stages: Mutex::new(stages.map_err(failed)?) })
    }

    fn run(&self, stages: &[Stage], seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
        let mut bytes = Vec::with_capacity(seeds.len() * KeyImage::LENGTH);
        for seed in seeds {
            bytes.extend_from_slice(&seed.expand());
        }
        let images = forward(stages, &bytes, size(seeds.len()), self.device.0);
        zeroize::Zeroize::zeroize(&mut bytes);
        let images = images.map_err(failed)?;
        let take = |number: i64| {
            let mut image = vec![0; KeyImage::LENGTH].into_boxed_slice();
            images.f_get(number)?.f_copy_data_u8(&mut image, KeyImage::LENGTH)?;
            Ok(KeyImage::new(image).expect("an image of that length"))
        };
        let taken: Result<Vec<_>, TchError> = (0..size(seeds.len())).map(take).collect();
        // libtorch keeps freed memory; at least the images themselves are not left in it.
        let mut images = images;
        let _ = images.f_zero_().map_err(failed)?;
        taken.map_err(failed)
    }
}

/// How many images go through a network together.
pub(super) const fn batch_of(device: Device) -> usize {
    if device.is_cuda() { BATCH_CUDA } else { BATCH_CPU }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn failed(error: TchError) -> KeygenError {
    KeygenError::Engine(format!("libtorch: {error}"))
}

impl Engine for TorchEngine {
    fn id(&self) -> GeneratorId {
        self.id
    }

    fn name(&self) -> String {
        format!("torch ({})", self.device)
    }

    fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
        let _guard = tch::no_grad_guard();
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut images = Vec::with_capacity(seeds.len());
        for batch in seeds.chunks(batch_of(self.device)) {
            images.extend(self.run(&stages, batch)?);
        }
        Ok(images)
    }
}

/// Seed images, one after the other, to key images: [count, row, column, channel], bytes.
fn forward(stages: &[Stage], bytes: &[u8], count: i64, device: tch::Device) -> Result<Tensor, TchError> {
    let side = size(SIDE);
    let pixels = Tensor::f_from_slice(bytes)?.f_to_device(device)?.f_reshape([count, side, side, 3])?;
    let mut x = pixels.f_to_kind(Element::Int64)?.f_bitwise_right_shift_tensor_scalar(1)?;
    x = x.f_permute([0, 3, 1, 2])?.f_to_kind(Element::Float)?.f_contiguous()?;
    for stage in stages {
        let sums = stage.accumulate(&x)?.f_to_kind(Element::Int64)?;
        let (centred, spread) = stage.statistics(&sums)?;
        x = match stage.shape.post {
            Post::Fold => return fold(&centred, &spread)?.f_permute([0, 2, 3, 1])?.f_contiguous(),
            Post::Normalise => stage.activate(&centred, &spread, None)?,
            Post::Add => stage.activate(&centred, &spread, Some(&x))?,
        };
    }
    Ok(x)
}

impl Stage {
    fn new(shape: &'static Shape, layer: &Layer, device: tch::Device) -> Result<Self, TchError> {
        let (inputs, outputs, k) = (size(shape.inputs), size(shape.outputs), size(shape.kernel));
        let split = layer.depthwise.is_some();
        let kernel = if split { 1 } else { k };
        let transposed = shape.transposed && !split;
        let weights = numbers(&layer.weights, &[outputs, inputs, kernel, kernel], device)?;
        let matrices = if transposed {
            vec![weights.f_permute([0, 2, 3, 1])?.f_reshape([outputs * k * k, inputs])?]
        } else {
            let row = |ky| weights.f_select(2, ky)?.f_reshape([outputs, inputs * kernel]);
            (0..kernel).map(row).collect::<Result<_, _>>()?
        };
        let depthwise =
            layer.depthwise.as_ref().map(|half| Depthwise::new(half, shape, device)).transpose()?;
        let (gain, carry) = (i64::from(layer.gain), i64::from(layer.carry));
        Ok(Self { shape, gain, carry, depthwise, matrices, kernel, transposed })
    }

    /// The accumulators of the layer's convolution: [count, out, rows, columns], whole numbers in floats.
    fn accumulate(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let filtered = self.depthwise.as_ref().map(|half| half.run(x, self.shape)).transpose()?;
        let x = filtered.as_ref().unwrap_or(x);
        let (count, inputs, side, _) = x.size4()?;
        let outputs = size(self.shape.outputs);
        if self.transposed {
            let stride = size(self.shape.stride);
            let columns = self.matrices[0].f_matmul(&x.f_reshape([count, inputs, side * side])?)?;
            return columns.f_col2im(
                [side * stride; 2],
                [self.kernel; 2],
                [1, 1],
                [size(self.shape.padding()); 2],
                [stride; 2],
            );
        }
        let stride = if self.depthwise.is_some() { 1 } else { size(self.shape.stride) };
        let padding = self.kernel / 2;
        let padded = x.f_constant_pad_nd([padding, padding, padding, padding])?;
        let mut sums: Option<Tensor> = None;
        // Row by row of the kernel: all of it at once would write 200 MB for each image in the last layer.
        for (ky, matrix) in (0_i64..).zip(&self.matrices) {
            let rows = padded.f_narrow(2, ky, side)?;
            let columns = rows.f_im2col([1, self.kernel], [1, 1], [0, 0], [stride; 2])?;
            let product = matrix.f_matmul(&columns)?;
            sums = Some(match sums {
                Some(mut sums) => sums.f_add_(&product)?,
                None => product,
            });
        }
        let sums = sums.expect("a kernel has at least one row");
        sums.f_reshape([count, outputs, side / stride, side / stride])
    }

    /// Section 4: the accumulators without their mean, and 256 times their standard deviation, for each channel.
    fn statistics(&self, sums: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let pixels = self.shape.side_out(SIDE).pow(2);
        let (count, n) = (size(pixels), i64::from(pixels.ilog2()));
        let places = [2_i64, 3];
        let sum = sums.f_sum_dim_intlist(places.as_slice(), true, Element::Int64)?;
        let squares = sums.f_square()?.f_sum_dim_intlist(places.as_slice(), true, Element::Int64)?;
        let mean = sum.f_add_scalar(count / 2)?.f_bitwise_right_shift_tensor_scalar(n)?;
        let product = mean.f_mul(&sum.f_mul_scalar(2)?.f_sub(&mean.f_mul_scalar(count)?)?)?;
        let deviations = squares.f_sub(&product)?;
        let spread = root(&deviations.f_mul_scalar(1_i64 << (16 - n))?)?.f_clamp_min(1)?;
        Ok((sums.f_sub(&mean)?, spread))
    }

    /// Section 4, normalise and add.
    fn activate(
        &self,
        centred: &Tensor,
        spread: &Tensor,
        input: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let gain = spread.f_zeros_like()?.f_add_scalar(self.gain << 32)?;
        let factor = gain.f_floor_divide(spread)?.f_clamp_max(HALF - 1)?;
        let mut scaled = centred.f_mul(&factor)?;
        if let Some(input) = input {
            let _ = scaled.f_add_(&input.f_to_kind(Element::Int64)?.f_mul_scalar(self.carry)?)?;
        }
        rounded(&scaled)?.f_clamp(0, 127)?.f_to_kind(Element::Float)
    }
}

impl Depthwise {
    fn new(half: &model::Depthwise, shape: &Shape, device: tch::Device) -> Result<Self, TchError> {
        let (channels, places) = (size(shape.inputs), size(shape.kernel * shape.kernel));
        let filters = numbers(&half.weights, &[channels, places], device)?;
        let tap = |at| filters.f_select(1, at)?.f_reshape([channels, 1, 1]);
        let column = |values: Vec<i64>| {
            Tensor::f_from_slice(&values)?.f_to_device(device)?.f_reshape([channels, 1, 1])
        };
        Ok(Self {
            taps: (0..places).map(tap).collect::<Result<_, _>>()?,
            centre: column(half.centre.iter().copied().map(i64::from).collect())?,
            factor: column(half.factor.iter().copied().map(i64::from).collect())?,
        })
    }

    /// The depthwise half: one filter for each channel, then its scale. Tap by tap, each a shifted view of the input.
    fn run(&self, x: &Tensor, shape: &Shape) -> Result<Tensor, TchError> {
        let (count, channels, side, _) = x.size4()?;
        let (k, stride, padding) = (size(shape.kernel), size(shape.stride), size(shape.padding()));
        let out = size(shape.side_out(SIDE));
        let tap = |at: i64| (at / k, at % k);
        let sums = if shape.transposed {
            // Output (2y - 1 + ky, 2x - 1 + kx), in a frame that is wider by one pixel on each side.
            let frame = Tensor::f_zeros([count, channels, out + 2, out + 2], (Element::Float, x.device()))?;
            for (at, weight) in (0_i64..).zip(&self.taps) {
                let (ky, kx) = tap(at);
                let mut view = strided(&frame, (ky, kx), side, stride)?;
                let _ = view.f_add_(&x.f_mul(weight)?)?;
            }
            frame.f_narrow(2, padding, out)?.f_narrow(3, padding, out)?
        } else {
            let padded = x.f_constant_pad_nd([padding; 4])?;
            let mut sums = Tensor::f_zeros([count, channels, out, out], (Element::Float, x.device()))?;
            for (at, weight) in (0_i64..).zip(&self.taps) {
                let view = strided(&padded, tap(at), out, stride)?;
                let _ = sums.f_addcmul_(&view, weight)?;
            }
            sums
        };
        let scaled = sums.f_to_kind(Element::Int64)?.f_sub(&self.centre)?.f_mul(&self.factor)?;
        rounded(&scaled)?.f_add_scalar(64)?.f_clamp(0, 127)?.f_to_kind(Element::Float)
    }
}

/// `count` rows and columns of an image from (y, x) on, `stride` apart; a view.
fn strided(image: &Tensor, (y, x): (i64, i64), count: i64, stride: i64) -> Result<Tensor, TchError> {
    let length = (count - 1) * stride + 1;
    image.f_slice(2, y, y + length, stride)?.f_slice(3, x, x + length, stride)
}

/// (v + 2^31) >> 32.
fn rounded(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_add_scalar(HALF)?.f_bitwise_right_shift_tensor_scalar(32)
}

/// The integer square root of numbers below 2^62.
fn root(squares: &Tensor) -> Result<Tensor, TchError> {
    // A double's root of such a number is off by less than one; the comparisons put it right.
    let near = squares.f_to_kind(Element::Double)?.f_sqrt()?.f_floor()?.f_to_kind(Element::Int64)?;
    let too_large = near.f_square()?.f_gt_tensor(squares)?.f_to_kind(Element::Int64)?;
    let near = near.f_sub(&too_large)?;
    let next = near.f_add_scalar(1)?;
    near.f_add(&next.f_square()?.f_le_tensor(squares)?.f_to_kind(Element::Int64)?)
}

/// Section 6.
fn fold(centred: &Tensor, spread: &Tensor) -> Result<Tensor, TchError> {
    // max(0, floor(log2(s)) - 19), as the number of powers of two from 2^20 on that s reaches: no logarithm to round.
    let mut shift = spread.f_zeros_like()?;
    for power in 20..31 {
        let _ = shift.f_add_(&spread.f_ge(1_i64 << power)?.f_to_kind(Element::Int64)?)?;
    }
    let folded = centred.f_bitwise_right_shift(&shift)?.f_bitwise_and(255)?;
    folded.f_to_kind(Element::Uint8)
}

/// Weights as a tensor of floats.
pub(super) fn numbers(weights: &[i8], shape: &[i64], device: tch::Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(weights)?.f_to_device(device)?.f_to_kind(Element::Float)?.f_reshape(shape)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::{Calibration, Exact, Guarded, Kind, quantise};

    fn model(kind: Kind) -> Model {
        quantise(&untrained(kind, 7), Calibration { images: 1, side: 64 }).unwrap()
    }

    fn seeds(count: u64) -> Vec<Seed> {
        let fresh = Seed::draw().unwrap();
        (0..count).map(|number| fresh.child(number)).collect()
    }

    /// 50 seeds for each kind and device, 1,000 with `SEALGATE_SOAK=1`.
    #[test]
    fn both_engines_give_the_same_bits_for_random_seeds() {
        let count = if std::env::var_os("SEALGATE_SOAK").is_some() { 1000 } else { 50 };
        let best = Device::best();
        let devices = if best.is_cuda() { vec![Device::CPU, best] } else { vec![Device::CPU] };
        for kind in Kind::ALL {
            let model = model(kind);
            let exact = Exact::new(&model, 0).unwrap();
            for device in &devices {
                let torch = TorchEngine::new(&model, *device).unwrap();
                let begun = Instant::now();
                let all = seeds(count);
                for (number, batch) in all.chunks(7).enumerate() {
                    let images = torch.generate(batch).unwrap();
                    let expected = exact.generate(batch).unwrap();
                    assert_eq!(images.len(), batch.len());
                    let mut pairs = images.iter().zip(&expected);
                    let wrong = pairs.position(|(a, b)| a.expose_secret() != b.expose_secret());
                    assert_eq!(wrong, None, "{kind} on {device}, in the seven images from {}", 7 * number);
                }
                let seconds = begun.elapsed().as_secs();
                println!(
                    "{kind}: {count} random seeds, {} and {} agree on every bit ({seconds} s)",
                    torch.name(),
                    exact.name()
                );
            }
        }
    }

    #[test]
    fn one_wrong_weight_puts_the_engine_in_quarantine() {
        let model = model(Kind::Lite);
        let torch = TorchEngine::new(&model, Device::CPU).unwrap();
        let _ = torch.stages.lock().unwrap()[5].matrices[0].get(3).get(2).fill_(1.0);
        let guarded = Guarded::new(Box::new(torch), Box::new(Exact::new(&model, 0).unwrap())).unwrap();
        assert!(guarded.is_quarantined());
        let seeds = seeds(1);
        let expected = Exact::new(&model, 0).unwrap().generate(&seeds).unwrap();
        assert!(guarded.generate(&seeds).unwrap()[0].expose_secret() == expected[0].expose_secret());
    }

    #[test]
    fn the_integer_root_is_exact_around_squares() {
        let mut numbers = vec![0_i64, 1, 2, 3, (1 << 62) - 1];
        for root in [3_i64, 1 << 16, (1 << 26) + 1, (1 << 30) + 7, (1 << 31) - 1] {
            numbers.extend([root * root - 1, root * root, root * root + 1]);
        }
        let roots = Vec::<i64>::try_from(root(&Tensor::from_slice(&numbers)).unwrap()).unwrap();
        let expected: Vec<i64> = numbers.iter().map(|number| number.isqrt()).collect();
        assert_eq!(roots, expected);
    }

    #[test]
    fn no_seeds_give_no_images() {
        assert!(TorchEngine::new(&model(Kind::Full), Device::CPU).unwrap().generate(&[]).unwrap().is_empty());
    }
}
