//! Kinds of images that no corpus has all of, made here: each seals, shows nothing, and comes back.

mod build;
mod documents;
mod kinds;
mod large;
mod random;
mod size;

use std::collections::HashSet;

use sealgate::cipher::Layers;
use sealgate::dicom::Uid;
use sealgate::seal::{
    Binding, Changes, Claim, ContentKey, HeaderMode, KeyId, NewSeal, OpenError, Opened, Opener, Original,
    SealError, Sealer, Sink, Suite,
};

/// SOP Class and Instance UID of everything that is made here.
const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";
const INSTANCE: &str = "1.2.3.4.5";

fn key() -> ContentKey {
    ContentKey::new([0x5A; 32])
}

fn uid(text: &str) -> Uid {
    text.parse().expect("a UID")
}

fn sealer<S: Sink>(
    syntax: &str,
    total: Option<u64>,
    sink: S,
) -> Result<Sealer<S, fn(&Claim) -> Option<ContentKey>>, SealError> {
    sealer_of(CLASS, syntax, total, sink, |_| None)
}

/// The same for another class, where these keys are known.
fn sealer_of<S: Sink>(
    class: &str,
    syntax: &str,
    total: Option<u64>,
    sink: S,
    known: fn(&Claim) -> Option<ContentKey>,
) -> Result<Sealer<S, fn(&Claim) -> Option<ContentKey>>, SealError> {
    let original = Original { transfer_syntax: uid(syntax), front_bytes: 0 };
    let binding = Binding {
        suite: Suite::DeepKeyGen,
        key_id: KeyId::new([9; 16]),
        sop_class: uid(class),
        sop_instance: uid(INSTANCE),
    };
    let new = NewSeal { binding, key: key(), key_record: Some(b"a key record".to_vec()) };
    Sealer::new(&original, new, &Layers::none(), total, sink, known)
}

/// Seals a data set that arrives in pieces of this size; gives the sealed one with its transfer syntax.
fn seal(syntax: &str, data_set: &[u8], piece: usize) -> Result<(Vec<u8>, &'static str), SealError> {
    let mut sealer = sealer(syntax, None, Vec::new())?;
    for piece in data_set.chunks(piece) {
        sealer.push(piece)?;
    }
    let (outcome, bytes) = sealer.finish()?;
    assert_eq!(outcome.bytes, bytes.len() as u64);
    Ok((bytes, outcome.transfer_syntax))
}

fn open(
    syntax: &str,
    sealed: &[u8],
    mode: HeaderMode,
    piece: usize,
) -> Result<(Vec<u8>, Changes), OpenError> {
    let mut opener = Opener::new(&uid(syntax), mode, &Layers::none(), None, |_| Some(key()))?;
    let mut out = Vec::new();
    let mut on = |part: Opened<'_>| {
        match part {
            Opened::Data(bytes) => out.extend_from_slice(bytes),
            Opened::Begin(..) | Opened::Header(..) => {}
            Opened::Front(_) => panic!("what came over a network has nothing before its data set"),
        }
        Ok(())
    };
    for piece in sealed.chunks(piece) {
        opener.push(piece, &mut on)?;
    }
    let changes = opener.finish(&mut on)?.changes;
    Ok((out, changes))
}

const WINDOW: usize = 16;

/// Where 16 bytes of a secret stand in `sealed`, if they do.
fn leak(sealed: &[u8], secrets: &[Vec<u8>]) -> Option<usize> {
    let windows: HashSet<&[u8]> = secrets.iter().flat_map(|secret| secret.windows(WINDOW)).collect();
    sealed.windows(WINDOW).position(|window| windows.contains(window))
}

/// Bytes that repeat nowhere (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}
