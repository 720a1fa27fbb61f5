//! Encapsulated documents: sealed where they stand, with what belongs to them around it, and back.

use dicom_core::{Tag, VR};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use sealgate::dicom::Encoding;
use sealgate::seal::element::{ENCAPSULATED_DOCUMENT, Layout};
use sealgate::seal::scan::{Event, Limits, ScanError, Scanner};
use sealgate::seal::{HeaderMode, KeyId, OpenError, SealError};

use super::build::{element, even};
use super::{INSTANCE, key, leak, noise, open, sealer_of};

const PDF: &str = "1.2.840.10008.5.1.4.1.1.104.1";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const MIME_TYPE: Tag = Tag(0x0042, 0x0012);
const DOCUMENT_LENGTH: Tag = Tag(0x0042, 0x0015);

fn pdf(length: usize) -> Vec<u8> {
    [&b"%PDF-1.7 "[..], &noise(7, length)].concat()
}

fn instance(layout: Layout, document: &[u8]) -> Vec<u8> {
    let text = |group, number, vr, value: &str| {
        element(layout, Tag(group, number), vr, &even(value, if vr == VR::UI { 0 } else { b' ' }))
    };
    let length = u32::try_from(document.len()).unwrap().to_le_bytes();
    let mut padded = document.to_vec();
    padded.resize(document.len().next_multiple_of(2), 0);
    [
        text(0x0008, 0x0016, VR::UI, PDF),
        text(0x0008, 0x0018, VR::UI, INSTANCE),
        text(0x0008, 0x0060, VR::CS, "DOC"),
        text(0x0010, 0x0010, VR::PN, "Report^Of"),
        text(0x0020, 0x000D, VR::UI, "1.2.3"),
        text(0x0020, 0x000E, VR::UI, "1.2.3.4"),
        text(0x0042, 0x0010, VR::ST, "Discharge letter"),
        element(layout, ENCAPSULATED_DOCUMENT, VR::OB, &padded),
        text(0x0042, 0x0012, VR::LO, "application/pdf"),
        element(layout, DOCUMENT_LENGTH, VR::UL, &length),
        text(0x0043, 0x0010, VR::LO, "VENDOR"),
        element(layout, Tag(0x0043, 0x1001), VR::OB, &noise(9, 3000)),
    ]
    .concat()
}

fn seal(syntax: &str, data_set: &[u8], piece: usize) -> Result<(Vec<u8>, &'static str), SealError> {
    let mut sealer = sealer_of(PDF, syntax, None, Vec::new(), |_| Some(key()))?;
    for piece in data_set.chunks(piece) {
        sealer.push(piece)?;
    }
    let (outcome, bytes) = sealer.finish()?;
    assert_eq!(outcome.bytes, bytes.len() as u64);
    assert!(outcome.image.is_none() && outcome.study.is_some());
    Ok((bytes, outcome.transfer_syntax))
}

/// The top-level elements of a data set, with the first bytes of each.
fn elements(syntax: &str, data_set: &[u8]) -> Vec<(Tag, Vec<u8>)> {
    let encoding = if syntax == IMPLICIT { Encoding::ImplicitLittle } else { Encoding::ExplicitLittle };
    let mut scanner = Scanner::new(encoding, Limits::default(), None);
    let mut found: Vec<(Tag, Vec<u8>)> = Vec::new();
    let mut on = |event: Event<'_>| {
        match event {
            Event::Element(element) => found.push((element.tag, element.value.to_vec())),
            Event::Begin(head) => found.push((head.tag, Vec::new())),
            Event::Bytes(bytes) => found.last_mut().unwrap().1.extend_from_slice(bytes),
            Event::End(_) => {}
        }
        Ok::<_, ScanError>(())
    };
    scanner.push(data_set, &mut on).unwrap();
    scanner.finish().unwrap();
    found
}

#[test]
fn a_document_is_sealed_where_it_stands_and_comes_back() {
    let document = pdf(100_001);
    for (syntax, layout) in [
        (EXPLICIT, Layout::ExplicitLittle),
        (IMPLICIT, Layout::ImplicitLittle),
        (BIG, Layout::ExplicitBig),
        (DEFLATED, Layout::ExplicitLittle),
    ] {
        let mut original = instance(layout, &document);
        if syntax == DEFLATED {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            std::io::Write::write_all(&mut encoder, &original).unwrap();
            original = encoder.finish().unwrap();
        }
        for piece in [1, 777, 1 << 20] {
            let (sealed, carrier) = seal(syntax, &original, piece).unwrap();
            assert_eq!(leak(&sealed, &[document.clone(), noise(9, 3000)]), None, "{syntax}");
            let found = elements(carrier, &sealed);
            let tags: Vec<Tag> = found.iter().map(|(tag, _)| *tag).collect();
            assert!(tags.is_sorted(), "{tags:?}");
            let at = |tag| tags.iter().position(|found| *found == tag);
            let (place, block) = (at(ENCAPSULATED_DOCUMENT).unwrap(), at(Tag(0x0041, 0x0010)).unwrap());
            assert!(block < place, "the key comes before what it opens");
            assert!(found[place].1.starts_with(b"\x93SGATE\r\0"));
            assert_eq!(found[at(MIME_TYPE).unwrap()].1, b"application/pdf ");
            assert_eq!(at(DOCUMENT_LENGTH), None, "it would be false");
            for mode in [HeaderMode::Original, HeaderMode::Current] {
                let (opened, changes) = open(carrier, &sealed, mode, piece).unwrap();
                assert!(opened == original && changes.is_empty(), "{syntax}, {mode:?}: {changes:?}");
            }
        }
    }
}

#[test]
fn what_a_pacs_changes_around_a_document_is_kept_and_what_it_loses_behind_it_does_not_matter() {
    let original = instance(Layout::ExplicitLittle, &pdf(50_000));
    let (mut sealed, carrier) = seal(EXPLICIT, &original, 1000).unwrap();
    let name = sealed.windows(9).position(|window| window == b"Report^Of").unwrap();
    sealed[name..name + 9].copy_from_slice(b"Letter^To");
    let mime = sealed.windows(15).rposition(|window| window == b"application/pdf").unwrap();
    sealed.truncate(mime - 8);
    let (opened, changes) = open(carrier, &sealed, HeaderMode::Current, 1000).unwrap();
    assert_eq!(changes.changed, [Tag(0x0010, 0x0010)]);
    assert!(changes.added.is_empty() && changes.removed.is_empty(), "{changes:?}");
    let mut expected = original;
    let name = expected.windows(9).position(|window| window == b"Report^Of").unwrap();
    expected[name..name + 9].copy_from_slice(b"Letter^To");
    assert!(opened == expected);
}

#[test]
fn a_sealed_document_is_not_sealed_twice_and_an_empty_one_not_at_all() {
    let original = instance(Layout::ExplicitLittle, &pdf(5000));
    let (sealed, _) = seal(EXPLICIT, &original, 1000).unwrap();
    let again = seal(EXPLICIT, &sealed, 1000);
    assert!(matches!(again, Err(SealError::AlreadySealed(id)) if id == KeyId::new([9; 16])), "{again:?}");
    for document in [&b""[..], &pdf(200)] {
        let short = seal(EXPLICIT, &instance(Layout::ExplicitLittle, document), 1000);
        assert!(matches!(short, Err(SealError::NoPixels)), "{short:?}");
    }
}

#[test]
fn a_changed_document_does_not_open() {
    let original = instance(Layout::ExplicitLittle, &pdf(40_000));
    let (sealed, carrier) = seal(EXPLICIT, &original, 1000).unwrap();
    let start = sealed.windows(8).position(|window| window == b"\x93SGATE\r\0").unwrap();
    for at in [start + 20, start + 40, start + 100, start + 20_000, start + 40_000] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        open(carrier, &changed, HeaderMode::Current, 1000).expect_err("a flipped bit");
    }
    // Another document behind the sealed one would be the one that some readers show.
    let other = element(Layout::ExplicitLittle, ENCAPSULATED_DOCUMENT, VR::OB, &pdf(999));
    let error = open(carrier, &[&sealed[..], &other].concat(), HeaderMode::Current, 1000).unwrap_err();
    assert!(matches!(error, OpenError::Padding { .. }), "{error:?}");
    let plain = open(EXPLICIT, &original, HeaderMode::Current, 1000).unwrap_err();
    assert!(matches!(plain, OpenError::NotSealed), "{plain:?}");
}
