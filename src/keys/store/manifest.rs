//! The manifest beside a backup: what it holds, and the digest of its bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};
use serde::{Deserialize, Serialize};

use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::hex;
use crate::keys::store::Counts;

const FORMAT: &str = "sealgate-key-backup";
const VERSION: u8 = 1;
const MANIFEST_BYTES_MAX: u64 = 16_384;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u8,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Schema version of the database in it.
    pub schema_version: u32,
    /// How much it holds.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Where the manifest of a backup is.
#[must_use]
pub fn manifest_path(backup: &Path) -> PathBuf {
    let mut name = backup.file_name().unwrap_or_default().to_owned();
    name.push(".manifest.json");
    backup.with_file_name(name)
}

impl Manifest {
    /// Describes the finished file at `path`.
    pub(crate) fn describe(
        path: &Path,
        created_unix_seconds: u64,
        schema_version: u32,
        counts: Counts,
    ) -> Result<Self, KeysError> {
        let (bytes, sha256) = hash(path)?;
        Ok(Self {
            format: FORMAT.into(),
            version: VERSION,
            created_unix_seconds,
            bytes,
            sha256,
            schema_version,
            counts,
        })
    }

    /// Reads the manifest of a backup.
    pub(crate) fn read(backup: &Path) -> Result<Self, KeysError> {
        let path = manifest_path(backup);
        let source = File::open(&path).map_err(KeysError::file("opening the manifest", &path))?;
        let bytes = file::read_limited(source, &path, MANIFEST_BYTES_MAX)?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| KeysError::malformed(&path, &error))?;
        if manifest.format == FORMAT && manifest.version == VERSION {
            return Ok(manifest);
        }
        let problem = format!(
            "it is {:?} version {}, {FORMAT:?} version {VERSION} was expected",
            manifest.format, manifest.version
        );
        Err(KeysError::malformed(&path, &problem))
    }

    /// Writes the manifest beside its backup.
    pub(crate) fn write(&self, backup: &Path) -> Result<(), KeysError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|_| KeysError::Crypto("writing JSON"))?;
        bytes.push(b'\n');
        file::create_private(&manifest_path(backup), &bytes)
    }

    /// Compares the file with what is written about it.
    pub(crate) fn compare(&self, backup: &Path) -> Result<(), KeysError> {
        let (bytes, sha256) = hash(backup)?;
        if bytes != self.bytes {
            let problem = format!("it has {bytes} bytes, its manifest says {}", self.bytes);
            return Err(KeysError::malformed(backup, &problem));
        }
        if sha256 != self.sha256 {
            let problem = format!("its SHA-256 is {sha256}, its manifest says {}", self.sha256);
            return Err(KeysError::malformed(backup, &problem));
        }
        Ok(())
    }
}

fn hash(path: &Path) -> Result<(u64, String), KeysError> {
    let source = File::open(path).map_err(KeysError::file("opening", path))?;
    let mut source = BufReader::with_capacity(1 << 20, source);
    let mut context = digest::Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    let mut total: u64 = 0;
    loop {
        let read = source.read(&mut buffer).map_err(KeysError::file("reading", path))?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        context.update(piece);
        total = total.saturating_add(read as u64);
    }
    Ok((total, hex::encode(context.finish().as_ref())))
}
