//! PDUs as frames: six bytes of header, checked before anything is allocated, then the body.

use std::io::{self, IoSlice};
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
/// What is reserved at most, and read ahead, while data comes in.
const STEP_BYTES_MAX: usize = 256 * 1024;

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

/// When a wait is over, and what the peer took too long for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    at: Instant,
    seconds: u64,
    what: &'static str,
}

impl Limit {
    /// So many seconds from now.
    pub(super) fn from_now(seconds: u64, what: &'static str) -> Self {
        Self::from(Instant::now(), seconds, what)
    }

    fn from(start: Instant, seconds: u64, what: &'static str) -> Self {
        // `Config` allows a week at most, which no clock overflows by.
        Self { at: start.checked_add(Duration::from_secs(seconds)).unwrap_or(start), seconds, what }
    }

    fn or_sooner(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// Waits for `work`, but not longer.
    pub(super) async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, Error> {
        let Self { at, seconds, what } = self;
        timeout_at(at, work).await.map_err(|_| Error::TooSlow { what, seconds })
    }
}

/// A connection that reads and writes frames. What was read of a frame stays when a read is dropped.
#[derive(Debug)]
pub(super) struct Framed<S> {
    stream: S,
    buffer: BytesMut,
    /// What is read at once: it grows with what has come.
    step: usize,
    /// Since when the rest of the frame in hand is waited for. Time that we take ourselves does not count.
    since: Option<Instant>,
    /// Ends every wait, whatever else its limit is.
    whole: Limit,
    /// A write was begun and not finished; nothing that is written now would be understood.
    half_written: bool,
    pdu_bytes_max: u32,
    pdu_seconds: u64,
    send_seconds: u64,
}

impl<S> Framed<S> {
    /// What it reads from and writes to.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    pub(super) fn new(stream: S, config: &Config, whole: Limit) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            step: FIRST_STEP_BYTES,
            since: None,
            whole,
            half_written: false,
            pdu_bytes_max: config.pdu_bytes_max,
            pdu_seconds: config.pdu_seconds,
            send_seconds: config.send_seconds,
        }
    }

    /// Whether nothing of a next frame has come yet.
    pub(super) fn is_between(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether a write was begun and not finished.
    pub(super) fn is_half_written(&self) -> bool {
        self.half_written
    }

    /// What is to happen from now on ends with `whole`.
    pub(super) fn begin_stage(&mut self, whole: Limit) {
        self.whole = whole;
    }

    /// The next frame, or nothing if the peer closed between frames. May be dropped and called again.
    ///
    /// `patience` is for the first byte; the others have the limit of a PDU, and all have that of the stage.
    pub(super) async fn next(
        &mut self,
        phase: Phase,
        patience: Option<Limit>,
    ) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(length) = self.check_header(phase)?
                && self.buffer.len() >= HEADER_BYTES.saturating_add(length)
            {
                return Ok(Some(self.split(length)));
            }
            let fresh = self.buffer.is_empty();
            let limit = if fresh {
                patience.map_or(self.whole, |patience| patience.or_sooner(self.whole))
            } else {
                let since = *self.since.get_or_insert_with(Instant::now);
                Limit::from(since, self.pdu_seconds, "to send one PDU").or_sooner(self.whole)
            };
            match limit.bound(self.stream.read_buf(&mut self.buffer)).await?? {
                0 if fresh => return Ok(None),
                0 => return Err(Error::Closed("in the middle of a PDU")),
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
            // PS3.8 9.3.4 to 9.3.8: the others have a fixed length. An abort is one, however long it says it is.
            kind::ABORT if length != 4 => return Err(Error::Aborted { by: 0, reason: 0 }),
            _ if length != 4 => return Err(Error::Malformed(format!("{found} of {length} bytes, it has 4"))),
            _ => 4,
        };
        if length > max {
            return Err(Error::PduTooLarge { length, max });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let have = self.buffer.len();
        let due = HEADER_BYTES.saturating_add(length).saturating_sub(have);
        if due > self.buffer.capacity().saturating_sub(have) {
            // As much as has come before, never all that is claimed at once.
            let believed = due.min(have.max(FIRST_STEP_BYTES));
            self.buffer.reserve(if self.step > FIRST_STEP_BYTES { self.step } else { believed });
        }
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
        self.since = None;
        if kind == kind::P_DATA_TF {
            self.step = self.step.saturating_add(length).min(STEP_BYTES_MAX);
        }
        Frame { kind, body }
    }

    /// Writes all of `bytes`, or fails when the peer does not take them in time.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(&mut [IoSlice::new(bytes)]).await
    }

    /// Writes all of these, or fails when the peer does not take them in time.
    pub(super) async fn write_all(&mut self, mut slices: &mut [IoSlice<'_>]) -> Result<(), Error> {
        if self.half_written {
            return Err(Error::HalfSent);
        }
        self.half_written = true;
        let limit = Limit::from_now(self.send_seconds, "to take what was sent to it").or_sooner(self.whole);
        limit
            .bound(async {
                // An empty one in front would be written as nothing, which looks like the end.
                IoSlice::advance_slices(&mut slices, 0);
                while !slices.is_empty() {
                    match self.stream.write_vectored(slices).await? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        written => IoSlice::advance_slices(&mut slices, written),
                    }
                }
                self.stream.flush().await
            })
            .await??;
        self.half_written = false;
        Ok(())
    }

    /// Ends our side and waits until the peer has closed its own, so that it reads our last words before a reset.
    pub(super) async fn close(mut self, seconds: u64) {
        self.buffer = BytesMut::new();
        let _ = timeout(Duration::from_secs(seconds), async {
            self.stream.shutdown().await?;
            let mut sink = [0; 1024];
            while self.stream.read(&mut sink).await? > 0 {}
            Ok::<(), io::Error>(())
        })
        .await;
    }
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
