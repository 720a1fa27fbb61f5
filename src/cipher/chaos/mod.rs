//! The chaotic layers: blocks of bytes whose rows and columns are permuted by chaotic sequences, then put under XOR.
//!
//! `docs/FORMAT.md` section 6.2 is the specification. Nothing rests on chaos: see there.

mod block;
mod map;
mod orbit;
mod parameters;

pub use map::Map;
pub use parameters::PARAMETER_BYTES;

pub(super) use block::{BLOCK_BYTES, Chaos, Direction};
pub(super) use parameters::Parameters;
