//! What the tests of suites with an inner layer share: golden originals sealed and opened in memory, and what is inside.

use std::convert::Infallible;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA512, Prk};
use sealgate::cipher::Layers;
use sealgate::dicom::Uid;
use sealgate::seal::{
    Binding, ContentKey, FileError, HeaderMode, KeyId, NewSeal, StreamError, StreamOpener, StreamSealer,
    Suite, open_file, seal_file,
};

/// What sealing and opening say where they do not.
pub(crate) type Refusal = FileError<Infallible>;

/// The content key of these tests.
pub(crate) const KEY: [u8; 32] = [0x42; 32];
/// Bytes of the fixed header.
pub(crate) const HEADER: usize = 36;

/// Seals a file with a suite under [`KEY`].
pub(crate) fn seal_with(suite: Suite, layers: &Layers, original: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Cursor::new(Vec::new());
    let new_seal = |sop_class, sop_instance| {
        let binding = Binding { suite, key_id: KeyId::new([9; 16]), sop_class, sop_instance };
        Ok(NewSeal { binding, key: ContentKey::new(KEY), key_record: None })
    };
    seal_file(original, &mut out, layers, new_seal, |_| None)?;
    Ok(out.into_inner())
}

/// Opens a file that was sealed under [`KEY`].
pub(crate) fn open_with(layers: &Layers, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    open_file(sealed, &mut out, HeaderMode::Current, layers, |_| Ok(ContentKey::new(KEY)))?;
    Ok(out)
}

/// A golden original.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let path = format!("testdata/seal/golden/v1-{name}.original");
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Where the fixed header of a sealed file stands, and where its stream ends.
pub(crate) fn stream_of(sealed: &[u8]) -> (usize, usize) {
    let start = sealed.windows(8).position(|window| window == b"\x93SGATE\r\0").unwrap();
    let length = u64::from_be_bytes(sealed[start + 28..start + HEADER].try_into().unwrap());
    (start, start + HEADER + usize::try_from(length).unwrap())
}

/// The binding of a golden file.
pub(crate) fn binding(sealed: &[u8]) -> Binding {
    let (start, _) = stream_of(sealed);
    Binding {
        suite: Suite::from_id(u16::from_be_bytes([sealed[start + 10], sealed[start + 11]])).unwrap(),
        key_id: KeyId::new(sealed[start + 12..start + 28].try_into().unwrap()),
        sop_class: Uid::parse("1.2.840.10008.5.1.4.1.1.7").unwrap(),
        sop_instance: Uid::parse("2.25.1234567890").unwrap(),
    }
}

/// What the standard seal holds: parameters, then the records under the inner layer.
pub(crate) fn inside(sealed: &[u8], key: [u8; 32]) -> Vec<u8> {
    let (start, end) = stream_of(sealed);
    let mut opener = StreamOpener::new(ContentKey::new(key), binding(sealed).context());
    let mut plain = Vec::new();
    let mut out = |bytes: &[u8]| {
        plain.extend_from_slice(bytes);
        Ok::<_, StreamError>(())
    };
    opener.push(&sealed[start + HEADER..end], &mut out).unwrap();
    opener.finish(&mut out).unwrap();
    plain
}

/// The same sealed file with something else inside, sealed well and under the same salt.
pub(crate) fn with_inside(sealed: &[u8], key: [u8; 32], inside: &[u8]) -> Vec<u8> {
    let (start, end) = stream_of(sealed);
    let salt = sealed[start + HEADER..start + HEADER + 24].try_into().unwrap();
    let (mut stream, prefix) = StreamSealer::new(&ContentKey::new(key), salt, &binding(sealed).context());
    let mut out = prefix.to_vec();
    let mut push = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok::<_, StreamError>(())
    };
    stream.push(inside, &mut push).unwrap();
    stream.finish(&mut push).unwrap();
    let mut file = sealed.to_vec();
    file[start + HEADER..end].fill(0);
    file[start + HEADER..start + HEADER + out.len()].copy_from_slice(&out);
    file[start + 28..start + HEADER].copy_from_slice(&(out.len() as u64).to_be_bytes());
    file
}

/// The seed of the inner layer of a sealed file, by the formula of section 6.1.
pub(crate) fn layer_seed(sealed: &[u8], key: [u8; 32]) -> [u8; 32] {
    let (start, _) = stream_of(sealed);
    let salt = &sealed[start + HEADER..start + HEADER + 24];
    let context = binding(sealed).context();
    let mut seed = [0; 32];
    let prk = Prk::new_less_safe(HKDF_SHA512, &key);
    let info = [b"sealgate inner layer v1", salt, &context];
    // 32 bytes of output, which is what a key of HMAC-SHA-256 happens to have.
    prk.expand(&info, aws_lc_rs::hmac::HMAC_SHA256).unwrap().fill(&mut seed).unwrap();
    seed
}
