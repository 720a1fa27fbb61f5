//! The keys of `[http]`: where the web server listens, who may log in, and what a browser may cost.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The keys of `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; without one there is no web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The TLS profile; without one it listens on this machine alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// File with those who may log in to the admin page; without it there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// An evaluation report, as `sealgate evaluate` writes it, to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<PathBuf>,
    /// Connections at once; further ones are closed.
    pub connections_max: usize,
    /// Seconds from a connection, or from one answer, to the end of the next request's header.
    pub header_seconds: u64,
    /// Seconds that a request may take from its header to its answer.
    pub request_seconds: u64,
    /// Bytes of a request's header.
    pub header_bytes_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Minutes after which somebody who does nothing has to log in again.
    pub session_minutes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: None,
            tls: None,
            users: None,
            report: None,
            connections_max: 64,
            header_seconds: 10,
            request_seconds: 30,
            header_bytes_max: 16_384,
            body_bytes_max: 65_536,
            session_minutes: 30,
        }
    }
}

/// Why `[http]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Passwords and what is behind them would go over the network in clear.
    #[error(
        "http.address is {0}, which others can reach, and http.tls is not set: name a tls profile, or listen on 127.0.0.1 \
         and let a proxy that speaks TLS call it there"
    )]
    InClear(SocketAddr),
    /// A number out of its range.
    #[error("http.{key} is {found}, it has to be from {least} to {most}")]
    Range {
        /// Which.
        key: &'static str,
        /// What it is.
        found: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
}

impl Config {
    /// Whether the web server could run by it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("connections_max", self.connections_max as u64, 1, 10_000),
            ("header_seconds", self.header_seconds, 1, 600),
            ("request_seconds", self.request_seconds, 1, 3_600),
            // Less is less than hyper reads at once.
            ("header_bytes_max", self.header_bytes_max as u64, 8_192, 1_048_576),
            ("body_bytes_max", self.body_bytes_max as u64, 1_024, 1_048_576),
            ("session_minutes", self.session_minutes, 1, 1_440),
        ];
        for (key, found, least, most) in ranges {
            if !(least..=most).contains(&found) {
                return Err(ConfigError::Range { key, found, least, most });
            }
        }
        match self.address {
            Some(address) if self.tls.is_none() && !address.ip().is_loopback() => {
                Err(ConfigError::InClear(address))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_reach_it_through_tls_or_not_at_all() {
        let at = |address: &str, tls: Option<&str>| Config {
            address: Some(address.parse().unwrap()),
            tls: tls.map(ToOwned::to_owned),
            ..Config::default()
        };
        for good in
            [Config::default(), at("127.0.0.1:8080", None), at("[::1]:0", None), at("0.0.0.0:443", Some("x"))]
        {
            good.check().unwrap();
        }
        for bad in [at("0.0.0.0:8080", None), at("192.0.2.1:80", None), at("[::]:80", None)] {
            assert!(matches!(bad.check(), Err(ConfigError::InClear(_))), "{bad:?}");
        }
        assert!(Config { header_bytes_max: 1, ..Config::default() }.check().is_err());
    }
}
