//! Takes all measures of generators and suites, and puts them into a report.

mod beside;
mod drawings;
mod images;
mod imitation;
mod keys;
mod one_pixel;
mod phantom;
mod pictures;
mod space;
mod study;
mod times;
mod words;

use std::sync::Arc;

use super::{Report, Section, Verdict};
use crate::evaluate::EvaluateError;
use crate::evaluate::finding::Finding;
use crate::evaluate::image::Raster;
use crate::evaluate::source::{Comparison, Source};
use crate::evaluate::trained::Trained;
use crate::keygen::Study;

/// Bytes of one key image: 256 x 256 x 3.
pub(super) const KEY_BYTES: usize = 256 * 256 * 3;

/// Whose generator or suite it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of this project.
    Ours,
    /// A part of this project that nothing rests on.
    Layer,
    /// As a paper describes it.
    Published,
    /// A well-known one, to compare with.
    Compared,
    /// Weak on purpose, to see that the report catches it.
    Weak,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ours, Self::Layer, Self::Published, Self::Compared, Self::Weak];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "of this project",
            Self::Layer => "of this project, never without the seal over it",
            Self::Published => "as published, for comparison only",
            Self::Compared => "for comparison only",
            Self::Weak => "weak on purpose, and has to be caught",
        }
    }
}

/// How a generator's stream is opened from a seed.
pub type Open<'a> = Box<dyn Fn(u64) -> Box<dyn Source> + Sync + 'a>;

/// A source of key streams.
pub struct Generator<'a> {
    /// Its name in tables.
    pub name: String,
    /// Whose it is.
    pub role: Role,
    /// The bits of secret that go into a stream.
    pub secret_bits: f64,
    /// Its name in the tables of the DeepKeyGen paper, where it stands there.
    pub method: Option<&'static str>,
    /// Whether the same seed gives the same stream.
    pub repeatable: bool,
    /// Opens a stream.
    pub open: Open<'a>,
}

impl From<Comparison> for Generator<'static> {
    fn from(source: Comparison) -> Self {
        let method = match source {
            Comparison::Chaotic => Some("Chaotic System"),
            Comparison::Lcg => Some("LCG"),
            Comparison::MersenneTwister => Some("Mersenne Twister"),
            Comparison::Rc4 => Some("RC4"),
            Comparison::Rsa => Some("RSA"),
            _ => None,
        };
        let role = if Comparison::WEAK.contains(&source) { Role::Weak } else { Role::Compared };
        Self {
            name: source.name().to_owned(),
            role,
            secret_bits: source.secret_bits(),
            method,
            repeatable: source != Comparison::OperatingSystem,
            open: Box::new(move |seed| source.open(seed)),
        }
    }
}

/// Bytes in, bytes out, under the key of this number; the reason when it is refused.
pub type Transform<'a> = Box<dyn Fn(&[u8], u64) -> Result<Vec<u8>, String> + Sync + 'a>;

/// A way to encrypt pixels. Keys have numbers: another number is another key.
pub struct Suite<'a> {
    /// Its name in tables.
    pub name: String,
    /// Whose it is.
    pub role: Role,
    /// Whether the same number gives the same ciphertext.
    pub repeatable: bool,
    /// Encrypts; what comes out may be longer.
    pub encrypt: Transform<'a>,
    /// Decrypts, or refuses.
    pub decrypt: Transform<'a>,
}

impl Suite<'static> {
    /// XOR with a source's stream, each key number another seed, as the papers use their keys.
    #[must_use]
    pub fn xor(source: Comparison) -> Self {
        Self::xor_with(source, source.name(), |number| number)
    }

    /// The same, but every image is encrypted with the same stream.
    #[must_use]
    pub fn xor_reusing(source: Comparison) -> Self {
        Self::xor_with(source, "Weak: one key for all images", |_| 0)
    }

    fn xor_with(source: Comparison, name: &str, seed_of: fn(u64) -> u64) -> Self {
        let apply = move |bytes: &[u8], number: u64| {
            let mut stream = vec![0; bytes.len()];
            source.open(0x5ea1 + seed_of(number)).fill(&mut stream);
            stream.iter_mut().zip(bytes).for_each(|(s, b)| *s ^= b);
            Ok(stream)
        };
        let weak = Comparison::WEAK.contains(&source) || name.starts_with("Weak");
        let role = if weak { Role::Weak } else { Role::Compared };
        let repeatable = source != Comparison::OperatingSystem;
        let (encrypt, decrypt) = (Box::new(apply), Box::new(apply));
        Self { name: format!("XOR, {name}"), role, repeatable, encrypt, decrypt }
    }
}

/// An image with the name it has in tables.
pub struct Named {
    /// Its name.
    pub name: String,
    /// Modality (0008,0060), if it says.
    pub modality: Option<String>,
    /// The pixels.
    pub image: Raster,
}

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where all sampling starts.
    pub seed: u64,
    /// Sequences for SP 800-22.
    pub sequences: usize,
    /// The bits of each.
    pub bits: usize,
    /// Whether the page shows pictures of the images in clear.
    pub clear_pictures: bool,
}

/// What the report is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many steps in all.
    Total(u64),
    /// It has begun with this.
    Doing(String),
    /// One step is done.
    Done,
}

/// What is to be measured.
pub struct Inputs<'a> {
    /// Remarks at the top, the same for the same command.
    pub facts: Vec<(String, String)>,
    /// When and where; on the page alone.
    pub circumstances: Vec<(String, String)>,
    /// Sources of key streams.
    pub generators: &'a [Generator<'a>],
    /// Ways to encrypt.
    pub suites: &'a [Suite<'a>],
    /// Generators of key images, for the attacks on them.
    pub models: &'a [Arc<Trained>],
    /// Images to encrypt.
    pub images: &'a [Named],
    /// A study of hyperparameters, to stand beside the published one.
    pub study: Option<&'a Study>,
}

impl Inputs<'_> {
    /// How many steps the report takes.
    fn steps(&self, options: Options) -> u64 {
        let of_generators = self.generators.len() * (options.sequences + 2);
        let of_suites = self.suites.len() * self.images.len();
        let beside = beside::suites(self.suites).count() * self.images.len();
        let timed = if self.images.is_empty() { 0 } else { beside::suites(self.suites).count() };
        (of_generators + of_suites + beside + timed + one_pixel::models(self.models).len()) as u64
    }
}

/// Takes every measure; `progress` hears of every step.
pub fn build(
    inputs: &Inputs<'_>,
    options: Options,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Report, EvaluateError> {
    progress(Step::Total(inputs.steps(options)));
    let (mut verdicts, mut sections) = (Vec::new(), Vec::new());
    let mut measured = Vec::new();
    for generator in inputs.generators {
        progress(Step::Doing(generator.name.clone()));
        let found = keys::measure(generator, options, progress)?;
        verdicts.push(verdict("Key stream", &generator.name, generator.role, &found.findings));
        measured.push(found);
    }
    if !inputs.generators.is_empty() {
        sections.push(keys::section(inputs.generators, &measured, options));
        sections.push(keys::suite_section(inputs.generators, &measured, options));
        sections.push(keys::entropy_section(inputs.generators, &measured));
    }
    let one_pixel = one_pixel::measure(inputs.models, inputs.images, options, progress)?;
    sections.extend(one_pixel::section(&one_pixel));
    if !inputs.images.is_empty() && !inputs.suites.is_empty() {
        image_sections(inputs, options, progress, &mut verdicts, &mut sections)?;
    }
    sections.extend(imitation::section(inputs.models, options)?);
    sections.extend(pictures::section(inputs, options)?);
    sections.push(study::section(inputs.study));
    sections.push(space::section(inputs.generators));
    sections.push(words::section(&one_pixel, inputs.generators, &measured));
    let title = "What the figures say, and what they do not".to_owned();
    let (mut facts, circumstances) = (inputs.facts.clone(), inputs.circumstances.clone());
    facts.extend(unrepeatable(inputs).map(|names| ("Differ from run to run".to_owned(), names)));
    Ok(Report { title, facts, circumstances, verdicts, sections })
}

/// Those that draw from the operating system: their figures are others each time.
fn unrepeatable(inputs: &Inputs<'_>) -> Option<String> {
    let generators = inputs.generators.iter().filter(|one| !one.repeatable).map(|one| one.name.as_str());
    let suites = inputs.suites.iter().filter(|one| !one.repeatable && !inputs.images.is_empty());
    let names: Vec<&str> = generators.chain(suites.map(|one| one.name.as_str())).collect();
    (!names.is_empty()).then(|| format!("figures of {}", names.join("; ")))
}

fn verdict(what: &str, name: &str, role: Role, findings: &[Finding]) -> Verdict {
    Verdict { subject: format!("{what}: {name}"), role, findings: findings.to_vec() }
}

/// Everything that is measured of encrypted images.
fn image_sections(
    inputs: &Inputs<'_>,
    options: Options,
    progress: &(dyn Fn(Step) + Sync),
    verdicts: &mut Vec<Verdict>,
    sections: &mut Vec<Section>,
) -> Result<(), EvaluateError> {
    let (suites, images) = (inputs.suites, inputs.images);
    let mut trials = Vec::new();
    for suite in suites {
        progress(Step::Doing(suite.name.clone()));
        let found = images::measure(suite, images, options, progress)?;
        verdicts.push(verdict("Suite", &suite.name, suite.role, &found.findings));
        trials.push(found);
    }
    sections.push(images::section(suites, &trials, images, options));
    sections.push(images::difference_section(suites, &trials));
    sections.push(images::damage_section(suites, &trials));
    sections.extend(beside::section(suites, images, options, progress)?);
    sections.extend(times::section(suites, progress)?);
    Ok(())
}
