//! Small networks that read chaotic parameters off an instance's metadata, in integers: the same numbers everywhere.
//!
//! Metadata is public, so what is read off it is no secret. The chaotic layers mix it with one.

mod calibrate;
mod file;
mod fit;
mod layers;
mod picture;
mod reference;
mod run;
mod sample;
mod spread;
mod store;
mod topology;

pub use calibrate::{Floats, quantise};
pub use file::Network;
pub use fit::fit;
#[cfg(feature = "tch")]
pub(crate) use fit::settle;
pub use run::Reading;
pub use sample::{sample, with_one_bit};
pub use spread::Spread;
pub use store::Networks;
pub use topology::Topology;

#[cfg(feature = "tch")]
pub(crate) use layers::{carry_of, centre_of, spread_of, zero_of};
pub use picture::{PICTURE_BYTES, PICTURE_SIDE, draw};
#[cfg(feature = "tch")]
pub(crate) use topology::{Convolution, Step};
