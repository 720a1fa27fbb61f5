//! The log: text or JSON lines on standard error, at a level that can change while running.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// How the log looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `error`, `warn`, `info`, `debug` or `trace`, or per room: `info,sealgate::association=debug`.
    pub level: String,
    /// Text for people or JSON for collectors.
    pub format: Format,
}

/// One line per event, in one of two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{word:?} is not one of text, json")),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// A level that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("log level {level:?}: {reason}; use error, warn, info, debug or trace, or room=level pairs")]
pub struct LevelError {
    level: String,
    reason: String,
}

/// Changes the level of the running log.
#[derive(Debug, Clone)]
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl Config {
    /// Whether [`init`] would take this configuration.
    pub fn check(&self) -> Result<(), LevelError> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, LevelError> {
        let refuse = |reason: String| LevelError { level: self.level.clone(), reason };
        let bare = ["off", "error", "warn", "info", "debug", "trace"];
        // A lone word that is no level would be taken for a target's name and silence everything else.
        if let Some(word) =
            self.level.split(',').find(|part| !part.contains('=') && !bare.contains(&part.trim()))
        {
            return Err(refuse(format!("{:?} is no level", word.trim())));
        }
        EnvFilter::builder().parse(&self.level).map_err(|error| refuse(error.to_string()))
    }
}

impl LogHandle {
    /// From now on only events that `config` lets through are written.
    pub fn set_level(&self, config: &Config) -> Result<(), LevelError> {
        // The reload fails only when the log itself is gone, at the very end of the process.
        let _ = self.0.reload(config.filter()?);
        Ok(())
    }
}

/// Starts the log. The first call in a process wins; later ones only give a handle to nothing.
pub fn init(config: &Config) -> Result<LogHandle, LevelError> {
    let (filter, handle) = reload::Layer::new(config.filter()?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(LogHandle(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(level: &str) -> Config {
        Config { level: level.into(), ..Config::default() }
    }

    #[test]
    fn takes_levels_for_all_and_for_single_rooms() {
        for level in ["info", "off", "warn,sealgate::association=trace", "sealgate=debug"] {
            assert!(config(level).check().is_ok(), "{level}");
        }
    }

    #[test]
    fn a_misspelt_level_is_an_error_not_silence() {
        let error = config("inof").check().unwrap_err().to_string();
        assert!(error.contains("\"inof\" is no level"), "{error}");
        assert!(config("sealgate=lots").check().is_err());
    }
}
