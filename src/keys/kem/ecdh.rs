//! Ephemeral-static ECDH on P-256 and P-384 as a KEM; the ephemeral point travels as x and y.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::rand::SystemRandom;

use crate::keys::error::KeysError;
use crate::keys::kem::Encapsulated;
use crate::keys::secret::{PrivateKeyBytes, SharedSecret};

/// SEC 1 2.3.3: the first byte of an uncompressed point.
pub(crate) const UNCOMPRESSED: u8 = 4;

const FAILED: KeysError = KeysError::Crypto("ECDH");

/// The curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    /// Length of a coordinate and of the secret, in bytes.
    pub(crate) const fn coordinate_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    /// Length of an uncompressed point with its first byte.
    pub(crate) const fn point_length(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
        }
    }

    fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
        }
    }
}

/// A public key ready for use.
pub(crate) struct Public {
    curve: Curve,
    point: Vec<u8>,
}

impl Public {
    /// An uncompressed point that is on the curve.
    pub(crate) fn parse(curve: Curve, bytes: &[u8]) -> Option<Self> {
        let uncompressed = bytes.first() == Some(&UNCOMPRESSED) && bytes.len() == curve.point_length();
        uncompressed.then_some(())?;
        let parsed: agreement::ParsedPublicKey =
            UnparsedPublicKey::new(curve.agreement(), bytes).try_into().ok()?;
        drop(parsed);
        Some(Self { curve, point: bytes.to_vec() })
    }

    /// A new ephemeral key, agreed upon with the recipient's.
    pub(crate) fn encapsulate(&self) -> Result<Encapsulated, KeysError> {
        let algorithm = self.curve.agreement();
        let ephemeral = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(|_| FAILED)?;
        let point = ephemeral.compute_public_key().map_err(|_| FAILED)?;
        let coordinates = point.as_ref().get(1..).ok_or(FAILED)?.to_vec();
        let peer = UnparsedPublicKey::new(algorithm, &self.point);
        let secret = agreement::agree_ephemeral(ephemeral, peer, FAILED, |z| Ok(SharedSecret::new(z)))?;
        Ok((coordinates, secret))
    }
}

/// A private key ready for use.
pub(crate) struct Private {
    curve: Curve,
    key: PrivateKey,
}

impl Private {
    /// A new key pair: the scalar, big-endian, and the uncompressed point.
    pub(crate) fn generate(curve: Curve) -> Result<(PrivateKeyBytes, Vec<u8>), KeysError> {
        let key = PrivateKey::generate(curve.agreement()).map_err(|_| FAILED)?;
        let public = key.compute_public_key().map_err(|_| FAILED)?;
        let scalar: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(|_| FAILED)?;
        Ok((PrivateKeyBytes::new(scalar.as_ref().to_vec()), public.as_ref().to_vec()))
    }

    /// The scalar, big-endian, in its full length.
    pub(crate) fn parse(curve: Curve, bytes: &PrivateKeyBytes) -> Option<Self> {
        let key = PrivateKey::from_private_key(curve.agreement(), bytes.expose_secret()).ok()?;
        Some(Self { curve, key })
    }

    /// The public key that belongs to a stored private key.
    pub(crate) fn public_of(curve: Curve, bytes: &PrivateKeyBytes) -> Option<Vec<u8>> {
        Some(Self::parse(curve, bytes)?.key.compute_public_key().ok()?.as_ref().to_vec())
    }

    /// `None` when the coordinates are not of a point on the curve.
    pub(crate) fn decapsulate(&self, encapsulated: &[u8]) -> Option<SharedSecret> {
        let point = point_of(encapsulated);
        let peer = UnparsedPublicKey::new(self.curve.agreement(), &point);
        agreement::agree(&self.key, peer, (), |z| Ok(SharedSecret::new(z))).ok()
    }
}

/// The uncompressed point with these coordinates.
pub(crate) fn point_of(coordinates: &[u8]) -> Vec<u8> {
    [&[UNCOMPRESSED], coordinates].concat()
}
