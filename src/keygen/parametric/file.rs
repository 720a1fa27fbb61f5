//! The file of a network: integer weights and where they come from, checked in full before anything runs with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use super::run::Runner;
use super::topology::{Convolution, Topology};
use crate::keygen::fields::Fields;
use crate::keygen::model::{ACCUMULATOR_LIMIT, accumulator_max};
use crate::keygen::{GeneratorId, KeygenError, PROVENANCE_BYTES_MAX};

const MAGIC: &[u8; 12] = b"sealgate-net";
const VERSION: u16 = 1;
const DIGEST_BYTES: usize = 32;
/// Longest file that is read at all: both networks are below 200,000 bytes without their provenance.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Numbers that a network gives.
pub(crate) const OUTPUTS: usize = 6;
/// Bits of each.
pub(crate) const OUTPUT_BITS: u32 = 24;
/// Knots of the curve that the outputs end in.
pub(crate) const KNOTS: usize = 257;
/// What no mean reaches.
const MEAN_LIMIT: u32 = 1 << 24;

/// A network: its topology, its integer weights, and their provenance. Exists only when every check has passed.
pub struct Network {
    id: GeneratorId,
    topology: Topology,
    provenance: String,
    numbers: Numbers,
    pub(super) runner: Runner,
}

/// All numbers of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) layers: Vec<Layer>,
    pub(crate) head: Head,
}

/// Those of one convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// What an added activation counts, over 2^32.
    pub(crate) carry: u32,
    /// For each output, what is taken off its accumulator.
    pub(crate) mean: Vec<i32>,
    /// And what the rest is multiplied with, over 2^32.
    pub(crate) factor: Vec<u32>,
    /// Order: output, input, row, column.
    pub(crate) weights: Vec<i8>,
}

/// Those of the last layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) mean: [i32; OUTPUTS],
    /// Over 2^16.
    pub(crate) factor: [u32; OUTPUTS],
    /// Order: output, feature.
    pub(crate) weights: Vec<i8>,
    /// From 0 to 2^24 - 1, never falling.
    pub(crate) curve: Vec<u32>,
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, KeygenError> {
    Err(KeygenError::Network(reason.into()))
}

impl Network {
    /// Puts a network together and checks it like one that was read.
    pub(crate) fn new(topology: Topology, provenance: &str, numbers: &Numbers) -> Result<Self, KeygenError> {
        Self::parse(&write(topology, provenance, numbers))
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, KeygenError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(KeygenError::file("reading", path))?;
        Self::parse(&bytes)
    }

    /// The network in the bytes of a file.
    pub fn parse(file: &[u8]) -> Result<Self, KeygenError> {
        if file.len() as u64 > FILE_BYTES_MAX {
            return refuse(format!("more than {FILE_BYTES_MAX} bytes"));
        }
        let (Some((body, stated)), true) = (file.split_last_chunk::<DIGEST_BYTES>(), file.starts_with(MAGIC))
        else {
            return refuse("it does not begin like the file of a network");
        };
        if digest(&SHA256, body).as_ref() != stated || body.len() < MAGIC.len() {
            return refuse("the file is damaged, its digest does not match its content");
        }
        let mut fields = Fields::new(&body[MAGIC.len()..], KeygenError::Network);
        let (version, number) = (fields.u16()?, fields.u16()?);
        if version != VERSION {
            return refuse(format!("version {version}, this is for version {VERSION}"));
        }
        let Some(topology) = Topology::ALL.into_iter().find(|topology| number_of(*topology) == number) else {
            return refuse(format!("topology {number} is unknown"));
        };
        let length = fields.u32()? as usize;
        if length > PROVENANCE_BYTES_MAX {
            return refuse(format!("a provenance of {length} bytes, the limit is {PROVENANCE_BYTES_MAX}"));
        }
        let provenance = String::from_utf8(fields.take(length)?.to_vec()).unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(&provenance) {
            Ok(value) if value.is_object() => {}
            _ => return refuse("the provenance is no JSON object"),
        }
        let convolutions = topology.convolutions();
        let layers = convolutions.iter().map(|c| Layer::read(&mut fields, c)).collect::<Result<_, _>>()?;
        let head = Head::read(&mut fields, topology.features())?;
        if fields.left() > 0 {
            return refuse(format!("{} bytes behind the last layer", fields.left()));
        }
        let numbers = Numbers { layers, head };
        let runner = Runner::new(topology, &numbers);
        Ok(Self { id: GeneratorId::of(file), topology, provenance, numbers, runner })
    }

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self.topology, &self.provenance, &self.numbers)
    }

    /// The same network with another record.
    pub(crate) fn with_provenance(&self, provenance: &str) -> Result<Self, KeygenError> {
        Self::new(self.topology, provenance, &self.numbers)
    }

    /// Its name: the digest of its file.
    #[must_use]
    pub const fn id(&self) -> GeneratorId {
        self.id
    }

    /// Which network it is.
    #[must_use]
    pub const fn topology(&self) -> Topology {
        self.topology
    }

    /// Where its weights come from, a JSON object.
    #[must_use]
    pub fn provenance(&self) -> &str {
        &self.provenance
    }

    pub(super) const fn numbers(&self) -> &Numbers {
        &self.numbers
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("topology", &self.topology)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

const fn number_of(topology: Topology) -> u16 {
    match topology {
        Topology::ResNet18 => 1,
        Topology::MobileNetV2 => 2,
    }
}

fn write(topology: Topology, provenance: &str, numbers: &Numbers) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_be_bytes());
    out.extend(number_of(topology).to_be_bytes());
    out.extend(u32::try_from(provenance.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(provenance.as_bytes());
    let Numbers { layers, head } = numbers;
    for layer in layers {
        out.extend(layer.carry.to_be_bytes());
        out.extend(layer.mean.iter().flat_map(|value| value.to_be_bytes()));
        out.extend(layer.factor.iter().flat_map(|value| value.to_be_bytes()));
        out.extend(layer.weights.iter().map(|weight| weight.cast_unsigned()));
    }
    out.extend(head.mean.iter().flat_map(|value| value.to_be_bytes()));
    out.extend(head.factor.iter().flat_map(|value| value.to_be_bytes()));
    out.extend(head.weights.iter().map(|weight| weight.cast_unsigned()));
    out.extend(head.curve.iter().flat_map(|value| value.to_be_bytes()));
    let digest = digest(&SHA256, &out);
    out.extend(digest.as_ref());
    out
}

impl Layer {
    fn read(fields: &mut Fields, convolution: &Convolution) -> Result<Self, KeygenError> {
        let carry = fields.u32()?;
        if (carry != 0) != convolution.add.is_some() {
            return refuse(format!("a layer has the carry {carry}"));
        }
        let mean = (0..convolution.outputs).map(|_| read_mean(fields)).collect::<Result<_, _>>()?;
        let factor = (0..convolution.outputs).map(|_| read_factor(fields)).collect::<Result<_, _>>()?;
        let weights = fields.weights(convolution.weights())?;
        for weights in weights.chunks_exact(convolution.weights_each()) {
            check_bound(weights)?;
        }
        Ok(Self { carry, mean, factor, weights })
    }
}

impl Head {
    fn read(fields: &mut Fields, features: usize) -> Result<Self, KeygenError> {
        let (mut mean, mut factor) = ([0; OUTPUTS], [0; OUTPUTS]);
        for mean in &mut mean {
            *mean = fields.u32()?.cast_signed();
        }
        for factor in &mut factor {
            *factor = read_factor(fields)?;
        }
        let weights = fields.weights(OUTPUTS * features)?;
        let curve: Vec<u32> = (0..KNOTS).map(|_| fields.u32()).collect::<Result<_, _>>()?;
        if !curve.is_sorted() || curve.iter().any(|knot| *knot >= 1 << OUTPUT_BITS) {
            return refuse("the curve of its outputs falls, or ends too high");
        }
        Ok(Self { mean, factor, weights, curve })
    }
}

fn check_bound(weights: &[i8]) -> Result<(), KeygenError> {
    let largest = accumulator_max(weights, 0);
    if largest < ACCUMULATOR_LIMIT {
        return Ok(());
    }
    refuse(format!("an accumulator could reach {largest}, the limit is {ACCUMULATOR_LIMIT}"))
}

fn read_mean(fields: &mut Fields) -> Result<i32, KeygenError> {
    let mean = fields.u32()?.cast_signed();
    if mean.unsigned_abs() < MEAN_LIMIT { Ok(mean) } else { refuse(format!("a layer has the mean {mean}")) }
}

fn read_factor(fields: &mut Fields) -> Result<u32, KeygenError> {
    let factor = fields.u32()?;
    if (1..1 << 31).contains(&factor) {
        return Ok(factor);
    }
    refuse(format!("a layer has the factor {factor}"))
}
