//! The limits of the way back, and what becomes of images that were never sealed.

use serde::{Deserialize, Serialize};

use crate::bounds::{self, OutOfBounds};

/// The keys of `[release]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes of an opened instance that are held back until its end has verified; larger ones go out while they arrive,
    /// and their transfer is broken off when the end does not verify.
    pub held_bytes_max: usize,
    /// Bytes of pixels that an image may have when it is decompressed, or compressed, for a viewer that takes no other form.
    pub transcoded_bytes_max: u64,
    /// Instances of one retrieval that wait to go out; fewer where they are as many bytes as one may be that is held back.
    pub waiting_max: usize,
    /// Bytes of an identifier that a caller sends.
    pub identifier_bytes_max: usize,
    /// Milliseconds between two pending responses of C-GET and C-MOVE.
    pub pending_milliseconds: u64,
    /// What becomes of images that the PACS has in clear.
    pub unsealed: Unsealed,
}

/// What becomes of an image in the PACS that was never sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsealed {
    /// Who may open gets it as it is.
    #[default]
    Pass,
    /// Nobody gets it.
    Refuse,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            held_bytes_max: 32 * 1024 * 1024,
            transcoded_bytes_max: 256 * 1024 * 1024,
            waiting_max: 8,
            identifier_bytes_max: 256 * 1024,
            pending_milliseconds: 250,
            unsealed: Unsealed::Pass,
        }
    }
}

impl Config {
    /// Whether retrievals could work under these limits.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let rows = [
            ("held_bytes_max", self.held_bytes_max as u64, 65_536, 4 << 30),
            ("transcoded_bytes_max", self.transcoded_bytes_max, 65_536, u64::from(u32::MAX)),
            ("waiting_max", self.waiting_max as u64, 1, 1000),
            ("identifier_bytes_max", self.identifier_bytes_max as u64, 1024, 64 << 20),
            ("pending_milliseconds", self.pending_milliseconds, 0, 60_000),
        ];
        bounds::check("release", rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_nothing_is_not() {
        assert_eq!(Config::default().check(), Ok(()));
        let error = Config { waiting_max: 0, ..Config::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "release.waiting_max is 0, it must be from 1 to 1000");
    }
}
