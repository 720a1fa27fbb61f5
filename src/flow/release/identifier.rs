//! Identifiers of queries: small data sets whose elements are looked at and exchanged one by one, never decoded.

use std::collections::BTreeMap;

use bytes::Bytes;
use dicom_core::{Tag, VR};

use crate::dicom::{Encoding, Uid};
use crate::seal::element::{Conversion, Layout, Length, write_header};
use crate::seal::scan::{Element, Event, Limits, ScanError, Scanner};

/// Query/Retrieve Level.
/// Retrieve AE Title.
const RETRIEVE_AE: Tag = Tag(0x0008, 0x0054);
/// Failed SOP Instance UID List.
const FAILED_INSTANCES: Tag = Tag(0x0008, 0x0058);
/// A failed list of VR UI in explicit VR has a length of 16 bits.
const FAILED_BYTES_MAX: usize = 65_534;

/// The values of one level that were asked for by their tags.
pub(crate) type Values = BTreeMap<Tag, Vec<u8>>;

/// Limits for a data set that is in memory already.
fn limits(length: usize) -> Limits {
    Limits { element_bytes_max: length.max(16), header_bytes_max: length as u64 + 16, ..Limits::default() }
}

/// Data sets of services have no pixels, so that every encapsulated syntax is Explicit VR Little Endian (PS3.5 A.4).
fn plain(encoding: Encoding) -> Encoding {
    if encoding == Encoding::Encapsulated { Encoding::ExplicitLittle } else { encoding }
}

/// Tells every element of an identifier.
fn walk(
    bytes: &[u8],
    encoding: Encoding,
    on: &mut impl FnMut(&Element<'_>) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(plain(encoding), limits(bytes.len()), Some(bytes.len() as u64));
    scanner.push(bytes, &mut |event| match event {
        Event::Element(element) => on(&element),
        // Only pixel data streams under these limits, and no identifier has any.
        _ => Ok(()),
    })?;
    scanner.finish()
}

/// The values of the elements that are asked for, as they are, with their padding.
pub(crate) fn values(bytes: &[u8], encoding: Encoding, tags: &[Tag]) -> Result<Values, ScanError> {
    let mut found = Values::new();
    walk(bytes, encoding, &mut |element| {
        if tags.contains(&element.tag) {
            found.insert(element.tag, element.value.to_vec());
        }
        Ok(())
    })?;
    Ok(found)
}

/// An identifier of these elements, which stand in the order of their tags.
pub(crate) fn identifier_of(elements: &[(Tag, VR, String)], encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, vr, text) in elements {
        let padding = if *vr == VR::UI { 0 } else { b' ' };
        put(&mut out, Layout::from(plain(encoding)), *tag, *vr, &even(text.as_bytes(), padding));
    }
    out
}

/// A value without its padding.
pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let kept = value.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    value.get(..kept).unwrap_or_default()
}

/// A UID of an identifier, if it is one.
pub(super) fn uid(values: &Values, tag: Tag) -> Option<Uid> {
    Uid::from_wire(values.get(&tag)?).ok()
}

/// What is to stand in an identifier.
#[derive(Debug, Clone, Default)]
pub(super) struct Edit {
    /// Stands in place of what is there, and only if something is.
    pub(super) replace: BTreeMap<Tag, Vec<u8>>,
    /// Stands in place of what is there, or in its order where nothing is.
    pub(super) set: BTreeMap<Tag, (VR, Vec<u8>)>,
}

impl Edit {
    /// Retrieve AE Title as this.
    pub(super) fn retrieve_ae(title: &str) -> Self {
        Self { replace: BTreeMap::from([(RETRIEVE_AE, even(title.as_bytes(), b' '))]), set: BTreeMap::new() }
    }

    /// The identifier with the edit; the same bytes where nothing differs.
    pub(super) fn apply(&self, bytes: &Bytes, encoding: Encoding) -> Result<Bytes, ScanError> {
        let layout = Layout::from(plain(encoding));
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let mut left = self.set.clone();
        walk(bytes, encoding, &mut |element| {
            while let Some(entry) = left.first_entry().filter(|entry| *entry.key() < element.tag) {
                let (tag, (vr, value)) = entry.remove_entry();
                put(&mut out, layout, tag, vr, &value);
            }
            if let Some((vr, value)) = left.remove(&element.tag) {
                put(&mut out, layout, element.tag, vr, &value);
            } else if let Some(value) = self.replace.get(&element.tag) {
                put(&mut out, layout, element.tag, element.vr.unwrap_or(VR::AE), value);
            } else {
                out.extend_from_slice(element.raw);
            }
            Ok(())
        })?;
        for (tag, (vr, value)) in left {
            put(&mut out, layout, tag, vr, &value);
        }
        Ok(if out == *bytes { bytes.clone() } else { out.into() })
    }
}

/// A request that asks for no Retrieve AE Title where it asks for ours: every match is ours to retrieve, and no PACS
/// knows that.
pub(super) fn without_our_title(
    request: &Bytes,
    encoding: Encoding,
    title: &str,
) -> Result<Bytes, ScanError> {
    let asked = values(request, encoding, &[RETRIEVE_AE])?;
    let is_ours =
        |value: &Vec<u8>| value.split(|byte| *byte == b'\\').any(|one| one.trim_ascii() == title.as_bytes());
    if !asked.get(&RETRIEVE_AE).is_some_and(is_ours) {
        return Ok(request.clone());
    }
    Edit { replace: BTreeMap::from([(RETRIEVE_AE, Vec::new())]), set: BTreeMap::new() }
        .apply(request, encoding)
}

/// An identifier in another little endian encoding.
pub(in crate::flow) fn convert(bytes: &Bytes, from: Encoding, to: Encoding) -> Result<Bytes, ScanError> {
    let (from, to) = (Layout::from(plain(from)), Layout::from(plain(to)));
    if from == to {
        return Ok(bytes.clone());
    }
    Conversion { from, to, signed_pixels: false }.convert(bytes, &limits(bytes.len())).map(Bytes::from)
}

/// The identifier of a final response of C-GET or C-MOVE that names what failed, as many as there is room for.
pub(crate) fn failed_list(failed: &[Uid], encoding: Encoding) -> Vec<u8> {
    let mut value = Vec::new();
    for uid in failed {
        let more = uid.as_str().len() + usize::from(!value.is_empty());
        if value.len() + more > FAILED_BYTES_MAX {
            break;
        }
        if !value.is_empty() {
            value.push(b'\\');
        }
        value.extend_from_slice(uid.as_str().as_bytes());
    }
    let mut out = Vec::new();
    put(&mut out, Layout::from(plain(encoding)), FAILED_INSTANCES, VR::UI, &even(&value, 0));
    out
}

/// A value padded to even length.
pub(super) fn even(value: &[u8], padding: u8) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(padding);
    }
    value
}

/// Appends an element in a little endian encoding.
pub(in crate::flow) fn put_element(out: &mut Vec<u8>, encoding: Encoding, tag: Tag, vr: VR, value: &[u8]) {
    put(out, Layout::from(plain(encoding)), tag, vr, value);
}

fn put(out: &mut Vec<u8>, layout: Layout, tag: Tag, vr: VR, value: &[u8]) {
    let length = Length::Defined(u32::try_from(value.len()).expect("values of identifiers are small"));
    write_header(out, layout, tag, vr, length);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::tags::LEVEL;

    const ROWS: Tag = Tag(0x0028, 0x0010);

    fn identifier(encoding: Encoding) -> Bytes {
        let mut out = Vec::new();
        let layout = Layout::from(encoding);
        put(&mut out, layout, Tag(0x0008, 0x0005), VR::CS, b"\\ISO 2022 IR 87");
        put(&mut out, layout, RETRIEVE_AE, VR::AE, b"PACS");
        put(&mut out, layout, Tag(0x0010, 0x0010), VR::PN, b"\x1B$B;3ED\x1B(B^\xFF ");
        put(&mut out, layout, Tag(0x0020, 0x000D), VR::UI, b"1.2.3\0");
        out.into()
    }

    #[test]
    fn only_what_is_to_change_changes_and_no_text_is_decoded() {
        for encoding in [Encoding::ImplicitLittle, Encoding::ExplicitLittle] {
            let before = identifier(encoding);
            let after = Edit::retrieve_ae("SEALGATE").apply(&before, encoding).unwrap();
            let tags = [RETRIEVE_AE, Tag(0x0010, 0x0010), Tag(0x0008, 0x0005)];
            let (old, new) =
                (values(&before, encoding, &tags).unwrap(), values(&after, encoding, &tags).unwrap());
            assert_eq!(new[&RETRIEVE_AE], b"SEALGATE");
            assert_eq!(old[&tags[1]], new[&tags[1]]);
            assert_eq!(after.len(), before.len() + 4);
            let same = Edit::retrieve_ae("PACS").apply(&before, encoding).unwrap();
            assert_eq!(same, before);
        }
    }

    #[test]
    fn what_the_archive_left_out_is_set_in_its_order() {
        let encoding = Encoding::ExplicitLittle;
        let edit = Edit {
            set: BTreeMap::from([
                (ROWS, (VR::US, vec![0, 2])),
                (Tag(0x0008, 0x3002), (VR::UI, b"1.2\0".to_vec())),
            ]),
            ..Edit::default()
        };
        let after = edit.apply(&identifier(encoding), encoding).unwrap();
        let mut order = Vec::new();
        walk(&after, encoding, &mut |element| {
            order.push(element.tag);
            Ok(())
        })
        .unwrap();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(values(&after, encoding, &[ROWS]).unwrap()[&ROWS], [0, 2]);
    }

    #[test]
    fn an_identifier_without_a_retrieve_title_gets_none() {
        let mut bytes = Vec::new();
        put(&mut bytes, Layout::ImplicitLittle, LEVEL, VR::CS, b"STUDY ");
        let bytes = Bytes::from(bytes);
        assert_eq!(Edit::retrieve_ae("SEALGATE").apply(&bytes, Encoding::ImplicitLittle).unwrap(), bytes);
    }

    #[test]
    fn a_list_of_what_failed_stays_within_its_length() {
        let uid = |number: usize| Uid::parse(&format!("1.2.840.{number:050}")).unwrap();
        let failed: Vec<Uid> = (0..5000).map(uid).collect();
        let list = failed_list(&failed, Encoding::ExplicitLittle);
        let value = values(&list, Encoding::ExplicitLittle, &[FAILED_INSTANCES]).unwrap();
        let value = &value[&FAILED_INSTANCES];
        assert!(value.len() <= FAILED_BYTES_MAX && value.len() > 60_000);
        assert!(value.split(|byte| *byte == b'\\').all(|uid| Uid::from_wire(uid).is_ok()));
    }

    #[test]
    fn encodings_are_exchanged_and_back() {
        let implicit = identifier(Encoding::ImplicitLittle);
        let explicit = convert(&implicit, Encoding::ImplicitLittle, Encoding::ExplicitLittle).unwrap();
        assert_eq!(explicit, identifier(Encoding::ExplicitLittle));
        assert_eq!(convert(&explicit, Encoding::ExplicitLittle, Encoding::ImplicitLittle).unwrap(), implicit);
    }
}
