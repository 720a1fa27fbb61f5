//! The keys of a study as they travel: out of one site's archive, into another's.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use zeroize::Zeroizing;

use super::error::HandoverError;
use super::package::{PACKAGE_BYTES_MAX, Reader};
use crate::dicom::Uid;
use crate::keys::shred::is_shred_key;
use crate::keys::store::{Facts, Filter, KeyStore, StoredKey};
use crate::keys::{Archive, Binding, DualKeyRoot, Keyring};
use crate::seal::{ContentKey, KeyId, Suite};

/// Most keys in one handover.
const KEYS_MAX: usize = 100_000;

/// One key on its way, with what its image needs at the other site.
pub struct Carried {
    /// What it belongs to.
    pub binding: Binding,
    /// The key.
    pub content_key: ContentKey,
    /// What is kept beside it.
    pub facts: Facts,
}

/// The keys of a study.
pub struct Handover {
    /// The study.
    pub study: Uid,
    /// Its keys, each once.
    pub keys: Vec<Carried>,
    /// The dual keys that its images may need besides, where that was asked for.
    pub dual: Vec<DualKeyRoot>,
}

/// Whether the dual keys of this site go along where images of a study need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithDual {
    /// They go along. They are those of all images of the site.
    Yes,
    /// They stay, and a study that needs them is refused.
    No,
}

impl Handover {
    /// Gathers every key of a study from the store.
    pub fn gather(
        study: &Uid,
        keyring: &Keyring,
        store: &dyn KeyStore,
        with_dual: WithDual,
    ) -> Result<Self, HandoverError> {
        let filter = Filter { study: Some(study.clone()), ..Filter::default() };
        let mut found = store.list(&filter, 0, KEYS_MAX)?;
        // The content keys go over; what masks them in our images is nothing to another site.
        found.retain(|stored| !is_shred_key(stored));
        if found.is_empty() {
            return Err(HandoverError::NoKeys);
        }
        let needs = found.iter().find(|stored| stored.binding.suite == Suite::Dual.id());
        let dual = match (needs, with_dual) {
            (None, _) => Vec::new(),
            (Some(stored), WithDual::No) => return Err(HandoverError::Dual(stored.binding.key_id)),
            (Some(_), WithDual::Yes) => keyring.dual_roots()?,
        };
        let keys = found.into_iter().map(|stored| carried(stored, keyring)).collect::<Result<_, _>>()?;
        Ok(Self { study: study.clone(), keys, dual })
    }

    /// Wraps each key for the recipients of this site and keeps it; gives how many were not known before.
    pub fn keep(self, archive: &Archive, store: &dyn KeyStore) -> Result<usize, HandoverError> {
        let mut new = 0_usize;
        // Before the keys that are worth nothing without them.
        for key in &self.dual {
            archive.keyring().take_in_dual_key(key)?;
        }
        for Carried { binding, content_key, facts } in self.keys {
            if store.find(binding.key_id)?.is_some() {
                continue;
            }
            let record = archive.wrap(&content_key, &binding)?;
            archive.keep(record, binding, facts)?.ok_or(HandoverError::NoStore)?;
            new = new.saturating_add(1);
        }
        Ok(new)
    }

    /// The bytes of it, packed. They are as secret as the keys.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
        let mut plain = Zeroizing::new(Vec::new());
        put(&mut plain, self.study.as_str());
        plain.extend_from_slice(&u32::try_from(self.keys.len()).unwrap_or(u32::MAX).to_be_bytes());
        for Carried { binding, content_key, facts } in &self.keys {
            plain.extend_from_slice(binding.key_id.as_bytes());
            plain.extend_from_slice(content_key.expose_secret());
            plain.extend_from_slice(&binding.suite.to_be_bytes());
            put(&mut plain, binding.sop_class.as_str());
            put(&mut plain, binding.sop_instance.as_str());
            put(&mut plain, facts.series.as_ref().map_or("", Uid::as_str));
            plain.extend_from_slice(&facts.sealed_unix_millis.to_be_bytes());
            let attributes = serde_json::to_vec(&facts.attributes)
                .map_err(|_| HandoverError::Malformed("an attribute cannot be written"))?;
            plain.extend_from_slice(&u16::try_from(attributes.len()).unwrap_or(u16::MAX).to_be_bytes());
            plain.extend_from_slice(&attributes);
        }
        // Where there is none, an older program reads it too.
        if !self.dual.is_empty() {
            plain.extend_from_slice(&u16::try_from(self.dual.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
        for key in &self.dual {
            plain.extend_from_slice(key.id.as_bytes());
            plain.extend_from_slice(&key.created_unix_seconds.to_be_bytes());
            plain.extend_from_slice(key.root.expose_secret());
        }
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&plain)?;
        Ok(Zeroizing::new(packer.finish()?))
    }

    /// Reads what [`Handover::to_bytes`] wrote at another site.
    pub fn parse(packed: &[u8]) -> Result<Self, HandoverError> {
        let mut plain = Zeroizing::new(Vec::new());
        let limit = PACKAGE_BYTES_MAX as u64;
        DeflateDecoder::new(packed).take(limit.saturating_add(1)).read_to_end(&mut plain)?;
        if plain.len() > PACKAGE_BYTES_MAX {
            return Err(HandoverError::Malformed("it unpacks to more than any handover has"));
        }
        let mut reader = Reader { bytes: &plain, at: 0 };
        let study = uid(&mut reader)?;
        let count = u32::from_be_bytes(reader.array()?);
        let mut keys = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let key = read_key(&mut reader, &study)?;
            if !seen.insert(key.binding.key_id) {
                return Err(HandoverError::Malformed("a key is in it twice"));
            }
            keys.push(key);
        }
        let dual = if reader.at == plain.len() { Vec::new() } else { read_dual(&mut reader)? };
        if reader.at != plain.len() {
            return Err(HandoverError::Malformed("something follows its end"));
        }
        Ok(Self { study, keys, dual })
    }
}

fn carried(stored: StoredKey, keyring: &Keyring) -> Result<Carried, HandoverError> {
    let StoredKey { binding, facts, record, .. } = stored;
    let content_key = keyring.unwrap(&record, &binding)?;
    Ok(Carried { binding, content_key, facts })
}

fn read_key(reader: &mut Reader<'_>, study: &Uid) -> Result<Carried, HandoverError> {
    let key_id = KeyId::new(reader.array()?);
    let content_key = ContentKey::new(reader.array()?);
    let suite = u16::from_be_bytes(reader.array()?);
    let binding = Binding { key_id, suite, sop_class: uid(reader)?, sop_instance: uid(reader)? };
    let series = match reader.text()? {
        "" => None,
        text => Some(Uid::parse(text).map_err(|_| HandoverError::Malformed("a UID is none"))?),
    };
    let sealed_unix_millis = i64::from_be_bytes(reader.array()?);
    let length = usize::from(u16::from_be_bytes(reader.array()?));
    let attributes = serde_json::from_slice(reader.take(length)?)
        .map_err(|_| HandoverError::Malformed("the attributes of an original are none"))?;
    let facts = Facts { study: Some(study.clone()), series, calling: None, sealed_unix_millis, attributes };
    Ok(Carried { binding, content_key, facts })
}

fn read_dual(reader: &mut Reader<'_>) -> Result<Vec<DualKeyRoot>, HandoverError> {
    let count = u16::from_be_bytes(reader.array()?);
    let mut keys = Vec::new();
    for _ in 0..count {
        let id = KeyId::new(reader.array()?);
        let created_unix_seconds = u64::from_be_bytes(reader.array()?);
        keys.push(DualKeyRoot { id, created_unix_seconds, root: ContentKey::new(reader.array()?) });
    }
    Ok(keys)
}

fn uid(reader: &mut Reader<'_>) -> Result<Uid, HandoverError> {
    Uid::parse(reader.text()?).map_err(|_| HandoverError::Malformed("a UID is none"))
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}
