//! Generators of key images to be measured: as the gateway feeds them, and as the paper does.

use std::sync::Arc;

use serde_json::Value;

use super::EvaluateError;
use super::report::{Generator, Role};
use super::seeded::Seeded;
use super::source::Source;
use crate::keygen::{Ending, Engine, Exact, GeneratorId, KeyImage, KeygenError, Kind, Model, Seed};

/// A generator at work, and what its training record says of it.
pub struct Trained {
    name: String,
    kind: Kind,
    /// What it was trained on, where a record says so.
    domain: Option<String>,
    iterations: Option<u64>,
    engine: Exact,
}

/// What two generators have in common: what an attacker knows who trains the second to get at the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// The weights themselves.
    Weights,
    /// Transformation domain and structure.
    Both,
    /// The transformation domain.
    Domain,
    /// The structure.
    Structure,
    /// Neither.
    Nothing,
}

impl Shared {
    /// In the paper's words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "the weights",
            Self::Both => "transformation domain and structure",
            Self::Domain => "transformation domain",
            Self::Structure => "structure",
            Self::Nothing => "nothing",
        }
    }
}

impl Trained {
    /// Starts the exact engine on all cores.
    pub fn new(name: impl Into<String>, model: &Model) -> Result<Self, KeygenError> {
        let record: Value = serde_json::from_str(model.provenance()).unwrap_or_default();
        let training = &record["training"];
        let domain = training["transformation_domain"].as_str().map(|recipe| {
            // The digest in the record depends on the order of the images, so their number stands for them.
            format!("{recipe}; {} images", training["images"])
        });
        Ok(Self {
            name: name.into(),
            kind: model.kind(),
            domain,
            iterations: training["iterations"].as_u64(),
            engine: Exact::new(model, 0)?,
        })
    }

    /// Its name in tables.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> GeneratorId {
        self.engine.id()
    }

    /// What it was trained on, where a record says so.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// How long it was trained, in words.
    #[must_use]
    pub fn training(&self) -> String {
        match self.iterations {
            Some(iterations) => format!("for {iterations} of the paper's 20,000 iterations"),
            None => "for none: its weights are as they were drawn".to_owned(),
        }
    }

    /// What somebody knows of the other who has this one.
    #[must_use]
    pub fn shares_with(&self, other: &Self) -> Shared {
        let domain = self.domain.is_some() && self.domain == other.domain;
        match (domain, self.kind == other.kind) {
            _ if self.id() == other.id() => Shared::Weights,
            (true, true) => Shared::Both,
            (true, false) => Shared::Domain,
            (false, true) => Shared::Structure,
            (false, false) => Shared::Nothing,
        }
    }

    /// The key image of any picture of 256 x 256 x 3 bytes.
    pub fn key_of(&self, picture: &[u8], ending: Ending) -> Result<Vec<u8>, EvaluateError> {
        let key = self.engine.transform(picture, ending).map_err(|_| EvaluateError::Samples {
            shape: "a seed image of 256 x 256 x 3".to_owned(),
            needed: KeyImage::LENGTH,
            found: picture.len(),
        })?;
        Ok(key.expose_secret().to_vec())
    }

    /// The key image of a seed, expanded as the gateway does.
    #[must_use]
    pub fn key_of_seed(&self, seed: &Seed, ending: Ending) -> Vec<u8> {
        self.key_of(&seed.expand(), ending).expect("an expanded seed has the size of a seed image")
    }
}

/// The seed that a number stands for.
#[must_use]
pub fn seed_of(number: u64) -> Seed {
    let mut seed = [0; 32];
    Seeded::new(number).fill(&mut seed);
    Seed::new(seed)
}

/// A generator's key images, one after the other: `Fold` is what the gateway makes, `Tanh` what the paper's network does.
#[must_use]
pub fn key_images(trained: &Arc<Trained>, ending: Ending) -> Generator<'static> {
    let trained = Arc::clone(trained);
    let published = ending == Ending::Tanh;
    let name = if published { "DeepKeyGen as published" } else { "DeepKeyGen" };
    Generator {
        name: format!("{name}, {}", trained.name),
        role: if published { Role::Published } else { Role::Ours },
        secret_bits: 256.0,
        method: published.then_some("DeepKeyGen"),
        repeatable: true,
        open: Box::new(move |seed| {
            Box::new(KeyImages {
                trained: Arc::clone(&trained),
                ending,
                seed: seed_of(seed),
                number: 0,
                rest: Vec::new(),
            })
        }),
    }
}

struct KeyImages {
    trained: Arc<Trained>,
    ending: Ending,
    seed: Seed,
    number: u64,
    /// What is left of the last image.
    rest: Vec<u8>,
}

impl Source for KeyImages {
    fn fill(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.rest.is_empty() {
                self.rest = self.trained.key_of_seed(&self.seed.child(self.number), self.ending);
                self.number += 1;
            }
            let length = bytes.len().min(self.rest.len());
            let (now, later) = bytes.split_at_mut(length);
            now.copy_from_slice(&self.rest[..length]);
            self.rest.drain(..length);
            bytes = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lite(seed: u8) -> Arc<Trained> {
        let model = Model::drawn(Kind::Lite, seed).unwrap();
        Arc::new(Trained::new(format!("lite {seed}"), &model).unwrap())
    }

    #[test]
    fn a_stream_of_key_images_goes_on_where_it_was() {
        let generator = key_images(&lite(1), Ending::Fold);
        let mut whole = vec![0; KeyImage::LENGTH + 100];
        (generator.open)(4).fill(&mut whole);
        let mut source = (generator.open)(4);
        let mut parts = vec![0; whole.len()];
        parts.chunks_mut(70_001).for_each(|part| source.fill(part));
        assert!(whole == parts);
        assert!(whole[..100] != whole[KeyImage::LENGTH..], "no key image comes twice");
    }

    #[test]
    fn what_two_generators_share_is_told_by_their_records() {
        let (a, b) = (lite(1), lite(2));
        assert_eq!((a.shares_with(&b), a.shares_with(&a)), (Shared::Structure, Shared::Weights));
        let with = |kind, domain: &str| Trained {
            name: String::new(),
            kind,
            domain: Some(domain.to_owned()),
            iterations: Some(7),
            engine: Exact::new(&Model::drawn(kind, kind as u8 + domain.len() as u8).unwrap(), 1).unwrap(),
        };
        let first = with(Kind::Lite, "x");
        assert_eq!(first.shares_with(&with(Kind::Lite, "other")), Shared::Structure);
        assert_eq!(first.shares_with(&with(Kind::Full, "x")), Shared::Domain);
        assert_eq!(first.shares_with(&with(Kind::Full, "other")), Shared::Nothing);
        assert_eq!(a.shares_with(&Trained { domain: None, ..with(Kind::Full, "x") }), Shared::Nothing);
    }
}
