//! The site's dual keys, which the suite `dual` needs: wrapped for the key encryption keys, in files beside theirs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cipher::{DualKey, DualKeyId, DualKeys};
use crate::keys::companions::{self, Companion};
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::hex;
use crate::keys::keyring::Keyring;
use crate::keys::record::{KeyRecord, RECORD_BYTES_MAX};
use crate::keys::wrap::Binding;
use crate::seal::{ContentKey, KeyId, Suite, random};

const FORMAT: &str = "sealgate-dual-key";
const VERSION: u8 = 1;
const EXTENSION: &str = "dual";
/// Longest file read: a record in hexadecimal, and what stands around it.
const DOCUMENT_BYTES_MAX: u64 = 2 * RECORD_BYTES_MAX as u64 + 1024;
/// The generation of a dual key that another site handed over: never the newest of ours.
const OF_ANOTHER_SITE: u32 = 0;
/// Most dual keys of a site.
const KEYS_MAX: usize = 256;

/// The file of a dual key, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u8,
    generation: u32,
    id: String,
    created_unix_seconds: u64,
    /// A key record; what it wraps is the root of the dual key.
    record: String,
}

/// What can be told about a dual key without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DualKeyInfo {
    /// The id, as 32 hexadecimal digits.
    pub id: String,
    /// 1 for the first, then counting up; the newest seals. 0 for one that another site handed over, which only opens.
    pub generation: u32,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
}

impl Document {
    fn read(path: &Path) -> Result<Self, KeysError> {
        let bytes = file::read_private(path, DOCUMENT_BYTES_MAX)?;
        let document: Self =
            serde_json::from_slice(&bytes).map_err(|error| KeysError::malformed(path, &error))?;
        if document.format != FORMAT || document.version != VERSION {
            let Self { format, version, .. } = &document;
            let problem =
                format!("it is {format:?} version {version}, {FORMAT:?} version {VERSION} was expected");
            return Err(KeysError::malformed(path, &problem));
        }
        document.binding(path)?;
        Ok(document)
    }

    fn record(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let malformed = || KeysError::malformed(path, "`record` is not hexadecimal");
        hex::decode(&self.record).ok_or_else(malformed)
    }

    fn binding(&self, path: &Path) -> Result<Binding, KeysError> {
        let malformed = || KeysError::malformed(path, "`id` is not 16 bytes in hexadecimal");
        Ok(binding(KeyId::new(hex::decode_array(&self.id).ok_or_else(malformed)?)))
    }

    fn info(&self) -> DualKeyInfo {
        let Self { id, generation, created_unix_seconds, .. } = self;
        DualKeyInfo { id: id.clone(), generation: *generation, created_unix_seconds: *created_unix_seconds }
    }
}

/// The root of a dual key is wrapped like a content key, bound to no instance but to the suite and its own id.
fn binding(id: KeyId) -> Binding {
    Binding::of_no_instance(id, Suite::Dual.id())
}

/// Every file of a folder, by generation.
fn documents(folder: &Path) -> Result<Vec<(PathBuf, Document)>, KeysError> {
    let mut found = Vec::new();
    for path in file::with_extension(folder, EXTENSION)? {
        let path = path?;
        if file::is_hidden(&path) {
            continue;
        }
        if found.len() >= KEYS_MAX {
            return Err(KeysError::malformed(folder, &format!("more than {KEYS_MAX} dual keys")));
        }
        let document = Document::read(&path)?;
        let expected = path_of(folder, &document);
        if path != expected {
            return Err(KeysError::malformed(
                &path,
                &format!("it belongs to the name {}", expected.display()),
            ));
        }
        found.push((path, document));
    }
    found.sort_by_key(|(_, document)| document.generation);
    Ok(found)
}

fn path_of(folder: &Path, document: &Document) -> PathBuf {
    let name = match document.generation {
        OF_ANOTHER_SITE => format!("of-{}", document.id),
        generation => format!("dual-{generation:04}"),
    };
    folder.join(format!("{name}.{EXTENSION}"))
}

/// A dual key that is on its way to another site.
pub struct DualKeyRoot {
    /// Its id.
    pub id: KeyId,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// What everything else of it follows from.
    pub root: ContentKey,
}

impl Keyring {
    /// Every dual key of the site, by generation.
    pub fn dual_infos(&self) -> Result<Vec<DualKeyInfo>, KeysError> {
        Ok(documents(self.folder())?.iter().map(|(_, document)| document.info()).collect())
    }

    /// The dual keys, unwrapped. One that cannot be unwrapped stops only what needs it.
    pub fn dual_keys(&self) -> Result<DualKeys, KeysError> {
        let mut keys = DualKeys::default();
        for (path, document) in documents(self.folder())? {
            let binding = document.binding(&path)?;
            let id = DualKeyId::new(*binding.key_id.as_bytes());
            match self.unwrap(&document.record(&path)?, &binding) {
                Ok(root) if document.generation == OF_ANOTHER_SITE => {
                    keys.add_of_another_site(DualKey::new(id, root.expose_secret()));
                }
                Ok(root) => keys.add(DualKey::new(id, root.expose_secret())),
                Err(error) => keys.add_shut(id, error.to_string()),
            }
        }
        Ok(keys)
    }

    /// The dual keys as they are handed over; each has to open here.
    pub fn dual_roots(&self) -> Result<Vec<DualKeyRoot>, KeysError> {
        let root = |(path, document): (PathBuf, Document)| {
            let binding = document.binding(&path)?;
            let root = self.unwrap(&document.record(&path)?, &binding)?;
            let created_unix_seconds = document.created_unix_seconds;
            Ok(DualKeyRoot { id: binding.key_id, created_unix_seconds, root })
        };
        documents(self.folder())?.into_iter().map(root).collect()
    }

    /// Keeps the dual key of another site, wrapped for the current recipients; it opens, and never seals. Says whether it is new.
    pub fn take_in_dual_key(&self, key: &DualKeyRoot) -> Result<bool, KeysError> {
        let id = key.id.to_string();
        if documents(self.folder())?.iter().any(|(_, known)| known.id == id) {
            return Ok(false);
        }
        self.write_dual(OF_ANOTHER_SITE, key).map(|_| true)
    }

    /// Makes the next dual key, wrapped for the current recipients; the older ones stay for opening.
    pub fn make_dual_key(&self, created_unix_seconds: u64) -> Result<DualKeyInfo, KeysError> {
        let (id, root) = (KeyId::new(random()?), ContentKey::new(random()?));
        let before = documents(self.folder())?;
        let generation = before.last().map_or(1, |(_, newest)| newest.generation.saturating_add(1));
        self.write_dual(generation, &DualKeyRoot { id, created_unix_seconds, root })
    }

    fn write_dual(&self, generation: u32, key: &DualKeyRoot) -> Result<DualKeyInfo, KeysError> {
        let record = self.wrap(&key.root, &binding(key.id))?;
        // As a start would: a key that does not open again must not seal anything.
        self.unwrap(&record, &binding(key.id))?;
        let document = Document {
            format: FORMAT.into(),
            version: VERSION,
            generation,
            id: key.id.to_string(),
            created_unix_seconds: key.created_unix_seconds,
            record: hex::encode(&record),
        };
        let mut bytes =
            serde_json::to_vec_pretty(&document).map_err(|_| KeysError::Crypto("writing JSON"))?;
        bytes.push(b'\n');
        file::create_private(&path_of(self.folder(), &document), &bytes)?;
        Ok(document.info())
    }
}

impl Companion for Document {
    type Info = DualKeyInfo;
    const EXTENSION: &'static str = EXTENSION;

    fn read(path: &Path) -> Result<Self, KeysError> {
        let document = Self::read(path)?;
        KeyRecord::parse(&document.record(path)?)?;
        Ok(document)
    }

    fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    fn info(&self, _: &Path) -> DualKeyInfo {
        self.info()
    }
}

/// Copies the dual keys of a keyring's folder beside a backup: `BACKUP.dual-0001.dual` and so on. What is secret in them is
/// wrapped.
pub fn back_up(folder: &Path, backup: &Path) -> Result<Vec<DualKeyInfo>, KeysError> {
    companions::back_up::<Document>(folder, backup)
}

/// Brings the dual keys beside a backup back into a keyring's folder; none that is there is replaced.
pub fn restore(folder: &Path, backup: &Path) -> Result<Vec<DualKeyInfo>, KeysError> {
    companions::restore::<Document>(folder, backup)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::keys::{
        Algorithm, Argon2Cost, NewCustody, Passphrase, RecipientName, SealingSecret, UnlockSecrets,
    };

    fn passphrase() -> Passphrase {
        Passphrase::new("correct horse battery".into())
    }

    /// A keyring with one key, unlocked.
    fn keyring(folder: &Path) -> Keyring {
        let mut keyring = Keyring::load(folder, &[RecipientName::site()]).unwrap();
        let custody = NewCustody::File(SealingSecret::Passphrase(passphrase(), Argon2Cost::FLOOR));
        keyring.generate(&RecipientName::site(), Algorithm::EcdhP256, &custody, 1).unwrap();
        keyring
    }

    fn at(folder: &Path, generation: u32) -> PathBuf {
        folder.join(format!("dual-{generation:04}.dual"))
    }

    #[test]
    fn a_dual_key_of_another_site_opens_and_never_seals() {
        let place = tempfile::tempdir().unwrap();
        let (ours, theirs) = (keyring(&place.path().join("ours")), keyring(&place.path().join("theirs")));
        let made = theirs.make_dual_key(5).unwrap();
        let [root] = &theirs.dual_roots().unwrap()[..] else { panic!("one dual key") };
        assert!(ours.take_in_dual_key(root).unwrap());
        assert!(!ours.take_in_dual_key(root).unwrap(), "it is there already");
        assert!(ours.dual_keys().unwrap().current().is_err());
        assert_eq!(ours.dual_infos().unwrap()[0].id, made.id);
        let own = ours.make_dual_key(6).unwrap();
        assert_eq!((own.generation, ours.dual_infos().unwrap().len()), (1, 2));
        assert_eq!(ours.dual_keys().unwrap().current().unwrap().id().to_string(), own.id);
    }

    #[test]
    fn a_dual_key_opens_with_the_keyring_and_is_shut_without_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("kek");
        let keyring = keyring(&folder);
        assert!(keyring.dual_keys().unwrap().current().is_err());
        let first = keyring.make_dual_key(5).unwrap();
        assert_eq!(keyring.dual_keys().unwrap().current().unwrap().id().to_string(), first.id);
        let second = keyring.make_dual_key(6).unwrap();
        assert_eq!((first.generation, second.generation), (1, 2));
        assert_eq!(keyring.dual_keys().unwrap().current().unwrap().id().to_string(), second.id);

        let mut locked = Keyring::load(&folder, &[RecipientName::site()]).unwrap();
        let said = locked.dual_keys().unwrap().current().unwrap_err().to_string();
        assert!(said.contains(&second.id) && said.contains("is locked"), "{said}");
        assert!(matches!(locked.make_dual_key(7), Err(KeysError::Locked(_))));
        let secrets = UnlockSecrets { passphrase: Some(passphrase()), ..UnlockSecrets::default() };
        locked.unlock(&secrets).unwrap();
        assert!(locked.dual_keys().unwrap().current().is_ok());
    }

    #[test]
    fn a_backup_brings_them_back_and_never_over_others() {
        let place = tempfile::tempdir().unwrap();
        let (folder, backup) = (place.path().join("kek"), place.path().join("backup"));
        let keyring = keyring(&folder);
        let made = [keyring.make_dual_key(5).unwrap(), keyring.make_dual_key(6).unwrap()];
        assert_eq!(back_up(&folder, &backup).unwrap(), made);
        assert_eq!(restore(&folder, &backup).unwrap(), []);
        fs::remove_file(at(&folder, 1)).unwrap();
        assert_eq!(restore(&folder, &backup).unwrap(), made[..1]);
        assert_eq!(keyring.dual_infos().unwrap(), made);
        // Another key under the number of one in the backup.
        for generation in [1, 2] {
            fs::remove_file(at(&folder, generation)).unwrap();
        }
        keyring.make_dual_key(7).unwrap();
        assert!(matches!(restore(&folder, &backup), Err(KeysError::Exists(_))));
    }

    #[test]
    fn a_file_under_another_number_or_id_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("kek");
        let keyring = keyring(&folder);
        let made = keyring.make_dual_key(5).unwrap();
        fs::rename(at(&folder, 1), at(&folder, 2)).unwrap();
        assert!(keyring.dual_keys().is_err());
        let text = fs::read_to_string(at(&folder, 2)).unwrap();
        fs::remove_file(at(&folder, 2)).unwrap();
        file::create_private(&at(&folder, 1), text.replacen(&made.id, &"0".repeat(32), 1).as_bytes())
            .unwrap();
        let said = keyring.dual_keys().unwrap().current().unwrap_err().to_string();
        assert!(said.contains("is for key"), "{said}");
    }
}
