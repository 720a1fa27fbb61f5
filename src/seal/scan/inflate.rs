//! The deflated transfer syntax, inflated piece by piece through a small buffer (PS3.5 A.5, RFC 1951).

use flate2::{Decompress, FlushDecompress, Status};

use super::error::ScanError;

/// What one pass through the buffer gives; nothing is held, so a bomb costs time in proportion to its own size only.
const BUFFER_BYTES: usize = 32 * 1024;

/// A CRC-32, a length and a NUL.
const TRAILER_BYTES_MAX: usize = 9;

/// A deflate stream being inflated.
pub(super) struct Inflate {
    stream: Decompress,
    buffer: Box<[u8]>,
    ended: bool,
    /// What follows the stream: at most 9 bytes.
    trailer: Vec<u8>,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            stream: Decompress::new(false),
            buffer: vec![0; BUFFER_BYTES].into(),
            ended: false,
            trailer: Vec::new(),
        }
    }

    /// Takes `input`, and hands over what it inflates to, in pieces.
    pub(super) fn push<E: From<ScanError>>(
        &mut self,
        mut input: &[u8],
        mut on: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.ended {
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut self.buffer, FlushDecompress::None)
                .map_err(|_| self.error("the bytes are no deflate stream"))?;
            let difference = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
            let taken = difference(self.stream.total_in(), taken);
            let made = difference(self.stream.total_out(), made);
            input = input.get(taken..).unwrap_or_default();
            self.ended = status == Status::StreamEnd;
            on(self.buffer.get(..made).unwrap_or_default())?;
            if taken == 0 && made == 0 {
                break;
            }
        }
        if self.ended {
            let room = TRAILER_BYTES_MAX.saturating_sub(self.trailer.len());
            if input.len() > room {
                return Err(self.trailer_error(input.len()).into());
            }
            self.trailer.extend_from_slice(input);
        }
        Ok(())
    }

    /// PS3.5 A.5 wants an even number of bytes: one NUL may follow the stream. Some writers leave the end of a gzip
    /// file there as well (RFC 1952 2.3.1): a CRC-32, then the inflated length.
    pub(super) fn finish(&self) -> Result<(), ScanError> {
        if !self.ended {
            return Err(self.error("it ends before its last block does"));
        }
        let inflated = self.stream.total_out().to_le_bytes();
        match self.trailer.as_slice() {
            [] | [0] => Ok(()),
            [_, _, _, _, length @ ..] if inflated.starts_with(length.get(..4).unwrap_or(length)) => {
                match length {
                    [_, _, _, _] | [_, _, _, _, 0] => Ok(()),
                    _ => Err(self.trailer_error(0)),
                }
            }
            _ => Err(self.trailer_error(0)),
        }
    }

    fn trailer_error(&self, more: usize) -> ScanError {
        ScanError::AfterDeflate { extra: self.trailer.len().saturating_add(more) as u64 }
    }

    fn error(&self, reason: &'static str) -> ScanError {
        ScanError::Inflate { reason, inflated: self.stream.total_out() }
    }
}
