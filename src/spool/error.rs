//! What can go wrong in this room: both sides of every disagreement, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::spool::id::EntryId;

/// Everything the room `spool` refuses or fails at.
///
/// The text says what happened; [`SpoolError::advice`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// Another process has the spool open.
    #[error("the spool {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A call to the file system failed, and concerns this one entry.
    #[error("{doing} {}: {source}", path.display())]
    Disk {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The spool has stopped after an error that leaves open what the disk holds.
    #[error("the spool has stopped: {0}")]
    Failed(String),
    /// The spool is as large as it may become.
    #[error("the spool holds or expects {used} bytes, and {wanted} more would pass its limit of {limit}")]
    FullOfBytes {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes taken.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// The spool has as many entries as it may have.
    #[error("the spool has {0} entries, which is its limit")]
    FullOfEntries(u64),
    /// As many entries are being written as may be at once.
    #[error("{0} entries are being written, which is the limit")]
    FullOfDrafts(u64),
    /// The file system is nearly full.
    #[error(
        "{free} bytes are free on the disk of the spool, and {wanted} more would go below the reserve of {reserve}"
    )]
    DiskFull {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes free, without what is promised to others.
        free: u64,
        /// Bytes to be left.
        reserve: u64,
    },
    /// Something is longer than its field.
    #[error("{what} has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A patch reaches over the end of what is written.
    #[error("a patch of {bytes} bytes at {at} reaches over the end at {written}")]
    PatchOutside {
        /// Where it begins.
        at: u64,
        /// How long it is.
        bytes: u64,
        /// How much is written.
        written: u64,
    },
    /// The draft failed before and takes nothing more.
    #[error("the entry being written failed before, and takes nothing more")]
    DraftFailed,
    /// An entry that goes nowhere and is held by nothing would be gone at once.
    #[error("the entry names no destination and nothing holds it")]
    NoDestination,
    /// A destination is named twice.
    #[error("the entry names the destination {0:?} twice, or it is empty")]
    BadDestination(String),
    /// No such entry.
    #[error("the spool has no entry {0}")]
    Unknown(EntryId),
    /// The entry does not go there.
    #[error("entry {id} has no destination {destination:?}")]
    UnknownDestination {
        /// The entry.
        id: EntryId,
        /// The name asked for.
        destination: String,
    },
    /// The entry is being delivered by somebody.
    #[error("entry {id} is just being sent to {destination:?}")]
    InHand {
        /// The entry.
        id: EntryId,
        /// Where it is being sent.
        destination: String,
    },
    /// What is on the disk is not what was written.
    #[error("entry {id} is damaged: {reason}")]
    Damaged {
        /// The entry.
        id: EntryId,
        /// What is wrong.
        reason: String,
    },
    /// Written by a later version of this program.
    #[error("{} has version {found}, this program knows {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// Not the text of an entry's name.
    #[error("{0:?} is not the name of an entry, which is 32 digits and letters a to f")]
    NotAnId(String),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Randomness(io::Error),
}

impl SpoolError {
    /// Makes an error of this room from one of the operating system.
    pub(crate) fn disk<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Disk { doing, path: path.to_owned(), source }
    }

    /// Whether there was no room, which may change, rather than a fault.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::FullOfBytes { .. }
            | Self::FullOfEntries(_)
            | Self::FullOfDrafts(_)
            | Self::DiskFull { .. } => true,
            Self::Disk { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Config(_) => "Change the configuration.",
            Self::Locked(_) => "End the other process, or give this one another spool.folder.",
            Self::Failed(_) => {
                "Look at the disk, then restart: what was acknowledged is verified and found again at the start."
            }
            Self::FullOfBytes { .. } | Self::FullOfEntries(_) => {
                "See why the destinations take nothing; or raise spool.bytes_max or spool.entries_max."
            }
            Self::DiskFull { .. } => "Make room on the disk of the spool.",
            Self::FullOfDrafts(_) => "Try again soon; or raise spool.drafts_max.",
            Self::Damaged { .. } => {
                "The entry is kept in the folder `damaged`; have the instance sent again."
            }
            Self::Version { .. } => "Use the program that wrote it, or a later one.",
            Self::InHand { .. } => "Try again when that attempt has ended.",
            Self::Disk { .. } if self.is_full() => "Make room on the disk of the spool.",
            Self::Disk { .. } | Self::Randomness(_) => "Look at the message of the operating system.",
            Self::Unknown(_) | Self::UnknownDestination { .. } | Self::NotAnId(_) => {
                "List the spool to see what there is."
            }
            Self::TooLong { .. }
            | Self::PatchOutside { .. }
            | Self::DraftFailed
            | Self::NoDestination
            | Self::BadDestination(_) => "This is a fault of the program; please report it.",
        }
    }
}
