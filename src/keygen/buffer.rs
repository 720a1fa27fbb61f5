//! Memory for the inner loops: it begins where a cache line does, and is erased in the end.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest load: one that does not begin with a line costs as much as two.
const LINE: usize = 64;

/// So many numbers, zeros at first. Erased when dropped.
#[derive(Debug)]
pub(super) struct Buffer<T: Copy + Default> {
    all: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy + Default> Buffer<T> {
    pub(super) fn new(length: usize) -> Self {
        let all = vec![T::default(); length + LINE / size_of::<T>()];
        // Where no such place can be told, any other is as right, only slower.
        let start = all.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        Self { all, start, length }
    }

    /// The first so many numbers, whatever they are; more memory is taken where there are fewer.
    pub(super) fn room(&mut self, count: usize) -> &mut [T] {
        if self.length < count {
            *self = Self::new(count);
        }
        &mut self[..count]
    }

    /// Overwrites all with zeros, in a way that the compiler keeps.
    pub(super) fn erase(&mut self) {
        self.all.fill(T::default());
        std::hint::black_box(&mut self.all);
    }
}

impl<T: Copy + Default> Default for Buffer<T> {
    fn default() -> Self {
        Self { all: Vec::new(), start: 0, length: 0 }
    }
}

impl<T: Copy + Default> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all[self.start..self.start + self.length]
    }
}

impl<T: Copy + Default> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.all[self.start..self.start + self.length]
    }
}

impl<T: Copy + Default> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.erase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_a_cache_line_and_holds_zeros() {
        for length in [0, 1, 15, 16, 1000] {
            let mut buffer = Buffer::<i32>::new(length);
            assert_eq!(buffer.as_ptr().addr() % LINE, 0);
            assert_eq!(buffer.to_vec(), vec![0; length]);
            buffer.fill(7);
            assert_eq!(buffer.room(length + 1).len(), length + 1);
            assert_eq!(buffer.room(1).len(), 1);
        }
    }

    #[test]
    fn is_all_zeros_once_erased() {
        let mut buffer = Buffer::<u8>::new(100);
        buffer.fill(9);
        buffer.erase();
        assert!(buffer.all.iter().all(|byte| *byte == 0));
    }
}
