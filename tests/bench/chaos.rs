//! The chaotic layers, the network's run included, beside the paper's seconds and its steps in NumPy: one run, one core.
//!
//! `cargo bench --bench chaos` prints a table. It fails where an image takes more than a two-hundredth of the paper's time.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use sealgate::cipher::{LayerSeed, Layers};
use sealgate::evaluate::papers::chaotic;
use sealgate::keygen::{Config, Engines};
use sealgate::seal::Suite;

const BAR: f64 = 200.0;
const RUNS: u8 = 25;

/// What the NumPy version takes, in milliseconds, by suite and edge; nothing where there is no NumPy.
fn numpy() -> BTreeMap<(String, u32), (f64, f64)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/chaos.py");
    let python = std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| "tests/.venv/bin/python".into());
    let run = Command::new(python).arg(script).env("OPENBLAS_NUM_THREADS", "1").output();
    let text = run.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let key = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        Some((key, (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
    };
    text.lines().filter_map(line).collect()
}

/// The median of several runs, in milliseconds.
fn median(mut deed: impl FnMut(u8)) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|run| {
            let start = Instant::now();
            deed(run);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let layers = Layers::new(Arc::new(Engines::new(&Config::default())));
    let numpy = numpy();
    let mut slow = false;
    println!(
        "| suite | image | encrypt, ms | decrypt, ms | paper, ms | times faster | NumPy, ms | times faster |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for suite in Suite::ALL {
        let Some(kind) = suite.inner().filter(|kind| kind.reads_metadata()) else { continue };
        for (side, encrypt, decrypt) in chaotic::SECONDS {
            let image: Vec<u8> = (0..side * side).map(|at| ((at / side + at % side) % 256) as u8).collect();
            let mut sealed = (Vec::new(), Vec::new());
            let sealing = median(|run| {
                let seed = LayerSeed::new([run; 32]);
                let (parameters, mut layer) = layers.to_seal(kind, &seed, b"20240131101500").unwrap();
                let mut out = Vec::with_capacity(image.len());
                layer.push(&image, &mut out).unwrap();
                layer.finish(&mut out).unwrap();
                sealed = (parameters, out);
            });
            let seed = LayerSeed::new([RUNS - 1; 32]);
            let opening = median(|_| {
                let mut layer = layers.to_open(kind, &sealed.0, &seed).unwrap();
                let mut out = Vec::with_capacity(image.len());
                layer.push(&sealed.1, &mut out).unwrap();
                layer.finish(&mut out).unwrap();
                assert!(black_box(out) == image);
            });
            let ratio = (encrypt * 1e3 / sealing).min(decrypt * 1e3 / opening);
            slow |= ratio < BAR;
            let beside = numpy.get(&(suite.name().to_owned(), side)).map_or_else(
                || ("–".to_owned(), "–".to_owned()),
                |(a, b)| (format!("{a:.0}, {b:.0}"), format!("{:.0}, {:.0}", a / sealing, b / opening)),
            );
            println!(
                "| {suite} | {side} x {side} | {sealing:.3} | {opening:.3} | {:.0}, {:.0} | {:.0}, {:.0} | {} | {} |",
                encrypt * 1e3,
                decrypt * 1e3,
                encrypt * 1e3 / sealing,
                decrypt * 1e3 / opening,
                beside.0,
                beside.1
            );
        }
    }
    assert!(!slow, "slower than a two-hundredth of the paper's time");
}
