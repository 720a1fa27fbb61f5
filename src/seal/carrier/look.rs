//! What a carrier's pixels look like: grey noise of 1, 8 or 16 bits, or coloured noise where a class knows no grey.

use crate::dicom::Uid;
use crate::seal::scan::Image;

/// The description of a carrier's pixels, Rows and Columns left aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::seal) struct Look {
    /// Bits Allocated and Bits Stored: 1, 8 or 16.
    pub(super) bits: u8,
    /// RGB, colour by pixel, instead of MONOCHROME2; always of 8 bits.
    pub(super) colour: bool,
}

/// Classes whose grey images are of 8 bits, while 16 are for palette colour (PS3.3 C.8.5.6.1.2 and C.8.5.6.1.12):
/// Ultrasound Image and Ultrasound Multi-frame Image, with the retired ones.
const GREY_OF_8_BITS: [&str; 4] = [
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.6.1",
];

/// Classes whose colour images may not become grey: Enhanced MR Color (PS3.3 C.8.13.9), Multi-frame True Color
/// Secondary Capture (A.8.5.4), and Whole Slide Microscopy, where a grey image needs a rescaling (C.8.12.4).
const COLOUR_STAYS: [&str; 3] =
    ["1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.7.4", "1.2.840.10008.5.1.4.1.1.77.1.6"];

impl Look {
    /// The look of the carrier of an image of this class. Bits Allocated of 1 stay, since the classes for masks fix it;
    /// up to 8 become 8, and more become 16.
    pub(super) fn of(image: &Image, sop_class: &Uid) -> Self {
        let is_in = |classes: &[&str]| classes.contains(&sop_class.as_str());
        if image.samples == 3 && is_in(&COLOUR_STAYS) {
            return Self { bits: 8, colour: true };
        }
        let bits = match image.bits_allocated {
            1 => 1,
            ..=8 => 8,
            _ if is_in(&GREY_OF_8_BITS) => 8,
            _ => 16,
        };
        Self { bits, colour: false }
    }

    /// Samples per Pixel.
    pub(super) fn samples(self) -> u8 {
        if self.colour { 3 } else { 1 }
    }

    /// Bytes of one pixel, where it takes whole ones.
    pub(super) fn pixel_bytes(self) -> Option<u8> {
        (self.bits / 8).checked_mul(self.samples()).filter(|bytes| *bytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(class: &str, samples: u16, bits_allocated: u16) -> (u8, u8) {
        let image = Image {
            rows: 1,
            columns: 1,
            samples,
            bits_allocated,
            bits_stored: bits_allocated,
            high_bit: bits_allocated - 1,
            representation: 0,
            frames: 1,
            photometric: String::new(),
            planar: None,
        };
        let look = Look::of(&image, &class.parse().unwrap());
        (look.samples(), look.bits)
    }

    #[test]
    fn most_images_become_grey_of_1_8_or_16_bits() {
        let ct = "1.2.840.10008.5.1.4.1.1.2";
        for (allocated, bits) in [(1, 1), (8, 8), (12, 16), (16, 16), (32, 16), (64, 16)] {
            assert_eq!(look(ct, 1, allocated), (1, bits), "{allocated}");
        }
        assert_eq!(look("1.2.840.10008.5.1.4.1.1.7", 3, 8), (1, 8));
    }

    #[test]
    fn classes_that_fix_bits_or_colour_get_them() {
        assert_eq!(look("1.2.840.10008.5.1.4.1.1.6.1", 1, 16), (1, 8));
        for class in COLOUR_STAYS {
            assert_eq!(look(class, 3, 8), (3, 8), "{class}");
            assert_eq!(look(class, 1, 8), (1, 8), "{class}");
        }
    }
}
