//! TLS for every connection (PS3.15 B.12): profiles of certificates and trust, loaded, reloaded, and put to use.

mod buffered;
mod config;
mod connection;
mod error;
mod expiry;
mod facts;
mod files;
mod handshake;
mod material;
mod profiles;
mod suites;

pub use config::{ClientCertificates, ConfigError, Place, PlaceError, Profile};
pub use connection::Connection;
pub use error::{HandshakeError, LoadError};
pub use expiry::{Expiry, WARN_DAYS};
pub use handshake::{Client, Refused, Server};
pub use profiles::{Profiles, Refreshed};
