//! The deflated transfer syntax, inflated piece by piece through a small buffer (PS3.5 A.5, RFC 1951).

use flate2::{Decompress, FlushDecompress, Status};

use super::error::ScanError;

/// What one pass through the buffer gives; nothing is held, so a bomb costs time in proportion to its own size only.
const BUFFER_BYTES: usize = 32 * 1024;

/// A deflate stream being inflated.
pub(super) struct Inflate {
    stream: Decompress,
    buffer: Box<[u8]>,
    ended: bool,
    padding: u64,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            stream: Decompress::new(false),
            buffer: vec![0; BUFFER_BYTES].into(),
            ended: false,
            padding: 0,
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
        self.take_padding(input).map_err(E::from)
    }

    /// PS3.5 A.5 wants an even number of bytes: one NUL may follow the stream.
    fn take_padding(&mut self, rest: &[u8]) -> Result<(), ScanError> {
        if !self.ended {
            return Ok(());
        }
        self.padding = self.padding.saturating_add(rest.len() as u64);
        if self.padding > 1 || rest.iter().any(|byte| *byte != 0) {
            return Err(ScanError::AfterDeflate { extra: self.padding });
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), ScanError> {
        if self.ended { Ok(()) } else { Err(self.error("it ends before its last block does")) }
    }

    fn error(&self, reason: &'static str) -> ScanError {
        ScanError::Inflate { reason, inflated: self.stream.total_out() }
    }
}
