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

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Which: full, lite or ids; by default both that come with Sealgate
    #[arg(value_name = "GENERATOR", value_parser = choice)]
    generators: Vec<Choice>,
    /// Key images in one call
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=4096))]
    batch: u64,
    /// Timed rounds of each engine; they take turns, so that all see the same machine
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Threads; 0 for one on each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What runs in a line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The exact engine with these instructions.
    Exact(Instructions),
    /// The network in floats through libtorch, as published.
    Floats,
    /// Another engine that gives the generator's bytes.
    #[cfg_attr(not(feature = "tch"), expect(dead_code, reason = "only libtorch has another one"))]
    Other,
}

type Contestant = (What, Box<dyn Engine>);

/// One line of the table.
struct Row {
    kind: Kind,
    what: What,
    engine: Box<dyn Engine>,
    milliseconds: Vec<f64>,
}

/// How two lines compare, and how they are meant to.
struct Ratio {
    sentence: String,
    times: f64,
    /// At least so many times; none where nothing was promised.
    bar: Option<f64>,
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
            for (what, engine) in engines(model, self.threads)? {
                rows.push(Row { kind: model.kind(), what, engine, milliseconds: Vec::new() });
            }
        }
        let seeds: Vec<Seed> = (0..self.batch).map(|number| Seed::new([1; 32]).child(number)).collect();
        for round in 0..=self.rounds {
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
        let ratios = ratios(rows);
        lines.extend(ratios.iter().map(Ratio::in_words));
        if !rows.iter().any(|row| row.what == What::Floats) {
            lines.push(
                "libtorch is not built in, so nothing is compared with it (cargo feature `tch`)".into(),
            );
        }
        let microseconds = hit.as_secs_f64() * 1e6;
        lines.push(format!("taking one from the pool: {microseconds:.3} microseconds; the bar is 2"));
        let ratios: Vec<_> = ratios
            .iter()
            .map(|ratio| json!({ "what": ratio.sentence, "times": ratio.times, "bar": ratio.bar }))
            .collect();
        let fields = json!({
            "batch": self.batch,
            "rows": entries,
            "ratios": ratios,
            "pool_hit_microseconds": microseconds,
        });
        Answer { fields, text: lines.join("\n"), good: true }
    }
}

impl Ratio {
    fn in_words(&self) -> String {
        let Self { sentence, times, bar } = self;
        let verdict = match bar {
            Some(bar) if *times < *bar => format!("; the bar of {bar} is missed"),
            Some(bar) => format!("; the bar is {bar}"),
            None => String::new(),
        };
        format!("{sentence}: {times:.2} times as fast{verdict}")
    }
}

/// What the lines say together: the exact engine against libtorch's floats, and `lite` against `full`.
fn ratios(rows: &[Row]) -> Vec<Ratio> {
    let time = |kind, what| rows.iter().find(|row| row.kind == kind && row.what == what).map(Row::median);
    let mut found = Vec::new();
    for row in rows {
        let What::Exact(with) = row.what else { continue };
        if let Some(floats) = time(row.kind, What::Floats) {
            let sentence = format!("{} in integers with {with}, beside libtorch's floats", row.kind);
            let bar = (row.kind == Kind::Full).then(|| bar(with)).flatten();
            found.push(Ratio { sentence, times: floats / row.median(), bar });
        }
        if let (Kind::Lite, Some(full)) = (row.kind, time(Kind::Full, row.what)) {
            let sentence = format!("lite with {with}, beside full");
            found.push(Ratio { sentence, times: full / row.median(), bar: Some(2.5) });
        }
    }
    found
}

/// How many times as fast as libtorch's floats the exact engine is meant to be.
fn bar(with: Instructions) -> Option<f64> {
    match with.to_string().as_str() {
        "avx512-vnni" => Some(4.0),
        "avx2" => Some(1.5),
        _ => None,
    }
}

/// Everything that can run a model here.
fn engines(model: &Model, threads: usize) -> Result<Vec<Contestant>, KeygenError> {
    let mut engines: Vec<Contestant> = Vec::new();
    for with in Instructions::available() {
        engines.push((What::Exact(with), Box::new(Exact::with(model, threads, with)?)));
    }
    #[cfg(feature = "tch")]
    for engine in crate::keygen::torch::engines(model, threads)? {
        let what = if engine.id() == model.id() { What::Other } else { What::Floats };
        engines.push((what, engine));
    }
    Ok(engines)
}

/// The median time of taking one digest out of a full pool.
fn pool_hit(model: &Model, config: &Config) -> Result<Duration, KeygenError> {
    let limits = PoolConfig { ready_max: 16, images_per_second_max: 1_000_000, ..config.pool.clone() };
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
