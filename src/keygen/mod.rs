//! Where key images come from: the generator's model, the integer-exact engine, and the pool filled ahead of need.
//!
//! `docs/GENERATOR.md` specifies the network to the last bit. What a generator gives is credited with no entropy.

mod buffer;
pub mod chaos;
mod checkpoint;
mod config;
mod engine;
mod engines;
mod error;
pub mod evidence;
mod exact;
mod fields;
mod guarded;
mod id;
mod image;
mod kernel;
mod model;
mod network;
mod pace;
pub mod parametric;
mod plan;
mod pool;
mod quantise;
mod reference;
mod seed;
mod start;
mod store;
mod study;
#[cfg(feature = "tch")]
pub mod torch;

pub use checkpoint::Checkpoint;
pub use config::{Config, EngineChoice, PoolConfig, StreamConfig};
pub use engine::Engine;
pub use engines::Engines;
pub use error::KeygenError;
pub use evidence::Evidence;
pub use exact::{Ending, Exact};
pub use guarded::Guarded;
pub use id::GeneratorId;
pub use image::{KeyImage, SIDE};
pub use kernel::Instructions;
pub use model::{Model, PROVENANCE_BYTES_MAX};
pub use network::Kind;
pub use pace::Pace;
pub use parametric::{Network, Networks, Reading, Topology};
pub use pool::{Alarm, Pool, PoolStatus};
pub use quantise::{Calibration, quantise};
pub use seed::Seed;
pub use start::start;
pub use store::{Choice, GeneratorStore, Listed, Place, write_new};
#[cfg(test)]
pub(crate) use study::tests::small as small_study;
pub use study::{Design, Study, Trial};
