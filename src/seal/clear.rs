//! Bytes of images in clear, erased when they are dropped.

use std::ops::{Deref, DerefMut};

/// What `zeroize::Zeroizing<Vec<u8>>` is to keys, for amounts that count: all of its room is erased, at the speed of memory.
///
/// It must not grow once it holds something: what that leaves behind is not erased.
#[derive(Default)]
pub struct ClearBytes(Vec<u8>);

impl ClearBytes {
    /// Room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    fn erase(&mut self) {
        let room = self.0.capacity();
        self.0.clear();
        self.0.resize(room, 0);
        // Nobody reads it any more: without this the compiler may leave the writing out.
        zeroize::optimization_barrier(self.0.as_slice());
    }
}

impl Drop for ClearBytes {
    fn drop(&mut self) {
        self.erase();
    }
}

impl From<Vec<u8>> for ClearBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for ClearBytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for ClearBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for ClearBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_room_is_erased_also_what_was_let_go_of_before() {
        let mut bytes = ClearBytes::with_capacity(100);
        bytes.extend_from_slice(&[7; 90]);
        bytes.truncate(10);
        bytes.erase();
        assert_eq!(bytes.len(), bytes.capacity());
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}
