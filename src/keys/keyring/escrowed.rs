//! A key of the keyring whose private half is in escrow: made here and given away, taken back when it is released.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::document::{Custody, Document};
use super::sealed::{SealedKey, SealingSecret};
use super::{Kek, KekInfo, Keyring, RecipientName, UnlockSecrets, path_of};
use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::kek::{LocalKek, PublicKek};
use crate::keys::secret::{Credential, PrivateKeyBytes};

/// A key file that lies outside of the keyring.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EscrowedKey(Document);

/// What a key file is called in messages that has no name of its own.
const NAMELESS: &str = "the key in the package";

impl EscrowedKey {
    /// Whose it is.
    pub(crate) fn recipient(&self) -> &RecipientName {
        &self.0.recipient
    }

    /// Its id.
    pub(crate) fn kek(&self) -> &str {
        self.0.kek()
    }

    /// Whether this opens it, and it is the private half of what it says.
    pub(crate) fn verify(&self, credential: &Credential) -> Result<(), KeysError> {
        self.private(credential).map(drop)
    }

    fn private(&self, credential: &Credential) -> Result<(PrivateKeyBytes, PublicKek), KeysError> {
        let path = Path::new(NAMELESS);
        let (document, public) = Document::parse(path, &self.0.to_bytes()?)?;
        let Custody::File(sealed) = &document.custody else {
            return Err(KeysError::Escrow("the package has no private key in it".to_owned()));
        };
        let private = sealed.open_with_credential(path, credential, &document.header(&public))?;
        let local = LocalKek::parse(public.algorithm(), &private);
        let local = local.ok_or(KeysError::WrongPrivateKey(public.id()))?;
        document.verify_check(path, &public, &local)?;
        Ok((private, public))
    }
}

impl Keyring {
    /// Makes a key for `recipient` of which the keyring keeps the public half alone.
    pub(crate) fn generate_escrowed(
        &mut self,
        recipient: &RecipientName,
        algorithm: Algorithm,
        sealing: &SealingSecret,
        created_unix_seconds: u64,
    ) -> Result<(KekInfo, EscrowedKey), KeysError> {
        let (private, public) = LocalKek::generate(algorithm)?;
        let generation = self.next_generation(recipient);
        let mut document = Document::new(recipient.clone(), generation, created_unix_seconds, &public);
        document.custody = Custody::File(SealedKey::seal(sealing, &document.header(&public), &private)?);
        document.add_check(&public)?;
        let info = self.save(document.public_only(), public, &UnlockSecrets::default())?;
        Ok((info, EscrowedKey(document)))
    }

    /// Takes the private half of a key in, sealed anew; its public half may be here already.
    pub(crate) fn adopt_escrowed(
        &mut self,
        key: &EscrowedKey,
        credential: &Credential,
        sealing: &SealingSecret,
    ) -> Result<KekInfo, KeysError> {
        let (private, public) = key.private(credential)?;
        let id = public.id();
        let at = self.keks.iter().position(|kek| kek.public.id() == id);
        let generation = match at.and_then(|at| self.keks.get(at)) {
            Some(Kek { document, .. }) if document.custody != Custody::PublicOnly => {
                return Err(KeysError::Escrow(format!(
                    "the keyring has the private half of key {id} already"
                )));
            }
            Some(kek) => kek.document.generation,
            None => self.next_generation(&key.0.recipient),
        };
        let created = key.0.created_unix_seconds;
        let mut document = Document::new(key.0.recipient.clone(), generation, created, &public);
        document.custody = Custody::File(SealedKey::seal(sealing, &document.header(&public), &private)?);
        document.add_check(&public)?;
        if let Some(at) = at {
            // The file with the public half makes room and stays beside it, under a name that nothing reads.
            let path = path_of(&self.folder, &document.recipient, generation);
            let aside = path.with_extension("public-only");
            fs::rename(&path, &aside).map_err(KeysError::file("moving aside", &path))?;
            file::sync_folder_of(&path)?;
            self.keks.remove(at);
        }
        let secrets = match sealing {
            SealingSecret::Passphrase(passphrase, _) => {
                UnlockSecrets { passphrase: Some(passphrase.clone()), ..UnlockSecrets::default() }
            }
            SealingSecret::Credential(credential) => {
                UnlockSecrets { credential: Some(credential.clone()), ..UnlockSecrets::default() }
            }
        };
        self.save(document, public, &secrets)
    }
}
