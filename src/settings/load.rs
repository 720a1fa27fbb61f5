//! Reads the configuration: the file, then `SEALGATE__ROOM__KEY` from the environment, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat};

use super::{Settings, SettingsError};
use crate::app::Listener;

/// Where a configuration comes from, so that it can be read again on a reload.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file; without one the defaults are the base.
    pub file: Option<PathBuf>,
    /// `key = value` pairs from flags, which win over everything.
    pub flags: Vec<(String, String)>,
    /// Addresses for plain DICOM, which take the place of every listener in the other layers; none leaves them.
    pub listen: Vec<SocketAddr>,
}

/// Reads every layer and gives the result, or says which key is wrong.
pub fn load(source: &Source) -> Result<Settings, SettingsError> {
    let mut builder = Config::builder();
    if let Some(path) = &source.file {
        if !path.is_file() {
            return Err(SettingsError::NoFile(path.clone()));
        }
        builder = builder.add_source(File::from(path.as_path()).format(FileFormat::Toml));
    }
    builder = builder.add_source(Environment::with_prefix("SEALGATE").prefix_separator("__").separator("__"));
    for (key, value) in &source.flags {
        builder = builder
            .set_override(key, value.as_str())
            .map_err(|error| SettingsError::BadValue { key: key.clone(), reason: error.to_string() })?;
    }
    let merged = builder.build().map_err(|error| SettingsError::Unreadable(error.to_string()))?;
    let mut settings: Settings = serde_path_to_error::deserialize(merged).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.into_inner().to_string(), source.file.as_deref())
    })?;
    if !source.listen.is_empty() {
        settings.listeners = source.listen.iter().copied().map(Listener::plain).collect();
    }
    Ok(settings)
}

/// Turns serde's sentence about an unknown field into one that names the nearest known key.
fn explain(path: &str, message: &str, file: Option<&Path>) -> SettingsError {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(unknown)) = (message.contains("unknown field"), quoted.next()) else {
        return SettingsError::BadValue { key: path.to_owned(), reason: message.to_owned() };
    };
    let known: Vec<&str> = quoted.collect();
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, unknown), *name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(4) / 2);
    let hint = match nearest {
        Some((_, name)) => format!(": did you mean {name:?}?"),
        None => format!(": the keys there are {}", known.join(", ")),
    };
    // The path ends in the unknown key itself where serde got that far, else in the table around it.
    let key = match path {
        "" | "." => unknown.to_owned(),
        path if path == unknown || path.ends_with(&format!(".{unknown}")) => path.to_owned(),
        path => format!("{path}.{unknown}"),
    };
    let place = file.map(|file| format!(" (configuration {})", file.display())).unwrap_or_default();
    SettingsError::UnknownKey { key, place, hint }
}
