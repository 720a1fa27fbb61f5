//! An association that we asked for, and the requests on it: one at a time, each wait limited.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::answer::Answer;
use super::config::Config;
use super::dial::{Dialer, Wire};
use super::failure::Failure;
use crate::association::{
    self, Abort, Association, Command, Context, Ending, Error, Message, Outgoing, Proposal, field,
    request_over,
};
use crate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid};

/// Reports that are kept for whoever asks for them; more than one at a time is rare.
const REPORTS_MAX: usize = 16;

/// Whom we call, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The other node.
    pub address: AeAddress,
    /// Our AE title towards it.
    pub calling: AeTitle,
}

/// An N-EVENT-REPORT-RQ that came in, with its data set.
#[derive(Debug, Clone)]
pub struct Report {
    /// The context it came on.
    pub context: Context,
    /// Its command set.
    pub command: Command,
    /// Its event information.
    pub data: Bytes,
}

/// A response and its data set, which may be empty.
#[derive(Debug, Clone)]
pub struct Response {
    /// What it says.
    pub answer: Answer,
    /// Its command set.
    pub command: Command,
    /// The data set as it came.
    pub data: Bytes,
}

/// How an association will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing speaks against a release.
    Good,
    /// Something failed, and the peer is owed an A-ABORT.
    Failed(Abort),
    /// The peer has ended it, or cannot hear us.
    Gone,
}

/// An association on which we ask.
pub struct Caller {
    association: Association<Wire>,
    config: Arc<Config>,
    /// The Message ID used last.
    message_id: u16,
    operations: u64,
    /// An operation was begun and its last response has not come.
    in_hand: Option<u16>,
    end: End,
    /// The data set that is coming in.
    partial: Vec<u8>,
    /// A report whose data set has not come yet.
    arriving: Option<Message>,
    reports: VecDeque<Report>,
}

impl Caller {
    /// Reaches `to` through `dialer` and proposes contexts; those that the peer refuses are simply not there.
    pub async fn associate(
        dialer: &dyn Dialer,
        to: &Destination,
        proposals: &[Proposal],
        door: &association::Config,
        config: &Arc<Config>,
    ) -> Result<Self, Failure> {
        let limits = Arc::new(config.limits(door));
        let wire = dialer.dial(&to.address, &limits).await?;
        let Destination { address, calling } = to;
        let association = request_over(wire, address, calling, proposals, &limits, Ending::never()).await?;
        Ok(Self::over(association, Arc::clone(config)))
    }

    /// Asks on an association that is there.
    #[must_use]
    pub fn over(association: Association<Wire>, config: Arc<Config>) -> Self {
        Self {
            association,
            config,
            message_id: 0,
            operations: 0,
            in_hand: None,
            end: End::Good,
            partial: Vec::new(),
            arriving: None,
            reports: VecDeque::new(),
        }
    }

    /// The accepted contexts.
    #[must_use]
    pub fn contexts(&self) -> &[Context] {
        self.association.contexts()
    }

    /// The context for a class in a transfer syntax on which we may ask.
    pub fn context(&self, class: &Uid, syntax: TransferSyntax) -> Result<Context, Failure> {
        self.find_context(class, |context| context.roles.scu && context.transfer_syntax == syntax)
            .ok_or_else(|| Failure::NoContext { class: class.clone(), how: format!("in {}", syntax.keyword) })
    }

    /// The first context for a class on which we may ask, in whichever syntax the peer chose.
    pub fn context_of(&self, class: &Uid) -> Result<Context, Failure> {
        self.find_context(class, |context| context.roles.scu)
            .ok_or_else(|| Failure::NoContext { class: class.clone(), how: "with us as the SCU".to_owned() })
    }

    /// The first context for a class on which we answer, or report.
    pub fn context_as_provider(&self, class: &Uid) -> Result<Context, Failure> {
        self.find_context(class, |context| context.roles.scp)
            .ok_or_else(|| Failure::NoContext { class: class.clone(), how: "with us as the SCP".to_owned() })
    }

    fn find_context(&self, class: &Uid, fits: impl Fn(&Context) -> bool) -> Option<Context> {
        self.contexts().iter().find(|context| context.abstract_syntax == *class && fits(context)).cloned()
    }

    /// What the peer answered to an extended negotiation of the class.
    #[must_use]
    pub fn extended(&self, class: &Uid) -> Option<&[u8]> {
        self.association.extended(class)
    }

    /// Operations that were begun on it.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether another operation can begin: nothing has failed, nothing was left in the middle.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.end == End::Good && self.in_hand.is_none() && !self.association.is_half_sent()
    }

    /// Whether the peer is still there while nothing is asked of it.
    pub async fn is_still_there(&mut self) -> bool {
        if self.is_free() && !self.association.is_still_there().await {
            self.end = End::Gone;
        }
        self.is_free()
    }

    /// Ends it in good order, or by an A-ABORT where it cannot be.
    pub async fn release(self) {
        if self.is_free() {
            // There is nothing left that a failure could take away.
            let _ = self.association.release().await;
        } else {
            self.abort().await;
        }
    }

    /// Breaks it off.
    pub async fn abort(self) {
        match self.end {
            End::Gone => {}
            End::Failed(abort) => self.association.abort(abort).await,
            End::Good => self.association.abort(Abort::User).await,
        }
    }

    /// Waits for an N-EVENT-REPORT-RQ; the answer to it is given with [`Self::answer_report`]. May be dropped and called
    /// again.
    pub async fn next_report(&mut self, seconds: u64) -> Result<Report, Failure> {
        loop {
            self.keep_report().await?;
            if let Some(report) = self.reports.pop_front() {
                return Ok(report);
            }
            let message = self.receive(seconds, "to report").await?;
            if message.command.field() != field::N_EVENT_REPORT {
                return Err(self.protocol(format!("{:?} instead of a report", message.command)));
            }
            self.arriving = Some(message);
        }
    }

    /// Answers a report.
    pub async fn answer_report(&mut self, report: &Report, status: Status) -> Result<(), Failure> {
        let response = Command::response_to(&report.command, status);
        let sent = self.association.send(report.context.id, &response).await;
        self.checked(sent)
    }

    /// The Message ID of the next operation; by itself it counts from 1 on every association.
    pub fn next_message_is(&mut self, message_id: u16) {
        self.message_id = message_id.wrapping_sub(1);
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The Message ID of the next operation, which is in hand from now on.
    pub(super) fn begin_operation(&mut self) -> Result<u16, Failure> {
        if !self.is_free() {
            return Err(Failure::Unfinished);
        }
        self.message_id = self.message_id.checked_add(1).unwrap_or(1);
        self.operations = self.operations.saturating_add(1);
        self.in_hand = Some(self.message_id);
        Ok(self.message_id)
    }

    /// The last response has come, or nothing was sent.
    pub(super) fn end_operation(&mut self) {
        self.in_hand = None;
    }

    /// Sends a request of one operation, with a data set that is in memory or none.
    pub(super) async fn send(
        &mut self,
        context: &Context,
        command: &Command,
        data: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let sent = match data {
            Some(data) => self.association.send_with_data(context.id, command, data).await,
            None => self.association.send(context.id, command).await,
        };
        self.checked(sent)
    }

    pub(super) fn begin(
        &mut self,
        context: &Context,
        command: &Command,
    ) -> Result<Outgoing<'_, Wire>, Failure> {
        Ok(self.association.begin(context.id, command)?)
    }

    /// The next message. May be dropped and called again.
    async fn receive(&mut self, seconds: u64, what: &'static str) -> Result<Message, Failure> {
        // What nobody went on to read of a data set is skipped.
        self.partial.clear();
        let received = timeout(Duration::from_secs(seconds), self.association.receive()).await;
        let received = received.unwrap_or(Err(Error::TooSlow { what, seconds }));
        match self.checked(received)? {
            Some(message) => Ok(message),
            None => Err(self.failing(Error::Released("an operation"))),
        }
    }

    /// The next response to the operation `message_id`, or a request of the peer that is no report; reports that come
    /// between are kept. May be dropped and called again.
    pub(super) async fn receive_for(
        &mut self,
        message_id: u16,
        seconds: u64,
        what: &'static str,
    ) -> Result<Message, Failure> {
        loop {
            self.keep_report().await?;
            let message = self.receive(seconds, what).await?;
            let command = &message.command;
            if command.field() & field::RESPONSE != 0 {
                let is_answer = command.responded_to() == Some(message_id) && command.status().is_some();
                return if is_answer {
                    Ok(message)
                } else {
                    Err(self.protocol(format!("{command:?} is no answer to message {message_id}")))
                };
            }
            if command.field() != field::N_EVENT_REPORT || self.reports.len() >= REPORTS_MAX {
                return Ok(message);
            }
            self.arriving = Some(message);
        }
    }

    /// Reads the rest of a report that came in the middle of something else.
    async fn keep_report(&mut self) -> Result<(), Failure> {
        if self.arriving.is_none() {
            return Ok(());
        }
        let data = self.read_data_set().await?;
        if let Some(Message { context, command }) = self.arriving.take() {
            self.reports.push_back(Report { context, command, data });
        }
        Ok(())
    }

    /// The data set behind the command received last, whole. May be dropped and called again.
    pub(super) async fn read_data_set(&mut self) -> Result<Bytes, Failure> {
        let (seconds, max) = (self.config.answer_seconds, self.config.identifier_bytes_max);
        let Self { association, partial, .. } = self;
        let collecting = timeout(Duration::from_secs(seconds), async {
            while let Some(piece) = association.next_data().await? {
                if partial.len().saturating_add(piece.len()) > max {
                    return Err(Error::Misplaced(format!("a data set of more than {max} bytes")));
                }
                partial.extend_from_slice(&piece);
            }
            Ok(())
        });
        let slow = Error::TooSlow { what: "to send a data set that is small", seconds };
        let collected = collecting.await.unwrap_or(Err(slow));
        self.checked(collected)?;
        Ok(std::mem::take(&mut self.partial).into())
    }

    /// The next piece of the data set behind the command received last. May be dropped and called again.
    pub(super) async fn next_data(&mut self) -> Result<Option<Bytes>, Failure> {
        let piece = self.association.next_data().await;
        self.checked(piece)
    }

    /// A whole operation: a request, and its one response with its data set.
    pub(super) async fn ask(
        &mut self,
        context: &Context,
        request: impl FnOnce(u16) -> Command,
        data: Option<&[u8]>,
    ) -> Result<Response, Failure> {
        let message_id = self.begin_operation()?;
        let request = request(message_id);
        self.send(context, &request, data).await?;
        self.response(message_id, request.field()).await
    }

    /// The one response to the operation in hand, a request of this kind, with its data set.
    pub(super) async fn response(&mut self, message_id: u16, kind: u16) -> Result<Response, Failure> {
        let message = self.receive_for(message_id, self.config.answer_seconds, "to answer a request").await?;
        let answer =
            Answer::read(&message.command).filter(|_| message.command.field() == kind | field::RESPONSE);
        let Some(answer) = answer else {
            return Err(self.protocol(format!("{:?} instead of an answer", message.command)));
        };
        let data = self.read_data_set().await?;
        self.end_operation();
        Ok(Response { answer, command: message.command, data })
    }

    /// Sends C-CANCEL-RQ for the operation in hand.
    pub(super) async fn cancel(&mut self, context: &Context, message_id: u16) -> Result<(), Failure> {
        self.send(context, &Command::cancel(message_id), None).await
    }

    /// The association has failed of this; what it deserves as its end is kept.
    pub(super) fn failing(&mut self, error: Error) -> Failure {
        if self.end == End::Good {
            self.end = error.abort().map_or(End::Gone, End::Failed);
        }
        error.into()
    }

    /// The peer has broken the protocol.
    pub(super) fn protocol(&mut self, what: String) -> Failure {
        self.failing(Error::Misplaced(what))
    }

    pub(super) fn checked<T>(&mut self, result: Result<T, Error>) -> Result<T, Failure> {
        result.map_err(|error| self.failing(error))
    }
}
