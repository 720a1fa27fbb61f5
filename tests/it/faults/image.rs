//! Images made up by number, whose pixels cannot be overlooked where they stand in clear.

use bytes::Bytes;
use sealgate::dicom::{TransferSyntax, Uid};
use sealgate::scu::Instance;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
/// Stands in every row of the pixels: 16 bytes that a sealed image must not show.
const MARKER: &[u8; 16] = b"PLAINTEXT-PIXEL!";

/// An image.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) instance: Instance,
    pub(crate) data_set: Bytes,
}

impl Image {
    /// The one with this number in this study: 64 columns of 16 bits, so many rows.
    pub(crate) fn new(study: u32, number: u32, rows: u16) -> Self {
        let pixels = pixels(study, number, rows);
        Self::with(study, number, (rows, 64, 1), u32::try_from(pixels.len()).expect("short"), &pixels)
    }

    /// The beginning of one with so many frames of 512 by 512: its data set ends where its pixels begin.
    pub(crate) fn large(frames: u32) -> Self {
        Self::with(1, 1, (512, 512, frames), frames * (512 * 512 * 2), &[])
    }

    fn with(
        study: u32,
        number: u32,
        (rows, columns, frames): (u16, u16, u32),
        length: u32,
        pixels: &[u8],
    ) -> Self {
        let uid = format!("1.2.826.0.1.3680043.9.7.{study}.{number}");
        let mut out = Vec::new();
        element(&mut out, (0x0008, 0x0016), *b"UI", &even(CT));
        element(&mut out, (0x0008, 0x0018), *b"UI", &even(&uid));
        element(&mut out, (0x0008, 0x0060), *b"CS", b"CT");
        element(&mut out, (0x0010, 0x0010), *b"PN", b"Doe^Jane");
        element(&mut out, (0x0020, 0x000D), *b"UI", &even(&format!("1.2.826.0.1.3680043.9.8.{study}")));
        element(&mut out, (0x0020, 0x000E), *b"UI", &even(&format!("1.2.826.0.1.3680043.9.9.{study}")));
        element(&mut out, (0x0028, 0x0002), *b"US", &1_u16.to_le_bytes());
        element(&mut out, (0x0028, 0x0004), *b"CS", b"MONOCHROME2 ");
        if frames > 1 {
            let text = frames.to_string();
            element(
                &mut out,
                (0x0028, 0x0008),
                *b"IS",
                format!("{text:>width$}", width = text.len().next_multiple_of(2)).as_bytes(),
            );
        }
        element(&mut out, (0x0028, 0x0010), *b"US", &rows.to_le_bytes());
        element(&mut out, (0x0028, 0x0011), *b"US", &columns.to_le_bytes());
        for (number, value) in [(0x0100, 16_u16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
            element(&mut out, (0x0028, number), *b"US", &value.to_le_bytes());
        }
        out.extend_from_slice(b"\xE0\x7F\x10\0OW\0\0");
        out.extend_from_slice(&length.to_le_bytes());
        let length = out.len() as u64 + u64::from(length);
        out.extend_from_slice(pixels);
        let class = Uid::parse(CT).expect("a UID");
        let syntax = TransferSyntax::by_uid("1.2.840.10008.1.2.1").expect("Explicit VR Little Endian");
        let mut instance = Instance::new(class, Uid::parse(&uid).expect("a UID"), syntax);
        instance.length = Some(length);
        Self { instance, data_set: out.into() }
    }

    /// Its SOP Instance UID.
    pub(crate) fn uid(&self) -> &str {
        self.instance.instance.as_str()
    }
}

/// Whether pixels of these images stand anywhere in clear.
pub(crate) fn shows_pixels(bytes: &[u8]) -> bool {
    // By one letter first: this looks at many megabytes.
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == MARKER[0]) {
        at += found;
        if bytes[at..].starts_with(MARKER) {
            return true;
        }
        at += 1;
    }
    false
}

fn pixels(study: u32, number: u32, rows: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::from(rows) * 128);
    let mut bytes =
        blake3::Hasher::new().update(&study.to_le_bytes()).update(&number.to_le_bytes()).finalize_xof();
    for _ in 0..rows {
        let mut row = [0; 128];
        bytes.fill(&mut row);
        row[16..32].copy_from_slice(MARKER);
        out.extend_from_slice(&row);
    }
    out
}

fn element(out: &mut Vec<u8>, (group, number): (u16, u16), vr: [u8; 2], value: &[u8]) {
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&vr);
    out.extend_from_slice(&u16::try_from(value.len()).expect("short").to_le_bytes());
    out.extend_from_slice(value);
}

fn even(uid: &str) -> Vec<u8> {
    let mut value = uid.as_bytes().to_vec();
    value.resize(value.len().next_multiple_of(2), 0);
    value
}

#[test]
fn the_search_for_pixels_finds_them() {
    let image = Image::new(1, 1, 4);
    assert!(shows_pixels(&image.data_set));
    assert!(!shows_pixels(&image.data_set[..200]));
    assert_ne!(image.data_set, Image::new(1, 2, 4).data_set);
}
