//! Where content keys come from: the operating system, conditioned by the generator's key images where there are any.

use std::sync::Arc;

use tracing::{error, info};

use crate::cipher::{DualKeys, Layers};
use crate::keygen::{
    self, Alarm, Engine, Engines, GeneratorId, GeneratorStore, KeyImage, KeygenError, Pool, PoolConfig,
    PoolStatus, Seed,
};
use crate::keys::Keyring;
use crate::seal::{Conditioning, KeySource};
use crate::telemetry::metrics::{ByReason, metrics};
use crate::telemetry::snapshot;

/// Key images made ahead, each reduced to the digest that conditions one content key.
pub struct Generated {
    pool: Pool<Conditioning>,
    generator: GeneratorId,
    engine: String,
    ready_max: usize,
}

impl Generated {
    /// Starts the generator that is configured.
    pub fn start(config: &keygen::Config) -> Result<Self, KeygenError> {
        let model = GeneratorStore::new(&config.folder).get(config.generator)?;
        let engine = keygen::start(config.engine, &model, config.threads, keygen::Pace::Spare)?;
        info!(generator = %model.id(), engine = engine.name(), "the key generator is at work");
        Self::with(Arc::from(engine), &config.pool)
    }

    /// Starts to fill the pool with what this engine makes.
    fn with(engine: Arc<dyn Engine>, pool: &PoolConfig) -> Result<Self, KeygenError> {
        let reduce = |id: &GeneratorId, seed: &Seed, image: &KeyImage| {
            Conditioning::of(id.as_bytes(), seed.expose_secret(), image.expose_secret())
        };
        let (generator, name, ready_max) = (engine.id(), engine.name(), pool.ready_max);
        Ok(Self { pool: Pool::start(engine, pool, reduce)?, generator, engine: name, ready_max })
    }

    /// What the pool has done, for metrics.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// The same, with what it is that does it.
    #[must_use]
    pub fn snapshot(&self) -> snapshot::Generator {
        let status = self.status();
        let alarm = status.alarm.map(|alarm| match alarm {
            Alarm::Failing => "failing",
            Alarm::Stuck => "stuck",
        });
        snapshot::Generator {
            generator: self.generator.to_string(),
            engine: self.engine.clone(),
            ready: status.ready as u64,
            ready_max: self.ready_max as u64,
            made: status.made,
            missed: status.missed,
            failures: status.failures,
            alarm: alarm.map(ToOwned::to_owned),
        }
    }
}

/// The operating system alone, counted.
struct SystemAlone;

impl KeySource for SystemAlone {
    fn conditioning(&self) -> Option<Conditioning> {
        metrics().keys.drawn.count(&ByReason { reason: "system" });
        None
    }
}

impl KeySource for Generated {
    fn conditioning(&self) -> Option<Conditioning> {
        let taken = self.pool.take();
        let reason = if taken.is_some() { "generator" } else { "system" };
        metrics().keys.drawn.count(&ByReason { reason });
        taken.map(|conditioning| *conditioning)
    }
}

/// What a configuration's generators are good for: content keys, and the inner layers of suites that have one.
pub struct Generators {
    /// Where content keys come from.
    pub key_source: Arc<dyn KeySource>,
    /// The generator at work behind them; none where it could not start.
    pub generated: Option<Arc<Generated>>,
    /// The inner layers.
    pub layers: Layers,
}

impl Generators {
    /// Those that are configured. The engine for content keys starts to work at once, on a thread of its own; those of
    /// keystreams when they are first needed.
    #[must_use]
    pub fn start(config: &keygen::Config, keyring: &Keyring) -> Self {
        let layers = Layers::new(Arc::new(Engines::new(config))).with_dual(dual_keys(keyring));
        let (key_source, generated) = key_source(config);
        Self { key_source, generated, layers }
    }
}

/// The site's dual keys. Where they cannot be read, what needs them says that there are none.
fn dual_keys(keyring: &Keyring) -> DualKeys {
    keyring.dual_keys().unwrap_or_else(|problem| {
        error!(error = %problem, "the dual keys cannot be read; what is sealed with `dual` does not open");
        DualKeys::default()
    })
}

/// The source that is configured. A generator that cannot start never stops the gateway: keys rest on the operating
/// system in any case, and then on it alone.
fn key_source(config: &keygen::Config) -> (Arc<dyn KeySource>, Option<Arc<Generated>>) {
    match Generated::start(config) {
        Ok(generated) => {
            let generated = Arc::new(generated);
            (Arc::clone(&generated) as Arc<dyn KeySource>, Some(generated))
        }
        Err(problem) => {
            error!(error = %problem, "the key generator does not start; keys rest on the operating system alone");
            (Arc::new(SystemAlone), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::seal::{Binding, Entropy, KeyId, Suite, content_key};

    fn binding() -> Binding {
        Binding {
            suite: Suite::DeepKeyGen,
            key_id: KeyId::new([1; 16]),
            sop_class: "1.2.3".parse().expect("a UID"),
            sop_instance: "1.2.4".parse().expect("a UID"),
        }
    }

    /// A generator that has been taken over: the same byte everywhere, whatever the seed is.
    struct Hostile(u8);

    impl Engine for Hostile {
        fn id(&self) -> GeneratorId {
            GeneratorId::new([0; 32])
        }

        fn name(&self) -> String {
            "hostile".into()
        }

        fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError> {
            let image = || KeyImage::new(vec![self.0; KeyImage::LENGTH].into()).expect("of that length");
            Ok(seeds.iter().map(|_| image()).collect())
        }
    }

    #[test]
    fn a_generator_of_zeros_or_of_one_image_for_ever_gives_distinct_keys_that_hang_on_the_entropy() {
        for byte in [0, 0xAB] {
            let pool = PoolConfig { ready_max: 4, images_per_second_max: 100_000, ..PoolConfig::default() };
            let generated = Generated::with(Arc::new(Hostile(byte)), &pool).expect("started");
            let take = || {
                let end = Instant::now() + Duration::from_secs(60);
                while generated.status().ready == 0 {
                    assert!(Instant::now() < end, "nothing comes: {:?}", generated.status());
                    std::thread::sleep(Duration::from_millis(1));
                }
                generated.conditioning().expect("one is ready")
            };
            let keys: Vec<_> = (0..3)
                .map(|_| {
                    drop(take());
                    *generated.draw(&binding()).expect("drawn").expose_secret()
                })
                .collect();
            assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
            // One and the same contribution of the generator, twice: only the entropy makes the difference.
            let same = take();
            let key = |r: &Entropy| *content_key(r, Some(&same), &binding()).expose_secret();
            let (one, other) = (Entropy::draw().expect("random"), Entropy::draw().expect("random"));
            assert_ne!(key(&one), key(&other));
            assert_eq!(key(&one), key(&one));
            assert_ne!(key(&one), *content_key(&one, Some(&take()), &binding()).expose_secret());
        }
    }

    #[test]
    fn without_a_generator_keys_come_from_the_operating_system() {
        let folder = tempfile::tempdir().expect("a folder");
        let generator = "00".repeat(32).parse().expect("an id");
        let config = keygen::Config { generator, folder: folder.path().into(), ..keygen::Config::default() };
        let (source, generated) = key_source(&config);
        assert!(generated.is_none());
        assert!(source.conditioning().is_none());
        let (one, two) = (source.draw(&binding()).expect("drawn"), source.draw(&binding()).expect("drawn"));
        assert_ne!(one.expose_secret(), two.expose_secret());
    }
}
