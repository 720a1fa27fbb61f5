//! Safetensors files: float weights with their metadata, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use tch::{Kind as Element, Tensor};

use super::TrainError;

/// A checkpoint of the full networks is 9 MB; nothing of ours is larger.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The content of a safetensors file.
#[derive(Debug, Default)]
pub(super) struct Weights {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// The file's bytes. The crate that reads the format keeps metadata in a hash map, so that two files of the same
    /// content differ; this writes everything in the order of the names.
    fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!(self.metadata));
        let mut data = Vec::new();
        for (name, tensor) in &self.tensors {
            let begin = data.len();
            let tensor = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
            let mut values = vec![0_f32; tensor.numel()];
            tensor.f_copy_data(&mut values, tensor.numel())?;
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let entry =
                json!({ "dtype": "F32", "shape": tensor.size(), "data_offsets": [begin, data.len()] });
            header.insert(name.clone(), entry);
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // The format asks that the data begin at a multiple of eight.
        header.resize(header.len().next_multiple_of(8), b' ');
        let length = u64::try_from(header.len()).expect("a length fits 64 bits");
        Ok([length.to_le_bytes().as_slice(), &header, &data].concat())
    }

    /// Writes the file.
    pub(super) fn write(&self, path: &Path) -> Result<(), TrainError> {
        replace(path, &self.to_bytes()?)
    }

    /// Reads a file of 32-bit floats.
    pub(super) fn read(path: &Path) -> Result<Self, TrainError> {
        let wrong = |why: String| TrainError::Checkpoint { path: path.to_owned(), why };
        let length = fs::metadata(path).map_err(TrainError::file(path))?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!("{length} bytes, the limit is {FILE_BYTES_MAX}")));
        }
        let bytes = fs::read(path).map_err(TrainError::file(path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(wrong(format!("{name} is {:?}, not F32", view.dtype())));
            }
            let shape: Result<Vec<i64>, _> = view.shape().iter().map(|side| i64::try_from(*side)).collect();
            let shape = shape.map_err(|e| wrong(e.to_string()))?;
            tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, Element::Float)?);
        }
        Ok(Self { metadata, tensors })
    }
}

/// Writes a file beside it, to the disk, and then in its place, so that a crash leaves the old one or the new.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(TrainError::file(path))
}
