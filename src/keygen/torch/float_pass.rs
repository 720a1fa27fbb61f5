//! The paper's way of making a key image, a floating-point forward pass, to measure the exact engine against.

use std::sync::{Mutex, PoisonError};

use tch::{Kind as Element, TchError, Tensor};

use super::Device;
use super::engine::{batch_of, failed, numbers};
use super::network::{Generator, Parameter, size};
use crate::keygen::model::Model;
use crate::keygen::network::LAYERS;
use crate::keygen::{Engine, GeneratorId, KeyImage, KeygenError, SIDE, Seed};

/// Runs the network of a model in floats, with libtorch's own convolutions and a tanh at the end.
///
/// Its bits depend on the device, so no key is made of them; its id is that of no generator. The weights are the model's
/// integers, which costs what the trained ones cost.
pub struct FloatPass {
    device: Device,
    network: Mutex<Generator>,
}

impl FloatPass {
    /// Puts the weights of a model on a device.
    pub fn new(model: &Model, device: Device) -> Result<Self, KeygenError> {
        let network = parameters(model, device.0).map_err(failed)?;
        Ok(Self { device, network: Mutex::new(Generator::with(model.kind(), network)) })
    }

    fn run(&self, network: &Generator, seeds: &[Seed]) -> Result<Vec<KeyImage>, TchError> {
        let side = size(SIDE);
        let bytes: Vec<u8> = seeds.iter().flat_map(|seed| seed.expand().to_vec()).collect();
        let pixels = Tensor::f_from_slice(&bytes)?.f_to_device(self.device.0)?;
        let x = pixels.f_reshape([size(seeds.len()), side, side, 3])?.f_permute([0, 3, 1, 2])?;
        let x = x.f_to_kind(Element::Float)?.f_div_scalar(255.0)?.f_contiguous()?;
        let key = network.forward(&x)?.f_add_scalar(1.0)?.f_mul_scalar(127.5)?.f_round()?;
        let key = key.f_to_kind(Element::Uint8)?.f_permute([0, 2, 3, 1])?.f_contiguous()?;
        let take = |number| {
            let mut image = vec![0; KeyImage::LENGTH].into_boxed_slice();
            key.f_get(number)?.f_copy_data_u8(&mut image, KeyImage::LENGTH)?;
            Ok(KeyImage::new(image).expect("an image of that length"))
        };
        (0..size(seeds.len())).map(take).collect()
    }
}

/// The model's weights in PyTorch's order.
fn parameters(model: &Model, device: tch::Device) -> Result<Vec<Parameter>, TchError> {
    let mut parameters = Vec::new();
    for (shape, layer) in model.layers() {
        let (inputs, outputs, k) = (size(shape.inputs), size(shape.outputs), size(shape.kernel));
        let mut add =
            |end: &str, value| parameters.push(Parameter { name: format!("{}.{end}", shape.name), value });
        if let Some(half) = &layer.depthwise {
            add("depthwise.weight", numbers(&half.weights, &[inputs, 1, k, k], device)?);
            add("pointwise.weight", numbers(&layer.weights, &[outputs, inputs, 1, 1], device)?);
        } else {
            let weights = numbers(&layer.weights, &[outputs, inputs, k, k], device)?;
            let ordered = if shape.transposed { weights.f_transpose(0, 1)?.f_contiguous()? } else { weights };
            add("weight", ordered);
        }
    }
    debug_assert_eq!(parameters.len() % LAYERS.len(), 0);
    Ok(parameters)
}

impl Engine for FloatPass {
    /// Of no generator: nothing can be regenerated from these bits.
    fn id(&self) -> GeneratorId {
        GeneratorId::new([0; 32])
    }

    fn name(&self) -> String {
        format!("libtorch floats ({}), as published", self.device)
    }

    fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
        let _guard = tch::no_grad_guard();
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let mut images = Vec::with_capacity(seeds.len());
        for batch in seeds.chunks(batch_of(self.device)) {
            images.extend(self.run(&network, batch).map_err(failed)?);
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::{Calibration, Ending, Exact, Kind, quantise};

    /// Integers and floats compute the same network: what both end in with a tanh differs by rounding.
    #[test]
    fn the_exact_engine_computes_what_the_float_network_computes() {
        let model = quantise(&untrained(Kind::Full, 3), Calibration { images: 1, side: 64 }).unwrap();
        let seed = Seed::new([9; 32]);
        let float =
            FloatPass::new(&model, Device::CPU).unwrap().generate(std::slice::from_ref(&seed)).unwrap();
        let exact = Exact::new(&model, 0).unwrap().transform(&seed.expand(), Ending::Tanh).unwrap();
        let pairs = float[0].expose_secret().iter().zip(exact.expose_secret());
        let off: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        // Two unrelated images of this kind differ by about 90 of 255.
        let mean = off / KeyImage::LENGTH as u64;
        assert!(mean < 20, "the images differ by {mean} on average");
    }
}
