//! A trained network in floating point, as safetensors hold it: section 2 of `docs/GENERATOR.md`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value};

use super::error::KeygenError;
use super::network::{Kind, LAYERS, Shape};
use super::seed::Seed;

/// Longest checkpoint that is read: a generator is about a megabyte, with what training keeps besides.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The weights of a trained generator, every tensor there and of the right shape, every number finite.
pub struct Checkpoint {
    pub(crate) kind: Kind,
    /// The training record.
    pub(crate) training: Map<String, Value>,
    pub(crate) layers: Vec<FloatLayer>,
}

/// The weights of one layer, in the orders that model files have.
pub(crate) struct FloatLayer {
    /// Channel, ky, kx.
    pub(crate) depthwise: Option<Vec<f32>>,
    /// Out, in, ky, kx.
    pub(crate) weights: Vec<f32>,
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, KeygenError> {
    Err(KeygenError::Checkpoint(reason.into()))
}

impl Checkpoint {
    /// Reads a safetensors file.
    pub fn load(path: &Path) -> Result<Self, KeygenError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(KeygenError::file("reading", path))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return refuse(format!("more than {FILE_BYTES_MAX} bytes"));
        }
        Self::parse(&bytes)
    }

    /// The checkpoint in the bytes of a file.
    pub fn parse(file: &[u8]) -> Result<Self, KeygenError> {
        let unreadable =
            |error| KeygenError::Checkpoint(format!("it is not in the safetensors format: {error}"));
        let (_, header) = SafeTensors::read_metadata(file).map_err(unreadable)?;
        let tensors = SafeTensors::deserialize(file).map_err(unreadable)?;
        let entries = header.metadata().clone().unwrap_or_default();
        let Some(kind) = entries.get("sealgate.kind") else {
            return refuse("its metadata have no \"sealgate.kind\"");
        };
        let kind = kind.parse().map_err(|error: KeygenError| KeygenError::Checkpoint(error.to_string()))?;
        let training = match entries.get("sealgate.training").map(|text| serde_json::from_str(text)) {
            Some(Ok(Value::Object(record))) => record,
            Some(_) => return refuse("\"sealgate.training\" is no JSON object"),
            None => Map::new(),
        };
        let layers =
            LAYERS.iter().map(|shape| FloatLayer::read(&tensors, shape, kind)).collect::<Result<_, _>>()?;
        Ok(Self { kind, training, layers })
    }

    /// Weights as they are before training: close to a bell curve of the paper's width, from the expansion of a seed.
    #[must_use]
    pub fn drawn(kind: Kind, seed: u8) -> Self {
        let mut number = 0;
        let mut draw = |count: usize| -> Vec<f32> {
            number += 1;
            let mut bytes = vec![0; count * 4];
            Seed::new([seed; 32]).child(number).expand_into(&mut bytes);
            let bell = |four: &[u8]| four.iter().map(|byte| f32::from(*byte) - 127.5).sum::<f32>() / 7400.0;
            bytes.chunks_exact(4).map(bell).collect()
        };
        let layers = LAYERS.iter().map(|shape| FloatLayer {
            depthwise: (kind == Kind::Lite).then(|| draw(shape.depthwise_weights())),
            weights: draw(shape.mixing_weights(kind)),
        });
        Self { kind, training: Map::new(), layers: layers.collect() }
    }

    /// Which network it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl FloatLayer {
    fn read(tensors: &SafeTensors<'_>, shape: &Shape, kind: Kind) -> Result<Self, KeygenError> {
        let Shape { name, kernel: k, inputs, outputs, .. } = *shape;
        let get = |half: &str, dimensions: [usize; 4]| numbers(tensors, &format!("{name}{half}"), dimensions);
        match kind {
            Kind::Full if shape.transposed => {
                let weights = get(".weight", [inputs, outputs, k, k])?;
                Ok(Self { depthwise: None, weights: swap_channels(&weights, inputs, outputs, k * k) })
            }
            Kind::Full => Ok(Self { depthwise: None, weights: get(".weight", [outputs, inputs, k, k])? }),
            Kind::Lite => Ok(Self {
                depthwise: Some(get(".depthwise.weight", [inputs, 1, k, k])?),
                weights: get(".pointwise.weight", [outputs, inputs, 1, 1])?,
            }),
        }
    }
}

/// PyTorch keeps transposed convolutions as [in, out, ky, kx].
fn swap_channels(weights: &[f32], inputs: usize, outputs: usize, each: usize) -> Vec<f32> {
    let tap = |at: usize| {
        let (output, input, tap) = (at / each / inputs, at / each % inputs, at % each);
        weights[(input * outputs + output) * each + tap]
    };
    (0..weights.len()).map(tap).collect()
}

fn numbers(tensors: &SafeTensors<'_>, name: &str, dimensions: [usize; 4]) -> Result<Vec<f32>, KeygenError> {
    let Ok(tensor) = tensors.tensor(name) else {
        return refuse(format!("the tensor {name:?} is not there"));
    };
    check_form(&tensor, name, dimensions)?;
    let numbers: Vec<f32> = tensor
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four")))
        .collect();
    if numbers.iter().any(|number| !number.is_finite()) {
        return refuse(format!("the tensor {name:?} has numbers that are not finite: the training diverged"));
    }
    Ok(numbers)
}

fn check_form(tensor: &TensorView<'_>, name: &str, dimensions: [usize; 4]) -> Result<(), KeygenError> {
    if tensor.dtype() != Dtype::F32 {
        return refuse(format!("the tensor {name:?} has numbers of {:?}, F32 was expected", tensor.dtype()));
    }
    if tensor.shape() != dimensions {
        return refuse(format!("the tensor {name:?} is {:?}, {dimensions:?} was expected", tensor.shape()));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use safetensors::serialize;

    use super::*;

    pub(crate) fn untrained(kind: Kind, seed: u8) -> Checkpoint {
        Checkpoint::drawn(kind, seed)
    }

    fn file(kind: &str, training: &str, change: impl Fn(&str, &mut Vec<f32>, &mut Vec<usize>)) -> Vec<u8> {
        let mut tensors = Vec::new();
        for shape in &LAYERS {
            let k = shape.kernel;
            let (first, second) =
                if shape.transposed { (shape.inputs, shape.outputs) } else { (shape.outputs, shape.inputs) };
            let mut dimensions = vec![first, second, k, k];
            let mut numbers: Vec<f32> = (0..dimensions.iter().product::<usize>()).map(float).collect();
            change(shape.name, &mut numbers, &mut dimensions);
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            tensors.push((format!("{}.weight", shape.name), dimensions, bytes));
        }
        let views = tensors.iter().map(|(name, dimensions, bytes)| {
            (name, TensorView::new(Dtype::F32, dimensions.clone(), bytes).unwrap())
        });
        let metadata = HashMap::from([
            ("sealgate.kind".to_owned(), kind.to_owned()),
            ("sealgate.training".to_owned(), training.to_owned()),
        ]);
        serialize(views, Some(metadata)).unwrap()
    }

    fn float(number: usize) -> f32 {
        u16::try_from(number).unwrap().into()
    }

    fn error(file: &[u8]) -> String {
        Checkpoint::parse(file).err().expect("it is refused").to_string()
    }

    #[test]
    fn transposed_weights_come_out_with_the_output_channel_first() {
        let checkpoint = Checkpoint::parse(&file("full", "{}", |_, _, _| {})).unwrap();
        // up1 in the file is [64, 32, 3, 3]: input 5, output 7, tap 4 stands at (5 * 32 + 7) * 9 + 4.
        let expected = float((5 * 32 + 7) * 9 + 4);
        assert!((checkpoint.layers[9].weights[(7 * 64 + 5) * 9 + 4] - expected).abs() < 0.5);
        // A plain one stays as it is.
        assert!((checkpoint.layers[0].weights[100] - 100.0).abs() < 0.5);
    }

    #[test]
    fn refuses_what_is_not_a_whole_checkpoint() {
        let same = |_: &str, _: &mut Vec<f32>, _: &mut Vec<usize>| {};
        assert!(error(b"{}").contains("safetensors"));
        assert!(error(&file("huge", "{}", same)).contains("\"huge\" is no kind"));
        assert!(error(&file("lite", "{}", same)).contains("\"down1.depthwise.weight\" is not there"));
        assert!(error(&file("full", "[]", same)).contains("no JSON object"));
        let diverged = file("full", "{}", |name, numbers, _| {
            if name == "res4" {
                numbers[17] = f32::NAN;
            }
        });
        assert!(error(&diverged).contains("\"res4.weight\" has numbers that are not finite"));
        let turned = file("full", "{}", |name, _, dimensions| {
            if name == "down2" {
                dimensions.swap(0, 1);
            }
        });
        assert!(error(&turned).contains("[16, 32, 3, 3], [32, 16, 3, 3] was expected"), "{}", error(&turned));
    }
}
