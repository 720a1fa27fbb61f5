//! Why an instance was not taken in, with the status that its sender gets.

use dicom_core::Tag;

use crate::dicom::{Status, Uid};
use crate::keys::KeysError;
use crate::seal::SealError;
use crate::seal::scan::ScanError;
use crate::spool::SpoolError;

/// An instance that was not taken in. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It is damaged.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Its key cannot be kept.
    #[error("its key cannot be kept: {0}")]
    Keys(#[from] KeysError),
    /// It may be sealed already, and who could say so cannot be asked.
    #[error("it says that it is sealed, and whether that is so cannot be found out: {0}")]
    Claim(#[source] KeysError),
    /// It cannot be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No route takes it.
    #[error("no route takes it (modality {modality}, station {station}, class {class}): add a route for it")]
    NoRoute {
        /// Modality, or `none`.
        modality: String,
        /// Station Name, or `none`.
        station: String,
        /// SOP Class UID.
        class: Uid,
    },
    /// Objects without pixels are refused on its route.
    #[error("it has no pixels, and route {0:?} refuses such objects")]
    NoPixels(String),
    /// Objects without pixels are sealed on its route, and it has no document that could be.
    #[error("it has neither pixels nor a document, and route {0:?} takes only what can be sealed")]
    NothingToSeal(String),
    /// It has pixels, and its class has none.
    #[error("it has pixels, and instances of class {0} have none")]
    Pixels(Uid),
    /// It is too large for what it turned out to be.
    #[error("it has no pixels in its first {0} bytes, and its class is not known to have none")]
    Undecided(usize),
    /// The PACS refused it, on a route that waits for the PACS.
    #[error("destination {destination:?} answered {status}")]
    Destination {
        /// Its name.
        destination: String,
        /// Its answer.
        status: Status,
    },
    /// The PACS did not take it in time, on a route that waits for the PACS.
    #[error("destination {0:?} has not taken it in time; it stays in the spool and is tried again")]
    NotInTime(String),
    /// A task of ours died.
    #[error("a task of the gateway ended before it was done")]
    Task,
}

impl Refused {
    /// The status of the response (PS3.4 table B.2-1).
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Seal(SealError::Uid { .. }) => Status::DATA_SET_MISMATCH,
            Self::Claim(KeysError::Destroyed { .. }) => Status::CANNOT_UNDERSTAND,
            Self::Seal(SealError::Scan(error)) | Self::Scan(error) => error.status(),
            Self::Seal(
                SealError::Sink(_) | SealError::NoEntropy(_) | SealError::Stream(_) | SealError::Layer(_),
            )
            | Self::Keys(_)
            | Self::Claim(_)
            | Self::Spool(_)
            | Self::NoRoute { .. }
            | Self::NotInTime(_)
            | Self::Task => Status::OUT_OF_RESOURCES,
            Self::Seal(_)
            | Self::NoPixels(_)
            | Self::NothingToSeal(_)
            | Self::Pixels(_)
            | Self::Undecided(_) => Status::CANNOT_UNDERSTAND,
            Self::Destination { status, .. } => *status,
        }
    }

    /// The element it is about, for Offending Element (0000,0901).
    #[must_use]
    pub fn offending(&self) -> Option<Tag> {
        match self {
            Self::Seal(SealError::Uid { tag, .. } | SealError::NoUid(tag)) => Some(*tag),
            Self::Seal(SealError::Scan(error)) | Self::Scan(error) => error.tag(),
            _ => None,
        }
    }

    /// The word for it in metrics.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Seal(SealError::Scan(_) | SealError::Uid { .. } | SealError::NoUid(_)) | Self::Scan(_) => {
                "damaged"
            }
            Self::Seal(SealError::Sink(_)) | Self::Spool(_) => "spool",
            Self::Seal(_) => "not-sealed",
            Self::Keys(_) | Self::Claim(_) => "keys",
            Self::NoRoute { .. } => "no-route",
            Self::NoPixels(_) | Self::NothingToSeal(_) | Self::Pixels(_) | Self::Undecided(_) => "pixels",
            Self::Destination { .. } => "destination",
            Self::NotInTime(_) => "not-in-time",
            Self::Task => "internal",
        }
    }

    /// Whether the fault is on our side: worth an error in the log and not a line about a peer.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.status() == Status::OUT_OF_RESOURCES && !matches!(self, Self::NotInTime(_))
    }

    /// What the sender is told, without anything of the patient's: up to 64 characters go over the wire.
    #[must_use]
    pub fn comment(&self) -> &'static str {
        match self {
            Self::Seal(SealError::Uid { .. }) => "UIDs of command and data set differ",
            Self::Seal(SealError::Scan(_)) | Self::Scan(_) => "the data set is damaged",
            Self::Seal(SealError::TooLarge(_)) => "too large for native pixel data",
            Self::Seal(SealError::Frames { .. }) => "more frames than bytes",
            Self::Seal(SealError::Header) => "too much in front of the pixels",
            Self::Seal(SealError::TransferSyntax(_)) => "transfer syntax not supported",
            Self::Seal(SealError::NoUid(_)) => "SOP Class or Instance UID is missing",
            Self::Seal(SealError::Sink(_)) | Self::Spool(_) => "the gateway's spool cannot take it",
            Self::Seal(SealError::Layer(_)) => "the gateway's generator cannot be used",
            Self::Seal(_) => "cannot be sealed",
            Self::Keys(_) => "the gateway's keys cannot be used",
            Self::Claim(KeysError::Destroyed { .. }) => "it is sealed, and its key was destroyed",
            Self::Claim(_) => "it may be sealed, and the keys cannot be asked",
            Self::NoRoute { .. } => "no route of the gateway takes it",
            Self::NoPixels(_) => "no pixels, refused on this route",
            Self::NothingToSeal(_) => "nothing in it can be sealed, refused on this route",
            Self::Pixels(_) => "pixels in a class without pixels",
            Self::Undecided(_) => "no pixels found in a large object",
            Self::Destination { .. } => "refused by the archive",
            Self::NotInTime(_) => "the archive has not answered in time",
            Self::Task => "internal failure",
        }
    }
}
