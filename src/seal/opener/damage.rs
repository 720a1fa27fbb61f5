//! What a PACS did to a sealed instance that no longer opens, told from what it says about the pixels now.

use dicom_core::Tag;

use crate::dicom::Encoding;
use crate::seal::header::MAGIC;
use crate::seal::scan::{Element, Image, ImageAttributes};

const LOSSY_COMPRESSION: Tag = Tag(0x0028, 0x2110);
const LOSSY_METHOD: Tag = Tag(0x0028, 0x2114);

/// Harm without intent, as an archive does it. An attack is a chunk that is not authentic, or a wrong commitment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Compressed with loss: the stream is gone for good.
    #[error(
        "its pixels are noise of another kind now, and it says that it was compressed with loss{method}: the PACS did \
         that, unless the original came so and the PACS processed it in another way; get the instance from a backup or \
         store it again, and turn lossy compression and processing off for what Sealgate stores"
    )]
    Lossy {
        /// Lossy Image Compression Method (0028,2114), with a space and parentheses around it; empty if not said.
        method: String,
    },
    /// Described as something other than the carrier: converted to fewer bits, or into another colour space.
    #[error(
        "the PACS converted its pixels: they are {found} now, and a carrier is MONOCHROME2, or RGB by pixel, with all \
         bits used; turn conversion off for what Sealgate stores, and get the instance from a backup or store it again"
    )]
    Converted {
        /// Photometric interpretation, samples and bits.
        found: String,
    },
    /// Every pixel has the same value.
    #[error(
        "its pixels are blank: the PACS, or somebody, replaced them; get the instance from a backup or store it again"
    )]
    Blank,
    /// The two bytes of each pixel are turned around.
    #[error(
        "the two bytes of each of its pixels are turned around: the PACS converted it between big and little endian \
         wrongly; let it send the instance as it was stored, or correct the conversion there"
    )]
    Swapped,
    /// Every bit is its opposite.
    #[error(
        "its pixels are inverted: turn the inversion of images off at the PACS, and let it send the instance again"
    )]
    Inverted,
    /// The upper bits of each pixel are gone.
    #[error(
        "all but {bits} bits of each of its pixels were cleared, as a compressor does that believes in fewer bits than \
         are stored; have that corrected at the PACS, and get the instance from a backup or store it again"
    )]
    Masked {
        /// How many are left of 16.
        bits: u8,
    },
    /// The first bytes are no header.
    #[error(
        "its pixels no longer begin with the header of a sealed image: the PACS, or somebody, rescaled, cropped or \
         processed them, or wrote over them; turn that off for what Sealgate stores, and get the instance from a backup \
         or store it again"
    )]
    Overwritten,
    /// Nothing in the instance says that it was sealed, but the key store does.
    #[error(
        "the key store says that it was sealed, and nothing in it does any more, nor is it as its original was: the PACS, or \
         somebody, processed its pixels and left out its private elements; turn both off for what Sealgate stores, and get \
         the instance from a backup or store it again"
    )]
    Unmarked,
    /// Fewer bytes than the stream has.
    #[error(
        "only {have} of its {needed} bytes of pixels are left: the PACS cut it off, or the transfer ended early; have it sent again, or get the instance from a backup"
    )]
    Shortened {
        /// Bytes of Pixel Data.
        have: u64,
        /// Fixed header and stream.
        needed: u64,
    },
    /// No pixel data any more.
    #[error("it has no pixels any more; get the instance from a backup or store it again")]
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

    /// Why the pixels of an instance that was sealed do not begin with a fixed header, but with these bytes.
    pub(super) fn explain(&self, first: &[u8]) -> Damage {
        if let Some(damage) = explain_bytes(first) {
            return damage;
        }
        if self.lossy {
            return Damage::Lossy { method: self.method.clone() };
        }
        match self.attributes.image() {
            Ok(image) if !is_carrier(&image) => {
                let by_plane = if image.planar == Some(1) { " by plane" } else { "" };
                let found = format!(
                    "{}{by_plane} with {} samples of {} bits in {}",
                    image.photometric, image.samples, image.bits_stored, image.bits_allocated
                );
                Damage::Converted { found }
            }
            _ => Damage::Overwritten,
        }
    }
}

/// Whether a carrier can be described so.
fn is_carrier(image: &Image) -> bool {
    let bits = matches!(image.bits_allocated, 1 | 8 | 16) && image.bits_stored == image.bits_allocated;
    let grey = image.samples == 1 && image.photometric == "MONOCHROME2";
    let colour = image.samples == 3 && image.photometric == "RGB" && image.planar.unwrap_or(0) == 0;
    bits && image.representation == 0 && (grey || (colour && image.bits_allocated == 8))
}

/// What was done to every pixel alike, where the magic shows it.
fn explain_bytes(first: &[u8]) -> Option<Damage> {
    let (magic, rest) = first.split_first_chunk::<8>()?;
    if rest.iter().all(|byte| byte == &magic[0]) && magic.iter().all(|byte| byte == &magic[0]) {
        return Some(Damage::Blank);
    }
    let words = |bytes: &[u8; 8]| {
        let at =
            |shift: u32| u16::try_from((u64::from_le_bytes(*bytes) >> shift) & 0xFFFF).unwrap_or_default();
        [at(0), at(16), at(32), at(48)]
    };
    let (found, expected) = (words(magic), words(&MAGIC));
    if found == expected {
        return None;
    }
    if found == expected.map(u16::swap_bytes) {
        return Some(Damage::Swapped);
    }
    if found == expected.map(|word| !word) {
        return Some(Damage::Inverted);
    }
    let masked = |bits: &u8| {
        let gone = 16_u32.saturating_sub(u32::from(*bits));
        found == expected.map(|word| word & u16::MAX.checked_shr(gone).unwrap_or(0))
    };
    (8..16).rev().find(masked).map(|bits| Damage::Masked { bits })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_to_every_pixel_shows_in_the_magic() {
        let words: Vec<u16> = MAGIC.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let explain = |deed: fn(u16) -> u16| {
            let bytes = words.iter().flat_map(|word| deed(*word).to_le_bytes()).chain([7; 28]);
            explain_bytes(&bytes.collect::<Vec<u8>>())
        };
        assert_eq!(explain(|word| word), None);
        assert_eq!(explain(u16::swap_bytes), Some(Damage::Swapped));
        assert_eq!(explain(|word| !word), Some(Damage::Inverted));
        assert_eq!(explain(|word| word & 0x0FFF), Some(Damage::Masked { bits: 12 }));
        assert_eq!(explain(|word| word ^ 1), None);
        assert_eq!(explain_bytes(&[9; 36]), Some(Damage::Blank));
        assert_eq!(explain_bytes(&[0; 3]), None);
    }
}
