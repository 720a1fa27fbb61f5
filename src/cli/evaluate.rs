//! `sealgate evaluate`: measures suites and generators on one's own images, and writes the report.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::batch::collect;
use super::{Exit, complain};
use crate::cipher::{DualKey, DualKeyId, DualKeys, Layers};
use crate::evaluate::choice::{by_turns, counted, spread};
use crate::evaluate::pixels::{FirstFrame, PixelsError, first_frame, modality};
use crate::evaluate::report::{
    Generator, Inputs, Named, Options, Report, Step, Suite, build, to_csv, to_html, to_json, to_times,
};
use crate::evaluate::source::Comparison;
use crate::evaluate::trained::{Trained, key_images};
use crate::evaluate::{inner_layer, layered_suite, sealed_stream, sealed_zeros};
use crate::keygen::{Choice, Config, Ending, Engines, GeneratorStore, Kind, Model, Study};
use crate::seal;

/// Memory that all images together may take; what comes after is passed over.
const IMAGES_BYTES_MAX: usize = 128 << 20;

/// Files whose headers are looked at to choose among them, spread evenly over what was found.
const LOOKED_AT_MAX: usize = 2_000;

/// Measure suites and generators by the measures of the field, and write a report
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate evaluate archive/2026/ --out report --seed 7\n\n\
    The report never shows an image in clear unless --clear-pictures asks for it. File names appear in it; so do \
    histograms and scatter plots of the images.")]
pub(super) struct Evaluate {
    /// DICOM files, and folders to be searched for them; without any, only generators are measured
    #[arg(value_name = "FILE or FOLDER")]
    paths: Vec<PathBuf>,
    /// Folder for report.html, figures.json, figures.csv and times.csv
    #[arg(short, long, value_name = "FOLDER", default_value = "report")]
    out: PathBuf,
    /// Only suites whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Only generators whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    generator: Vec<String>,
    /// Model files of generators (.sgg) to measure and set against each other, beside those that come with the program; may
    /// be given several times
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// What `sealgate generator study` found (study.json), to stand beside the paper's table XXI
    #[arg(long, value_name = "FILE")]
    study: Option<PathBuf>,
    /// Where sampling and keys start: the same seed gives the same figures
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Sequences for SP 800-22
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sequences: u32,
    /// Bits of each sequence, a multiple of 8
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=8_000_000))]
    bits: u32,
    /// Measure so many images at most, as many of each modality, spread evenly over what was found
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    images: u32,
    /// Show the images in clear, too
    #[arg(long)]
    clear_pictures: bool,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(super) fn run(self) -> Exit {
        match self.evaluate() {
            Ok(()) => Exit::Done,
            Err(reason) => {
                complain(reason);
                Exit::Failed
            }
        }
    }

    fn evaluate(&self) -> Result<(), String> {
        let models = self.models()?;
        let generators =
            chosen(all_generators(&models), &self.generator, |generator| &generator.name, "generator")?;
        // The attacks are on generators that are measured.
        let is_measured = |model: &Arc<Trained>| {
            let ends = format!(", {}", model.name());
            generators.iter().any(|generator| generator.name.ends_with(&ends))
        };
        let models: Vec<Arc<Trained>> = models.iter().filter(|model| is_measured(model)).cloned().collect();
        let suites = chosen(all_suites(), &self.suite, |suite| &suite.name, "suite")?;
        let (images, found) = self.images()?;
        let study = self.study.as_deref().map(Study::load).transpose();
        let study = study.map_err(|error| format!("{error}\n{}", error.advice()))?;
        let options = Options {
            seed: self.seed,
            sequences: self.sequences as usize,
            bits: self.bits as usize,
            clear_pictures: self.clear_pictures,
        };
        let bar = bar();
        let progress = |step| match step {
            Step::Total(steps) => bar.set_length(steps),
            Step::Doing(name) => bar.set_message(name),
            Step::Done => bar.inc(1),
        };
        let inputs = Inputs {
            facts: self.facts(images.len(), &found),
            circumstances: circumstances(),
            generators: &generators,
            suites: &suites,
            models: &models,
            images: &images,
            study: study.as_ref(),
        };
        let report = build(&inputs, options, &progress).map_err(|error| error.to_string())?;
        bar.finish_and_clear();
        self.write(&report).map_err(|error| format!("{}: {error}", self.out.display()))?;
        self.say(&report);
        Ok(())
    }

    /// The generators that come with the program, and those that were named.
    fn models(&self) -> Result<Vec<Arc<Trained>>, String> {
        let started = |name: String, model: Result<Model, _>| {
            let trained = model.and_then(|model| Trained::new(name, &model));
            trained.map(Arc::new)
        };
        let store = GeneratorStore::new(Config::default().folder);
        let shipped = [Kind::Full, Kind::Lite].map(|kind| {
            started(kind.name().to_owned(), store.get(Choice::Shipped(kind)))
                .map_err(|error| error.to_string())
        });
        let named = self.model.iter().map(|path| {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            started(name, Model::load(path))
                .map_err(|error| format!("{}: {error}\n{}", path.display(), error.advice()))
        });
        shipped.into_iter().chain(named).collect()
    }

    /// The images to measure, and a sentence on those that were found.
    fn images(&self) -> Result<(Vec<Named>, String), String> {
        let files = collect(&self.paths).map_err(|error| error.to_string())?;
        if files.is_empty() && !self.paths.is_empty() {
            return Err("there are no files in what was named".to_owned());
        }
        let mut reasons = Vec::new();
        let (mut found, mut modalities) = (Vec::new(), Vec::new());
        for at in spread(files.len(), LOOKED_AT_MAX).into_iter().take(LOOKED_AT_MAX) {
            match glance(&files[at].path) {
                Ok(modality) => {
                    found.push(at);
                    modalities.push(modality);
                }
                Err(reason) => reasons.push(format!("{}: {reason}", files[at].relative.display())),
            }
        }
        let (mut images, mut room) = (Vec::new(), IMAGES_BYTES_MAX);
        // What turns out not to be measurable is replaced by another, as long as there are any.
        let wanted = self.images as usize;
        for at in by_turns(&modalities, wanted).into_iter().map(|turn| found[turn]) {
            if images.len() == wanted {
                break;
            }
            let name = files[at].relative.display().to_string();
            match read(&files[at].path, room) {
                Ok(FirstFrame { image, modality }) => {
                    room -= size_of_val(image.samples());
                    images.push((at, Named { name, modality, image }));
                }
                Err(reason) => reasons.push(format!("{name}: {reason}")),
            }
        }
        if images.is_empty() && !files.is_empty() {
            let first = reasons.first().map_or("", String::as_str);
            return Err(format!("none of {} files has pixels that can be measured; {first}", files.len()));
        }
        images.sort_by_key(|(at, _)| *at);
        let images: Vec<Named> = images.into_iter().map(|(_, named)| named).collect();
        let sentence = format!(
            "{} of {} files: {}; {} cannot be measured, {} left out",
            images.len(),
            files.len(),
            counted(images.iter().map(|named| named.modality.as_deref())),
            reasons.len(),
            files.len() - images.len() - reasons.len()
        );
        Ok((images, sentence))
    }

    fn facts(&self, images: usize, found: &str) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let mut facts = vec![
            fact("Made by", format!("sealgate {}", env!("CARGO_PKG_VERSION"))),
            fact("Seed", self.seed.to_string()),
            fact("SP 800-22", format!("{} sequences of {} bits", self.sequences, self.bits)),
        ];
        if images > 0 {
            facts.push(fact("Images", found.to_owned()));
        }
        facts
    }

    fn write(&self, report: &Report) -> io::Result<()> {
        fs::create_dir_all(&self.out)?;
        let numbers = serde_json::to_string_pretty(&to_json(report))?;
        for (name, text) in [
            ("report.html", to_html(report)),
            ("figures.csv", to_csv(report)),
            ("figures.json", numbers),
            ("times.csv", to_times(report)),
        ] {
            fs::write(self.out.join(name), text)?;
        }
        Ok(())
    }

    /// What was caught, and where the report is.
    fn say(&self, report: &Report) {
        if self.json {
            println!("{}", to_json(report));
            return;
        }
        for verdict in report.caught() {
            let names: Vec<&str> =
                verdict.findings.iter().map(crate::evaluate::finding::Finding::name).collect();
            println!("{}: {} ({})", verdict.subject, names.join(", "), verdict.role.name());
        }
        println!("{}", page(&self.out));
    }
}

fn page(out: &Path) -> String {
    out.join("report.html").display().to_string()
}

/// Everything that can be measured as a key stream.
fn all_generators(models: &[Arc<Trained>]) -> Vec<Generator<'static>> {
    let neural = [Ending::Fold, Ending::Tanh]
        .into_iter()
        .flat_map(|ending| models.iter().map(move |model| key_images(model, ending)));
    let compared = Comparison::HONEST.into_iter().chain(Comparison::WEAK).map(Generator::from);
    std::iter::once(sealed_zeros()).chain(neural).chain(compared).collect()
}

/// Everything that can be measured as a suite.
fn all_suites() -> Vec<Suite<'static>> {
    // What the operating system gives comes once: nobody could open what it encrypts.
    let streams = Comparison::HONEST.into_iter().filter(|source| *source != Comparison::OperatingSystem);
    let compared = streams.chain(Comparison::WEAK).map(Suite::xor);
    let reused = Suite::xor_reusing(Comparison::AesCtr);
    std::iter::once(sealed_stream()).chain(layers()).chain(compared).chain([reused]).collect()
}

/// The suites with an inner layer, of what comes with the program: as sealed, and the layer alone.
fn layers() -> impl Iterator<Item = Suite<'static>> {
    // A dual key for this report alone: a site's own never leaves the gateway.
    let mut keys = DualKeys::default();
    keys.add(DualKey::new(DualKeyId::new([0; 16]), b"sealgate evaluate: no secret key"));
    let layers = Layers::new(Arc::new(Engines::new(&Config::default()))).with_dual(keys);
    let inner = |suite: &seal::Suite| Some((suite.name(), suite.inner()?));
    seal::Suite::ALL
        .iter()
        .filter_map(inner)
        .flat_map(move |(name, kind)| [layered_suite(name, kind, &layers), inner_layer(name, kind, &layers)])
}

/// When and where the report is made.
fn circumstances() -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let made = super::time::utc(super::time::now_unix_millis() / 1000);
    vec![
        ("Made on".to_owned(), made),
        ("Machine".to_owned(), format!("{}, {cores} cores", std::env::consts::ARCH)),
    ]
}

/// The modality of a file, if it has pixels that can be measured.
fn glance(path: &Path) -> Result<Option<String>, String> {
    File::open(path).map_err(Into::into).and_then(modality).map_err(|error: PixelsError| error.to_string())
}

/// The first frame of a file, if there is room for it.
fn read(path: &Path, room: usize) -> Result<FirstFrame, String> {
    let said = |error: PixelsError| error.to_string();
    let frame = File::open(path).map_err(Into::into).and_then(first_frame).map_err(said)?;
    if size_of_val(frame.image.samples()) > room {
        return Err(format!("the images before it fill the {IMAGES_BYTES_MAX} bytes that all may take"));
    }
    Ok(frame)
}

/// Those whose name contains one of `words`, whatever the case; all without words.
fn chosen<T>(
    all: Vec<T>,
    words: &[String],
    name: impl Fn(&T) -> &String,
    what: &str,
) -> Result<Vec<T>, String> {
    let names: Vec<String> = all.iter().map(|item| name(item).to_lowercase()).collect();
    if let Some(word) = words.iter().find(|word| !names.iter().any(|n| n.contains(&word.to_lowercase()))) {
        return Err(format!("there is no {what} {word:?}; there are {}", names.join(", ")));
    }
    let wanted =
        |name: &str| words.is_empty() || words.iter().any(|word| name.contains(&word.to_lowercase()));
    Ok(all.into_iter().zip(names).filter(|(_, name)| wanted(name)).map(|(item, _)| item).collect())
}

/// A bar on a terminal, nothing in a pipe.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} {eta}  {msg}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::report::Role;

    #[test]
    fn a_word_chooses_and_an_unknown_one_is_refused() {
        let words = |text: &str| vec![text.to_owned()];
        let found = chosen(all_generators(&[]), &words("TWISTER"), |g| &g.name, "generator").unwrap();
        assert_eq!(found.len(), 1);
        let error = chosen(all_generators(&[]), &words("enigma"), |g| &g.name, "generator").err().unwrap();
        assert!(error.starts_with("there is no generator \"enigma\"; there are "), "{error}");
    }

    #[test]
    fn every_suite_of_the_gateway_can_be_measured() {
        let names: Vec<String> = all_suites().into_iter().map(|suite| suite.name).collect();
        for suite in seal::Suite::ALL {
            assert!(names.contains(&format!("{suite}, as sealed")), "{suite}: {names:?}");
            let alone = names.contains(&format!("{suite}, inner layer alone"));
            assert_eq!(alone, suite.inner().is_some(), "{suite}");
        }
    }

    #[test]
    fn something_of_this_project_is_always_measured() {
        assert!(all_generators(&[]).iter().any(|generator| generator.role == Role::Ours));
        assert!(all_suites().iter().any(|suite| suite.role == Role::Ours));
    }
}
