//! The services we offer: a loop that takes messages and hands each to the file of its service.

mod c_echo;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use crate::association::{Association, Command, Error, Message, field};
use crate::dicom::{Status, is_storage};

/// Answers messages until the association ends. Whatever the peer sends, the process goes on.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(mut association: Association<S>) {
    loop {
        let message = match association.receive().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                debug!(peer = association.peer(), "association released");
                return association.close().await;
            }
            Err(error) => return end(association, &error).await,
        };
        if let Err(error) = answer(&mut association, &message).await {
            return end(association, &error).await;
        }
    }
}

async fn end<S: AsyncRead + AsyncWrite + Unpin + Send>(association: Association<S>, error: &Error) {
    info!(peer = association.peer(), %error, "association ended");
    association.end(error).await;
}

/// Hands a message to its service. A service reads the data set, if there is one, and sends every response.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
) -> Result<(), Error> {
    let command = &message.command;
    match command.field() {
        field::C_ECHO => c_echo::answer(association, message).await,
        // A response to nothing we asked: PS3.7 has no answer to it, and it changes nothing.
        response if response & field::RESPONSE != 0 => {
            debug!(peer = association.peer(), ?command, "a response that nobody waits for");
            Ok(())
        }
        field::C_STORE if is_storage(message.context.abstract_syntax.as_str()) => {
            let comment = "this gateway does not store yet";
            refuse(association, message, Status::SOP_CLASS_NOT_SUPPORTED, comment).await
        }
        known if is_operation(known) => {
            let comment = "no such operation on this context";
            refuse(association, message, Status::SOP_CLASS_NOT_SUPPORTED, comment).await
        }
        _ => refuse(association, message, Status::UNRECOGNIZED_OPERATION, "no such operation").await,
    }
}

/// The requests of PS3.7 table E.1-1, whether we offer them or not.
fn is_operation(field: u16) -> bool {
    matches!(
        field,
        0x0001 | 0x0010 | 0x0020 | 0x0021 | 0x0030 | 0x0100 | 0x0110 | 0x0120 | 0x0130 | 0x0140 | 0x0150
    )
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
