//! What an operator can set about forwarding and acknowledging.

use serde::{Deserialize, Serialize};

use crate::bounds::{self, OutOfBounds};

/// The keys of `[forward]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds before a failed delivery is tried again; doubled with each failure.
    pub retry_seconds_min: u64,
    /// Seconds between two tries at most.
    pub retry_seconds_max: u64,
    /// Refusals of the instance itself, such as A900H or C000H, after which it is set aside for an operator.
    pub refusals_max: u32,
    /// Seconds that a modality waits for the PACS on a route with `acknowledge = "forwarded"`.
    pub acknowledge_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { retry_seconds_min: 5, retry_seconds_max: 900, refusals_max: 5, acknowledge_seconds_max: 60 }
    }
}

impl Config {
    /// Whether forwarding could work by it.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let day = 86_400;
        let rows = [
            ("retry_seconds_min", self.retry_seconds_min, 1, day),
            ("retry_seconds_max", self.retry_seconds_max, self.retry_seconds_min, day),
            ("refusals_max", u64::from(self.refusals_max), 1, 1000),
            ("acknowledge_seconds_max", self.acknowledge_seconds_max, 1, day),
        ];
        bounds::check("forward", rows)
    }
}
