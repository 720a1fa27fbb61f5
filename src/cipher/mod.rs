//! Inner layers: reversible ones that lie under the standard seal. It knows bytes, seeds and generators, and no DICOM.
//!
//! Nothing rests on them: what an inner layer makes is encrypted and authenticated by the seal in any case.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod chaos;
mod dual;
mod error;
mod layer;
mod neural;

pub use chaos::{Map, PARAMETER_BYTES};
pub use dual::{DualKey, DualKeyId, DualKeys};
pub use error::CipherError;
pub use layer::{HELD_BYTES_MAX, Kind, Layer, LayerSeed, Layers, Unit, Units};

/// Which network reads the parameters of a chaotic layer.
pub use crate::keygen::Topology;
