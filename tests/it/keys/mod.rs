//! Keys: what the keyring, the store, the archive and the command promise, seen from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

mod archive;
pub(crate) mod command;
mod crash;
mod keyring;
mod store;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealgate::dicom::{AeTitle, Uid};
use sealgate::keys::store::{Facts, NewKey, OriginalAttributes};
use sealgate::keys::{
    Algorithm, Binding, Credential, Keyring, NewCustody, RecipientName, SealingSecret, UnlockSecrets,
};
use sealgate::seal::{ContentKey, KeyId};
use tempfile::TempDir;

/// A temporary folder for its owner alone, as the room wants it.
pub(crate) fn folder() -> TempDir {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().expect("a temporary folder")
}

pub(crate) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a valid UID")
}

pub(crate) fn name(text: &str) -> RecipientName {
    text.parse().expect("a valid name")
}

/// The id that counts as `number`.
pub(crate) fn key_id(number: u64) -> KeyId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    // Spread like random ids, since that is what the index has to bear.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    KeyId::new(bytes)
}

pub(crate) fn content_key(number: u64) -> ContentKey {
    let mut bytes = [0x5A; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ContentKey::new(bytes)
}

pub(crate) fn binding(number: u64) -> Binding {
    Binding {
        key_id: key_id(number),
        suite: 1,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid(&format!("1.2.3.{number}")),
    }
}

pub(crate) fn facts(number: u64) -> Facts {
    Facts {
        study: Some(uid(&format!("1.9.{}", number / 10))),
        series: Some(uid(&format!("1.9.{}.1", number / 10))),
        calling: Some(
            AeTitle::parse(if number.is_multiple_of(2) { "CT 1" } else { "MR 1" }).expect("a title"),
        ),
        sealed_unix_millis: 1_700_000_000_000 + i64::try_from(number).expect("a small number") * 1000,
        attributes: OriginalAttributes {
            rows: Some(512),
            columns: Some(512),
            ..OriginalAttributes::default()
        },
    }
}

pub(crate) fn new_key(keyring: &Keyring, number: u64) -> NewKey {
    let record = keyring.wrap(&content_key(number), &binding(number)).expect("it wraps");
    NewKey { binding: binding(number), facts: facts(number), record }
}

pub(crate) fn credential() -> Credential {
    Credential::new([0x42; 32])
}

pub(crate) fn secrets() -> UnlockSecrets {
    UnlockSecrets { credential: Some(credential()), ..UnlockSecrets::default() }
}

/// Makes the next key of `recipient`, sealed by the credential of the tests.
pub(crate) fn add_key(keyring: &mut Keyring, recipient: &str, algorithm: Algorithm) {
    let custody = NewCustody::File(SealingSecret::Credential(credential()));
    keyring.generate(&name(recipient), algorithm, &custody, 1_700_000_000).expect("a new key");
}

/// A keyring with one open key of the recipient `site`; ECDH, since it is quick.
pub(crate) fn site_keyring(folder: &Path) -> Keyring {
    let mut keyring = Keyring::load(&folder.join("kek"), &[name("site")]).expect("an empty keyring");
    add_key(&mut keyring, "site", Algorithm::EcdhP256);
    keyring
}
