//! The sealed form of an instance: the only place where clear becomes sealed, or back.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod element;
pub mod scan;

mod derive;
mod geometry;
mod header;
mod inspect;
mod key;
mod record;
mod stream;
mod suite;

pub use derive::{Binding, Conditioning, Entropy, NoEntropy, content_key, random};
pub use geometry::{Shape, TooLarge, fit};
pub use header::{HEADER_BYTES, Header, HeaderError, LENGTH_AT, MAGIC, VERSION};
pub use inspect::{InspectError, Inspection, Seal, inspect};
pub use key::{ContentKey, KeyId};
pub use record::{Original, RecordError, RecordReader, RecordWriter, Restored};
pub use stream::{PREFIX_BYTES, SALT_BYTES, StreamError, StreamOpener, StreamSealer, sealed_length};
pub use suite::{Suite, UnknownSuite};
