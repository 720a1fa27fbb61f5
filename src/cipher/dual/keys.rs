//! The dual key: a static one of the site, a dynamic one of the stream, and the bit of the first that is flipped for it.
//!
//! `docs/FORMAT.md` section 6.3. The position of the bit is encrypted by hashed `ElGamal` on P-256.

use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};
use aws_lc_rs::rand::{self, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::cipher::CipherError;
use crate::cipher::LayerSeed;

/// Bytes of the parameters: id of the dual key, point, encrypted position.
pub(in crate::cipher) const PARAMETER_BYTES: usize = ID_BYTES + POINT_BYTES + 1;

const ID_BYTES: usize = 16;
/// SEC 1 2.3.3 without its first byte: x, then y.
const POINT_BYTES: usize = 64;
const UNCOMPRESSED: u8 = 4;

const SALT: &[u8] = b"sealgate dual v1";
const STATIC_KEY: &[u8] = b"sealgate dual v1 static key";
const ELGAMAL_KEY: &[u8] = b"sealgate dual v1 elgamal key";
const ELGAMAL_SALT: &[u8] = b"sealgate dual v1 elgamal";
const POSITION: &[u8] = b"sealgate dual v1 position";

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `HKDF-Expand(prk, info, N)`.
pub(super) fn expand<const N: usize>(prk: &Prk, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    prk.expand(info, Length(N))
        .and_then(|okm| okm.fill(&mut *out))
        .expect("a few hundred bytes are fewer than the 255 blocks that HKDF gives");
    out
}

/// The name of a dual key, 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DualKeyId([u8; ID_BYTES]);

impl DualKeyId {
    /// The id with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for DualKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DualKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A site's half of the dual key: the static key, and the key that positions are encrypted for. Erased when dropped,
/// never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DualKey {
    #[zeroize(skip)]
    id: DualKeyId,
    static_key: [u8; 32],
    elgamal: [u8; 32],
}

impl DualKey {
    /// The dual key that follows from 32 secret random bytes.
    #[must_use]
    pub fn new(id: DualKeyId, root: &[u8; 32]) -> Self {
        let prk = Prk::new_less_safe(HKDF_SHA512, root);
        // All but one in 2^32 numbers of 32 bytes are private keys of P-256.
        let elgamal = (0..=u8::MAX)
            .map(|attempt| expand::<32>(&prk, &[ELGAMAL_KEY, &[attempt]]))
            .find(|scalar| PrivateKey::from_private_key(&ECDH_P256, &**scalar).is_ok())
            .expect("256 numbers in a row that are no private keys are not met in the life of the universe");
        Self { id, static_key: *expand(&prk, &[STATIC_KEY]), elgamal: *elgamal }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> DualKeyId {
        self.id
    }

    /// Draws the position of a bit to flip, and encrypts it: the modified key with the parameters that give it back.
    fn modify(&self) -> Result<(Zeroizing<[u8; 32]>, Vec<u8>), CipherError> {
        let failed = || CipherError::Crypto("ElGamal on P-256");
        let mut drawn = Zeroizing::new([0; 1]);
        rand::fill(&mut *drawn).map_err(|_| CipherError::Crypto("the random generator"))?;
        let ours = PrivateKey::from_private_key(&ECDH_P256, &self.elgamal).map_err(|_| failed())?;
        let public = ours.compute_public_key().map_err(|_| failed())?;
        let [position] = *drawn;
        let ephemeral =
            EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).map_err(|_| failed())?;
        let point = ephemeral.compute_public_key().map_err(|_| failed())?;
        let mut parameters = self.id.0.to_vec();
        parameters.extend_from_slice(point.as_ref().get(1..).unwrap_or_default());
        let peer = UnparsedPublicKey::new(&ECDH_P256, public.as_ref());
        let pad = agreement::agree_ephemeral(ephemeral, peer, failed(), |z| Ok(pad(z, &parameters)))?;
        parameters.push(position ^ pad);
        Ok((self.flipped(position), parameters))
    }

    /// The modified key that these parameters tell of.
    fn modified(&self, parameters: &[u8]) -> Result<Zeroizing<[u8; 32]>, CipherError> {
        let (encrypted, before) = parameters.split_last().ok_or(CipherError::DualParameters)?;
        let coordinates = before.get(ID_BYTES..).unwrap_or_default();
        let point = [&[UNCOMPRESSED], coordinates].concat();
        let failed = |_| CipherError::Crypto("ElGamal on P-256");
        let ours = PrivateKey::from_private_key(&ECDH_P256, &self.elgamal).map_err(failed)?;
        let peer = UnparsedPublicKey::new(&ECDH_P256, &point);
        let pad = agreement::agree(&ours, peer, CipherError::DualParameters, |z| Ok(pad(z, before)))?;
        Ok(self.flipped(encrypted ^ pad))
    }

    /// The static key with one bit flipped; bit 0 is the highest of the first byte.
    fn flipped(&self, position: u8) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new(self.static_key);
        if let Some(byte) = key.get_mut(usize::from(position >> 3)) {
            *byte ^= 0x80 >> (position & 7);
        }
        key
    }
}

impl fmt::Debug for DualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DualKey({}, secret)", self.id)
    }
}

/// What a position is hidden by: a byte of what only the point's maker and the site's private key agree on.
fn pad(agreed: &[u8], before: &[u8]) -> u8 {
    let [pad] = *expand(&Salt::new(HKDF_SHA512, ELGAMAL_SALT).extract(agreed), &[POSITION, before]);
    pad
}

/// The dual keys of a site, the newest last; those that do not open are known by name, with the reason.
#[derive(Debug, Clone, Default)]
pub struct DualKeys {
    keys: Vec<DualKey>,
    /// Those that other sites handed over: they open, and never seal.
    others: Vec<DualKey>,
    shut: Vec<(DualKeyId, String)>,
}

impl DualKeys {
    /// Takes in the site's newest key so far.
    pub fn add(&mut self, key: DualKey) {
        self.keys.push(key);
    }

    /// Takes in one that another site handed over.
    pub fn add_of_another_site(&mut self, key: DualKey) {
        self.others.push(key);
    }

    /// Takes note of one that is there and does not open; `reason` says why.
    pub fn add_shut(&mut self, id: DualKeyId, reason: String) {
        self.shut.push((id, reason));
    }

    /// Whether new images can be sealed with one.
    pub fn current(&self) -> Result<&DualKey, CipherError> {
        match (self.keys.last(), self.shut.last()) {
            (Some(key), _) => Ok(key),
            (None, Some((id, reason))) => Err(CipherError::DualKeyShut { id: *id, reason: reason.clone() }),
            (None, None) => Err(CipherError::NoDualKey),
        }
    }

    fn of(&self, id: DualKeyId) -> Result<&DualKey, CipherError> {
        if let Some(key) = self.keys.iter().chain(&self.others).find(|key| key.id == id) {
            return Ok(key);
        }
        match self.shut.iter().find(|(shut, _)| *shut == id) {
            Some((_, reason)) => Err(CipherError::DualKeyShut { id, reason: reason.clone() }),
            None => Err(CipherError::DualKeyMissing(id)),
        }
    }

    /// What a new stream is made from, and the parameters that its opener will need.
    pub(super) fn to_seal(&self, seed: &LayerSeed) -> Result<(Prk, Vec<u8>), CipherError> {
        let (modified, parameters) = self.current()?.modify()?;
        Ok((joined(&modified, seed), parameters))
    }

    /// What the stream with these parameters was made from.
    pub(super) fn to_open(&self, seed: &LayerSeed, parameters: &[u8]) -> Result<Prk, CipherError> {
        let wrong = CipherError::Parameters { found: parameters.len(), expected: PARAMETER_BYTES };
        let Some((id, _)) = parameters.split_first_chunk().filter(|_| parameters.len() == PARAMETER_BYTES)
        else {
            return Err(wrong);
        };
        let modified = self.of(DualKeyId(*id))?.modified(parameters)?;
        Ok(joined(&modified, seed))
    }
}

/// The static key, modified, and the dynamic one, made into one.
fn joined(modified: &[u8; 32], seed: &LayerSeed) -> Prk {
    let mut both = Zeroizing::new([0; 64]);
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(modified);
    second.copy_from_slice(seed.expose_secret());
    Salt::new(HKDF_SHA512, SALT).extract(&*both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(root: u8) -> DualKey {
        DualKey::new(DualKeyId::new([root; 16]), &[root; 32])
    }

    #[test]
    fn the_flipped_bit_is_one_and_its_position_comes_back() {
        let key = key(7);
        let mut positions = std::collections::HashSet::new();
        for _ in 0..64 {
            let (modified, parameters) = key.modify().unwrap();
            assert_eq!(parameters.len(), PARAMETER_BYTES);
            let differing: u32 =
                modified.iter().zip(&key.static_key).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(differing, 1);
            assert_eq!(*key.modified(&parameters).unwrap(), *modified);
            positions.insert(*modified);
        }
        // 64 draws of 256: fewer than 40 different ones happen once in 10^6 times.
        assert!(positions.len() > 39, "{}", positions.len());
    }

    #[test]
    fn bit_0_is_the_highest_of_the_first_byte_and_255_the_lowest_of_the_last() {
        let key = key(7);
        let flip =
            |position| std::array::from_fn::<u8, 32, _>(|i| key.flipped(position)[i] ^ key.static_key[i]);
        assert_eq!((flip(0)[0], flip(7)[0], flip(8)[1], flip(255)[31]), (0x80, 1, 0x80, 1));
    }

    #[test]
    fn another_sites_key_finds_another_position_and_a_point_off_the_curve_is_refused() {
        let (_, mut parameters) = key(7).modify().unwrap();
        let other = DualKey { id: key(7).id, static_key: key(7).static_key, elgamal: key(8).elgamal };
        let differ = (0..8)
            .filter(|_| {
                let (_, parameters) = key(7).modify().unwrap();
                *other.modified(&parameters).unwrap() != *key(7).modified(&parameters).unwrap()
            })
            .count();
        assert!(differ >= 6, "{differ} of 8");
        parameters[20] ^= 1;
        assert!(matches!(key(7).modified(&parameters), Err(CipherError::DualParameters)));
    }

    #[test]
    fn what_is_missing_or_shut_is_named() {
        let seed = LayerSeed::new([1; 32]);
        let mut keys = DualKeys::default();
        assert!(matches!(keys.current(), Err(CipherError::NoDualKey)));
        keys.add_shut(DualKeyId::new([9; 16]), "it is locked".into());
        let said = keys.current().unwrap_err().to_string();
        assert!(said.contains(&"09".repeat(16)) && said.contains("it is locked"), "{said}");
        keys.add(key(7));
        let (_, mut parameters) = keys.to_seal(&seed).unwrap();
        assert!(keys.to_open(&seed, &parameters).is_ok());
        parameters[..16].fill(9);
        assert!(matches!(keys.to_open(&seed, &parameters), Err(CipherError::DualKeyShut { .. })));
        parameters[..16].fill(3);
        let said = keys.to_open(&seed, &parameters).err().unwrap().to_string();
        assert!(said.contains(&"03".repeat(16)), "{said}");
        assert!(matches!(keys.to_open(&seed, &[0; 80]), Err(CipherError::Parameters { found: 80, .. })));
        assert_eq!(format!("{:?}", key(7)), format!("DualKey({}, secret)", "07".repeat(16)));
    }
}
