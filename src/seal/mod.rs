//! The sealed form of an instance: the only place where clear becomes sealed, or back.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod element;
pub mod scan;

mod carrier;
mod claim;
mod clear;
mod derive;
mod digest;
mod file;
mod fragments;
mod frames;
mod geometry;
mod header;
mod inspect;
mod key;
mod layered;
mod metadata;
mod opener;
mod peek;
mod record;
mod sealer;
mod signature;
mod stream;
mod suite;

pub(crate) use carrier::is_our_creator;
pub use claim::Claim;
pub use clear::ClearBytes;
pub use derive::{Binding, Conditioning, Entropy, KeySource, NoEntropy, SystemEntropy, content_key, random};
pub use digest::DataDigest;
pub use file::{FileError, open_file, seal_file, seal_file_signed};
pub use frames::{Frame, FrameError, open_frame};
pub use geometry::{Shape, TooLarge, fit};
pub use header::{HEADER_BYTES, Header, HeaderError, LENGTH_AT, MAGIC, VERSION};
pub use inspect::{InspectError, Inspection, Seal, SignatureProblem, inspect};
pub use key::{ContentKey, KeyId};
pub use opener::{Changes, Damage, HeaderMode, OpenError, Opened, OpenedInstance, Opener, element_digest};
pub use peek::{Peek, Peeked};
pub use record::{Original, RecordError, RecordReader, RecordWriter, Restored};
pub use sealer::{Described, NewSeal, SealError, Sealed, Sealer, Sink};
pub use signature::{SIGNATURE_BYTES, SIGNER_BYTES, SignatureError, Signer, SignerKey};
pub use stream::{PREFIX_BYTES, SALT_BYTES, StreamError, StreamOpener, StreamSealer, sealed_length};
pub use suite::{Suite, UnknownSuite};
