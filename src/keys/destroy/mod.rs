//! Destroying keys for good: what is on hold stays, what is destroyed is remembered outside of every backup.

mod certificate;
mod hold;
mod tombstones;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::dicom::Uid;
use crate::keys::config::Config;
use crate::keys::error::KeysError;
use crate::keys::hex;
use crate::keys::shred::is_shred_key;
use crate::keys::store::{Filter, KeyStore, Write};
use crate::seal::KeyId;

pub use certificate::{Certificate, Statement};
pub use hold::{Hold, Holds};
pub use tombstones::Tombstones;

/// Keys that are looked up in one step.
const STEP: usize = 1000;
/// Keys that one order may destroy.
const KEYS_MAX: usize = 1_000_000;

/// What is to be destroyed, by whose will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Every key of these studies.
    pub studies: Vec<Uid>,
    /// These keys.
    pub keys: Vec<KeyId>,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub requested_by: String,
    /// Who approved.
    pub approved_by: String,
    /// The request that both agreed on.
    pub request: String,
}

/// What an order would destroy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Reach {
    /// The keys.
    #[serde(serialize_with = "as_text")]
    pub keys: Vec<KeyId>,
    /// The studies that they belong to.
    pub studies: Vec<Uid>,
    /// Those of them whose shred keys go as well, and with them what instances carry.
    #[serde(skip)]
    masked: BTreeSet<Uid>,
}

fn as_text<S: serde::Serializer>(keys: &[KeyId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(keys.iter().map(ToString::to_string))
}

/// A key id from its hexadecimal digits.
#[must_use]
pub fn parse_key_id(text: &str) -> Option<KeyId> {
    hex::decode_array(text).map(KeyId::new)
}

impl Reach {
    /// Whether instances of all of it carry nothing that is worth anything any more, as far as they were sealed so.
    fn is_masked(&self) -> bool {
        !self.studies.is_empty() && self.studies.iter().all(|study| self.masked.contains(study))
    }

    /// Looks up what the store has of these studies, and to which studies these keys belong.
    pub fn of(store: &dyn KeyStore, studies: &[Uid], keys: &[KeyId]) -> Result<Self, KeysError> {
        let mut reach = Self::default();
        for study in studies {
            let filter = Filter { study: Some(study.clone()), ..Filter::default() };
            let mut after = 0;
            loop {
                let step = store.list(&filter, after, STEP)?;
                let Some(last) = step.last() else { break };
                after = last.position;
                if step.iter().any(is_shred_key) {
                    reach.masked.insert(study.clone());
                }
                reach.keys.extend(step.iter().map(|stored| stored.binding.key_id));
                if reach.keys.len() > KEYS_MAX {
                    let problem = format!("more than {KEYS_MAX} keys at once: name fewer studies");
                    return Err(KeysError::Destruction(problem));
                }
            }
        }
        reach.studies.extend(studies.iter().cloned());
        for key in keys {
            // A key that only a tag holds is not in the store; it can be destroyed all the same.
            let study = store.find(*key)?.and_then(|stored| stored.facts.study);
            reach.studies.extend(study);
            reach.keys.push(*key);
        }
        reach.keys.sort_unstable();
        reach.keys.dedup();
        reach.studies.sort();
        reach.studies.dedup();
        if reach.keys.is_empty() {
            return Err(KeysError::Destruction("the key store has no key of that".to_owned()));
        }
        Ok(reach)
    }
}

/// Destroys what an order names, and gives the signed certificate of it.
///
/// The tombstone is durable first: from then on nobody is given the key, and whatever still has a copy when a crash comes
/// in between is cleaned up by [`reapply`].
pub fn destroy(config: &Config, order: &Order, now_unix_seconds: u64) -> Result<Certificate, KeysError> {
    let store = config.open_store()?;
    let reach = Reach::of(&store, &order.studies, &order.keys)?;
    Holds::of(config).check(&reach)?;
    let statement = Statement::new(config, order, &reach, now_unix_seconds);
    let certificate = Certificate::sign(config, statement)?;
    Tombstones::of(config).add(&certificate)?;
    erase(&store, &reach.keys)?;
    store.truncate_log()?;
    Ok(certificate)
}

/// Takes out of the store what was destroyed before, such as after an older backup was restored; says how many keys.
pub fn reapply(config: &Config, store: &crate::keys::SqliteStore) -> Result<usize, KeysError> {
    let tombstones = Tombstones::of(config);
    let mut back = Vec::new();
    for key in tombstones.keys()? {
        if store.find(key)?.is_some() {
            back.push(key);
        }
    }
    if !back.is_empty() {
        erase(store, &back)?;
        store.truncate_log()?;
    }
    Ok(back.len())
}

/// What is destroyed and in the store all the same, and certificates whose signature does not verify.
pub fn check(config: &Config, store: &dyn KeyStore) -> Result<Vec<String>, KeysError> {
    let tombstones = Tombstones::of(config);
    let mut problems = tombstones.problems()?;
    for key in tombstones.keys()? {
        if store.find(key)?.is_some() {
            problems.push(format!(
                "key {key} was destroyed and is in the store again: restart the service, or restore with `keys restore`"
            ));
        }
    }
    Ok(problems)
}

fn erase(store: &dyn KeyStore, keys: &[KeyId]) -> Result<(), KeysError> {
    for key in keys {
        store.write(Write::Destroy(*key))?;
    }
    Ok(())
}
