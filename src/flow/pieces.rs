//! An opened image gathered into pieces of one size on its way to somewhere else.

use bytes::Bytes;

use crate::seal::ClearBytes;

/// Bytes that go on in one piece.
pub(super) const PIECE_BYTES: usize = 128 * 1024;

/// The piece that is being filled.
#[derive(Default)]
pub(super) struct Pieces(ClearBytes);

impl Pieces {
    /// Takes clear bytes, and hands every piece that they complete to `on`.
    pub(super) fn write<E>(
        &mut self,
        mut bytes: &[u8],
        mut on: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.0.capacity() == 0 {
                self.0 = ClearBytes::with_capacity(PIECE_BYTES);
            }
            let room = PIECE_BYTES.saturating_sub(self.0.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.0.extend_from_slice(now);
            bytes = later;
            if self.0.len() == PIECE_BYTES {
                self.rest().map_or(Ok(()), &mut on)?;
            }
        }
        Ok(())
    }

    /// What is left, if anything is.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| Bytes::from_owner(std::mem::take(&mut self.0)))
    }
}
