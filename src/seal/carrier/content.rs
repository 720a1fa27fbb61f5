//! What of an instance is sealed, and stands in the carrier as ciphertext: an image's pixels, or a document.

use dicom_core::Tag;

use crate::dicom::{Uid, is_document};
use crate::seal::element::{ENCAPSULATED_DOCUMENT, PIXEL_DATA, is_pixel_data};

/// By its class alone, so that sealer and opener agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::seal) enum Content {
    Pixels,
    Document,
}

impl Content {
    /// What there is to seal in an instance of this class.
    pub(in crate::seal) fn of(sop_class: &Uid) -> Self {
        if is_document(sop_class.as_str()) { Self::Document } else { Self::Pixels }
    }

    /// The element of the carrier that holds the stream.
    pub(in crate::seal) const fn carrier_tag(self) -> Tag {
        match self {
            Self::Pixels => PIXEL_DATA,
            Self::Document => ENCAPSULATED_DOCUMENT,
        }
    }

    /// Whether the original has under this tag what is sealed.
    pub(in crate::seal) fn is_under(self, tag: Tag) -> bool {
        match self {
            Self::Pixels => is_pixel_data(tag),
            Self::Document => tag == ENCAPSULATED_DOCUMENT,
        }
    }
}
