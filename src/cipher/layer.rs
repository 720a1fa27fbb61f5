//! What every inner layer offers, and where one is had from: by its kind, its seed and, on opening, its parameters.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::chaos::{BLOCK_BYTES, Chaos, Direction, Map, PARAMETER_BYTES, Parameters};
use super::dual::{self, DualKeys, DualOpener, DualSealer};
use super::error::CipherError;
use super::neural::NeuralStream;
use crate::keygen::{Engines, GeneratorId, KeyImage, Network, Topology};

/// Bytes that a layer holds back at most: what comes out of one push is no longer than what went in and these.
pub const HELD_BYTES_MAX: usize = BLOCK_BYTES;

/// An inner layer at work on one stream, in one direction.
pub trait Layer: Send {
    /// Turns the next bytes, of which there may be any number, and puts what they become behind what `out` has.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError>;

    /// The stream is over: puts what was held back behind what `out` has.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CipherError>;
}

/// An opener of an inner layer that takes units out of the middle, each by itself.
pub trait Units: Send {
    /// Opens unit `number`, which is the `last` of the stream or not, and puts what it was behind what `out` has. `before` are
    /// the bytes that stand before it, [`Kind::lead_bytes`] of them; none for unit 0.
    fn open(
        &mut self,
        number: u64,
        before: &[u8],
        unit: Unit<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError>;
}

/// One unit of a stream under an inner layer.
#[derive(Debug, Clone, Copy)]
pub enum Unit<'a> {
    /// As long as [`Kind::unit_bytes`] says, with others behind it.
    Whole(&'a [u8]),
    /// The end of the stream.
    Last(&'a [u8]),
}

impl<'a> Unit<'a> {
    /// Its bytes.
    pub(super) const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Whole(bytes) | Self::Last(bytes) => bytes,
        }
    }
}

/// The inner layers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// XOR with key images of a generator, each of which is used once.
    NeuralStream,
    /// Blocks permuted and masked by a chaotic map, whose parameters a network reads off the metadata.
    Chaos(Map, Topology),
    /// Permutation, diffusion and an AES with S-boxes of its own, from chaos, under a key of the site and one of the stream.
    Dual,
}

impl Kind {
    /// Whether sealing needs the instance's metadata.
    #[must_use]
    pub const fn reads_metadata(self) -> bool {
        matches!(self, Self::Chaos(..))
    }

    /// Bytes of the parameters that an opener needs beside the seed.
    #[must_use]
    pub const fn parameter_bytes(self) -> usize {
        match self {
            // The generator's id.
            Self::NeuralStream => 32,
            Self::Chaos(..) => PARAMETER_BYTES,
            Self::Dual => dual::PARAMETER_BYTES,
        }
    }

    /// Bytes of a unit: what can be opened by itself, without what stands before it.
    #[must_use]
    pub const fn unit_bytes(self) -> usize {
        match self {
            Self::NeuralStream => KeyImage::LENGTH,
            Self::Chaos(..) => BLOCK_BYTES,
            Self::Dual => dual::UNIT_BYTES,
        }
    }

    /// Bytes before a unit that it takes to open it.
    #[must_use]
    pub const fn lead_bytes(self) -> usize {
        match self {
            Self::NeuralStream | Self::Chaos(..) => 0,
            Self::Dual => dual::LEAD_BYTES,
        }
    }
}

/// What an inner layer follows from, made for one stream and never for another. Erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LayerSeed([u8; 32]);

impl LayerSeed {
    /// The seed with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for an inner layer and nothing else.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for LayerSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LayerSeed(secret)")
    }
}

/// Where inner layers are had from. Cheap to clone.
#[derive(Clone, Default)]
pub struct Layers {
    engines: Option<Arc<Engines>>,
    dual: Arc<DualKeys>,
}

impl Layers {
    /// Those that these generators make possible.
    #[must_use]
    pub fn new(engines: Arc<Engines>) -> Self {
        Self { engines: Some(engines), dual: Arc::default() }
    }

    /// The same with the site's dual keys.
    #[must_use]
    pub fn with_dual(self, keys: DualKeys) -> Self {
        Self { dual: Arc::new(keys), ..self }
    }

    /// None: what has an inner layer is neither sealed nor opened.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A layer to seal with, and the parameters that its opener will need. `metadata` is what the instance says of itself,
    /// for a layer that reads it.
    pub fn to_seal(
        &self,
        kind: Kind,
        seed: &LayerSeed,
        metadata: &[u8],
    ) -> Result<(Vec<u8>, Box<dyn Layer>), CipherError> {
        match kind {
            Kind::Chaos(map, topology) => {
                let reading = self.network(map, topology)?.read(metadata);
                let parameters = Parameters::mix(map, &reading, seed);
                let bytes = parameters.to_bytes().to_vec();
                Ok((bytes, Box::new(Chaos::new(parameters, seed, Direction::Seal))))
            }
            Kind::NeuralStream => {
                let engines = self.engines()?;
                let engine = engines.current()?;
                let parameters = engine.id().as_bytes().to_vec();
                Ok((parameters, Box::new(NeuralStream::new(engine, seed, engines.batch_max()))))
            }
            Kind::Dual => {
                let (parameters, layer) = DualSealer::new(&self.dual, seed)?;
                Ok((parameters, Box::new(layer)))
            }
        }
    }

    /// The layer that opens what was sealed with this seed and these parameters.
    pub fn to_open(
        &self,
        kind: Kind,
        parameters: &[u8],
        seed: &LayerSeed,
    ) -> Result<Box<dyn Layer>, CipherError> {
        match kind {
            Kind::Chaos(map, _) => Ok(Box::new(chaos_opener(map, parameters, seed)?)),
            Kind::NeuralStream => Ok(Box::new(self.neural_opener(kind, parameters, seed)?)),
            Kind::Dual => Ok(Box::new(DualOpener::new(&self.dual, seed, parameters)?)),
        }
    }

    /// The same, for units out of the middle.
    pub fn to_open_units(
        &self,
        kind: Kind,
        parameters: &[u8],
        seed: &LayerSeed,
    ) -> Result<Box<dyn Units>, CipherError> {
        match kind {
            Kind::Chaos(map, _) => Ok(Box::new(chaos_opener(map, parameters, seed)?)),
            Kind::NeuralStream => Ok(Box::new(self.neural_opener(kind, parameters, seed)?)),
            Kind::Dual => Ok(Box::new(DualOpener::new(&self.dual, seed, parameters)?)),
        }
    }

    fn neural_opener(
        &self,
        kind: Kind,
        parameters: &[u8],
        seed: &LayerSeed,
    ) -> Result<NeuralStream, CipherError> {
        let wrong = |_| CipherError::Parameters { found: parameters.len(), expected: kind.parameter_bytes() };
        let id = GeneratorId::new(parameters.try_into().map_err(wrong)?);
        let engines = self.engines()?;
        Ok(NeuralStream::new(engines.of(id)?, seed, engines.batch_max()))
    }

    /// Starts what sealing with such a layer needs, so that what is missing is told before an image comes.
    pub fn prepare(&self, kind: Kind) -> Result<(), CipherError> {
        match kind {
            Kind::NeuralStream => Ok(self.engines()?.current().map(drop)?),
            Kind::Chaos(map, topology) => self.network(map, topology).map(drop),
            Kind::Dual => self.dual.current().map(drop),
        }
    }

    /// The network that reads the parameters of a map.
    fn network(&self, map: Map, topology: Topology) -> Result<Arc<Network>, CipherError> {
        let suite = match (map, topology) {
            (Map::Logistic, Topology::ResNet18) => "logistic-resnet18",
            (Map::Logistic, Topology::MobileNetV2) => "logistic-mobilenetv2",
            (Map::Lorenz, Topology::ResNet18) => "lorenz-resnet18",
            (Map::Lorenz, Topology::MobileNetV2) => "lorenz-mobilenetv2",
        };
        Ok(self.engines()?.networks().of(suite, topology)?)
    }

    fn engines(&self) -> Result<&Engines, CipherError> {
        self.engines.as_deref().ok_or(CipherError::NoGenerators)
    }
}

fn chaos_opener(map: Map, parameters: &[u8], seed: &LayerSeed) -> Result<Chaos, CipherError> {
    Ok(Chaos::new(Parameters::parse(map, parameters)?, seed, Direction::Open))
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.engines.is_some() { "Layers(with generators)" } else { "Layers(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::Config;

    #[test]
    fn without_generators_nothing_is_sealed_or_opened_with_a_keystream() {
        let seed = LayerSeed::new([1; 32]);
        let (none, kind) = (Layers::none(), Kind::NeuralStream);
        assert!(matches!(none.to_seal(kind, &seed, &[]), Err(CipherError::NoGenerators)));
        assert!(matches!(none.to_open(kind, &[0; 32], &seed), Err(CipherError::NoGenerators)));
    }

    #[test]
    fn a_generator_that_is_missing_is_named_by_its_id() {
        let config = Config { folder: "/nonexistent".into(), ..Config::default() };
        let layers = Layers::new(Arc::new(Engines::new(&config)));
        let open = |parameters: &[u8]| {
            layers.to_open(Kind::NeuralStream, parameters, &LayerSeed::new([1; 32])).err().unwrap()
        };
        let error = open(&[0xAB; 32]);
        assert!(error.to_string().contains(&"ab".repeat(32)), "{error}");
        assert!(error.advice().contains("generator import"), "{}", error.advice());
        assert_eq!(
            open(&[0; 31]).to_string(),
            "the inner layer has 31 bytes of parameters, 32 were expected"
        );
    }

    #[test]
    fn nothing_of_a_seed_is_printed() {
        assert_eq!(format!("{:?}", LayerSeed::new([7; 32])), "LayerSeed(secret)");
    }
}
