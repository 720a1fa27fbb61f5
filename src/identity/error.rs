//! What can be wrong with our files, and why a claimed identity was not verified.

use std::io;
use std::path::{Path, PathBuf};

/// Why identities cannot be verified at all: ours to mend.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A value.
    #[error("{0}")]
    Config(String),
    /// A file.
    #[error("cannot read {}: {error}; check the path, and that the service's user may read it", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A line of the users file. What stands there is not shown.
    #[error("{} line {line}: {reason}; `sealgate users hash NAME` makes a line", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The issuer's key.
    #[error(
        "{} is no public key to verify tokens with: give a PEM file with an RSA, ECDSA P-256 or P-384, or Ed25519 key",
        .0.display()
    )]
    Key(PathBuf),
    /// A password that cannot be taken.
    #[error("{0}")]
    Password(String),
}

impl IdentityError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File { path, error }
    }

    /// Whether another user, such as the service's, might well read it.
    #[must_use]
    pub fn is_about_access(&self) -> bool {
        matches!(self, Self::File { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Why a claimed identity was not verified. It never holds what was claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Name or password is wrong; which of them is nobody's business.
    #[error("the user name or the password is wrong")]
    Password,
    /// The token does not hold.
    #[error("the token: {0}")]
    Token(String),
    /// A kind that cannot be verified here.
    #[error("{0} identities cannot be verified here: use a user name with a password, or a JSON Web Token")]
    Unsupported(&'static str),
    /// A kind that nothing is configured for.
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
}
