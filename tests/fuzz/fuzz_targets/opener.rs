//! Any bytes as a sealed file, and any bytes as what a sealed stream holds: no panic, no memory on a claim, and nothing
//! comes out that was not sealed.
//!
//! A file begins with a preamble, so with 0 as its golden files do; where the first byte is another, the rest is the
//! plaintext of a stream, sealed here, so that what is behind the tags is reached too.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealgate::cipher::Layers;
use sealgate::dicom::Uid;
use sealgate::seal::{
    Binding, Claim, ContentKey, HeaderMode, Header, KeyId, Opened, Opener, StreamError, StreamSealer, Suite, open_file,
};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/seal/golden");
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";
const INSTANCE: &str = "1.2.3.4";
/// What is kept of what comes out; a packed record may be a thousand times as long as it was.
const OUT_BYTES_MAX: usize = 1 << 20;

/// By key id: the content key, and the original that it was used for.
type Golden = BTreeMap<[u8; 16], ([u8; 32], Vec<u8>)>;

static GOLDEN_FILES: LazyLock<Golden> = LazyLock::new(|| {
    let mut found = Golden::new();
    for entry in fs::read_dir(GOLDEN).expect("the golden files are there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let (key, sealed) = (key_of(&path), fs::read(path.with_extension("dcm")).expect("a sealed file"));
        let at = sealed.windows(8).position(|bytes| bytes == b"\x93SGATE\r\0").expect("a fixed header");
        let id = sealed[at + 12..at + 28].try_into().expect("16 bytes");
        found.insert(id, (key, fs::read(path.with_extension("original")).expect("its original")));
    }
    assert!(found.len() > 5);
    found
});

fn key_of(path: &Path) -> [u8; 32] {
    let facts: Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
    let hex = facts["content_key"].as_str().expect("a key");
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal");
    std::array::from_fn(byte)
}

/// Keeps the beginning of what comes out.
#[derive(Default)]
struct Start {
    bytes: Vec<u8>,
    is_longer: bool,
}

impl Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = OUT_BYTES_MAX.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        self.is_longer |= room < bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As it was sealed: what comes out is the beginning of a golden original, and all of it where it ends well.
fn open_sealed(file: &[u8]) {
    let (mut out, mut original) = (Start::default(), None);
    let opened = open_file(file, &mut out, HeaderMode::Original, &Layers::none(), |claim: &Claim| {
        let Some((key, known)) = GOLDEN_FILES.get(claim.binding.key_id.as_bytes()) else { return Err(()) };
        original = Some(known);
        Ok(ContentKey::new(*key))
    });
    match (original, opened) {
        (None, opened) => assert!(opened.is_err() && out.bytes.is_empty()),
        (Some(original), Ok(_)) => assert_eq!(&out.bytes, original),
        (Some(original), Err(_)) => assert!(original.starts_with(&out.bytes)),
    }
    // With what a PACS changed in the header, other bytes may come out, but none on a claim.
    let key = |claim: &Claim| {
        let (key, _) = GOLDEN_FILES.get(claim.binding.key_id.as_bytes()).ok_or(())?;
        Ok::<_, ()>(ContentKey::new(*key))
    };
    let _ = open_file(file, Start::default(), HeaderMode::Current, &Layers::none(), key);
}

fn uid(text: &str) -> Uid {
    text.parse().expect("a UID")
}

fn binding() -> Binding {
    let (sop_class, sop_instance) = (uid(CLASS), uid(INSTANCE));
    Binding { suite: Suite::DeepKeyGen, key_id: KeyId::new([7; 16]), sop_class, sop_instance }
}

fn text(out: &mut Vec<u8>, number: u16, value: &str) {
    let padded = value.len().next_multiple_of(2);
    out.extend_from_slice(&[8_u16.to_le_bytes(), number.to_le_bytes()].concat());
    out.extend_from_slice(b"UI");
    out.extend_from_slice(&u16::try_from(padded).expect("a short value").to_le_bytes());
    out.extend_from_slice(value.as_bytes());
    out.resize(out.len() + padded - value.len(), 0);
}

/// A carrier whose stream holds `plain`.
fn carrier(plain: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut add = |bytes: &[u8]| {
        stream.extend_from_slice(bytes);
        Ok::<(), StreamError>(())
    };
    let (mut sealer, prefix) = StreamSealer::new(&ContentKey::new([1; 32]), &[2; 24], &binding().context());
    add(&prefix).and_then(|()| sealer.push(plain, &mut add)).expect("far below the limit");
    sealer.finish(&mut add).expect("far below the limit");
    let header = Header { suite: Suite::DeepKeyGen, key_id: KeyId::new([7; 16]), signed: false, stream_bytes: stream.len() as u64 };
    let mut pixels = [&header.write()[..], &stream].concat();
    pixels.resize(pixels.len().next_multiple_of(2), 0);
    let mut out = Vec::new();
    text(&mut out, 0x0016, CLASS);
    text(&mut out, 0x0018, INSTANCE);
    out.extend_from_slice(b"\xE0\x7F\x10\0OW\0\0");
    out.extend_from_slice(&u32::try_from(pixels.len()).expect("a short value").to_le_bytes());
    out.extend(pixels);
    out
}

/// In pieces of this size: how it ended, and what came out.
fn open_stream(sealed: &[u8], mode: HeaderMode, piece: usize) -> (Result<(), String>, Start) {
    let key = |_: &Claim| Some(ContentKey::new([1; 32]));
    let mut opener = Opener::new(&uid(EXPLICIT_LITTLE), mode, &Layers::none(), None, key).expect("a native syntax");
    let mut out = Start::default();
    let mut on = |opened: Opened<'_>| match opened {
        Opened::Begin(..) | Opened::Header(..) => Ok(()),
        Opened::Front(bytes) | Opened::Data(bytes) => out.write_all(bytes),
    };
    let pushed = sealed.chunks(piece).try_for_each(|piece| opener.push(piece, &mut on));
    let ended = pushed.and_then(|()| opener.finish(&mut on).map(|_| ()));
    (ended.map_err(|error| error.to_string()), out)
}

fuzz_target!(|data: &[u8]| {
    match data {
        [] => {}
        [0, ..] => open_sealed(data),
        [piece, plain @ ..] => {
            let sealed = carrier(plain);
            let (ended, out) = open_stream(&sealed, HeaderMode::Original, usize::MAX);
            let (again, once_more) = open_stream(&sealed, HeaderMode::Original, usize::from(*piece));
            assert_eq!((&ended, &out.bytes, out.is_longer), (&again, &once_more.bytes, once_more.is_longer));
            let (current, _) = open_stream(&sealed, HeaderMode::Current, usize::MAX);
            assert!(ended.is_ok() || current.is_err(), "what cannot be opened as it was opens otherwise");
        }
    }
});
