//! RSA-OAEP with SHA-256 as a KEM: 32 random bytes, encrypted to the recipient.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use zeroize::Zeroizing;

use crate::keys::error::KeysError;
use crate::keys::kem::Encapsulated;
use crate::keys::secret::{PrivateKeyBytes, SharedSecret};

/// Length of the modulus and of a ciphertext, in bytes.
pub(crate) const MODULUS_LENGTH: usize = 384;
/// Length of the secret that is encrypted.
pub(crate) const SECRET_LENGTH: usize = 32;

const FAILED: KeysError = KeysError::Crypto("RSA-OAEP");

/// A public key ready for use.
pub(crate) struct Public(OaepPublicEncryptingKey);

impl Public {
    /// A DER `SubjectPublicKeyInfo` in its one canonical form, so that a key has one id.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let key = PublicEncryptingKey::from_der(bytes).ok()?;
        let canonical = key.as_der().ok()?;
        let fits = key.key_size_bytes() == MODULUS_LENGTH && key.key_size_bits() == MODULUS_LENGTH * 8;
        (fits && canonical.as_ref() == bytes).then_some(())?;
        Some(Self(OaepPublicEncryptingKey::new(key).ok()?))
    }

    /// Draws a secret and encrypts it; the OAEP label is empty, the binding is in the key derivation.
    pub(crate) fn encapsulate(&self) -> Result<Encapsulated, KeysError> {
        let mut secret = Zeroizing::new([0; SECRET_LENGTH]);
        rand::fill(secret.as_mut_slice()).map_err(|_| KeysError::Crypto("the random generator"))?;
        let mut ciphertext = vec![0; MODULUS_LENGTH];
        self.0
            .encrypt(&OAEP_SHA256_MGF1SHA256, secret.as_slice(), &mut ciphertext, None)
            .map_err(|_| FAILED)?;
        Ok((ciphertext, SharedSecret::new(secret.as_slice())))
    }
}

/// A private key ready for use.
pub(crate) struct Private(OaepPrivateDecryptingKey);

impl Private {
    /// A new key pair: PKCS #8, and `SubjectPublicKeyInfo`.
    pub(crate) fn generate() -> Result<(PrivateKeyBytes, Vec<u8>), KeysError> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(|_| FAILED)?;
        let public = key.public_key().as_der().map_err(|_| FAILED)?;
        let private = key.as_der().map_err(|_| FAILED)?;
        Ok((PrivateKeyBytes::new(private.as_ref().to_vec()), public.as_ref().to_vec()))
    }

    /// PKCS #8 DER.
    pub(crate) fn parse(bytes: &PrivateKeyBytes) -> Option<Self> {
        let key = PrivateDecryptingKey::from_pkcs8(bytes.expose_secret()).ok()?;
        Some(Self(OaepPrivateDecryptingKey::new(key).ok()?))
    }

    /// The public key that belongs to a stored private key.
    pub(crate) fn public_of(bytes: &PrivateKeyBytes) -> Option<Vec<u8>> {
        let key = PrivateDecryptingKey::from_pkcs8(bytes.expose_secret()).ok()?;
        Some(key.public_key().as_der().ok()?.as_ref().to_vec())
    }

    /// `None` when the ciphertext was not made for this key.
    pub(crate) fn decapsulate(&self, encapsulated: &[u8]) -> Option<SharedSecret> {
        let mut plain = Zeroizing::new(vec![0; MODULUS_LENGTH]);
        let secret = self.0.decrypt(&OAEP_SHA256_MGF1SHA256, encapsulated, &mut plain, None).ok()?;
        (secret.len() == SECRET_LENGTH).then(|| SharedSecret::new(secret))
    }
}
