//! What the process itself is told: where it listens, how long it may take to end, how often it looks around.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::tls::ClientCertificates;

/// The keys of `[app]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// After the first SIGTERM: how long messages in hand may take to finish.
    pub drain_seconds_max: u64,
    /// How often host names in peers' addresses are resolved again.
    pub resolve_seconds: u64,
    /// How often the files of TLS profiles are looked at.
    pub tls_files_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { drain_seconds_max: 30, resolve_seconds: 300, tls_files_seconds: 60 }
    }
}

/// One entry of `[[listeners]]`: where calls are taken, in clear or through TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// The TLS profile; without one the listener takes plain DICOM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Whether callers are asked for a certificate; with TLS they have to show one unless this says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
}

impl Listener {
    /// One for plain DICOM.
    #[must_use]
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, client_certificates: None }
    }

    /// The listeners of a configuration that names none: this machine only.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        vec![Self::plain(SocketAddr::from(([127, 0, 0, 1], 11112)))]
    }

    /// What callers are asked for, on a TLS listener.
    #[must_use]
    pub fn asks(&self) -> ClientCertificates {
        self.client_certificates.unwrap_or(ClientCertificates::Required)
    }

    /// How messages speak of it.
    #[must_use]
    pub fn words(&self) -> String {
        format!("listener {}", self.address)
    }

    /// Whether the listeners can stand side by side.
    pub fn check_all(listeners: &[Self]) -> Result<(), ConfigError> {
        if listeners.is_empty() {
            return Err(ConfigError::NoListener);
        }
        for (index, listener) in listeners.iter().enumerate() {
            let address = listener.address;
            // Port 0 asks the system for a free one, so it may stand there more than once.
            if address.port() != 0 && listeners.iter().take(index).any(|earlier| earlier.address == address) {
                return Err(ConfigError::ListenerTwice(address));
            }
            if listener.tls.is_none() && listener.client_certificates.is_some() {
                return Err(ConfigError::CertificatesWithoutTls(address));
            }
        }
        Ok(())
    }
}

/// Why `[app]` or `[[listeners]]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nowhere to listen.
    #[error(
        "listeners is empty: name at least one, for example [[listeners]] with address = \"0.0.0.0:11112\""
    )]
    NoListener,
    /// The same address and port twice.
    #[error("listeners has {0} twice: leave one of them out")]
    ListenerTwice(SocketAddr),
    /// Certificates are shown in TLS only.
    #[error("listener {0} has client_certificates without tls: name a tls profile, or leave it out")]
    CertificatesWithoutTls(SocketAddr),
    /// A time of zero.
    #[error("app.{0} is 0 seconds: give it at least 1")]
    Zero(&'static str),
}

impl Config {
    /// Whether the process could run by it.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.resolve_seconds == 0 {
            return Err(ConfigError::Zero("resolve_seconds"));
        }
        if self.tls_files_seconds == 0 {
            return Err(ConfigError::Zero("tls_files_seconds"));
        }
        Ok(())
    }
}
