//! Sealing and opening in memory beside bare AES-256-GCM over the same bytes: ratios from one run, on one core.
//!
//! `cargo bench --bench seal` prints a table; it fails when a ratio is below its bar. Slices come one after the other out of
//! more memory than the processor caches, as they do from a scanner. Last, for what it shows and without a bar, one slice that
//! never leaves the cache: there BLAKE3 alone costs more than AES, so the table has both of them bare beside it.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::type_complexity,
    reason = "a bench that cannot run should stop, and its figures have three places"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sealgate::cipher::Layers;
use sealgate::dicom::Uid;
use sealgate::seal::{
    Binding, Claim, ContentKey, HeaderMode, KeyId, NewSeal, Opened, Opener, Original, Sealer, Suite,
};

/// What objects have to reach.
const BAR: f64 = 0.55;
/// What slices have to reach, of which each pays for a header, a key and a wrapped key of its own. The aim is 0.55 as well; but
/// the digest that ends a sealed stream leaves no more than the last row of the table to both together.
const SLICE_BAR: f64 = 0.40;
/// Different slices, together larger than a cache.
const SLICES: usize = 256;
/// What a PDU brings at once.
const PIECE: usize = 64 * 1024;
const SYNTAX: &str = "1.2.840.10008.1.2.1";

fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(2), b' ');
    let mut out = [group.to_le_bytes(), number.to_le_bytes()].concat();
    out.extend_from_slice(vr.as_bytes());
    if vr == "OW" {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
    }
    [&out[..], &value].concat()
}

/// A data set with a header as a CT has it.
fn data_set(rows: u16, columns: u16, frames: u16) -> Vec<u8> {
    let us = |number: u16, value: u16| element(0x0028, number, "US", &value.to_le_bytes());
    let mut out = [
        element(0x0008, 0x0008, "CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
        element(0x0008, 0x0016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        element(0x0008, 0x0018, "UI", b"2.25.1234567890\0"),
        element(0x0008, 0x0060, "CS", b"CT"),
        element(0x0010, 0x0010, "PN", b"Bench^Mark"),
        element(0x0020, 0x000D, "UI", b"2.25.1\0\0"),
        element(0x0020, 0x000E, "UI", b"2.25.2\0\0"),
    ]
    .concat();
    for number in 0..80_u16 {
        out.extend(element(
            0x0020,
            0x9200 + number,
            "LO",
            format!("attribute number {number} 1.2.3").as_bytes(),
        ));
    }
    out.extend(us(0x0002, 1));
    out.extend(element(0x0028, 0x0004, "CS", b"MONOCHROME2"));
    out.extend(element(0x0028, 0x0008, "IS", frames.to_string().as_bytes()));
    for (number, value) in [(0x10, rows), (0x11, columns), (0x100, 16), (0x101, 12), (0x102, 11), (0x103, 0)]
    {
        out.extend(us(number, value));
    }
    let length = usize::from(rows) * usize::from(columns) * 2 * usize::from(frames);
    let pixels: Vec<u8> = (0..length).map(|i| u8::try_from((i * 7919) >> 3 & 0xFF).unwrap()).collect();
    out.extend(element(0x7FE0, 0x0010, "OW", &pixels));
    out
}

fn binding() -> Binding {
    Binding {
        suite: Suite::DeepKeyGen,
        key_id: KeyId::new([1; 16]),
        sop_class: Uid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: Uid::parse("2.25.1234567890").unwrap(),
    }
}

fn seal(data: &[u8], out: Vec<u8>) -> Vec<u8> {
    let original = Original { transfer_syntax: Uid::parse(SYNTAX).unwrap(), front_bytes: 0 };
    let key = ContentKey::new([2; 32]);
    let new = NewSeal { binding: binding(), key, key_record: Some(vec![3; 1244]) };
    let mut sealer = Sealer::new(&original, new, &Layers::none(), None, out, |_: &Claim| None).unwrap();
    for piece in data.chunks(PIECE) {
        sealer.push(piece).unwrap();
    }
    sealer.finish().unwrap().1
}

fn open(sealed: &[u8], mode: HeaderMode, out: &mut Vec<u8>) {
    let syntax = Uid::parse(SYNTAX).unwrap();
    let find_key = |_: &Claim| Some(ContentKey::new([2; 32]));
    let mut opener = Opener::new(&syntax, mode, &Layers::none(), None, find_key).unwrap();
    let mut on = |opened: Opened<'_>| {
        if let Opened::Data(bytes) = opened {
            out.extend_from_slice(bytes);
        }
        Ok(())
    };
    for piece in sealed.chunks(PIECE) {
        opener.push(piece, &mut on).unwrap();
    }
    opener.finish(&mut on).unwrap();
}

/// Bare AES-256-GCM over the same bytes, in the same chunks.
fn bare(key: &LessSafeKey, data: &[u8], out: &mut Vec<u8>) {
    let mut chunk = Vec::with_capacity(16 * 1024 + 16);
    for plain in data.chunks(16 * 1024) {
        chunk.clear();
        chunk.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut chunk).unwrap();
        out.extend_from_slice(&chunk);
    }
}

/// The digest that every sealed stream ends with, alone.
fn bare_digest(data: &[u8]) {
    let mut hasher = blake3::Hasher::new();
    data.chunks(16 * 1024).for_each(|piece| {
        hasher.update(piece);
    });
    black_box(hasher.finalize());
}

/// Each of many objects in turn, several times: the fastest time of each round over all of them, for noise only ever adds.
fn fastest(rounds: u32, objects: usize, mut run: impl FnMut(usize)) -> Duration {
    let round = |_| {
        let start = Instant::now();
        (0..objects).for_each(&mut run);
        start.elapsed()
    };
    (0..rounds).map(round).min().unwrap_or_default()
}

/// Prints the rows of one kind of object; whether all of them reach the bar.
fn measure(key: &LessSafeKey, name: &str, objects: &[Vec<u8>], rounds: u32, bar: f64) -> bool {
    let sealed: Vec<Vec<u8>> = objects.iter().map(|data| seal(data, Vec::new())).collect();
    let mut out = Vec::with_capacity(objects[0].len() * 2);
    let mut time = |run: &mut dyn FnMut(usize, &mut Vec<u8>)| {
        fastest(rounds, objects.len(), |which| {
            out.clear();
            run(which, &mut out);
            black_box(&out);
        })
    };
    let bare_time = time(&mut |which, out| bare(key, &objects[which], out));
    let runs: [(&str, &mut dyn FnMut(usize, &mut Vec<u8>)); 4] = [
        ("seal", &mut |which, out| *out = seal(&objects[which], std::mem::take(out))),
        ("open, original header", &mut |which, out| open(&sealed[which], HeaderMode::Original, out)),
        ("open, current header", &mut |which, out| open(&sealed[which], HeaderMode::Current, out)),
        ("bare AES-256-GCM and BLAKE3", &mut |which, out| {
            bare(key, &objects[which], out);
            bare_digest(&objects[which]);
        }),
    ];
    let bytes: usize = objects.iter().map(Vec::len).sum();
    let speed = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
    let mut is_good = true;
    for (what, run) in runs {
        let took = time(run);
        let ratio = bare_time.as_secs_f64() / took.as_secs_f64();
        let is_below = ratio < bar && !what.starts_with("bare");
        is_good &= !is_below;
        let mark = if is_below { "  below the bar" } else { "" };
        let (ours, bare) = (speed(took), speed(bare_time));
        println!("{:<50} {ours:>10.0} {bare:>10.0} {ratio:>8.2}{mark}", format!("{name}: {what}"));
    }
    let larger = (sealed[0].len() as f64 / objects[0].len() as f64 - 1.0) * 100.0;
    println!("{name}: sealed {larger:+.3} %");
    is_good
}

fn main() {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[2; 32]).unwrap());
    println!("{:<50} {:>10} {:>10} {:>8}", "", "MB/s", "bare MB/s", "ratio");
    let slices = vec![data_set(512, 512, 1); SLICES];
    let objects = vec![data_set(512, 512, 128); 1];
    let mut is_good = measure(&key, "512 x 512 x 16 bit", &slices, 12, SLICE_BAR);
    is_good &= measure(&key, "64 MiB, 128 frames", &objects, 12, BAR);
    measure(&key, "one slice, cached", &slices[..1], 2000, 0.0);
    if !is_good {
        std::process::exit(1);
    }
}
