//! Fragments of encapsulated pixels while they pass (PS3.5 A.4): each becomes a record of its own, so that it is found again.

/// Bytes of an item's header.
const HEAD_BYTES: usize = 8;
/// (FFFE,E000) in little endian.
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];

/// Follows the items of encapsulated pixels, which come in pieces of any size.
#[derive(Default)]
pub(super) struct Fragments {
    head: Vec<u8>,
    /// Bytes of the present item that are still to come.
    left: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Bytes of a header, or of a fragment.
    Bytes(&'a [u8]),
    /// Behind this header a fragment of so many bytes begins.
    Fragment(&'a [u8], u32),
}

impl Fragments {
    /// The first part of these bytes, and what is behind it.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> (Part<'a>, &'a [u8]) {
        if self.left > 0 {
            let (now, later) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
            self.left = self.left.saturating_sub(now.len());
            return (Part::Bytes(now), later);
        }
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(now);
        let (Some(tag), Some(length), HEAD_BYTES) =
            (self.head.first_chunk::<4>(), self.head.last_chunk(), self.head.len())
        else {
            return (Part::Bytes(now), later);
        };
        // The scanner has seen that nothing but items and one delimiter stands here.
        let length = if *tag == ITEM { u32::from_le_bytes(*length) } else { 0 };
        self.head.clear();
        self.left = usize::try_from(length).unwrap_or(usize::MAX);
        (if length == 0 { Part::Bytes(now) } else { Part::Fragment(now, length) }, later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of pieces of this size: where fragments begin, how long they are, and all bytes.
    fn told(all: &[u8], size: usize) -> (Vec<(usize, u32)>, Vec<u8>) {
        let (mut fragments, mut found, mut bytes) = (Fragments::default(), Vec::new(), Vec::new());
        for piece in all.chunks(size) {
            let mut left = piece;
            while !left.is_empty() {
                let (part, later) = fragments.next(left);
                let (Part::Bytes(now) | Part::Fragment(now, _)) = part;
                bytes.extend_from_slice(now);
                if let Part::Fragment(_, length) = part {
                    found.push((bytes.len(), length));
                }
                left = later;
            }
        }
        (found, bytes)
    }

    #[test]
    fn fragments_are_told_whatever_the_pieces_are() {
        let item =
            |bytes: &[u8]| [&ITEM[..], &u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
        let end = vec![0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
        let all = [item(&[]), item(&[1; 30]), item(&[2; 4]), end].concat();
        for size in 1..all.len() {
            assert_eq!(told(&all, size), (vec![(16, 30), (54, 4)], all.clone()), "pieces of {size}");
        }
    }
}
