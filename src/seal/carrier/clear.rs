//! What of the original's header the carrier shows in clear, and what is sealed away (`docs/FORMAT.md` section 8).

use dicom_core::{Tag, VR};

use super::block::CREATOR;
use crate::seal::element::dictionary_vr;
use crate::seal::scan::Element;

/// A binary value of unknown meaning of more than this could be a picture: 16 by 16 pixels.
const BINARY_BYTES_MAX: usize = 256;
/// A private text of more than this could be a picture written as text.
const PRIVATE_TEXT_BYTES_MAX: usize = 4096;

/// Decides element by element, in the order in which they come. Sealer and opener ask the same questions.
#[derive(Debug, Default, Clone)]
pub(in crate::seal) struct ClearRule {
    palette_color: bool,
    /// Private blocks of ours that the original came with: group and block.
    foreign: Vec<(u16, u16)>,
}

impl ClearRule {
    /// Whether the carrier shows this element as the original has it.
    pub(in crate::seal) fn shows(&mut self, element: &Element<'_>) -> bool {
        let tag = element.tag;
        if tag == Tag(0x0028, 0x0004) {
            self.palette_color = element.value.starts_with(b"PALETTE COLOR");
        }
        // Group lengths (retired) would be wrong, and pixels are what this is about.
        if tag.element() == 0 || element.holds_pixels || is_carrier_attribute(tag) || is_sealed_away(tag) {
            return false;
        }
        if tag.group() % 2 == 1 {
            return self.shows_private(element);
        }
        if self.palette_color && is_palette(tag) {
            return false;
        }
        // The Supplemental Palette belongs to grey images (PS3.3 C.7.6.19), and says nothing about their pixels.
        is_palette(tag) || !is_bulk(element)
    }

    fn shows_private(&mut self, element: &Element<'_>) -> bool {
        let Tag(group, number) = element.tag;
        if (0x0010..=0x00FF).contains(&number) && is_our_creator(element.value) {
            self.foreign.push((group, number));
            return false;
        }
        // PS3.5 7.8.1: elements gg,xx00 to gg,xxFF are reserved by creator gg,00xx.
        if self.foreign.contains(&(group, number >> 8)) {
            return false;
        }
        let sequence = element.vr == Some(VR::SQ) && element.value.len() > BINARY_BYTES_MAX;
        !sequence && !is_bulk(element) && element.value.len() <= PRIVATE_TEXT_BYTES_MAX
    }
}

/// Whether a private creator is ours; a PACS may have padded it or numbered it anew.
pub(in crate::seal) fn is_our_creator(value: &[u8]) -> bool {
    value.trim_ascii_end() == CREATOR || value.strip_suffix(b"\0") == Some(CREATOR)
}

/// The attributes of the Image Pixel Module that describe the carrier in a sealed instance.
pub(in crate::seal) fn is_carrier_attribute(tag: Tag) -> bool {
    tag.group() == 0x0028
        && matches!(tag.element(), 0x0002 | 0x0004 | 0x0006 | 0x0010 | 0x0011 | 0x0100..=0x0103)
}

/// What tells of the pixels elsewhere, or would be false beside the carrier.
fn is_sealed_away(tag: Tag) -> bool {
    match tag.group() {
        // Smallest and largest values, and values that stand for "no pixel"; where to fetch the pixels.
        0x0028 => matches!(tag.element(), 0x0104..=0x0111 | 0x0120 | 0x0121 | 0x7FE0),
        // Histogram; icon image; signatures over what is no longer there.
        0x0060 => tag.element() == 0x3000,
        0x0088 => tag.element() == 0x0200,
        0x4FFE => tag.element() == 0x0001,
        // Overlays, and the retired variable pixel data beside them; whatever stands with or behind the pixels.
        0x6000..=0x60FF => tag.group().is_multiple_of(2),
        0x7F00.. => true,
        _ => false,
    }
}

/// Palettes, their descriptors and the colour profile of a colour image (PS3.3 C.7.6.3.1.5).
fn is_palette(tag: Tag) -> bool {
    tag.group() == 0x0028
        && matches!(tag.element(), 0x1101..=0x1103 | 0x1111..=0x1113 | 0x1199 | 0x1201..=0x1203 | 0x1211..=0x1214 | 0x1221..=0x1223)
}

/// Bytes of which nobody knows what they show.
fn is_bulk(element: &Element<'_>) -> bool {
    let known = || dictionary_vr(element.tag, false);
    let vr = element.vr.or_else(known).unwrap_or(VR::UN);
    let binary = matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN);
    // A sequence that was written as UN by a hop through implicit VR is known to the scanner as what it is.
    binary && element.value.len() > BINARY_BYTES_MAX && !(vr == VR::UN && known() == Some(VR::SQ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(tag: Tag, vr: VR, value: &[u8]) -> bool {
        ClearRule::default().shows(&element(tag, vr, value))
    }

    fn element(tag: Tag, vr: VR, value: &[u8]) -> Element<'_> {
        Element { tag, vr: Some(vr), raw: value, value, at: 0, holds_pixels: false }
    }

    #[test]
    fn what_a_pacs_needs_stays_and_what_tells_of_pixels_goes() {
        for (tag, vr) in [
            (Tag(0x0010, 0x0010), VR::PN),
            (Tag(0x0028, 0x0008), VR::IS),
            (Tag(0x0028, 0x0030), VR::DS),
            (Tag(0x0028, 0x1050), VR::DS),
            (Tag(0x0029, 0x1010), VR::LO),
        ] {
            assert!(shows(tag, vr, b"1234"), "{tag}");
        }
        for (tag, vr) in [
            (Tag(0x0008, 0x0000), VR::UL),
            (Tag(0x0028, 0x0010), VR::US),
            (Tag(0x0028, 0x0106), VR::US),
            (Tag(0x0060, 0x3000), VR::SQ),
            (Tag(0x0088, 0x0200), VR::SQ),
            (Tag(0x6002, 0x0010), VR::US),
            (Tag(0x6000, 0x3000), VR::OW),
            (Tag(0x7FE0, 0x0001), VR::OV),
            (Tag(0x7FE1, 0x1010), VR::LO),
            (Tag(0xFFFA, 0xFFFA), VR::SQ),
            (Tag(0xFFFC, 0xFFFC), VR::OB),
        ] {
            assert!(!shows(tag, vr, b"1234"), "{tag}");
        }
        let nested = Element { holds_pixels: true, ..element(Tag(0x0008, 0x1140), VR::SQ, b"") };
        assert!(!ClearRule::default().shows(&nested));
    }

    #[test]
    fn large_values_of_unknown_meaning_are_sealed_away() {
        let (small, large) = (vec![0; 256], vec![0; 258]);
        for vr in [VR::OB, VR::OW, VR::UN, VR::SQ] {
            assert!(shows(Tag(0x0029, 0x1010), vr, &small), "{vr}");
            assert!(!shows(Tag(0x0029, 0x1010), vr, &large), "{vr}");
        }
        assert!(!shows(Tag(0x0029, 0x1010), VR::UT, &vec![b'A'; 5000]), "a picture as text");
        assert!(!shows(Tag(0x0028, 0x2000), VR::OB, &large), "a colour profile");
        assert!(!shows(Tag(0x0008, 0x9999), VR::UN, &large), "an unknown attribute of the standard");
        assert!(shows(Tag(0x0040, 0x0275), VR::UN, &large), "a sequence after an implicit VR hop");
        assert!(shows(Tag(0x0040, 0x0275), VR::SQ, &large));
    }

    #[test]
    fn palettes_go_with_palette_images_and_stay_with_grey_ones() {
        let data = vec![0; 512];
        let palette = element(Tag(0x0028, 0x1201), VR::OW, &data);
        let mut rule = ClearRule::default();
        rule.shows(&element(Tag(0x0028, 0x0004), VR::CS, b"MONOCHROME2 "));
        assert!(rule.shows(&palette));
        rule.shows(&element(Tag(0x0028, 0x0004), VR::CS, b"PALETTE COLOR "));
        assert!(!rule.shows(&palette));
    }

    #[test]
    fn a_block_of_ours_that_came_with_the_original_is_not_shown() {
        let mut rule = ClearRule::default();
        assert!(!rule.shows(&element(Tag(0x0029, 0x0012), VR::LO, b"SEALGATE 1")));
        assert!(!rule.shows(&element(Tag(0x0029, 0x1201), VR::OB, b"key")));
        assert!(rule.shows(&element(Tag(0x0029, 0x1301), VR::OB, b"other")));
        assert!(is_our_creator(b"SEALGATE 1  ") && is_our_creator(b"SEALGATE 1\0"));
        assert!(!is_our_creator(b"SEALGATE 12"));
    }
}
