//! Why an image cannot be decompressed, or compressed.

use dicom_core::Tag;

use crate::seal::scan::ScanError;

/// Why an image cannot be decompressed, or compressed. What the peer hears is a failed sub-operation.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// No codec.
    #[error("images in {0} are not decompressed here: let the receiver take that transfer syntax")]
    Syntax(&'static str),
    /// No codec that writes.
    #[error("images are not compressed to {0} here: let the receiver take another transfer syntax")]
    NoEncoder(&'static str),
    /// An image that the codec does not write as it is.
    #[error(
        "{syntax} is not written for it, as {what} is {value}: let the receiver take another transfer syntax"
    )]
    Unfit {
        /// The transfer syntax.
        syntax: &'static str,
        /// What is in the way.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// The codec has written something else.
    #[error("a frame that was compressed comes back otherwise than it was, so it is not sent")]
    NotTheSame,
    /// The data set.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// An element that is too large to be taken over.
    #[error("({:04X},{:04X}) is too large for the header of an image", .0.0, .0.1)]
    Element(Tag),
    /// No image.
    #[error("it has no pixels")]
    NoPixels,
    /// An attribute that an image has to have.
    #[error("({:04X},{:04X}) is missing, or has a value that no image has", .tag.0, .tag.1)]
    Attribute {
        /// Which.
        tag: Tag,
    },
    /// More than is decompressed.
    #[error("it would have {bytes} bytes of pixels, the limit is {max} (release.transcoded_bytes_max)")]
    TooLarge {
        /// Bytes of pixels.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Fragments that no frames can be made of.
    #[error("its {fragments} fragments do not make {frames} frames")]
    Fragments {
        /// Fragments there are.
        fragments: usize,
        /// Frames there should be.
        frames: u32,
    },
    /// A frame that is not what the header says.
    #[error("a frame is {have}, the header says {wanted}")]
    Frame {
        /// What the codec says.
        have: String,
        /// What the header says.
        wanted: String,
    },
    /// Colours that are not known in this syntax.
    #[error("Photometric Interpretation {0:?} is not known in this transfer syntax")]
    Photometric(String),
    /// What the codec says.
    #[error("the codec says of a frame: {0}")]
    Codec(String),
    /// The codec has failed in itself.
    #[error("the codec broke down over it")]
    Panicked,
}
