//! The services we offer: a loop that takes messages and hands each to the file of its service.

mod c_echo;
mod c_find;
mod c_get;
mod c_move;
mod c_store;
mod identifier;
mod n_action;
mod n_create;
mod n_event_report;
mod n_set;
mod outbox;
mod retrieving;
mod tally;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, error, info};

use crate::association::{Association, Command, Error, Message, element, field};
use crate::dicom::{
    PERFORMED_PROCEDURE_STEP, Retrieve, STORAGE_COMMITMENT, Status, VERIFICATION, query_retrieve,
};
use crate::flow::audit;
use crate::flow::commitment::Mailbox;
use crate::flow::{Gateway, Visitor};
use crate::policy::Right;

use self::outbox::Outbox;

/// Answers messages until the association ends. Whatever the peer sends, the process goes on.
///
/// Without a gateway there is nothing that could be asked for: neither a route nor a RIS is configured.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    mut association: Association<S>,
    gateway: Option<Arc<Gateway>>,
) {
    let mut outbox = Outbox::new();
    loop {
        let received = tokio::select! {
            biased;
            letter = outbox.next() => match outbox.send(&mut association, letter).await {
                Ok(()) => continue,
                Err(error) => Err(error),
            },
            received = association.receive() => received,
        };
        let message = match received {
            Ok(Some(message)) => message,
            Ok(None) => {
                debug!(peer = association.peer(), "association released");
                return association.close().await;
            }
            Err(error) => return end(association, &error).await,
        };
        if outbox.takes(&message) {
            continue;
        }
        // In a box, so that an association between two messages costs no more than its buffers.
        let answered = Box::pin(answer(&mut association, &message, gateway.as_ref(), outbox.mailbox()));
        if let Err(error) = answered.await {
            return end(association, &error).await;
        }
    }
}

async fn end<S: AsyncRead + AsyncWrite + Unpin + Send>(association: Association<S>, error: &Error) {
    if error.is_ours() {
        error!(peer = association.peer(), %error, "association ended by a mistake of ours");
    } else {
        info!(peer = association.peer(), %error, "association ended");
    }
    association.end(error).await;
}

/// Hands a message to its service. A service reads the data set, if there is one, and sends every response.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: Option<&Arc<Gateway>>,
    mailbox: &Mailbox,
) -> Result<(), Error> {
    let command = &message.command;
    if command.field() & field::RESPONSE != 0 {
        // A response to nothing we asked: PS3.7 has no answer to it, and it changes nothing.
        debug!(peer = association.peer(), ?command, "a response that nobody waits for");
        return Ok(());
    }
    match Service::of(message).and_then(|service| addressed(message).map(|()| service)) {
        Ok(Service::Echo) => c_echo::answer(association, message).await,
        Ok(service) => {
            let (Some(gateway), Some(visitor)) = (gateway, association.pass::<Visitor>()) else {
                return refuse(
                    association,
                    message,
                    Status::OUT_OF_RESOURCES,
                    "the gateway has no route and no ris for it",
                )
                .await;
            };
            match service {
                Service::Find => c_find::answer(association, message, gateway, &visitor).await,
                Service::Get => c_get::answer(association, message, gateway, &visitor).await,
                Service::Move => c_move::answer(association, message, gateway, &visitor).await,
                Service::Commit => n_action::answer(association, message, gateway, &visitor, mailbox).await,
                Service::Report => n_event_report::answer(association, message, gateway, &visitor).await,
                Service::Create => n_create::answer(association, message, gateway, &visitor).await,
                Service::Set => n_set::answer(association, message, gateway, &visitor).await,
                Service::Store => c_store::answer(association, message, gateway, &visitor).await,
                Service::Echo => c_echo::answer(association, message).await,
            }
        }
        Err((status, comment)) => {
            if command.field() == field::C_STORE
                && let Some(visitor) = association.pass::<Visitor>()
            {
                audit::store_refused(&visitor, status);
            }
            refuse(association, message, status, comment).await
        }
    }
}

/// What a request is refused with before any service sees it.
type Refusal = (Status, &'static str);

/// Whether a peer has the right that an operation needs; if not, that it asked is an event of the audit trail.
fn may(gateway: &Gateway, visitor: &Visitor, right: Right, operation: &'static str) -> bool {
    let covers = visitor.permit.covers(right);
    if !covers {
        audit::forbidden(&gateway.trail, visitor, operation, right);
    }
    covers
}

/// The services there are.
#[derive(Debug, Clone, Copy)]
enum Service {
    Echo,
    Store,
    Find,
    Get,
    Move,
    Create,
    Set,
    Commit,
    Report,
}

impl Service {
    /// The service that a command belongs to on its context.
    fn of(message: &Message) -> Result<Self, Refusal> {
        let class = message.context.abstract_syntax.as_str();
        match message.command.field() {
            field::C_ECHO if class == VERIFICATION => Ok(Self::Echo),
            field::C_FIND if service(class) == Some(Retrieve::Find) => Ok(Self::Find),
            field::C_GET if service(class) == Some(Retrieve::Get) => Ok(Self::Get),
            field::C_MOVE if service(class) == Some(Retrieve::Move) => Ok(Self::Move),
            field::N_CREATE if class == PERFORMED_PROCEDURE_STEP => Ok(Self::Create),
            field::N_ACTION if class == STORAGE_COMMITMENT => Ok(Self::Commit),
            field::N_EVENT_REPORT if class == STORAGE_COMMITMENT => Ok(Self::Report),
            field::N_SET if class == PERFORMED_PROCEDURE_STEP => Ok(Self::Set),
            // Whatever is no other service's context was accepted as a storage class.
            field::C_STORE if !is_other(class) => Ok(Self::Store),
            known if is_operation(known) => {
                Err((Status::SOP_CLASS_NOT_SUPPORTED, "no such operation on this context"))
            }
            _ => Err((Status::UNRECOGNIZED_OPERATION, "no such operation")),
        }
    }
}

fn service(class: &str) -> Option<Retrieve> {
    query_retrieve(class).map(|(_, service)| service)
}

/// Whether this is the context of a service that is no storage.
fn is_other(class: &str) -> bool {
    matches!(class, VERIFICATION | PERFORMED_PROCEDURE_STEP | STORAGE_COMMITMENT) || service(class).is_some()
}

/// The requests of PS3.7 table E.1-1, whether we offer them or not.
fn is_operation(field: u16) -> bool {
    matches!(
        field,
        field::C_STORE
            | field::C_GET
            | field::C_FIND
            | field::C_MOVE
            | field::C_ECHO
            | field::N_EVENT_REPORT
            | field::N_GET
            | field::N_SET
            | field::N_ACTION
            | field::N_CREATE
            | field::N_DELETE
    )
}

/// Whether a request says for itself what every request has to, and says the same as its context.
fn addressed(message: &Message) -> Result<(), Refusal> {
    let (command, context) = (&message.command, &message.context);
    if command.message_id().is_none() {
        return Err((Status::MISTYPED_ARGUMENT, "Message ID (0000,0110) is missing or no US"));
    }
    let class =
        command.uid(element::AFFECTED_SOP_CLASS).or_else(|| command.uid(element::REQUESTED_SOP_CLASS));
    match class {
        Some(Ok(class)) if class != context.abstract_syntax => {
            Err((Status::SOP_CLASS_NOT_SUPPORTED, "the SOP class is not that of the context"))
        }
        // PS3.7 D.3.3.4: the requestor took this context for the other role only.
        // An event is reported by the SCP, in whichever role it believes to be (see the gate).
        Some(Ok(_)) if !context.roles.scu && command.field() != field::N_EVENT_REPORT => {
            Err((Status::SOP_CLASS_NOT_SUPPORTED, "the SCU role was not agreed on"))
        }
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => Err((Status::MISTYPED_ARGUMENT, "the SOP class UID is missing or no UID")),
    }
}

/// Whether a request is about the one SOP instance that its service has.
fn is_well_known(message: &Message, element: u16, instance: &str) -> Result<(), Refusal> {
    match message.command.uid(element) {
        Some(Ok(found)) if found.as_str() == instance => Ok(()),
        _ => Err((Status::NO_SUCH_INSTANCE, "the SOP instance is not the well-known one of the service")),
    }
}

/// Answers with a failure after skipping the data set, so that the peer is not left writing it.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    status: Status,
    comment: &str,
) -> Result<(), Error> {
    while association.next_data().await?.is_some() {}
    info!(peer = association.peer(), command = ?message.command, %status, comment, "operation refused");
    let response = Command::response_to(&message.command, status).with_comment(comment);
    association.send(message.context.id, &response).await
}
