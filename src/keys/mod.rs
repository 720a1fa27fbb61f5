//! Key encryption keys, the wraps made with them, and where the wrapped keys are kept.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod algorithm;
mod error;
mod file;
mod hex;
mod kdf;
mod kek;
mod kem;
mod record;
mod secret;
mod wrap;

pub use algorithm::Algorithm;
pub use error::KeysError;
pub use kek::{KekId, PublicKek};
pub use record::{KeyRecord, RECIPIENTS_MAX, RECORD_BYTES_MAX, Recipient, RecordError};
pub use secret::{Credential, Passphrase, PrivateKeyBytes, SharedSecret};
pub use wrap::{Binding, wrap};
