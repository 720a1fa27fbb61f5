//! The fields of a model's file, taken off the front one by one.

use super::error::KeygenError;

/// What is left of a file, and the error that a file of its kind is refused with.
pub(super) struct Fields<'a> {
    left: &'a [u8],
    refused: fn(String) -> KeygenError,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], refused: fn(String) -> KeygenError) -> Self {
        Self { left: bytes, refused }
    }

    /// Bytes that are left.
    pub(super) const fn left(&self) -> usize {
        self.left.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], KeygenError> {
        let Some((front, rest)) = self.left.split_at_checked(length) else {
            let left = self.left.len();
            return Err((self.refused)(format!(
                "it ends where {length} bytes were expected and {left} are left"
            )));
        };
        self.left = rest;
        Ok(front)
    }

    pub(super) fn u16(&mut self) -> Result<u16, KeygenError> {
        Ok(self.take(2)?.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    pub(super) fn u32(&mut self) -> Result<u32, KeygenError> {
        Ok(self.take(4)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    pub(super) fn weights(&mut self, count: usize) -> Result<Vec<i8>, KeygenError> {
        Ok(self.take(count)?.iter().map(|byte| byte.cast_signed()).collect())
    }
}
