//! A message on its way out: cut into PDUs that the peer takes, the command in one write with the start of the data.

use std::io::IoSlice;

use tokio::io::{AsyncRead, AsyncWrite};

use super::command::Command;
use super::error::Error;
use super::established::Association;
use super::pdv::{self, PDV_OVERHEAD};

/// Larger PDUs are not sent, whatever the peer takes: they cost memory and gain nothing.
const SEND_PDU_BYTES_MAX: u32 = 256 * 1024;
/// From so many bytes on, whole PDUs go out; small ones go out several at a time.
const SEND_BYTES: usize = 64 * 1024;
/// Fragments of this size and more go out from where they lie, smaller ones are gathered: each costs a header of its own.
const IN_PLACE_BYTES: usize = 4096;

/// A message that was begun. If it is dropped before its end, nothing can be sent behind it but an A-ABORT.
pub struct Outgoing<'a, S> {
    association: &'a mut Association<S>,
    context: u8,
    /// The command, and PDUs up to the one that is being filled.
    ready: Vec<u8>,
    /// Where in it that PDU begins. It is closed when more comes, or as the last one.
    pdu_at: usize,
    fragment_bytes_max: usize,
    has_data: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send> Outgoing<'a, S> {
    pub(super) fn command_only(
        association: &'a mut Association<S>,
        context: u8,
        command: &Command,
    ) -> Result<Self, Error> {
        if association.half_sent {
            return Err(Error::HalfSent);
        }
        let max = match association.agreement.peer_pdu_bytes_max {
            0 => SEND_PDU_BYTES_MAX,
            max => max.min(SEND_PDU_BYTES_MAX),
        };
        // PS3.8 annex E.1: fragments have an even number of bytes.
        let fragment_bytes_max =
            (usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(PDV_OVERHEAD) & !1).max(2);
        let mut ready = Vec::new();
        let bytes = command.write();
        let mut pieces = bytes.chunks(fragment_bytes_max).peekable();
        while let Some(piece) = pieces.next() {
            pdv::write(&mut ready, context, true, pieces.peek().is_none(), piece);
        }
        Ok(Self { association, context, pdu_at: ready.len(), ready, fragment_bytes_max, has_data: false })
    }

    pub(super) fn with_data(
        association: &'a mut Association<S>,
        context: u8,
        command: &Command,
    ) -> Result<Self, Error> {
        let command = command.clone().with_data_set();
        let mut outgoing = Self { has_data: true, ..Self::command_only(association, context, &command)? };
        outgoing.open();
        Ok(outgoing)
    }

    /// Appends to the data set. Returns when the peer took what had to go out.
    pub async fn write(&mut self, mut data: &[u8]) -> Result<(), Error> {
        let would_go = self.ready.len().saturating_add(data.len()) >= SEND_BYTES;
        if would_go && data.len() > self.room() && self.fragment_bytes_max >= IN_PLACE_BYTES {
            data = self.write_in_place(data).await?;
        }
        while !data.is_empty() {
            if self.room() == 0 {
                self.close(false);
                if self.ready.len() >= SEND_BYTES {
                    self.association.half_sent = true;
                    self.association.put(&mut [IoSlice::new(&self.ready)]).await?;
                    self.ready.clear();
                }
                self.open();
            }
            let (now, later) = data.split_at(self.room().min(data.len()));
            self.ready.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    /// Sends what is ready and every fragment that is complete, and gives back what is left, which may be the last of the
    /// data set.
    async fn write_in_place<'d>(&mut self, data: &'d [u8]) -> Result<&'d [u8], Error> {
        let (first, rest) = data.split_at_checked(self.room()).unwrap_or((data, &[]));
        self.close_with(false, first.len());
        let whole = rest.len().saturating_sub(1).checked_div(self.fragment_bytes_max).unwrap_or_default();
        let (middle, left) = rest.split_at(whole.saturating_mul(self.fragment_bytes_max));
        let header = pdv::header(self.context, false, false, self.fragment_bytes_max);
        let mut slices = vec![IoSlice::new(&self.ready), IoSlice::new(first)];
        let fragments = middle.chunks(self.fragment_bytes_max);
        slices.extend(fragments.flat_map(|fragment| [IoSlice::new(&header), IoSlice::new(fragment)]));
        self.association.half_sent = true;
        self.association.put(&mut slices).await?;
        self.ready.clear();
        self.open();
        Ok(left)
    }

    /// Sends what is left, as the end of the message.
    pub async fn finish(mut self) -> Result<(), Error> {
        if self.has_data {
            self.close(true);
            self.association.half_sent = true;
        }
        self.association.put(&mut [IoSlice::new(&self.ready)]).await?;
        self.association.half_sent = false;
        Ok(())
    }

    /// What still fits into the fragment that is being filled.
    fn room(&self) -> usize {
        let used = self.ready.len().saturating_sub(self.pdu_at).saturating_sub(pdv::HEADER_BYTES);
        self.fragment_bytes_max.saturating_sub(used)
    }

    /// Begins a PDU behind those that are ready.
    fn open(&mut self) {
        self.pdu_at = self.ready.len();
        self.ready.extend_from_slice(&[0; pdv::HEADER_BYTES]);
    }

    /// The PDU in hand is complete.
    fn close(&mut self, is_last: bool) {
        self.close_with(is_last, 0);
    }

    /// The PDU in hand is complete with so many bytes that lie elsewhere.
    fn close_with(&mut self, is_last: bool, elsewhere: usize) {
        let fragment_bytes = self.fragment_bytes_max.saturating_sub(self.room()).saturating_add(elsewhere);
        let header = pdv::header(self.context, false, is_last, fragment_bytes);
        if let Some(place) = self.ready.get_mut(self.pdu_at..).and_then(<[u8]>::first_chunk_mut) {
            *place = header;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Association<S> {
    async fn put(&mut self, slices: &mut [IoSlice<'_>]) -> Result<(), Error> {
        match self.framed.write_all(slices).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.last_words(error).await),
        }
    }
}
