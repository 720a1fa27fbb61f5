//! Sealgate: a DICOM gateway that seals pixel data on the way into the PACS and opens it on the way out.
//!
//! This file is the map. Each module is a room with one owner's question; `docs/ARCHITECTURE.md` says which room
//! may know which, and a test holds the sources to it.
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::format_collect,
        clippy::large_stack_arrays,
        clippy::needless_for_each,
        reason = "tests compare figures that are exact, and are read more often than they run"
    )
)]

/// Builds the rooms, opens the doors, drains.
pub mod app;
/// DICOM associations: bytes in, typed requests out.
pub mod association;
/// The audit trail: events as the standard's messages, in a chained log and at repositories.
pub mod audit;
/// Numbers of the configuration that have a least and a most.
pub mod bounds;
/// Inner layers that lie under the standard seal.
pub mod cipher;
/// The command line, one file per subcommand.
pub mod cli;
/// Who may run which command, and what takes two persons.
pub mod custody;
/// The trial: a gateway between real images and a small archive, for a first look.
pub mod demo;
/// The words: UIDs, AE titles, SOP classes, transfer syntaxes, statuses; checked on the way in.
pub mod dicom;
/// Statistics and reports over keys and ciphertexts.
pub mod evaluate;
/// The stories: intake, forward, release.
pub mod flow;
/// The file of emergency accesses.
pub mod grants;
/// Carrying keys to another site: files, QR codes, pictures.
pub mod handover;
/// Metrics, health and the admin page.
pub mod http;
/// User identities: passwords and tokens, verified.
pub mod identity;
/// The generator: its model, the integer-exact engine, and key images made ahead of need.
pub mod keygen;
/// Key encryption keys, the wraps made with them, the sidecar key store, rotation, backup.
pub mod keys;
/// Who may do what: permits and refusals, decided from rules alone.
pub mod policy;
/// A PACS tried out before it is used.
pub mod probe;
/// The services we offer.
pub mod scp;
/// The services we use towards other nodes.
pub mod scu;
/// The sealed form: envelope, stream, carrier, and the bounded scanner in front of them.
pub mod seal;
/// The configuration: file, environment and flags, checked as a whole.
pub mod settings;
/// Bytes that survive a crash, in order; it knows no DICOM.
pub mod spool;
/// The log, the metrics, and how the gateway is at a moment.
pub mod telemetry;
/// TLS for every connection: certificates, trust, and what is made of them.
pub mod tls;
/// Compressed images made native for viewers that take no other form.
pub mod transcode;
