//! Takes all measures of generators and suites, and puts them into a report.

mod images;
mod imitation;
mod keys;
mod space;
mod words;

use super::{Report, Verdict};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::Raster;
use crate::evaluate::source::{Comparison, Source};

/// Bytes of one key image: 256 x 256 x 3.
pub(super) const KEY_BYTES: usize = 256 * 256 * 3;

/// Whose generator or suite it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of this project.
    Ours,
    /// A well-known one, to compare with.
    Compared,
    /// Weak on purpose, to see that the report catches it.
    Weak,
}

impl Role {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "of this project",
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
            _ => None,
        };
        let role = if Comparison::WEAK.contains(&source) { Role::Weak } else { Role::Compared };
        Self {
            name: source.name().to_owned(),
            role,
            secret_bits: source.secret_bits(),
            method,
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
        Self { name: format!("XOR, {name}"), role, encrypt: Box::new(apply), decrypt: Box::new(apply) }
    }
}

/// An image with the name it has in tables.
pub struct Named {
    /// Its name.
    pub name: String,
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

/// Takes every measure. `facts` stand at the top; `progress` hears of every step.
pub fn build(
    facts: Vec<(String, String)>,
    generators: &[Generator<'_>],
    suites: &[Suite<'_>],
    images: &[Named],
    options: Options,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Report, EvaluateError> {
    let per_generator = options.sequences as u64 + 2;
    progress(Step::Total(generators.len() as u64 * per_generator + (suites.len() * images.len()) as u64));
    let mut verdicts = Vec::new();
    let mut measured = Vec::new();
    for generator in generators {
        progress(Step::Doing(generator.name.clone()));
        let found = keys::measure(generator, options, progress)?;
        verdicts.push(Verdict {
            subject: format!("Key stream: {}", generator.name),
            role: generator.role,
            findings: found.findings.clone(),
        });
        measured.push(found);
    }
    let mut sections = Vec::new();
    if !generators.is_empty() {
        sections.push(keys::section(generators, &measured, options));
        sections.push(keys::suite_section(generators, &measured, options));
        sections.push(keys::entropy_section(generators, &measured));
    }
    let mut trials = Vec::new();
    for suite in suites.iter().filter(|_| !images.is_empty()) {
        progress(Step::Doing(suite.name.clone()));
        let found = images::measure(suite, images, options, progress)?;
        verdicts.push(Verdict {
            subject: format!("Suite: {}", suite.name),
            role: suite.role,
            findings: found.findings.clone(),
        });
        trials.push(found);
    }
    if !trials.is_empty() {
        sections.push(images::section(suites, &trials, images, options));
        sections.push(images::difference_section(suites, &trials));
        sections.push(images::damage_section(suites, &trials));
    }
    if let Some(first) = images.first() {
        sections.extend(imitation::section(generators, first, options)?);
    }
    sections.push(space::section(generators));
    sections.push(words::section());
    Ok(Report { title: "What the figures say, and what they do not".to_owned(), facts, verdicts, sections })
}
