//! The keyring: one current key encryption key for each recipient, the old ones kept for opening.

mod document;
mod escrowed;
mod oaep;
pub(crate) mod sealed;
mod token;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::kek::{KekId, LocalKek, PrivateKek, PublicKek};
use crate::keys::record::{KeyRecord, Recipient, kek_set};
use crate::keys::secret::{Credential, Passphrase};
use crate::keys::wrap::{self, Binding};
use crate::seal::{ContentKey, KeyId};

pub use document::RecipientName;
pub(crate) use escrowed::EscrowedKey;
pub use sealed::{Argon2Cost, SealingSecret};
pub use token::Token;

use document::{Custody, DOCUMENT_BYTES_MAX, Document};
use sealed::SealedKey;

/// Most key files in a keyring.
const KEKS_MAX: usize = 1024;
/// What key files are called after their recipient and generation.
const EXTENSION: &str = "kek";

/// What opens private halves; whatever is missing leaves its keys locked.
#[derive(Default)]
pub struct UnlockSecrets {
    /// For files sealed by a passphrase.
    pub passphrase: Option<Passphrase>,
    /// For files sealed by a systemd credential.
    pub credential: Option<Credential>,
    /// For keys in a PKCS#11 token.
    pub token: Option<Arc<Token>>,
}

/// Where the private half of a new key goes.
pub enum NewCustody {
    /// Into the key file.
    File(SealingSecret),
    /// Into a PKCS#11 token, which makes the key and never gives it out.
    Token(Arc<Token>),
}

/// Where a private half is, and whether it can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrivateState {
    /// Elsewhere; this site can only wrap for it.
    Elsewhere,
    /// Here, and locked.
    Locked,
    /// Here, and ready for opening.
    Unlocked,
}

/// What can be told about a key encryption key without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KekInfo {
    /// The id, as 32 hexadecimal digits.
    pub id: String,
    /// Whose it is.
    pub recipient: RecipientName,
    /// 1 for the recipient's first key, then counting up.
    pub generation: u32,
    /// Whether new content keys are wrapped with it.
    pub current: bool,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// Where the private half is: `elsewhere`, `file-passphrase`, `file-credential` or `token`.
    pub custody: &'static str,
    /// Whether it can be used now.
    pub private: PrivateState,
}

struct Kek {
    path: PathBuf,
    document: Document,
    public: PublicKek,
    private: Option<Box<dyn PrivateKek>>,
}

/// Every key encryption key of this site. Loaded it is locked: it wraps, and opens nothing.
pub struct Keyring {
    folder: PathBuf,
    active: Vec<RecipientName>,
    keks: Vec<Kek>,
}

impl Keyring {
    /// One with no keys, for nobody: it wraps nothing and opens nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { folder: PathBuf::new(), active: Vec::new(), keks: Vec::new() }
    }

    /// Reads the key files in `folder`; content keys will be wrapped for the recipients `active`.
    ///
    /// A folder that is not there is an empty keyring.
    pub fn load(folder: &Path, active: &[RecipientName]) -> Result<Self, KeysError> {
        let mut keyring = Self { folder: folder.to_owned(), active: active.to_vec(), keks: Vec::new() };
        if !folder.exists() {
            return Ok(keyring);
        }
        file::check_folder(folder)?;
        for path in file::with_extension(folder, EXTENSION)? {
            let path = path?;
            if !file::is_hidden(&path) {
                keyring.add(path)?;
            }
        }
        keyring.keks.sort_by(|a, b| a.order().cmp(&b.order()));
        Ok(keyring)
    }

    /// Where the key files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn add(&mut self, path: PathBuf) -> Result<(), KeysError> {
        if self.keks.len() >= KEKS_MAX {
            return Err(KeysError::malformed(&self.folder, &format!("more than {KEKS_MAX} key files")));
        }
        let bytes = file::read_private(&path, DOCUMENT_BYTES_MAX)?;
        let (document, public) = Document::parse(&path, &bytes)?;
        let expected = path_of(&self.folder, &document.recipient, document.generation);
        if path != expected {
            let problem = format!("it belongs to the name {}", expected.display());
            return Err(KeysError::malformed(&path, &problem));
        }
        if let Some(other) = self.find(public.id()) {
            let problem = format!("it holds the same key as {}", other.path.display());
            return Err(KeysError::malformed(&path, &problem));
        }
        self.keks.push(Kek { path, document, public, private: None });
        Ok(())
    }

    /// Opens every private half that `secrets` reach, each against its stored check, and says how many are open.
    ///
    /// A wrong passphrase, credential or token key is an error, and then nothing is open.
    pub fn unlock(&mut self, secrets: &UnlockSecrets) -> Result<usize, KeysError> {
        let opened = self.keks.iter().map(|kek| kek.open(secrets)).collect::<Result<Vec<_>, _>>()?;
        for (kek, private) in self.keks.iter_mut().zip(opened) {
            kek.private = private.or(kek.private.take());
        }
        Ok(self.keks.iter().filter(|kek| kek.private.is_some()).count())
    }

    /// Forgets every private half.
    pub fn lock(&mut self) {
        for kek in &mut self.keks {
            kek.private = None;
        }
    }

    /// Whether a private half of this site is locked.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.keks.iter().any(|kek| kek.state() == PrivateState::Locked)
    }

    /// Every key, by recipient and generation.
    pub fn keks(&self) -> impl Iterator<Item = KekInfo> + '_ {
        self.keks.iter().map(|kek| KekInfo {
            id: kek.public.id().to_string(),
            recipient: kek.document.recipient.clone(),
            generation: kek.document.generation,
            current: self.active.contains(&kek.document.recipient) && self.is_newest(kek),
            algorithm: kek.public.algorithm(),
            created_unix_seconds: kek.document.created_unix_seconds,
            custody: kek.custody(),
            private: kek.state(),
        })
    }

    /// The keys that new content keys are wrapped for: the newest of each active recipient.
    pub fn current(&self) -> Result<Vec<&PublicKek>, KeysError> {
        if self.active.is_empty() {
            return Err(KeysError::Recipient("no recipient is configured".into()));
        }
        self.active.iter().map(|name| self.newest(name).map(|kek| &kek.public)).collect()
    }

    /// The ids of the current keys, sorted and joined: what a stored record says it is for.
    pub fn current_set(&self) -> Result<Vec<u8>, KeysError> {
        Ok(kek_set(self.current()?.into_iter().map(PublicKek::id)))
    }

    /// Wraps a content key for the current keys.
    pub fn wrap(&self, content_key: &ContentKey, binding: &Binding) -> Result<Vec<u8>, KeysError> {
        wrap::wrap(content_key, binding, self.current()?)
    }

    /// Wraps a masked content key for the current keys.
    pub(crate) fn wrap_masked(
        &self,
        masked: &ContentKey,
        binding: &Binding,
        shred_key: KeyId,
    ) -> Result<Vec<u8>, KeysError> {
        wrap::wrap_masked(masked, binding, shred_key, self.current()?)
    }

    /// The content key in a record that belongs to `binding`; not one under a mask, which is no content key.
    pub fn unwrap(&self, record: &[u8], binding: &Binding) -> Result<ContentKey, KeysError> {
        let record = KeyRecord::parse(record)?;
        match record.shred_key {
            Some(shred_key) => Err(KeysError::ShredKeyMissing { key_id: binding.key_id, shred_key }),
            None => self.unwrap_parsed(&record, binding),
        }
    }

    /// What a record wraps that belongs to `binding`, masked or not.
    pub(crate) fn unwrap_parsed(
        &self,
        record: &KeyRecord,
        binding: &Binding,
    ) -> Result<ContentKey, KeysError> {
        wrap::check_names(record, binding)?;
        let mut locked = None;
        let mut unusable = None;
        for (recipient, kek) in self.ours(record) {
            let Some(private) = kek.private.as_deref() else {
                locked = locked.or((kek.state() == PrivateState::Locked).then(|| kek.public.id()));
                continue;
            };
            match wrap::unwrap(record, recipient, binding, &kek.public, private) {
                // The token cannot be reached, but another key may do.
                Err(error @ KeysError::Token { .. }) => unusable = unusable.or(Some(error)),
                answer => return answer,
            }
        }
        Err(unusable.or(locked.map(KeysError::Locked)).unwrap_or_else(|| KeysError::KekMissing {
            key_id: binding.key_id,
            wanted: wrap::known_keks(record),
        }))
    }

    fn ours<'a>(&'a self, record: &'a KeyRecord) -> impl Iterator<Item = (&'a Recipient, &'a Kek)> {
        record.recipients.iter().filter_map(|recipient| Some((recipient, self.find(recipient.kek)?)))
    }

    /// Makes a key for `recipient`, which becomes its current one; the older ones stay.
    pub fn generate(
        &mut self,
        recipient: &RecipientName,
        algorithm: Algorithm,
        custody: &NewCustody,
        created_unix_seconds: u64,
    ) -> Result<KekInfo, KeysError> {
        let generation = self.next_generation(recipient);
        let (public, sealing) = match custody {
            NewCustody::File(secret) => {
                let (private, public) = LocalKek::generate(algorithm)?;
                (public, Sealing::File(secret, private))
            }
            NewCustody::Token(token) => {
                let label = format!("sealgate {recipient} {generation}");
                let (object, public) = token.generate(algorithm, &label)?;
                (public, Sealing::Token(object))
            }
        };
        let mut document = Document::new(recipient.clone(), generation, created_unix_seconds, &public);
        document.custody = match sealing {
            Sealing::File(secret, private) => {
                Custody::File(SealedKey::seal(secret, &document.header(&public), &private)?)
            }
            Sealing::Token(object) => Custody::Token(object),
        };
        document.add_check(&public)?;
        let secrets = custody.secrets();
        self.save(document, public, &secrets)
    }

    /// Takes in a public key that another site exported, as the current one of `recipient`.
    pub fn import_public(
        &mut self,
        recipient: &RecipientName,
        exported: &Path,
    ) -> Result<KekInfo, KeysError> {
        let source = fs::File::open(exported).map_err(KeysError::file("opening", exported))?;
        let bytes = file::read_limited(source, exported, DOCUMENT_BYTES_MAX)?;
        let (foreign, public) = Document::parse(exported, &bytes)?;
        let document = foreign.renamed(recipient.clone(), self.next_generation(recipient));
        self.save(document, public, &UnlockSecrets::default())
    }

    /// The public key of a recipient, for a wrap of our own.
    pub fn public_of(&self, recipient: &RecipientName) -> Result<&PublicKek, KeysError> {
        Ok(&self.newest(recipient)?.public)
    }

    /// The public key in a file that another site exported, which need not be in the keyring.
    pub fn read_public(exported: &Path) -> Result<PublicKek, KeysError> {
        let source = fs::File::open(exported).map_err(KeysError::file("opening", exported))?;
        let bytes = file::read_limited(source, exported, DOCUMENT_BYTES_MAX)?;
        Document::parse(exported, &bytes).map(|(_, public)| public)
    }

    /// The public half of a recipient's current key, as a file for another site.
    pub fn export_public(&self, recipient: &RecipientName) -> Result<Vec<u8>, KeysError> {
        self.newest(recipient)?.document.public_only().to_bytes()
    }

    /// Writes the file, and opens it again as a start would, before the key is used for anything.
    fn save(
        &mut self,
        document: Document,
        public: PublicKek,
        secrets: &UnlockSecrets,
    ) -> Result<KekInfo, KeysError> {
        let id = public.id();
        if let Some(other) = self.find(id) {
            let problem = format!("key encryption key {id} is already in {}", other.path.display());
            return Err(KeysError::Recipient(problem));
        }
        file::private_folder(&self.folder)?;
        let path = path_of(&self.folder, &document.recipient, document.generation);
        let mut kek = Kek { path: path.clone(), document, public, private: None };
        kek.private = kek.open(secrets)?;
        file::create_private(&path, &kek.document.to_bytes()?)?;
        self.keks.push(kek);
        self.keks.sort_by(|a, b| a.order().cmp(&b.order()));
        let info = self.keks().find(|info| info.id == id.to_string());
        info.ok_or(KeysError::Crypto("listing the new key"))
    }

    fn find(&self, id: KekId) -> Option<&Kek> {
        self.keks.iter().find(|kek| kek.public.id() == id)
    }

    fn newest(&self, name: &RecipientName) -> Result<&Kek, KeysError> {
        let of_name = self.keks.iter().filter(|kek| kek.document.recipient == *name);
        of_name.max_by_key(|kek| kek.document.generation).ok_or_else(|| {
            KeysError::Recipient(format!("recipient {name} has no key in {}", self.folder.display()))
        })
    }

    fn is_newest(&self, kek: &Kek) -> bool {
        self.newest(&kek.document.recipient).is_ok_and(|newest| newest.public.id() == kek.public.id())
    }

    fn next_generation(&self, name: &RecipientName) -> u32 {
        self.newest(name).map_or(1, |kek| kek.document.generation.saturating_add(1))
    }
}

enum Sealing<'a> {
    File(&'a SealingSecret, crate::keys::secret::PrivateKeyBytes),
    Token(String),
}

impl NewCustody {
    /// What opens the key that is made with this custody.
    fn secrets(&self) -> UnlockSecrets {
        let mut secrets = UnlockSecrets::default();
        match self {
            Self::File(SealingSecret::Passphrase(passphrase, _)) => {
                secrets.passphrase = Some(passphrase.clone());
            }
            Self::File(SealingSecret::Credential(credential)) => {
                secrets.credential = Some(credential.clone());
            }
            Self::Token(token) => secrets.token = Some(Arc::clone(token)),
        }
        secrets
    }
}

impl Kek {
    /// The private half, checked; `None` when it is elsewhere or `secrets` lack what it takes.
    fn open(&self, secrets: &UnlockSecrets) -> Result<Option<Box<dyn PrivateKek>>, KeysError> {
        let private: Box<dyn PrivateKek> = match &self.document.custody {
            Custody::PublicOnly => return Ok(None),
            Custody::File(sealed) => match self.unseal(sealed, secrets)? {
                Some(private) => Box::new(private),
                None => return Ok(None),
            },
            Custody::Token(object) => match &secrets.token {
                Some(token) => Box::new(token.private(&self.public, object)?),
                None => return Ok(None),
            },
        };
        self.document.verify_check(&self.path, &self.public, private.as_ref())?;
        Ok(Some(private))
    }

    fn unseal(&self, sealed: &SealedKey, secrets: &UnlockSecrets) -> Result<Option<LocalKek>, KeysError> {
        let header = self.document.header(&self.public);
        let bytes = match (sealed.wants_passphrase(), &secrets.passphrase, &secrets.credential) {
            (true, Some(passphrase), _) => sealed.open_with_passphrase(&self.path, passphrase, &header)?,
            (false, _, Some(credential)) => sealed.open_with_credential(&self.path, credential, &header)?,
            _ => return Ok(None),
        };
        let algorithm = self.public.algorithm();
        if LocalKek::public_of(algorithm, &bytes).as_deref() != Some(self.public.as_bytes()) {
            return Err(KeysError::WrongPrivateKey(self.public.id()));
        }
        Ok(LocalKek::parse(algorithm, &bytes))
    }

    fn state(&self) -> PrivateState {
        match (&self.document.custody, &self.private) {
            (Custody::PublicOnly, _) => PrivateState::Elsewhere,
            (_, None) => PrivateState::Locked,
            (_, Some(_)) => PrivateState::Unlocked,
        }
    }

    fn custody(&self) -> &'static str {
        match &self.document.custody {
            Custody::PublicOnly => "elsewhere",
            Custody::File(sealed) if sealed.wants_passphrase() => "file-passphrase",
            Custody::File(_) => "file-credential",
            Custody::Token(_) => "token",
        }
    }

    fn order(&self) -> (&RecipientName, u32) {
        (&self.document.recipient, self.document.generation)
    }
}

fn path_of(folder: &Path, recipient: &RecipientName, generation: u32) -> PathBuf {
    folder.join(format!("{recipient}-{generation:04}.{EXTENSION}"))
}
