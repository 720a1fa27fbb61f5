//! Engines at work, one for each generator that is asked for: started when they are first needed, and kept.

use std::sync::{Arc, Mutex, PoisonError};

use super::config::{Config, EngineChoice};
use super::engine::Engine;
use super::error::KeygenError;
use super::id::GeneratorId;
use super::model::Model;
use super::pace::Pace;
use super::parametric::Networks;
use super::start::start;
use super::store::{Choice, GeneratorStore};

/// Engines that are kept; the one that was not used for longest goes. Few sites have had more generators than this.
const ENGINES_MAX: usize = 8;

/// Makes keystreams: with the generator of the configuration, or with that of an image sealed long ago.
pub struct Engines {
    store: GeneratorStore,
    current: Choice,
    engine: EngineChoice,
    threads: usize,
    batch_max: usize,
    networks: Networks,
    /// The last used comes last.
    running: Mutex<Vec<Arc<dyn Engine>>>,
    /// The id of the current generator, once it is known.
    current_id: Mutex<Option<GeneratorId>>,
}

impl Engines {
    /// Those of a configuration; nothing is read or started yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            store: GeneratorStore::new(&config.folder),
            current: config.generator,
            engine: config.stream.engine,
            threads: config.stream.threads,
            batch_max: config.stream.batch_max,
            networks: Networks::new(&config.folder),
            running: Mutex::new(Vec::new()),
            current_id: Mutex::new(None),
        }
    }

    /// Key images that one stream has made at once, at most.
    #[must_use]
    pub const fn batch_max(&self) -> usize {
        self.batch_max
    }

    /// The networks that chaotic layers are sealed with.
    #[must_use]
    pub const fn networks(&self) -> &Networks {
        &self.networks
    }

    /// The engine of the generator that new images are sealed with.
    pub fn current(&self) -> Result<Arc<dyn Engine>, KeygenError> {
        let mut known = self.current_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = *known {
            return self.of(id);
        }
        let model = self.store.get(self.current)?;
        *known = Some(model.id());
        drop(known);
        self.running(model.id(), || Ok(model))
    }

    /// The engine of the generator with this id.
    pub fn of(&self, id: GeneratorId) -> Result<Arc<dyn Engine>, KeygenError> {
        self.running(id, || self.store.get(Choice::Id(id)))
    }

    /// One that runs already, or a new one. Whoever needs the same one at the same time waits for it.
    fn running(
        &self,
        id: GeneratorId,
        model: impl FnOnce() -> Result<Model, KeygenError>,
    ) -> Result<Arc<dyn Engine>, KeygenError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match running.iter().position(|engine| engine.id() == id) {
            Some(at) => running.remove(at),
            None => Arc::from(start(self.engine, &model()?, self.threads, Pace::Prompt)?),
        };
        if running.len() >= ENGINES_MAX {
            running.remove(0);
        }
        running.push(Arc::clone(&engine));
        Ok(engine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::{Calibration, Kind, quantise};

    fn model(seed: u8) -> Model {
        quantise(&untrained(Kind::Lite, seed), Calibration { images: 1, side: 16 }).unwrap()
    }

    #[test]
    fn each_generator_is_started_once_and_the_one_unused_for_longest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = GeneratorStore::new(folder.path());
        let models: Vec<Model> = (1..=9).map(model).collect();
        models.iter().for_each(|model| drop(store.import(model).unwrap()));
        let generator = Choice::Id(models[0].id());
        let config = Config { generator, folder: folder.path().into(), ..Config::default() };
        let engines = Engines::new(&config);
        let first = engines.current().unwrap();
        assert_eq!(first.id(), models[0].id());
        assert!(Arc::ptr_eq(&first, &engines.of(models[0].id()).unwrap()));
        assert!(Arc::ptr_eq(&first, &engines.current().unwrap()));
        for model in &models[1..] {
            assert_eq!(engines.of(model.id()).unwrap().id(), model.id());
        }
        assert_eq!(engines.running.lock().unwrap().len(), ENGINES_MAX);
        assert!(!Arc::ptr_eq(&first, &engines.current().unwrap()), "the first one had gone");
    }

    #[test]
    fn a_generator_that_is_brought_later_is_found_then() {
        let folder = tempfile::tempdir().unwrap();
        let model = model(1);
        let generator = Choice::Id(model.id());
        let engines = Engines::new(&Config { generator, folder: folder.path().into(), ..Config::default() });
        assert!(matches!(engines.current().err().unwrap(), KeygenError::Missing { .. }));
        GeneratorStore::new(folder.path()).import(&model).unwrap();
        assert_eq!(engines.current().unwrap().id(), model.id());
    }
}
