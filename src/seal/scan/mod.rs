//! The bounded streaming scanner: data set bytes in, in pieces of any size; top-level elements out.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod error;
mod event;
mod limits;

pub use error::{Place, ScanError};
pub use event::{Element, Event, Head, Irregularity, Tail};
pub use limits::Limits;
