//! What can be wrong with emergency accesses and their file.

use std::io;
use std::path::PathBuf;

/// Why an emergency access cannot be read, opened or ended.
#[derive(Debug, thiserror::Error)]
pub enum GrantsError {
    /// The system.
    #[error("{}: {error}; check grants.file, and who may write there", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else could have written it.
    #[error(
        "{} is not believed, {why}: let it belong to root or the service's user, and nobody else write to it",
        .path.display()
    )]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// What speaks against it.
        why: String,
    },
    /// It is not what was written.
    #[error("{} cannot be read as emergency accesses: {why}; move it away to begin anew", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Too long or too short.
    #[error("an emergency access lasts from 1 minute to {max} hours (grants.hours_max), not {asked}")]
    Duration {
        /// What was asked for.
        asked: String,
        /// The limit in hours.
        max: u32,
    },
    /// No reason.
    #[error("an emergency access needs a reason of 1 to 200 characters, without control characters")]
    Reason,
    /// Nothing of that name is open.
    #[error("no emergency access {0:?} is open: `sealgate grant list` shows those that are")]
    NotOpen(String),
    /// The setting.
    #[error("grants.hours_max is {0}, it must be from 1 to 168")]
    HoursMax(u32),
}

impl GrantsError {
    /// Whether it is only that the one who asks may not read the file.
    #[must_use]
    pub fn is_about_access(&self) -> bool {
        matches!(self, Self::Io { error, .. }
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound))
    }
}
