//! The plaintext of a stream by position, under its inner layer or without one: only the chunks that are asked for are read.

use std::io::{Read, Seek, SeekFrom};

use zeroize::Zeroizing;

use super::Fault;
use crate::cipher::{Kind, Layers, Unit, Units};
use crate::seal::derive::Binding;
use crate::seal::key::ContentKey;
use crate::seal::layered::layer_seed;
use crate::seal::record::RecordError;
use crate::seal::signature::{SignerKey, context};
use crate::seal::stream::{CHUNK_BYTES, ChunkOpener, PREFIX_BYTES, TAG_BYTES};

/// The records of a stream, by position.
pub(super) enum Plain<R> {
    /// As the stream has them.
    Chunks(ChunkReader<R>),
    /// Under an inner layer.
    Layer(LayerReader<R>),
}

impl<R: Read + Seek> Plain<R> {
    /// Verifies the commitment and the last chunk: that the stream is of this instance, and how long it is.
    pub(super) fn open(
        mut file: R,
        (at, bytes): (u64, u64),
        key: &ContentKey,
        (binding, signer): (&Binding, Option<SignerKey>),
        layers: &Layers,
    ) -> Result<Self, Fault> {
        let context = context(binding, signer);
        let mut prefix = [0; PREFIX_BYTES];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut prefix)?;
        let opener = ChunkOpener::new(key, &context, &prefix, bytes)?;
        let mut chunks = ChunkReader::new(file, at, opener);
        chunks.hold(chunks.opener.last())?;
        Ok(match (binding.suite.inner(), prefix.first_chunk()) {
            (Some(kind), Some(salt)) => {
                let mut parameters = Vec::new();
                chunks.read(0, kind.parameter_bytes(), &mut parameters)?;
                let units = layers.to_open_units(kind, &parameters, &layer_seed(key, salt, &context))?;
                Self::Layer(LayerReader { chunks, units, kind, held: None, unit: Zeroizing::default() })
            }
            _ => Self::Chunks(chunks),
        })
    }

    /// Puts the `length` bytes of the records from `at` on behind what `out` has.
    pub(super) fn read(&mut self, at: u64, length: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Chunks(chunks) => chunks.read(at, length, out),
            Self::Layer(layer) => layer.read(at, length, out),
        }
    }

    /// How many chunks were read, and how many there are.
    pub(super) fn chunks(&self) -> (u64, u64) {
        let (Self::Chunks(chunks) | Self::Layer(LayerReader { chunks, .. })) = self;
        (chunks.opened, chunks.opener.last().saturating_add(1))
    }
}

/// A row of parts of one length, of which the last one may be shorter.
trait Parts {
    /// How long they are.
    fn part_bytes(&self) -> usize;

    /// One of them, counted from 0.
    fn hold(&mut self, number: u64) -> Result<&[u8], Fault>;

    /// Puts the `length` bytes from `at` on behind what `out` has.
    fn read(&mut self, mut at: u64, length: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut left = length;
        while left > 0 {
            let (number, within) = split(at, self.part_bytes());
            let part = self.hold(number)?.get(within..).unwrap_or_default();
            let now =
                part.get(..left.min(part.len())).filter(|now| !now.is_empty()).ok_or(RecordError::NoEnd)?;
            out.extend_from_slice(now);
            left = left.saturating_sub(now.len());
            at = at.saturating_add(now.len() as u64);
        }
        Ok(())
    }
}

/// The chunks of a stream; holds one.
pub(super) struct ChunkReader<R> {
    file: R,
    at: u64,
    opener: ChunkOpener,
    /// Which one is held.
    held: Option<u64>,
    /// Its plaintext, and its tag behind it; erased when dropped.
    chunk: Zeroizing<Vec<u8>>,
    opened: u64,
}

impl<R: Read + Seek> ChunkReader<R> {
    fn new(file: R, at: u64, opener: ChunkOpener) -> Self {
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES.saturating_add(TAG_BYTES)));
        Self { file, at, opener, held: None, chunk, opened: 0 }
    }
}

impl<R: Read + Seek> Parts for ChunkReader<R> {
    fn part_bytes(&self) -> usize {
        CHUNK_BYTES
    }

    /// Reads a chunk and opens it, unless it is the one in hand.
    fn hold(&mut self, number: u64) -> Result<&[u8], Fault> {
        if self.held != Some(number) {
            self.held = None;
            // Behind the last chunk no record can be.
            let (at, length) = self.opener.place(number).ok_or(RecordError::NoEnd)?;
            self.chunk.resize(length, 0);
            self.file.seek(SeekFrom::Start(self.at.saturating_add(at)))?;
            self.file.read_exact(&mut self.chunk)?;
            self.opener.open(number, &mut self.chunk)?;
            self.opened = self.opened.saturating_add(1);
            self.held = Some(number);
        }
        let end = self.chunk.len().saturating_sub(TAG_BYTES);
        Ok(self.chunk.get(..end).unwrap_or_default())
    }
}

/// In which part a position is, and where in it.
fn split(at: u64, part: usize) -> (u64, usize) {
    let number = at.checked_div(part as u64).unwrap_or(0);
    let within = at.saturating_sub(number.saturating_mul(part as u64));
    (number, usize::try_from(within).unwrap_or(usize::MAX))
}

/// What is under an inner layer; holds one unit.
pub(super) struct LayerReader<R> {
    chunks: ChunkReader<R>,
    units: Box<dyn Units>,
    kind: Kind,
    held: Option<u64>,
    /// The unit in hand as it was before the layer; erased when dropped.
    unit: Zeroizing<Vec<u8>>,
}

impl<R: Read + Seek> Parts for LayerReader<R> {
    fn part_bytes(&self) -> usize {
        self.kind.unit_bytes()
    }

    /// Opens a unit, unless it is the one in hand.
    fn hold(&mut self, number: u64) -> Result<&[u8], Fault> {
        if self.held != Some(number) {
            self.held = None;
            let (whole, parameters) = (self.kind.unit_bytes() as u64, self.kind.parameter_bytes() as u64);
            let total = self.chunks.opener.plain_bytes().saturating_sub(parameters);
            let first = number.saturating_mul(whole);
            let left = total.checked_sub(first).filter(|left| *left > 0).ok_or(RecordError::NoEnd)?;
            let lead = if number == 0 { 0 } else { self.kind.lead_bytes() };
            let length = usize::try_from(left.min(whole)).unwrap_or(usize::MAX);
            let mut under = Zeroizing::new(Vec::with_capacity(lead.saturating_add(length)));
            let from = parameters.saturating_add(first).saturating_sub(lead as u64);
            self.chunks.read(from, lead.saturating_add(length), &mut under)?;
            let (before, bytes) = under.split_at_checked(lead).unwrap_or_default();
            let unit = if left > whole { Unit::Whole(bytes) } else { Unit::Last(bytes) };
            self.unit.clear();
            self.unit.reserve(length);
            self.units.open(number, before, unit, &mut self.unit)?;
            self.held = Some(number);
        }
        Ok(&self.unit)
    }
}
