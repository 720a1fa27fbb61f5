//! A key image: what a generator gives, erased as soon as nobody needs it.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rows and columns of seed images and key images.
pub const SIDE: usize = 256;

/// 256 rows of 256 pixels of 3 bytes. Erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyImage(Box<[u8]>);

impl KeyImage {
    /// Bytes of a key image: 196,608.
    pub const LENGTH: usize = SIDE * SIDE * 3;

    /// Takes the bytes in; none if there are not exactly [`Self::LENGTH`].
    #[must_use]
    pub fn new(mut bytes: Box<[u8]>) -> Option<Self> {
        if bytes.len() == Self::LENGTH {
            return Some(Self(bytes));
        }
        bytes.zeroize();
        None
    }

    /// An image of zeros, to be written.
    pub(crate) fn blank() -> Self {
        Self(vec![0; Self::LENGTH].into_boxed_slice())
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The bytes: rows, in them pixels, in them red, green and blue.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyImage(secret)")
    }
}
