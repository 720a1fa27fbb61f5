//! Sealgate: a DICOM gateway that seals pixel data on the way into the PACS and opens it on the way out.
//!
//! This file is the map. Each module is a room with one owner's question; `docs/ARCHITECTURE.md` says which room
//! may know which, and a test holds the sources to it.

/// The words: UIDs, AE titles, SOP classes, transfer syntaxes, statuses; checked on the way in.
pub mod dicom;
/// Key encryption keys, the wraps made with them, the sidecar key store, rotation, backup.
pub mod keys;
/// The sealed form: envelope, stream, carrier, and the bounded scanner in front of them.
pub mod seal;
