//! Key images a second, for each kind and each set of instructions this processor has.
//!
//! `cargo bench --bench generator [-- MODEL.sgg ...]` prints a table.

use std::path::Path;
use std::time::Instant;

use sealgate::keygen::{Engine, Exact, Instructions, Model, Seed};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for file in files {
        let model = Model::load(Path::new(&file)).expect("a generator");
        for with in Instructions::available() {
            for threads in [1, 2] {
                let engine = Exact::with(&model, threads, with).expect("an engine");
                for batch in [1, 8] {
                    println!(
                        "{:5} {:32} batch {batch}  {:8.2} ms",
                        model.kind(),
                        engine.name(),
                        time(&engine, batch)
                    );
                }
            }
        }
    }
}

/// Milliseconds for one key image, the median of several runs.
fn time(engine: &Exact, batch: u64) -> f64 {
    let seeds: Vec<Seed> = (0..batch).map(|number| Seed::new([1; 32]).child(number)).collect();
    engine.generate(&seeds).expect("key images");
    let runs = 9;
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            engine.generate(&seeds).expect("key images");
            start.elapsed().as_secs_f64() * 1000.0 / f64::from(u32::try_from(batch).expect("few"))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}
