//! A message on its way out: cut into PDUs that the peer takes, the command in one write with the start of the data.

use tokio::io::{AsyncRead, AsyncWrite};

use super::command::Command;
use super::error::Error;
use super::established::Association;
use super::pdv::{self, PDV_OVERHEAD};

/// Larger PDUs are not sent, whatever the peer takes: they cost memory and gain nothing.
const SEND_PDU_BYTES_MAX: u32 = 256 * 1024;
/// From so many bytes on, whole PDUs go out; small ones go out several at a time.
const SEND_BYTES: usize = 64 * 1024;

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
        while !data.is_empty() {
            if self.room() == 0 {
                self.close(false);
                if self.ready.len() >= SEND_BYTES {
                    self.association.half_sent = true;
                    self.put().await?;
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

    /// Sends what is left, as the end of the message.
    pub async fn finish(mut self) -> Result<(), Error> {
        if self.has_data {
            self.close(true);
            self.association.half_sent = true;
        }
        self.put().await?;
        self.association.half_sent = false;
        Ok(())
    }

    async fn put(&mut self) -> Result<(), Error> {
        match self.association.framed.write(&self.ready).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.association.last_words(error).await),
        }
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
        if let Some(pdu) = self.ready.get_mut(self.pdu_at..) {
            pdv::fill_header(pdu, self.context, false, is_last);
        }
    }
}
