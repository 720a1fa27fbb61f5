//! RSA-OAEP decoding (RFC 8017 7.1.2) for tokens that only offer the bare RSA operation.
//!
//! The private operation stays in the token. Decoding takes the same time whatever is wrong, and gives one answer for
//! everything that is wrong, so that it is no oracle (Manger, CRYPTO 2001).

use aws_lc_rs::digest::{self, SHA256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::keys::kem::rsa::{MODULUS_LENGTH, SECRET_LENGTH};
use crate::keys::secret::SharedSecret;

const HASH_LENGTH: usize = 32;
const BLOCK_LENGTH: usize = MODULUS_LENGTH - HASH_LENGTH - 1;
const PADDING_LENGTH: usize = BLOCK_LENGTH - HASH_LENGTH - 1 - SECRET_LENGTH;

/// The secret of 32 bytes in an encoded message with an empty label, SHA-256 and MGF1 with SHA-256.
pub(super) fn decode(encoded: &[u8]) -> Option<SharedSecret> {
    let (first, rest) = encoded.split_first()?;
    let (masked_seed, masked_block) = rest.split_at_checked(HASH_LENGTH)?;
    if masked_block.len() != BLOCK_LENGTH {
        return None;
    }
    let seed = xor(masked_seed, &mgf1(masked_block, HASH_LENGTH));
    let block = xor(masked_block, &mgf1(&seed, BLOCK_LENGTH));
    let (label_hash, rest) = block.split_at(HASH_LENGTH);
    let (padding, rest) = rest.split_at(PADDING_LENGTH);
    let (separator, secret) = rest.split_at(1);
    // The secret has one length, so the separator has one place, and nothing has to be searched for.
    let good: Choice = first.ct_eq(&0)
        & label_hash.ct_eq(digest::digest(&SHA256, &[]).as_ref())
        & padding.ct_eq(&[0; PADDING_LENGTH])
        & separator.ct_eq(&[1]);
    bool::from(good).then(|| SharedSecret::new(secret))
}

fn xor(a: &[u8], b: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(a.iter().zip(b).map(|(a, b)| a ^ b).collect())
}

/// RFC 8017 B.2.1.
fn mgf1(seed: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut mask = Zeroizing::new(Vec::with_capacity(BLOCK_LENGTH + HASH_LENGTH));
    let mut counter: u32 = 0;
    while mask.len() < length {
        let mut hash = digest::Context::new(&SHA256);
        hash.update(seed);
        hash.update(&counter.to_be_bytes());
        mask.extend_from_slice(hash.finish().as_ref());
        counter = counter.saturating_add(1);
    }
    mask.truncate(length);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8017 7.1.1, with the same parts.
    fn encode(secret: &[u8; 32], seed: &[u8; 32], spoil: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut block = digest::digest(&SHA256, &[]).as_ref().to_vec();
        block.extend_from_slice(&[0; PADDING_LENGTH]);
        block.push(1);
        block.extend_from_slice(secret);
        spoil(&mut block);
        let masked_block = xor(&block, &mgf1(seed, BLOCK_LENGTH));
        let masked_seed = xor(seed, &mgf1(&masked_block, HASH_LENGTH));
        [&[0], masked_seed.as_slice(), masked_block.as_slice()].concat()
    }

    #[test]
    fn finds_the_secret_and_refuses_each_fault() {
        let good = encode(&[7; 32], &[9; 32], |_| ());
        assert_eq!(decode(&good).unwrap().expose_secret(), [7; 32]);
        for at in [0, 31, 32, 32 + PADDING_LENGTH - 1, 32 + PADDING_LENGTH] {
            assert!(decode(&encode(&[7; 32], &[9; 32], |block| block[at] ^= 1)).is_none(), "byte {at}");
        }
        let mut first = good.clone();
        first[0] = 1;
        assert!(decode(&first).is_none());
        assert!(decode(&good[1..]).is_none() && decode(&[]).is_none());
    }
}
