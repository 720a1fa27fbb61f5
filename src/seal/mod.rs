//! The sealed form of an instance: the only place where clear becomes sealed, or back.

pub mod element;
mod key;
pub mod scan;

pub use key::{ContentKey, KeyId};
