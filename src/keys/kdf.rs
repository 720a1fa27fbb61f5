//! HKDF with SHA-512 (RFC 5869), the one key derivation of this room.

use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use crate::keys::error::KeysError;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `HKDF-Expand(HKDF-Extract(salt, ikm), info, N)`; the parts of `info` are joined.
pub(crate) fn extract_expand<const N: usize>(
    salt: &[u8],
    ikm: &[u8],
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; N]>, KeysError> {
    fill(&Salt::new(HKDF_SHA512, salt).extract(ikm), info)
}

/// `HKDF-Expand(prk, info, N)` for a `prk` that is already uniform.
pub(crate) fn expand<const N: usize>(prk: &[u8], info: &[&[u8]]) -> Result<Zeroizing<[u8; N]>, KeysError> {
    fill(&Prk::new_less_safe(HKDF_SHA512, prk), info)
}

fn fill<const N: usize>(prk: &Prk, info: &[&[u8]]) -> Result<Zeroizing<[u8; N]>, KeysError> {
    let mut out = Zeroizing::new([0; N]);
    prk.expand(info, Length(N))
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| KeysError::Crypto("HKDF-SHA-512"))?;
    Ok(out)
}
