//! C-GET as SCU (PS3.4 C.4.3): instances come as stores on the same association, each a stream that the caller answers.

use bytes::Bytes;
use tracing::info;

use super::answer::Answer;
use super::caller::Caller;
use super::failure::Failure;
use super::retrieve::Retrieved;
use crate::association::{Command, Context, Message, SubOperations, element, field};
use crate::dicom::{Status, Uid};

/// What comes back from a C-GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// An instance: its data set is read with [`Getting::next_data`], and answered with [`Getting::answer`].
    Store(Incoming),
    /// A pending response.
    Pending(SubOperations),
    /// The last one.
    Ended(Retrieved),
}

/// An instance on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// SOP Class UID.
    pub class: Uid,
    /// SOP Instance UID.
    pub instance: Uid,
    /// The context it comes on, with its transfer syntax.
    pub context: Context,
}

/// A C-GET under way. Dropped before its end, it leaves an association that can only be aborted.
pub struct Getting<'a> {
    caller: &'a mut Caller,
    context: Context,
    message_id: u16,
    /// The response whose data set may still be coming in.
    head: Option<(Answer, SubOperations)>,
    /// The store that has no answer yet.
    store: Option<Message>,
    ended: bool,
}

/// Asks for the instances of `identifier`, in the transfer syntax of `context`, to be sent here.
pub async fn get<'a>(
    caller: &'a mut Caller,
    context: &Context,
    identifier: &[u8],
) -> Result<Getting<'a>, Failure> {
    // PS3.4 C.5.3.1: without the SCP role on a storage context every sub-operation would fail, one by one.
    if !caller.contexts().iter().any(|context| context.roles.scp) {
        let how = "with C-GET: no storage class in the SCP role was agreed on".to_owned();
        return Err(Failure::NoContext { class: context.abstract_syntax.clone(), how });
    }
    let message_id = caller.begin_operation()?;
    let request = Command::get(message_id, &context.abstract_syntax);
    caller.send(context, &request, Some(identifier)).await?;
    Ok(Getting { caller, context: context.clone(), message_id, head: None, store: None, ended: false })
}

const GET_RESPONSE: u16 = field::C_GET | field::RESPONSE;

impl Getting<'_> {
    /// The next instance or response; after the last one there is none to wait for. A store that was not answered is
    /// answered as failed (0110H) first. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Got, Failure> {
        if self.ended {
            return Err(Failure::Unfinished);
        }
        if self.store.is_some() {
            self.answer(Status::PROCESSING_FAILURE).await?;
        }
        while self.head.is_none() {
            if let Some(incoming) = self.receive().await? {
                return Ok(Got::Store(incoming));
            }
        }
        let identifier = self.caller.read_data_set().await?;
        let Some((answer, counts)) = self.head.take() else { return Err(Failure::Unfinished) };
        if answer.status.is_pending() {
            return Ok(Got::Pending(counts));
        }
        self.caller.end_operation();
        self.ended = true;
        Ok(Got::Ended(Retrieved::read(&self.context, answer, counts, &identifier)))
    }

    /// The next piece of the data set of the instance that is coming in; nothing behind its end. May be dropped and
    /// called again.
    pub async fn next_data(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.store.is_none() {
            return Ok(None);
        }
        self.caller.next_data().await
    }

    /// Answers the instance that came in last; what was not read of it is skipped.
    pub async fn answer(&mut self, status: Status) -> Result<(), Failure> {
        while self.next_data().await?.is_some() {}
        let Some(Message { context, command }) = &self.store else { return Ok(()) };
        let response = Command::response_to(command, status);
        self.caller.send(context, &response, None).await?;
        self.store = None;
        Ok(())
    }

    /// Asks the peer to stop. Instances that are on their way still come, then the end.
    pub async fn cancel(&mut self) -> Result<(), Failure> {
        if self.ended { Ok(()) } else { self.caller.cancel(&self.context, self.message_id).await }
    }

    /// An instance; or nothing, when a response is in `head` or a store was none and is answered.
    async fn receive(&mut self) -> Result<Option<Incoming>, Failure> {
        let seconds = self.caller.config().pending_seconds;
        let message = self.caller.receive_for(self.message_id, seconds, "to go on with C-GET").await?;
        match message.command.field() {
            GET_RESPONSE => {
                let counts = message.command.sub_operations();
                self.head = Answer::read(&message.command).map(|answer| (answer, counts));
                Ok(None)
            }
            field::C_STORE => {
                let incoming = Incoming::read(&message);
                self.store = Some(message);
                match incoming {
                    Ok(incoming) => Ok(Some(incoming)),
                    Err(status) => {
                        info!(%status, "a store in the middle of C-GET that is none");
                        self.answer(status).await.map(|()| None)
                    }
                }
            }
            _ => Err(self.caller.protocol(format!("{:?} in the middle of C-GET", message.command))),
        }
    }
}

impl Incoming {
    /// Reads a C-STORE-RQ, or says with which status it is refused.
    fn read(message: &Message) -> Result<Self, Status> {
        let Message { context, command } = message;
        let class = command.uid(element::AFFECTED_SOP_CLASS).and_then(Result::ok);
        let instance = command.uid(element::AFFECTED_SOP_INSTANCE).and_then(Result::ok);
        let (Some(class), true) = (class, context.roles.scp) else {
            return Err(Status::SOP_CLASS_NOT_SUPPORTED);
        };
        if class != context.abstract_syntax {
            return Err(Status::SOP_CLASS_NOT_SUPPORTED);
        }
        let Some(instance) = instance else { return Err(Status::INVALID_SOP_INSTANCE) };
        if !command.has_data_set() {
            return Err(Status::MISTYPED_ARGUMENT);
        }
        Ok(Self { class, instance, context: context.clone() })
    }
}
