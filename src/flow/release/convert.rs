//! Native data sets from one transfer syntax into another while they pass (PS3.5 annex A); pixels keep their values.

use std::collections::VecDeque;

use bytes::Bytes;
use dicom_core::{Tag, VR};

use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::ClearBytes;
use crate::seal::element::{
    Conversion, Layout, dictionary_vr, read_u16, swap_bytes, swap_unit, write_header,
};
use crate::seal::scan::{Element, Event, Head, Limits, Place, ScanError, Scanner};

const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

/// Sequences are converted as a whole; a larger one stands in no real instance that is not compressed.
const LIMITS: Limits = Limits {
    depth_max: 64,
    element_bytes_max: 64 * 1024 * 1024,
    header_bytes_max: 96 * 1024 * 1024,
    top_elements_max: 32 * 1024,
    elements_max: 64 * 1024 * 1024,
    irregularities_max: 16,
    meta_bytes_max: 256 * 1024,
};

/// Whether an instance in one syntax can be given in another without touching its pixels.
pub(super) fn can_convert(from: TransferSyntax, to: TransferSyntax) -> bool {
    let target =
        matches!(to.encoding, Encoding::ImplicitLittle | Encoding::ExplicitLittle | Encoding::ExplicitBig);
    let native = from.encoding != Encoding::Encapsulated;
    from == to || (native && target)
}

/// Takes a data set in pieces, and gives it in another encoding.
pub(in crate::flow) struct Converter {
    scanner: Scanner,
    work: Work,
}

struct Work {
    conversion: Conversion,
    /// Values that stream through: how many bytes are turned round at once, and what of such a unit has come.
    unit: usize,
    carry: Vec<u8>,
    out: ClearBytes,
}

impl Converter {
    pub(in crate::flow) fn new(from: Encoding, to: Encoding) -> Self {
        let conversion = Conversion { from: Layout::from(from), to: Layout::from(to), signed_pixels: false };
        let work = Work { conversion, unit: 1, carry: Vec::new(), out: ClearBytes::default() };
        Self { scanner: Scanner::new(from, LIMITS, None), work }
    }

    /// Takes a piece; gives what is known by now, perhaps nothing.
    pub(in crate::flow) fn push(&mut self, piece: &[u8]) -> Result<Bytes, ScanError> {
        let work = &mut self.work;
        work.out.reserve(piece.len() + 64);
        self.scanner.push(piece, &mut |event| work.take(&event))?;
        Ok(Bytes::from_owner(std::mem::take(&mut work.out)))
    }

    /// The input is over: an error unless the data set is complete.
    pub(in crate::flow) fn finish(&mut self) -> Result<(), ScanError> {
        self.scanner.finish()
    }

    /// Converts all pieces at once.
    pub(super) fn convert(mut self, pieces: VecDeque<Bytes>) -> Result<VecDeque<Bytes>, ScanError> {
        let mut converted = VecDeque::with_capacity(pieces.len());
        for piece in pieces {
            converted.push_back(self.push(&piece)?);
        }
        self.finish()?;
        converted.retain(|piece| !piece.is_empty());
        Ok(converted)
    }
}

impl Work {
    fn take(&mut self, event: &Event<'_>) -> Result<(), ScanError> {
        match event {
            Event::Element(element) => self.take_element(element),
            Event::Begin(head) => self.begin(head),
            Event::Bytes(bytes) => {
                self.stream(bytes);
                Ok(())
            }
            Event::End(_) => {
                let rest = std::mem::take(&mut self.carry);
                self.out.extend_from_slice(&rest);
                Ok(())
            }
        }
    }

    fn take_element(&mut self, element: &Element<'_>) -> Result<(), ScanError> {
        // Group lengths (retired, PS3.5 7.2) would be wrong in another encoding.
        if element.tag.element() == 0 {
            return Ok(());
        }
        if element.tag == PIXEL_REPRESENTATION {
            let encoding = if self.conversion.from.is_big_endian() {
                Encoding::ExplicitBig
            } else {
                Encoding::ExplicitLittle
            };
            self.conversion.signed_pixels = read_u16(encoding, element.value) == Some(1);
        }
        let converted = self.conversion.convert(element.raw, &LIMITS)?;
        self.out.extend_from_slice(&converted);
        Ok(())
    }

    fn begin(&mut self, head: &Head<'_>) -> Result<(), ScanError> {
        // PS3.5 A.1: in Implicit VR pixels are OW.
        let vr = head.vr.or_else(|| dictionary_vr(head.tag, false)).unwrap_or(VR::UN);
        if vr == VR::SQ || head.length == crate::seal::element::Length::Undefined {
            let place = Place { tag: head.tag, at: head.at };
            return Err(ScanError::HeaderTooLarge { place, max: LIMITS.header_bytes_max });
        }
        write_header(&mut self.out, self.conversion.to, head.tag, vr, head.length);
        let turns = self.conversion.from.is_big_endian() != self.conversion.to.is_big_endian();
        self.unit = if turns { swap_unit(vr) } else { 1 };
        Ok(())
    }

    fn stream(&mut self, bytes: &[u8]) {
        if self.unit <= 1 {
            return self.out.extend_from_slice(bytes);
        }
        self.carry.extend_from_slice(bytes);
        let whole = self.carry.len() - self.carry.len() % self.unit;
        let rest = self.carry.split_off(whole);
        let mut units = std::mem::replace(&mut self.carry, rest);
        swap_bytes(self.unit, &mut units);
        self.out.extend_from_slice(&units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows, Pixel Representation, and four pixels of 16 bits.
    const EXPLICIT: &[u8] =
        b"\x28\0\x10\0US\x02\0\x02\0\x28\0\x03\x01US\x02\0\x01\0\x28\0\x06\x01SS\x02\0\xFE\xFF\xE0\x7F\x10\0OW\0\0\x08\0\0\0abcdefgh";
    const IMPLICIT: &[u8] =
        b"\x28\0\x10\0\x02\0\0\0\x02\0\x28\0\x03\x01\x02\0\0\0\x01\0\x28\0\x06\x01\x02\0\0\0\xFE\xFF\xE0\x7F\x10\0\x08\0\0\0abcdefgh";
    const BIG: &[u8] =
        b"\0\x28\0\x10US\0\x02\0\x02\0\x28\x01\x03US\0\x02\0\x01\0\x28\x01\x06SS\0\x02\xFF\xFE\x7F\xE0\0\x10OW\0\0\0\0\0\x08badcfehg";

    fn converted(from: Encoding, to: Encoding, bytes: &[u8], piece: usize) -> Vec<u8> {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        Converter::new(from, to).convert(pieces).unwrap().into_iter().flatten().collect()
    }

    #[test]
    fn native_syntaxes_become_each_other_however_they_arrive() {
        for piece in [1, 3, 7, 1000] {
            let explicit = converted(Encoding::ImplicitLittle, Encoding::ExplicitLittle, IMPLICIT, piece);
            assert_eq!(explicit, EXPLICIT);
            let implicit = converted(Encoding::ExplicitLittle, Encoding::ImplicitLittle, EXPLICIT, piece);
            assert_eq!(implicit, IMPLICIT);
            let little = converted(Encoding::ExplicitBig, Encoding::ExplicitLittle, BIG, piece);
            assert_eq!(little, EXPLICIT);
            for (from, bytes) in [(Encoding::ExplicitLittle, EXPLICIT), (Encoding::ImplicitLittle, IMPLICIT)]
            {
                assert_eq!(converted(from, Encoding::ExplicitBig, bytes, piece), BIG);
            }
        }
    }

    #[test]
    fn group_lengths_are_left_out_and_a_cut_data_set_is_an_error() {
        let with_length = [b"\x28\0\0\0\x04\0\0\0\x99\0\0\0", IMPLICIT].concat();
        let explicit = converted(Encoding::ImplicitLittle, Encoding::ExplicitLittle, &with_length, 50);
        assert_eq!(explicit, EXPLICIT);
        let pieces = VecDeque::from([Bytes::from_static(&IMPLICIT[..IMPLICIT.len() - 3])]);
        assert!(Converter::new(Encoding::ImplicitLittle, Encoding::ExplicitLittle).convert(pieces).is_err());
    }
}
