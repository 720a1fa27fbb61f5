//! The key store: every wrapped content key, found again by its id; versions are added, never changed.

mod backup;
mod check;
mod log;
mod manifest;
mod pool;
mod restore;
mod rows;
mod schema;
mod sqlite;
mod writer;

use std::path::Path;
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::dicom::{AeTitle, Uid};
use crate::keys::error::KeysError;
use crate::keys::wrap::Binding;
use crate::seal::KeyId;
use crate::seal::scan::Image;

pub use manifest::{Manifest, manifest_path};
pub use restore::{Restored, restore, verify_backup};
pub use sqlite::SqliteStore;

/// What the original pixels were, for answering C-FIND while the PACS describes the carrier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginalAttributes {
    /// Rows (0028,0010).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u16>,
    /// Columns (0028,0011).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<u16>,
    /// Bits Allocated (0028,0100).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_allocated: Option<u16>,
    /// Bits Stored (0028,0101).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_stored: Option<u16>,
    /// Samples per Pixel (0028,0002).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_per_pixel: Option<u16>,
    /// Photometric Interpretation (0028,0004).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photometric_interpretation: Option<String>,
    /// Number of Frames (0028,0008).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// The transfer syntax the original came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_syntax: Option<Uid>,
}

impl OriginalAttributes {
    /// Those of an image, or of an instance without one, in this transfer syntax.
    #[must_use]
    pub fn of(image: Option<&Image>, transfer_syntax: Uid) -> Self {
        Self {
            rows: image.map(|image| image.rows),
            columns: image.map(|image| image.columns),
            bits_allocated: image.map(|image| image.bits_allocated),
            bits_stored: image.map(|image| image.bits_stored),
            samples_per_pixel: image.map(|image| image.samples),
            photometric_interpretation: image.map(|image| image.photometric.clone()),
            frames: image.map(|image| image.frames),
            transfer_syntax: Some(transfer_syntax),
        }
    }
}

/// What is kept beside a wrapped key, so that it can be listed and answered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Study Instance UID (0020,000D).
    pub study: Option<Uid>,
    /// Series Instance UID (0020,000E).
    pub series: Option<Uid>,
    /// Who sent the instance.
    pub calling: Option<AeTitle>,
    /// When it was sealed, in milliseconds since 1970.
    pub sealed_unix_millis: i64,
    /// What the original pixels were.
    pub attributes: OriginalAttributes,
}

/// A new wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The instance it belongs to.
    pub binding: Binding,
    /// What is kept beside it.
    pub facts: Facts,
    /// The key record.
    pub record: Vec<u8>,
}

/// A further wrap of a key that is stored already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The key.
    pub key_id: KeyId,
    /// The version it was made from, which must still be the latest.
    pub after: u32,
    /// The key record.
    pub record: Vec<u8>,
    /// When it was wrapped, in milliseconds since 1970.
    pub wrapped_unix_millis: i64,
}

/// Something to make durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A key's first record.
    Key(NewKey),
    /// A further version of one.
    Version(NewVersion),
    /// Destroys every version of a key, for good. Only [`crate::keys::destroy`] asks for it.
    Destroy(KeyId),
}

/// One version of a stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Where listing goes on after this one.
    pub position: i64,
    /// The instance it belongs to.
    pub binding: Binding,
    /// What is kept beside it.
    pub facts: Facts,
    /// 1 for the first wrap, then counting up.
    pub version: u32,
    /// When this version was wrapped, in milliseconds since 1970.
    pub wrapped_unix_millis: i64,
    /// The key record.
    pub record: Vec<u8>,
}

/// Which keys to list; all conditions hold together, none means all keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this study.
    pub study: Option<Uid>,
    /// Of this SOP instance, whatever its key id.
    pub sop_instance: Option<Uid>,
    /// Sent by this AE title.
    pub calling: Option<AeTitle>,
    /// Sealed at or after this time, in milliseconds since 1970.
    pub sealed_from_unix_millis: Option<i64>,
    /// Sealed before this time, in milliseconds since 1970.
    pub sealed_before_unix_millis: Option<i64>,
    /// Whose latest version is for other recipients than these KEK ids, sorted and joined.
    pub not_wrapped_for: Option<Vec<u8>>,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Keys.
    pub keys: u64,
    /// Records: every version of every key.
    pub records: u64,
}

/// What an integrity check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CheckReport {
    /// Records read.
    pub records: u64,
    /// What is wrong, one line each; at most [`CheckReport::PROBLEMS_MAX`].
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Most problems that are told one by one.
    pub const PROBLEMS_MAX: usize = 100;
}

/// Called with what became of a write once it is durable: of a key, how many its instance has by then; of a further record,
/// its version.
pub type Done = Box<dyn FnOnce(Result<u32, KeysError>) + Send>;

/// Called now and then with how far a long task is: so many of so many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Where wrapped keys are kept.
///
/// Versions are added, never changed; they are taken away only when their key is destroyed. A write is acknowledged only when it is durable.
pub trait KeyStore: Send + Sync {
    /// Hands a write over and returns; `done` is called from another thread once it is durable or has failed.
    ///
    /// Blocks while too many writes wait already.
    fn submit(&self, write: Write, done: Done);

    /// Makes a write durable before it returns what [`Done`] is called with.
    ///
    /// A key that is stored already is a conflict, unless its record is the same to the byte.
    fn write(&self, write: Write) -> Result<u32, KeysError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(
            write,
            Box::new(move |result| {
                // A caller that is gone does not want to know.
                let _ = sender.send(result);
            }),
        );
        receiver.recv().unwrap_or_else(|_| Err(KeysError::StoreStopped("its writer has ended".into())))
    }

    /// The latest version of a key.
    fn find(&self, key_id: KeyId) -> Result<Option<StoredKey>, KeysError>;

    /// Every version of a key, the oldest first.
    fn versions(&self, key_id: KeyId) -> Result<Vec<StoredKey>, KeysError>;

    /// The latest versions of the keys that fit, in the order they were stored, behind `after` (0 for the start).
    fn list(&self, filter: &Filter, after: i64, limit: usize) -> Result<Vec<StoredKey>, KeysError>;

    /// Why it writes nothing any more, if so.
    fn stopped(&self) -> Option<&str> {
        None
    }

    /// How much is stored.
    fn counts(&self) -> Result<Counts, KeysError>;

    /// Reads everything and compares it with its digests.
    fn check(&self, progress: Progress<'_>) -> Result<CheckReport, KeysError>;

    /// Writes a consistent copy of the present state to a new file, with a manifest beside it, while others go on.
    fn backup(
        &self,
        target: &Path,
        created_unix_seconds: u64,
        progress: Progress<'_>,
    ) -> Result<Manifest, KeysError>;
}
