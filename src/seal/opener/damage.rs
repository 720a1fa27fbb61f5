//! What a PACS did to a sealed instance that no longer opens, told from what it says about the pixels now.

use dicom_core::Tag;

use crate::dicom::Encoding;
use crate::seal::scan::{Element, ImageAttributes};

const LOSSY_COMPRESSION: Tag = Tag(0x0028, 0x2110);
const LOSSY_METHOD: Tag = Tag(0x0028, 0x2114);

/// Harm without intent, as an archive does it. An attack is a chunk that is not authentic, or a wrong commitment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Compressed with loss: the stream is gone for good.
    #[error(
        "its pixels are noise of another kind now: the PACS compressed them with loss{method}, which destroys them; \
         get the instance from a backup or store it again, and turn lossy compression off for what Sealgate stores"
    )]
    Lossy {
        /// Lossy Image Compression Method (0028,2114), with a space and parentheses around it; empty if not said.
        method: String,
    },
    /// Described as something other than the carrier: rescaled, or converted into another colour space.
    #[error(
        "the PACS converted its pixels: they are {found} now, and a carrier is MONOCHROME2 with all bits used; \
         turn conversion off for what Sealgate stores, and get the instance from a backup or store it again"
    )]
    Converted {
        /// Photometric interpretation, samples and bits.
        found: String,
    },
    /// The first bytes are no header.
    #[error(
        "its pixels no longer begin with the header of a sealed image: the PACS, or somebody, wrote over them or \
         processed them; get the instance from a backup or store it again"
    )]
    Overwritten,
    /// Fewer bytes than the stream has.
    #[error(
        "only {have} of its {needed} bytes of pixels are left: the PACS cut it off, or the transfer ended early"
    )]
    Shortened {
        /// Bytes of Pixel Data.
        have: u64,
        /// Fixed header and stream.
        needed: u64,
    },
    /// No pixel data any more.
    #[error("it has no pixels any more")]
    NoPixels,
}

/// What is gathered about the pixels on the way.
pub(super) struct Signs {
    attributes: ImageAttributes,
    lossy: bool,
    method: String,
}

impl Signs {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { attributes: ImageAttributes::new(encoding), lossy: false, method: String::new() }
    }

    /// Looks at an element of the header. What cannot be read says nothing: this is about messages.
    pub(super) fn take(&mut self, element: &Element<'_>) {
        match element.tag {
            LOSSY_COMPRESSION => self.lossy = element.value.starts_with(b"01"),
            LOSSY_METHOD => self.method = method(element.value),
            _ => {
                let _unreadable = self.attributes.take(element);
            }
        }
    }

    /// Why the pixels of an instance that was sealed do not begin with a fixed header.
    pub(super) fn explain(&self) -> Damage {
        if self.lossy {
            return Damage::Lossy { method: self.method.clone() };
        }
        match self.attributes.image() {
            Ok(image)
                if image.photometric != "MONOCHROME2"
                    || image.samples != 1
                    || !matches!(image.bits_allocated, 1 | 8 | 16)
                    || image.bits_stored != image.bits_allocated =>
            {
                let found = format!(
                    "{} with {} samples of {} bits in {}",
                    image.photometric, image.samples, image.bits_stored, image.bits_allocated
                );
                Damage::Converted { found }
            }
            _ => Damage::Overwritten,
        }
    }
}

/// The last of the methods, which is what was done last, if it is made of the characters of a code string.
fn method(value: &[u8]) -> String {
    let last = value.rsplit(|byte| *byte == b'\\').next().unwrap_or_default().trim_ascii();
    let is_code = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match std::str::from_utf8(last) {
        Ok(text) if !text.is_empty() && text.len() <= 16 && last.iter().all(is_code) => format!(" ({text})"),
        _ => String::new(),
    }
}
