//! The neural keystream: key images G(W; seed, 0), G(W; seed, 1) and so on over a stream, by XOR, each used once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::CipherError;
use super::layer::{Layer, LayerSeed, Unit, Units};
use crate::keygen::{Engine, KeyImage, Seed};

/// XOR is its own inverse: the same for sealing and for opening. Holds `batch_max` key images at most.
pub(super) struct NeuralStream {
    engine: Arc<dyn Engine>,
    seed: Seed,
    /// The number of the next key image; it only ever grows, so none is made twice.
    next: u64,
    /// What is made and not used up; erased when dropped.
    images: VecDeque<KeyImage>,
    /// Bytes used of the first of them.
    used: usize,
    /// How many are made the next time: one at first, so that a small image costs no more than it needs.
    batch: usize,
    batch_max: usize,
}

impl NeuralStream {
    pub(super) fn new(engine: Arc<dyn Engine>, seed: &LayerSeed, batch_max: usize) -> Self {
        let seed = Seed::new(*seed.expose_secret());
        Self { engine, seed, next: 0, images: VecDeque::new(), used: 0, batch: 1, batch_max }
    }

    /// Makes the next key images; the engine spreads them over the cores.
    fn generate(&mut self) -> Result<(), CipherError> {
        let asked = self.batch;
        let seeds: Vec<Seed> = (self.next..).take(asked).map(|number| self.seed.child(number)).collect();
        let images = self.engine.generate(&seeds)?;
        if images.len() != asked {
            return Err(CipherError::Count { made: images.len(), asked });
        }
        // A stream of 2^64 key images would be longer than anything there is.
        self.next = self.next.saturating_add(asked as u64);
        self.images.extend(images);
        self.batch = asked.saturating_mul(2).min(self.batch_max).max(1);
        Ok(())
    }
}

impl Layer for NeuralStream {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        let mut left = bytes;
        while !left.is_empty() {
            let Some(image) = self.images.front() else {
                self.generate()?;
                continue;
            };
            let key = image.expose_secret().get(self.used..).unwrap_or_default();
            let (now, later) = left.split_at_checked(key.len()).unwrap_or((left, &[]));
            out.extend(now.iter().zip(key).map(|(byte, key)| byte ^ key));
            self.used = self.used.saturating_add(now.len());
            if self.used >= KeyImage::LENGTH {
                self.images.pop_front();
                self.used = 0;
            }
            left = later;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), CipherError> {
        Ok(())
    }
}

impl Units for NeuralStream {
    fn open(&mut self, number: u64, _: &[u8], unit: Unit<'_>, out: &mut Vec<u8>) -> Result<(), CipherError> {
        self.images.clear();
        (self.next, self.used, self.batch) = (number, 0, 1);
        self.push(unit.bytes(), out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::keygen::{GeneratorId, KeygenError};

    /// Key images that are the seed image itself, and a list of how many were asked for at once.
    #[derive(Default)]
    struct Fake {
        asked: Mutex<Vec<usize>>,
        short: bool,
    }

    impl Engine for Fake {
        fn id(&self) -> GeneratorId {
            GeneratorId::new([1; 32])
        }

        fn name(&self) -> String {
            "fake".into()
        }

        fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
            self.asked.lock().unwrap().push(seeds.len());
            let whole = |seed: &Seed| KeyImage::new(seed.expand().to_vec().into_boxed_slice()).unwrap();
            Ok(seeds.iter().skip(usize::from(self.short)).map(whole).collect())
        }
    }

    const SEED: [u8; 32] = [9; 32];

    fn turn(engine: &Arc<Fake>, seed: [u8; 32], bytes: &[u8], piece: usize) -> Vec<u8> {
        let engine: Arc<dyn Engine> = Arc::<Fake>::clone(engine);
        let mut layer = NeuralStream::new(engine, &LayerSeed::new(seed), 4);
        let mut out = Vec::new();
        bytes.chunks(piece).for_each(|piece| layer.push(piece, &mut out).unwrap());
        layer.finish(&mut out).unwrap();
        out
    }

    /// The keystream as `docs/FORMAT.md` has it.
    fn keystream(length: usize) -> Vec<u8> {
        let seed = Seed::new(SEED);
        let mut all: Vec<u8> =
            (0..).take(8).flat_map(|number| seed.child(number).expand().to_vec()).collect();
        all.truncate(length);
        all
    }

    #[test]
    fn every_key_image_is_used_once_and_in_order_whatever_the_pieces_are() {
        let length = KeyImage::LENGTH * 5 + 77;
        let expected = keystream(length);
        for piece in [1000, KeyImage::LENGTH - 1, KeyImage::LENGTH, KeyImage::LENGTH + 1, length] {
            let turned = turn(&Arc::default(), SEED, &vec![0; length], piece);
            assert!(turned == expected, "pieces of {piece}");
        }
        let images: Vec<_> = expected.chunks(KeyImage::LENGTH).map(|image| &image[..64]).collect();
        assert!((1..images.len()).all(|at| !images[..at].contains(&images[at])), "a key image came twice");
    }

    #[test]
    fn what_is_turned_twice_is_what_it_was_and_with_another_seed_it_is_not() {
        let plain: Vec<u8> = (0..300_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let turned = turn(&Arc::default(), SEED, &plain, 4096);
        assert!(turned != plain);
        assert!(turn(&Arc::default(), SEED, &turned, 1013) == plain);
        assert!(turn(&Arc::default(), [8; 32], &turned, 4096) != plain);
    }

    #[test]
    fn few_are_made_for_a_small_image_and_never_more_than_a_batch() {
        let engine = Arc::<Fake>::default();
        turn(&engine, SEED, &[0; 10], 10);
        assert_eq!(*engine.asked.lock().unwrap(), [1]);
        let engine = Arc::<Fake>::default();
        turn(&engine, SEED, &vec![0; KeyImage::LENGTH * 12], 100_000);
        assert_eq!(*engine.asked.lock().unwrap(), [1, 2, 4, 4, 4]);
        let engine = Arc::<Fake>::default();
        turn(&engine, SEED, &[], 1);
        assert!(engine.asked.lock().unwrap().is_empty());
    }

    #[test]
    fn an_engine_that_gives_too_few_key_images_is_an_error_and_no_reuse() {
        let engine = Arc::new(Fake { short: true, ..Fake::default() });
        let mut layer = NeuralStream::new(engine, &LayerSeed::new(SEED), 4);
        let error = layer.push(b"pixels", &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "the generator gave 0 key images where 1 were asked for");
    }
}
