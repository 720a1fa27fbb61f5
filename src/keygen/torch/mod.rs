//! Everything that needs libtorch: the float networks, their training, and key images in batches.

mod adam;
mod device;
mod draw;
mod engine;
mod error;
mod images;
mod network;
mod record;
#[cfg(test)]
mod tests;
mod train;
mod weights;

pub use device::Device;
pub use engine::TorchEngine;
pub use error::TrainError;
pub use images::Images;
pub use train::{Outcome, Plan, Progress, resumed_seed, train};
