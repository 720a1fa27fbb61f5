//! Any bytes as a data set, in any pieces: no panic, no memory beyond the limits, and what is accepted comes back.
//!
//! The first byte says the encoding and whether the length is known, the second the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::dicom::Encoding;
use sealgate::seal::element::{Conversion, Layout};
use sealgate::seal::scan::{Event, ImageAttributes, Limits, ScanError, Scanner, part10};

const ENCODINGS: [Encoding; 5] = [
    Encoding::ExplicitLittle,
    Encoding::ImplicitLittle,
    Encoding::ExplicitBig,
    Encoding::Encapsulated,
    Encoding::Deflated,
];

/// The raw bytes and the elements told, and how it ended.
fn scan(
    encoding: Encoding,
    limits: Limits,
    total: Option<u64>,
    bytes: &[u8],
    piece: usize,
) -> (Vec<u8>, Vec<String>, Result<(), ScanError>) {
    let (mut raw, mut told) = (Vec::new(), Vec::new());
    let mut attributes = ImageAttributes::new(encoding);
    let mut scanner = Scanner::new(encoding, limits, total);
    let mut on = |event: Event<'_>| {
        match event {
            Event::Element(element) => {
                assert!(element.raw.len() <= limits.element_bytes_max);
                assert_eq!(element.at, raw.len() as u64);
                raw.extend_from_slice(element.raw);
                told.push(format!("{element:?}"));
                let _ = attributes.take(&element);
            }
            Event::Begin(head) => {
                assert_eq!(head.at, raw.len() as u64);
                raw.extend_from_slice(head.raw);
                told.push(format!("{head:?}"));
            }
            Event::Bytes(bytes) => raw.extend_from_slice(bytes),
            Event::End(tail) => told.push(format!("{tail:?}")),
        }
        // A bomb is the caller's to measure: here it would only fill the test's own memory.
        if raw.len() > 1 << 20 { Err(ScanError::Spent) } else { Ok(()) }
    };
    let pieces = bytes.chunks(piece).try_for_each(|piece| scanner.push(piece, &mut on));
    let result = pieces.and_then(|()| scanner.finish());
    let _ = attributes.image().map(|image| image.fit(raw.len() as u64));
    (raw, told, result)
}

/// What the scanner accepts can be converted, unless fragments stand in the way, and converted back.
fn convert(encoding: Encoding, bytes: &[u8]) {
    let from = Layout::from(encoding);
    for to in [Layout::ExplicitLittle, Layout::ExplicitBig, Layout::ImplicitLittle] {
        let convert = |bytes: &[u8], from, to| {
            Conversion { from, to, signed_pixels: false }.convert(bytes, &Limits::default())
        };
        match convert(bytes, from, to) {
            Ok(there) => {
                let back = convert(&there, to, from).expect("what was converted can be converted");
                // Unknown VRs and private ones are UN the first time, and stay so the second.
                assert_eq!(convert(&back, from, to), Ok(there));
            }
            Err(ScanError::EncapsulatedInNative { .. }) => assert_ne!(from, to),
            Err(ScanError::NotASequence { .. }) => assert_eq!(to, Layout::ImplicitLittle),
            Err(error) => panic!("{from:?} to {to:?}: {error}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [first, second, bytes @ ..] = data else { return };
    let encoding = ENCODINGS[usize::from(first & 7) % 5];
    let total = (first & 8 != 0).then_some(bytes.len() as u64);
    let element_bytes_max = if first & 16 != 0 { 64 } else { 64 * 1024 };
    let limits = Limits { element_bytes_max, ..Limits::default() };

    let (raw, told, result) = scan(encoding, limits, total, bytes, usize::MAX);
    if encoding == Encoding::Deflated {
        let (_, _, again) = scan(encoding, limits, total, bytes, usize::from(*second) + 1);
        assert_eq!(result.is_ok(), again.is_ok());
        return;
    }
    assert!(bytes.starts_with(&raw));
    let result_is_ok = result.is_ok();
    if result_is_ok {
        assert_eq!(raw, bytes);
    }
    let (_, told_again, again) = scan(encoding, limits, total, bytes, usize::from(*second) + 1);
    assert_eq!((told, result), (told_again, again));
    if result_is_ok {
        convert(encoding, bytes);
    }
    let _ = part10::split(bytes, first & 32 != 0, &limits, None);
});
