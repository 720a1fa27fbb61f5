//! The header of a data element, item or delimiter: 8 or 12 bytes in, or out (PS3.5 7.1 and 7.5).

use dicom_core::{Tag, VR};

use super::vr::{Layout, has_long_length, vr_of};

/// What the header says the VR is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VrField {
    /// Nothing: implicit VR, or an item or delimiter, which never has one.
    None,
    /// A VR of the standard.
    Known(VR),
    /// Two characters that are no VR of the standard, as real files have them.
    Unknown([u8; 2]),
}

impl VrField {
    /// The VR to handle the value by: UN for unknown characters, none if the header has no VR.
    #[must_use]
    pub fn vr(self) -> Option<VR> {
        match self {
            Self::None => None,
            Self::Known(vr) => Some(vr),
            Self::Unknown(_) => Some(VR::UN),
        }
    }
}

/// A value's length in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Length {
    /// So many bytes.
    Defined(u32),
    /// FFFFFFFFH: until a delimiter.
    Undefined,
}

impl Length {
    fn from_field(field: u32) -> Self {
        if field == u32::MAX { Self::Undefined } else { Self::Defined(field) }
    }

    /// The 32-bit length field.
    #[must_use]
    pub fn field(self) -> u32 {
        match self {
            Self::Defined(length) => length,
            Self::Undefined => u32::MAX,
        }
    }
}

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its tag.
    pub tag: Tag,
    /// Its VR, where it has one.
    pub vr: VrField,
    /// The length of the value behind it.
    pub length: Length,
    /// How many bytes the header itself takes: 8 or 12.
    pub size: u8,
}

/// Reads the header at the start of `bytes`; none if it takes 12 bytes and there are fewer. Below 8 there is never one.
///
/// The error is the two bytes where a VR should be, when they cannot even be mistaken for one.
///
/// Unknown VRs: two capital letters are taken for a VR newer than this program, and those all have the long form
/// (PS3.5 6.2.2 and table 7.1-1); other printable characters ("??", "  ", "--") come from writers that knew no VR
/// and wrote the short form. DCMTK reads both the same way.
pub fn read_header(layout: Layout, bytes: &[u8]) -> Result<Option<Header>, [u8; 2]> {
    let Some(&[g0, g1, e0, e1, b4, b5, b6, b7]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let tag = Tag(layout.u16([g0, g1]), layout.u16([e0, e1]));
    let plain = Length::from_field(layout.u32([b4, b5, b6, b7]));
    // PS3.5 7.5: items and delimiters have no VR in any encoding.
    if !layout.is_explicit() || tag.group() == 0xFFFE {
        return Ok(Some(Header { tag, vr: VrField::None, length: plain, size: 8 }));
    }
    let letters = [b4, b5];
    let (vr, long) = match vr_of(letters) {
        Some(vr) => (VrField::Known(vr), has_long_length(vr)),
        None if letters.iter().all(u8::is_ascii_uppercase) => (VrField::Unknown(letters), true),
        None if letters.iter().all(|b| (b' '..=b'~').contains(b)) => (VrField::Unknown(letters), false),
        None => return Err(letters),
    };
    if !long {
        let length = Length::Defined(u32::from(layout.u16([b6, b7])));
        return Ok(Some(Header { tag, vr, length, size: 8 }));
    }
    let long_field = bytes.get(8..).and_then(<[u8]>::first_chunk::<4>);
    Ok(long_field.map(|field| {
        let length = Length::from_field(layout.u32(*field));
        Header { tag, vr, length, size: 12 }
    }))
}

/// The tag at the start of a header that could not be read, for messages.
pub(in crate::seal) fn tag_of(layout: Layout, header: &[u8]) -> Tag {
    match header.first_chunk() {
        Some(&[g0, g1, e0, e1]) => Tag(layout.u16([g0, g1]), layout.u16([e0, e1])),
        None => Tag(0, 0),
    }
}

/// Appends a header. A length over 65,535 with a VR of the short form becomes UN (PS3.5 6.2.2 note 6); undefined
/// lengths belong to SQ, UN, OB and OW only.
///
/// Returns where in `out` the length field stands, and whether it has 4 bytes, for callers that learn the length later.
pub fn write_header(out: &mut Vec<u8>, layout: Layout, tag: Tag, vr: VR, length: Length) -> LengthField {
    out.extend_from_slice(&layout.u16_bytes(tag.group()));
    out.extend_from_slice(&layout.u16_bytes(tag.element()));
    if layout.is_explicit() && tag.group() != 0xFFFE {
        if let (false, Ok(short)) = (has_long_length(vr), u16::try_from(length.field())) {
            out.extend_from_slice(&vr.to_bytes());
            let at = out.len();
            out.extend_from_slice(&layout.u16_bytes(short));
            return LengthField { at, wide: false };
        }
        let vr = if has_long_length(vr) { vr } else { VR::UN };
        out.extend_from_slice(&vr.to_bytes());
        out.extend_from_slice(&[0, 0]);
    }
    let at = out.len();
    out.extend_from_slice(&layout.u32_bytes(length.field()));
    LengthField { at, wide: true }
}

/// Where a length field was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthField {
    /// Its first byte.
    pub at: usize,
    /// Whether it has 4 bytes, not 2.
    pub wide: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Tag = Tag(0x0028, 0x0010);

    fn written(layout: Layout, vr: VR, length: Length) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, layout, ROWS, vr, length);
        out
    }

    #[test]
    fn writes_the_three_forms() {
        assert_eq!(written(Layout::ExplicitLittle, VR::US, Length::Defined(2)), b"\x28\0\x10\0US\x02\0");
        assert_eq!(written(Layout::ExplicitBig, VR::US, Length::Defined(2)), b"\0\x28\0\x10US\0\x02");
        assert_eq!(written(Layout::ImplicitLittle, VR::US, Length::Defined(2)), b"\x28\0\x10\0\x02\0\0\0");
        let long = b"\x28\0\x10\0OB\0\0\x03\x02\x01\0";
        assert_eq!(written(Layout::ExplicitLittle, VR::OB, Length::Defined(0x1_0203)), long);
        let undefined = b"\0\x28\0\x10SQ\0\0\xFF\xFF\xFF\xFF";
        assert_eq!(written(Layout::ExplicitBig, VR::SQ, Length::Undefined), undefined);
    }

    #[test]
    fn a_value_too_long_for_its_vr_becomes_un() {
        let header = written(Layout::ExplicitLittle, VR::DS, Length::Defined(65_536));
        assert_eq!(header, b"\x28\0\x10\0UN\0\0\0\0\x01\0");
    }

    #[test]
    fn reads_back_what_it_writes() {
        for layout in [Layout::ImplicitLittle, Layout::ExplicitLittle, Layout::ExplicitBig] {
            for (vr, length) in [
                (VR::US, Length::Defined(2)),
                (VR::OV, Length::Defined(70_000)),
                (VR::SV, Length::Defined(8)),
                (VR::UC, Length::Defined(0)),
                (VR::SQ, Length::Undefined),
            ] {
                let bytes = written(layout, vr, length);
                let header = read_header(layout, &bytes).unwrap().unwrap();
                assert_eq!((header.tag, header.length), (ROWS, length), "{layout:?} {vr}");
                assert_eq!(usize::from(header.size), bytes.len());
                let expected = if layout.is_explicit() { VrField::Known(vr) } else { VrField::None };
                assert_eq!(header.vr, expected);
            }
        }
    }

    #[test]
    fn asks_for_the_rest_of_a_long_header() {
        let bytes = written(Layout::ExplicitLittle, VR::UT, Length::Defined(9));
        for n in 0..bytes.len() {
            assert_eq!(read_header(Layout::ExplicitLittle, &bytes[..n]), Ok(None), "{n} bytes");
        }
    }

    #[test]
    fn takes_new_vrs_as_long_and_illegal_ones_as_short() {
        let read =
            |bytes: &[u8]| read_header(Layout::ExplicitLittle, bytes).map(|h| h.map(|h| (h.size, h.length)));
        assert_eq!(read(b"\x28\0\x10\0ZZ\0\0\x05\0\x01\0"), Ok(Some((12, Length::Defined(0x1_0005)))));
        assert_eq!(read(b"\x28\0\x10\0??\x05\0"), Ok(Some((8, Length::Defined(5)))));
        assert_eq!(read(b"\x28\0\x10\0\x02\0\0\0"), Err([2, 0]));
    }
}
