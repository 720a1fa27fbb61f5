//! What can go wrong in this room: both sides of every disagreement, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::keys::kek::KekId;
use crate::keys::record::RecordError;
use crate::seal::{KeyId, SignerKey};

/// Everything the room `keys` refuses or fails at.
///
/// The text says what happened; [`KeysError::advice`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The operating system gives no random bytes.
    #[error(transparent)]
    NoEntropy(#[from] crate::seal::NoEntropy),
    /// The bytes are not a key record.
    #[error("the key record cannot be read: {0}")]
    Record(#[from] RecordError),
    /// Signatures are asked for, and it has none.
    #[error("the instance is not signed, and `keys.require_signature` is true")]
    Unsigned,
    /// Signatures are asked for, and it has that of somebody else.
    #[error(
        "the instance is signed by gateway {0}, which is none of those that `keys.require_signature` asks for"
    )]
    Signer(SignerKey),
    /// The record names another content key than the sealed pixels do.
    #[error("the key record is for key {found}, the sealed pixels name key {wanted}")]
    OtherKey {
        /// What the sealed pixels name.
        wanted: KeyId,
        /// What the record names.
        found: KeyId,
    },
    /// The record names another suite than the sealed pixels do.
    #[error("the key record is for suite {found}, the sealed pixels say suite {wanted}")]
    OtherSuite {
        /// What the sealed pixels say.
        wanted: u16,
        /// What the record says.
        found: u16,
    },
    /// The wrap or the record's seal does not verify.
    #[error(
        "the record of key {key_id} does not open with key encryption key {kek}: it was altered, or moved from another instance"
    )]
    Tampered {
        /// The content key looked for.
        key_id: KeyId,
        /// The key encryption key tried.
        kek: KekId,
    },
    /// No recipient of the record is in the keyring with its private half.
    #[error(
        "key {key_id} is wrapped for {}, and the keyring has the private half of none of these",
        join(wanted)
    )]
    KekMissing {
        /// The content key looked for.
        key_id: KeyId,
        /// Whom the record is for.
        wanted: Vec<KekId>,
    },
    /// The private half is there, but still sealed.
    #[error("key encryption key {0} is locked")]
    Locked(KekId),
    /// Neither the store nor the instance has a record.
    #[error("no key record is known for key {0}")]
    UnknownKey(KeyId),
    /// What the instance carries is worth nothing without its study's shred key.
    #[error("key {key_id} in the instance needs shred key {shred_key}, which the key store does not have")]
    ShredKeyMissing {
        /// The content key looked for.
        key_id: KeyId,
        /// The shred key it needs.
        shred_key: KeyId,
    },
    /// Every place that has a record for the key failed; the first is the most telling.
    #[error("key {key_id} was found in {} and opened from none: {}", places(failures), reasons(failures))]
    NoneOpens {
        /// The content key looked for.
        key_id: KeyId,
        /// Where it was found, and why it did not open.
        failures: Vec<(&'static str, KeysError)>,
    },
    /// The key was destroyed for good.
    #[error("key {key_id} was destroyed on {on} by {by} (certificate {certificate})")]
    Destroyed {
        /// The content key looked for.
        key_id: KeyId,
        /// The day, in UTC.
        on: String,
        /// The two who agreed on it.
        by: String,
        /// The name of the certificate.
        certificate: String,
    },
    /// Something must not be destroyed yet.
    #[error("{what} is on legal hold {hold} by {by}: {reason}")]
    OnHold {
        /// The study or key.
        what: String,
        /// The hold's name.
        hold: String,
        /// Who put it there.
        by: String,
        /// Why.
        reason: String,
    },
    /// Nothing can be destroyed that way.
    #[error("{0}")]
    Destruction(String),
    /// Shares of an escrow key that cannot be used.
    #[error("{0}")]
    Escrow(String),
    /// Custody forbids it.
    #[error("{0}")]
    Custody(String),
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The target is already there.
    #[error("{} is already there, and nothing is overwritten", .0.display())]
    Exists(PathBuf),
    /// Others may read or write what holds a secret.
    #[error("{} has mode {mode:04o}, which lets others at it", path.display())]
    Permissions {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file of the keyring, a backup or a manifest is not what it claims to be.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The stored check value does not match the passphrase or credential.
    #[error("the {method} given does not open {}", path.display())]
    WrongSecret {
        /// The sealed key file.
        path: PathBuf,
        /// `passphrase` or `credential`.
        method: &'static str,
    },
    /// A passphrase or credential cannot be used.
    #[error("{0}")]
    Secret(String),
    /// The PKCS#11 token refused or failed.
    #[error("PKCS#11 token: {doing}: {problem}")]
    Token {
        /// What was being done.
        doing: &'static str,
        /// What the token or its library said.
        problem: String,
    },
    /// A private key does not open the check record made when it was generated.
    #[error(
        "key encryption key {0} does not open its own check record: the private key is not the one of this file"
    )]
    WrongPrivateKey(KekId),
    /// A primitive did not give its known answer.
    #[error("self-test: {0} does not give its known answer")]
    SelfTest(&'static str),
    /// A primitive failed.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// A recipient is unknown, unsuitable, or there is none.
    #[error("{0}")]
    Recipient(String),
    /// The configuration contradicts itself.
    #[error("keys: {0}")]
    Config(String),
    /// A different record is already stored for the key.
    #[error("key {0} is already stored with other content; a stored key is never overwritten")]
    Conflict(KeyId),
    /// The store's database failed.
    #[error("key store: {doing}: {source}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The disk is full; nothing of the batch was stored.
    #[error("key store: the disk is full, the record was not stored")]
    StoreFull,
    /// The store cannot be written.
    #[error("key store: it is read-only, the record was not stored")]
    StoreReadOnly,
    /// After an I/O error the state of the disk is unknown, so nothing more is written.
    #[error("key store: stopped after an I/O error ({0}); no record was acknowledged since")]
    StoreStopped(String),
    /// The schema is newer than this program.
    #[error("key store: schema version {found}, this program knows up to {known}")]
    StoreSchema {
        /// What the file says.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// Another process has the store open.
    #[error("key store: {} is in use by another process", .0.display())]
    StoreInUse(PathBuf),
    /// A restore would lose records.
    #[error("the store at {} has {count} record(s) that the backup lacks or has otherwise, the first is of key {first}", path.display())]
    RestoreWouldLose {
        /// The store in place.
        path: PathBuf,
        /// How many records would be lost.
        count: u64,
        /// One of them.
        first: KeyId,
    },
}

impl KeysError {
    /// What the operator can do about it, as one sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Record(_) | Self::OtherKey { .. } | Self::OtherSuite { .. } | Self::Tampered { .. } => {
                "Treat the instance as altered; the other copy of the record, or a backup of the store, may still open it."
            }
            Self::KekMissing { .. } => {
                "Put the key file with this id into the keyring folder, or attach the token that holds it."
            }
            Self::Unsigned => "If it was sealed before gateways signed, open it with the setting off.",
            Self::Signer(_) => {
                "If you know that gateway, take its public key in: `sealgate keys signer --import FILE --name NAME`."
            }
            Self::NoEntropy(_) => "See what is wrong with the machine's random numbers, then start again.",
            Self::Locked(_) => "Give the passphrase, credential or PIN, then try again.",
            Self::UnknownKey(_) | Self::ShredKeyMissing { .. } => {
                "Restore the key store from the backup that covers the day the instance was sealed."
            }
            Self::Destroyed { .. } => {
                "Nothing brings it back; `sealgate keys destroyed` shows the certificate."
            }
            Self::OnHold { .. } => "Have the hold lifted first: `sealgate keys lift`.",
            Self::Destruction(_) => "See `sealgate keys list` for what there is.",
            Self::Escrow(_) => "Gather the shares of one set, as many as it needs, and its package.",
            Self::Custody(_) => "See `roles` in the configuration.",
            Self::NoneOpens { failures, .. } => {
                failures.first().map_or("Run `sealgate keys verify`.", |(_, error)| error.advice())
            }
            Self::File { .. } => "Check that the path exists and that the service's user may use it.",
            Self::Exists(_) => "Choose another name, or move the old file away first.",
            Self::Permissions { .. } => {
                "Make it the service user's alone: `chmod 0600` for a file, `0700` for a folder."
            }
            Self::Malformed { .. } => "Take the file from a backup; do not edit it by hand.",
            Self::WrongSecret { .. } => "Check that it belongs to this key file and try again.",
            Self::Secret(_) | Self::Config(_) => "Correct the setting and start again.",
            Self::Token { .. } => "Check the module, the token label and the PIN, then start again.",
            Self::WrongPrivateKey(_) => {
                "Attach the token, or restore the key file, that this key was generated with."
            }
            Self::SelfTest(_) | Self::Crypto(_) => {
                "Do not use this installation: the library or the machine is damaged."
            }
            Self::Recipient(_) => "See `sealgate keys list` for the recipients there are.",
            Self::Conflict(_) => "Seal the instance anew, under a new key id.",
            Self::Store { .. } => "See whether the disk is healthy and run `sealgate keys verify`.",
            Self::StoreFull => "Free space on the disk of the key store; sending again is safe.",
            Self::StoreReadOnly => "Make the store's file and folder writable for the service's user.",
            Self::StoreStopped(_) => "Check the disk, run `sealgate keys verify`, then restart the service.",
            Self::StoreSchema { .. } => "Use the version of Sealgate that wrote the store, or a newer one.",
            Self::StoreInUse(_) => "Stop the service first.",
            Self::RestoreWouldLose { .. } => {
                "Back the present store up and move it away if you mean to go back in time."
            }
        }
    }

    /// Whether the same call may succeed later without anybody changing the request.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Locked(_) | Self::Token { .. } | Self::StoreFull | Self::StoreInUse(_) => true,
            Self::Store { source, .. } => {
                matches!(
                    source.sqlite_error_code(),
                    Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
                )
            }
            Self::NoneOpens { failures, .. } => failures.iter().any(|(_, error)| error.is_retryable()),
            _ => false,
        }
    }

    /// For `map_err`: what was being done to which file.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// A file whose content is not as it must be.
    pub(crate) fn malformed(path: &Path, problem: &(impl ToString + ?Sized)) -> Self {
        Self::Malformed { path: path.to_owned(), problem: problem.to_string() }
    }
}

fn join(ids: &[KekId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn places(failures: &[(&'static str, KeysError)]) -> String {
    failures.iter().map(|(place, _)| *place).collect::<Vec<_>>().join(" and ")
}

fn reasons(failures: &[(&'static str, KeysError)]) -> String {
    failures.iter().map(|(place, error)| format!("{place}: {error}")).collect::<Vec<_>>().join("; ")
}
