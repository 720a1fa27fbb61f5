//! The one integration test binary; each module is a subject.
#![allow(
    clippy::unwrap_used,
    reason = "the lint knows tests by their attribute, and their helpers have none"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::excessive_nesting,
    clippy::format_collect,
    clippy::type_complexity,
    clippy::unnecessary_debug_formatting,
    reason = "tests make their data up, and know how large it is"
)]

mod alarms;
mod architecture;
mod association;
mod audit;
mod custody;
mod demo;
mod errors;
mod evaluate;
mod faults;
mod gateway;
mod generator;
mod generator_shipped;
mod handover;
mod harden;
mod help;
mod hostile;
mod hostile_data;
mod http;
mod identity;
mod inspect;
mod keys;
mod mount;
mod ports;
mod process;
mod scan;
mod scu;
mod scu_pool;
mod seal;
mod seal_chaos;
mod seal_dual;
mod seal_frames;
mod seal_golden;
mod seal_kinds;
mod seal_layers;
mod seal_signed;
mod seal_xor;
mod services;
mod settings;
mod settings_document;
mod spool;
mod taker;
mod tls;
mod weak;
mod wire;

#[cfg(feature = "peers")]
mod commitment;
#[cfg(feature = "peers")]
mod mpps;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod peers_audit;
#[cfg(feature = "peers")]
mod peers_commit;
#[cfg(feature = "peers")]
mod peers_disk;
#[cfg(feature = "peers")]
mod peers_echo;
#[cfg(feature = "peers")]
mod peers_format;
#[cfg(feature = "peers")]
mod peers_probe;
#[cfg(feature = "peers")]
mod peers_query;
#[cfg(feature = "peers")]
mod peers_retrieve;
#[cfg(feature = "peers")]
mod peers_seal;
#[cfg(feature = "peers")]
mod peers_senders;
#[cfg(feature = "peers")]
mod peers_store;
#[cfg(feature = "peers")]
mod peers_tls;
#[cfg(feature = "peers")]
mod peers_tls_matrix;
#[cfg(feature = "peers")]
mod peers_tls_way;
#[cfg(feature = "peers")]
mod peers_token;
#[cfg(feature = "peers")]
mod query;
#[cfg(feature = "peers")]
mod retrieve;
#[cfg(feature = "peers")]
mod seal_command;
#[cfg(feature = "peers")]
mod store;
#[cfg(feature = "peers")]
mod worklist;
