//! What can go wrong with generators, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::id::GeneratorId;

/// Why a generator could not be loaded, made or run.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// Text that should be a generator id.
    #[error("{0:?} is no generator id: 64 hexadecimal digits were expected")]
    Id(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoEntropy,
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was tried, such as `reading`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A model file that is not one, or is damaged, or breaks a rule of section 7.
    #[error("this is no generator that can be used: {0}")]
    Model(String),
    /// A network for chaotic parameters that is not one, or is damaged, or is of another kind.
    #[error("this is no network that can be used: {0}")]
    Network(String),
    /// A file that should hold the findings of a study.
    #[error("{}: no study that can be read: {reason}", path.display())]
    Study {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint that cannot be quantised.
    #[error("this checkpoint cannot be quantised: {0}")]
    Checkpoint(String),
    /// A generator that is needed and not there.
    #[error("generator {id} is not in {}", folder.display())]
    Missing {
        /// The id that was asked for.
        id: GeneratorId,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A generator whose file is not what its name says.
    #[error("{}: the file is generator {found}, its name says {expected}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The id in its name.
        expected: GeneratorId,
        /// The digest of its content.
        found: GeneratorId,
    },
    /// A value in the configuration.
    #[error("{0}")]
    Config(String),
    /// An engine that cannot run here, or stopped running.
    #[error("the engine cannot run: {0}")]
    Engine(String),
}

impl KeygenError {
    /// For `map_err` on file operations.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Id(_) => "`sealgate generator list` shows the ids there are",
            Self::NoEntropy => "check the operating system's random number device",
            Self::File { .. } => "check the path and its permissions",
            Self::Model(_) => {
                "take it from a backup or from where it was made; `generator quantise` makes new ones"
            }
            Self::Network(_) => {
                "remove the file from keygen.folder, then the one that comes with sealgate is used"
            }
            Self::Study { .. } => "give a study.json that `sealgate generator study` wrote",
            Self::Checkpoint(_) => "give a safetensors file that `sealgate generator train` wrote",
            Self::Missing { .. } => {
                "import it with `sealgate generator import`: images sealed with it need it to be opened"
            }
            Self::Mismatch { .. } => "the file was changed or renamed; take it from a backup",
            Self::Config(_) => "change it in the section [keygen] of the configuration",
            Self::Engine(_) => "set keygen.engine to \"exact\", which runs everywhere",
        }
    }
}
