//! The one integration test binary; each module is a subject.
#![allow(
    clippy::unwrap_used,
    reason = "the lint knows tests by their attribute, and their helpers have none"
)]

mod architecture;
mod association;
mod gateway;
mod hostile;
mod inspect;
mod keys;
mod process;
mod scan;
mod scu;
mod scu_pool;
mod services;
mod settings;
mod taker;
mod wire;

#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod peers_commit;
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
mod peers_store;
#[cfg(feature = "peers")]
mod peers_token;
