//! What can go wrong with the trail, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Everything the room `audit` fails at.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// Another process writes this trail.
    #[error("the audit trail {} is being written by another process", .0.display())]
    Locked(PathBuf),
    /// A call to the file system failed.
    #[error("{doing} {}: {error}", path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is a log and no key, or the key of another one.
    #[error("{}: {why}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log takes no more room.
    #[error("the audit trail is full: {0}")]
    Full(String),
    /// A failure after which nothing is known of the disk any more.
    #[error("the audit trail has stopped: {0}")]
    Stopped(String),
}

impl AuditError {
    pub(super) fn disk<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::Disk { doing, path: path.to_owned(), error }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Config(_) => "Change the configuration.",
            Self::Locked(_) => "End the other process, or give this one another audit.folder.",
            Self::Disk { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                "The folder of audit.folder has to belong to the service's user."
            }
            Self::Disk { .. } => "Look at the disk of audit.folder, then restart.",
            Self::Key { .. } => {
                "Put the key file back from a copy; or move the whole folder away, keep it, and begin a new trail."
            }
            Self::Full(_) => "Make room, have the repositories reached, or raise audit.bytes_max.",
            Self::Stopped(_) => "Look at the disk, then restart.",
        }
    }
}
