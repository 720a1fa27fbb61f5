//! How records are packed: DEFLATE with a preset dictionary of what images usually have in front of their pixels.
//!
//! A header of a few kilobytes says little that other headers do not say; the dictionary saves about a third of what is
//! left of it. Its bytes are part of the format.

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

/// The dictionary, `docs/FORMAT-dictionary.bin`.
const DICTIONARY: &[u8] = include_bytes!("../../../docs/FORMAT-dictionary.bin");
/// Where more effort finds nothing more in a header, and takes half as long again.
const LEVEL: i32 = 6;
/// The largest window of DEFLATE, 32 KiB.
const WINDOW_BITS: u8 = 15;

/// What stands in the window before the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dictionary {
    /// Nothing.
    None,
    /// What images usually have in front of their pixels.
    Usual,
}

/// Packs `bytes` with the dictionary, behind what stands in `out`.
pub(super) fn pack(bytes: &[u8], out: &mut Vec<u8>) {
    let mut packer = Deflate::new(LEVEL, false, WINDOW_BITS);
    packer.set_dictionary(DICTIONARY).expect("a new packer takes a dictionary");
    let mut room = vec![0; bytes.len().max(1024)];
    let mut left = bytes;
    loop {
        let (taken, made) = (packer.total_in(), packer.total_out());
        let status = packer.compress(left, &mut room, DeflateFlush::Finish);
        let count = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
        out.extend_from_slice(room.get(..count(packer.total_out(), made)).unwrap_or_default());
        left = left.get(count(packer.total_in(), taken)..).unwrap_or_default();
        if status.expect("what is packed cannot be wrong") == Status::StreamEnd {
            return;
        }
    }
}

/// Unpacks what comes to exactly `size` bytes and ends there; anything else is nothing.
pub(super) fn unpack(packed: &[u8], size: usize, dictionary: Dictionary) -> Option<Vec<u8>> {
    let mut unpacker = Inflate::new(false, WINDOW_BITS);
    if dictionary == Dictionary::Usual {
        unpacker.set_dictionary(DICTIONARY).ok()?;
    }
    let mut bytes = vec![0; size];
    let status = unpacker.decompress(packed, &mut bytes, InflateFlush::Finish).ok()?;
    let whole = unpacker.total_out() == size as u64 && unpacker.total_in() == packed.len() as u64;
    (status == Status::StreamEnd && whole).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_even_if_it_does_not_pack() {
        let noise: Vec<u8> = (0..65_536_u32)
            .map(|i| i.wrapping_mul(0x9E37_79B1).to_be_bytes()[0] ^ i.to_le_bytes()[0])
            .collect();
        for bytes in [&b"x"[..], b"ISO_IR 100", &noise] {
            let mut packed = Vec::new();
            pack(bytes, &mut packed);
            assert!(packed.len() <= bytes.len() + 64, "{} bytes became {}", bytes.len(), packed.len());
            assert_eq!(unpack(&packed, bytes.len(), Dictionary::Usual).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn what_is_too_long_too_short_or_damaged_is_nothing() {
        let mut packed = Vec::new();
        pack(b"SIEMENS MEDCOM HEADER and more", &mut packed);
        let unpack = |packed: &[u8], size| unpack(packed, size, Dictionary::Usual);
        assert!(unpack(&packed, 30).is_some());
        assert_eq!(unpack(&packed, 29), None, "more than was said");
        assert_eq!(unpack(&packed, 31), None, "less than was said");
        assert_eq!(unpack(&packed[..packed.len() - 1], 30), None, "cut");
        assert_eq!(unpack(&[&packed[..], b"x"].concat(), 30), None, "followed by something");
        assert_eq!(
            super::unpack(&packed, 30, Dictionary::None),
            None,
            "a distance into a dictionary that is not there"
        );
    }
}
