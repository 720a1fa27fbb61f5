//! Key encryption keys, the wraps made with them, and where the wrapped keys are kept.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod algorithm;
mod archive;
mod companions;
mod config;
pub mod destroy;
pub mod dual;
mod error;
pub mod escrow;
mod file;
mod hex;
mod kdf;
mod kek;
mod kem;
mod keyring;
mod open;
mod record;
pub mod rotation;
mod secret;
pub mod selftest;
pub(crate) mod shred;
pub mod signer;
pub mod store;
#[cfg(test)]
mod tests;
mod wrap;

pub use algorithm::Algorithm;
pub use archive::{Archive, Archived, Found, Opens, Source};
pub use config::{ArchiveMode, Config, Pkcs11Config, StoreConfig, UnlockMethod};
pub use dual::{DualKeyInfo, DualKeyRoot};
pub use error::KeysError;
pub(crate) use file::{create_private as write_new_file, private_folder};
pub use kek::{KekId, PublicKek};
pub use keyring::{
    Argon2Cost, KekInfo, Keyring, NewCustody, PrivateState, RecipientName, SealingSecret, Token,
    UnlockSecrets,
};
pub use record::{KeyRecord, RECIPIENTS_MAX, RECORD_BYTES_MAX, Recipient, RecordError};
pub use secret::{Credential, Passphrase};
pub use signer::SignerInfo;
pub use store::{KeyStore, SqliteStore};
pub use wrap::{Binding, wrap};
