//! Data sets written element by element, in any layout.

use dicom_core::{Tag, VR};
use sealgate::seal::element::{
    ITEM, ITEM_DELIMITATION, Layout, Length, PIXEL_DATA, SEQUENCE_DELIMITATION, swap_bytes, swap_unit,
    write_header,
};

/// A header with the length of what follows.
fn header(layout: Layout, tag: Tag, vr: VR, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, layout, tag, vr, Length::Defined(u32::try_from(length).unwrap()));
    out
}

/// One element; numbers in `value` are little endian.
pub(super) fn element(layout: Layout, tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
    let mut out = header(layout, tag, vr, value.len());
    let start = out.len();
    out.extend_from_slice(value);
    if layout.is_big_endian() {
        swap_bytes(swap_unit(vr), &mut out[start..]);
    }
    out
}

/// A sequence of items that hold these elements, with lengths or with delimiters.
pub(super) fn sequence(layout: Layout, tag: Tag, items: &[Vec<u8>], defined: bool) -> Vec<u8> {
    let mut content = Vec::new();
    for item in items {
        if defined {
            content.extend(header(layout, ITEM, VR::UN, item.len()));
            content.extend_from_slice(item);
        } else {
            write_header(&mut content, layout, ITEM, VR::UN, Length::Undefined);
            content.extend_from_slice(item);
            content.extend(header(layout, ITEM_DELIMITATION, VR::UN, 0));
        }
    }
    if defined {
        return [header(layout, tag, VR::SQ, content.len()), content].concat();
    }
    let mut out = Vec::new();
    write_header(&mut out, layout, tag, VR::SQ, Length::Undefined);
    out.extend(content);
    out.extend(header(layout, SEQUENCE_DELIMITATION, VR::UN, 0));
    out
}

/// Encapsulated pixel data: the Basic Offset Table, then the fragments.
pub(super) fn encapsulated(offsets: &[u32], fragments: &[Vec<u8>]) -> Vec<u8> {
    let layout = Layout::ExplicitLittle;
    let mut out = Vec::new();
    write_header(&mut out, layout, PIXEL_DATA, VR::OB, Length::Undefined);
    let table: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    for item in std::iter::once(&table).chain(fragments) {
        out.extend(header(layout, ITEM, VR::UN, item.len()));
        out.extend_from_slice(item);
    }
    out.extend(header(layout, SEQUENCE_DELIMITATION, VR::UN, 0));
    out
}

/// What an image says of its pixels.
#[derive(Clone)]
pub(super) struct Pixels {
    pub(super) samples: u16,
    pub(super) photometric: &'static str,
    pub(super) planar: u16,
    pub(super) frames: u32,
    pub(super) rows: u16,
    pub(super) columns: u16,
    pub(super) allocated: u16,
    pub(super) stored: u16,
    pub(super) signed: bool,
}

impl Default for Pixels {
    /// 12 bits in 16, of one grey frame.
    fn default() -> Self {
        Self {
            samples: 1,
            photometric: "MONOCHROME2",
            planar: 0,
            frames: 1,
            rows: 64,
            columns: 48,
            allocated: 16,
            stored: 12,
            signed: false,
        }
    }
}

impl Pixels {
    /// The bytes of native pixels, without padding.
    pub(super) fn length(&self) -> usize {
        let samples = if self.photometric == "YBR_FULL_422" { 2 } else { usize::from(self.samples) };
        let pixels =
            usize::from(self.rows) * usize::from(self.columns) * usize::try_from(self.frames).unwrap();
        (pixels * samples * usize::from(self.allocated)).div_ceil(8)
    }
}

/// A data set; its elements are written in ascending order.
#[derive(Clone)]
pub(super) struct DataSet {
    pub(super) layout: Layout,
    elements: Vec<(Tag, Vec<u8>)>,
}

impl DataSet {
    /// The header of an image; its pixels have to be added.
    pub(super) fn image(layout: Layout, pixels: &Pixels) -> Self {
        let mut set = Self { layout, elements: Vec::new() };
        set.put(Tag(0x0008, 0x0005), VR::CS, b"ISO_IR 100");
        set.put(Tag(0x0008, 0x0016), VR::UI, &even(super::CLASS, 0));
        set.put(Tag(0x0008, 0x0018), VR::UI, &even(super::INSTANCE, 0));
        set.put(Tag(0x0008, 0x0060), VR::CS, b"OT");
        set.put(Tag(0x0010, 0x0010), VR::PN, b"M\xFCller^J\xF6rg ");
        set.put(Tag(0x0010, 0x0020), VR::LO, b"4711");
        set.put(Tag(0x0020, 0x000D), VR::UI, b"1.2.3.4\0");
        set.put(Tag(0x0020, 0x000E), VR::UI, b"1.2.3.5\0");
        set.number(Tag(0x0028, 0x0002), pixels.samples);
        set.put(Tag(0x0028, 0x0004), VR::CS, &even(pixels.photometric, b' '));
        if pixels.samples > 1 {
            set.number(Tag(0x0028, 0x0006), pixels.planar);
        }
        if pixels.frames > 1 {
            set.put(Tag(0x0028, 0x0008), VR::IS, &even(&pixels.frames.to_string(), b' '));
        }
        set.number(Tag(0x0028, 0x0010), pixels.rows);
        set.number(Tag(0x0028, 0x0011), pixels.columns);
        set.number(Tag(0x0028, 0x0100), pixels.allocated);
        if pixels.allocated <= 32 {
            set.number(Tag(0x0028, 0x0101), pixels.stored);
            set.number(Tag(0x0028, 0x0102), pixels.stored - 1);
            set.number(Tag(0x0028, 0x0103), u16::from(pixels.signed));
        }
        set
    }

    pub(super) fn put(&mut self, tag: Tag, vr: VR, value: &[u8]) {
        self.raw(tag, element(self.layout, tag, vr, value));
    }

    pub(super) fn number(&mut self, tag: Tag, value: u16) {
        self.put(tag, VR::US, &value.to_le_bytes());
    }

    /// Adds an element as it is.
    pub(super) fn raw(&mut self, tag: Tag, raw: Vec<u8>) {
        self.elements.push((tag, raw));
    }

    /// Adds the length of each group below the pixels (PS3.5 7.2, retired).
    pub(super) fn group_lengths(&mut self) {
        let mut groups: Vec<u16> = self.elements.iter().map(|(tag, _)| tag.group()).collect();
        groups.retain(|group| *group < 0x7FE0);
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let own = self.elements.iter().filter(|(tag, _)| tag.group() == group);
            let length = own.map(|(_, raw)| raw.len()).sum::<usize>();
            self.put(Tag(group, 0), VR::UL, &u32::try_from(length).unwrap().to_le_bytes());
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut elements: Vec<_> = self.elements.iter().collect();
        elements.sort_by_key(|(tag, _)| *tag);
        elements.into_iter().flat_map(|(_, raw)| raw.iter().copied()).collect()
    }
}

/// A text padded to an even length.
pub(super) fn even(text: &str, padding: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    bytes
}
