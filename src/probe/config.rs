//! What an operator can set about probes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The keys of `[probe]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of what probes found, one file for each destination.
    pub folder: PathBuf,
    /// Seconds a PACS may take until what it stored can be retrieved.
    pub wait_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { folder: "/var/lib/sealgate/probes".into(), wait_seconds_max: 30 }
    }
}

/// A value that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("probe.wait_seconds_max is {0}, it must be from 0 to 3600")]
pub struct ConfigError(u64);

impl Config {
    /// Whether a probe could work by it.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.wait_seconds_max <= 3600 { Ok(()) } else { Err(ConfigError(self.wait_seconds_max)) }
    }
}
