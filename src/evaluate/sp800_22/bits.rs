//! A bit sequence, packed: the first bit is the highest of the first word.

use crate::evaluate::EvaluateError;

/// A sequence of bits in the order the tests read them: byte by byte, highest bit first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    /// Padded with zeros behind the last bit, and by one word so that every window can be read across a boundary.
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    /// All bits of `bytes`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = Vec::with_capacity(bytes.len() / 8 + 2);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            words.push(u64::from_be_bytes(chunk.try_into().expect("chunks of eight")));
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        words.push(u64::from_be_bytes(last));
        words.push(0);
        Self { words, length: bytes.len() * 8 }
    }

    /// Parses a text of zeros and ones; blanks are left out.
    pub fn from_text(text: &str) -> Result<Self, EvaluateError> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut bits = Self { words: vec![0; digits.len() / 64 + 2], length: digits.len() };
        for (at, digit) in digits.into_iter().enumerate() {
            match digit {
                '0' => {}
                '1' => bits.words[at / 64] |= 1 << (63 - at % 64),
                other => {
                    return Err(EvaluateError::Parameter {
                        parameter: "a bit",
                        found: other.to_string(),
                        allowed: "0 or 1",
                    });
                }
            }
        }
        Ok(bits)
    }

    /// The first `length` bits, or all if there are fewer.
    #[must_use]
    pub fn first(&self, length: usize) -> Self {
        let length = length.min(self.length);
        let mut words = self.words[..=length / 64].to_vec();
        if let Some(last) = words.last_mut() {
            // `length % 64` bits of the last word count; none when it is zero.
            *last &= !(u64::MAX >> (length % 64));
        }
        words.push(0);
        Self { words, length }
    }

    /// How many bits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bit at `at`; zero behind the end.
    #[inline]
    #[must_use]
    pub fn get(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| (word >> (63 - at % 64)) & 1 == 1)
    }

    /// The 64 bits that start at `at`; zeros behind the end.
    #[inline]
    pub(super) fn word_at(&self, at: usize) -> u64 {
        let (index, shift) = (at / 64, at % 64);
        let high = self.words.get(index).copied().unwrap_or(0);
        if shift == 0 {
            return high;
        }
        (high << shift) | (self.words.get(index + 1).copied().unwrap_or(0) >> (64 - shift))
    }

    /// The `width` (1 to 32) bits that start at `at`, as a number.
    #[inline]
    pub(super) fn window(&self, at: usize, width: usize) -> usize {
        (self.word_at(at) >> (64 - width)) as usize
    }

    /// The ones among the `length` bits from `start`.
    pub(super) fn ones_in(&self, start: usize, length: usize) -> usize {
        let whole = length / 64;
        let full: u32 = (0..whole).map(|i| self.word_at(start + i * 64).count_ones()).sum();
        let rest = length % 64;
        let tail = if rest == 0 { 0 } else { (self.word_at(start + whole * 64) >> (64 - rest)).count_ones() };
        (full + tail) as usize
    }

    /// All ones.
    pub(super) fn ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How often each value of `width` (1 to 24) bits occurs, the sequence read as a ring (SP 800-22 2.11.4, 2.12.4).
    pub(super) fn ring_counts(&self, width: usize) -> Vec<u32> {
        let mut counts = vec![0; 1 << width];
        if self.length == 0 || width == 0 {
            return counts;
        }
        let mask = (1_usize << width) - 1;
        let mut value =
            (0..width - 1).fold(0, |value, i| value << 1 | usize::from(self.get(i % self.length)));
        let mut step = |bit: usize| {
            value = (value << 1 | bit) & mask;
            counts[value] += 1;
        };
        // The window that starts at 0 ends at `width - 1`; from there on once round.
        let start = width - 1;
        let whole_end = self.length.max(start);
        for at in start..whole_end {
            step(usize::from(self.get(at)));
        }
        for at in whole_end..self.length + start {
            step(usize::from(self.get(at % self.length)));
        }
        counts
    }

    /// The values +1 and -1 that a random walk adds.
    pub(super) fn steps(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.length).map(|at| if self.get(at) { 1 } else { -1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_highest_bit_first() {
        let bits = Bits::from_bytes(&[0b1010_0000, 0xff]);
        assert_eq!(
            (bits.len(), bits.get(0), bits.get(1), bits.get(2), bits.get(8)),
            (16, true, false, true, true)
        );
        assert_eq!(bits.ones(), 10);
        assert_eq!(bits.window(6, 4), 0b0011);
    }

    #[test]
    fn a_prefix_forgets_the_bits_behind_it() {
        for length in [0, 1, 63, 64, 65, 127, 128, 200] {
            let bits = Bits::from_bytes(&[0xff; 40]).first(length);
            assert_eq!((bits.len(), bits.ones(), bits.ones_in(0, 400)), (length, length, length));
        }
    }

    #[test]
    fn windows_cross_words() {
        let mut bytes = [0; 24];
        (bytes[7], bytes[8]) = (0b1, 0b1000_0000);
        let bits = Bits::from_bytes(&bytes);
        assert_eq!(bits.window(62, 4), 0b0110);
        assert_eq!(bits.ones_in(60, 130), 2);
        assert_eq!(bits.ones_in(64, 64), 1);
    }

    #[test]
    fn a_ring_counts_as_many_windows_as_bits() {
        // SP 800-22 2.11.4: the counts of 3-bit blocks of 0011011101.
        let bits = Bits::from_text("0011011101").unwrap();
        assert_eq!(bits.ring_counts(3), [0, 1, 1, 2, 1, 2, 2, 1]);
        assert_eq!(Bits::from_text("1").unwrap().ring_counts(3), [0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
