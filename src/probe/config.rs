//! What an operator can set about probes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bounds::{self, OutOfBounds};

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

impl Config {
    /// Whether a probe could work by it.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        bounds::check("probe", [("wait_seconds_max", self.wait_seconds_max, 0, 3600)])
    }
}
