//! The inner layer of the suite `dual` on one core, both ways; it fails when either takes less than 50 MB in a second.
//!
//! `cargo bench --bench dual` prints a table. A slice of 512 KiB includes what a stream costs once: key, S-boxes, permutation.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench that cannot run should stop, and its figures have three places"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use sealgate::cipher::{DualKey, DualKeyId, DualKeys, Kind, LayerSeed, Layers};

const BAR_MEGABYTES: f64 = 50.0;
/// What the stream gives at once.
const PIECE: usize = 16 * 1024;

fn layers() -> Layers {
    let mut keys = DualKeys::default();
    keys.add(DualKey::new(DualKeyId::new([1; 16]), &[2; 32]));
    Layers::none().with_dual(keys)
}

fn seal(layers: &Layers, plain: &[u8], out: &mut Vec<u8>) -> Vec<u8> {
    let (parameters, mut layer) = layers.to_seal(Kind::Dual, &LayerSeed::new([3; 32]), &[]).unwrap();
    out.clear();
    plain.chunks(PIECE).for_each(|piece| layer.push(piece, out).unwrap());
    layer.finish(out).unwrap();
    parameters
}

fn open(layers: &Layers, parameters: &[u8], sealed: &[u8], out: &mut Vec<u8>) {
    let mut layer = layers.to_open(Kind::Dual, parameters, &LayerSeed::new([3; 32])).unwrap();
    out.clear();
    sealed.chunks(PIECE).for_each(|piece| layer.push(piece, out).unwrap());
    layer.finish(out).unwrap();
}

/// The fastest of many runs: noise only ever adds.
fn fastest(rounds: u32, mut run: impl FnMut()) -> Duration {
    let timed = (0..rounds).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    timed.min().unwrap_or_default()
}

fn main() {
    let layers = layers();
    let mut failed = false;
    println!("{:<20} {:>12} {:>12}", "", "seal MB/s", "open MB/s");
    for (name, bytes, rounds) in [("512 KiB", 512 * 1024, 60), ("64 MiB", 64 * 1024 * 1024, 4)] {
        let plain: Vec<u8> = (0..bytes).map(|i| u8::try_from((i * 7919) >> 3 & 0xFF).unwrap()).collect();
        let (mut sealed, mut opened) = (Vec::with_capacity(bytes + 16), Vec::with_capacity(bytes));
        let mut parameters = Vec::new();
        let sealing = fastest(rounds, || parameters = seal(&layers, black_box(&plain), &mut sealed));
        let opening = fastest(rounds, || open(&layers, &parameters, black_box(&sealed), &mut opened));
        assert!(opened == plain, "it has to come back");
        let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e6;
        println!("{name:<20} {:>12.1} {:>12.1}", rate(sealing), rate(opening));
        failed |= rate(sealing).min(rate(opening)) < BAR_MEGABYTES;
    }
    if failed {
        eprintln!("below the bar of {BAR_MEGABYTES} MB/s");
        std::process::exit(1);
    }
}
