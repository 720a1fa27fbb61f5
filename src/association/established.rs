//! An association that is there: messages in, messages out, and its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::command::{Command, element, field};
use super::config::Config;
use super::error::Error;
use super::frame::{Frame, Framed, Patience, Phase, after, kind, short_pdu};
use super::negotiate::{Agreement, Context};
use super::pdv::{self, PDV_OVERHEAD, Pdv};

/// Data is sent in PDUs of at most this size to a peer that names no limit.
const SEND_PDU_BYTES_MAX: u32 = 256 * 1024;

/// How long a peer may take to close its side when the process ends.
const GRACE_SECONDS: u64 = 1;

/// A request that came in.
#[derive(Debug)]
pub struct Message {
    /// The context it came on.
    pub context: Context,
    /// Its command set.
    pub command: Command,
}

/// An association, as acceptor or as requestor.
pub struct Association<S> {
    framed: Framed<S>,
    config: Arc<Config>,
    agreement: Agreement,
    /// The name of the peer in logs.
    peer: Arc<str>,
    deadline: Instant,
    ending: Ending,
    /// What is left of the P-DATA-TF in hand.
    body: Bytes,
    /// The context whose data set is coming in.
    data_on: Option<u8>,
    /// Given back when the association is gone.
    _places: Box<dyn Send + Sync>,
}

/// Tells associations that the process is about to end: they finish the message in hand.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<bool>);

impl Ending {
    /// The receiving half; the sender says `true` once.
    #[must_use]
    pub fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// An end that never comes.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for `work`, but hardly longer once the end has begun.
    pub(super) async fn cuts_short<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let grace = async {
            self.begins().await;
            sleep(Duration::from_secs(GRACE_SECONDS)).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = grace => None,
        }
    }

    /// Resolves when it begins.
    pub async fn begins(&mut self) {
        if self.0.wait_for(|ending| *ending).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Association<S> {
    pub(super) fn new(
        framed: Framed<S>,
        config: Arc<Config>,
        agreement: Agreement,
        peer: Arc<str>,
        ending: Ending,
        places: Box<dyn Send + Sync>,
    ) -> Self {
        let deadline = after(Instant::now(), config.association_seconds_max);
        Self {
            framed,
            config,
            agreement,
            peer,
            deadline,
            ending,
            body: Bytes::new(),
            data_on: None,
            _places: places,
        }
    }

    /// The peer's name.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The accepted contexts.
    #[must_use]
    pub fn contexts(&self) -> &[Context] {
        &self.agreement.contexts
    }

    /// The next message, or nothing when the peer released the association. Data sets that nobody read are skipped.
    ///
    /// Between messages it also ends when the process is ending.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        while self.data_on.is_some() {
            self.next_data().await?;
        }
        loop {
            let Some((context, bytes)) = self.receive_command().await? else { return Ok(None) };
            let command = Command::read(&bytes)?;
            if command.field() == field::C_CANCEL {
                // PS3.7 9.3.2.3: it has no response; this one came after the operation had ended.
                continue;
            }
            let context = self.context(context)?.clone();
            self.data_on = command.has_data_set().then_some(context.id);
            return Ok(Some(Message { context, command }));
        }
    }

    /// The next piece of the data set that follows the command received last; nothing behind its end.
    pub async fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(context) = self.data_on else { return Ok(None) };
        let what = "to go on with a data set";
        let Some(pdv) = self.next_pdv(what, false).await? else { return Err(Error::Released("a data set")) };
        if pdv.is_command || pdv.context != context {
            return Err(Error::Misplaced(format!(
                "a fragment of something else inside the data set on context {context}"
            )));
        }
        if pdv.is_last {
            self.data_on = None;
        }
        Ok(Some(pdv.bytes))
    }

    /// Resolves when the peer cancels the operation `message_id`; an error when the association ends meanwhile.
    ///
    /// Meant to stand beside the operation in a `select!`; dropping it loses nothing. The data set of the request must
    /// have been read.
    pub async fn cancelled(&mut self, message_id: u16) -> Result<(), Error> {
        loop {
            // No time limit: it is the operation beside it that has one.
            let Some(pdv) = self.next_pdv_forever().await? else {
                return Err(Error::Released("an operation"));
            };
            if !(pdv.is_command && pdv.is_last) {
                return Err(Error::Misplaced(
                    "a message before the operation in hand was answered".to_owned(),
                ));
            }
            let command = Command::read(&pdv.bytes)?;
            if command.field() != field::C_CANCEL {
                return Err(Error::UnexpectedPdu {
                    found: "a second request",
                    state: "while one was in hand",
                });
            }
            if command.u16(element::RESPONDED_TO) == Some(message_id) {
                return Ok(());
            }
        }
    }

    /// Sends a message without a data set.
    pub async fn send(&mut self, context: u8, command: &Command) -> Result<(), Error> {
        let mut out = Vec::new();
        self.write_fragments(&mut out, context, true, &command.write());
        self.framed.write(&out).await
    }

    /// Sends a message with a data set that is in memory: the command and the start of the data in one write.
    pub async fn send_with_data(&mut self, context: u8, command: &Command, data: &[u8]) -> Result<(), Error> {
        let mut out = Vec::new();
        self.write_fragments(&mut out, context, true, &command.write());
        self.write_fragments(&mut out, context, false, data);
        self.framed.write(&out).await
    }

    /// Cuts a message part into PDUs that the peer takes.
    fn write_fragments(&self, out: &mut Vec<u8>, context: u8, is_command: bool, bytes: &[u8]) {
        let max = match self.agreement.peer_pdu_bytes_max {
            0 => SEND_PDU_BYTES_MAX,
            max => max.min(SEND_PDU_BYTES_MAX),
        };
        let size = usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(PDV_OVERHEAD).max(1);
        let mut pieces = bytes.chunks(size).peekable();
        if pieces.peek().is_none() {
            pdv::write(out, context, is_command, true, &[]);
        }
        while let Some(piece) = pieces.next() {
            pdv::write(out, context, is_command, pieces.peek().is_none(), piece);
        }
    }

    /// Asks for the end and waits for the answer.
    pub async fn release(mut self) -> Result<(), Error> {
        self.framed.write(&short_pdu(kind::RELEASE_RQ, [0; 4])).await?;
        self.framed.restart_clock();
        let patience = Patience { seconds: self.config.artim_seconds, what: "to answer a release" };
        loop {
            match self.framed.next(Phase::Established, patience).await? {
                Some(frame) if frame.kind == kind::RELEASE_RP => break,
                // PS3.8 9.2.3, collision: both asked; both answer.
                Some(frame) if frame.kind == kind::RELEASE_RQ => {
                    self.framed.write(&short_pdu(kind::RELEASE_RP, [0; 4])).await?;
                }
                Some(frame) if frame.kind == kind::ABORT => return Err(aborted(&frame.body)),
                Some(_) => {}
                None => break,
            }
        }
        self.framed.close(1).await;
        Ok(())
    }

    /// Ends the association for `error`, with the A-ABORT that belongs to it where one does.
    pub async fn end(mut self, error: &Error) {
        if let Some(abort) = error.abort() {
            let (source, reason) = abort.codes();
            let _ = self.framed.write(&short_pdu(kind::ABORT, [0, 0, source, reason])).await;
            self.close().await;
        }
    }

    /// Ends the association after the peer's release was answered.
    pub async fn close(mut self) {
        self.ending.cuts_short(self.framed.close(self.config.artim_seconds)).await;
    }

    fn context(&self, id: u8) -> Result<&Context, Error> {
        let found = self.agreement.contexts.iter().find(|context| context.id == id);
        found.ok_or_else(|| Error::Misplaced(format!("presentation context {id}, which was not accepted")))
    }

    /// The fragments of the next command set, put together, and its context.
    async fn receive_command(&mut self) -> Result<Option<(u8, BytesMut)>, Error> {
        let mut command = BytesMut::new();
        let mut on = None;
        loop {
            let first = on.is_none();
            let what = if first { "without a message" } else { "to go on with a command" };
            let Some(pdv) = self.next_pdv(what, first).await? else {
                return if first { Ok(None) } else { Err(Error::Released("a command")) };
            };
            self.context(pdv.context)?;
            if !pdv.is_command || on.is_some_and(|context| context != pdv.context) {
                return Err(Error::Misplaced("a fragment that does not belong to a command".to_owned()));
            }
            on = Some(pdv.context);
            if command.len().saturating_add(pdv.bytes.len()) > self.config.command_bytes_max {
                return Err(Error::Command(format!(
                    "it has more than {} bytes",
                    self.config.command_bytes_max
                )));
            }
            command.extend_from_slice(&pdv.bytes);
            if pdv.is_last {
                return Ok(Some((pdv.context, command)));
            }
        }
    }

    /// The next fragment; none after a release. Between messages the end of the process ends the wait.
    async fn next_pdv(&mut self, what: &'static str, between: bool) -> Result<Option<Pdv>, Error> {
        loop {
            if let Some(pdv) = pdv::next(&mut self.body)? {
                return Ok(Some(pdv));
            }
            let patience = self.patience(what);
            self.framed.restart_clock();
            let may_end = between && self.framed.is_between();
            if may_end && self.ending.has_begun() {
                return Err(Error::Ending);
            }
            let frame = if may_end {
                tokio::select! {
                    biased;
                    frame = self.framed.next(Phase::Established, patience) => frame?,
                    // Looks again: what has come of a message by now is in hand, and is finished.
                    () = self.ending.begins() => continue,
                }
            } else {
                self.framed.next(Phase::Established, patience).await?
            };
            if !self.take(frame).await? {
                return Ok(None);
            }
        }
    }

    /// The same while an operation runs, which has limits of its own.
    async fn next_pdv_forever(&mut self) -> Result<Option<Pdv>, Error> {
        loop {
            if let Some(pdv) = pdv::next(&mut self.body)? {
                return Ok(Some(pdv));
            }
            let left = self.deadline.saturating_duration_since(Instant::now()).as_secs();
            let frame =
                self.framed.next(Phase::Established, Patience { seconds: left, what: "in all" }).await?;
            if !self.take(frame).await? {
                return Ok(None);
            }
        }
    }

    /// What is shorter: the idle limit, or what is left of the whole.
    fn patience(&self, what: &'static str) -> Patience {
        let left = self.deadline.saturating_duration_since(Instant::now()).as_secs();
        match self.config.idle_seconds {
            idle if idle < left => Patience { seconds: idle, what },
            _ => Patience { seconds: left, what: "in all" },
        }
    }

    /// Takes a frame in; says whether the association goes on.
    async fn take(&mut self, frame: Option<Frame>) -> Result<bool, Error> {
        let Some(Frame { kind, body }) = frame else { return Err(Error::Closed("without a release")) };
        match kind {
            kind::P_DATA_TF if body.is_empty() => {
                Err(Error::Misplaced("a P-DATA-TF without a PDV".to_owned()))
            }
            kind::P_DATA_TF => {
                self.body = body;
                Ok(true)
            }
            kind::RELEASE_RQ => {
                self.framed.write(&short_pdu(kind::RELEASE_RP, [0; 4])).await?;
                Ok(false)
            }
            kind::ABORT => Err(aborted(&body)),
            _ => Err(Error::UnexpectedPdu { found: "A-RELEASE-RP", state: "without a request for it" }),
        }
    }
}

/// The peer's A-ABORT as an error.
pub(super) fn aborted(body: &[u8]) -> Error {
    // PS3.8 9.3.8: two reserved bytes, source, reason.
    let (by, reason) = match body {
        [_, _, by, reason, ..] => (*by, *reason),
        _ => (0, 0),
    };
    Error::Aborted { by, reason }
}
