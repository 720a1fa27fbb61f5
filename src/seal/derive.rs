//! Where a content key comes from: operating-system entropy, conditioned by a key image that is credited with none.
//!
//! `docs/FORMAT.md` has the formula. The key image is finished before `r` is drawn, never sees it, and never stands
//! where a salt stands, so the worst generator there is leaves the key as good as `r` alone.

use aws_lc_rs::digest::{Context, SHA512, SHA512_OUTPUT_LEN};
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Salt};
use aws_lc_rs::rand;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::header::VERSION;
use super::key::{ContentKey, KeyId};
use super::suite::Suite;
use crate::dicom::Uid;

const CONDITIONING_LABEL: &[u8] = b"sealgate key image v1";
const EXTRACT_SALT: &[u8] = b"sealgate content key v1";
const CONTEXT_LABEL: &[u8] = b"sealgate instance v1";
const EXPAND_LABEL: &[u8] = b"sealgate content key v1";

/// What a key generator contributes, reduced to a digest. 64 bytes, erased when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Conditioning([u8; SHA512_OUTPUT_LEN]);

/// The fresh entropy that a content key rests on. Erased when dropped, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Entropy([u8; 32]);

/// The operating system gave no random bytes; nothing can be sealed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes; nothing is sealed until it does")]
pub struct NoEntropy;

/// Whose key it is: every one of these goes into the derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// How the instance is sealed.
    pub suite: Suite,
    /// The key's name.
    pub key_id: KeyId,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
}

impl Conditioning {
    /// The digest of a key image with where it came from. The image should be erased by the caller at once.
    #[must_use]
    pub fn of(generator_id: &[u8], seed: &[u8], key_image: &[u8]) -> Self {
        let mut digest = Context::new(&SHA512);
        digest.update(CONDITIONING_LABEL);
        for part in [generator_id, seed, key_image] {
            digest.update(&length(part));
            digest.update(part);
        }
        let mut bytes = [0; SHA512_OUTPUT_LEN];
        bytes.copy_from_slice(digest.finish().as_ref());
        Self(bytes)
    }
}

impl Entropy {
    /// Fresh bytes of the operating system.
    pub fn draw() -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes).map_err(|_| NoEntropy)?;
        Ok(Self(*bytes))
    }
}

/// Fresh random bytes that are no secret, for key ids and salts.
pub fn random<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

impl Binding {
    /// The context of a stream sealed under it: the version of the form, then everything the key is bound to.
    #[must_use]
    pub fn context(&self) -> Vec<u8> {
        let mut out = CONTEXT_LABEL.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&self.bytes());
        out
    }

    /// The bytes of it, as derivations and streams take it in.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        out.extend_from_slice(&self.suite.id().to_be_bytes());
        out.extend_from_slice(self.key_id.as_bytes());
        for uid in [&self.sop_class, &self.sop_instance] {
            out.extend_from_slice(&length(uid.as_str().as_bytes()));
            out.extend_from_slice(uid.as_str().as_bytes());
        }
        out
    }
}

/// A length as eight bytes, big-endian.
fn length(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_be_bytes()
}

/// Where the conditioning of content keys comes from.
///
/// It is asked before the entropy is drawn, and credited with none: it can be slow to fill, broken or hostile, and
/// every key is still as good as the operating system's random numbers.
pub trait KeySource: Send + Sync {
    /// The digest of a key image that nobody got before; none where no generator is at hand, and then keys rest on the
    /// operating system alone. It must not block.
    fn conditioning(&self) -> Option<Conditioning>;

    /// A fresh content key for `binding`.
    fn draw(&self, binding: &Binding) -> Result<ContentKey, NoEntropy> {
        let conditioning = self.conditioning();
        Ok(content_key(&Entropy::draw()?, conditioning.as_ref(), binding))
    }
}

/// The operating system alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl KeySource for SystemEntropy {
    fn conditioning(&self) -> Option<Conditioning> {
        None
    }
}

struct Key;

impl KeyType for Key {
    fn len(&self) -> usize {
        32
    }
}

/// The content key for `binding`. Without a generator there is no conditioning, and the key rests on `r` just the same.
#[must_use]
pub fn content_key(r: &Entropy, conditioning: Option<&Conditioning>, binding: &Binding) -> ContentKey {
    let g = conditioning.map_or(&[][..], |conditioning| &conditioning.0);
    let mut input = Zeroizing::new(Vec::with_capacity(32 + SHA512_OUTPUT_LEN + 16));
    for part in [&r.0[..], g] {
        input.extend_from_slice(&length(part));
        input.extend_from_slice(part);
    }
    let prk = Salt::new(HKDF_SHA512, EXTRACT_SALT).extract(&input);
    let binding = binding.bytes();
    let mut key = Zeroizing::new([0; 32]);
    prk.expand(&[EXPAND_LABEL, &binding], Key)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("32 bytes are fewer than the 255 blocks that HKDF gives");
    ContentKey::new(*key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Binding {
        Binding {
            suite: Suite::DeepKeyGen,
            key_id: KeyId::new([3; 16]),
            sop_class: "1.2.840.10008.5.1.4.1.1.2".parse().unwrap(),
            sop_instance: "1.2.3".parse().unwrap(),
        }
    }

    fn key(r: u8, g: Option<&Conditioning>, binding: &Binding) -> [u8; 32] {
        *content_key(&Entropy([r; 32]), g, binding).expose_secret()
    }

    #[test]
    fn a_generator_that_is_broken_does_not_weaken_the_key() {
        // All zeros, a constant, the same image twice: fresh entropy still gives distinct keys.
        for image in [vec![0; 1000], vec![0xAB; 1000]] {
            let g = Conditioning::of(b"generator", b"seed", &image);
            let one = content_key(&Entropy::draw().unwrap(), Some(&g), &binding());
            let two = content_key(&Entropy::draw().unwrap(), Some(&g), &binding());
            assert_ne!(one.expose_secret(), two.expose_secret());
        }
        let none = content_key(&Entropy::draw().unwrap(), None, &binding());
        assert_ne!(none.expose_secret(), &[0; 32]);
    }

    #[test]
    fn entropy_matters_and_so_does_the_key_image() {
        let g = Conditioning::of(b"generator", b"seed", b"image");
        assert_ne!(key(1, Some(&g), &binding()), key(2, Some(&g), &binding()));
        assert_ne!(key(1, Some(&g), &binding()), key(1, None, &binding()));
        for other in [
            Conditioning::of(b"generator", b"seed", b"imagf"),
            Conditioning::of(b"generator", b"seee", b"image"),
            Conditioning::of(b"generatos", b"seed", b"image"),
            // The parts cannot run into each other.
            Conditioning::of(b"generators", b"eed", b"image"),
        ] {
            assert_ne!(key(1, Some(&g), &binding()), key(1, Some(&other), &binding()));
        }
    }

    #[test]
    fn every_part_of_the_binding_matters() {
        let base = key(1, None, &binding());
        let mut other = binding();
        other.key_id = KeyId::new([4; 16]);
        assert_ne!(base, key(1, None, &other));
        let mut other = binding();
        other.sop_class = "1.2.840.10008.5.1.4.1.1.4".parse().unwrap();
        assert_ne!(base, key(1, None, &other));
        let mut other = binding();
        other.sop_instance = "1.2.4".parse().unwrap();
        assert_ne!(base, key(1, None, &other));
    }

    #[test]
    fn the_context_names_version_and_binding() {
        let expected =
            b"sealgate instance v1\x01\0\x01\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\
            \0\0\0\0\0\0\0\x191.2.840.10008.5.1.4.1.1.2\0\0\0\0\0\0\0\x051.2.3";
        assert_eq!(binding().context(), expected);
    }

    #[test]
    fn the_derivation_stays_what_it_is() {
        // Computed by testdata/seal/content_key.py from the formula in docs/FORMAT.md.
        let g = Conditioning::of(b"generator", b"seed", b"image");
        let expected = include_str!("../../testdata/seal/content-key.txt");
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let keys: Vec<Vec<u8>> =
            expected.lines().map(|l| l.as_bytes().chunks(2).map(byte).collect()).collect();
        assert_eq!(keys, [key(1, Some(&g), &binding()), key(1, None, &binding())]);
    }
}
