//! The carrier: the valid DICOM instance of the same class and UIDs whose pixels, or document, are the sealed stream.
//!
//! `docs/FORMAT.md` section 7 says what it looks like, section 8 what of the original's header it shows.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod block;
mod clear;
mod content;
mod look;

pub(super) use block::BlockFinder;
pub(super) use clear::ClearRule;
pub(crate) use clear::is_our_creator;
pub(super) use content::Content;

use dicom_core::{Tag, VR};

use self::look::Look;
use super::element::{Conversion, ENCAPSULATED_DOCUMENT, Layout, Length, PIXEL_DATA, write_header};
use super::geometry::{self, Shape, TooLarge};
use super::header::Header;
use super::key::KeyId;
use super::scan::{Element, Image, Limits, ScanError};
use crate::dicom::{Encoding, TransferSyntax, Uid};

const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const ENCAPSULATED_DOCUMENT_LENGTH: Tag = Tag(0x0042, 0x0015);

/// The limits with which sealer and opener read originals and carriers. They are part of the format: an element that
/// is too large to hold is not shown in clear.
pub(super) const LIMITS: Limits = Limits {
    depth_max: 64,
    element_bytes_max: 4 * 1024 * 1024,
    header_bytes_max: 8 * 1024 * 1024,
    top_elements_max: 32 * 1024,
    elements_max: 64 * 1024 * 1024,
    irregularities_max: 16,
    meta_bytes_max: 256 * 1024,
};

/// The transfer syntax of the carrier for an original in this encoding: implicit stays implicit.
#[must_use]
pub(super) fn transfer_syntax(original: Encoding) -> &'static str {
    match original {
        Encoding::ImplicitLittle => TransferSyntax::IMPLICIT_LITTLE,
        _ => TransferSyntax::EXPLICIT_LITTLE,
    }
}

/// The carrier's header while the original's passes: what stays clear, gathered until the pixels begin.
pub(super) struct CarrierHeader {
    from: Layout,
    to: Layout,
    rule: ClearRule,
    /// The elements one after the other, in the carrier's layout.
    bytes: Vec<u8>,
    index: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: Tag,
    start: usize,
    end: usize,
}

/// What was written of a carrier, and what is still to be filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unfinished {
    /// Where the length of the element that holds the stream stands.
    length_at: u64,
    /// Where its value begins, with the fixed header.
    pub(super) content_at: u64,
    /// None in a document.
    pixels: Option<UnfinishedPixels>,
}

#[derive(Debug, Clone, Copy)]
struct UnfinishedPixels {
    /// Where the value of Rows stands in the data set, counted from its start.
    rows_at: u64,
    /// Where the value of Columns stands.
    columns_at: u64,
    room: Room,
}

/// How many bytes fit into the pixels of a carrier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    frames: u32,
    columns: u16,
    look: Look,
}

impl CarrierHeader {
    pub(super) fn new(original: Encoding) -> Self {
        let from = Layout::from(original);
        let to = if from.is_explicit() { Layout::ExplicitLittle } else { Layout::ImplicitLittle };
        Self { from, to, rule: ClearRule::default(), bytes: Vec::new(), index: Vec::with_capacity(192) }
    }

    /// Takes an element of the original's header; only what may stay clear is kept.
    pub(super) fn take(&mut self, element: &Element<'_>) -> Result<(), ScanError> {
        if !self.rule.shows(element) {
            return Ok(());
        }
        let start = self.bytes.len();
        if self.from == self.to {
            self.bytes.extend_from_slice(element.raw);
        } else {
            let conversion = Conversion { from: self.from, to: self.to, signed_pixels: false };
            self.bytes.extend_from_slice(&conversion.convert(element.raw, &LIMITS)?);
        }
        self.index.push(Entry { tag: element.tag, start, end: self.bytes.len() });
        Ok(())
    }

    /// The header of the carrier of this image, up to and with the header of Pixel Data.
    pub(super) fn finish(
        mut self,
        image: &Image,
        sop_class: &Uid,
        key_id: KeyId,
        key_record: Option<&[u8]>,
    ) -> (Vec<u8>, Unfinished) {
        let look = Look::of(image, sop_class);
        self.put_image_attributes(image, look);
        self.put_block(block::GROUP, key_id, key_record);
        let (mut rows_at, mut columns_at) = (0, 0);
        let mut out = self.elements(|tag, end| match tag {
            ROWS => rows_at = end.saturating_sub(2),
            COLUMNS => columns_at = end.saturating_sub(2),
            _ => {}
        });
        let vr = if look.bits == 16 { VR::OW } else { VR::OB };
        let length = write_header(&mut out, self.to, PIXEL_DATA, vr, Length::Defined(0));
        let pixels = UnfinishedPixels { rows_at, columns_at, room: Room::of(image, sop_class) };
        let (length_at, content_at) = (length.at as u64, out.len() as u64);
        (out, Unfinished { length_at, content_at, pixels: Some(pixels) })
    }

    /// The header of the carrier of a document, up to and with the header of Encapsulated Document; and what gathers those
    /// elements behind it that stay clear.
    pub(super) fn finish_document(
        mut self,
        key_id: KeyId,
        key_record: Option<&[u8]>,
    ) -> (Vec<u8>, Unfinished, Self) {
        let behind = Self {
            rule: self.rule.clone(),
            bytes: Vec::new(),
            index: Vec::new(),
            from: self.from,
            to: self.to,
        };
        self.put_block(block::GROUP_BEFORE_DOCUMENT, key_id, key_record);
        let mut out = self.elements(|_, _| {});
        let length = write_header(&mut out, self.to, ENCAPSULATED_DOCUMENT, VR::OB, Length::Defined(0));
        let (length_at, content_at) = (length.at as u64, out.len() as u64);
        (out, Unfinished { length_at, content_at, pixels: None }, behind)
    }

    /// Takes an element that stands behind the document. Its true length would be a false one of the ciphertext.
    pub(super) fn take_behind(&mut self, element: &Element<'_>) -> Result<(), ScanError> {
        let is_behind = element.tag > ENCAPSULATED_DOCUMENT && element.tag != ENCAPSULATED_DOCUMENT_LENGTH;
        if is_behind { self.take(element) } else { Ok(()) }
    }

    /// The elements in their order, of those that came twice the first one; `on` hears where each ends.
    pub(super) fn elements(&mut self, mut on: impl FnMut(Tag, u64)) -> Vec<u8> {
        // Stable.
        self.index.sort_by_key(|entry| entry.tag);
        self.index.dedup_by_key(|entry| entry.tag);
        let mut out = Vec::with_capacity(self.bytes.len().saturating_add(12));
        for entry in &self.index {
            out.extend_from_slice(self.bytes.get(entry.start..entry.end).unwrap_or_default());
            on(entry.tag, out.len() as u64);
        }
        out
    }

    fn put_block(&mut self, group: u16, key_id: KeyId, key_record: Option<&[u8]>) {
        let taken: Vec<Tag> = self.index.iter().map(|entry| entry.tag).collect();
        let (bytes, index) = (&mut self.bytes, &mut self.index);
        block::write(self.to, group, &taken, key_id, key_record, |tag, raw| {
            let start = bytes.len();
            bytes.extend_from_slice(raw);
            index.push(Entry { tag, start, end: bytes.len() });
        });
    }

    fn put_image_attributes(&mut self, image: &Image, look: Look) {
        let bits = u16::from(look.bits);
        let short = |number: u16| number.to_le_bytes();
        self.put(Tag(0x0028, 0x0002), VR::US, &short(u16::from(look.samples())));
        if look.colour {
            self.put(Tag(0x0028, 0x0004), VR::CS, b"RGB ");
            self.put(Tag(0x0028, 0x0006), VR::US, &short(0));
        } else {
            self.put(Tag(0x0028, 0x0004), VR::CS, b"MONOCHROME2 ");
        }
        self.put(ROWS, VR::US, &short(0));
        self.put(COLUMNS, VR::US, &short(image.columns));
        self.put(Tag(0x0028, 0x0100), VR::US, &short(bits));
        self.put(Tag(0x0028, 0x0101), VR::US, &short(bits));
        self.put(Tag(0x0028, 0x0102), VR::US, &short(bits.saturating_sub(1)));
        self.put(Tag(0x0028, 0x0103), VR::US, &short(0));
    }

    fn put(&mut self, tag: Tag, vr: VR, value: &[u8]) {
        let start = self.bytes.len();
        let length = Length::Defined(u32::try_from(value.len()).unwrap_or(u32::MAX));
        write_header(&mut self.bytes, self.to, tag, vr, length);
        self.bytes.extend_from_slice(value);
        self.index.push(Entry { tag, start, end: self.bytes.len() });
    }
}

impl Room {
    /// The room in the carrier of this image.
    pub(super) fn of(image: &Image, sop_class: &Uid) -> Self {
        Self { frames: image.frames, columns: image.columns, look: Look::of(image, sop_class) }
    }

    /// The shape for so many bytes of fixed header and stream. Compressed originals get a square.
    pub(super) fn shape(self, needed: u64, native: bool) -> Result<Shape, TooLarge> {
        let too_large = TooLarge { needed, frames: self.frames };
        let wanted = if native { self.columns } else { 0 };
        if let Some(bytes) = self.look.pixel_bytes() {
            return geometry::fit(needed, self.frames, bytes, wanted);
        }
        // Eight pixels are a byte, and there have to be whole bytes.
        let shape = geometry::fit(needed, self.frames, 1, wanted / 8)?;
        let columns = shape.columns.checked_mul(8).ok_or(too_large)?;
        Ok(Shape { columns, ..shape })
    }
}

impl Unfinished {
    /// Number of Frames.
    pub(super) fn frames(&self) -> u32 {
        self.pixels.map_or(1, |pixels| pixels.room.frames)
    }

    /// The shape for so many bytes of fixed header and stream. A document has no rows and columns.
    pub(super) fn shape(&self, needed: u64, native: bool) -> Result<Shape, TooLarge> {
        match self.pixels {
            Some(pixels) => pixels.room.shape(needed, native),
            None => geometry::even(needed),
        }
    }

    /// What to write where, once the shape is known.
    pub(super) fn patches(&self, shape: Shape, header: &Header) -> Vec<(u64, Vec<u8>)> {
        let mut patches = vec![
            (self.length_at, shape.bytes.to_le_bytes().to_vec()),
            (self.content_at, header.write().to_vec()),
        ];
        if let Some(UnfinishedPixels { rows_at, columns_at, .. }) = self.pixels {
            patches.push((rows_at, shape.rows.to_le_bytes().to_vec()));
            patches.push((columns_at, shape.columns.to_le_bytes().to_vec()));
        }
        patches
    }
}
