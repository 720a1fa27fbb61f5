//! A whole data set deflated (PS3.5 A.5), for a receiver that takes it in no other form.

use std::collections::VecDeque;
use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::PIECE_BYTES;
use super::error::TranscodeError;
use crate::seal::ClearBytes;

/// A data set in Deflated Explicit VR Little Endian out of one in Explicit VR Little Endian; inflated again and compared.
pub fn deflate(pieces: &VecDeque<Bytes>) -> Result<VecDeque<Bytes>, TranscodeError> {
    let wrong = |error: std::io::Error| TranscodeError::Codec(error.to_string());
    let mut encoder = DeflateEncoder::new(Kept::default(), Compression::fast());
    for piece in pieces {
        encoder.write_all(piece).map_err(wrong)?;
    }
    let mut deflated = encoder.finish().map_err(wrong)?;
    // PS3.5 A.5: padded to an even length, as a data set has to be.
    if !deflated.bytes.is_multiple_of(2) {
        deflated.write_all(&[0]).map_err(wrong)?;
    }
    let out = deflated.whole();
    if is_same(&out, pieces).map_err(wrong)? { Ok(out) } else { Err(TranscodeError::NotTheSame) }
}

/// What the encoder gives, in pieces that are erased.
#[derive(Default)]
struct Kept {
    pieces: VecDeque<Bytes>,
    last: ClearBytes,
    bytes: u64,
}

impl Kept {
    fn whole(mut self) -> VecDeque<Bytes> {
        self.pieces.push_back(Bytes::from_owner(self.last));
        self.pieces
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.last.len() == self.last.capacity() {
            let full = std::mem::replace(&mut self.last, ClearBytes::with_capacity(PIECE_BYTES));
            if !full.is_empty() {
                self.pieces.push_back(Bytes::from_owner(full));
            }
        }
        let taken = bytes.len().min(self.last.capacity() - self.last.len());
        self.last.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn is_same(deflated: &VecDeque<Bytes>, pieces: &VecDeque<Bytes>) -> std::io::Result<bool> {
    let mut decoder = DeflateDecoder::new(Chain { pieces: deflated, index: 0, at: 0 });
    let mut again = ClearBytes::from(vec![0; PIECE_BYTES]);
    for part in pieces.iter().flat_map(|piece| piece.chunks(PIECE_BYTES)) {
        let room = again.get_mut(..part.len()).unwrap_or_default();
        match decoder.read_exact(room) {
            Ok(()) if *room == *part => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(decoder.read(&mut [0])? == 0)
}

/// Pieces read one after the other.
struct Chain<'a> {
    pieces: &'a VecDeque<Bytes>,
    index: usize,
    at: usize,
}

impl Read for Chain<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while let Some(piece) = self.pieces.get(self.index) {
            let rest = piece.get(self.at..).unwrap_or_default();
            if !rest.is_empty() {
                let taken = rest.len().min(out.len());
                out.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
                self.at += taken;
                return Ok(taken);
            }
            (self.index, self.at) = (self.index + 1, 0);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deflated_is_inflated_to_the_same_whatever_its_pieces_are() {
        let bytes: Vec<u8> =
            (0..500_000_u32).flat_map(|number| number.wrapping_mul(77).to_le_bytes()).collect();
        for size in [1000, 99_999, 2_000_000] {
            let pieces: VecDeque<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            let deflated = deflate(&pieces).unwrap();
            let all: Vec<u8> = deflated.iter().flatten().copied().collect();
            let mut again = Vec::new();
            DeflateDecoder::new(&all[..]).read_to_end(&mut again).unwrap();
            assert!(again == bytes && all.len().is_multiple_of(2) && all.len() < bytes.len());
            let mut other = pieces.clone();
            other[0] = Bytes::from(vec![0; other[0].len()]);
            assert!(!is_same(&deflated, &other).unwrap());
            other.push_back(Bytes::from_static(b"x"));
            assert!(!is_same(&deflated, &other).unwrap());
        }
    }
}
