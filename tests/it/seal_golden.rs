//! Golden sealed files, which open for as long as there is this format, and files with one fault each, which never do.
//!
//! With `SEALGATE_WRITE_GOLDEN=1` files that are not there yet are written; none is ever written over.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use sealgate::seal::{
    Binding, ContentKey, FileError, HeaderMode, KeyId, NewSeal, OpenError, Signer, Suite, open_file, random,
    seal_file_signed,
};
use serde_json::{Value, json};

use super::seal_dual::{self, layers};
use super::{seal_chaos, seal_signed, seal_xor};

/// Where the pixels of the golden slice begin is found by this.
const MAGIC: &[u8] = b"\x93SGATE\r\0";
const HEADER: usize = 36;
const PREFIX: usize = 56;
const CHUNK: usize = 16 * 1024 + 16;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/seal").join(name)
}

/// Builds data sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Implicit,
    Explicit,
    Big,
}

impl Layout {
    fn element(self, group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap();
        let mut out = [self.u16(group), self.u16(number)].concat();
        match self {
            Self::Implicit => out.extend_from_slice(&length.to_le_bytes()),
            _ if matches!(vr, "OB" | "OW" | "SQ" | "UN" | "OF" | "OV") => {
                out.extend_from_slice(vr.as_bytes());
                out.extend_from_slice(&[0, 0]);
                let length = if self == Self::Big { length.to_be_bytes() } else { length.to_le_bytes() };
                out.extend_from_slice(&length);
            }
            _ => {
                out.extend_from_slice(vr.as_bytes());
                out.extend_from_slice(&self.u16(u16::try_from(length).unwrap()));
            }
        }
        [&out[..], value].concat()
    }

    fn u16(self, number: u16) -> Vec<u8> {
        if self == Self::Big { number.to_be_bytes().to_vec() } else { number.to_le_bytes().to_vec() }
    }

    fn us(self, number: u16, value: u16) -> Vec<u8> {
        self.element(0x0028, number, "US", &self.u16(value))
    }

    /// A header of an image of 128 columns, with `extra` elements of group 0028 behind its description.
    fn header(self, rows: u16, bits: u16, photometric: &[u8], extra: &[u8]) -> Vec<u8> {
        [
            self.element(0x0008, 0x0016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
            self.element(0x0008, 0x0018, "UI", b"2.25.1234567890\0"),
            self.element(0x0008, 0x0060, "CS", b"OT"),
            self.element(0x0009, 0x0010, "LO", b"VENDOR"),
            self.element(0x0009, 0x1001, "LO", b"a private value "),
            self.element(0x0010, 0x0010, "PN", b"Golden^File "),
            self.element(0x0020, 0x000D, "UI", b"2.25.1\0\0"),
            self.element(0x0020, 0x000E, "UI", b"2.25.2\0\0"),
            self.us(0x0002, 1),
            self.element(0x0028, 0x0004, "CS", photometric),
            self.us(0x0010, rows),
            self.us(0x0011, 128),
            self.us(0x0100, bits),
            self.us(0x0101, bits),
            self.us(0x0102, bits - 1),
            self.us(0x0103, 0),
            extra.to_vec(),
        ]
        .concat()
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 128 * 7) % 251).unwrap()).collect()
}

fn file(transfer_syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut syntax = transfer_syntax.as_bytes().to_vec();
    syntax.resize(syntax.len().next_multiple_of(2), 0);
    let meta = Layout::Explicit.element(0x0002, 0x0010, "UI", &syntax);
    let length =
        Layout::Explicit.element(0x0002, 0x0000, "UL", &u32::try_from(meta.len()).unwrap().to_le_bytes());
    [&[0; 128], &b"DICM"[..], &length, &meta, data_set].concat()
}

/// Name, transfer syntax and bytes of the originals.
fn originals() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let slice = |layout: Layout| {
        let smallest = layout.element(0x0028, 0x0106, "US", &layout.u16(3));
        let pixels = layout.element(0x7FE0, 0x0010, "OW", &pattern(128 * 144 * 2));
        [layout.header(144, 16, b"MONOCHROME2 ", &smallest), pixels].concat()
    };
    let explicit = Layout::Explicit;
    let item = |value: &[u8]| {
        [&b"\xFE\xFF\x00\xE0"[..], &u32::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
    };
    let fragments = [
        explicit.header(16, 8, b"MONOCHROME2 ", b""),
        b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF".to_vec(),
        item(&[]),
        item(&pattern(999 + 1)),
        item(&pattern(501 + 1)),
        b"\xFE\xFF\xDD\xE0\0\0\0\0".to_vec(),
        explicit.element(0xFFFC, 0xFFFC, "OB", &[0; 10]),
    ]
    .concat();
    let mut deflater = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut deflater, &slice(explicit)).unwrap();
    let palette = ["R", "G", "B"]
        .iter()
        .zip([0x1201, 0x1202, 0x1203])
        .map(|(_, tag)| explicit.element(0x0028, tag, "OW", &pattern(512)));
    let palette = [
        explicit.header(16, 8, b"PALETTE COLOR ", &palette.collect::<Vec<_>>().concat()),
        explicit.element(0x6000, 0x0010, "US", &explicit.u16(16)),
        explicit.element(0x6000, 0x3000, "OW", &pattern(256)),
        explicit.element(0x7FE0, 0x0010, "OB", &pattern(16 * 128)),
    ]
    .concat();
    let bit =
        [explicit.header(16, 1, b"MONOCHROME2 ", b""), explicit.element(0x7FE0, 0x0010, "OB", &pattern(256))];
    let tall = [explicit.header(800, 16, b"MONOCHROME2 ", b""), {
        explicit.element(0x7FE0, 0x0010, "OW", &pattern(128 * 800 * 2))
    }];
    vec![
        ("xor-slice", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &tall.concat())),
        ("xor-fragments", "1.2.840.10008.1.2.4.90", file("1.2.840.10008.1.2.4.90", &fragments)),
        ("dual-slice", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &tall.concat())),
        ("dual-fragments", "1.2.840.10008.1.2.4.90", file("1.2.840.10008.1.2.4.90", &fragments)),
        ("signed-fragments", "1.2.840.10008.1.2.4.90", file("1.2.840.10008.1.2.4.90", &fragments)),
        ("slice", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &slice(explicit))),
        ("implicit", "1.2.840.10008.1.2", file("1.2.840.10008.1.2", &slice(Layout::Implicit))),
        ("big-endian", "1.2.840.10008.1.2.2", file("1.2.840.10008.1.2.2", &slice(Layout::Big))),
        ("deflated", "1.2.840.10008.1.2.1.99", file("1.2.840.10008.1.2.1.99", &deflater.finish().unwrap())),
        ("fragments", "1.2.840.10008.1.2.4.90", file("1.2.840.10008.1.2.4.90", &fragments)),
        ("palette", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &palette)),
        ("bit", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &bit.concat())),
        ("usual-header", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &usual_header())),
        ("document", "1.2.840.10008.1.2.1", file("1.2.840.10008.1.2.1", &document())),
    ]
}

/// For each chaotic suite one image of more than a block, and a small one.
fn chaotic_originals() -> Vec<(String, &'static str, Vec<u8>)> {
    let explicit = Layout::Explicit;
    let pixels = explicit.element(0x7FE0, 0x0010, "OW", &pattern(128 * 270 * 2));
    let native = [explicit.header(270, 16, b"MONOCHROME2 ", b""), pixels].concat();
    let all = originals();
    let (_, compressed, fragments) = all.iter().find(|(name, ..)| *name == "fragments").unwrap();
    let of = |suite: &Suite| {
        let syntax = "1.2.840.10008.1.2.1";
        [
            (format!("{suite}-slice"), syntax, file(syntax, &native)),
            (format!("{suite}-fragments"), *compressed, fragments.clone()),
        ]
    };
    seal_chaos::SUITES.iter().flat_map(of).collect()
}

fn seal(original: &[u8], key: [u8; 32], suite: Suite, signer: Option<Signer>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let new_seal = |sop_class, sop_instance, _| {
        let key_id = KeyId::new(random().unwrap());
        let binding = Binding { suite, key_id, sop_class, sop_instance };
        Ok::<_, std::convert::Infallible>(NewSeal { binding, key: ContentKey::new(key), key_record: None })
    };
    seal_file_signed(original, &mut out, &layers(), new_seal, |_| None, signer).unwrap();
    out.into_inner()
}

fn open(sealed: &[u8], key: [u8; 32]) -> Result<Vec<u8>, FileError<std::convert::Infallible>> {
    let mut out = Vec::new();
    open_file(sealed, &mut out, HeaderMode::Current, &layers(), |_| Ok(ContentKey::new(key)))?;
    Ok(out)
}

fn key_of(facts: &Value) -> [u8; 32] {
    let text = facts["content_key"].as_str().unwrap();
    let bytes: Vec<u8> =
        (0..64).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

fn write_new(path: &Path, bytes: &[u8]) {
    if !path.exists() {
        fs::write(path, bytes).unwrap();
    }
}

/// An image whose header says what the dictionary of packed records knows.
fn usual_header() -> Vec<u8> {
    let explicit = Layout::Explicit;
    let known = [
        explicit.element(0x0008, 0x0005, "CS", b"ISO_IR 100"),
        explicit.element(0x0008, 0x0008, "CS", b"ORIGINAL\\PRIMARY\\AXIAL "),
    ];
    let pixels = explicit.element(0x7FE0, 0x0010, "OW", &pattern(128 * 16 * 2));
    [known.concat(), explicit.header(16, 16, b"MONOCHROME2 ", b""), pixels].concat()
}

/// An encapsulated document of more than a chunk.
fn document() -> Vec<u8> {
    let explicit = Layout::Explicit;
    [
        explicit.element(0x0008, 0x0016, "UI", b"1.2.840.10008.5.1.4.1.1.104.1\0"),
        explicit.element(0x0008, 0x0018, "UI", b"2.25.1234567890\0"),
        explicit.element(0x0008, 0x0060, "CS", b"DOC "),
        explicit.element(0x0010, 0x0010, "PN", b"Golden^File "),
        explicit.element(0x0020, 0x000D, "UI", b"2.25.1\0\0"),
        explicit.element(0x0020, 0x000E, "UI", b"2.25.2\0\0"),
        explicit.element(0x0042, 0x0010, "ST", b"A title "),
        explicit.element(0x0042, 0x0011, "OB", &[&b"%PDF-1.7"[..], &pattern(20_000)].concat()),
        explicit.element(0x0042, 0x0012, "LO", b"application/pdf "),
        explicit.element(0x0042, 0x0015, "UL", &20_007_u32.to_le_bytes()),
    ]
    .concat()
}

/// Where the fixed header stands.
fn start_of(sealed: &[u8]) -> usize {
    sealed.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap()
}

/// The same with another byte at this place.
fn changed(good: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = good.to_vec();
    bytes[at] = byte;
    bytes
}

/// Files with one fault each of a sealed document.
fn document_faults(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let start = start_of(good);
    let changed = |at: usize, byte: u8| changed(good, at, byte);
    let flipped = |at: usize| changed(at, good[at] ^ 0x10);
    let class = good.windows(29).rposition(|window| window == b"1.2.840.10008.5.1.4.1.1.104.1").unwrap();
    vec![
        ("unknown-version--document-255".to_owned(), changed(start + 8, 255)),
        ("commitment--document-another-class".to_owned(), changed(class + 28, b'2')),
        ("chunk--document-first-byte".to_owned(), flipped(start + HEADER + PREFIX)),
        ("chunk--document-second".to_owned(), flipped(start + HEADER + PREFIX + CHUNK)),
        // The element that holds it is of a class that has none: neither pixels nor a document.
        ("damaged--document-in-an-image-class".to_owned(), changed(class + 24, b'2')),
    ]
}

fn write_golden() {
    let named = originals()
        .into_iter()
        .map(|(name, syntax, original)| (format!("deepkeygen-{name}"), syntax, original));
    for (name, transfer_syntax, original) in named.chain(chaotic_originals()) {
        let path = |extension: &str| folder("golden").join(format!("v1-{name}.{extension}"));
        if path("dcm").exists() {
            continue;
        }
        let key: [u8; 32] = random().unwrap();
        let suite = match () {
            () if name.contains("-xor-") => Suite::DeepKeyGenXor,
            () if name.contains("-dual-") => Suite::Dual,
            () => seal_chaos::suite_of(&name),
        };
        let signer = name.contains("-signed-").then(seal_signed::signer);
        let sealed = seal(&original, key, suite, signer);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let facts = json!({ "content_key": hex, "transfer_syntax": transfer_syntax });
        write_new(&path("json"), format!("{facts:#}\n").as_bytes());
        write_new(&path("original"), &original);
        write_new(&path("dcm"), &sealed);
    }
    let golden = |name: &str| {
        let path = folder("golden").join(format!("v1-{name}.dcm"));
        (fs::read(path).unwrap(), golden_key(name))
    };
    let ((slice, key), (small, small_key)) = (golden("deepkeygen-slice"), golden("deepkeygen-xor-fragments"));
    let (dual, dual_key) = golden("deepkeygen-dual-fragments");
    let chaotic = seal_chaos::SUITES.iter().flat_map(|suite| {
        let (small, key) = golden(&format!("{suite}-fragments"));
        seal_chaos::faults(*suite, &small, key)
    });
    let with_layers = seal_xor::faults(&small, small_key)
        .into_iter()
        .chain(seal_dual::faults(&dual, dual_key))
        .chain(chaotic);
    let with_layers = with_layers.chain(document_faults(&golden("deepkeygen-document").0));
    let with_layers = with_layers.chain(seal_signed::faults(&golden("deepkeygen-signed-fragments").0));
    for (name, bytes) in faults(&slice, key).into_iter().chain(with_layers) {
        write_new(&folder("faults").join(format!("{name}.dcm")), &bytes);
    }
}

/// The content key of a golden file.
fn golden_key(name: &str) -> [u8; 32] {
    let path = folder("golden").join(format!("v1-{name}.json"));
    key_of(&serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

/// Every fault with the name of its file: the expected answer, then what is wrong.
fn faults(good: &[u8], key: [u8; 32]) -> Vec<(String, Vec<u8>)> {
    let start = start_of(good);
    let length =
        usize::try_from(u64::from_be_bytes(good[start + 28..start + 36].try_into().unwrap())).unwrap();
    let stream = start + HEADER;
    let changed = |at: usize, byte: u8| changed(good, at, byte);
    let flipped = |at: usize| changed(at, good[at] ^ 0x10);
    let last = stream + length - 1;
    let mut out = vec![
        ("unknown-version--255".to_owned(), changed(start + 8, 255)),
        ("unknown-version--0".to_owned(), changed(start + 8, 0)),
        ("reserved--16".to_owned(), flipped(start + 9)),
        ("unknown-suite--65535".to_owned(), {
            let mut bytes = changed(start + 10, 0xFF);
            bytes[start + 11] = 0xFF;
            bytes
        }),
        ("unknown-suite--0".to_owned(), changed(start + 11, 0)),
        ("damaged--magic".to_owned(), flipped(start)),
        ("commitment--wrong-key".to_owned(), good.to_vec()),
        ("commitment--key-id".to_owned(), flipped(start + 12)),
        ("commitment--salt".to_owned(), flipped(stream)),
        ("commitment--commitment".to_owned(), flipped(stream + 24)),
        ("chunk--first-byte".to_owned(), flipped(stream + PREFIX)),
        ("chunk--tag-of-the-first".to_owned(), flipped(stream + PREFIX + CHUNK - 1)),
        ("chunk--second".to_owned(), flipped(stream + PREFIX + CHUNK)),
        ("chunk--last-byte".to_owned(), flipped(last)),
        ("padding--first".to_owned(), flipped(last + 1)),
        ("padding--last".to_owned(), flipped(good.len() - 1)),
        ("chunk--length-one-less".to_owned(), changed(start + 35, good[start + 35] - 1)),
        ("chunk--length-one-more".to_owned(), changed(start + 35, good[start + 35] + 1)),
        ("damaged--length-too-large".to_owned(), changed(start + 28, 1)),
    ];
    let uid = good.windows(15).rposition(|window| window == b"2.25.1234567890").unwrap();
    out.push(("commitment--another-instance".to_owned(), changed(uid + 14, b'1')));
    let class = good.windows(25).rposition(|window| window == b"1.2.840.10008.5.1.4.1.1.7").unwrap();
    out.push(("commitment--another-class".to_owned(), changed(class + 24, b'4')));
    // The same original sealed again under the same key: its first chunk belongs to another stream.
    let original = open(good, key).unwrap();
    let other = seal(&original, key, Suite::DeepKeyGen, None);
    let other_start = start_of(&other);
    let mut swapped = good.to_vec();
    let other_chunk = other_start + HEADER + PREFIX;
    swapped[stream + PREFIX..stream + PREFIX + CHUNK]
        .copy_from_slice(&other[other_chunk..other_chunk + CHUNK]);
    out.push(("chunk--pixels-of-another-sealing".to_owned(), swapped));
    for (chunk, at) in (stream + PREFIX..last).step_by(CHUNK).enumerate() {
        out.push((format!("truncated--file-before-chunk-{chunk}"), good[..at].to_vec()));
        // A well-formed data set with a shorter Pixel Data, as an archive would cut it.
        let mut cut = good[..at].to_vec();
        let shorter = u32::try_from(at - start).unwrap();
        cut[start - 4..start].copy_from_slice(&shorter.to_le_bytes());
        out.push((format!("damaged--pixels-end-before-chunk-{chunk}"), cut.clone()));
        if chunk > 0 {
            // The header says so too: then only the rule of the last chunk tells.
            let shorter = u64::try_from(at - stream).unwrap();
            cut[start + 28..start + 36].copy_from_slice(&shorter.to_be_bytes());
            out.push((format!("stream-truncated--header-agrees-before-chunk-{chunk}"), cut));
        }
    }
    out
}

fn answer(error: &FileError<std::convert::Infallible>) -> String {
    let FileError::Open(error) = error else { return "truncated".into() };
    match error {
        OpenError::Stream(sealgate::seal::StreamError::Truncated { .. }) => "stream-truncated".into(),
        OpenError::Scan(_) => "truncated".into(),
        OpenError::Stream(error) => kebab(&format!("{error:?}")),
        OpenError::Header(error) => kebab(&format!("{error:?}")),
        other => kebab(&format!("{other:?}")),
    }
}

/// The name of a variant in small letters with hyphens.
fn kebab(debug: &str) -> String {
    let name: String = debug.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[test]
fn golden_files_open_and_one_fault_keeps_any_of_them_shut() {
    if std::env::var_os("SEALGATE_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    let mut opened = 0;
    for entry in fs::read_dir(folder("golden")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let facts: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let sealed = fs::read(path.with_extension("dcm")).unwrap();
        let original =
            open(&sealed, key_of(&facts)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(original == fs::read(path.with_extension("original")).unwrap(), "{}", path.display());
        opened += 1;
    }
    assert_eq!(opened, 22, "every golden file was tried");

    let (key, xor_key) = (golden_key("deepkeygen-slice"), golden_key("deepkeygen-xor-fragments"));
    let dual_key = golden_key("deepkeygen-dual-fragments");
    let chaotic = |what: &str| {
        let suite = seal_chaos::SUITES.iter().find(|suite| what.starts_with(&suite.to_string()))?;
        Some(golden_key(&format!("{suite}-fragments")))
    };
    let mut refused = 0;
    for entry in fs::read_dir(folder("faults")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (expected, what) = name.split_once("--").unwrap();
        let key = match what {
            "wrong-key" => [0; 32],
            what if what.starts_with("xor-") => xor_key,
            what if what.starts_with("dual-") => dual_key,
            what if what.starts_with("document-") => golden_key("deepkeygen-document"),
            what if what.starts_with("signed-") => golden_key("deepkeygen-signed-fragments"),
            what => chaotic(what).unwrap_or(key),
        };
        let error = open(&fs::read(&path).unwrap(), key).expect_err(&name);
        assert_eq!(answer(&error), expected, "{name}: {error}");
        refused += 1;
    }
    assert_eq!(refused, 93, "every fault was tried");
}
