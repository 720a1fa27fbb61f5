//! One data element at a time: its header read and written, its bytes moved between encodings (PS3.5 section 7).
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod convert;
mod header;
mod vr;

pub use convert::{Conversion, swap_bytes};
pub(in crate::seal) use header::tag_of;
pub use header::{Header, Length, LengthField, VrField, read_header, write_header};
pub use vr::{Layout, dictionary_vr, has_long_length, read_u16, read_u32, swap_unit};

use dicom_core::Tag;

/// (FFFE,E000), the header of an item of a sequence, or of a fragment of encapsulated pixel data (PS3.5 7.5).
pub const ITEM: Tag = Tag(0xFFFE, 0xE000);
/// (FFFE,E00D), the end of an item of undefined length.
pub const ITEM_DELIMITATION: Tag = Tag(0xFFFE, 0xE00D);
/// (FFFE,E0DD), the end of a sequence of undefined length.
pub const SEQUENCE_DELIMITATION: Tag = Tag(0xFFFE, 0xE0DD);
/// (7FE0,0010) Pixel Data.
pub const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
/// (7FE0,0008) Float Pixel Data.
pub const FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0008);
/// (7FE0,0009) Double Float Pixel Data.
pub const DOUBLE_FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0009);

/// (0042,0011) Encapsulated Document.
pub const ENCAPSULATED_DOCUMENT: Tag = Tag(0x0042, 0x0011);

/// Whether the tag is one of the three that hold the pixels of an image (PS3.3 C.7.6.3 and C.7.6.24, C.7.6.25).
#[must_use]
pub fn is_pixel_data(tag: Tag) -> bool {
    matches!(tag, PIXEL_DATA | FLOAT_PIXEL_DATA | DOUBLE_FLOAT_PIXEL_DATA)
}
