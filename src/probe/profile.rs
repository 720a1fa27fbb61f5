//! What a probe found, as a file that lasts: one for each destination, written whole or not at all.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::judge::{Finding, Outcome};
use crate::dicom::{AeAddress, Uid};
use crate::keys::ArchiveMode;

/// The version of the file that is written and read.
const VERSION: u32 = 1;
/// What a profile of eight kinds has is a few kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a PACS does to sealed images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The version of this file.
    pub version: u32,
    /// The name of the destination.
    pub destination: String,
    /// Where it was.
    pub address: AeAddress,
    /// When, in seconds since 1970.
    pub probed_unix_seconds: u64,
    /// The version of the program that probed.
    pub program: String,
    /// The study that the probe left there.
    pub study: Uid,
    /// One for each kind of carrier.
    pub findings: Vec<Finding>,
}

/// What a profile means for the use of the PACS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Why it must not be used.
    pub failures: Vec<String>,
    /// What somebody should know.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Whether images would come back from it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Why a profile cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file system.
    #[error("{}: {error}; check the folder probe.folder and who may write there", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Something else than a probe has written it, or another version.
    #[error("{}: {reason}; run `sealgate probe` again, which replaces it", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Profile {
    /// A profile that is written by this version.
    #[must_use]
    pub fn new(
        destination: String,
        address: AeAddress,
        probed_unix_seconds: u64,
        study: Uid,
        findings: Vec<Finding>,
    ) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { version: VERSION, destination, address, probed_unix_seconds, program, study, findings }
    }

    /// What it means where keys are kept as `archive` says.
    #[must_use]
    pub fn verdict(&self, archive: ArchiveMode) -> Verdict {
        let mut verdict = Verdict::default();
        for finding in &self.findings {
            let (kind, detail) = (finding.kind.name(), &finding.detail);
            match finding.outcome {
                Outcome::Intact => {}
                Outcome::Refused => verdict.notes.push(format!("It does not take {kind}: {detail}")),
                Outcome::Lost => verdict.failures.push(format!("{kind} did not come back: {detail}")),
                Outcome::Altered => verdict.failures.push(format!("{kind} does not open: {detail}")),
            }
        }
        if !self.findings.iter().any(|finding| finding.outcome == Outcome::Intact) {
            verdict.failures.push("Nothing that was stored came back as it was.".to_owned());
        }
        if self.findings.iter().any(|finding| finding.kept_key_record == Some(false)) {
            let what = "It removes or changes the wrapped key in the instance";
            match archive {
                ArchiveMode::Tag => verdict.failures.push(format!(
                    "{what}, and keys.archive = \"tag\" keeps it nowhere else: set \"both\" or \"sidecar\"."
                )),
                _ => verdict.notes.push(format!(
                    "{what}: the key store alone has it, so back that up (`sealgate keys backup`)."
                )),
            }
        }
        if self.findings.iter().any(|finding| finding.kept_private_tags == Some(false)) {
            verdict.notes.push("It removes private tags; they are sealed too, and come back.".to_owned());
        }
        let changes: Vec<&str> = self.findings.iter().flat_map(Finding::changes).collect();
        if !changes.is_empty() {
            let mut tags = changes;
            tags.sort_unstable();
            tags.dedup();
            verdict.notes.push(format!("It changes attributes: {}.", tags.join(", ")));
        }
        verdict
    }

    /// The profile of a destination, if it was ever probed.
    pub fn load(folder: &Path, destination: &str) -> Result<Option<Self>, ProfileError> {
        let path = path_of(folder, destination);
        let unreadable = |reason: String| ProfileError::Unreadable { path: path.clone(), reason };
        let bytes = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(unreadable(format!("it has {} bytes", metadata.len())));
            }
            Ok(_) => fs::read(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|error| ProfileError::Io { path: path.clone(), error })?;
        let profile: Self = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if profile.version != VERSION {
            return Err(unreadable(format!("it has version {}, this is version {VERSION}", profile.version)));
        }
        Ok(Some(profile))
    }

    /// Writes it in place of the one before, durably.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, ProfileError> {
        let path = path_of(folder, &self.destination);
        let write = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            // No secret in it, and the service has to read what an administrator wrote.
            file.as_file().set_permissions(Permissions::from_mode(0o644))?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| ProfileError::Io { path: path.clone(), error })?;
        Ok(path)
    }
}

/// Names of destinations are letters, digits, dots, hyphens and underscores: the rules see to that.
fn path_of(folder: &Path, destination: &str) -> PathBuf {
    folder.join(format!("{destination}.json"))
}
