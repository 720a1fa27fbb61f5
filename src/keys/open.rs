//! From the configuration to a keyring, a store and an archive that are ready: what a start does, in order.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use crate::keys::archive::Archive;
use crate::keys::config::{Config, UnlockMethod};
use crate::keys::destroy::{self, Tombstones};
use crate::keys::error::KeysError;
use crate::keys::keyring::{Keyring, SealingSecret, Token, UnlockSecrets};
use crate::keys::secret::{Credential, Passphrase};
use crate::keys::selftest;
use crate::keys::store::{KeyStore, SqliteStore};

impl Config {
    /// Tests the primitives, loads the keyring and opens the private halves with what the configuration names.
    pub fn open_keyring(&self) -> Result<Keyring, KeysError> {
        self.check()?;
        selftest::run()?;
        let mut keyring = Keyring::load(&self.keyring_path(), &self.recipients)?;
        keyring.current()?;
        keyring.unlock(&self.unlock_secrets()?)?;
        Ok(keyring)
    }

    /// Opens the key store.
    pub fn open_store(&self) -> Result<SqliteStore, KeysError> {
        SqliteStore::open(&self.store_path(), &self.store)
    }

    /// The whole archive: what `serve`, `seal` and `open` use.
    ///
    /// A store that exists is used for opening in every mode.
    pub fn open_archive(&self) -> Result<Archive, KeysError> {
        let keyring = Arc::new(self.open_keyring()?);
        let shred_key = self.shred_key && self.archive.has_tag();
        let wanted = self.archive.has_store() || shred_key || self.store_path().exists();
        let store = if wanted { Some(self.open_store()?) } else { None };
        if let Some(store) = &store {
            // What a crash left in the middle of a destruction, or somebody brought back by copying files.
            let again = destroy::reapply(self, store)?;
            if again > 0 {
                tracing::warn!(
                    keys = again,
                    "keys that were destroyed were in the store, and are destroyed again"
                );
            }
        }
        let store = store.map(|store| Arc::new(store) as Arc<dyn KeyStore>);
        let signer = if self.sign { Some(keyring.signer()?) } else { None };
        let trusted =
            if self.require_signature { keyring.trusted_signers(&self.signers)? } else { Vec::new() };
        let archive = Archive::new(self.archive, keyring, store)?.with_tombstones(Tombstones::of(self));
        let archive = if shred_key { archive.with_shred_keys()? } else { archive };
        let archive = if self.require_signature { archive.with_trusted(trusted) } else { archive };
        Ok(match signer {
            Some(signer) => archive.with_signer(signer),
            None => archive,
        })
    }

    /// What opens private halves, gathered as configured.
    pub fn unlock_secrets(&self) -> Result<UnlockSecrets, KeysError> {
        let mut secrets = UnlockSecrets::default();
        match self.unlock {
            UnlockMethod::Credential => secrets.credential = Some(self.load_credential()?),
            UnlockMethod::PassphraseCredential | UnlockMethod::PassphraseFile | UnlockMethod::Prompt => {
                secrets.passphrase = Some(self.passphrase("Passphrase of the keyring: ")?);
            }
            UnlockMethod::Token => secrets.token = Some(self.open_token()?),
            UnlockMethod::Locked => {}
        }
        Ok(secrets)
    }

    /// What seals a new private key file, as configured; not for tokens.
    pub fn sealing_secret(&self) -> Result<SealingSecret, KeysError> {
        match self.unlock {
            UnlockMethod::Credential => Ok(SealingSecret::Credential(self.load_credential()?)),
            UnlockMethod::PassphraseCredential | UnlockMethod::PassphraseFile | UnlockMethod::Prompt => {
                Ok(SealingSecret::Passphrase(self.new_passphrase()?, self.argon2))
            }
            UnlockMethod::Token | UnlockMethod::Locked => Err(KeysError::Config(
                "`unlock` names nothing that could seal a key file; set it to passphrase-credential, credential, passphrase-file or prompt"
                    .into(),
            )),
        }
    }

    /// Logs in to the PKCS#11 token.
    pub fn open_token(&self) -> Result<Arc<Token>, KeysError> {
        let pkcs11 = &self.pkcs11;
        let module =
            pkcs11.module.as_ref().ok_or_else(|| KeysError::Config("`pkcs11.module` is not set".into()))?;
        if !module.is_absolute() {
            let problem = format!("`pkcs11.module` is {}, it has to be an absolute path", module.display());
            return Err(KeysError::Config(problem));
        }
        let pin = match &pkcs11.pin_file {
            Some(file) => Passphrase::from_file(file)?,
            None => Passphrase::from_prompt("PIN of the token: ")?,
        };
        Token::open(module, &pkcs11.token, pin, pkcs11.sessions_max)
    }

    fn load_credential(&self) -> Result<Credential, KeysError> {
        Credential::load(&self.credentials_folder()?, &self.credential)
    }

    fn credentials_folder(&self) -> Result<PathBuf, KeysError> {
        env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).ok_or_else(|| {
            KeysError::Secret(format!(
                "the credential {:?} is wanted, and CREDENTIALS_DIRECTORY is not set: systemd sets it for a unit with \
                 LoadCredential=; at a terminal set it to the folder that has the credential, such as /etc/credstore",
                self.credential
            ))
        })
    }

    fn passphrase(&self, prompt: &str) -> Result<Passphrase, KeysError> {
        match (self.unlock, &self.passphrase_file) {
            (UnlockMethod::PassphraseCredential, _) => {
                Passphrase::from_credential(&self.credentials_folder()?, &self.credential)
            }
            (UnlockMethod::PassphraseFile, Some(file)) => Passphrase::from_file(file),
            _ => Passphrase::from_prompt(prompt),
        }
    }

    /// A passphrase for a new key: typed twice where it is typed, so that a slip does not lock the key away.
    fn new_passphrase(&self) -> Result<Passphrase, KeysError> {
        let passphrase = self.passphrase("Passphrase for the keyring: ")?;
        if self.unlock == UnlockMethod::Prompt {
            let again = Passphrase::from_prompt("The same again: ")?;
            if again.expose_secret() != passphrase.expose_secret() {
                return Err(KeysError::Secret("the two passphrases differ".into()));
            }
        }
        passphrase.check_strength()?;
        Ok(passphrase)
    }
}
