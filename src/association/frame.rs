//! PDUs as frames: six bytes of header, checked before anything is allocated, then the body.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::config::Config;
use super::error::Error;

/// The PDU types of PS3.8 table 9-10 and on.
pub(super) mod kind {
    pub(crate) const ASSOCIATE_RQ: u8 = 1;
    pub(crate) const ASSOCIATE_AC: u8 = 2;
    pub(crate) const ASSOCIATE_RJ: u8 = 3;
    pub(crate) const P_DATA_TF: u8 = 4;
    pub(crate) const RELEASE_RQ: u8 = 5;
    pub(crate) const RELEASE_RP: u8 = 6;
    pub(crate) const ABORT: u8 = 7;
}

/// 128 presentation contexts, each with every transfer syntax there is, fit in half of this.
const ASSOCIATE_BYTES_MAX: u32 = 512 * 1024;
const HEADER_BYTES: usize = 6;
/// What is reserved before the first byte of a body has come.
const FIRST_STEP_BYTES: usize = 4096;

/// What may come now; everything else ends the association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for the A-ASSOCIATE-RQ.
    Request,
    /// Waiting for the answer to ours.
    Answer,
    /// The association is there.
    Established,
}

impl Phase {
    fn allows(self, kind: u8) -> bool {
        match self {
            Self::Request => matches!(kind, kind::ASSOCIATE_RQ | kind::ABORT),
            Self::Answer => matches!(kind, kind::ASSOCIATE_AC | kind::ASSOCIATE_RJ | kind::ABORT),
            Self::Established => {
                matches!(kind, kind::P_DATA_TF | kind::RELEASE_RQ | kind::RELEASE_RP | kind::ABORT)
            }
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Request => "before an association was asked for",
            Self::Answer => "before the association was answered",
            Self::Established => "on an established association",
        }
    }
}

/// One PDU without its header.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

/// A connection that reads and writes frames. What was read of a frame stays when a read is dropped.
#[derive(Debug)]
pub(super) struct Framed<S> {
    stream: S,
    buffer: BytesMut,
    /// Since when the present frame, or the first one, is waited for.
    since: Instant,
    pdu_bytes_max: u32,
    pdu_seconds: u64,
    send_seconds: u64,
}

/// How long the first byte of the next frame may take, and what was waited for if it takes longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) seconds: u64,
    pub(super) what: &'static str,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    pub(super) fn new(stream: S, config: &Config) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            since: Instant::now(),
            pdu_bytes_max: config.pdu_bytes_max,
            pdu_seconds: config.pdu_seconds,
            send_seconds: config.send_seconds,
        }
    }

    /// Whether nothing of a next frame has come yet.
    pub(super) fn is_between(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The clock for the next frame starts now.
    pub(super) fn restart_clock(&mut self) {
        self.since = Instant::now();
    }

    /// The next frame, or nothing if the peer closed between frames. May be dropped and called again.
    pub(super) async fn next(&mut self, phase: Phase, patience: Patience) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(length) = self.check_header(phase)?
                && self.buffer.len() >= HEADER_BYTES.saturating_add(length)
            {
                return Ok(Some(self.split(length)));
            }
            let (seconds, what) = if self.buffer.is_empty() {
                (patience.seconds, patience.what)
            } else {
                (self.pdu_seconds, "to send one PDU")
            };
            let deadline = after(self.since, seconds);
            let fresh = self.buffer.is_empty();
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await;
            match read.map_err(|_| Error::TooSlow { what, seconds })?? {
                0 if fresh => return Ok(None),
                0 => return Err(Error::Closed("in the middle of a PDU")),
                _ if fresh => self.since = Instant::now(),
                _ => {}
            }
        }
    }

    /// The length of the frame that is coming in, once its header is there and allowed; makes room for what is due.
    fn check_header(&mut self, phase: Phase) -> Result<Option<usize>, Error> {
        let Some(&kind) = self.buffer.first() else {
            self.buffer.reserve(FIRST_STEP_BYTES);
            return Ok(None);
        };
        let found = name_of(kind).ok_or(Error::UnknownPdu(kind))?;
        if !phase.allows(kind) {
            return Err(Error::UnexpectedPdu { found, state: phase.words() });
        }
        let Some(&[_, _, a, b, c, d]) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            self.buffer.reserve(HEADER_BYTES);
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let max = match kind {
            kind::P_DATA_TF => self.pdu_bytes_max,
            kind::ASSOCIATE_RQ | kind::ASSOCIATE_AC => ASSOCIATE_BYTES_MAX,
            _ => 4, // PS3.8 9.3.4 to 9.3.8: these have a fixed length
        };
        if length > max {
            return Err(Error::PduTooLarge { length, max });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let have = self.buffer.len();
        let due = HEADER_BYTES.saturating_add(length).saturating_sub(have);
        // Twice what has come, never all that is claimed at once.
        self.buffer.reserve(due.min(have.max(FIRST_STEP_BYTES)));
        Ok(Some(length))
    }

    fn split(&mut self, length: usize) -> Frame {
        let kind = self.buffer.first().copied().unwrap_or_default();
        self.buffer.advance(HEADER_BYTES);
        let body = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            // An idle association keeps no buffer.
            self.buffer = BytesMut::new();
        }
        self.since = Instant::now();
        Frame { kind, body }
    }

    /// Writes all of `bytes`, or fails when the peer does not take them in time.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let seconds = self.send_seconds;
        let written = timeout(Duration::from_secs(seconds), async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        let what = "to take what was sent to it";
        written.await.map_err(|_| Error::TooSlow { what, seconds })?.map_err(Error::from)
    }

    /// Ends our side and waits until the peer has closed its own, so that it reads our last words before a reset.
    pub(super) async fn close(mut self, seconds: u64) {
        let _ = timeout(Duration::from_secs(seconds), async {
            self.stream.shutdown().await?;
            let mut sink = [0; 1024];
            while self.stream.read(&mut sink).await? > 0 {}
            Ok::<(), std::io::Error>(())
        })
        .await;
    }
}

/// `seconds` after `start`. `Config` allows a week at most, which no clock overflows by.
pub(super) fn after(start: Instant, seconds: u64) -> Instant {
    start.checked_add(Duration::from_secs(seconds)).unwrap_or(start)
}

/// The standard's name of a PDU type, if it is one.
fn name_of(kind: u8) -> Option<&'static str> {
    Some(match kind {
        kind::ASSOCIATE_RQ => "A-ASSOCIATE-RQ",
        kind::ASSOCIATE_AC => "A-ASSOCIATE-AC",
        kind::ASSOCIATE_RJ => "A-ASSOCIATE-RJ",
        kind::P_DATA_TF => "P-DATA-TF",
        kind::RELEASE_RQ => "A-RELEASE-RQ",
        kind::RELEASE_RP => "A-RELEASE-RP",
        kind::ABORT => "A-ABORT",
        _ => return None,
    })
}

/// A PDU of fixed length: type, and the four bytes of its body.
pub(super) const fn short_pdu(kind: u8, body: [u8; 4]) -> [u8; 10] {
    let [a, b, c, d] = body;
    [kind, 0, 0, 0, 0, 4, a, b, c, d]
}
