//! Where emergency accesses are kept, and how long one may last.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::GrantsError;

/// The keys of `[grants]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file; its folder is for the service's user and root alone to write to.
    pub file: PathBuf,
    /// Hours that one may last at most.
    pub hours_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { file: PathBuf::from("/var/lib/sealgate/grants.json"), hours_max: 12 }
    }
}

impl Config {
    /// Whether emergency accesses could be opened under this.
    pub fn check(&self) -> Result<(), GrantsError> {
        if (1..=168).contains(&self.hours_max) { Ok(()) } else { Err(GrantsError::HoursMax(self.hours_max)) }
    }
}
