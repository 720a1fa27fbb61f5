//! `sealgate generator bench`: key images a second, each engine beside the others in the same run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::generator::{Answer, Common, choice};
use crate::keygen::{
    Choice, Config, Engine, Exact, GeneratorStore, Instructions, KeyImage, KeygenError, Kind, Model, Pool,
    PoolConfig, Seed,
};

/// What the paper needs for one key image on its GPU, in milliseconds.
const PAPER_MILLISECONDS: f64 = 2070.0;
/// Timed rounds of each engine; the engines take turns, so that all see the same machine.
const ROUNDS: usize = 7;

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Which: full, lite or ids; by default both that come with Sealgate
    #[arg(value_name = "GENERATOR", value_parser = choice)]
    generators: Vec<Choice>,
    /// Key images in one call
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=4096))]
    batch: u64,
    /// Threads; 0 for one on each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

/// One line of the table.
struct Row {
    kind: Kind,
    engine: Box<dyn Engine>,
    milliseconds: Vec<f64>,
}

impl Row {
    fn median(&self) -> f64 {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl Bench {
    pub(super) fn run(&self, config: &Config, store: &GeneratorStore) -> Result<Answer, KeygenError> {
        let choices = match &self.generators[..] {
            [] => vec![Choice::Shipped(Kind::Full), Choice::Shipped(Kind::Lite)],
            named => named.to_vec(),
        };
        let models = choices.iter().map(|choice| store.get(*choice)).collect::<Result<Vec<_>, _>>()?;
        let mut rows = Vec::new();
        for model in &models {
            for engine in engines(model, self.threads)? {
                rows.push(Row { kind: model.kind(), engine, milliseconds: Vec::new() });
            }
        }
        let seeds: Vec<Seed> = (0..self.batch).map(|number| Seed::new([1; 32]).child(number)).collect();
        for round in 0..=ROUNDS {
            for row in &mut rows {
                let begun = Instant::now();
                row.engine.generate(&seeds)?;
                // The first round warms up.
                if round > 0 {
                    row.milliseconds.push(milliseconds(begun.elapsed()) / count(self.batch));
                }
            }
        }
        let hit =
            pool_hit(models.first().ok_or_else(|| KeygenError::Config("no generator".into()))?, config)?;
        Ok(self.answer(&rows, hit))
    }

    fn answer(&self, rows: &[Row], hit: Duration) -> Answer {
        let slowest =
            |kind: Kind| rows.iter().filter(|row| row.kind == kind).map(Row::median).fold(0.0, f64::max);
        let fastest = |kind: Kind| {
            rows.iter().filter(|row| row.kind == kind).map(Row::median).fold(f64::INFINITY, f64::min)
        };
        let mut lines = vec![format!(
            "{:5} {:34} {:>9} {:>9} {:>7} {:>8} {:>8}",
            "kind", "engine", "ms/image", "images/s", "MB/s", "x slowest", "x paper"
        )];
        let mut entries = Vec::new();
        for row in rows {
            let time = row.median();
            let bytes = count(KeyImage::LENGTH as u64);
            lines.push(format!(
                "{:5} {:34} {time:9.3} {:9.1} {:7.1} {:9.1} {:8.0}",
                row.kind.name(),
                row.engine.name(),
                1000.0 / time,
                bytes / time / 1000.0,
                slowest(row.kind) / time,
                PAPER_MILLISECONDS / time,
            ));
            entries
                .push(json!({ "kind": row.kind.name(), "engine": row.engine.name(), "milliseconds": time }));
        }
        let lite = fastest(Kind::Full) / fastest(Kind::Lite);
        if lite.is_finite() && lite > 0.0 {
            lines.push(format!("lite is {lite:.1} times as fast as full"));
        }
        let microseconds = hit.as_secs_f64() * 1e6;
        lines.push(format!("taking one from the pool: {microseconds:.3} microseconds"));
        let fields = json!({
            "batch": self.batch,
            "rows": entries,
            "lite_ratio": if lite.is_finite() { Some(lite) } else { None },
            "pool_hit_microseconds": microseconds,
        });
        Answer { fields, text: lines.join("\n"), good: true }
    }
}

/// Everything that can run a model here.
fn engines(model: &Model, threads: usize) -> Result<Vec<Box<dyn Engine>>, KeygenError> {
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    for with in Instructions::available() {
        engines.push(Box::new(Exact::with(model, threads, with)?));
    }
    Ok(engines)
}

/// The median time of taking one digest out of a full pool.
fn pool_hit(model: &Model, config: &Config) -> Result<Duration, KeygenError> {
    let limits = PoolConfig { ready_max: 64, images_per_second_max: 1_000_000, ..config.pool.clone() };
    let engine = Arc::new(Exact::new(model, 0)?);
    let pool = Pool::start(engine, &limits, |_, seed, _| {
        let mut kept = [0_u8; 64];
        kept[..32].copy_from_slice(seed.expose_secret());
        kept
    })?;
    let end = Instant::now() + Duration::from_secs(60);
    while pool.status().ready < limits.ready_max && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut times = Vec::new();
    loop {
        let begun = Instant::now();
        let taken = pool.take();
        times.push(begun.elapsed());
        if taken.is_none() || times.len() == limits.ready_max {
            break;
        }
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn count(number: u64) -> f64 {
    number as f64
}
