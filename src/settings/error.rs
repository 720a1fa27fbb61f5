//! What can be wrong with a configuration, said so that it can be mended.

use std::path::PathBuf;

/// Why a configuration is not taken. Nothing of it is used then.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is not there.
    #[error("there is no configuration file at {}: name one with --config, or copy conf/gateway.toml there", .0.display())]
    NoFile(PathBuf),
    /// A key that nothing reads.
    #[error("unknown key {key:?}{place}{hint}")]
    UnknownKey {
        /// The key with the table it stands in.
        key: String,
        /// ` in <file>`, or nothing.
        place: String,
        /// `: did you mean …?` or the keys there are.
        hint: String,
    },
    /// The file is not TOML, or a value has the wrong type or form.
    #[error("{key}: {reason}")]
    BadValue {
        /// The key with the table it stands in.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// Not readable as a whole.
    #[error("{0}")]
    Unreadable(String),
    /// Values that are well-formed but cannot be used, alone or together.
    #[error("{0}")]
    Value(String),
}

impl SettingsError {
    pub(super) fn value(error: impl std::fmt::Display) -> Self {
        Self::Value(error.to_string())
    }
}
