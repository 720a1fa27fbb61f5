//! The digest of a data set, by which the same bytes are recognised.

/// BLAKE3 over bytes that come in pieces: what a sealed stream ends with.
#[derive(Default)]
pub struct DataDigest(blake3::Hasher);

impl DataDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}
