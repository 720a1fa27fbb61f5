//! Tombstones: a certificate for each destruction, in a folder that no backup of the store holds or replaces.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::certificate::Certificate;
use super::parse_key_id;
use crate::keys::config::Config;
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::seal::KeyId;

/// A certificate that is larger was not written by us: 34 bytes for each of a million keys.
const BYTES_MAX: u64 = 64 << 20;
/// What the file of a tombstone is called after its request.
const EXTENSION: &str = "destroyed";

/// The folder of tombstones, and what was read of it last.
pub struct Tombstones {
    folder: PathBuf,
    known: Mutex<Known>,
}

/// When a key was destroyed, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grave {
    at_unix_seconds: u64,
    by: Arc<str>,
    certificate: Arc<str>,
}

#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    graves: HashMap<KeyId, Grave>,
}

/// By what a folder that changed is recognised: each certificate that is added changes its times.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

fn stamp(folder: &Path) -> Option<Stamp> {
    let found = fs::metadata(folder).ok()?;
    Some((found.dev(), found.ino(), (found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())))
}

impl Tombstones {
    /// Those of this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { folder: config.folder.join("tombstones"), known: Mutex::default() }
    }

    /// The error for whoever asks for a key that is destroyed; nothing for every other key.
    ///
    /// Looked at each time, so that a running service knows at once. A folder that cannot be read is an error as well: what
    /// was destroyed must not come back because a file is damaged.
    pub fn check(&self, key: KeyId) -> Result<(), KeysError> {
        let now = stamp(&self.folder);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.stamp != now {
            known.graves = graves(&self.certificates()?);
            known.stamp = now;
        }
        match known.graves.get(&key) {
            None => Ok(()),
            Some(grave) => Err(KeysError::Destroyed {
                key_id: key,
                on: day(grave.at_unix_seconds),
                by: grave.by.to_string(),
                certificate: grave.certificate.to_string(),
            }),
        }
    }

    /// Remembers a destruction; it is durable when this returns.
    pub(super) fn add(&self, certificate: &Certificate) -> Result<(), KeysError> {
        file::private_folder(&self.folder)?;
        let bytes = serde_json::to_vec_pretty(certificate).map_err(|_| KeysError::Crypto("writing JSON"))?;
        let name = format!("{}.{EXTENSION}", certificate.statement.request);
        file::create_private(&self.folder.join(name), &bytes)
    }

    /// Every certificate there is.
    pub fn certificates(&self) -> Result<Vec<Certificate>, KeysError> {
        let paths = file::with_extension(&self.folder, EXTENSION)?;
        paths.map(|path| file::read_json(&path?, BYTES_MAX)).collect()
    }

    /// Every key that was destroyed.
    pub fn keys(&self) -> Result<Vec<KeyId>, KeysError> {
        Ok(graves(&self.certificates()?).into_keys().collect())
    }

    /// Certificates that somebody has altered.
    pub fn problems(&self) -> Result<Vec<String>, KeysError> {
        let bad = |certificate: &Certificate| {
            let request = &certificate.statement.request;
            (!certificate.verifies())
                .then(|| format!("the certificate of destruction {request} does not verify"))
        };
        Ok(self.certificates()?.iter().filter_map(bad).collect())
    }
}

fn graves(certificates: &[Certificate]) -> HashMap<KeyId, Grave> {
    let mut graves = HashMap::new();
    for Certificate { statement, .. } in certificates {
        let grave = Grave {
            at_unix_seconds: statement.destroyed_unix_seconds,
            by: format!("{} and {}", statement.requested_by, statement.approved_by).into(),
            certificate: statement.request.as_str().into(),
        };
        graves.extend(statement.keys.iter().filter_map(|key| Some((parse_key_id(key)?, grave.clone()))));
    }
    graves
}

/// The day in UTC, as ISO 8601 writes it.
fn day(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or_default();
    chrono::DateTime::from_timestamp(seconds, 0)
        .map_or_else(|| "?".to_owned(), |at| at.format("%Y-%m-%d").to_string())
}
