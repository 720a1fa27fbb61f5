//! Numbers that follow from a training's seed: weights, choices of images, keys of the chaotic systems.

use aws_lc_rs::hmac::{HMAC_SHA512, Key, sign};

/// A stream of numbers with a name. Streams of one seed are independent, and each can be entered anywhere: a training
/// that goes on after a pause draws what it would have drawn.
#[derive(Debug)]
pub(super) struct Draws {
    key: Key,
    label: Vec<u8>,
    block: u64,
    bytes: Vec<u8>,
}

impl Draws {
    /// The stream `label` of a seed, at its part `part` (an iteration, or 0).
    pub(super) fn new(seed: &str, label: &str, part: u64) -> Self {
        let mut start = label.as_bytes().to_vec();
        start.extend_from_slice(&part.to_be_bytes());
        let key = Key::new(HMAC_SHA512, seed.as_bytes());
        Self { key, label: start, block: 0, bytes: Vec::new() }
    }

    /// The next eight bytes as a number.
    pub(super) fn word(&mut self) -> u64 {
        if self.bytes.is_empty() {
            let message = [self.label.as_slice(), &self.block.to_be_bytes()].concat();
            self.bytes = sign(&self.key, &message).as_ref().to_vec();
            self.block += 1;
        }
        let rest = self.bytes.split_off(8);
        let word = std::mem::replace(&mut self.bytes, rest);
        word.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A number at least 0 and below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double's mantissa")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The upper half of a 128-bit product: uneven by less than end / 2^64.
        let product = u128::from(self.word()) * u128::try_from(end).expect("a size fits 128 bits");
        usize::try_from(product >> 64).expect("below `end`, which is a size")
    }

    /// 32 bytes.
    pub(super) fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        key.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.word().to_be_bytes()));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_label_and_part_and_on_nothing_else() {
        let first = |seed, label, part| Draws::new(seed, label, part).word();
        assert_eq!(first("1", "weights", 0), first("1", "weights", 0));
        let others = [first("2", "weights", 0), first("1", "image", 0), first("1", "weights", 1)];
        assert!(others.iter().all(|other| *other != first("1", "weights", 0)), "{others:x?}");
        let mut draws = Draws::new("1", "weights", 0);
        let run: Vec<u64> = (0..20).map(|_| draws.word()).collect();
        assert!(run.iter().enumerate().all(|(i, word)| !run[..i].contains(word)), "{run:x?}");
    }

    #[test]
    fn choices_are_even_and_in_range() {
        let mut draws = Draws::new("7", "image", 3);
        let mut counts = [0_u32; 7];
        (0..7000).for_each(|_| counts[draws.below(7)] += 1);
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
        assert!((0..1000).map(|_| draws.unit()).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
