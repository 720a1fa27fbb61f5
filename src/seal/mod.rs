//! The sealed form of an instance: the only place where clear becomes sealed, or back.

mod key;

pub use key::{ContentKey, KeyId};
