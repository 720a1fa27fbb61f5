//! Legal holds: studies and keys that nobody may destroy until the hold is lifted.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Reach;
use crate::dicom::Uid;
use crate::keys::config::Config;
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::hex;

/// A hold that is larger was not written by us.
const BYTES_MAX: u64 = 4 << 20;
/// What the file of a hold is called after its name.
const EXTENSION: &str = "hold";

/// One hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name, random.
    pub id: String,
    /// Studies.
    pub studies: Vec<Uid>,
    /// Keys, as hexadecimal.
    pub keys: Vec<String>,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when, in seconds since 1970.
    pub since_unix_seconds: u64,
}

/// The folder of holds.
pub struct Holds {
    folder: PathBuf,
}

impl Holds {
    /// Those of this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { folder: config.folder.join("holds") }
    }

    /// Puts something on hold; it is durable when this returns.
    pub fn add(
        &self,
        studies: &[Uid],
        keys: &[String],
        reason: &str,
        by: &str,
        now: u64,
    ) -> Result<Hold, KeysError> {
        let mut name = [0; 8];
        aws_lc_rs::rand::fill(&mut name).map_err(|_| KeysError::Crypto("the random generator"))?;
        let hold = Hold {
            id: hex::encode(&name),
            studies: studies.to_vec(),
            keys: keys.to_vec(),
            reason: reason.to_owned(),
            by: by.to_owned(),
            since_unix_seconds: now,
        };
        if let Some(above) = self.folder.parent() {
            file::private_folder(above)?;
        }
        file::private_folder(&self.folder)?;
        let bytes = serde_json::to_vec_pretty(&hold).map_err(|_| KeysError::Crypto("writing JSON"))?;
        file::create_private(&self.path(&hold.id), &bytes)?;
        Ok(hold)
    }

    /// Every hold. One that cannot be read is an error: what it says is unknown, so nothing may be destroyed.
    pub fn all(&self) -> Result<Vec<Hold>, KeysError> {
        let mut found = Vec::new();
        for path in file::with_extension(&self.folder, EXTENSION)? {
            found.push(file::read_json(&path?, BYTES_MAX)?);
        }
        found.sort_by_key(|hold: &Hold| hold.since_unix_seconds);
        Ok(found)
    }

    /// Refuses when something of it is on hold.
    pub fn check(&self, reach: &Reach) -> Result<(), KeysError> {
        for hold in self.all()? {
            let study =
                hold.studies.iter().find(|study| reach.studies.contains(study)).map(ToString::to_string);
            let key = || {
                hold.keys.iter().find(|key| reach.keys.iter().any(|one| one.to_string() == **key)).cloned()
            };
            if let Some(what) = study.or_else(key) {
                return Err(KeysError::OnHold { what, hold: hold.id, by: hold.by, reason: hold.reason });
            }
        }
        Ok(())
    }

    /// Ends a hold; its file stays as a record.
    pub fn lift(&self, id: &str) -> Result<Hold, KeysError> {
        let unknown = || KeysError::Destruction(format!("there is no legal hold {id}"));
        let hold = self.all()?.into_iter().find(|hold| hold.id == id).ok_or_else(unknown)?;
        let (from, to) = (self.path(id), self.path(id).with_extension("lifted"));
        fs::rename(&from, &to).map_err(KeysError::file("renaming", &from))?;
        file::sync_folder_of(&to)?;
        Ok(hold)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.{EXTENSION}"))
    }
}
