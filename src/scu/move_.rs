//! C-MOVE as SCU (PS3.4 C.4.2): another node is told to send to a third one, and counts while it does.

use super::answer::Answer;
use super::caller::Caller;
use super::failure::Failure;
use super::retrieve::Retrieved;
use crate::association::{Command, Context, SubOperations, field};
use crate::dicom::AeTitle;

/// What comes back from a C-MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// A pending response.
    Pending(SubOperations),
    /// The last one.
    Ended(Retrieved),
}

/// A C-MOVE under way. Dropped before its end, it leaves an association that can only be aborted.
pub struct Moving<'a> {
    caller: &'a mut Caller,
    context: Context,
    message_id: u16,
    /// The response whose data set may still be coming in.
    head: Option<(Answer, SubOperations)>,
    ended: bool,
}

/// Asks for the instances of `identifier`, in the transfer syntax of `context`, to be sent to `destination`.
pub async fn move_<'a>(
    caller: &'a mut Caller,
    context: &Context,
    identifier: &[u8],
    destination: &AeTitle,
) -> Result<Moving<'a>, Failure> {
    let message_id = caller.begin_operation()?;
    let request = Command::move_to(message_id, &context.abstract_syntax, destination);
    caller.send(context, &request, Some(identifier)).await?;
    Ok(Moving { caller, context: context.clone(), message_id, head: None, ended: false })
}

const MOVE_RESPONSE: u16 = field::C_MOVE | field::RESPONSE;

impl Moving<'_> {
    /// The Message ID of the request, which the stores that it causes carry with our AE title.
    #[must_use]
    pub fn message_id(&self) -> u16 {
        self.message_id
    }

    /// The next response; after the last one there is none to wait for. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Moved, Failure> {
        if self.ended {
            return Err(Failure::Unfinished);
        }
        if self.head.is_none() {
            self.head = Some(self.receive().await?);
        }
        let identifier = self.caller.read_data_set().await?;
        let Some((answer, counts)) = self.head.take() else { return Err(Failure::Unfinished) };
        if answer.status.is_pending() {
            return Ok(Moved::Pending(counts));
        }
        self.caller.end_operation();
        self.ended = true;
        Ok(Moved::Ended(Retrieved::read(&self.context, answer, counts, &identifier)))
    }

    /// Waits for the end.
    pub async fn finish(mut self) -> Result<Retrieved, Failure> {
        loop {
            if let Moved::Ended(retrieved) = self.next().await? {
                return Ok(retrieved);
            }
        }
    }

    /// Asks the peer to stop; the end then says what came of it.
    pub async fn cancel(&mut self) -> Result<(), Failure> {
        if self.ended { Ok(()) } else { self.caller.cancel(&self.context, self.message_id).await }
    }

    async fn receive(&mut self) -> Result<(Answer, SubOperations), Failure> {
        let seconds = self.caller.config().pending_seconds;
        let message = self.caller.receive_for(self.message_id, seconds, "to go on with C-MOVE").await?;
        let command = &message.command;
        match Answer::read(command).filter(|_| command.field() == MOVE_RESPONSE) {
            Some(answer) => Ok((answer, command.sub_operations())),
            None => Err(self.caller.protocol(format!("{command:?} in the middle of C-MOVE"))),
        }
    }
}
