//! Any bytes as a record of the audit trail: no panic, and what is accepted comes back as the same bytes.
//!
//! The hash keeps random bytes out, so the same bytes are also read as the body of a record that has one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::audit::{BODY_BYTES_MAX, Entry, Filter, Record, RecordKind};

fuzz_target!(|data: &[u8]| {
    if let Ok((record, hash)) = Record::parse(data) {
        comes_back(&record, Some((data, hash)));
    }
    let body = String::from_utf8_lossy(data).into_owned();
    let record = Record { number: 7, unix_millis: 8, kind: RecordKind::Event, previous: [9; 32], body };
    comes_back(&record, None);
});

fn comes_back(record: &Record, line: Option<(&[u8], [u8; 32])>) {
    let mut out = Vec::new();
    let hash = record.encode(&mut out);
    assert_eq!(out.pop(), Some(b'\n'));
    assert!(!out.contains(&b'\n'));
    if let Some((line, known)) = line {
        assert_eq!((out.as_slice(), hash), (line, known));
    }
    let (read, _) = Record::parse(&out).expect("what is written can be read");
    assert!(read.body.len() <= BODY_BYTES_MAX);
    if let Some(entry) = Entry::of(&read) {
        assert!(entry.fits(&Filter::default()));
    }
}
