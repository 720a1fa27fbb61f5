//! The digest of a data set, by which the same bytes are recognised.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// What BLAKE3 hashes at once where the processor has the widest registers: 16 of its chunks of 1 KiB side by side. Pieces
/// that begin elsewhere would be hashed a few chunks at a time, at half the speed.
const STRIDE_BYTES: usize = 16 * 1024;

/// BLAKE3 over bytes that come in pieces: what a sealed stream ends with.
#[derive(Default)]
pub struct DataDigest {
    hasher: blake3::Hasher,
    pending: Pending,
}

/// Bytes up to the next multiple of the stride; they are clear ones.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct Pending(Vec<u8>);

impl DataDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let Pending(pending) = &mut self.pending;
        if !pending.is_empty() || bytes.len() < STRIDE_BYTES {
            // Once, so that no copy of what it holds is left behind when it grows.
            pending.reserve_exact(STRIDE_BYTES.saturating_sub(pending.len()));
            let missing = STRIDE_BYTES.saturating_sub(pending.len());
            let Some((now, later)) = bytes.split_at_checked(missing) else {
                pending.extend_from_slice(bytes);
                return;
            };
            pending.extend_from_slice(now);
            self.hasher.update(pending);
            pending.clear();
            bytes = later;
        }
        let rest = bytes.len().checked_rem(STRIDE_BYTES).unwrap_or_default();
        let (whole, rest) = bytes.split_at_checked(bytes.len().saturating_sub(rest)).unwrap_or((bytes, &[]));
        self.hasher.update(whole);
        if !rest.is_empty() {
            pending.reserve_exact(STRIDE_BYTES);
            pending.extend_from_slice(rest);
        }
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        *hasher.update(&self.pending.0).finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_give_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..200_003_u32).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        for piece in [1, 1000, 16_383, 16_384, 16_385, 65_536, 100_000, bytes.len()] {
            let mut digest = DataDigest::default();
            bytes.chunks(piece).for_each(|piece| digest.update(piece));
            assert_eq!(digest.finish(), DataDigest::of(&bytes), "in pieces of {piece}");
        }
        assert_eq!(DataDigest::default().finish(), DataDigest::of(b""));
    }

    #[test]
    fn a_digest_may_be_asked_for_in_between() {
        let mut digest = DataDigest::default();
        digest.update(b"ab");
        assert_eq!(digest.finish(), DataDigest::of(b"ab"));
        digest.update(b"c");
        assert_eq!(digest.finish(), DataDigest::of(b"abc"));
    }
}
