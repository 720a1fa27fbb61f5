//! The services we use towards other nodes.

mod echo;

pub use echo::{Echoed, echo};
