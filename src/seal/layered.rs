//! The stream with the inner layer of its suite: records go through the layer into the stream, and back.
//!
//! `docs/FORMAT.md` section 6.1. The layer's seed is derived from the content key, the stream's salt and the context, so
//! no two streams have the same one; what the layer's opener needs besides stands first in the plaintext of the stream.

use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk};
use zeroize::Zeroizing;

use super::clear::ClearBytes;
use super::derive::Binding;
use super::key::ContentKey;
use super::signature::{SignerKey, context};
use super::stream::{CHUNK_BYTES, SALT_BYTES, StreamError, StreamOpener, StreamSealer};
use super::suite::Suite;
use crate::cipher::{CipherError, HELD_BYTES_MAX, Kind, Layer, LayerSeed, Layers};

const SEED_LABEL: &[u8] = b"sealgate inner layer v1";

struct Seed;

impl KeyType for Seed {
    fn len(&self) -> usize {
        32
    }
}

/// The seed of the inner layer of one stream.
pub(super) fn layer_seed(key: &ContentKey, salt: &[u8; SALT_BYTES], context: &[u8]) -> LayerSeed {
    let mut seed = Zeroizing::new([0; 32]);
    Prk::new_less_safe(HKDF_SHA512, key.expose_secret())
        .expand(&[SEED_LABEL, salt, context], Seed)
        .and_then(|okm| okm.fill(&mut *seed))
        .expect("32 bytes are fewer than the 255 blocks that HKDF gives");
    LayerSeed::new(*seed)
}

/// Turns records into a stream.
pub(super) struct LayeredSealer {
    state: Sealing,
    stream: StreamSealer,
    /// What the layer makes of the piece in hand.
    turned: Vec<u8>,
}

enum Sealing {
    /// The suite has no inner layer.
    None,
    /// The layer reads the metadata, which is not complete: so much of the records waits for it.
    Waiting(Box<Waiting>),
    Layer(Box<dyn Layer>),
}

/// What it takes to begin a layer later.
struct Waiting {
    kind: Kind,
    seed: LayerSeed,
    layers: Layers,
    /// Pieces of the records; erased when dropped, which is why none of them ever grows.
    records: Vec<Zeroizing<Vec<u8>>>,
    bytes: usize,
}

/// What of the records waits for the metadata, at most: the packed header.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

impl LayeredSealer {
    /// Starts a stream; what it begins with goes to `out`.
    pub(super) fn new<E: From<StreamError> + From<CipherError>>(
        key: &ContentKey,
        salt: &[u8; SALT_BYTES],
        binding: &Binding,
        signer: Option<SignerKey>,
        layers: &Layers,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let context = context(binding, signer);
        let (stream, prefix) = StreamSealer::new(key, salt, &context);
        out(&prefix)?;
        let mut sealer = Self { state: Sealing::None, stream, turned: Vec::new() };
        let Some(kind) = binding.suite.inner() else { return Ok(sealer) };
        let seed = layer_seed(key, salt, &context);
        if kind.reads_metadata() {
            let waiting = Waiting { kind, seed, layers: layers.clone(), records: Vec::new(), bytes: 0 };
            sealer.state = Sealing::Waiting(Box::new(waiting));
        } else {
            sealer.begin(layers.to_seal(kind, &seed, &[])?, out)?;
        }
        Ok(sealer)
    }

    /// The metadata is complete: a layer that waited for it begins.
    pub(super) fn describe<E: From<StreamError> + From<CipherError>>(
        &mut self,
        metadata: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Sealing::Waiting(waiting) = &mut self.state else { return Ok(()) };
        let Waiting { kind, seed, layers, records, .. } = &mut **waiting;
        let (begun, records) = (layers.to_seal(*kind, seed, metadata)?, std::mem::take(records));
        self.begin(begun, out)?;
        records.iter().try_for_each(|piece| self.push(piece, out))
    }

    fn begin<E: From<StreamError> + From<CipherError>>(
        &mut self,
        (parameters, layer): (Vec<u8>, Box<dyn Layer>),
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.state = Sealing::Layer(layer);
        self.stream.push(&parameters, out)
    }

    /// Takes the next bytes of the records.
    pub(super) fn push<E: From<StreamError> + From<CipherError>>(
        &mut self,
        plain: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.state {
            Sealing::None => self.stream.push(plain, out),
            Sealing::Waiting(waiting) => Ok(waiting.keep(plain)?),
            Sealing::Layer(layer) => {
                self.turned.clear();
                layer.push(plain, &mut self.turned)?;
                self.stream.push(&self.turned, out)
            }
        }
    }

    /// The records are over.
    pub(super) fn finish<E: From<StreamError> + From<CipherError>>(
        mut self,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Whatever the metadata is.
        self.describe(&[], out)?;
        if let Sealing::Layer(layer) = &mut self.state {
            self.turned.clear();
            layer.finish(&mut self.turned)?;
            self.stream.push(&self.turned, out)?;
        }
        self.stream.finish(out)
    }
}

impl Waiting {
    fn keep(&mut self, plain: &[u8]) -> Result<(), CipherError> {
        self.bytes = self.bytes.saturating_add(plain.len());
        if self.bytes > WAITING_BYTES_MAX {
            return Err(CipherError::Waiting { limit: WAITING_BYTES_MAX });
        }
        self.records.push(Zeroizing::new(plain.to_vec()));
        Ok(())
    }
}

/// Turns a stream into records.
pub(super) struct LayeredOpener {
    stream: StreamOpener,
    /// The salt, which comes first.
    salt: Vec<u8>,
    inner: Inner,
}

/// What is between the stream and the records.
struct Inner {
    state: State,
    key: ContentKey,
    suite: Suite,
    context: Vec<u8>,
    layers: Layers,
    /// What the layer makes of the piece in hand; erased when dropped.
    turned: ClearBytes,
}

enum State {
    /// The suite has no inner layer.
    None,
    /// The layer's parameters come first; so many of them have.
    Parameters(Vec<u8>),
    Layer(Box<dyn Layer>),
}

impl LayeredOpener {
    /// Starts to open the stream of an instance with this binding.
    pub(super) fn new(
        key: ContentKey,
        binding: &Binding,
        signer: Option<SignerKey>,
        layers: &Layers,
    ) -> Self {
        let context = context(binding, signer);
        let state = if binding.suite.inner().is_some() { State::Parameters(Vec::new()) } else { State::None };
        let inner = Inner {
            state,
            key: key.clone(),
            suite: binding.suite,
            context: context.clone(),
            layers: layers.clone(),
            turned: ClearBytes::default(),
        };
        let stream = StreamOpener::new(key, context);
        Self { stream, salt: Vec::with_capacity(SALT_BYTES), inner }
    }

    /// Takes the next bytes of the stream, and hands the records in them to `out`.
    pub(super) fn push<E: From<StreamError> + From<CipherError>>(
        &mut self,
        sealed: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { stream, salt, inner } = self;
        let missing = SALT_BYTES.saturating_sub(salt.len());
        salt.extend_from_slice(sealed.get(..missing).unwrap_or(sealed));
        stream.push(sealed, &mut |plain| inner.take(salt, plain, out))
    }

    /// The stream is over: what is left of it.
    pub(super) fn finish<E: From<StreamError> + From<CipherError>>(
        &mut self,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { stream, salt, inner } = self;
        stream.finish(&mut |plain| inner.take(salt, plain, out))?;
        inner.finish(out)
    }
}

impl Inner {
    /// Takes authentic plaintext of the stream.
    fn take<E: From<CipherError>>(
        &mut self,
        salt: &[u8],
        mut plain: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let (State::Parameters(parameters), Some(kind)) = (&mut self.state, self.suite.inner()) {
            let missing = kind.parameter_bytes().saturating_sub(parameters.len());
            let (now, later) = plain.split_at_checked(missing).unwrap_or((plain, &[]));
            parameters.extend_from_slice(now);
            plain = later;
            if parameters.len() < kind.parameter_bytes() {
                return Ok(());
            }
            let salt = salt.try_into().expect("the salt stands before all chunks");
            let seed = layer_seed(&self.key, salt, &self.context);
            self.state = State::Layer(self.layers.to_open(kind, parameters, &seed)?);
            self.turned = ClearBytes::with_capacity(CHUNK_BYTES.saturating_add(HELD_BYTES_MAX));
        }
        let State::Layer(layer) = &mut self.state else { return out(plain) };
        self.turned.clear();
        layer.push(plain, &mut self.turned)?;
        if self.turned.is_empty() { Ok(()) } else { out(&self.turned) }
    }

    fn finish<E: From<CipherError>>(
        &mut self,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.state {
            State::None => Ok(()),
            State::Parameters(found) => {
                let expected = self.suite.inner().map_or(0, Kind::parameter_bytes);
                Err(CipherError::Parameters { found: found.len(), expected }.into())
            }
            State::Layer(layer) => {
                self.turned.clear();
                layer.finish(&mut self.turned)?;
                if self.turned.is_empty() { Ok(()) } else { out(&self.turned) }
            }
        }
    }
}
