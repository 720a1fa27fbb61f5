//! The limits of the door: how many, how large, how long.

use serde::{Deserialize, Serialize};

use crate::bounds::{self, OutOfBounds};

/// The keys of `[association]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds a new connection may take to ask for an association, and one that was refused to close (ARTIM).
    pub artim_seconds: u64,
    /// Seconds an association may be silent between messages.
    pub idle_seconds: u64,
    /// Seconds from the first byte of a PDU to its last.
    pub pdu_seconds: u64,
    /// Seconds a peer may take to accept what is sent to it, and its machine to acknowledge it.
    pub send_seconds: u64,
    /// Seconds to reach another node and hear whether it associates.
    pub connect_seconds: u64,
    /// Seconds an association may last in all.
    pub association_seconds_max: u64,
    /// Associations at once, in and out of negotiation.
    pub associations_max: usize,
    /// Associations of one peer at once.
    pub associations_per_peer_max: usize,
    /// Connections from one address at once.
    pub associations_per_address_max: usize,
    /// Bytes of a PDU, as the maximum length we announce.
    pub pdu_bytes_max: u32,
    /// Bytes of a command set.
    pub command_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            artim_seconds: 30,
            idle_seconds: 300,
            pdu_seconds: 60,
            send_seconds: 60,
            connect_seconds: 15,
            association_seconds_max: 86_400,
            associations_max: 1000,
            associations_per_peer_max: 200,
            associations_per_address_max: 200,
            pdu_bytes_max: 262_144,
            command_bytes_max: 16_384,
        }
    }
}

impl Config {
    /// Whether associations could work under these limits.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let day = 86_400;
        let rows = [
            ("artim_seconds", self.artim_seconds, 1, day),
            ("idle_seconds", self.idle_seconds, 1, day),
            ("pdu_seconds", self.pdu_seconds, 1, day),
            ("send_seconds", self.send_seconds, 1, day),
            ("connect_seconds", self.connect_seconds, 1, day),
            ("association_seconds_max", self.association_seconds_max, 1, 7 * day),
            ("associations_max", self.associations_max as u64, 1, 100_000),
            ("associations_per_peer_max", self.associations_per_peer_max as u64, 1, 100_000),
            ("associations_per_address_max", self.associations_per_address_max as u64, 1, 100_000),
            ("pdu_bytes_max", u64::from(self.pdu_bytes_max), 4096, 16 * 1024 * 1024),
            ("command_bytes_max", self.command_bytes_max as u64, 1024, 1024 * 1024),
        ];
        bounds::check("association", rows)
    }
}
