//! What a training leaves behind so that it can go on: parameters, the optimiser's moments, and texts about both.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tch::{TchError, Tensor};

use super::TrainError;
use super::adam::Adam;
use super::network::Parameter;
use super::weights::Weights;

/// The record of a generator's training.
pub(super) const TRAINING: &str = "sealgate.training";
/// What the training of a network that reads metadata is.
pub(super) const NETWORK: &str = "sealgate.network";

/// The seed of the training that a checkpoint belongs to, of whichever kind.
pub fn resumed_seed(path: &Path) -> Result<String, TrainError> {
    let saved = Saved::read(path)?;
    let about: Value =
        saved.json(if saved.weights.metadata.contains_key(NETWORK) { NETWORK } else { TRAINING })?;
    about["seed"].as_str().map(str::to_owned).ok_or_else(|| saved.wrong(&"it names no seed"))
}

impl Weights {
    /// Adds parameters.
    pub(super) fn add(&mut self, parameters: &[Parameter]) -> Result<(), TchError> {
        for parameter in parameters {
            self.tensors.insert(parameter.name.clone(), parameter.value.f_detach()?);
        }
        Ok(())
    }

    /// Adds parameters, and the moments that Adam has of them.
    pub(super) fn add_state(&mut self, parameters: &[Parameter], adam: &Adam) -> Result<(), TchError> {
        self.add(parameters)?;
        for (parameter, moments) in parameters.iter().zip(&adam.moments) {
            let [first, second] = moment_names(parameter);
            self.tensors.insert(first, moments.0.f_detach()?);
            self.tensors.insert(second, moments.1.f_detach()?);
        }
        Ok(())
    }
}

fn moment_names(parameter: &Parameter) -> [String; 2] {
    ["first", "second"].map(|which| format!("adam.{which}.{}", parameter.name))
}

/// A file that a training wrote; whatever is wrong with it is said with its path.
pub(super) struct Saved {
    path: PathBuf,
    weights: Weights,
}

impl Saved {
    pub(super) fn read(path: &Path) -> Result<Self, TrainError> {
        Ok(Self { path: path.to_owned(), weights: Weights::read(path)? })
    }

    pub(super) fn wrong(&self, why: &dyn Display) -> TrainError {
        TrainError::Checkpoint { path: self.path.clone(), why: why.to_string() }
    }

    /// The text of that name.
    pub(super) fn text(&self, name: &str) -> Result<&str, TrainError> {
        let text = self.weights.metadata.get(name).map(String::as_str);
        text.ok_or_else(|| self.wrong(&format!("it has no {name}")))
    }

    /// What the text of that name says.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, TrainError> {
        serde_json::from_str(self.text(name)?).map_err(|error| self.wrong(&error))
    }

    /// Writes what was saved over the parameters.
    pub(super) fn put(&self, parameters: &mut [Parameter]) -> Result<(), TrainError> {
        parameters.iter_mut().try_for_each(|parameter| self.put_one(&mut parameter.value, &parameter.name))
    }

    /// Writes what was saved over the parameters, and over the moments that Adam has of them.
    pub(super) fn put_state(&self, parameters: &mut [Parameter], adam: &mut Adam) -> Result<(), TrainError> {
        self.put(parameters)?;
        for (parameter, moments) in parameters.iter().zip(&mut adam.moments) {
            let [first, second] = moment_names(parameter);
            self.put_one(&mut moments.0, &first)?;
            self.put_one(&mut moments.1, &second)?;
        }
        Ok(())
    }

    /// Writes the tensor of that name over `value`, which has its shape.
    fn put_one(&self, value: &mut Tensor, name: &str) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        let found = self.weights.tensors.get(name).ok_or_else(|| self.wrong(&format!("it has no {name}")))?;
        if found.size() != value.size() {
            let (found, expected) = (found.size(), value.size());
            return Err(self.wrong(&format!("{name} is {found:?}, expected {expected:?}")));
        }
        value.f_copy_(found).map_err(|error| self.wrong(&error))
    }
}
