//! What an operator can set about generators.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::KeygenError;
use super::store::Choice;

/// Which engine runs the generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// The torch engine where it is built in and finds a CUDA device, else the exact engine.
    #[default]
    Auto,
    /// The exact engine, which runs everywhere.
    Exact,
    /// The torch engine.
    Torch,
}

/// The generators' part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The generator of new keys: `full` or `lite` for the ones that come with Sealgate, or the id of one in `folder`.
    /// Default `full`.
    pub generator: Choice,
    /// Folder of the site's own generators, and of those that old keys need. Default `/var/lib/sealgate/generators`.
    pub folder: PathBuf,
    /// Which engine runs it: `auto`, `exact` or `torch`. Default `auto`.
    pub engine: EngineChoice,
    /// Threads of the exact engine; 0 for one on each core. Default 1.
    pub threads: usize,
    /// Key images made ahead.
    pub pool: PoolConfig,
    /// Key images made as the keystream of the suite `deepkeygen-xor`.
    pub stream: StreamConfig,
}

/// How keystreams are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// What makes it. Default exact: another engine is compared with the exact one now and then only, and an image under a
    /// keystream that was wrong in between could not be opened.
    pub engine: EngineChoice,
    /// Threads of the exact engine, which all instances that are sealed or opened share; 0 for one on each core.
    /// Default 0.
    pub threads: usize,
    /// Key images that one instance has made at once, 196,608 bytes of memory each. Default 8.
    pub batch_max: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { engine: EngineChoice::Exact, threads: 0, batch_max: 8 }
    }
}

/// How far ahead key images are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// Digests of key images kept ready, 64 bytes each. Default 1024.
    pub ready_max: usize,
    /// Key images made in one go. Default 8.
    pub batch_max: usize,
    /// Key images made in a second, so that filling up leaves the processor to the images. Default 20.
    pub images_per_second_max: u32,
    /// Seconds after which a batch that is not finished counts as stuck. Default 60.
    pub batch_seconds_max: u64,
    /// Seconds between attempts, at the longest, while the engine fails. Default 60.
    pub retry_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            generator: Choice::default(),
            folder: "/var/lib/sealgate/generators".into(),
            engine: EngineChoice::default(),
            threads: 1,
            pool: PoolConfig::default(),
            stream: StreamConfig::default(),
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            ready_max: 1024,
            batch_max: 8,
            images_per_second_max: 20,
            batch_seconds_max: 60,
            retry_seconds_max: 60,
        }
    }
}

impl Config {
    /// Checks what no type can.
    pub fn check(&self) -> Result<(), KeygenError> {
        let PoolConfig { ready_max, batch_max, images_per_second_max, batch_seconds_max, retry_seconds_max } =
            self.pool;
        let bounds = [
            ("threads", self.threads as u64, 0, 1024),
            ("pool.ready_max", ready_max as u64, 1, 1 << 20),
            ("pool.batch_max", batch_max as u64, 1, 4096),
            ("pool.images_per_second_max", images_per_second_max.into(), 1, 1_000_000),
            ("pool.batch_seconds_max", batch_seconds_max, 1, 86_400),
            ("pool.retry_seconds_max", retry_seconds_max, 1, 86_400),
            ("stream.threads", self.stream.threads as u64, 0, 1024),
            ("stream.batch_max", self.stream.batch_max as u64, 1, 256),
        ];
        for (key, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(KeygenError::Config(format!(
                    "keygen.{key} is {value}: {low} to {high} are allowed"
                )));
            }
        }
        if self.folder.as_os_str().is_empty() {
            return Err(KeygenError::Config("keygen.folder is empty: an absolute path was expected".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_and_each_limit_is_named() {
        assert!(Config::default().check().is_ok());
        let mut config = Config::default();
        config.pool.ready_max = 0;
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "keygen.pool.ready_max is 0: 1 to 1048576 are allowed"
        );
        let mut config = Config::default();
        config.stream.batch_max = 257;
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "keygen.stream.batch_max is 257: 1 to 256 are allowed"
        );
    }
}
