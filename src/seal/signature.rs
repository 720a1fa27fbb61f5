//! The gateway's signature: who sealed an instance, for everybody to verify, without any secret.
//!
//! `docs/FORMAT.md` section 5.1. The signer stands before the stream and is bound into its keys, so nobody without the content
//! key can take a signature off or put another signer's in its place; the signature stands behind the stream and covers all of it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::derive::Binding;
use super::header::{HEADER_BYTES, Header};
use crate::dicom::Uid;

/// Bytes of the signer's part between fixed header and stream: the algorithm, then the public key.
pub const SIGNER_BYTES: usize = 1 + 32;
/// Bytes of a signature, which stands behind the stream.
pub const SIGNATURE_BYTES: usize = 64;

/// The only algorithm there is so far.
const ED25519_NUMBER: u8 = 1;
const LABEL: &[u8] = b"sealgate signature v1";

/// Who signed: the public key of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignerKey([u8; 32]);

impl SignerKey {
    /// The Ed25519 public key with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The signer's part of the pixels.
    pub(super) fn write(self) -> [u8; SIGNER_BYTES] {
        let mut out = [ED25519_NUMBER; SIGNER_BYTES];
        if let Some((_, key)) = out.split_first_mut() {
            key.copy_from_slice(&self.0);
        }
        out
    }

    /// Reads the signer's part of the pixels.
    pub(super) fn read(bytes: &[u8; SIGNER_BYTES]) -> Result<Self, SignatureError> {
        match bytes.split_first_chunk() {
            Some((&[ED25519_NUMBER], key)) => {
                Ok(Self(key.try_into().expect("it is what is left of the signer's part")))
            }
            Some((&[other], _)) => Err(SignatureError::Algorithm(other)),
            None => Err(SignatureError::Wrong(Self([0; 32]))),
        }
    }

    /// Whether a signature is this signer's, over what `signed` says.
    fn verify(self, signed: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), SignatureError> {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(signed, signature).map_err(|_| SignatureError::Wrong(self))
    }
}

impl fmt::Display for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// An algorithm that this program does not know.
    #[error("the signature's algorithm {0} is unknown: it was signed by a newer version, or changed")]
    Algorithm(u8),
    /// It is not this signer's signature of this instance.
    #[error("the signature is not one of gateway {0} over this instance: it was changed after it was sealed")]
    Wrong(SignerKey),
}

/// A gateway's own signing key. The library erases it; it is never printed.
#[derive(Clone)]
pub struct Signer {
    pair: Arc<Ed25519KeyPair>,
    key: SignerKey,
}

impl Signer {
    /// The signing key that follows from 32 secret random bytes: the seed of RFC 8032 section 5.1.5.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed of Ed25519");
        let key = pair.public_key().as_ref().try_into().expect("a public key of Ed25519 has 32 bytes");
        Self { pair: Arc::new(pair), key: SignerKey(key) }
    }

    /// Its public half.
    #[must_use]
    pub const fn key(&self) -> SignerKey {
        self.key
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, secret)", self.key)
    }
}

/// What is gathered for a signature while the stream goes by.
pub(super) struct Signing {
    stream: blake3::Hasher,
}

impl Signing {
    pub(super) fn new() -> Self {
        Self { stream: blake3::Hasher::new() }
    }

    /// Takes the next bytes of the stream.
    pub(super) fn take(&mut self, stream: &[u8]) {
        self.stream.update(stream);
    }

    /// What is signed: the fixed header as it stands, the UIDs, and a digest of the whole stream with all its tags.
    fn message(&self, header: &[u8; HEADER_BYTES], class: &Uid, instance: &Uid) -> Vec<u8> {
        let mut out = [LABEL, header].concat();
        for uid in [class, instance] {
            out.extend_from_slice(&(uid.as_str().len() as u64).to_be_bytes());
            out.extend_from_slice(uid.as_str().as_bytes());
        }
        out.extend_from_slice(self.stream.finalize().as_bytes());
        out
    }

    /// The signature, once the stream is over.
    pub(super) fn sign(&self, signer: &Signer, header: &Header, binding: &Binding) -> [u8; SIGNATURE_BYTES] {
        let message = self.message(&header.write(), &binding.sop_class, &binding.sop_instance);
        signer.pair.sign(&message).as_ref().try_into().expect("a signature of Ed25519 has 64 bytes")
    }

    /// Verifies a signature, once the stream is over.
    pub(super) fn verify(
        &self,
        key: SignerKey,
        header: &Header,
        (class, instance): (&Uid, &Uid),
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), SignatureError> {
        key.verify(&self.message(&header.write(), class, instance), signature)
    }
}

/// The context of a stream: of one that is signed the signer belongs to it.
pub(super) fn context(binding: &Binding, signer: Option<SignerKey>) -> Vec<u8> {
    let mut out = binding.context();
    if let Some(signer) = signer {
        out.extend_from_slice(b"signed");
        out.extend_from_slice(&signer.write());
    }
    out
}
