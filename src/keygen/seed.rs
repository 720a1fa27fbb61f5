//! Seeds of 32 bytes, and the seed images expanded from them.

use std::fmt;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Salt};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::KeygenError;
use super::image::KeyImage;

const SALT: &[u8] = b"sealgate seed image v1";

/// What a key image is generated from. Erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The seed with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Fresh bytes of the operating system.
    pub fn draw() -> Result<Self, KeygenError> {
        let mut seed = Self([0; 32]);
        rand::fill(&mut seed.0).map_err(|_| KeygenError::NoEntropy)?;
        Ok(seed)
    }

    /// The seed of key image `number` of the many that one seed gives; section 5.
    #[must_use]
    pub fn child(&self, number: u64) -> Self {
        Self(*self.derive(&[b"child", &number.to_be_bytes()]))
    }

    /// The bytes, for a key record and a digest and nothing else.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// The seed image, 196,608 bytes laid out like a key image; section 5.
    #[must_use]
    pub fn expand(&self) -> Zeroizing<Vec<u8>> {
        let mut image = Zeroizing::new(vec![0; KeyImage::LENGTH]);
        self.expand_into(&mut image);
        image
    }

    /// Writes the first bytes of the seed image over `image`.
    pub(crate) fn expand_into(&self, image: &mut [u8]) {
        image.fill(0);
        let key = self.derive(&[b"aes-256-ctr"]);
        // The counter may start at zero: the key is used for this one stream, which is shorter than 2^14 blocks.
        UnboundCipherKey::new(&AES_256, &*key)
            .and_then(EncryptingKey::ctr)
            .and_then(|key| {
                key.less_safe_encrypt(image, EncryptionContext::Iv128(FixedLength::from([0; 16])))
            })
            .expect("a key of 32 bytes is an AES-256 key, and counter mode takes any length");
    }

    fn derive(&self, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA512, SALT)
            .extract(&self.0)
            .expand(info, Length)
            .and_then(|okm| okm.fill(&mut *out))
            .expect("32 bytes are fewer than the 255 blocks that HKDF gives");
        out
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(secret)")
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What testdata/keygen/seed.py computed from section 5 with another implementation.
    const KNOWN: &str = include_str!("../../testdata/keygen/seed.txt");

    fn known(name: &str) -> &'static str {
        KNOWN.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name").trim()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn seed() -> Seed {
        Seed::new(std::array::from_fn(|at| u8::try_from(at).unwrap()))
    }

    #[test]
    fn the_seed_image_is_what_another_implementation_computes() {
        let image = seed().expand();
        assert_eq!(image.len(), KeyImage::LENGTH);
        assert_eq!(hex(&image[..32]), known("first"));
        assert_eq!(hex(&image[KeyImage::LENGTH - 32..]), known("last"));
    }

    #[test]
    fn the_seed_of_each_number_is_what_another_implementation_computes() {
        assert_eq!(hex(seed().child(0).expose_secret()), known("child 0"));
        assert_eq!(hex(seed().child(u64::MAX).expose_secret()), known("child max"));
    }

    #[test]
    fn one_changed_bit_changes_the_whole_seed_image() {
        let mut other = [0; 32];
        other.copy_from_slice(seed().expose_secret());
        other[31] ^= 1;
        let (a, b) = (seed().expand(), Seed::new(other).expand());
        let equal = a.iter().zip(b.iter()).filter(|(a, b)| a == b).count();
        // 1 in 256 are equal by chance: 768, give or take 28.
        assert!((600..950).contains(&equal), "{equal} bytes are equal");
    }

    #[test]
    fn nothing_of_a_seed_is_printed() {
        assert_eq!(format!("{:?}", seed()), "Seed(secret)");
    }
}
