//! The limits of what we ask of other nodes: how long, how much, how many at once.

use serde::{Deserialize, Serialize};

use crate::association;
use crate::bounds::{self, OutOfBounds};

/// The keys of `[scu]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds a peer may take to answer a request that has one response, such as C-STORE.
    pub answer_seconds: u64,
    /// Seconds between two responses of C-FIND, C-MOVE or C-GET.
    pub pending_seconds: u64,
    /// Seconds a data set that we send may pause because its next piece is not ready here.
    pub source_seconds: u64,
    /// Bytes of an identifier or another data set that is held in memory.
    pub identifier_bytes_max: usize,
    /// Associations to one destination at once.
    pub associations_per_destination_max: usize,
    /// Operations after which an association is released and a new one made.
    pub operations_per_association_max: u64,
    /// Seconds an association is kept open for the next instance.
    pub reuse_seconds: u64,
    /// Seconds to wait until one of the associations to a destination is free.
    pub lease_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            answer_seconds: 120,
            pending_seconds: 600,
            source_seconds: 60,
            identifier_bytes_max: 4 * 1024 * 1024,
            associations_per_destination_max: 4,
            operations_per_association_max: 10_000,
            reuse_seconds: 10,
            lease_seconds: 300,
        }
    }
}

impl Config {
    /// Whether services could work under these limits.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let day = 86_400;
        let rows = [
            ("answer_seconds", self.answer_seconds, 1, day),
            ("pending_seconds", self.pending_seconds, 1, day),
            ("source_seconds", self.source_seconds, 1, day),
            ("identifier_bytes_max", self.identifier_bytes_max as u64, 1024, 256 * 1024 * 1024),
            ("associations_per_destination_max", self.associations_per_destination_max as u64, 1, 1000),
            ("operations_per_association_max", self.operations_per_association_max, 1, 1_000_000_000),
            ("reuse_seconds", self.reuse_seconds, 0, day),
            ("lease_seconds", self.lease_seconds, 1, day),
        ];
        bounds::check("scu", rows)
    }

    /// The limits of an association that we ask for: those of the door, but as patient as the services on it.
    #[must_use]
    pub fn limits(&self, door: &association::Config) -> association::Config {
        let idle_seconds = self.answer_seconds.max(self.pending_seconds);
        association::Config { idle_seconds, ..door.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_nothing_is_not() {
        assert_eq!(Config::default().check(), Ok(()));
        let error = Config { answer_seconds: 0, ..Config::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "scu.answer_seconds is 0, it must be from 1 to 86400");
    }

    #[test]
    fn an_association_is_as_patient_as_its_services() {
        let config = Config { pending_seconds: 900, ..Config::default() };
        assert_eq!(config.limits(&association::Config::default()).idle_seconds, 900);
    }
}
