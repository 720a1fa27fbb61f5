//! The encrypted stream: c2sp.org/chunked-encryption with SHA-512 and AES-256-GCM, known as Cobblestone-256.
//!
//! Salt, commitment, then chunks of 16 KiB, each with its tag; the last one is always shorter, and may be empty. So
//! there is one right ciphertext length for each plaintext length, and a stream that was cut or extended does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk};
use zeroize::Zeroizing;

use super::clear::ClearBytes;
use super::key::ContentKey;

/// Plaintext bytes in every chunk but the last.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of the authentication tag behind every chunk.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of the salt.
pub const SALT_BYTES: usize = 24;
/// Bytes before the first chunk: salt and commitment.
pub const PREFIX_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES;

const COMMITMENT_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
const DERIVED_BYTES: usize = KEY_BYTES + NONCE_LEN + COMMITMENT_BYTES;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// The standard's limit on chunks, 4 PiB of plaintext.
const CHUNKS_MAX: u64 = 1 << 38;
const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";

/// Why a stream does not open, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The key is not the one this stream was made with, or the salt, commitment or context was changed.
    #[error(
        "the key commitment does not match: this is not the key of this instance, or its SOP Class UID, SOP Instance UID \
         or fixed header was changed"
    )]
    Commitment,
    /// A chunk was changed, moved, or belongs to another stream.
    #[error(
        "chunk {chunk} of the sealed stream is not authentic: it was changed after it was sealed; get the instance from a backup, or have it stored again"
    )]
    Chunk {
        /// Counted from 0.
        chunk: u64,
    },
    /// The stream ends where no stream ends.
    #[error(
        "the sealed stream was cut off after {bytes} bytes: have it sent again, or get the instance from a backup"
    )]
    Truncated {
        /// How many there were.
        bytes: u64,
    },
    /// More than the standard allows.
    #[error("a stream of more than 4 PiB")]
    TooLong,
}

/// Whether a stream that begins with this prefix was made with this key in this context.
#[must_use]
pub(super) fn commits(key: &ContentKey, context: &[u8], prefix: &[u8; PREFIX_BYTES]) -> bool {
    verified(key, context, prefix).is_ok()
}

/// Derives the keys of a stream that begins with this prefix, and holds the commitment against them.
fn verified(key: &ContentKey, context: &[u8], prefix: &[u8]) -> Result<Chunks, StreamError> {
    let (salt, commitment) = prefix.split_first_chunk().ok_or(StreamError::Commitment)?;
    let (chunks, expected) = derive(key, salt, context);
    verify_slices_are_equal(commitment, &expected).map_err(|_| StreamError::Commitment)?;
    Ok(chunks)
}

/// The ciphertext length of a plaintext of this length, prefix included.
#[must_use]
pub fn sealed_length(plain: u64) -> Option<u64> {
    let chunks = plain.checked_div(CHUNK_BYTES as u64)?.checked_add(1)?;
    plain.checked_add(chunks.checked_mul(TAG_BYTES as u64)?)?.checked_add(PREFIX_BYTES as u64)
}

/// What both directions derive from the content key.
struct Chunks {
    key: LessSafeKey,
    base_nonce: [u8; NONCE_LEN],
    next: u64,
}

struct Derived;

impl KeyType for Derived {
    fn len(&self) -> usize {
        DERIVED_BYTES
    }
}

fn derive(key: &ContentKey, salt: &[u8; SALT_BYTES], context: &[u8]) -> (Chunks, [u8; COMMITMENT_BYTES]) {
    let prk = Prk::new_less_safe(HKDF_SHA512, key.expose_secret());
    let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
    let info: [&[u8]; 3] = [LABEL, salt, context];
    prk.expand(&info, Derived)
        .and_then(|okm| okm.fill(&mut *derived))
        .expect("76 bytes are fewer than the 255 blocks that HKDF gives");
    let (aead_key, rest) = derived.split_at(KEY_BYTES);
    let (nonce, commitment) = rest.split_at(NONCE_LEN);
    let unbound = UnboundKey::new(&AES_256_GCM, aead_key).expect("32 bytes are a key of AES-256");
    let chunks = Chunks {
        key: LessSafeKey::new(unbound),
        base_nonce: nonce.try_into().expect("it was split at this length"),
        next: 0,
    };
    (chunks, commitment.try_into().expect("it is what is left"))
}

impl Chunks {
    /// The nonce of the next chunk.
    fn advance(&mut self) -> Result<Nonce, StreamError> {
        let nonce = self.nonce(self.next)?;
        self.next = self.next.saturating_add(1);
        Ok(nonce)
    }

    /// The nonce of a chunk: the base nonce XOR its number, big-endian.
    fn nonce(&self, chunk: u64) -> Result<Nonce, StreamError> {
        if chunk >= CHUNKS_MAX {
            return Err(StreamError::TooLong);
        }
        let mut nonce = self.base_nonce;
        for (byte, counter) in nonce.iter_mut().rev().zip(chunk.to_le_bytes()) {
            *byte ^= counter;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Encrypts a message of any length; holds one chunk.
///
/// ```
/// use sealgate::seal::{ContentKey, StreamError, StreamOpener, StreamSealer};
///
/// let key = ContentKey::new([7; 32]); // a real one comes from `content_key`
/// let (mut sealer, prefix) = StreamSealer::new(&key, &[1; 24], b"context");
/// let mut sealed = prefix.to_vec();
/// let mut out = |bytes: &[u8]| { sealed.extend_from_slice(bytes); Ok::<(), StreamError>(()) };
/// sealer.push(b"pixels", &mut out)?;
/// sealer.finish(&mut out)?;
///
/// let mut opener = StreamOpener::new(key, b"context".to_vec());
/// let mut opened = Vec::new();
/// let mut out = |bytes: &[u8]| { opened.extend_from_slice(bytes); Ok::<(), StreamError>(()) };
/// opener.push(&sealed, &mut out)?;
/// opener.finish(&mut out)?;
/// assert_eq!(opened, b"pixels");
/// # Ok::<(), StreamError>(())
/// ```
pub struct StreamSealer {
    chunks: Chunks,
    /// Plaintext of the chunk in hand, less than 16 KiB between calls.
    buffer: ClearBytes,
}

impl StreamSealer {
    /// Starts a stream; the prefix goes out before everything else.
    #[must_use]
    pub fn new(key: &ContentKey, salt: &[u8; SALT_BYTES], context: &[u8]) -> (Self, [u8; PREFIX_BYTES]) {
        let (chunks, commitment) = derive(key, salt, context);
        let mut prefix = [0; PREFIX_BYTES];
        let (salt_field, commitment_field) = prefix.split_at_mut(SALT_BYTES);
        salt_field.copy_from_slice(salt);
        commitment_field.copy_from_slice(&commitment);
        (Self { chunks, buffer: ClearBytes::with_capacity(SEALED_CHUNK_BYTES) }, prefix)
    }

    /// Takes the next plaintext, and hands every chunk that it completes to `out`.
    pub fn push<E: From<StreamError>>(
        &mut self,
        mut plain: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((now, later)) = plain.split_at_checked(CHUNK_BYTES.saturating_sub(self.buffer.len())) {
            self.buffer.extend_from_slice(now);
            self.flush(out)?;
            plain = later;
        }
        self.buffer.extend_from_slice(plain);
        Ok(())
    }

    /// Hands the last chunk to `out`.
    pub fn finish<E: From<StreamError>>(
        mut self,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.flush(out)
    }

    fn flush<E: From<StreamError>>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let nonce = self.chunks.advance()?;
        self.chunks
            .key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut *self.buffer)
            .expect("a chunk is far below the limit of GCM");
        out(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Decrypts a stream that comes in pieces of any size; every byte that it gives out is authentic.
pub struct StreamOpener {
    key: ContentKey,
    context: Vec<u8>,
    chunks: Option<Chunks>,
    /// Ciphertext of the prefix or chunk in hand.
    buffer: ClearBytes,
    /// Plaintext of a chunk that came in one piece.
    plain: ClearBytes,
    taken: u64,
}

impl StreamOpener {
    /// Starts to open a stream with the key and context it was made with.
    #[must_use]
    pub fn new(key: ContentKey, context: Vec<u8>) -> Self {
        let buffer = ClearBytes::with_capacity(SEALED_CHUNK_BYTES);
        Self { key, context, chunks: None, buffer, plain: ClearBytes::from(vec![0; CHUNK_BYTES]), taken: 0 }
    }

    /// Takes the next ciphertext, and hands every chunk that it completes to `out`, decrypted.
    pub fn push<E: From<StreamError>>(
        &mut self,
        mut sealed: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.taken = self.taken.saturating_add(sealed.len() as u64);
        loop {
            if let (true, Some((now, later))) =
                (self.buffer.is_empty(), sealed.split_first_chunk::<SEALED_CHUNK_BYTES>())
                && self.chunks.is_some()
            {
                self.open_whole(now, out)?;
                sealed = later;
                continue;
            }
            let whole = if self.chunks.is_none() { PREFIX_BYTES } else { SEALED_CHUNK_BYTES };
            let Some((now, later)) = sealed.split_at_checked(whole.saturating_sub(self.buffer.len())) else {
                self.buffer.extend_from_slice(sealed);
                return Ok(());
            };
            self.buffer.extend_from_slice(now);
            sealed = later;
            if self.chunks.is_none() {
                self.chunks = Some(verified(&self.key, &self.context, &self.buffer)?);
            } else {
                self.open(out)?;
            }
            self.buffer.clear();
        }
    }

    /// The stream is over: opens the last chunk, which is where a cut would show.
    pub fn finish<E: From<StreamError>>(
        &mut self,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.chunks.is_none() || self.buffer.len() < TAG_BYTES {
            return Err(StreamError::Truncated { bytes: self.taken }.into());
        }
        self.open(out)
    }

    fn open<E: From<StreamError>>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(chunks) = self.chunks.as_mut() else { return Err(StreamError::Commitment.into()) };
        let chunk = chunks.next;
        let nonce = chunks.advance()?;
        let plain = chunks.key.open_in_place(nonce, Aad::empty(), &mut self.buffer[..]);
        out(plain.map_err(|_| StreamError::Chunk { chunk })?)
    }

    /// Opens a chunk that came in one piece from where it is, without a copy of it.
    fn open_whole<E: From<StreamError>>(
        &mut self,
        sealed: &[u8; SEALED_CHUNK_BYTES],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(chunks) = self.chunks.as_mut() else { return Err(StreamError::Commitment.into()) };
        let (chunk, nonce) = (chunks.next, chunks.advance()?);
        let (ciphertext, tag) = sealed.split_at(CHUNK_BYTES);
        let opened = chunks.key.open_separate_gather(nonce, Aad::empty(), ciphertext, tag, &mut self.plain);
        // Nothing of a chunk that is not authentic is given out.
        opened.map_err(|_| StreamError::Chunk { chunk })?;
        out(&self.plain)
    }
}

/// Decrypts chunks out of the middle of a stream, each by itself; every byte that it gives out is authentic, and at its place.
pub(super) struct ChunkOpener {
    chunks: Chunks,
    stream_bytes: u64,
}

impl ChunkOpener {
    /// Begins with the first bytes of a stream of `stream_bytes`, whose commitment has to match.
    pub(super) fn new(
        key: &ContentKey,
        context: &[u8],
        prefix: &[u8; PREFIX_BYTES],
        stream_bytes: u64,
    ) -> Result<Self, StreamError> {
        let opener = Self { chunks: verified(key, context, prefix)?, stream_bytes };
        match opener.place(opener.last()) {
            Some((_, length)) if length >= TAG_BYTES => Ok(opener),
            _ => Err(StreamError::Truncated { bytes: stream_bytes }),
        }
    }

    /// The number of the last chunk, which is shorter than the others.
    pub(super) fn last(&self) -> u64 {
        let chunks = self.stream_bytes.saturating_sub(PREFIX_BYTES as u64);
        chunks.checked_div(SEALED_CHUNK_BYTES as u64).unwrap_or(0)
    }

    /// Bytes of plaintext, once the last chunk has been opened: only then is the length more than a claim.
    pub(super) fn plain_bytes(&self) -> u64 {
        let around = self.last().saturating_add(1).saturating_mul(TAG_BYTES as u64);
        self.stream_bytes.saturating_sub(PREFIX_BYTES as u64).saturating_sub(around)
    }

    /// Where a chunk begins in the stream, and how long it is; none behind the last one.
    pub(super) fn place(&self, chunk: u64) -> Option<(u64, usize)> {
        let before = chunk.checked_mul(SEALED_CHUNK_BYTES as u64)?;
        let at = before.checked_add(PREFIX_BYTES as u64)?;
        let left = usize::try_from(self.stream_bytes.checked_sub(at)?).unwrap_or(usize::MAX);
        Some((at, left.min(SEALED_CHUNK_BYTES)))
    }

    /// Opens a chunk where it stands, and gives its plaintext.
    pub(super) fn open<'a>(&self, chunk: u64, sealed: &'a mut [u8]) -> Result<&'a mut [u8], StreamError> {
        let nonce = self.chunks.nonce(chunk)?;
        self.chunks.key.open_in_place(nonce, Aad::empty(), sealed).map_err(|_| StreamError::Chunk { chunk })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    fn key(byte: u8) -> ContentKey {
        ContentKey::new([byte; 32])
    }

    fn seal(plain: &[u8], piece: usize) -> Vec<u8> {
        let (mut sealer, prefix) = StreamSealer::new(&key(1), &SALT, b"context");
        let mut all = prefix.to_vec();
        let mut out = |bytes: &[u8]| -> Result<(), StreamError> {
            all.extend_from_slice(bytes);
            Ok(())
        };
        for piece in plain.chunks(piece) {
            sealer.push(piece, &mut out).unwrap();
        }
        sealer.finish(&mut out).unwrap();
        all
    }

    fn open_with(
        key: ContentKey,
        context: &[u8],
        sealed: &[u8],
        piece: usize,
    ) -> Result<Vec<u8>, StreamError> {
        let mut opener = StreamOpener::new(key, context.to_vec());
        let mut plain = Vec::new();
        let mut out = |bytes: &[u8]| {
            plain.extend_from_slice(bytes);
            Ok(())
        };
        for piece in sealed.chunks(piece) {
            opener.push(piece, &mut out)?;
        }
        opener.finish(&mut out)?;
        Ok(plain)
    }

    fn open(sealed: &[u8], piece: usize) -> Result<Vec<u8>, StreamError> {
        open_with(key(1), b"context", sealed, piece)
    }

    fn message(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    #[test]
    fn opens_what_it_seals_at_every_border_and_piece() {
        for length in [0, 1, 16_383, 16_384, 16_385, 40_000] {
            let plain = message(length);
            let sealed = seal(&plain, 16_384);
            assert_eq!(sealed.len() as u64, sealed_length(length as u64).unwrap(), "{length}");
            for piece in [1, 7, 16_384, 16_400, usize::MAX] {
                assert_eq!(seal(&plain, piece), sealed, "{length} sealed in pieces of {piece}");
                assert_eq!(open(&sealed, piece).as_ref(), Ok(&plain), "{length} opened in pieces of {piece}");
            }
        }
    }

    #[test]
    fn agrees_with_another_implementation() {
        // Made with Cobblestone256Encryptor of the Python package `cryptography`; see testdata/seal/cobblestone.py.
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/seal");
        for length in [0, 1000, 16_384, 40_000] {
            let sealed = std::fs::read(format!("{folder}/cobblestone-{length}.bin")).unwrap();
            let opened = open_with(ContentKey::new([0x2A; 32]), b"sealgate test", &sealed, 4096);
            assert_eq!(opened.as_deref(), Ok(&message(length)[..]));
        }
    }

    #[test]
    fn a_cut_is_found_wherever_it_is() {
        let sealed = seal(&message(40_000), 4096);
        let border = PREFIX_BYTES + SEALED_CHUNK_BYTES;
        let ends = [0, 10, 56, 60, 71, 72, border - 1, border, border + 1, 2 * border - 56, sealed.len() - 1];
        for end in ends {
            assert!(open(&sealed[..end], 4096).is_err(), "cut at {end}");
        }
        assert_eq!(open(&sealed[..border], 4096), Err(StreamError::Truncated { bytes: border as u64 }));
    }

    #[test]
    fn chunks_cannot_be_swapped_or_dropped() {
        let sealed = seal(&message(3 * CHUNK_BYTES), 4096);
        let chunk = |n: usize| PREFIX_BYTES + n * SEALED_CHUNK_BYTES;
        let mut swapped = sealed.clone();
        swapped[chunk(0)..chunk(1)].copy_from_slice(&sealed[chunk(1)..chunk(2)]);
        swapped[chunk(1)..chunk(2)].copy_from_slice(&sealed[chunk(0)..chunk(1)]);
        assert_eq!(open(&swapped, 4096), Err(StreamError::Chunk { chunk: 0 }));
        let dropped = [&sealed[..chunk(1)], &sealed[chunk(2)..]].concat();
        assert_eq!(open(&dropped, 4096), Err(StreamError::Chunk { chunk: 1 }));
        let extended = [&sealed[..], &[0]].concat();
        assert_eq!(open(&extended, 4096), Err(StreamError::Chunk { chunk: 3 }));
    }

    #[test]
    fn another_key_or_context_is_found_before_anything_is_decrypted() {
        let sealed = seal(&message(100), 100);
        assert_eq!(open_with(key(2), b"context", &sealed, 100), Err(StreamError::Commitment));
        assert_eq!(open_with(key(1), b"other", &sealed, 100), Err(StreamError::Commitment));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn one_changed_bit_anywhere_is_refused(length in 0_usize..40_000, at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut sealed = seal(&message(length), 16_384);
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert!(open(&sealed, 4096).is_err());
        }
    }
}
