//! The model file: integer weights and where they come from, checked in full before anything runs with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use super::error::KeygenError;
use super::fields::Fields;
use super::id::GeneratorId;
use super::network::{Kind, LAYERS, Post, Shape};

const MAGIC: &[u8; 12] = b"sealgate-gen";
const VERSION: u16 = 1;
const DIGEST_BYTES: usize = 32;
/// Longest provenance, in bytes.
pub const PROVENANCE_BYTES_MAX: usize = 65_536;
/// Longest model file that is read at all: the larger kind with the longest provenance is far below.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Largest gain.
pub(crate) const GAIN_MAX: u32 = 1 << 20;
/// The largest activation.
pub(crate) const ACTIVATION_MAX: i64 = 127;
/// What no accumulator reaches: see section 4.
pub(crate) const ACCUMULATOR_LIMIT: i64 = 1 << 23;

/// A generator: which network, its integer weights, and their provenance. Exists only when every check has passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Model {
    kind: Kind,
    provenance: String,
    layers: Vec<Layer>,
    id: GeneratorId,
}

/// The numbers of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) gain: u32,
    pub(crate) carry: u32,
    pub(crate) depthwise: Option<Depthwise>,
    /// Order: out, in, ky, kx.
    pub(crate) weights: Vec<i8>,
}

/// The depthwise half of a layer of `lite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Depthwise {
    pub(crate) centre: Vec<i32>,
    pub(crate) factor: Vec<u32>,
    /// Order: channel, ky, kx.
    pub(crate) weights: Vec<i8>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A site's own weights are nobody's business.
        f.debug_struct("Model").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, KeygenError> {
    Err(KeygenError::Model(reason.into()))
}

impl Model {
    /// Puts a model together and checks it like one that was read.
    pub(crate) fn new(kind: Kind, provenance: String, layers: Vec<Layer>) -> Result<Self, KeygenError> {
        let mut model = Self { kind, provenance, layers, id: GeneratorId::new([0; 32]) };
        model.check()?;
        model.id = GeneratorId::of(&model.to_bytes());
        Ok(model)
    }

    /// Reads a model file.
    pub fn load(path: &Path) -> Result<Self, KeygenError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(KeygenError::file("reading", path))?;
        Self::parse(&bytes)
    }

    /// The model in the bytes of a file.
    pub fn parse(file: &[u8]) -> Result<Self, KeygenError> {
        if file.len() as u64 > FILE_BYTES_MAX {
            return refuse(format!("more than {FILE_BYTES_MAX} bytes"));
        }
        if !file.starts_with(MAGIC) {
            return refuse("it does not begin like a model file");
        }
        let Some((body, stated)) = file.split_last_chunk::<DIGEST_BYTES>() else {
            return refuse("the file is cut off");
        };
        if digest(&SHA256, body).as_ref() != stated {
            return refuse("the file is damaged, its digest does not match its content");
        }
        let mut fields = Fields::new(&body[MAGIC.len()..], KeygenError::Model);
        let version = fields.u16()?;
        if version != VERSION {
            return refuse(format!("version {version}, this is for version {VERSION}"));
        }
        let number = fields.u16()?;
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.number() == number) else {
            return refuse(format!("kind {number} is unknown"));
        };
        let length = fields.u32()? as usize;
        if length > PROVENANCE_BYTES_MAX {
            return refuse(format!("a provenance of {length} bytes, the limit is {PROVENANCE_BYTES_MAX}"));
        }
        let Ok(provenance) = String::from_utf8(fields.take(length)?.to_vec()) else {
            return refuse("the provenance is no UTF-8");
        };
        let layers = (1_u8..)
            .zip(&LAYERS)
            .map(|(number, shape)| Layer::read(&mut fields, number, shape, kind))
            .collect::<Result<_, _>>()?;
        if fields.left() > 0 {
            return refuse(format!("{} bytes behind the last layer", fields.left()));
        }
        let model = Self { kind, provenance, layers, id: GeneratorId::of(file) };
        model.check()?;
        Ok(model)
    }

    /// The model file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_be_bytes());
        out.extend(self.kind.number().to_be_bytes());
        out.extend(u32::try_from(self.provenance.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(self.provenance.as_bytes());
        for ((number, shape), layer) in (1_u8..).zip(&LAYERS).zip(&self.layers) {
            out.extend(head(number, shape, self.kind));
            layer.write(&mut out);
        }
        let digest = digest(&SHA256, &out);
        out.extend(digest.as_ref());
        out
    }

    /// Its name: the digest of its file.
    #[must_use]
    pub const fn id(&self) -> GeneratorId {
        self.id
    }

    /// Which network it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where its weights come from, a JSON object.
    #[must_use]
    pub fn provenance(&self) -> &str {
        &self.provenance
    }

    /// Each layer with its shape.
    pub(crate) fn layers(&self) -> impl ExactSizeIterator<Item = (&'static Shape, &Layer)> {
        LAYERS.iter().zip(&self.layers)
    }

    fn check(&self) -> Result<(), KeygenError> {
        if self.provenance.len() > PROVENANCE_BYTES_MAX {
            return refuse(format!(
                "a provenance of {} bytes, the limit is {PROVENANCE_BYTES_MAX}",
                self.provenance.len()
            ));
        }
        match serde_json::from_str::<serde_json::Value>(&self.provenance) {
            Ok(value) if value.is_object() => {}
            _ => return refuse("the provenance is no JSON object"),
        }
        if self.layers.len() != LAYERS.len() {
            return refuse(format!("{} layers, {} were expected", self.layers.len(), LAYERS.len()));
        }
        self.layers().try_for_each(|(shape, layer)| layer.check(shape, self.kind))
    }
}

/// The fixed fields at the front of a layer.
fn head(number: u8, shape: &Shape, kind: Kind) -> [u8; 8] {
    let form = u8::from(shape.transposed) + if kind == Kind::Lite { 2 } else { 0 };
    let byte = |value: usize| u8::try_from(value).expect("the shapes are small");
    [number, form, byte(shape.kernel), byte(shape.stride), 0, byte(shape.inputs), 0, byte(shape.outputs)]
}

impl Layer {
    fn read(fields: &mut Fields, number: u8, shape: &Shape, kind: Kind) -> Result<Self, KeygenError> {
        let name = shape.name;
        if fields.take(8)? != head(number, shape, kind) {
            return refuse(format!("layer {number} is not the {name} of a {kind} generator"));
        }
        let (gain, carry) = (fields.u32()?, fields.u32()?);
        let depthwise = match kind {
            Kind::Full => None,
            Kind::Lite => Some(Depthwise::read(fields, shape)?),
        };
        let weights = fields.weights(shape.mixing_weights(kind))?;
        Ok(Self { gain, carry, depthwise, weights })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.gain.to_be_bytes());
        out.extend(self.carry.to_be_bytes());
        if let Some(depthwise) = &self.depthwise {
            out.extend(depthwise.centre.iter().flat_map(|value| value.to_be_bytes()));
            out.extend(depthwise.factor.iter().flat_map(|value| value.to_be_bytes()));
            out.extend(depthwise.weights.iter().map(|weight| weight.cast_unsigned()));
        }
        out.extend(self.weights.iter().map(|weight| weight.cast_unsigned()));
    }

    fn check(&self, shape: &Shape, kind: Kind) -> Result<(), KeygenError> {
        let name = shape.name;
        let gain_fits = match shape.post {
            Post::Fold => self.gain == 0,
            Post::Normalise | Post::Add => (1..=GAIN_MAX).contains(&self.gain),
        };
        if !gain_fits {
            return refuse(format!("{name} has the gain {}", self.gain));
        }
        if (self.carry != 0) != (shape.post == Post::Add) {
            return refuse(format!("{name} has the carry {}", self.carry));
        }
        if self.weights.len() != shape.mixing_weights(kind) {
            return refuse(format!("{name} has {} weights", self.weights.len()));
        }
        let each = shape.inputs * shape.mixing_kernel(kind) * shape.mixing_kernel(kind);
        for (channel, weights) in self.weights.chunks_exact(each).enumerate() {
            check_bound(name, channel, weights, 0)?;
        }
        match (&self.depthwise, kind) {
            (None, Kind::Full) => Ok(()),
            (Some(depthwise), Kind::Lite) => depthwise.check(shape),
            _ => refuse(format!("{name} is not split as a {kind} generator has it")),
        }
    }
}

impl Depthwise {
    fn read(fields: &mut Fields, shape: &Shape) -> Result<Self, KeygenError> {
        let centre = (0..shape.inputs).map(|_| Ok(fields.u32()?.cast_signed())).collect::<Result<_, _>>()?;
        let factor = (0..shape.inputs).map(|_| fields.u32()).collect::<Result<_, _>>()?;
        Ok(Self { centre, factor, weights: fields.weights(shape.depthwise_weights())? })
    }

    fn check(&self, shape: &Shape) -> Result<(), KeygenError> {
        let name = shape.name;
        if self.weights.len() != shape.depthwise_weights()
            || self.centre.len() != shape.inputs
            || self.factor.len() != shape.inputs
        {
            return refuse(format!("the depthwise half of {name} has other sizes"));
        }
        if let Some(factor) = self.factor.iter().find(|factor| !(1..1 << 31).contains(*factor)) {
            return refuse(format!("the depthwise half of {name} has the factor {factor}"));
        }
        let each = shape.kernel * shape.kernel;
        let channels = self.weights.chunks_exact(each).zip(&self.centre).enumerate();
        for (channel, (weights, centre)) in channels {
            check_bound(name, channel, weights, *centre)?;
        }
        Ok(())
    }
}

/// What the largest accumulator of a channel could be: section 4.
pub(crate) fn accumulator_max(weights: &[i8], centre: i32) -> i64 {
    let sum: i64 = weights.iter().map(|weight| i64::from(weight.unsigned_abs())).sum();
    sum * ACTIVATION_MAX + i64::from(centre).abs()
}

fn check_bound(name: &str, channel: usize, weights: &[i8], centre: i32) -> Result<(), KeygenError> {
    let largest = accumulator_max(weights, centre);
    if largest < ACCUMULATOR_LIMIT {
        return Ok(());
    }
    refuse(format!(
        "{name}, channel {channel}: an accumulator could reach {largest}, the limit is {ACCUMULATOR_LIMIT}"
    ))
}

#[cfg(test)]
mod tests;
