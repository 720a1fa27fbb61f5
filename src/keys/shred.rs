//! Shred keys: one for each study, without which the wrapped key in an instance's private block is worth nothing.
//!
//! A shred key stands in the key store alone, as a key of its study, so that it is backed up, rewrapped, verified and
//! destroyed like any other. What goes into an instance is the content key under a mask that only the shred key gives
//! (`docs/FORMAT-key-record.md`, version 2).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dicom::Uid;
use crate::keys::destroy::Tombstones;
use crate::keys::error::KeysError;
use crate::keys::kdf;
use crate::keys::keyring::Keyring;
use crate::keys::store::{Facts, KeyStore, NewKey, OriginalAttributes, StoredKey, Write};
use crate::keys::wrap::Binding;
use crate::seal::{ContentKey, KeyId, random};

/// Where the suite stands in the records of content keys.
const SUITE: u16 = 0xFF01;
/// Where their SOP class stands.
const CLASS: &str = "2.25.0";
const SALT: &[u8] = b"sealgate shred v1";
const MASK_INFO: &[u8] = b"sealgate shred v1 mask";
/// Studies whose shred key is at hand; beyond that all are forgotten, and a study gets one key more.
const STUDIES_MAX: usize = 1024;

/// A study's shred key; as secret as a content key, and as long.
#[derive(Clone)]
pub(crate) struct ShredKey {
    pub(crate) id: KeyId,
    key: Arc<ContentKey>,
}

/// The shred keys that this process has made.
#[derive(Default)]
pub(crate) struct ShredKeys(Mutex<HashMap<Uid, ShredKey>>);

/// Whether this is a shred key, and not that of an instance.
pub(crate) fn is_shred_key(stored: &StoredKey) -> bool {
    stored.binding.suite == SUITE
}

impl ShredKeys {
    /// The shred key for what is sealed of a study now; durable in the store when this returns.
    ///
    /// A study may have several: each process makes its own, so that sealing needs no private key. All belong to the study,
    /// and go with it. After a destruction there is a new one.
    pub(crate) fn of(
        &self,
        study: &Uid,
        keyring: &Keyring,
        store: &dyn KeyStore,
        tombstones: Option<&Tombstones>,
    ) -> Result<ShredKey, KeysError> {
        // Others who begin with the study wait for the disk here, once.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(study) {
            match tombstones.map_or(Ok(()), |tombstones| tombstones.check(found.id)) {
                Ok(()) => return Ok(found.clone()),
                Err(KeysError::Destroyed { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let made = ShredKey { id: KeyId::new(random()?), key: Arc::new(ContentKey::new(random()?)) };
        let binding = binding(made.id, study);
        let record = keyring.wrap(&made.key, &binding)?;
        store.write(Write::Key(NewKey { binding, facts: facts(study), record }))?;
        if known.len() >= STUDIES_MAX {
            known.clear();
        }
        known.insert(study.clone(), made.clone());
        Ok(made)
    }
}

impl ShredKey {
    /// The one with this id, out of the store.
    pub(crate) fn find(
        id: KeyId,
        wanted_by: KeyId,
        keyring: &Keyring,
        store: Option<&dyn KeyStore>,
    ) -> Result<Self, KeysError> {
        let missing = || KeysError::ShredKeyMissing { key_id: wanted_by, shred_key: id };
        let stored = store.map(|store| store.find(id)).transpose()?.flatten().ok_or_else(missing)?;
        let key = keyring.unwrap(&stored.record, &stored.binding)?;
        if !is_shred_key(&stored) {
            return Err(missing());
        }
        Ok(Self { id, key: Arc::new(key) })
    }

    /// Puts the mask over a content key, or takes it off again.
    pub(crate) fn mask(&self, content_key: &ContentKey, binding: &Binding) -> Result<ContentKey, KeysError> {
        let (class, instance) = (binding.sop_class.as_str(), binding.sop_instance.as_str());
        let info: [&[u8]; 6] = [
            MASK_INFO,
            binding.key_id.as_bytes(),
            &binding.suite.to_be_bytes(),
            class.as_bytes(),
            &[0],
            instance.as_bytes(),
        ];
        let mut masked = kdf::extract_expand::<32>(SALT, self.key.expose_secret(), &info)?;
        masked.iter_mut().zip(content_key.expose_secret()).for_each(|(mask, byte)| *mask ^= byte);
        Ok(ContentKey::new(*masked))
    }
}

/// A shred key belongs to its study, where a content key belongs to its instance.
fn binding(id: KeyId, study: &Uid) -> Binding {
    let sop_class = Uid::parse(CLASS).expect("a UID");
    Binding { key_id: id, suite: SUITE, sop_class, sop_instance: study.clone() }
}

fn facts(study: &Uid) -> Facts {
    Facts {
        study: Some(study.clone()),
        series: None,
        calling: None,
        sealed_unix_millis: chrono::Utc::now().timestamp_millis(),
        attributes: OriginalAttributes::default(),
    }
}
