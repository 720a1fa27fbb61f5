//! The scanner, told small data sets byte by byte.
#![allow(clippy::cast_possible_truncation)] // lengths of test data

use dicom_core::{Tag, VR};
use proptest::prelude::*;

use super::*;
use crate::seal::element::{PIXEL_DATA, write_header};

/// The events as text, `Bytes` in a row joined, and all raw bytes in order.
fn scan_in_pieces(
    encoding: Encoding,
    limits: Limits,
    total: Option<u64>,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<String>, Vec<u8>, Scanner), ScanError> {
    let (mut told, mut raw, mut run) = (Vec::new(), Vec::new(), 0);
    let mut scanner = Scanner::new(encoding, limits, total);
    let mut on = |event: Event<'_>| {
        match event {
            Event::Element(e) => {
                assert!(e.raw.ends_with(e.value) && e.raw.len() <= limits.element_bytes_max);
                assert_eq!(e.at, raw.len() as u64);
                raw.extend_from_slice(e.raw);
                told.push(format!("{} {:?} {} {}", e.tag, e.vr, e.value.len(), e.holds_pixels));
            }
            Event::Begin(head) => {
                assert_eq!(head.at, raw.len() as u64);
                raw.extend_from_slice(head.raw);
                told.push(format!("begin {} {:?} {:?}", head.tag, head.vr, head.length));
                run = head.raw.len() as u64;
            }
            Event::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                raw.extend_from_slice(bytes);
                run += bytes.len() as u64;
            }
            Event::End(tail) => {
                assert_eq!(tail.bytes, run);
                told.push(format!(
                    "end {} {} {} {}",
                    tail.tag, tail.bytes, tail.holds_pixels, tail.fragments
                ));
            }
        }
        Ok::<(), ScanError>(())
    };
    for piece in bytes.chunks(piece.max(1)) {
        scanner.push(piece, &mut on)?;
    }
    scanner.finish()?;
    Ok((told, raw, scanner))
}

/// Scans in pieces of several sizes, with and without a known total, and wants the same from all.
fn scan_with(encoding: Encoding, limits: Limits, bytes: &[u8]) -> Result<Vec<String>, ScanError> {
    let whole = scan_in_pieces(encoding, limits, None, bytes, usize::MAX).map(|(told, raw, _)| (told, raw));
    for piece in [1, 2, 7, 13, 64] {
        let pieces = scan_in_pieces(encoding, limits, None, bytes, piece).map(|(told, raw, _)| (told, raw));
        if encoding == Encoding::Deflated {
            // Of two faults, one in the stream and one in what it inflates to, either may be found first.
            assert_eq!(pieces.ok(), whole.clone().ok(), "in pieces of {piece}");
        } else {
            assert_eq!(pieces, whole, "in pieces of {piece}");
        }
    }
    if let Ok((told, raw)) = &whole {
        if encoding != Encoding::Deflated {
            assert_eq!(raw, bytes);
        }
        let total = Some(bytes.len() as u64);
        let (known, ..) = scan_in_pieces(encoding, limits, total, bytes, usize::MAX)?;
        assert_eq!(&known, told, "with the total known");
    }
    whole.map(|(told, _)| told)
}

fn scan(encoding: Encoding, bytes: &[u8]) -> Result<Vec<String>, ScanError> {
    scan_with(encoding, Limits::default(), bytes)
}

fn irregularities(encoding: Encoding, bytes: &[u8]) -> Vec<Irregularity> {
    let (_, _, scanner) = scan_in_pieces(encoding, Limits::default(), None, bytes, 5).unwrap();
    scanner.irregularities().0.to_vec()
}

fn element(encoding: Encoding, tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, encoding.into(), tag, vr, Length::Defined(value.len() as u32));
    out.extend_from_slice(value);
    out
}

fn open(encoding: Encoding, tag: Tag, vr: VR) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, encoding.into(), tag, vr, Length::Undefined);
    out
}

const ITEM: Tag = crate::seal::element::ITEM;
const ITEM_END: Tag = crate::seal::element::ITEM_DELIMITATION;
const SEQUENCE_END: Tag = crate::seal::element::SEQUENCE_DELIMITATION;
const NAME: Tag = Tag(0x0010, 0x0010);
const ICONS: Tag = Tag(0x0088, 0x0200);
const PRIVATE: Tag = Tag(0x0029, 0x1010);
const ALL: [Encoding; 3] = [Encoding::ExplicitLittle, Encoding::ImplicitLittle, Encoding::ExplicitBig];

fn delimiter(encoding: Encoding, tag: Tag) -> Vec<u8> {
    element(encoding, tag, VR::UN, b"")
}

#[test]
fn tells_elements_and_pixels_in_every_native_encoding() {
    for encoding in ALL {
        let bytes = [
            element(encoding, NAME, VR::PN, b"Doe^John"),
            element(encoding, Tag(0x0028, 0x0010), VR::US, &[2, 0]),
            element(encoding, PIXEL_DATA, VR::OW, &[7; 100]),
            element(encoding, Tag(0xFFFC, 0xFFFC), VR::OB, &[0; 6]),
        ]
        .concat();
        let vr = |vr: VR| if encoding == Encoding::ImplicitLittle { None } else { Some(vr) };
        let size = if encoding == Encoding::ImplicitLittle { 108 } else { 112 };
        let expected = [
            format!("(0010,0010) {:?} 8 false", vr(VR::PN)),
            format!("(0028,0010) {:?} 2 false", vr(VR::US)),
            format!("begin (7FE0,0010) {:?} Defined(100)", vr(VR::OW)),
            format!("end (7FE0,0010) {size} false 0"),
            format!("(FFFC,FFFC) {:?} 6 false", vr(VR::OB)),
        ];
        assert_eq!(scan(encoding, &bytes).unwrap(), expected);
    }
}

#[test]
fn sees_pixels_in_sequences_of_defined_and_undefined_length() {
    for encoding in ALL {
        let icon = element(encoding, PIXEL_DATA, VR::OW, &[1, 2]);
        let defined = element(encoding, ICONS, VR::SQ, &element(encoding, ITEM, VR::UN, &icon));
        let undefined = [
            open(encoding, ICONS, VR::SQ),
            open(encoding, ITEM, VR::UN),
            icon,
            delimiter(encoding, ITEM_END),
            delimiter(encoding, SEQUENCE_END),
        ]
        .concat();
        for bytes in [defined, undefined] {
            let told = scan(encoding, &bytes).unwrap();
            assert!(
                matches!(&told[..], [one] if one.starts_with("(0088,0200)") && one.ends_with("true")),
                "{told:?}"
            );
        }
        let empty = element(encoding, ICONS, VR::SQ, &element(encoding, ITEM, VR::UN, b""));
        assert!(scan(encoding, &empty).unwrap()[0].ends_with("8 false"));
    }
}

#[test]
fn sees_pixels_in_private_sequences_that_arrive_as_un_or_without_vr() {
    let implicit = Encoding::ImplicitLittle;
    let item = element(implicit, ITEM, VR::UN, &element(implicit, PIXEL_DATA, VR::OW, &[1, 2]));
    for encoding in ALL {
        let told = scan(encoding, &element(encoding, PRIVATE, VR::UN, &item)).unwrap();
        assert!(told[0].ends_with("18 true"), "{told:?}");
    }
    let undefined =
        [open(Encoding::ExplicitBig, PRIVATE, VR::UN), item, delimiter(implicit, SEQUENCE_END)].concat();
    assert!(scan(Encoding::ExplicitBig, &undefined).unwrap()[0].ends_with("true"), "PS3.5 6.2.2 note 2");
}

#[test]
fn what_only_looks_like_a_sequence_passes_and_counts_as_pixels() {
    let encoding = Encoding::ExplicitLittle;
    let broken = element(Encoding::ImplicitLittle, ITEM, VR::UN, b"these are no elements");
    let un = element(encoding, PRIVATE, VR::UN, &[&broken[..], b"rest"].concat());
    let name = element(encoding, Tag(0x0040, 0xA123), VR::PN, b"Doe^John");
    let bytes = [un, name].concat();
    let told = scan(encoding, &bytes).unwrap();
    assert!(told[0].ends_with("true"), "nobody knows what is in it: {told:?}");
    assert_eq!(told.len(), 2);
    let noted = irregularities(encoding, &bytes);
    assert!(noted.contains(&Irregularity::BrokenSequence(Place { tag: PRIVATE, at: 0 })), "{noted:?}");
}

#[test]
fn tells_encapsulated_pixels_with_their_fragments() {
    let encoding = Encoding::Encapsulated;
    let item = |value: &[u8]| element(encoding, ITEM, VR::UN, value);
    let begin = open(encoding, PIXEL_DATA, VR::OB);
    let end = delimiter(encoding, SEQUENCE_END);
    let bytes = [&begin[..], &item(b""), &item(&[1; 5]), &item(&[2; 6]), &end].concat();
    let told = scan(encoding, &bytes).unwrap();
    assert_eq!(told, ["begin (7FE0,0010) Some(OB) Undefined", "end (7FE0,0010) 55 false 3"]);
    assert_eq!(irregularities(encoding, &bytes), [Irregularity::OddLength(Place { tag: ITEM, at: 20 })]);

    let native_in_old_files = element(encoding, PIXEL_DATA, VR::OW, &[1; 4]);
    assert!(scan(encoding, &native_in_old_files).is_ok());
    let without_table = [&begin[..], &end].concat();
    assert!(matches!(scan(encoding, &without_table), Err(ScanError::NoOffsetTable { .. })));
    let wrong_syntax = scan(Encoding::ExplicitLittle, &bytes).unwrap_err();
    assert!(
        wrong_syntax.to_string().contains("let the sender propose the transfer syntax"),
        "{wrong_syntax}"
    );
}

#[test]
fn inflates_the_deflated_syntax_and_allows_one_byte_of_padding() {
    use std::io::Write;
    let plain = element(Encoding::ExplicitLittle, PIXEL_DATA, VR::OW, &vec![9; 200_000]);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).unwrap();
    let mut deflated = encoder.finish().unwrap();
    for _ in 0..2 {
        let told = scan(Encoding::Deflated, &deflated).unwrap();
        assert_eq!(told[1], "end (7FE0,0010) 200012 false 0");
        let (_, raw, _) =
            scan_in_pieces(Encoding::Deflated, Limits::default(), Some(9), &deflated, 100).unwrap();
        assert_eq!(raw, plain);
        deflated.push(0);
    }
    assert!(matches!(scan(Encoding::Deflated, &deflated), Err(ScanError::AfterDeflate { .. })), "two bytes");
    let with_trailer = |length: u32, padding: &[u8]| {
        let stream = &deflated[..deflated.len() - 2];
        [stream, &[1, 2, 3, 4], &length.to_le_bytes(), padding].concat()
    };
    assert!(scan(Encoding::Deflated, &with_trailer(200_012, &[])).is_ok(), "the end of a gzip file");
    assert!(scan(Encoding::Deflated, &with_trailer(200_012, &[0])).is_ok());
    for wrong in [with_trailer(200_012, &[1]), with_trailer(200_011, &[]), with_trailer(200_012, &[0, 0])] {
        assert!(matches!(scan(Encoding::Deflated, &wrong), Err(ScanError::AfterDeflate { .. })));
    }
    assert!(matches!(scan(Encoding::Deflated, &deflated[..50]), Err(ScanError::Inflate { .. })));
    assert!(matches!(scan(Encoding::Deflated, &[0xFF; 20]), Err(ScanError::Inflate { .. })));
}

#[test]
fn streams_what_is_too_large_to_hold_whether_its_length_is_defined_or_not() {
    let encoding = Encoding::ExplicitLittle;
    let limits = Limits { element_bytes_max: 100, ..Limits::default() };
    for (value_bytes, streams) in [(88, false), (89, true)] {
        let text = element(encoding, Tag(0x0040, 0xA160), VR::UT, &vec![b'x'; value_bytes]);
        assert_eq!(scan_with(encoding, limits, &text).unwrap().len() == 2, streams, "defined, {value_bytes}");
        let items = [
            open(encoding, ICONS, VR::SQ),
            element(encoding, ITEM, VR::UN, &element(encoding, NAME, VR::PN, &vec![b'x'; value_bytes - 24])),
            delimiter(encoding, SEQUENCE_END),
        ]
        .concat();
        assert_eq!(items.len(), value_bytes + 12);
        assert_eq!(
            scan_with(encoding, limits, &items).unwrap().len() == 2,
            streams,
            "undefined, {value_bytes}"
        );
    }
}

#[test]
fn names_tags_out_of_order_repeated_and_unknown_vrs() {
    let encoding = Encoding::ExplicitLittle;
    let comment = Tag(0x0020, 0x4000);
    let bytes = [
        element(encoding, comment, VR::LT, b"ab"),
        element(encoding, comment, VR::LT, b"cd"),
        element(encoding, NAME, VR::PN, b"odd"),
        b"\x29\0\x10\x10??\x02\0ab".to_vec(),
    ]
    .concat();
    assert_eq!(scan(encoding, &bytes).unwrap().len(), 4);
    assert_eq!(
        irregularities(encoding, &bytes),
        [
            Irregularity::Repeated(Place { tag: comment, at: 10 }),
            Irregularity::OutOfOrder(Place { tag: NAME, at: 20 }),
            Irregularity::OddLength(Place { tag: NAME, at: 20 }),
            Irregularity::UnknownVr(Place { tag: PRIVATE, at: 31 }, *b"??"),
        ]
    );
}

#[test]
fn takes_what_identifies_or_describes_the_image_twice_only_if_it_says_the_same() {
    let encoding = Encoding::ExplicitLittle;
    let rows = |rows: &[u8]| element(encoding, Tag(0x0028, 0x0010), VR::US, rows);
    let name = element(encoding, NAME, VR::PN, b"Doe^John");
    assert_eq!(scan(encoding, &[rows(&[1, 0]), rows(&[1, 0])].concat()).unwrap().len(), 2);
    assert!(scan(encoding, &[rows(&[1, 0]), name, rows(&[1, 0])].concat()).is_ok());
    let differ = scan(encoding, &[rows(&[1, 0]), rows(&[2, 0])].concat());
    assert_eq!(differ, Err(ScanError::Duplicate { place: Place { tag: Tag(0x0028, 0x0010), at: 10 } }));
    let large = element(encoding, NAME, VR::UT, &vec![b'x'; 100_000]);
    assert!(matches!(scan(encoding, &[large.clone(), large].concat()), Err(ScanError::Duplicate { .. })));

    let pixels = |tag| element(encoding, tag, VR::OW, &[1, 2]);
    let twice = scan(encoding, &[pixels(PIXEL_DATA), pixels(PIXEL_DATA)].concat());
    assert!(matches!(twice, Err(ScanError::Duplicate { .. })));
    let two_kinds = scan(encoding, &[pixels(Tag(0x7FE0, 0x0008)), pixels(PIXEL_DATA)].concat());
    assert!(matches!(two_kinds, Err(ScanError::SecondPixelData { first: Tag(0x7FE0, 0x0008), .. })));
    let late = scan(encoding, &[pixels(PIXEL_DATA), rows(&[1, 0])].concat());
    assert!(matches!(late, Err(ScanError::AfterPixels { .. })));
}

#[test]
fn a_lying_length_is_found_at_once_where_the_total_is_known() {
    let bytes = b"\x28\0\x10\0OB\0\0\xF0\xFF\xFF\xFFabcd";
    let known =
        scan_in_pieces(Encoding::ExplicitLittle, Limits::default(), Some(16), bytes, 1).err().unwrap();
    assert_eq!(known.to_string(), "(0028,0010) at byte 0 claims 4294967280 bytes, 4 are left");
    assert_eq!(known.status(), crate::dicom::Status(0xC000));
    let unknown = scan(Encoding::ExplicitLittle, bytes).unwrap_err();
    assert_eq!(unknown.to_string(), "the data set ends at byte 16 inside (0028,0010) at byte 0");
}

#[test]
fn a_total_that_lies_is_an_error_both_ways() {
    let bytes = element(Encoding::ExplicitLittle, NAME, VR::PN, b"Doe^John");
    let scan =
        |total| scan_in_pieces(Encoding::ExplicitLittle, Limits::default(), Some(total), &bytes, 3).err();
    assert_eq!(scan(16), None);
    assert_eq!(scan(17), Some(ScanError::TooShort { total: 17, end: 16 }));
    assert_eq!(scan(15), Some(ScanError::Length { place: Place { tag: NAME, at: 0 }, claimed: 8, left: 7 }));
    let twice = [bytes.clone(), bytes.clone()].concat();
    let long = scan_in_pieces(Encoding::ExplicitLittle, Limits::default(), Some(16), &twice, 3).err();
    assert_eq!(long, Some(ScanError::TooLong { total: 16 }));
}

#[test]
fn is_spent_after_an_error() {
    let mut scanner = Scanner::new(Encoding::ExplicitLittle, Limits::default(), None);
    let mut on = |_: Event<'_>| Ok::<(), ScanError>(());
    assert!(scanner.push(&[0xFF; 8], &mut on).is_err());
    assert_eq!(scanner.push(&[0; 8], &mut on), Err(ScanError::Spent));
    assert_eq!(scanner.finish(), Err(ScanError::Spent));
}

#[test]
fn keeps_to_the_limits_on_elements() {
    let encoding = Encoding::ExplicitLittle;
    let bytes: Vec<u8> =
        (0..10).flat_map(|n| element(encoding, Tag(0x0009, 0x1000 + n), VR::LO, b"")).collect();
    for (top, all, fine) in [(10, 10, true), (9, 10, false), (10, 9, false)] {
        let limits = Limits { top_elements_max: top, elements_max: all, ..Limits::default() };
        assert_eq!(scan_with(encoding, limits, &bytes).is_ok(), fine, "{top} {all}");
    }
}

#[test]
fn counts_what_a_caller_would_have_to_keep() {
    let encoding = Encoding::ExplicitLittle;
    let comment = element(encoding, Tag(0x0020, 0x4000), VR::LT, b"0123456789ab");
    let pixels = element(encoding, PIXEL_DATA, VR::OW, &[0; 1000]);
    let bytes = [comment.clone(), comment, pixels].concat();
    let scan = |header_bytes_max| {
        scan_with(encoding, Limits { header_bytes_max, ..Limits::default() }, &bytes).map(|told| told.len())
    };
    assert_eq!(scan(40), Ok(4), "pixels do not count");
    let place = Place { tag: Tag(0x0020, 0x4000), at: 20 };
    assert_eq!(scan(39), Err(ScanError::HeaderTooLarge { place, max: 39 }));
}

/// A data set as random nesting: what is generated is valid, so it has to be accepted.
fn data_set(encoding: Encoding) -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop::collection::vec(any::<u8>(), 0..40)
        .prop_map(move |value| element(encoding, Tag(0x0009, 0x0010), VR::OB, &value));
    let nested = leaf.prop_recursive(6, 40, 4, move |inner| {
        (prop::collection::vec(inner, 0..4), any::<bool>(), any::<bool>()).prop_map(
            move |(items, defined_items, defined)| {
                let wrap = |tag, defined, content: &[u8], end| {
                    if defined {
                        return element(encoding, tag, VR::SQ, content);
                    }
                    [&open(encoding, tag, VR::SQ)[..], content, &delimiter(encoding, end)].concat()
                };
                let items: Vec<u8> =
                    items.iter().flat_map(|content| wrap(ITEM, defined_items, content, ITEM_END)).collect();
                wrap(ICONS, defined, &items, SEQUENCE_END)
            },
        )
    });
    prop::collection::vec(nested, 1..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), which in 0..5_usize) {
        let all = [
            Encoding::ExplicitLittle, Encoding::ImplicitLittle, Encoding::ExplicitBig, Encoding::Encapsulated,
            Encoding::Deflated,
        ];
        let _ = scan(all[which], &bytes);
    }

    #[test]
    fn valid_nesting_comes_back_byte_for_byte(
        (encoding, bytes) in prop::sample::select(&ALL[..]).prop_flat_map(|e| data_set(e).prop_map(move |b| (e, b))),
        max in 20..200_usize,
    ) {
        let limits = Limits { element_bytes_max: max, ..Limits::default() };
        let outcome = scan_with(encoding, limits, &bytes);
        prop_assert!(outcome.is_ok(), "{:?}", outcome);
    }

    #[test]
    fn damaged_nesting_is_refused_or_comes_back(
        (encoding, mut bytes) in prop::sample::select(&ALL[..]).prop_flat_map(|e| data_set(e).prop_map(move |b| (e, b))),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = scan(encoding, &bytes);
    }
}
