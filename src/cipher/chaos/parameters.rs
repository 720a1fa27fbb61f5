//! The chaotic parameters of one instance: made of a network's outputs and a secret, and checked when they are read.

use aws_lc_rs::digest::{Context, SHA512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::map::{COUNT, Map};
use crate::cipher::{CipherError, LayerSeed};
use crate::keygen::Reading;

/// Bytes of the parameters that travel in the stream: the network's id, and six numbers.
pub const PARAMETER_BYTES: usize = 32 + 8 * COUNT;

const MIX_LABEL: &[u8] = b"sealgate chaos parameters v1";
const BLOCK_LABEL: &[u8] = b"sealgate chaos block v1";
/// Bits of a double's mantissa.
const MANTISSA_BITS: u32 = 53;
/// The rates of a block differ from the instance's in these bits of the mantissa.
const RATE_BITS: u64 = 0xFFFF_FFFF;

/// The parameters of one instance. Erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Parameters {
    #[zeroize(skip)]
    map: Map,
    /// Which network took part; nothing is computed from it but digests.
    network: [u8; 32],
    values: [f64; COUNT],
}

/// What one block starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Start {
    /// Rates of three logistic maps, or sigma, rho and beta.
    pub(super) control: [f64; 3],
    pub(super) at: [f64; 3],
}

impl Parameters {
    /// Moves what the network read off the metadata around the ranges, as far as the secret says.
    pub(crate) fn mix(map: Map, reading: &Reading, seed: &LayerSeed) -> Self {
        let secret = words(&[MIX_LABEL, seed.expose_secret(), &reading.picture]);
        let mut values = [0.0; COUNT];
        let all = values.iter_mut().zip(reading.outputs).zip(secret.iter()).zip(map.ranges());
        for (((value, output), secret), range) in all {
            let read = u64::from(output) << (MANTISSA_BITS - Reading::OUTPUT_BITS);
            // Bits above the mantissa fall away: the sum goes around.
            let sum = read.wrapping_add(secret >> (64 - MANTISSA_BITS));
            *value = range.low + range.width * unit(sum << (64 - MANTISSA_BITS));
        }
        Self { map, network: reading.network, values }
    }

    /// The parameters in the bytes that a sealer wrote.
    pub(crate) fn parse(map: Map, bytes: &[u8]) -> Result<Self, CipherError> {
        let wrong = || CipherError::Parameters { found: bytes.len(), expected: PARAMETER_BYTES };
        let (network, numbers) = bytes.split_first_chunk::<32>().ok_or_else(wrong)?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        if numbers.len() != COUNT || !rest.is_empty() {
            return Err(wrong());
        }
        let mut values = [0.0; COUNT];
        for ((value, number), range) in values.iter_mut().zip(numbers).zip(map.ranges()) {
            *value = f64::from_be_bytes(*number);
            // No number that is not one passes.
            if !(range.low..=range.low + range.width).contains(value) {
                return Err(CipherError::Chaos { name: range.name });
            }
        }
        Ok(Self { map, network: *network, values })
    }

    /// What `parse` reads.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(PARAMETER_BYTES));
        out.extend_from_slice(&self.network);
        self.values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        out
    }

    pub(super) const fn map(&self) -> Map {
        self.map
    }

    /// Where block `number` starts: each has its own, from the secret, so that no two draw the same orbit.
    pub(super) fn block(&self, seed: &LayerSeed, number: u64) -> Start {
        let words = words(&[BLOCK_LABEL, seed.expose_secret(), &self.to_bytes(), &number.to_be_bytes()]);
        let [a, b, c, x, y, z] = self.values;
        let [start_x, start_y, start_z, rate_a, rate_b, rate_c, ..] = *words;
        let [.., range_x, range_y, range_z] = self.map.ranges();
        let moved = |from: f64, range: super::map::Range, word: u64| {
            let to = from + range.width * unit(word);
            if to >= range.low + range.width { to - range.width } else { to }
        };
        let control = match self.map {
            // Many blocks under one rate would meet: a double has few states. Under rates of their own they part again.
            Map::Logistic => [touched(a, rate_a), touched(b, rate_b), touched(c, rate_c)],
            Map::Lorenz => [a, b, c],
        };
        let at = [moved(x, range_x, start_x), moved(y, range_y, start_y), moved(z, range_z, start_z)];
        Start { control, at }
    }
}

/// A rate with other last bits. From 3.57 on all have the same exponent: it stays below 4.
fn touched(rate: f64, word: u64) -> f64 {
    f64::from_bits(rate.to_bits() ^ (word & RATE_BITS))
}

/// The upper 53 bits as a number in [0, 1), which a double holds exactly.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double's mantissa")]
fn unit(word: u64) -> f64 {
    (word >> (64 - MANTISSA_BITS)) as f64 / (1_u64 << MANTISSA_BITS) as f64
}

/// SHA-512 of the parts, as eight numbers.
fn words(parts: &[&[u8]]) -> Zeroizing<[u64; 8]> {
    let mut context = Context::new(&SHA512);
    parts.iter().for_each(|part| context.update(part));
    let mut words = Zeroizing::new([0; 8]);
    let digest = context.finish();
    for (word, bytes) in words.iter_mut().zip(digest.as_ref().as_chunks::<8>().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}
