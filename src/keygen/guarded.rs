//! A fast engine watched by the exact one: tried before use, checked while it runs, put aside at the first wrong byte.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{Engine, GeneratorId, KeyImage, KeygenError, Seed};

/// Key images compared before the fast engine is trusted with the first one.
const TRIALS: u64 = 4;
/// One key image in so many is generated a second time, by the exact engine.
const SPOT_CHECK_EVERY: u64 = 256;

/// Two engines of one generator. The fast one works, the exact one is the specification.
///
/// What the fast engine gives is handed out only after the spot checks of its batch. At the first mismatch or failure it
/// is quarantined for as long as the process lives, an error is logged, and the exact engine does the work.
pub struct Guarded {
    fast: Box<dyn Engine>,
    exact: Box<dyn Engine>,
    quarantined: AtomicBool,
    /// Key images asked for so far.
    asked: AtomicU64,
}

impl Guarded {
    /// Tries the fast engine on known seeds; a wrong answer puts it in quarantine at once.
    pub fn new(fast: Box<dyn Engine>, exact: Box<dyn Engine>) -> Result<Self, KeygenError> {
        if fast.id() != exact.id() {
            return Err(KeygenError::Engine(format!(
                "{} runs generator {}, {} runs {}",
                fast.name(),
                fast.id(),
                exact.name(),
                exact.id()
            )));
        }
        let guarded = Self { fast, exact, quarantined: AtomicBool::new(false), asked: AtomicU64::new(0) };
        let seeds: Vec<Seed> = (0..TRIALS).map(|number| Seed::new([0x5a; 32]).child(number)).collect();
        match guarded.fast.generate(&seeds) {
            Ok(images) if guarded.agrees(&seeds, &images)? => {}
            Ok(_) => guarded.quarantine("a known answer came out differently"),
            Err(error) => guarded.quarantine(&error.to_string()),
        }
        Ok(guarded)
    }

    /// Whether the fast engine has been put aside.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Acquire)
    }

    /// Whether the exact engine gives these images for these seeds.
    fn agrees(&self, seeds: &[Seed], images: &[KeyImage]) -> Result<bool, KeygenError> {
        let expected = self.exact.generate(seeds)?;
        let same = |(a, b): (&KeyImage, &KeyImage)| {
            verify_slices_are_equal(a.expose_secret(), b.expose_secret()).is_ok()
        };
        Ok(expected.len() == images.len() && expected.iter().zip(images).all(same))
    }

    fn quarantine(&self, why: &str) {
        if !self.quarantined.swap(true, Ordering::AcqRel) {
            tracing::error!(
                generator = %self.exact.id(),
                engine = self.fast.name(),
                fallback = self.exact.name(),
                why,
                "key image engine quarantined, the exact engine takes over"
            );
        }
    }

    /// The fast engine's images, if they pass.
    fn checked(&self, seeds: &[Seed], first: u64) -> Result<Option<Vec<KeyImage>>, KeygenError> {
        let images = match self.fast.generate(seeds) {
            Ok(images) if images.len() == seeds.len() => images,
            Ok(images) => {
                self.quarantine(&format!("{} key images for {} seeds", images.len(), seeds.len()));
                return Ok(None);
            }
            Err(error) => {
                self.quarantine(&error.to_string());
                return Ok(None);
            }
        };
        for at in picks(first, seeds.len()) {
            if !self.agrees(&seeds[at..=at], &images[at..=at])? {
                self.quarantine("a spot check came out differently");
                return Ok(None);
            }
        }
        Ok(Some(images))
    }
}

/// Which of `count` images, the first of them number `first` of all, are checked: number 0, 256, 512 and so on.
fn picks(first: u64, count: usize) -> impl Iterator<Item = usize> {
    let wait = first.wrapping_neg() % SPOT_CHECK_EVERY;
    let step = usize::try_from(SPOT_CHECK_EVERY).expect("a small number");
    (usize::try_from(wait).expect("below a small number")..count).step_by(step)
}

impl Engine for Guarded {
    fn id(&self) -> GeneratorId {
        self.exact.id()
    }

    fn name(&self) -> String {
        if self.is_quarantined() { self.exact.name() } else { self.fast.name() }
    }

    fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
        if !self.is_quarantined() {
            let first = self.asked.fetch_add(seeds.len() as u64, Ordering::Relaxed);
            if let Some(images) = self.checked(seeds, first)? {
                return Ok(images);
            }
        }
        self.exact.generate(seeds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What the engine under test does from its n-th image on.
    #[derive(Clone, Copy)]
    enum Fault {
        None,
        WrongFrom(u64),
        FailsFrom(u64),
        ShortFrom(u64),
    }

    struct Fake {
        name: &'static str,
        fault: Fault,
        made: Arc<AtomicU64>,
    }

    fn fake(name: &'static str, fault: Fault) -> (Box<Fake>, Arc<AtomicU64>) {
        let made = Arc::new(AtomicU64::new(0));
        (Box::new(Fake { name, fault, made: Arc::clone(&made) }), made)
    }

    /// Stands for a generator: every byte is the first byte of the seed.
    fn image(seed: &Seed) -> Vec<u8> {
        vec![seed.expose_secret()[0]; KeyImage::LENGTH]
    }

    impl Engine for Fake {
        fn id(&self) -> GeneratorId {
            GeneratorId::new([1; 32])
        }

        fn name(&self) -> String {
            self.name.to_owned()
        }

        fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
            let mut images = Vec::new();
            for seed in seeds {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                let mut bytes = image(seed);
                match self.fault {
                    Fault::WrongFrom(n) if number >= n => bytes[KeyImage::LENGTH - 1] ^= 1,
                    Fault::FailsFrom(n) if number >= n => {
                        return Err(KeygenError::Engine("out of memory".into()));
                    }
                    Fault::ShortFrom(n) if number >= n => continue,
                    _ => {}
                }
                images.push(KeyImage::new(bytes.into_boxed_slice()).unwrap());
            }
            Ok(images)
        }
    }

    fn seeds(count: u8) -> Vec<Seed> {
        (0..count).map(|n| Seed::new([n; 32])).collect()
    }

    fn right(seeds: &[Seed], images: &[KeyImage]) -> bool {
        seeds.len() == images.len() && seeds.iter().zip(images).all(|(s, i)| image(s) == i.expose_secret())
    }

    #[test]
    fn a_sound_engine_does_the_work_and_one_image_in_256_is_checked() {
        let (fast, fast_made) = fake("fast", Fault::None);
        let (exact, exact_made) = fake("exact", Fault::None);
        let guarded = Guarded::new(fast, exact).unwrap();
        assert_eq!(exact_made.load(Ordering::Relaxed), TRIALS);
        for _ in 0..64 {
            let seeds = seeds(12);
            assert!(right(&seeds, &guarded.generate(&seeds).unwrap()));
        }
        // 768 images: numbers 0, 256 and 512 were generated twice.
        assert_eq!(fast_made.load(Ordering::Relaxed), TRIALS + 768);
        assert_eq!(exact_made.load(Ordering::Relaxed), TRIALS + 3);
        assert_eq!((guarded.is_quarantined(), guarded.name().as_str()), (false, "fast"));
    }

    #[test]
    fn an_engine_that_fails_its_known_answers_never_works() {
        for fault in [Fault::WrongFrom(0), Fault::WrongFrom(3), Fault::FailsFrom(0), Fault::ShortFrom(2)] {
            let (fast, fast_made) = fake("fast", fault);
            let guarded = Guarded::new(fast, fake("exact", Fault::None).0).unwrap();
            assert_eq!((guarded.is_quarantined(), guarded.name().as_str()), (true, "exact"));
            let before = fast_made.load(Ordering::Relaxed);
            let seeds = seeds(3);
            assert!(right(&seeds, &guarded.generate(&seeds).unwrap()));
            assert_eq!(fast_made.load(Ordering::Relaxed), before);
        }
    }

    #[test]
    fn an_engine_that_goes_wrong_later_is_put_aside_and_its_batch_made_anew() {
        // Image 256 of the work is the first one that is checked after image 0.
        for fault in
            [Fault::WrongFrom(TRIALS + 250), Fault::FailsFrom(TRIALS + 250), Fault::ShortFrom(TRIALS + 250)]
        {
            let guarded = Guarded::new(fake("fast", fault).0, fake("exact", Fault::None).0).unwrap();
            let seeds = seeds(25);
            for _ in 0..10 {
                assert!(right(&seeds, &guarded.generate(&seeds).unwrap()));
                assert!(!guarded.is_quarantined());
            }
            assert!(right(&seeds, &guarded.generate(&seeds).unwrap()));
            assert!(guarded.is_quarantined());
        }
    }

    #[test]
    fn two_engines_of_different_generators_are_refused() {
        struct Other(Box<Fake>);
        impl Engine for Other {
            fn id(&self) -> GeneratorId {
                GeneratorId::new([2; 32])
            }
            fn name(&self) -> String {
                self.0.name()
            }
            fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
                self.0.generate(seeds)
            }
        }
        let result =
            Guarded::new(Box::new(Other(fake("other", Fault::None).0)), fake("exact", Fault::None).0);
        assert!(result.err().unwrap().to_string().contains("generator 0202"));
    }
}
