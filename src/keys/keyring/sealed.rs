//! A private key at rest: sealed under a passphrase or a systemd credential (`docs/FORMAT.md`, "Key file").

use std::path::Path;

use argon2::{Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::keys::error::KeysError;
use crate::keys::hex;
use crate::keys::kdf;
use crate::keys::secret::{Credential, Passphrase, PrivateKeyBytes};

const SALT_LABEL: &[u8] = b"sealgate key file v1";
const KEY_INFO: &[u8] = b"sealgate key file v1 key";
const CHECK_INFO: &[u8] = b"sealgate key file v1 check";

/// What a passphrase costs to try: Argon2id (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argon2Cost {
    /// Memory, in mebibytes. Default 64, at least 19, at most 4096.
    pub memory_mebibytes: u32,
    /// Passes over the memory. Default 3, at least 2, at most 64.
    pub passes: u32,
    /// Lanes. Default 4, at least 1, at most 16.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// RFC 9106 section 4: the second recommended option.
    fn default() -> Self {
        Self { memory_mebibytes: 64, passes: 3, lanes: 4 }
    }
}

impl Argon2Cost {
    /// The least that is accepted, from a setting and from a file alike.
    pub const FLOOR: Self = Self { memory_mebibytes: 19, passes: 2, lanes: 1 };

    /// Refuses a cost that protects nothing, and one that would take the machine down.
    pub fn check(&self) -> Result<(), String> {
        let bounds = [
            ("memory_mebibytes", self.memory_mebibytes, Self::FLOOR.memory_mebibytes, 4096),
            ("passes", self.passes, Self::FLOOR.passes, 64),
            ("lanes", self.lanes, Self::FLOOR.lanes, 16),
        ];
        match bounds.into_iter().find(|(_, value, low, high)| value < low || value > high) {
            Some((name, value, low, high)) => {
                Err(format!("argon2 {name} is {value}, it has to be {low} to {high}"))
            }
            None => Ok(()),
        }
    }

    /// The 32 bytes that a passphrase gives, at this cost.
    pub(crate) fn root(
        &self,
        passphrase: &Passphrase,
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, KeysError> {
        let failed = |_| KeysError::Crypto("Argon2id");
        let kibibytes = self.memory_mebibytes.saturating_mul(1024);
        let params = Params::new(kibibytes, self.passes, self.lanes, Some(32)).map_err(failed)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose_secret().as_bytes(), salt, key.as_mut_slice())
            .map_err(failed)?;
        Ok(key)
    }
}

/// A sealed private key, as it stands in a key file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedKey {
    /// The passphrase's cost; absent when a credential seals.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    argon2id: Option<Argon2Cost>,
    /// 16 random bytes.
    salt: String,
    /// 16 bytes that tell a wrong passphrase from a damaged file.
    secret_check: String,
    /// 12 random bytes.
    nonce: String,
    /// The private key's encoding under AES-256-GCM.
    sealed: String,
}

/// What seals a new private key.
#[derive(Clone)]
pub enum SealingSecret {
    /// A passphrase, at this cost.
    Passphrase(Passphrase, Argon2Cost),
    /// A systemd credential.
    Credential(Credential),
}

impl SealedKey {
    /// Seals `private`; `header` is every other field of the file.
    pub(crate) fn seal(
        secret: &SealingSecret,
        header: &[u8],
        private: &PrivateKeyBytes,
    ) -> Result<Self, KeysError> {
        let mut random = [0; 16 + NONCE_LEN];
        rand::fill(&mut random).map_err(|_| KeysError::Crypto("the random generator"))?;
        let (salt, nonce) = random.split_at(16);
        let (argon2id, root) = match secret {
            SealingSecret::Passphrase(passphrase, cost) => {
                cost.check().map_err(KeysError::Config)?;
                (Some(*cost), cost.root(passphrase, salt)?)
            }
            SealingSecret::Credential(credential) => (None, Zeroizing::new(*credential.expose_secret())),
        };
        let mut sealed = Zeroizing::new(private.expose_secret().to_vec());
        let unique = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
        aead_key(&root, salt)?
            .seal_in_place_append_tag(unique, Aad::from(header), &mut *sealed)
            .map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
        Ok(Self {
            argon2id,
            salt: hex::encode(salt),
            secret_check: hex::encode(check_value(&root, salt)?.as_slice()),
            nonce: hex::encode(nonce),
            sealed: hex::encode(&sealed),
        })
    }

    /// Whether a passphrase opens it; otherwise a credential does.
    pub(crate) fn wants_passphrase(&self) -> bool {
        self.argon2id.is_some()
    }

    /// Opens with a passphrase.
    pub(crate) fn open_with_passphrase(
        &self,
        path: &Path,
        passphrase: &Passphrase,
        header: &[u8],
    ) -> Result<PrivateKeyBytes, KeysError> {
        let salt = self.salt(path)?;
        let cost =
            self.argon2id.ok_or_else(|| KeysError::malformed(path, "it is not sealed by a passphrase"))?;
        cost.check().map_err(|problem| KeysError::malformed(path, &problem))?;
        self.open(path, &*cost.root(passphrase, &salt)?, &salt, header, "passphrase")
    }

    /// Opens with a systemd credential.
    pub(crate) fn open_with_credential(
        &self,
        path: &Path,
        credential: &Credential,
        header: &[u8],
    ) -> Result<PrivateKeyBytes, KeysError> {
        self.open(path, credential.expose_secret(), &self.salt(path)?, header, "credential")
    }

    fn salt(&self, path: &Path) -> Result<[u8; 16], KeysError> {
        hex::decode_array(&self.salt)
            .ok_or_else(|| KeysError::malformed(path, "`salt` is not 16 bytes in hexadecimal"))
    }

    fn open(
        &self,
        path: &Path,
        root: &[u8; 32],
        salt: &[u8; 16],
        header: &[u8],
        method: &'static str,
    ) -> Result<PrivateKeyBytes, KeysError> {
        let check: [u8; 16] = hex::decode_array(&self.secret_check)
            .ok_or_else(|| KeysError::malformed(path, "`secret_check` is not 16 bytes in hexadecimal"))?;
        if !bool::from(check_value(root, salt)?.ct_eq(&check)) {
            return Err(KeysError::WrongSecret { path: path.to_owned(), method });
        }
        let nonce: [u8; NONCE_LEN] = hex::decode_array(&self.nonce)
            .ok_or_else(|| KeysError::malformed(path, "`nonce` is not 12 bytes in hexadecimal"))?;
        let mut sealed = hex::decode(&self.sealed)
            .ok_or_else(|| KeysError::malformed(path, "`sealed` is not hexadecimal"))?;
        let plain = aead_key(root, salt)?
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut sealed)
            .map_err(|_| KeysError::malformed(path, "the sealed key or a field beside it was altered"))?;
        Ok(PrivateKeyBytes::new(plain.to_vec()))
    }
}

fn aead_key(root: &[u8; 32], salt: &[u8]) -> Result<LessSafeKey, KeysError> {
    let key = kdf::extract_expand::<32>(SALT_LABEL, root, &[KEY_INFO, salt])?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
    Ok(LessSafeKey::new(key))
}

fn check_value(root: &[u8; 32], salt: &[u8]) -> Result<Zeroizing<[u8; 16]>, KeysError> {
    kdf::extract_expand(SALT_LABEL, root, &[CHECK_INFO, salt])
}
