//! Why a sealed instance does not open, each with what to do about it.

use std::io;

use dicom_core::Tag;

use super::damage::Damage;
use crate::cipher::CipherError;
use crate::dicom::Uid;
use crate::seal::frames::FrameError;
use crate::seal::header::HeaderError;
use crate::seal::key::KeyId;
use crate::seal::record::RecordError;
use crate::seal::scan::ScanError;
use crate::seal::signature::SignatureError;
use crate::seal::stream::StreamError;

/// Why a sealed instance does not open. Nothing that came out before is to be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not sealed, and nothing says that it ever was.
    #[error("the instance is not sealed")]
    NotSealed,
    /// It was sealed, and a PACS harmed its pixels since.
    #[error("the instance was sealed, but {0}")]
    Damaged(Damage),
    /// A sealed form that this program does not know.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The sealed instance is no good data set, or what came out of it is none.
    #[error(transparent)]
    Scan(ScanError),
    /// It comes in a transfer syntax in which a sealed instance cannot be read.
    #[error(
        "the sealed instance comes in transfer syntax {0}, and opens from Implicit or Explicit VR Little Endian \
         only; let the PACS send one of these (a lossless compression can be undone, a lossy one cannot)"
    )]
    TransferSyntax(Uid),
    /// The original's transfer syntax is not known.
    #[error(
        "the original is in transfer syntax {0}, which this program does not know; only --original opens it"
    )]
    OriginalSyntax(Uid),
    /// No UID to bind a key to.
    #[error("{0} is missing or no UID, so no key belongs to the instance")]
    Uid(Tag),
    /// The key is not to be had; who was asked knows why.
    #[error("the content key {0} could not be had")]
    NoKey(KeyId),
    /// Wrong key, or changed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The gateway's signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The inner layer of its suite cannot be taken off.
    #[error(transparent)]
    Layer(#[from] CipherError),
    /// A frame cannot be had by itself.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Sealed wrongly.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The bytes behind the stream are not zero.
    #[error(
        "byte {at} of the pixels, behind the sealed stream, is not 0: it was changed after it was sealed; get the instance from a backup, or have it stored again"
    )]
    Padding {
        /// Counted from the first byte of the pixels.
        at: u64,
    },
    /// The header of a deflated original is too large to compare.
    #[error("the header of the deflated original takes more than can be held; only --original opens it")]
    HeaderTooLarge,
    /// The opened bytes cannot be handed on.
    #[error("the opened instance cannot be written: {0}; check the disk, and who may write there")]
    Sink(#[from] io::Error),
}
