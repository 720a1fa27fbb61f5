//! `sealgate generator`: which generators there are, bringing them in and out, checking and timing them.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::generator_bench::Bench;
use super::generator_study::Study;
use super::generator_train::Train;
use super::{ConfigArgs, Exit, complain};
use crate::keygen::{
    Calibration, Checkpoint, Choice, Config, Ending, Engine, Evidence, Exact, GeneratorStore, Instructions,
    KeyImage, KeygenError, Model, SIDE, Seed, quantise, write_new,
};
use crate::settings;

/// List, bring in, check and time generators of key images
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate generator list")]
pub(super) struct Generator {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    Train(Train),
    Study(Study),
    #[command(flatten)]
    Stored(Action),
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the generators there are
    #[command(after_help = "Example: sealgate generator list")]
    List(Common),
    /// Take model files into the folder of generators
    #[command(after_help = "Example: sealgate generator import site.sgg")]
    Import(Import),
    /// Copy a generator to a new file, for another site or a backup
    #[command(after_help = "Example: sealgate generator export lite lite.sgg")]
    Export(Export),
    /// Check generators: the files, and whether every set of instructions of this processor gives the same bytes
    #[command(after_help = "Example: sealgate generator verify full lite")]
    Verify(Verify),
    /// Turn a trained checkpoint into a model file
    #[command(after_help = "Example: sealgate generator quantise site.safetensors --out site.sgg")]
    Quantise(Quantise),
    /// Time key images, side by side
    #[command(after_help = "Example: sealgate generator bench lite --rounds 20")]
    Bench(Bench),
    /// Write a key image as PNG, to look at
    #[command(after_help = "Example: sealgate generator image key-image.png")]
    Image(Image),
}

#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Import {
    /// Model files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Export {
    /// Which: full, lite or an id
    #[arg(value_name = "GENERATOR", value_parser = choice)]
    generator: Choice,
    /// The new file
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Verify {
    /// Which: full, lite or ids; without any, all there are
    #[arg(value_name = "GENERATOR", value_parser = choice)]
    generators: Vec<Choice>,
    /// Judge so many key images of each
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    images: u64,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Quantise {
    /// The safetensors file that training wrote
    checkpoint: PathBuf,
    /// Write to this new file instead of the folder of generators
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Image {
    /// The new PNG file
    file: PathBuf,
    /// Which generator: full, lite or an id; by default that of the configuration
    #[arg(long, value_parser = choice)]
    generator: Option<Choice>,
    /// What to make it from, 64 hexadecimal digits; by default a fresh seed, so never a key image in use
    #[arg(long, value_parser = seed)]
    seed: Option<Seed>,
    /// End with the paper's tanh instead of the fold, to see what the plain network makes
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn choice(text: &str) -> Result<Choice, String> {
    text.parse().map_err(|error: KeygenError| error.to_string())
}

fn seed(text: &str) -> Result<Seed, String> {
    let id: crate::keygen::GeneratorId = text.parse().map_err(|_| "64 hexadecimal digits were expected")?;
    Ok(Seed::new(*id.as_bytes()))
}

/// What a command has to say: as JSON, as text, and whether all is well.
pub(super) struct Answer {
    pub(super) fields: Value,
    pub(super) text: String,
    pub(super) good: bool,
}

impl Generator {
    pub(super) fn run(self) -> Exit {
        let action = match self.deed {
            // It needs no configuration and no folder of generators.
            Deed::Train(train) => return train.run(),
            Deed::Study(study) => return study.run(),
            Deed::Stored(action) => action,
        };
        let common = match &action {
            Action::List(common) => common,
            Action::Import(import) => &import.common,
            Action::Export(export) => &export.common,
            Action::Verify(verify) => &verify.common,
            Action::Quantise(quantise) => &quantise.common,
            Action::Bench(bench) => &bench.common,
            Action::Image(image) => &image.common,
        };
        let config = match settings::load(&common.config.source()) {
            Ok(settings) => settings.keygen,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        let answer = config.check().and_then(|()| action.run(&config));
        report(answer, common.json)
    }
}

impl Action {
    fn run(&self, config: &Config) -> Result<Answer, KeygenError> {
        let store = GeneratorStore::new(&config.folder);
        match self {
            Self::List(_) => list(config, &store),
            Self::Import(import) => import.run(&store),
            Self::Export(export) => export.run(&store),
            Self::Verify(verify) => verify.run(&store),
            Self::Quantise(quantise) => quantise.run(&store),
            Self::Bench(bench) => bench.run(config, &store),
            Self::Image(image) => image.run(config, &store),
        }
    }
}

/// Says it, and turns it into an exit code.
fn report(answer: Result<Answer, KeygenError>, as_json: bool) -> Exit {
    match answer {
        Ok(mut answer) => {
            if as_json {
                if let Value::Object(fields) = &mut answer.fields {
                    fields.insert("ok".into(), answer.good.into());
                }
                println!("{:#}", answer.fields);
            } else {
                println!("{}", answer.text);
            }
            if answer.good { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            if as_json {
                let fields = json!({ "ok": false, "error": error.to_string(), "advice": error.advice() });
                println!("{fields:#}");
            } else {
                complain(format_args!("{error}\n{}", error.advice()));
            }
            if matches!(error, KeygenError::Config(_)) { Exit::Configuration } else { Exit::Failed }
        }
    }
}

fn fields(model: &Model) -> Value {
    let provenance: Value = serde_json::from_str(model.provenance()).unwrap_or_default();
    json!({ "id": model.id().to_string(), "kind": model.kind().name(), "provenance": provenance })
}

fn list(config: &Config, store: &GeneratorStore) -> Result<Answer, KeygenError> {
    let current = store.get(config.generator).map(|model| model.id());
    let (mut generators, mut lines, mut good) = (Vec::new(), Vec::new(), true);
    for (place, found) in store.list()? {
        match found {
            Ok(model) => {
                let used = current.as_ref().is_ok_and(|id| *id == model.id());
                let mut entry = fields(&model);
                entry["place"] = place.to_string().into();
                entry["current"] = used.into();
                generators.push(entry);
                let mark = if used { ", makes the new keys" } else { "" };
                lines.push(format!("{} {:4} {place}{mark}", model.id(), model.kind()));
            }
            Err(error) => {
                good = false;
                generators.push(json!({ "place": place.to_string(), "error": error.to_string() }));
                lines.push(format!("cannot be used: {place}: {error}"));
            }
        }
    }
    if let Err(error) = current {
        good = false;
        lines.push(format!("the generator of the configuration cannot be used: {error}"));
    }
    Ok(Answer { fields: json!({ "generators": generators }), text: lines.join("\n"), good })
}

impl Import {
    fn run(&self, store: &GeneratorStore) -> Result<Answer, KeygenError> {
        let (mut entries, mut lines) = (Vec::new(), Vec::new());
        for file in &self.files {
            let model = Model::load(file)?;
            let path = store.import(&model)?;
            entries.push(json!({ "id": model.id().to_string(), "file": path }));
            lines.push(format!("{} is the {} generator {}.", file.display(), model.kind(), model.id()));
        }
        Ok(Answer { fields: json!({ "imported": entries }), text: lines.join("\n"), good: true })
    }
}

impl Export {
    fn run(&self, store: &GeneratorStore) -> Result<Answer, KeygenError> {
        let model = store.get(self.generator)?;
        write_new(&self.file, &model.to_bytes())?;
        let text = format!("Wrote generator {} to {}.", model.id(), self.file.display());
        Ok(Answer { fields: json!({ "id": model.id().to_string(), "file": self.file }), text, good: true })
    }
}

impl Verify {
    fn run(&self, store: &GeneratorStore) -> Result<Answer, KeygenError> {
        let models = if self.generators.is_empty() {
            store.list()?.into_iter().map(|(_, model)| model).collect()
        } else {
            self.generators.iter().map(|generator| store.get(*generator)).collect::<Vec<_>>()
        };
        let (mut entries, mut lines, mut good) = (Vec::new(), Vec::new(), true);
        for model in models {
            let verdict = model.and_then(|model| self.judge(&model));
            match verdict {
                Ok((entry, line)) => {
                    entries.push(entry);
                    lines.push(line);
                }
                Err(error) => {
                    good = false;
                    entries.push(json!({ "error": error.to_string() }));
                    lines.push(format!("BAD: {error}"));
                }
            }
        }
        if lines.is_empty() {
            lines.push("There are no generators.".into());
        }
        Ok(Answer { fields: json!({ "generators": entries }), text: lines.join("\n"), good })
    }

    /// Whether one generator does what it should on this processor.
    fn judge(&self, model: &Model) -> Result<(Value, String), KeygenError> {
        let seeds = (0..self.images).map(|_| Seed::draw()).collect::<Result<Vec<_>, _>>()?;
        let images = Exact::new(model, 0)?.generate(&seeds)?;
        for with in Instructions::available() {
            let first = Exact::with(model, 0, with)?.generate(&seeds[..1])?;
            if first.first().map(KeyImage::expose_secret) != images.first().map(KeyImage::expose_secret) {
                return Err(KeygenError::Engine(format!(
                    "generator {} gives other bytes with {with}",
                    model.id()
                )));
            }
        }
        let mut engines: Vec<String> = Instructions::available().iter().map(ToString::to_string).collect();
        engines.extend(compare_torch(model, &seeds, &images)?);
        let evidence = Evidence::of(&images);
        evidence
            .check()
            .map_err(|reason| KeygenError::Engine(format!("generator {}: {reason}", model.id())))?;
        let entry = json!({
            "id": model.id().to_string(),
            "kind": model.kind().name(),
            "instructions": engines,
            "images": images.len(),
            "entropy_min": evidence.entropy_min,
            "chi_square_max": evidence.chi_square_max,
            "equal_bytes_max": evidence.equal_bytes_max,
        });
        let line = format!(
            "good: {} {}; the same bytes with {}; {} key images, entropy at least {:.4}, chi-square at most {:.0}",
            model.id(),
            model.kind(),
            engines.join(", "),
            images.len(),
            evidence.entropy_min,
            evidence.chi_square_max,
        );
        Ok((entry, line))
    }
}

/// Holds libtorch, where it is built in, to the exact engine's key images; gives the names of what was held to them.
#[cfg(feature = "tch")]
fn compare_torch(model: &Model, seeds: &[Seed], images: &[KeyImage]) -> Result<Vec<String>, KeygenError> {
    let mut names = Vec::new();
    // The floating-point pass is of no generator, and gives other bytes.
    let torch =
        crate::keygen::torch::engines(model, 0)?.into_iter().filter(|engine| engine.id() == model.id());
    for engine in torch {
        let made = engine.generate(seeds)?;
        let same = |(one, other): (&KeyImage, &KeyImage)| one.expose_secret() == other.expose_secret();
        if made.len() != images.len() || !made.iter().zip(images).all(same) {
            let reason = format!("generator {} gives other bytes with {}", model.id(), engine.name());
            return Err(KeygenError::Engine(reason));
        }
        names.push(engine.name());
    }
    Ok(names)
}

#[cfg(not(feature = "tch"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape with and without the feature")]
fn compare_torch(_: &Model, _: &[Seed], _: &[KeyImage]) -> Result<Vec<String>, KeygenError> {
    Ok(Vec::new())
}

impl Quantise {
    fn run(&self, store: &GeneratorStore) -> Result<Answer, KeygenError> {
        let checkpoint = Checkpoint::load(&self.checkpoint)?;
        let model = quantise(&checkpoint, Calibration::default())?;
        let path = match &self.out {
            Some(path) => {
                write_new(path, &model.to_bytes())?;
                path.clone()
            }
            None => store.import(&model)?,
        };
        let mut entry = fields(&model);
        entry["file"] = path.display().to_string().into();
        let text = format!("Made the {} generator {}, in {}.", model.kind(), model.id(), path.display());
        Ok(Answer { fields: entry, text, good: true })
    }
}

impl Image {
    fn run(&self, config: &Config, store: &GeneratorStore) -> Result<Answer, KeygenError> {
        let model = store.get(self.generator.unwrap_or(config.generator))?;
        let seed = self.seed.clone().map_or_else(Seed::draw, Ok)?;
        let ending = if self.plain { Ending::Tanh } else { Ending::Fold };
        let image = Exact::new(&model, 0)?.transform(&seed.expand(), ending)?;
        write_png(&self.file, &image)?;
        let evidence = Evidence::of(std::slice::from_ref(&image));
        let entropy = evidence.entropy_min;
        let text =
            format!("Wrote {}; its bytes have {entropy:.4} bits of entropy each.", self.file.display());
        let fields = json!({ "file": self.file, "id": model.id().to_string(), "entropy": entropy });
        Ok(Answer { fields, text, good: true })
    }
}

fn write_png(path: &Path, image: &KeyImage) -> Result<(), KeygenError> {
    let about =
        |error: std::io::Error| KeygenError::File { doing: "writing", path: path.to_owned(), source: error };
    let file = File::create_new(path).map_err(about)?;
    let side = u32::try_from(SIDE).expect("256");
    let mut encoder = png::Encoder::new(BufWriter::new(file), side, side);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(image.expose_secret())?;
            writer.finish()
        })
        .map_err(|error| about(std::io::Error::other(error)))
}
