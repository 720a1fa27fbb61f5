//! Where content keys come from: the operating system, conditioned by the generator's key images where there are any.

use std::sync::Arc;

use tracing::{error, info};

use crate::keygen::{self, GeneratorId, GeneratorStore, KeyImage, KeygenError, Pool, PoolStatus, Seed};
use crate::seal::{Conditioning, KeySource, SystemEntropy};

/// Key images made ahead, each reduced to the digest that conditions one content key.
pub struct Generated {
    pool: Pool<Conditioning>,
}

impl Generated {
    /// Starts the generator that is configured.
    pub fn start(config: &keygen::Config) -> Result<Self, KeygenError> {
        let model = GeneratorStore::new(&config.folder).get(config.generator)?;
        let engine = keygen::start(config.engine, &model, config.threads)?;
        info!(generator = %model.id(), engine = engine.name(), "the key generator is at work");
        let reduce = |id: &GeneratorId, seed: &Seed, image: &KeyImage| {
            Conditioning::of(id.as_bytes(), seed.expose_secret(), image.expose_secret())
        };
        Ok(Self { pool: Pool::start(Arc::from(engine), &config.pool, reduce)? })
    }

    /// What the pool has done, for metrics.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.pool.status()
    }
}

impl KeySource for Generated {
    fn conditioning(&self) -> Option<Conditioning> {
        self.pool.take().map(|conditioning| *conditioning)
    }
}

/// The source that is configured. A generator that cannot start never stops the gateway: keys rest on the operating
/// system in any case, and then on it alone.
#[must_use]
pub fn key_source(config: &keygen::Config) -> Arc<dyn KeySource> {
    match Generated::start(config) {
        Ok(generated) => Arc::new(generated),
        Err(problem) => {
            error!(error = %problem, "the key generator does not start; keys rest on the operating system alone");
            Arc::new(SystemEntropy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Binding, KeyId, Suite};

    #[test]
    fn without_a_generator_keys_come_from_the_operating_system() {
        let folder = tempfile::tempdir().expect("a folder");
        let generator = "00".repeat(32).parse().expect("an id");
        let config = keygen::Config { generator, folder: folder.path().into(), ..keygen::Config::default() };
        let source = key_source(&config);
        assert!(source.conditioning().is_none());
        let binding = Binding {
            suite: Suite::DeepKeyGen,
            key_id: KeyId::new([1; 16]),
            sop_class: "1.2.3".parse().expect("a UID"),
            sop_instance: "1.2.4".parse().expect("a UID"),
        };
        let (one, two) = (source.draw(&binding).expect("drawn"), source.draw(&binding).expect("drawn"));
        assert_ne!(one.expose_secret(), two.expose_secret());
    }
}
