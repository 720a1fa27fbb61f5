//! Sealing and opening in memory beside bare AES-256-GCM over the same bytes: ratios from one run, on one core.
//!
//! `cargo bench --bench seal` prints a table; it fails when a ratio is below its bar.
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

const BAR: f64 = 0.55;
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

/// The fastest of many runs: noise only ever adds.
fn fastest(rounds: u32, mut run: impl FnMut()) -> Duration {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn main() {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[2; 32]).unwrap());
    let mut failed = false;
    println!("{:<34} {:>10} {:>10} {:>8}", "", "MB/s", "bare MB/s", "ratio");
    for (name, data, rounds) in [
        ("512 x 512 x 16 bit", data_set(512, 512, 1), 400),
        ("64 MiB, 128 frames", data_set(512, 512, 128), 12),
    ] {
        let sealed = seal(&data, Vec::new());
        let mut out = Vec::with_capacity(data.len() * 2);
        let mut time = |run: &mut dyn FnMut(&mut Vec<u8>)| {
            fastest(rounds, || {
                out.clear();
                run(&mut out);
                black_box(&out);
            })
        };
        let bare_time = time(&mut |out| bare(&key, &data, out));
        let runs: [(&str, &mut dyn FnMut(&mut Vec<u8>)); 3] = [
            ("seal", &mut |out| *out = seal(&data, std::mem::take(out))),
            ("open, original header", &mut |out| open(&sealed, HeaderMode::Original, out)),
            ("open, current header", &mut |out| open(&sealed, HeaderMode::Current, out)),
        ];
        for (what, run) in runs {
            let took = time(run);
            let speed = |took: Duration| data.len() as f64 / 1e6 / took.as_secs_f64();
            let ratio = bare_time.as_secs_f64() / took.as_secs_f64();
            failed |= ratio < BAR;
            let mark = if ratio < BAR { "  below the bar" } else { "" };
            println!(
                "{:<34} {:>10.0} {:>10.0} {:>8.2}{mark}",
                format!("{what}: {name}"),
                speed(took),
                speed(bare_time),
                ratio
            );
        }
        println!(
            "size of the sealed instance: {:+.3} %",
            (sealed.len() as f64 / data.len() as f64 - 1.0) * 100.0
        );
    }
    if failed {
        std::process::exit(1);
    }
}
