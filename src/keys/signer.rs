//! Signing keys: this gateway's own, wrapped for the key encryption keys, and the public halves of other gateways.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::keys::companions;
use crate::keys::companions::Companion;
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::hex;
use crate::keys::keyring::{Keyring, RecipientName};
use crate::keys::record::RECORD_BYTES_MAX;
use crate::keys::wrap::Binding;
use crate::seal::{ContentKey, KeyId, Signer, SignerKey, random};

const FORMAT: &str = "sealgate-signer";
const VERSION: u8 = 1;
const EXTENSION: &str = "signer";
/// What our own files are called before their number.
const OWN: &str = "signer-";
const DOCUMENT_BYTES_MAX: u64 = 2 * RECORD_BYTES_MAX as u64 + 1024;
/// Most signing keys in a keyring, own and others.
const SIGNERS_MAX: usize = 1024;

/// The file of a signing key, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u8,
    created_unix_seconds: u64,
    public_key: String,
    /// A key record; what it wraps is the seed. Absent in what another gateway exported.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    record: Option<String>,
}

/// What can be told about a signing key without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerInfo {
    /// The name of its file: `signer-0001` and so on for our own, the name it was imported under for another's.
    pub name: String,
    /// The Ed25519 public key, as 64 hexadecimal digits.
    pub public_key: String,
    /// Whether this gateway signs, or once signed, with it.
    pub ours: bool,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
}

impl Document {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KeysError> {
        let document: Self =
            serde_json::from_slice(bytes).map_err(|error| KeysError::malformed(path, &error))?;
        if document.format != FORMAT || document.version != VERSION {
            let Self { format, version, .. } = &document;
            let problem =
                format!("it is {format:?} version {version}, {FORMAT:?} version {VERSION} was expected");
            return Err(KeysError::malformed(path, &problem));
        }
        document.key(path)?;
        Ok(document)
    }

    fn key(&self, path: &Path) -> Result<SignerKey, KeysError> {
        let malformed = || KeysError::malformed(path, "`public_key` is not 32 bytes in hexadecimal");
        hex::decode_array(&self.public_key).map(SignerKey::new).ok_or_else(malformed)
    }

    fn info(&self, path: &Path) -> SignerInfo {
        SignerInfo {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            public_key: self.public_key.clone(),
            ours: self.record.is_some(),
            created_unix_seconds: self.created_unix_seconds,
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, KeysError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|_| KeysError::Crypto("writing JSON"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Companion for Document {
    type Info = SignerInfo;
    const EXTENSION: &'static str = EXTENSION;

    fn read(path: &Path) -> Result<Self, KeysError> {
        Self::parse(path, &file::read_private(path, DOCUMENT_BYTES_MAX)?)
    }

    fn is(&self, other: &Self) -> bool {
        self.public_key == other.public_key && self.record.is_some() == other.record.is_some()
    }

    fn info(&self, path: &Path) -> SignerInfo {
        self.info(path)
    }
}

/// Copies the signing keys of a keyring's folder beside a backup. What is secret in them is wrapped.
pub fn back_up(folder: &Path, backup: &Path) -> Result<Vec<SignerInfo>, KeysError> {
    companions::back_up::<Document>(folder, backup)
}

/// Brings the signing keys beside a backup back into a keyring's folder; none that is there is replaced.
pub fn restore(folder: &Path, backup: &Path) -> Result<Vec<SignerInfo>, KeysError> {
    companions::restore::<Document>(folder, backup)
}

/// The seed is wrapped like a content key, bound to no instance but to its public key.
fn binding(key: SignerKey) -> Binding {
    let (id, _) = key.as_bytes().split_first_chunk().expect("16 of 32 bytes");
    Binding::of_no_instance(KeyId::new(*id), 0)
}

/// Every file of a folder, by name: of our own, the newest last.
fn documents(folder: &Path) -> Result<Vec<(PathBuf, Document)>, KeysError> {
    let mut found = Vec::new();
    for path in file::with_extension(folder, EXTENSION)? {
        let path = path?;
        if file::is_hidden(&path) {
            continue;
        }
        if found.len() >= SIGNERS_MAX {
            return Err(KeysError::malformed(folder, &format!("more than {SIGNERS_MAX} signing keys")));
        }
        let document = Document::read(&path)?;
        found.push((path, document));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

impl Keyring {
    /// Every signing key that is known here, own and others'.
    pub fn signers(&self) -> Result<Vec<SignerInfo>, KeysError> {
        Ok(documents(self.folder())?.iter().map(|(path, document)| document.info(path)).collect())
    }

    /// The name a signer is known under.
    pub fn name_of(&self, signer: SignerKey) -> Result<Option<String>, KeysError> {
        let wanted = signer.to_string();
        Ok(self.signers()?.into_iter().find(|info| info.public_key == wanted).map(|info| info.name))
    }

    /// The signers whose signatures do, by these names; all that are known here where there is none.
    pub fn trusted_signers(&self, names: &[RecipientName]) -> Result<Vec<SignerKey>, KeysError> {
        let known = documents(self.folder())?;
        let named = |name: &RecipientName| {
            let wanted = self.folder().join(format!("{name}.{EXTENSION}"));
            let found = known.iter().find(|(path, _)| *path == wanted);
            found.ok_or_else(|| {
                KeysError::Config(format!("`signers` names {name}, and no signing key has that name"))
            })
        };
        let chosen: Vec<&(PathBuf, Document)> = if names.is_empty() {
            known.iter().collect()
        } else {
            names.iter().map(named).collect::<Result<_, _>>()?
        };
        if chosen.is_empty() {
            let problem =
                "`require_signature` is true, and no signing key is known; `sealgate keys signer` makes one";
            return Err(KeysError::Config(problem.into()));
        }
        chosen.into_iter().map(|(path, document)| document.key(path)).collect()
    }

    /// This gateway's newest signing key, unwrapped.
    pub fn signer(&self) -> Result<Signer, KeysError> {
        let documents = documents(self.folder())?;
        let own = documents
            .iter()
            .rev()
            .find_map(|(path, document)| document.record.as_ref().map(|record| (path, document, record)));
        let Some((path, document, record)) = own else {
            let problem =
                "there is no signing key; `sealgate keys signer` makes it, or set `keys.sign` to false";
            return Err(KeysError::Recipient(problem.into()));
        };
        let key = document.key(path)?;
        let record =
            hex::decode(record).ok_or_else(|| KeysError::malformed(path, "`record` is not hexadecimal"))?;
        let signer = Signer::new(self.unwrap(&record, &binding(key))?.expose_secret());
        if signer.key() == key {
            return Ok(signer);
        }
        Err(KeysError::malformed(path, "its public key is not that of the wrapped seed"))
    }

    /// Makes the next signing key of this gateway, wrapped for the current recipients.
    pub fn make_signer(&self, created_unix_seconds: u64) -> Result<SignerInfo, KeysError> {
        let seed = ContentKey::new(random()?);
        let key = Signer::new(seed.expose_secret()).key();
        let record = self.wrap(&seed, &binding(key))?;
        // As a start would: a key that does not open again must not sign anything.
        self.unwrap(&record, &binding(key))?;
        let own = documents(self.folder())?.iter().filter(|(_, known)| known.record.is_some()).count();
        let document = Document {
            format: FORMAT.into(),
            version: VERSION,
            created_unix_seconds,
            public_key: key.to_string(),
            record: Some(hex::encode(&record)),
        };
        let path = self.folder().join(format!("{OWN}{:04}.{EXTENSION}", own.saturating_add(1)));
        file::create_private(&path, &document.to_bytes()?)?;
        Ok(document.info(&path))
    }

    /// The public half of this gateway's newest signing key, as a file for whoever shall verify.
    pub fn export_signer(&self) -> Result<Vec<u8>, KeysError> {
        let documents = documents(self.folder())?;
        let own = documents.into_iter().rev().find(|(_, document)| document.record.is_some());
        let (_, document) = own.ok_or_else(|| {
            KeysError::Recipient("there is no signing key; `sealgate keys signer` makes it".into())
        })?;
        Document { record: None, ..document }.to_bytes()
    }

    /// Takes in the public half that another gateway exported, under a name.
    pub fn import_signer(&self, name: &RecipientName, exported: &Path) -> Result<SignerInfo, KeysError> {
        if name.as_str().starts_with(OWN) {
            let problem = format!("names that begin with {OWN} are those of this gateway's own keys");
            return Err(KeysError::Recipient(problem));
        }
        let source = fs::File::open(exported).map_err(KeysError::file("opening", exported))?;
        let bytes = file::read_limited(source, exported, DOCUMENT_BYTES_MAX)?;
        let document = Document { record: None, ..Document::parse(exported, &bytes)? };
        if let Some(known) = self.name_of(document.key(exported)?)? {
            return Err(KeysError::Recipient(format!("this signing key is known already, as {known}")));
        }
        file::private_folder(self.folder())?;
        let path = self.folder().join(format!("{name}.{EXTENSION}"));
        file::create_private(&path, &document.to_bytes()?)?;
        Ok(document.info(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Algorithm, Argon2Cost, NewCustody, Passphrase, SealingSecret};

    fn keyring(folder: &Path) -> Keyring {
        let mut keyring = Keyring::load(folder, &[RecipientName::site()]).unwrap();
        let passphrase = Passphrase::new("correct horse battery".into());
        let custody = NewCustody::File(SealingSecret::Passphrase(passphrase, Argon2Cost::FLOOR));
        keyring.generate(&RecipientName::site(), Algorithm::EcdhP256, &custody, 1).unwrap();
        keyring
    }

    #[test]
    fn a_signing_key_comes_back_and_another_site_learns_its_public_half() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, theirs) = (keyring(&here.path().join("kek")), keyring(&there.path().join("kek")));
        assert!(ours.signer().unwrap_err().to_string().contains("keys signer"));
        let first = ours.make_signer(5).unwrap();
        assert_eq!(ours.signer().unwrap().key().to_string(), first.public_key);
        let second = ours.make_signer(6).unwrap();
        assert_eq!((first.name.as_str(), second.name.as_str()), ("signer-0001", "signer-0002"));
        let signer = ours.signer().unwrap().key();
        assert_eq!(signer.to_string(), second.public_key);

        let file = here.path().join("public");
        fs::write(&file, ours.export_signer().unwrap()).unwrap();
        assert!(!fs::read_to_string(&file).unwrap().contains("record"));
        assert_eq!(theirs.name_of(signer).unwrap(), None);
        let name: RecipientName = "north".parse().unwrap();
        assert!(!theirs.import_signer(&name, &file).unwrap().ours);
        assert_eq!(theirs.name_of(signer).unwrap().as_deref(), Some("north"));
        assert!(theirs.import_signer(&"again".parse().unwrap(), &file).is_err());
        assert!(theirs.signer().is_err(), "a public half signs nothing");
    }

    #[test]
    fn a_backup_brings_signing_keys_back_and_never_over_others() {
        let place = tempfile::tempdir().unwrap();
        let (folder, backup) = (place.path().join("kek"), place.path().join("backup"));
        let keyring = keyring(&folder);
        let made = keyring.make_signer(5).unwrap();
        assert_eq!(back_up(&folder, &backup).unwrap(), std::slice::from_ref(&made));
        assert_eq!(restore(&folder, &backup).unwrap(), []);
        let path = folder.join("signer-0001.signer");
        fs::remove_file(&path).unwrap();
        assert!(keyring.signer().is_err());
        assert_eq!(restore(&folder, &backup).unwrap(), std::slice::from_ref(&made));
        assert_eq!(keyring.signer().unwrap().key().to_string(), made.public_key);
        fs::remove_file(&path).unwrap();
        keyring.make_signer(7).unwrap();
        assert!(matches!(restore(&folder, &backup), Err(KeysError::Exists(_))));
    }

    #[test]
    fn trusted_are_those_that_are_named_or_all() {
        let place = tempfile::tempdir().unwrap();
        let keyring = keyring(&place.path().join("kek"));
        assert!(keyring.trusted_signers(&[]).is_err(), "nobody could be trusted");
        let made = [keyring.make_signer(5).unwrap(), keyring.make_signer(6).unwrap()];
        let trusted = |names: &[&str]| {
            let names: Vec<RecipientName> = names.iter().map(|name| name.parse().unwrap()).collect();
            keyring
                .trusted_signers(&names)
                .map(|keys| keys.iter().map(SignerKey::to_string).collect::<Vec<_>>())
        };
        assert_eq!(trusted(&[]).unwrap(), made.each_ref().map(|one| one.public_key.clone()));
        assert_eq!(trusted(&["signer-0002"]).unwrap(), [made[1].public_key.clone()]);
        assert!(trusted(&["north"]).unwrap_err().to_string().contains("north"));
    }

    #[test]
    fn a_public_key_that_is_not_the_seeds_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let keyring = keyring(&place.path().join("kek"));
        let made = keyring.make_signer(5).unwrap();
        let path = keyring.folder().join("signer-0001.signer");
        let text = fs::read_to_string(&path).unwrap();
        // The last digits: the first sixteen bytes are what the wrap is bound to, and would be refused by it.
        let tail = &made.public_key[60..];
        let other = if tail == "0000" { "0001" } else { "0000" };
        fs::remove_file(&path).unwrap();
        file::create_private(&path, text.replacen(tail, other, 1).as_bytes()).unwrap();
        assert!(keyring.signer().is_err());
    }
}
