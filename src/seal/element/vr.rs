//! What a VR says about the bytes: the form of its length, its byte order, and which VR the dictionary gives a tag.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use crate::dicom::Encoding;

/// How element headers and binary values are laid out, whatever becomes of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// No VR in the header, little endian.
    ImplicitLittle,
    /// VR in the header, little endian.
    ExplicitLittle,
    /// VR in the header, big endian (retired).
    ExplicitBig,
}

impl From<Encoding> for Layout {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::ImplicitLittle => Self::ImplicitLittle,
            Encoding::ExplicitBig => Self::ExplicitBig,
            Encoding::ExplicitLittle | Encoding::Deflated | Encoding::Encapsulated => Self::ExplicitLittle,
        }
    }
}

impl Layout {
    /// Whether the most significant byte comes first.
    #[must_use]
    pub fn is_big_endian(self) -> bool {
        self == Self::ExplicitBig
    }

    /// Whether headers carry a VR.
    #[must_use]
    pub fn is_explicit(self) -> bool {
        self != Self::ImplicitLittle
    }

    /// Two bytes as a number.
    #[must_use]
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian() { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// Four bytes as a number.
    #[must_use]
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian() { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// A number as two bytes.
    #[must_use]
    pub fn u16_bytes(self, number: u16) -> [u8; 2] {
        if self.is_big_endian() { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// A number as four bytes.
    #[must_use]
    pub fn u32_bytes(self, number: u32) -> [u8; 4] {
        if self.is_big_endian() { number.to_be_bytes() } else { number.to_le_bytes() }
    }
}

/// The first number of a US value, if there are two bytes for it.
#[must_use]
pub fn read_u16(encoding: Encoding, value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|bytes| Layout::from(encoding).u16(*bytes))
}

/// The first number of a UL value, if there are four bytes for it.
#[must_use]
pub fn read_u32(encoding: Encoding, value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| Layout::from(encoding).u32(*bytes))
}

/// The VR of two letters (PS3.5 table 6.2-1). `VR::from_binary` says the same, ten times as slowly, by way of text.
#[must_use]
pub(super) fn vr_of(letters: [u8; 2]) -> Option<VR> {
    let vr = match &letters {
        b"AE" => VR::AE,
        b"AS" => VR::AS,
        b"AT" => VR::AT,
        b"CS" => VR::CS,
        b"DA" => VR::DA,
        b"DS" => VR::DS,
        b"DT" => VR::DT,
        b"FL" => VR::FL,
        b"FD" => VR::FD,
        b"IS" => VR::IS,
        b"LO" => VR::LO,
        b"LT" => VR::LT,
        b"OB" => VR::OB,
        b"OD" => VR::OD,
        b"OF" => VR::OF,
        b"OL" => VR::OL,
        b"OV" => VR::OV,
        b"OW" => VR::OW,
        b"PN" => VR::PN,
        b"SH" => VR::SH,
        b"SL" => VR::SL,
        b"SQ" => VR::SQ,
        b"SS" => VR::SS,
        b"ST" => VR::ST,
        b"SV" => VR::SV,
        b"TM" => VR::TM,
        b"UC" => VR::UC,
        b"UI" => VR::UI,
        b"UL" => VR::UL,
        b"UN" => VR::UN,
        b"UR" => VR::UR,
        b"US" => VR::US,
        b"UT" => VR::UT,
        b"UV" => VR::UV,
        _ => return None,
    };
    Some(vr)
}

/// Whether the explicit header has two reserved bytes and a 32-bit length (PS3.5 table 7.1-1).
#[must_use]
pub fn has_long_length(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

/// How many bytes are swapped as one between the byte orders (PS3.5 section 7.3); 1 for text and bytes.
///
/// UN stays as it is: PS3.5 6.2.2 says nothing is known about it, and what is inside came from little endian.
#[must_use]
pub fn swap_unit(vr: VR) -> usize {
    match vr {
        VR::AT | VR::OW | VR::SS | VR::US => 2,
        VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// The VR that the standard gives a tag; none for private and unknown tags.
///
/// Where the standard leaves a choice, the smallest and largest pixel values and the like are SS if `signed_pixels`
/// (Pixel Representation is 1) and US if not; pixel, overlay and table data are OW, as PS3.5 A.1 wants it in implicit VR.
#[must_use]
pub fn dictionary_vr(tag: Tag, signed_pixels: bool) -> Option<VR> {
    StandardDataDictionary.by_tag(tag).map(|entry| match entry.vr() {
        VirtualVr::Xs if signed_pixels => VR::SS,
        other => other.relaxed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_vr_of_standard_repeating_and_private_tags() {
        assert_eq!(dictionary_vr(Tag(0x0028, 0x0010), false), Some(VR::US));
        assert_eq!(dictionary_vr(Tag(0x0028, 0x0106), false), Some(VR::US));
        assert_eq!(dictionary_vr(Tag(0x0028, 0x0106), true), Some(VR::SS));
        assert_eq!(dictionary_vr(Tag(0x6002, 0x3000), false), Some(VR::OW));
        assert_eq!(dictionary_vr(Tag(0x0029, 0x0010), false), Some(VR::LO), "a private creator");
        assert_eq!(dictionary_vr(Tag(0x0028, 0x0000), false), Some(VR::UL), "a group length");
        assert_eq!(dictionary_vr(Tag(0x0029, 0x1010), false), None);
    }

    #[test]
    fn knows_the_letters_that_the_standard_knows() {
        let all = (0..=u16::MAX).map(u16::to_le_bytes);
        assert!(all.clone().all(|letters| vr_of(letters) == VR::from_binary(letters)));
        assert_eq!(all.filter(|letters| vr_of(*letters).is_some()).count(), 34);
    }

    #[test]
    fn reads_numbers_in_both_byte_orders_and_none_from_too_few_bytes() {
        assert_eq!(read_u16(Encoding::ExplicitLittle, &[1, 2]), Some(0x0201));
        assert_eq!(read_u16(Encoding::ExplicitBig, &[1, 2, 3]), Some(0x0102));
        assert_eq!(read_u16(Encoding::ImplicitLittle, &[1]), None);
        assert_eq!(read_u32(Encoding::ExplicitBig, &[1, 2, 3, 4]), Some(0x0102_0304));
        assert_eq!(read_u32(Encoding::Deflated, &[1, 2, 3]), None);
    }
}
