//! C-FIND as SCU (PS3.4 annexes C and K): any information model, or a worklist; matches as they come, when asked for.

use bytes::Bytes;

use super::answer::{Answer, Meaning};
use super::caller::Caller;
use super::failure::Failure;
use crate::association::{Command, Context, field};
use crate::dicom::Status;

/// One match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// FF00H, or FF01H where the peer did not support an optional key.
    pub status: Status,
    /// Its identifier, as it came, in the transfer syntax of the context.
    pub identifier: Bytes,
}

/// A query under way. Nothing is read ahead of what is asked for, so a slow reader slows the peer down. Dropped before
/// its end, it leaves an association that can only be aborted.
pub struct Finding<'a> {
    caller: &'a mut Caller,
    context: Context,
    message_id: u16,
    /// The response whose identifier is coming in.
    head: Option<Answer>,
    ended: Option<Answer>,
    /// Whether the peer was asked to stop.
    cancelled: bool,
}

/// Asks with an identifier in the transfer syntax of `context`, whose bytes go out as they are.
pub async fn find<'a>(
    caller: &'a mut Caller,
    context: &Context,
    identifier: &[u8],
) -> Result<Finding<'a>, Failure> {
    let message_id = caller.begin_operation()?;
    let request = Command::find(message_id, &context.abstract_syntax);
    caller.send(context, &request, Some(identifier)).await?;
    let context = context.clone();
    Ok(Finding { caller, context, message_id, head: None, ended: None, cancelled: false })
}

impl Finding<'_> {
    /// The next match; nothing when the peer has said that there are no more, or has ended the query as it was asked to
    /// with [`Self::cancel`]. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Match>, Failure> {
        if self.ended.is_some() {
            return Ok(None);
        }
        if self.head.is_none() {
            self.head = Some(self.receive().await?);
        }
        // A final response should have no identifier; one that is there is not left in the way.
        let identifier = self.caller.read_data_set().await?;
        let Some(answer) = self.head.take() else { return Ok(None) };
        if answer.status.is_pending() {
            return Ok(Some(Match { status: answer.status, identifier }));
        }
        self.caller.end_operation();
        self.ended = Some(answer.clone());
        // A peer that ends a query which nobody cancelled, or warns of its own answer, has not told all that it has.
        match Meaning::of(answer.status) {
            Meaning::Success => Ok(None),
            Meaning::Cancelled | Meaning::Warning if self.cancelled => Ok(None),
            _ => Err(answer.into()),
        }
    }

    async fn receive(&mut self) -> Result<Answer, Failure> {
        let seconds = self.caller.config().pending_seconds;
        let message = self.caller.receive_for(self.message_id, seconds, "for the next match").await?;
        let answer = Answer::read(&message.command).filter(|_| message.command.field() == FIND_RESPONSE);
        match answer {
            Some(answer) => Ok(answer),
            None => Err(self.caller.protocol(format!("{:?} in the middle of C-FIND", message.command))),
        }
    }

    /// Asks the peer to stop. Matches that are on their way still come, then the end.
    pub async fn cancel(&mut self) -> Result<(), Failure> {
        if self.ended.is_some() {
            return Ok(());
        }
        self.cancelled = true;
        self.caller.cancel(&self.context, self.message_id).await
    }

    /// The last response, once it has come.
    #[must_use]
    pub fn ended(&self) -> Option<&Answer> {
        self.ended.as_ref()
    }
}

const FIND_RESPONSE: u16 = field::C_FIND | field::RESPONSE;
