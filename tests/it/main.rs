//! The one integration test binary; each module is a subject.
#![allow(
    clippy::unwrap_used,
    reason = "the lint knows tests by their attribute, and their helpers have none"
)]

mod architecture;
mod association;
mod evaluate;
mod gateway;
mod hostile;
mod identity;
mod inspect;
mod keys;
mod process;
mod scan;
mod seal;
mod seal_golden;
mod seal_kinds;
mod services;
mod settings;
mod spool;
mod tls;
mod wire;

#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod peers_disk;
#[cfg(feature = "peers")]
mod peers_echo;
#[cfg(feature = "peers")]
mod peers_format;
#[cfg(feature = "peers")]
mod peers_query;
#[cfg(feature = "peers")]
mod peers_retrieve;
#[cfg(feature = "peers")]
mod peers_seal;
#[cfg(feature = "peers")]
mod peers_store;
#[cfg(feature = "peers")]
mod peers_tls;
#[cfg(feature = "peers")]
mod peers_token;
#[cfg(feature = "peers")]
mod seal_command;
