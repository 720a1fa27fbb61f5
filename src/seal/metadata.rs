//! What an instance says of its making: dates, times, UIDs and the device, for inner layers that read it.
//!
//! The paper takes the date and time of EXIF; these are the attributes of DICOM that say the same and more. They stand in
//! clear beside a sealed image, so nothing that is read off them is a secret.

use dicom_core::Tag;

use super::scan::Element;

/// The attributes, PS3.6 chapter 6.
const TAGS: &[Tag] = &[
    Tag(0x0008, 0x0012), // Instance Creation Date
    Tag(0x0008, 0x0013), // Instance Creation Time
    Tag(0x0008, 0x0016), // SOP Class UID
    Tag(0x0008, 0x0018), // SOP Instance UID
    Tag(0x0008, 0x0020), // Study Date
    Tag(0x0008, 0x0021), // Series Date
    Tag(0x0008, 0x0022), // Acquisition Date
    Tag(0x0008, 0x0023), // Content Date
    Tag(0x0008, 0x002A), // Acquisition DateTime
    Tag(0x0008, 0x0030), // Study Time
    Tag(0x0008, 0x0031), // Series Time
    Tag(0x0008, 0x0032), // Acquisition Time
    Tag(0x0008, 0x0033), // Content Time
    Tag(0x0008, 0x0060), // Modality
    Tag(0x0008, 0x0070), // Manufacturer
    Tag(0x0008, 0x1010), // Station Name
    Tag(0x0008, 0x1090), // Manufacturer's Model Name
    Tag(0x0018, 0x1000), // Device Serial Number
    Tag(0x0018, 0x1002), // Device UID
    Tag(0x0018, 0x1020), // Software Versions
    Tag(0x0020, 0x000D), // Study Instance UID
    Tag(0x0020, 0x000E), // Series Instance UID
    Tag(0x0020, 0x0011), // Series Number
    Tag(0x0020, 0x0013), // Instance Number
    Tag(0x0020, 0x0052), // Frame of Reference UID
];
/// Bytes of one value that are read; dates, times, UIDs and names are shorter.
const VALUE_BYTES_MAX: usize = 256;

/// Gathers them from the elements of a header.
#[derive(Debug, Default)]
pub(super) struct Metadata(Vec<u8>);

impl Metadata {
    /// Takes an element, in the order of the data set. Of one that is no attribute of these nothing is kept.
    pub(super) fn take(&mut self, element: &Element<'_>) {
        if TAGS.contains(&element.tag) {
            let value = element.value.get(..VALUE_BYTES_MAX).unwrap_or(element.value);
            self.0.extend_from_slice(&element.tag.group().to_be_bytes());
            self.0.extend_from_slice(&element.tag.element().to_be_bytes());
            self.0.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
            self.0.extend_from_slice(value);
        }
    }

    /// Tag, length and value of each, one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
