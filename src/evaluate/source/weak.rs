//! Sources with one fault each, for the report to find.

use super::Source;
use crate::evaluate::Seeded;

/// One byte, always.
pub(super) struct Constant(u8);

impl Constant {
    pub(super) fn new(byte: u8) -> Self {
        Self(byte)
    }
}

impl Source for Constant {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

/// A short key, repeated.
pub(super) struct Repeated {
    key: [u8; 32],
    at: usize,
}

impl Repeated {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, at: 0 }
    }
}

impl Source for Repeated {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.key[self.at];
            self.at = (self.at + 1) % self.key.len();
        }
    }
}

/// Bytes of about 7.1 bits of entropy, as in transformation domain A of DeepKeyGen's figure 13.
pub(super) struct LowEntropy(Seeded);

impl LowEntropy {
    pub(super) fn new(seeded: Seeded) -> Self {
        Self(seeded)
    }
}

impl Source for LowEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // The mean of five uniform numbers: a hump in the middle, as the grey values of a soft picture have it.
            let sum: u32 = self.0.next_u64().to_le_bytes()[..5].iter().map(|b| u32::from(*b)).sum();
            *byte = (sum / 5) as u8;
        }
    }
}
