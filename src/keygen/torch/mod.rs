//! Everything that needs libtorch: the float networks, their training, and key images in batches.

mod adam;
mod device;
mod draw;
mod engine;
mod error;
mod float_pass;
mod images;
mod network;
mod parametric;
mod record;
mod saved;
mod study;
#[cfg(test)]
mod tests;
mod train;
mod weights;

pub use adam::RATE;
pub use device::Device;
pub use engine::TorchEngine;
pub use error::TrainError;
pub use float_pass::FloatPass;
pub use images::Images;
pub use parametric::{NetworkError, NetworkOutcome, NetworkPlan, NetworkProgress, Samples, train_network};
pub use saved::resumed_seed;
pub use study::{StudyPlan, StudyProgress, study};
pub use train::{Outcome, Plan, Progress, train};

use crate::keygen::{Engine, KeygenError, Model};

/// Everything of libtorch that can run a model here, and the floating-point pass to compare it with.
pub fn engines(model: &Model, threads: usize) -> Result<Vec<Box<dyn Engine>>, KeygenError> {
    if threads > 0 {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }
    let best = Device::best();
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    for device in [Device::CPU].into_iter().chain(best.is_cuda().then_some(best)) {
        engines.push(Box::new(TorchEngine::new(model, device)?));
        engines.push(Box::new(FloatPass::new(model, device)?));
    }
    Ok(engines)
}
