//! Complete elements from one layout into another, with everything nested in them, without recursion.

use dicom_core::VR;

use super::header::{Header, Length, LengthField, VrField, read_header, tag_of, write_header};
use super::vr::{Layout, dictionary_vr, has_long_length, swap_unit};
use super::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, is_pixel_data};
use crate::seal::scan::{Limits, Place, ScanError};

/// From which layout into which.
///
/// Explicit big endian to little and back gives the same bytes again, and so does implicit to explicit and back.
/// Explicit to implicit loses the VRs that the dictionary does not know: they come back as UN. Characters that are
/// no VR become UN at once. Group lengths are values like others: they are not computed anew.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    /// The layout of the bytes.
    pub from: Layout,
    /// The layout wanted.
    pub to: Layout,
    /// Whether Pixel Representation (0028,0103) is 1: then "US or SS" of the dictionary is SS.
    pub signed_pixels: bool,
}

/// A sequence or item that is being converted.
#[derive(Debug, Clone, Copy)]
struct Open {
    place: Place,
    is_item: bool,
    from: Layout,
    to: Layout,
    /// Where it ends in the input, if its length is defined.
    end: Option<usize>,
    /// Where its length stands in the output; it is known when it ends.
    length: LengthField,
}

impl Conversion {
    /// Converts elements that stand one after the other, each complete. What the scanner let through is converted;
    /// encapsulated data exists in explicit little endian only, and is not converted into another layout.
    ///
    /// Memory is in proportion to `raw`; of `limits` only the depth counts.
    pub fn convert(&self, raw: &[u8], limits: &Limits) -> Result<Vec<u8>, ScanError> {
        let mut work = Work {
            conversion: *self,
            raw,
            at: 0,
            out: Vec::with_capacity(raw.len().saturating_add(raw.len() / 4)),
            open: Vec::new(),
            depth_max: limits.depth_max,
        };
        loop {
            work.close_ended()?;
            if work.at == raw.len() {
                break;
            }
            work.step()?;
        }
        match work.open.last() {
            None => Ok(work.out),
            Some(open) => Err(ScanError::MissingDelimiter { place: open.place, end: raw.len() as u64 }),
        }
    }
}

struct Work<'a> {
    conversion: Conversion,
    raw: &'a [u8],
    at: usize,
    out: Vec<u8>,
    open: Vec<Open>,
    depth_max: usize,
}

impl Work<'_> {
    fn layouts(&self) -> (Layout, Layout) {
        self.open.last().map_or((self.conversion.from, self.conversion.to), |open| (open.from, open.to))
    }

    /// The end of what the present element is in.
    fn limit(&self) -> usize {
        self.open.iter().rev().find_map(|open| open.end).unwrap_or(self.raw.len())
    }

    /// Fills in the length of everything that ends here.
    fn close_ended(&mut self) -> Result<(), ScanError> {
        while let Some(open) = self.open.last().copied() {
            if open.end != Some(self.at) {
                return Ok(());
            }
            let start = open.length.at.saturating_add(4);
            let length = self.out.len().saturating_sub(start);
            let field = u32::try_from(length).ok().filter(|field| *field < u32::MAX);
            let field = field.ok_or(ScanError::Length {
                place: open.place,
                claimed: length as u64,
                left: u64::from(u32::MAX - 1),
            })?;
            if let Some(bytes) = self.out.get_mut(open.length.at..start) {
                bytes.copy_from_slice(&open.to.u32_bytes(field));
            }
            self.open.pop();
        }
        Ok(())
    }

    /// Converts one header, with the value behind it if it is not made of items.
    fn step(&mut self) -> Result<(), ScanError> {
        let (from, _) = self.layouts();
        let at = self.at as u64;
        let rest = self.raw.get(self.at..self.limit()).unwrap_or_default();
        let header = read_header(from, rest)
            .map_err(|bytes| ScanError::BadVr { place: Place { tag: tag_of(from, rest), at }, bytes })?;
        let header = header.ok_or(ScanError::HeaderCut { at, left: rest.len() as u64, needed: 12 })?;
        let place = Place { tag: header.tag, at };
        self.at = self.at.saturating_add(usize::from(header.size));
        let end = self.end_of(header, place)?;
        match (self.open.last().copied(), header.tag) {
            (Some(open), ITEM) if !open.is_item => self.open(header, place, end, VR::UN, open.from, open.to),
            (Some(open), ITEM_DELIMITATION) if open.is_item => self.close(header, place, &open),
            (Some(open), SEQUENCE_DELIMITATION) if !open.is_item => self.close(header, place, &open),
            (Some(open), _) if !open.is_item => Err(ScanError::ItemExpected { place, sequence: open.place }),
            _ if header.tag.group() == 0xFFFE => Err(ScanError::StrayDelimiter { place }),
            _ => self.element(header, place, end),
        }
    }

    fn end_of(&self, header: Header, place: Place) -> Result<Option<usize>, ScanError> {
        let Length::Defined(length) = header.length else { return Ok(None) };
        let left = self.limit().saturating_sub(self.at);
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(Some(self.at.saturating_add(length))),
            _ => Err(ScanError::Length { place, claimed: u64::from(length), left: left as u64 }),
        }
    }

    fn close(&mut self, header: Header, place: Place, open: &Open) -> Result<(), ScanError> {
        if open.end.is_some() || header.length != Length::Defined(0) {
            return Err(ScanError::StrayDelimiter { place });
        }
        write_header(&mut self.out, open.to, header.tag, VR::UN, Length::Defined(0));
        self.open.pop();
        Ok(())
    }

    fn element(&mut self, header: Header, place: Place, end: Option<usize>) -> Result<(), ScanError> {
        let (from, to) = self.layouts();
        let known = || dictionary_vr(header.tag, self.conversion.signed_pixels);
        let vr = match (header.vr, end) {
            (VrField::None, None) if !is_pixel_data(header.tag) => VR::SQ,
            (field, _) => field.vr().or_else(known).unwrap_or(VR::UN),
        };
        match (vr, end) {
            // Whatever its VR says, as the scanner has it.
            (_, None) if is_pixel_data(header.tag) => self.fragments(header, place, vr),
            (VR::SQ, _) => self.open(header, place, end, vr, from, to),
            (VR::UN, None) => {
                // PS3.5 6.2.2 note 2: inside it is in Implicit VR Little Endian, before and after.
                let inside = Layout::ImplicitLittle;
                self.open(header, place, end, vr, inside, inside)
            }
            (_, None) => self.fragments(header, place, vr),
            // A reader of implicit VR goes by the dictionary. In UN there may well be a sequence.
            (_, Some(end))
                if !to.is_explicit()
                    && end > self.at
                    && known() == Some(VR::SQ)
                    && !(vr == VR::UN && self.is_sequence(header, end)) =>
            {
                Err(ScanError::NotASequence { place, vr })
            }
            (_, Some(end)) => {
                self.value(header, vr, end);
                Ok(())
            }
        }
    }

    /// Begins a sequence or an item: its header now, its length when it ends.
    fn open(
        &mut self,
        header: Header,
        place: Place,
        end: Option<usize>,
        vr: VR,
        from: Layout,
        to: Layout,
    ) -> Result<(), ScanError> {
        let is_item = header.tag == ITEM;
        let depth = self.open.iter().filter(|open| !open.is_item).count();
        if !is_item && depth >= self.depth_max {
            return Err(ScanError::TooDeep { place, max: self.depth_max });
        }
        let (_, outside) = self.layouts();
        let length = write_header(&mut self.out, outside, header.tag, vr, header.length);
        self.open.push(Open { place, is_item, from, to, end, length });
        Ok(())
    }

    /// Encapsulated data, which is the same in and out, up to and with its delimiter.
    fn fragments(&mut self, header: Header, place: Place, vr: VR) -> Result<(), ScanError> {
        let (from, to) = self.layouts();
        if from != to {
            return Err(ScanError::EncapsulatedInNative { place });
        }
        write_header(&mut self.out, to, header.tag, vr, header.length);
        loop {
            let at = self.at;
            let rest = self.raw.get(at..self.limit()).unwrap_or_default();
            let Ok(Some(item)) = read_header(from, rest) else {
                return Err(ScanError::MissingDelimiter { place, end: self.limit() as u64 });
            };
            let item_place = Place { tag: item.tag, at: at as u64 };
            self.at = at.saturating_add(usize::from(item.size));
            let end = self.end_of(item, item_place)?;
            let end = end.ok_or(ScanError::FragmentLength { place: item_place })?;
            self.at = end;
            self.out.extend_from_slice(self.raw.get(at..end).unwrap_or_default());
            match item.tag {
                ITEM => {}
                SEQUENCE_DELIMITATION => return Ok(()),
                _ => return Err(ScanError::ItemExpected { place: item_place, sequence: place }),
            }
        }
    }

    /// Whether a reader of implicit VR finds well-formed items in the value that ends there.
    fn is_sequence(&self, header: Header, end: usize) -> bool {
        let layout = Layout::ImplicitLittle;
        let mut element = Vec::new();
        write_header(&mut element, layout, header.tag, VR::SQ, header.length);
        element.extend_from_slice(self.raw.get(self.at..end).unwrap_or_default());
        let check = Conversion { from: layout, to: layout, signed_pixels: false };
        check.convert(&element, &Limits { depth_max: self.depth_max, ..Limits::default() }).is_ok()
    }

    fn value(&mut self, header: Header, vr: VR, end: usize) {
        let (from, to) = self.layouts();
        let value = self.raw.get(self.at..end).unwrap_or_default();
        self.at = end;
        write_header(&mut self.out, to, header.tag, vr, header.length);
        let start = self.out.len();
        self.out.extend_from_slice(value);
        // A value too long for its VR is written as UN, and nobody swaps those back.
        let becomes_un = to.is_explicit() && !has_long_length(vr) && value.len() > usize::from(u16::MAX);
        if from.is_big_endian() != to.is_big_endian() && !becomes_un {
            swap_bytes(swap_unit(vr), self.out.get_mut(start..).unwrap_or_default());
        }
    }
}

/// Turns every `unit` bytes around; what is left at the end of a value with a wrong length stays as it is.
pub fn swap_bytes(unit: usize, bytes: &mut [u8]) {
    if unit > 1 {
        bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::Tag;

    use super::*;

    const LITTLE: Layout = Layout::ExplicitLittle;
    const BIG: Layout = Layout::ExplicitBig;
    const IMPLICIT: Layout = Layout::ImplicitLittle;
    const ICONS: Tag = Tag(0x0088, 0x0200);
    const PRIVATE: Tag = Tag(0x0029, 0x1010);

    fn convert(raw: &[u8], from: Layout, to: Layout) -> Result<Vec<u8>, ScanError> {
        Conversion { from, to, signed_pixels: false }.convert(raw, &Limits::default())
    }

    fn element(layout: Layout, tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, layout, tag, vr, Length::Defined(u32::try_from(value.len()).unwrap()));
        [&out[..], value].concat()
    }

    fn open(layout: Layout, tag: Tag, vr: VR) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, layout, tag, vr, Length::Undefined);
        out
    }

    /// The same elements, written in a layout: numbers of every size, text, and sequences of both kinds of length.
    fn elements(layout: Layout) -> Vec<u8> {
        let turn = |unit: usize, mut bytes: Vec<u8>| {
            if layout.is_big_endian() {
                swap_bytes(unit, &mut bytes);
            }
            bytes
        };
        let inner = [
            element(layout, Tag(0x0028, 0x0010), VR::US, &turn(2, vec![1, 2])),
            element(layout, Tag(0x0028, 0x0009), VR::AT, &turn(2, vec![1, 2, 3, 4])),
            element(layout, Tag(0x0010, 0x0010), VR::PN, b"Doe^John"),
            element(layout, Tag(0x0018, 0x602A), VR::FD, &turn(8, vec![1, 2, 3, 4, 5, 6, 7, 8])),
            element(layout, Tag(0x0066, 0x0016), VR::OF, &turn(4, vec![1, 2, 3, 4, 5, 6, 7, 8])),
        ]
        .concat();
        let nested = [
            open(layout, ICONS, VR::SQ),
            open(layout, ITEM, VR::UN),
            inner.clone(),
            element(layout, ITEM_DELIMITATION, VR::UN, b""),
            element(layout, SEQUENCE_DELIMITATION, VR::UN, b""),
        ]
        .concat();
        let item = element(layout, ITEM, VR::UN, &[inner.clone(), nested].concat());
        let empty = element(layout, ITEM, VR::UN, b"");
        [
            element(layout, Tag(0x0008, 0x1111), VR::SQ, &[item, empty].concat()),
            inner,
            element(layout, PRIVATE, VR::UN, b"nobody knows"),
            element(layout, Tag(0x7FE0, 0x0010), VR::OW, &turn(2, vec![1, 2, 3, 4])),
        ]
        .concat()
    }

    #[test]
    fn every_layout_becomes_every_other() {
        for from in [LITTLE, BIG, IMPLICIT] {
            for to in [LITTLE, BIG, IMPLICIT] {
                assert_eq!(convert(&elements(from), from, to).unwrap(), elements(to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn private_sequences_come_through_as_sequences_or_untouched() {
        let content = element(IMPLICIT, Tag(0x0028, 0x0010), VR::US, &[1, 2]);
        let item = element(IMPLICIT, ITEM, VR::UN, &content);
        let end = element(IMPLICIT, SEQUENCE_DELIMITATION, VR::UN, b"");
        let undefined = [open(IMPLICIT, PRIVATE, VR::SQ), item.clone(), end.clone()].concat();
        let explicit = convert(&undefined, IMPLICIT, LITTLE).unwrap();
        assert!(explicit.starts_with(b"\x29\0\x10\x10SQ"));
        assert_eq!(convert(&explicit, LITTLE, IMPLICIT).unwrap(), undefined);

        let unknown = [open(BIG, PRIVATE, VR::UN), item, end].concat();
        let little = convert(&unknown, BIG, LITTLE).unwrap();
        assert_eq!(little[12..], unknown[12..], "what is in UN is implicit little endian everywhere");
        assert_eq!(convert(&unknown, BIG, IMPLICIT).unwrap(), undefined);
    }

    #[test]
    fn signed_images_get_signed_vrs() {
        let smallest = element(IMPLICIT, Tag(0x0028, 0x0106), VR::SS, &[1, 0xFF]);
        for (signed_pixels, vr) in [(false, VR::US), (true, VR::SS)] {
            let conversion = Conversion { from: IMPLICIT, to: LITTLE, signed_pixels };
            let expected = element(LITTLE, Tag(0x0028, 0x0106), vr, &[1, 0xFF]);
            assert_eq!(conversion.convert(&smallest, &Limits::default()).unwrap(), expected);
        }
    }

    #[test]
    fn a_value_too_long_for_the_short_form_survives_as_un() {
        let long = element(IMPLICIT, Tag(0x0028, 0x3006), VR::DS, &vec![b'1'; 70_000]);
        let name = element(IMPLICIT, Tag(0x0010, 0x0010), VR::PN, &vec![b'x'; 70_000]);
        let numbers = element(IMPLICIT, Tag(0x0028, 0x0010), VR::US, &[1, 2].repeat(35_000));
        for raw in [long, name, numbers] {
            for to in [LITTLE, BIG] {
                let there = convert(&raw, IMPLICIT, to).unwrap();
                assert_eq!(convert(&there, to, IMPLICIT).unwrap(), raw);
            }
        }
    }

    #[test]
    fn encapsulated_data_stays_in_explicit_little_endian() {
        let item = |value: &[u8]| element(LITTLE, ITEM, VR::UN, value);
        let end = element(LITTLE, SEQUENCE_DELIMITATION, VR::UN, b"");
        let raw = [open(LITTLE, Tag(0x7FE0, 0x0010), VR::OB), item(b""), item(b"abc"), end].concat();
        assert_eq!(convert(&raw, LITTLE, LITTLE).unwrap(), raw);
        assert!(matches!(convert(&raw, LITTLE, IMPLICIT), Err(ScanError::EncapsulatedInNative { .. })));
        let of_unknown_vr = [&open(LITTLE, Tag(0x7FE0, 0x0010), VR::UN), &raw[12..]].concat();
        assert_eq!(convert(&of_unknown_vr, LITTLE, LITTLE).unwrap(), of_unknown_vr);
    }

    #[test]
    fn text_in_place_of_a_sequence_stays_explicit() {
        let raw = element(LITTLE, ICONS, VR::LO, b"text");
        assert!(convert(&raw, LITTLE, BIG).is_ok());
        assert!(matches!(convert(&raw, LITTLE, IMPLICIT), Err(ScanError::NotASequence { vr: VR::LO, .. })));
        assert!(convert(&element(LITTLE, ICONS, VR::LO, b""), LITTLE, IMPLICIT).is_ok());
        assert!(convert(&element(LITTLE, ICONS, VR::UN, b"text"), LITTLE, IMPLICIT).is_err());
        let item = element(IMPLICIT, ITEM, VR::UN, b"");
        let implicit = convert(&element(LITTLE, ICONS, VR::UN, &item), LITTLE, IMPLICIT).unwrap();
        assert_eq!(implicit, element(IMPLICIT, ICONS, VR::SQ, &item));
    }

    #[test]
    fn what_is_cut_or_too_deep_is_an_error() {
        for layout in [LITTLE, BIG, IMPLICIT] {
            let raw = element(layout, ICONS, VR::SQ, &element(layout, ITEM, VR::UN, &elements(layout)));
            for n in 1..raw.len() {
                assert!(convert(&raw[..n], layout, LITTLE).is_err(), "{layout:?} cut at {n}");
            }
            let deep = [open(layout, ICONS, VR::SQ), open(layout, ITEM, VR::UN)].concat().repeat(2000);
            assert!(matches!(convert(&deep, layout, LITTLE), Err(ScanError::TooDeep { max: 64, .. })));
        }
    }
}
