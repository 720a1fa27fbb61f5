//! X-Wing (draft-connolly-cfrg-xwing-kem): ML-KEM-768 and X25519, joined so that either alone is enough.

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{self, SHA3_256};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::rand::SystemRandom;
use zeroize::Zeroize;

use crate::keys::error::KeysError;
use crate::keys::kem::Encapsulated;
use crate::keys::secret::{PrivateKeyBytes, SharedSecret};

/// Draft section 5.3: the label is the six characters `\.//^\`.
const LABEL: &[u8; 6] = br"\.//^\";
const ML_KEM_PUBLIC_LENGTH: usize = 1184;
const ML_KEM_PRIVATE_LENGTH: usize = 2400;
const ML_KEM_CIPHERTEXT_LENGTH: usize = 1088;
/// FIPS 203 algorithm 16: the private key is `dk_PKE` (1152 bytes), then the public key, then H(ek) and z.
const ML_KEM_PUBLIC_IN_PRIVATE: std::ops::Range<usize> = 1152..1152 + ML_KEM_PUBLIC_LENGTH;

/// Length of a public key: ML-KEM, then X25519.
pub(crate) const PUBLIC_LENGTH: usize = ML_KEM_PUBLIC_LENGTH + 32;

const FAILED: KeysError = KeysError::Crypto("X-Wing");

/// A public key ready for use.
pub(crate) struct Public {
    ml_kem: EncapsulationKey,
    x25519: [u8; 32],
}

impl Public {
    /// ML-KEM-768 public key, then X25519 public key (draft section 5.2).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (ml_kem, x25519) = bytes.split_at_checked(ML_KEM_PUBLIC_LENGTH)?;
        Some(Self {
            ml_kem: EncapsulationKey::new(&ML_KEM_768, ml_kem).ok()?,
            x25519: x25519.try_into().ok()?,
        })
    }

    /// Draft section 5.4.
    pub(crate) fn encapsulate(&self) -> Result<Encapsulated, KeysError> {
        let (ct_m, ss_m) = self.ml_kem.encapsulate().map_err(|_| FAILED)?;
        let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| FAILED)?;
        let ct_x = ephemeral.compute_public_key().map_err(|_| FAILED)?;
        let peer = UnparsedPublicKey::new(&X25519, self.x25519);
        let secret = agreement::agree_ephemeral(ephemeral, peer, FAILED, |ss_x| {
            Ok(combine(ss_m.as_ref(), ss_x, ct_x.as_ref(), &self.x25519))
        })?;
        Ok(([ct_m.as_ref(), ct_x.as_ref()].concat(), secret))
    }
}

/// A private key ready for use.
pub(crate) struct Private {
    ml_kem: DecapsulationKey,
    x25519: PrivateKey,
    x25519_public: [u8; 32],
}

impl Private {
    /// A new key pair: the private key's stored encoding, and the public key.
    pub(crate) fn generate() -> Result<(PrivateKeyBytes, Vec<u8>), KeysError> {
        let ml_kem = DecapsulationKey::generate(&ML_KEM_768).map_err(|_| FAILED)?;
        let ml_kem_public = ml_kem.encapsulation_key().and_then(|key| key.key_bytes()).map_err(|_| FAILED)?;
        let x25519 = PrivateKey::generate(&X25519).map_err(|_| FAILED)?;
        let x25519_public = x25519.compute_public_key().map_err(|_| FAILED)?;
        let ml_kem = ml_kem.key_bytes().map_err(|_| FAILED)?;
        let x25519: Curve25519SeedBin<'_> = x25519.as_be_bytes().map_err(|_| FAILED)?;
        let private = PrivateKeyBytes::new([ml_kem.as_ref(), x25519.as_ref()].concat());
        Ok((private, [ml_kem_public.as_ref(), x25519_public.as_ref()].concat()))
    }

    /// The expanded ML-KEM-768 private key of FIPS 203 (2400 bytes), then the X25519 private key (32 bytes).
    pub(crate) fn parse(bytes: &PrivateKeyBytes) -> Option<Self> {
        let (ml_kem, x25519) = bytes.expose_secret().split_at_checked(ML_KEM_PRIVATE_LENGTH)?;
        let x25519 = PrivateKey::from_private_key(&X25519, x25519).ok()?;
        let x25519_public = x25519.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Self { ml_kem: DecapsulationKey::new(&ML_KEM_768, ml_kem).ok()?, x25519, x25519_public })
    }

    /// The public key that belongs to a stored private key.
    pub(crate) fn public_of(bytes: &PrivateKeyBytes) -> Option<Vec<u8>> {
        let ml_kem = bytes.expose_secret().get(ML_KEM_PUBLIC_IN_PRIVATE)?;
        Some([ml_kem, &Self::parse(bytes)?.x25519_public].concat())
    }

    /// Draft section 5.5; `None` when the ciphertext cannot be one.
    pub(crate) fn decapsulate(&self, encapsulated: &[u8]) -> Option<SharedSecret> {
        let (ct_m, ct_x) = encapsulated.split_at_checked(ML_KEM_CIPHERTEXT_LENGTH)?;
        let ss_m = self.ml_kem.decapsulate(Ciphertext::from(ct_m)).ok()?;
        let peer = UnparsedPublicKey::new(&X25519, ct_x);
        agreement::agree(&self.x25519, peer, (), |ss_x| {
            Ok(combine(ss_m.as_ref(), ss_x, ct_x, &self.x25519_public))
        })
        .ok()
    }
}

/// Draft section 5.3: `SHA3-256(ss_M || ss_X || ct_X || pk_X || label)`.
fn combine(ss_m: &[u8], ss_x: &[u8], ct_x: &[u8], pk_x: &[u8; 32]) -> SharedSecret {
    let mut input = Vec::with_capacity(134);
    for part in [ss_m, ss_x, ct_x, pk_x, LABEL] {
        input.extend_from_slice(part);
    }
    let secret = SharedSecret::new(digest::digest(&SHA3_256, &input).as_ref());
    input.zeroize();
    secret
}

#[cfg(test)]
pub(crate) mod tests {
    #[allow(deprecated, reason = "the expanded form is what aws-lc-rs takes")]
    use ml_kem::ExpandedKeyEncoding as _;
    use ml_kem::kem::KeyExport as _;
    use ml_kem::{FromSeed as _, MlKem768};
    use shake::{ExtendableOutput as _, Shake256, Update as _, XofReader as _};
    use x_wing::Decapsulate as _;

    use super::*;
    use crate::keys::hex;

    /// Draft section 5.2: 96 bytes of SHAKE256 are the ML-KEM seeds d and z, and the X25519 private key.
    pub(crate) fn expand(seed: &[u8]) -> (PrivateKeyBytes, Vec<u8>) {
        let mut shake = Shake256::default();
        shake.update(seed);
        let mut reader = shake.finalize_xof();
        let (mut ml_kem_seed, mut x25519) = ([0; 64], [0; 32]);
        reader.read(&mut ml_kem_seed);
        reader.read(&mut x25519);
        let (private, public) = MlKem768::from_seed(&ml_kem_seed.into());
        #[allow(deprecated, reason = "the expanded form is what aws-lc-rs takes")]
        let private = private.to_expanded_bytes();
        let x25519_public =
            PrivateKey::from_private_key(&X25519, &x25519).unwrap().compute_public_key().unwrap();
        let public = [public.to_bytes().as_slice(), x25519_public.as_ref()].concat();
        (PrivateKeyBytes::new([private.as_slice(), &x25519].concat()), public)
    }

    #[test]
    fn the_vectors_of_the_draft_come_out() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../../testdata/keys/x-wing-draft.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let field = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
            let (private, public) = expand(&field("seed"));
            assert_eq!(public, *field("pk"));
            assert_eq!(Private::public_of(&private).unwrap(), *field("pk"));
            let secret = Private::parse(&private).unwrap().decapsulate(&field("ct")).unwrap();
            assert_eq!(secret.expose_secret(), *field("ss"));
        }
    }

    #[test]
    fn an_independent_implementation_opens_what_we_encapsulate() {
        let theirs = x_wing::DecapsulationKey::from([7; 32]);
        let public = x_wing::Decapsulator::encapsulation_key(&theirs).to_bytes();
        let (encapsulated, secret) = Public::parse(&public).unwrap().encapsulate().unwrap();
        let ciphertext = x_wing::Ciphertext::try_from(encapsulated.as_slice()).unwrap();
        assert_eq!(theirs.decapsulate(&ciphertext).as_slice(), secret.expose_secret());
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let (private, public) = Private::generate().unwrap();
        let private = Private::parse(&private).unwrap();
        let (encapsulated, secret) = Public::parse(&public).unwrap().encapsulate().unwrap();
        for at in [0, 500, 1087, 1088, 1119] {
            let mut changed = encapsulated.clone();
            changed[at] ^= 1;
            let found = private.decapsulate(&changed);
            assert!(found.is_none_or(|found| found.expose_secret() != secret.expose_secret()), "byte {at}");
        }
        assert!(private.decapsulate(&encapsulated[..1119]).is_none());
    }

    #[test]
    fn an_x25519_point_of_low_order_is_refused() {
        let (private, public) = Private::generate().unwrap();
        let (mut encapsulated, _) = Public::parse(&public).unwrap().encapsulate().unwrap();
        encapsulated[1088..].fill(0);
        assert!(Private::parse(&private).unwrap().decapsulate(&encapsulated).is_none());
    }
}
