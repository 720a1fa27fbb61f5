//! Key encryption keys: the public half that wraps, the private half that opens.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256};

use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::hex;
use crate::keys::kem::ecdh::{self, Curve};
use crate::keys::kem::{Encapsulated, rsa, xwing};
use crate::keys::secret::{PrivateKeyBytes, SharedSecret};

/// `docs/FORMAT.md`, "KEK id".
const ID_LABEL: &[u8] = b"sealgate kek id v1";

/// The first 16 bytes of a key encryption key's digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekId([u8; 16]);

impl KekId {
    /// The id with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id written as 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode_array(text).map(Self)
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

enum PublicKind {
    // Boxed: an ML-KEM key dwarfs the others.
    XWing(Box<xwing::Public>),
    Rsa(rsa::Public),
    Ecdh(ecdh::Public),
}

/// The public half: checked, and ready to wrap for.
pub struct PublicKek {
    algorithm: Algorithm,
    bytes: Vec<u8>,
    digest: [u8; 32],
    kind: PublicKind,
}

impl PublicKek {
    /// Checks the encoded public key: X-Wing as in its draft, RSA as DER `SubjectPublicKeyInfo`, ECDH as an
    /// uncompressed point.
    #[must_use]
    pub fn parse(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let kind = match algorithm {
            Algorithm::XWing => {
                (bytes.len() == xwing::PUBLIC_LENGTH).then_some(())?;
                PublicKind::XWing(Box::new(xwing::Public::parse(bytes)?))
            }
            Algorithm::RsaOaep3072 => PublicKind::Rsa(rsa::Public::parse(bytes)?),
            Algorithm::EcdhP256 => PublicKind::Ecdh(ecdh::Public::parse(Curve::P256, bytes)?),
            Algorithm::EcdhP384 => PublicKind::Ecdh(ecdh::Public::parse(Curve::P384, bytes)?),
        };
        let input = [ID_LABEL, &algorithm.number().to_be_bytes(), bytes].concat();
        let digest = digest::digest(&SHA256, &input).as_ref().try_into().ok()?;
        Some(Self { algorithm, bytes: bytes.to_vec(), digest, kind })
    }

    /// The name of the key: the first half of its digest.
    #[must_use]
    pub fn id(&self) -> KekId {
        let (id, _) = self.digest.split_at(16);
        KekId(id.try_into().expect("split at 16 bytes"))
    }

    /// `SHA-256(label || algorithm || public key)`.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What it wraps with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The encoded public key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A fresh secret, and what the recipient needs to find it again.
    pub(crate) fn encapsulate(&self) -> Result<Encapsulated, KeysError> {
        match &self.kind {
            PublicKind::XWing(key) => key.encapsulate(),
            PublicKind::Rsa(key) => key.encapsulate(),
            PublicKind::Ecdh(key) => key.encapsulate(),
        }
    }
}

/// The private half, wherever it lives.
pub(crate) trait PrivateKek: Send + Sync {
    /// The secret behind an encapsulated key; `Ok(None)` when it was not made for this key.
    ///
    /// An error means that the key could not be used, as with a token that was unplugged.
    fn decapsulate(&self, encapsulated: &[u8]) -> Result<Option<SharedSecret>, KeysError>;
}

/// A private half in the memory of this process.
pub(crate) enum LocalKek {
    XWing(Box<xwing::Private>),
    Rsa(rsa::Private),
    Ecdh(ecdh::Private),
}

impl LocalKek {
    /// A new key pair: the private key's stored encoding, and the public half.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<(PrivateKeyBytes, PublicKek), KeysError> {
        let (private, public) = match algorithm {
            Algorithm::XWing => xwing::Private::generate(),
            Algorithm::RsaOaep3072 => rsa::Private::generate(),
            Algorithm::EcdhP256 => ecdh::Private::generate(Curve::P256),
            Algorithm::EcdhP384 => ecdh::Private::generate(Curve::P384),
        }?;
        let public = PublicKek::parse(algorithm, &public).ok_or(KeysError::Crypto("generating a key"))?;
        Ok((private, public))
    }

    /// A private half from its stored encoding.
    pub(crate) fn parse(algorithm: Algorithm, bytes: &PrivateKeyBytes) -> Option<Self> {
        Some(match algorithm {
            Algorithm::XWing => Self::XWing(Box::new(xwing::Private::parse(bytes)?)),
            Algorithm::RsaOaep3072 => Self::Rsa(rsa::Private::parse(bytes)?),
            Algorithm::EcdhP256 => Self::Ecdh(ecdh::Private::parse(Curve::P256, bytes)?),
            Algorithm::EcdhP384 => Self::Ecdh(ecdh::Private::parse(Curve::P384, bytes)?),
        })
    }

    /// The encoded public key that belongs to a stored private key.
    pub(crate) fn public_of(algorithm: Algorithm, bytes: &PrivateKeyBytes) -> Option<Vec<u8>> {
        match algorithm {
            Algorithm::XWing => xwing::Private::public_of(bytes),
            Algorithm::RsaOaep3072 => rsa::Private::public_of(bytes),
            Algorithm::EcdhP256 => ecdh::Private::public_of(Curve::P256, bytes),
            Algorithm::EcdhP384 => ecdh::Private::public_of(Curve::P384, bytes),
        }
    }
}

impl PrivateKek for LocalKek {
    fn decapsulate(&self, encapsulated: &[u8]) -> Result<Option<SharedSecret>, KeysError> {
        Ok(match self {
            Self::XWing(key) => key.decapsulate(encapsulated),
            Self::Rsa(key) => key.decapsulate(encapsulated),
            Self::Ecdh(key) => key.decapsulate(encapsulated),
        })
    }
}
