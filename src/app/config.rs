//! What the process itself is told: where it listens, how long it may take to end, how often it looks around.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The keys of `[app]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Addresses and ports to listen on.
    pub listen: Vec<SocketAddr>,
    /// After the first SIGTERM: how long messages in hand may take to finish.
    pub drain_seconds_max: u64,
    /// How often host names in peers' addresses are resolved again.
    pub resolve_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 11112))],
            drain_seconds_max: 30,
            resolve_seconds: 300,
        }
    }
}

/// Why `[app]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nowhere to listen.
    #[error("app.listen is empty: name at least one address and port, for example \"0.0.0.0:11112\"")]
    NoListener,
    /// The same address and port twice.
    #[error("app.listen has {0} twice")]
    ListenerTwice(SocketAddr),
    /// A time of zero.
    #[error("app.{0} is 0 seconds: give it at least 1")]
    Zero(&'static str),
}

impl Config {
    /// Whether the process could run by it.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.listen.is_empty() {
            return Err(ConfigError::NoListener);
        }
        for (index, address) in self.listen.iter().enumerate() {
            // Port 0 asks the system for a free one, so it may stand there more than once.
            if address.port() != 0 && self.listen.iter().take(index).any(|earlier| earlier == address) {
                return Err(ConfigError::ListenerTwice(*address));
            }
        }
        if self.resolve_seconds == 0 {
            return Err(ConfigError::Zero("resolve_seconds"));
        }
        Ok(())
    }
}
