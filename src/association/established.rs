//! An association that is there: messages in, messages out, and its end.

use std::any::Any;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::codes::Abort;
use super::command::{Command, element, field};
use super::config::Config;
use super::ending::Ending;
use super::error::Error;
use super::frame::{Frame, Framed, Limit, Phase, kind, short_pdu};
use super::negotiate::{Agreement, Context};
use super::outgoing::Outgoing;
use super::pdv::{self, PDV_OVERHEAD, Pdv};
use crate::dicom::Uid;

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
    pub(super) framed: Framed<S>,
    config: Arc<Config>,
    pub(super) agreement: Agreement,
    /// The name of the peer in logs.
    peer: Arc<str>,
    ending: Ending,
    /// What is left of the P-DATA-TF in hand.
    body: Bytes,
    /// The command set that is coming in.
    partial: Option<Partial>,
    /// The context whose data set is coming in.
    data_on: Option<u8>,
    /// The operation that the peer wants to end, since its last request.
    cancel: Option<u16>,
    /// Part of a message went out, and its end did not.
    pub(super) half_sent: bool,
    /// Given back when the association is gone.
    _places: Box<dyn Send + Sync>,
}

/// A command set whose last fragment has not come yet.
#[derive(Debug)]
struct Partial {
    context: u8,
    bytes: BytesMut,
    /// What its fragments took on the wire, so that empty ones have an end too.
    wire_bytes: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Association<S> {
    pub(super) fn new(
        mut framed: Framed<S>,
        config: Arc<Config>,
        agreement: Agreement,
        peer: Arc<str>,
        ending: Ending,
        places: Box<dyn Send + Sync>,
    ) -> Self {
        framed.begin_stage(Limit::from_now(config.association_seconds_max, "in all"));
        Self {
            framed,
            config,
            agreement,
            peer,
            ending,
            body: Bytes::new(),
            partial: None,
            data_on: None,
            cancel: None,
            half_sent: false,
            _places: places,
        }
    }

    /// The peer's name.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What the gatekeeper let the peer in with, if it is a `T`.
    #[must_use]
    pub fn pass<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.agreement.pass.clone()?.downcast().ok()
    }

    /// The accepted contexts.
    #[must_use]
    pub fn contexts(&self) -> &[Context] {
        &self.agreement.contexts
    }

    /// What was agreed on for a class in extended negotiation; nothing where none was asked for or all was refused.
    #[must_use]
    pub fn extended(&self, abstract_syntax: &Uid) -> Option<&[u8]> {
        self.agreement.extended.get(abstract_syntax).map(Vec::as_slice)
    }

    /// Whether a message was begun and its end did not go out, so that nothing but an A-ABORT can follow.
    #[must_use]
    pub fn is_half_sent(&self) -> bool {
        self.half_sent || self.framed.is_half_written()
    }

    /// The next message, or nothing when the peer released the association. Data sets that nobody read are skipped.
    ///
    /// Between messages it also ends when the process is ending. May be dropped and called again.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        while self.data_on.is_some() {
            self.next_data().await?;
        }
        loop {
            let idle = Some(self.idle("without a message"));
            let Some((context, bytes)) = self.receive_command(idle, true).await? else { return Ok(None) };
            let command = Command::read(&bytes)?;
            if command.field() == field::C_CANCEL {
                self.cancel = command.u16(element::RESPONDED_TO);
                continue;
            }
            if command.field() & field::RESPONSE == 0 {
                // PS3.7 9.3.2.3: a cancel that came after the end of its operation means nothing to the next one.
                self.cancel = None;
            }
            let context = self.context(context)?.clone();
            self.data_on = command.has_data_set().then_some(context.id);
            return Ok(Some(Message { context, command }));
        }
    }

    /// The next piece of the data set that follows the command received last; nothing behind its end. A piece may be
    /// empty. May be dropped and called again.
    pub async fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(context) = self.data_on else { return Ok(None) };
        let idle = Some(self.idle("to go on with a data set"));
        let Some(pdv) = self.next_pdv(idle, false).await? else { return Err(Error::Released("a data set")) };
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
    /// have been read. It has no limit but that of the association: the operation beside it has its own.
    pub async fn cancelled(&mut self, message_id: u16) -> Result<(), Error> {
        while self.cancel != Some(message_id) {
            let Some((_, bytes)) = self.receive_command(None, false).await? else {
                return Err(Error::Released("an operation"));
            };
            let command = Command::read(&bytes)?;
            if command.field() != field::C_CANCEL {
                // PS3.7 D.3.3.3: we answer the operations window with one at a time.
                return Err(Error::UnexpectedPdu {
                    found: "a second request",
                    state: "while one was in hand",
                });
            }
            self.cancel = command.u16(element::RESPONDED_TO);
        }
        Ok(())
    }

    /// Whether the peer has cancelled the operation `message_id` by now, without waiting for it: for a service that sends
    /// response after response. An error when the association has ended meanwhile.
    pub async fn cancel_has_come(&mut self, message_id: u16) -> Result<bool, Error> {
        tokio::select! {
            biased;
            cancelled = self.cancelled(message_id) => cancelled.map(|()| true),
            () = std::future::ready(()) => Ok(false),
        }
    }

    /// Whether a C-CANCEL-RQ for this operation came in while responses were received with [`Self::receive`], as in the
    /// sub-operations of C-GET.
    #[must_use]
    pub fn was_cancelled(&self, message_id: u16) -> bool {
        self.cancel == Some(message_id)
    }

    /// Sends a message without a data set.
    pub async fn send(&mut self, context: u8, command: &Command) -> Result<(), Error> {
        Outgoing::command_only(self, context, command)?.finish().await
    }

    /// Begins a message with a data set, which is then written piece by piece; the command goes out in one write with
    /// the first data.
    pub fn begin(&mut self, context: u8, command: &Command) -> Result<Outgoing<'_, S>, Error> {
        Outgoing::with_data(self, context, command)
    }

    /// Sends a message with a data set that is in memory.
    pub async fn send_with_data(&mut self, context: u8, command: &Command, data: &[u8]) -> Result<(), Error> {
        let mut outgoing = self.begin(context, command)?;
        outgoing.write(data).await?;
        outgoing.finish().await
    }

    /// Asks for the end and waits for the answer.
    pub async fn release(mut self) -> Result<(), Error> {
        self.framed.begin_stage(Limit::from_now(self.config.artim_seconds, "to answer a release"));
        self.framed.write(&short_pdu(kind::RELEASE_RQ, [0; 4])).await?;
        loop {
            match self.framed.next(Phase::Established, None).await? {
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
    pub async fn end(self, error: &Error) {
        if let Some(abort) = error.abort() {
            self.abort(abort).await;
        }
    }

    /// Breaks the association off.
    pub async fn abort(mut self, abort: Abort) {
        // The limit that has passed may be that of the whole association.
        self.framed.begin_stage(Limit::from_now(self.config.artim_seconds, "to take an A-ABORT"));
        if self.framed.write(&abort_pdu(abort)).await.is_ok() {
            self.close().await;
        }
    }

    /// Ends the association after the peer's release was answered.
    pub async fn close(mut self) {
        self.ending.cuts_short(self.framed.close(self.config.artim_seconds)).await;
    }

    /// Whether the association is still there while nothing is under way: a peer that has ended it has said so by now.
    pub async fn is_still_there(&mut self) -> bool {
        // Lets the runtime see what has come.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            // A release, an abort, a closed connection, or a message that nobody asked for.
            _ = self.receive() => false,
            () = std::future::ready(()) => true,
        }
    }

    /// Why a write failed: an A-ABORT that came before the connection broke says more than the broken connection.
    pub(super) async fn last_words(&mut self, error: Error) -> Error {
        if !matches!(error, Error::Io(_)) {
            return error;
        }
        let limit = Limit::from_now(1, "to say why it closed");
        while let Ok(Some(frame)) = self.framed.next(Phase::Established, Some(limit)).await {
            if frame.kind == kind::ABORT {
                return aborted(&frame.body);
            }
        }
        error
    }

    fn idle(&self, what: &'static str) -> Limit {
        Limit::from_now(self.config.idle_seconds, what)
    }

    fn context(&self, id: u8) -> Result<&Context, Error> {
        let found = self.agreement.contexts.iter().find(|context| context.id == id);
        found.ok_or_else(|| Error::Misplaced(format!("presentation context {id}, which was not accepted")))
    }

    /// The fragments of the next command set, put together, and its context; nothing after a release.
    async fn receive_command(
        &mut self,
        idle: Option<Limit>,
        may_end: bool,
    ) -> Result<Option<(u8, BytesMut)>, Error> {
        loop {
            let between = self.partial.is_none();
            let idle = if between { idle } else { Some(self.idle("to go on with a command")) };
            let Some(pdv) = self.next_pdv(idle, between && may_end).await? else {
                return if between { Ok(None) } else { Err(Error::Released("a command")) };
            };
            self.context(pdv.context)?;
            let mut partial = self.partial.take().unwrap_or_else(|| Partial::new(pdv.context));
            if !pdv.is_command || partial.context != pdv.context {
                return Err(Error::Misplaced("a fragment that does not belong to a command".to_owned()));
            }
            partial.add(&pdv.bytes, self.config.command_bytes_max)?;
            if pdv.is_last {
                return Ok(Some((partial.context, partial.bytes)));
            }
            self.partial = Some(partial);
        }
    }

    /// The next fragment; none after a release. Where it may, the end of the process ends the wait.
    async fn next_pdv(&mut self, idle: Option<Limit>, may_end: bool) -> Result<Option<Pdv>, Error> {
        loop {
            if let Some(pdv) = pdv::next(&mut self.body)? {
                return Ok(Some(pdv));
            }
            let may_end = may_end && self.framed.is_between();
            if may_end && self.ending.has_begun() {
                return Err(Error::Ending);
            }
            let frame = if may_end {
                tokio::select! {
                    biased;
                    frame = self.framed.next(Phase::Established, idle) => frame?,
                    // Looks again: what has come of a message by now is in hand, and is finished.
                    () = self.ending.begins() => continue,
                }
            } else {
                self.framed.next(Phase::Established, idle).await?
            };
            if !self.take(frame).await? {
                return Ok(None);
            }
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

impl Partial {
    fn new(context: u8) -> Self {
        Self { context, bytes: BytesMut::new(), wire_bytes: 0 }
    }

    fn add(&mut self, fragment: &[u8], bytes_max: usize) -> Result<(), Error> {
        self.wire_bytes = self.wire_bytes.saturating_add(fragment.len());
        if !self.bytes.is_empty() || fragment.is_empty() {
            // The first fragment costs nothing but itself, as in any ordinary command.
            self.wire_bytes = self.wire_bytes.saturating_add(PDV_OVERHEAD);
        }
        if self.wire_bytes > bytes_max {
            return Err(Error::Command(format!("it has more than {bytes_max} bytes")));
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }
}

/// An A-ABORT.
pub(super) fn abort_pdu(abort: Abort) -> [u8; 10] {
    let (source, reason) = abort.codes();
    short_pdu(kind::ABORT, [0, 0, source, reason])
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
