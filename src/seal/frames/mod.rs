//! One frame of a sealed instance: opened, and proven to be that frame, without the others.
//!
//! `docs/FORMAT.md` section 11. Chunks are authenticated by themselves at their places under a key that belongs to one instance,
//! and the last one says how many there are; the original's header, which says where a frame lies, is in them too. So only
//! the chunks of the header, of the frame, and the last one are read.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod plain;
mod records;
mod sealed;
mod whereabouts;

use std::io::{self, Read, Seek};

use zeroize::Zeroizing;

use self::records::Records;
use self::sealed::Place;
use self::whereabouts::Pixels;
use super::claim::Claim;
use super::derive::Binding;
use super::file::FileError;
use super::header::HeaderError;
use super::key::ContentKey;
use super::opener::OpenError;
use super::record::{Original, RecordError};
use super::scan::{Image, ScanError};
use super::signature::{SignatureError, SignerKey};
use super::stream::StreamError;
use crate::cipher::{CipherError, Layers};

/// A frame of an original.
pub struct Frame {
    /// Its number; the first one is 1 (PS3.3 C.7.6.6).
    pub number: u32,
    /// The image that it is of, with all its frames.
    pub image: Image,
    /// Native pixels, or the fragments of the compressed frame one after the other; erased when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// What the original was.
    pub original: Original,
    /// The key that opened it, and the instance that it is bound to.
    pub binding: Binding,
    /// Who claims to have signed. That the signature is good only the whole stream tells.
    pub signer: Option<SignerKey>,
    /// How many chunks were read, each counted as often as it was.
    pub chunks_read: u64,
    /// How many the stream has.
    pub chunks: u64,
}

/// Why a frame cannot be had by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is no frame of this number.
    #[error("there is no frame {asked}, the image has frames 1 to {frames}")]
    Number {
        /// Which was asked for.
        asked: u32,
        /// How many there are.
        frames: u32,
    },
    /// What is deflated is read from its first byte.
    #[error("{0} is deflated, so that no part of it can be read by itself; open the whole instance")]
    Deflated(&'static str),
    /// The original has fewer pixels than its header says.
    #[error(
        "the original's pixels are shorter than its header says, so that nobody knows where a frame is; open the whole instance"
    )]
    Pixels,
    /// Nothing says which fragments belong to which frame.
    #[error(
        "the original's {fragments} fragments are not one for each of its {frames} frames, and it has no good offset table; \
         open the whole instance"
    )]
    Fragments {
        /// Fragments.
        fragments: u64,
        /// Frames.
        frames: u32,
    },
    /// More records than are held.
    #[error(
        "the sealed data set is cut into more than {0} records before this frame; open the whole instance"
    )]
    Records(usize),
    /// An archive harmed the pixels.
    #[error(
        "the instance was sealed, but its pixels do not begin like sealed ones any more; opening the whole instance says why"
    )]
    Harmed,
}

/// What goes wrong on the way.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Open(OpenError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

macro_rules! faults {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Open(error.into())
            }
        }
    )*};
}

faults!(OpenError, FrameError, CipherError, HeaderError, RecordError, ScanError, SignatureError, StreamError);

impl<E> From<Fault> for FileError<E> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Io(error),
            Fault::Open(error) => Self::Open(error),
        }
    }
}

/// Opens frame `number` of a sealed file, the first being 1. What it gives is authentic, whatever became of other frames.
pub fn open_frame<R: Read + Seek, E>(
    file: R,
    number: u32,
    layers: &Layers,
    find_key: impl FnOnce(&Claim) -> Result<ContentKey, E>,
) -> Result<Frame, FileError<E>> {
    let place = Place::find(file)?;
    let key = find_key(&place.claim).map_err(FileError::Key)?;
    Ok(frame(place, number, &key, layers)?)
}

fn frame<R: Read + Seek>(
    place: Place<R>,
    number: u32,
    key: &ContentKey,
    layers: &Layers,
) -> Result<Frame, Fault> {
    let (binding, signer) = (place.claim.binding.clone(), place.claim.signer);
    let (mut records, original) = Records::begin(place.open(key, layers)?)?;
    let pixels = Pixels::find(&mut records, &original)?;
    let bytes = pixels.frame(&mut records, number)?;
    let (chunks_read, chunks) = records.chunks();
    Ok(Frame { number, image: pixels.image, bytes, original, binding, signer, chunks_read, chunks })
}
