//! Where key images come from: the generator's model, the integer-exact engine, and the pool filled ahead of need.
//!
//! `docs/GENERATOR.md` specifies the network to the last bit. What a generator gives is credited with no entropy.

pub mod chaos;
mod engine;
mod error;
mod id;
mod image;
mod seed;
#[cfg(feature = "tch")]
pub mod torch;

pub use engine::Engine;
pub use error::KeygenError;
pub use id::GeneratorId;
pub use image::{KeyImage, SIDE};
pub use seed::Seed;
