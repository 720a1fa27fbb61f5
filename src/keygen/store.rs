//! Where generators are kept: two come with Sealgate, the others are files named by their id. None is ever removed here,
//! because keys may refer to it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::KeygenError;
use super::id::GeneratorId;
use super::model::Model;
use super::network::Kind;

/// Model files that come with Sealgate, of each kind the current one first. One that came with a released version stays
/// here for ever: keys refer to it.
const SHIPPED: &[(Kind, &[u8])] = &[
    (Kind::Full, include_bytes!("../../conf/generators/full.sgg")),
    (Kind::Lite, include_bytes!("../../conf/generators/lite.sgg")),
];
/// The end of the name of a model file.
const EXTENSION: &str = "sgg";

/// Which generator: one of those that come with Sealgate, or any by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one of this kind that comes with Sealgate.
    Shipped(Kind),
    /// The one with this id.
    Id(GeneratorId),
}

impl Default for Choice {
    fn default() -> Self {
        Self::Shipped(Kind::Full)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(kind) => kind.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl FromStr for Choice {
    type Err = KeygenError;

    fn from_str(text: &str) -> Result<Self, KeygenError> {
        if let Ok(kind) = text.parse() {
            return Ok(Self::Shipped(kind));
        }
        text.parse().map(Self::Id).map_err(|_| {
            KeygenError::Config(format!("{text:?} is no generator: \"full\", \"lite\" or an id was expected"))
        })
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The generators there are.
#[derive(Debug, Clone)]
pub struct GeneratorStore {
    folder: PathBuf,
}

/// Where a generator was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It comes with Sealgate.
    Shipped,
    /// In this file.
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("comes with sealgate"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// One generator of a list, or what is wrong with it.
pub type Listed = (Place, Result<Model, KeygenError>);

impl GeneratorStore {
    /// The ones that come with Sealgate and those in `folder`, which need not be there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The generator that is meant.
    pub fn get(&self, choice: Choice) -> Result<Model, KeygenError> {
        match choice {
            Choice::Shipped(kind) => shipped().find(|(shipped, _)| *shipped == kind).map_or_else(
                || Err(KeygenError::Config(format!("this build comes without a {kind} generator"))),
                |(_, file)| Model::parse(file),
            ),
            Choice::Id(id) => self.by_id(id),
        }
    }

    fn by_id(&self, id: GeneratorId) -> Result<Model, KeygenError> {
        if let Some((_, file)) = shipped().find(|(_, file)| GeneratorId::of(file) == id) {
            return Model::parse(file);
        }
        let path = self.path(id);
        if !path.exists() {
            return Err(KeygenError::Missing { id, folder: self.folder.clone() });
        }
        load_checked(&path, id)
    }

    /// Every generator there is, or what is wrong with it.
    pub fn list(&self) -> Result<Vec<Listed>, KeygenError> {
        let mut found: Vec<_> = shipped().map(|(_, file)| (Place::Shipped, Model::parse(file))).collect();
        if !self.folder.exists() {
            return Ok(found);
        }
        let about = |error| KeygenError::file("listing", &self.folder)(error);
        let mut paths = fs::read_dir(&self.folder)
            .and_then(|entries| {
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
            })
            .map_err(about)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        paths.sort();
        for path in paths {
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let model = name.parse().and_then(|id| load_checked(&path, id));
            found.push((Place::File(path), model));
        }
        Ok(found)
    }

    /// Takes a generator in. Whole or not at all, and durable when this returns; one that is there already stays.
    pub fn import(&self, model: &Model) -> Result<PathBuf, KeygenError> {
        let path = self.path(model.id());
        if path.exists() {
            load_checked(&path, model.id())?;
            return Ok(path);
        }
        fs::create_dir_all(&self.folder).map_err(KeygenError::file("making the folder", &self.folder))?;
        let partial = path.with_extension("partial");
        let _ = fs::remove_file(&partial);
        write_new(&partial, &model.to_bytes())?;
        fs::rename(&partial, &path).map_err(KeygenError::file("renaming to", &path))?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(KeygenError::file("writing to disk", &self.folder))?;
        Ok(path)
    }

    fn path(&self, id: GeneratorId) -> PathBuf {
        self.folder.join(format!("{id}.{EXTENSION}"))
    }
}

/// Writes a new file that only its owner may read: a site's own weights are its own.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KeygenError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(KeygenError::file("writing", path))
}

fn shipped() -> impl Iterator<Item = (Kind, &'static [u8])> {
    SHIPPED.iter().copied()
}

fn load_checked(path: &Path, expected: GeneratorId) -> Result<Model, KeygenError> {
    let model = Model::load(path)?;
    if model.id() == expected {
        return Ok(model);
    }
    Err(KeygenError::Mismatch { path: path.to_owned(), expected, found: model.id() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::quantise::{Calibration, quantise};

    fn model(seed: u8) -> Model {
        quantise(&untrained(Kind::Lite, seed), Calibration { images: 1, side: 16 }).unwrap()
    }

    #[test]
    fn what_was_taken_in_is_found_by_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = GeneratorStore::new(folder.path().join("generators"));
        let model = model(1);
        let path = store.import(&model).unwrap();
        assert_eq!(store.import(&model).unwrap(), path);
        assert!(store.get(Choice::Id(model.id())).unwrap() == model);
        let listed = store.list().unwrap();
        assert_eq!(listed.len(), SHIPPED.len() + 1);
        assert!(listed.iter().any(|(place, found)| *place == Place::File(path.clone()) && found.is_ok()));
    }

    #[test]
    fn one_that_is_missing_is_named() {
        let store = GeneratorStore::new("/nonexistent");
        let id = GeneratorId::new([0xAB; 32]);
        let error = store.get(Choice::Id(id)).unwrap_err();
        assert_eq!(error.to_string(), format!("generator {id} is not in /nonexistent"));
        assert!(error.advice().contains("generator import"));
        assert_eq!(store.list().unwrap().len(), SHIPPED.len());
    }

    #[test]
    fn one_under_a_wrong_name_is_refused_and_still_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = GeneratorStore::new(folder.path());
        let path = store.import(&model(1)).unwrap();
        let other = GeneratorId::new([1; 32]);
        fs::rename(path, store.path(other)).unwrap();
        fs::write(folder.path().join("notes.txt"), "not a generator").unwrap();
        let error = store.get(Choice::Id(other)).unwrap_err().to_string();
        assert!(error.contains(&format!("its name says {other}")), "{error}");
        let listed = store.list().unwrap();
        assert_eq!(listed.len(), SHIPPED.len() + 1);
        assert!(matches!(listed.last().unwrap().1, Err(KeygenError::Mismatch { .. })));
    }

    #[test]
    fn a_choice_is_a_kind_or_an_id() {
        let id = GeneratorId::new([0x5A; 32]);
        for choice in [Choice::Shipped(Kind::Lite), Choice::Id(id)] {
            assert_eq!(choice.to_string().parse::<Choice>().unwrap(), choice);
        }
        assert!("best".parse::<Choice>().unwrap_err().to_string().contains("\"best\" is no generator"));
    }
}
