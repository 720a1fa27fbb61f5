//! Byte sources to compare with: those of the papers' tables, two that they left out, and three that are weak on purpose.
//!
//! For comparison only. Nothing in the gateway takes a key from here.

mod chaotic;
mod rsa;
mod standard;
mod weak;

use std::fmt;

use crate::evaluate::Seeded;

/// Something that gives bytes, for as long as it is asked.
pub trait Source: Send {
    /// Fills `bytes` with what comes next.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8]) + Send> Source for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

/// The sources to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparison {
    /// The logistic map in 64-bit floats.
    Chaotic,
    /// The linear congruential generator of the C standard's example.
    Lcg,
    /// MT19937.
    MersenneTwister,
    /// RC4 with a 256-bit key.
    Rc4,
    /// Powers modulo a product of two primes, one after the other.
    Rsa,
    /// AES-256 in counter mode.
    AesCtr,
    /// The operating system.
    OperatingSystem,
    /// One byte over and over: a constant key.
    Constant,
    /// The same 32 bytes over and over: a repeated key.
    Repeated,
    /// Bytes of few values, as a generator learns them from a transformation domain of low entropy.
    LowEntropy,
}

impl Comparison {
    /// Those that the papers compare with, and the two that they left out.
    pub const HONEST: [Self; 7] = [
        Self::Chaotic,
        Self::Lcg,
        Self::MersenneTwister,
        Self::Rc4,
        Self::Rsa,
        Self::AesCtr,
        Self::OperatingSystem,
    ];

    /// Those that a report has to catch.
    pub const WEAK: [Self; 3] = [Self::Constant, Self::Repeated, Self::LowEntropy];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chaotic => "Chaotic system (logistic)",
            Self::Lcg => "LCG",
            Self::MersenneTwister => "Mersenne Twister",
            Self::Rc4 => "RC4",
            Self::Rsa => "RSA-2048, powers",
            Self::AesCtr => "AES-256-CTR",
            Self::OperatingSystem => "Operating system",
            Self::Constant => "Weak: constant key",
            Self::Repeated => "Weak: repeated key",
            Self::LowEntropy => "Weak: low-entropy key",
        }
    }

    /// How many bits of secret its state can hold: no output holds more.
    #[must_use]
    pub fn secret_bits(self) -> f64 {
        match self {
            // One number between 0 and 1 with 52 bits of mantissa.
            Self::Chaotic => 52.0,
            Self::Lcg => 31.0,
            // 19937 bits of state, given away by 624 outputs; a seed as here has 32.
            Self::MersenneTwister => 32.0,
            // Whoever has seen one block has all that follow; before that, the state.
            Self::Rsa => 2047.0,
            Self::Rc4 | Self::AesCtr | Self::OperatingSystem | Self::Repeated => 256.0,
            Self::Constant | Self::LowEntropy => 8.0,
        }
    }

    /// The source, started from `seed`; the operating system's cannot be.
    #[must_use]
    pub fn open(self, seed: u64) -> Box<dyn Source> {
        let mut seeded = Seeded::new(seed);
        match self {
            Self::Chaotic => Box::new(chaotic::Logistic::new(&mut seeded)),
            Self::Lcg => Box::new(standard::Lcg::new(seeded.next_u64() as u32)),
            Self::MersenneTwister => Box::new(standard::MersenneTwister::new(seeded.next_u64() as u32)),
            Self::Rc4 => Box::new(standard::Rc4::new(&key(&mut seeded))),
            Self::Rsa => Box::new(rsa::Rsa::new(&mut seeded)),
            Self::AesCtr => Box::new(standard::AesCtr::new(&key(&mut seeded))),
            Self::OperatingSystem => Box::new(standard::OperatingSystem),
            Self::Constant => Box::new(weak::Constant::new(seeded.next_u64() as u8)),
            Self::Repeated => Box::new(weak::Repeated::new(key(&mut seeded))),
            Self::LowEntropy => Box::new(weak::LowEntropy::new(seeded)),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn key(seeded: &mut Seeded) -> [u8; 32] {
    let mut key = [0; 32];
    seeded.fill(&mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_except_from_the_operating_system() {
        let draw = |source: Comparison, seed| {
            let mut bytes = [0; 64];
            source.open(seed).fill(&mut bytes);
            bytes
        };
        for source in Comparison::HONEST.into_iter().chain(Comparison::WEAK) {
            let same = draw(source, 7) == draw(source, 7);
            assert_eq!(same, source != Comparison::OperatingSystem, "{source}");
            assert_ne!(draw(source, 7), draw(source, 8), "{source}");
        }
    }
}
