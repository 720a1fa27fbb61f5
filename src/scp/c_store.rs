//! C-STORE as SCP (PS3.4 annex B). Statuses: 0000H once the instance cannot be lost; A700H, A900H, C000H, 0117H, 0124H, or
//! on a route that waits for the PACS what the PACS answered.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{error, info};

use crate::association::{Association, Command, Error, Message, element};
use crate::dicom::{Status, Uid};
use crate::flow::{Gateway, Intake, Offered, Refused, Stored, Visitor};
use crate::policy::Right;

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Arc<Visitor>,
) -> Result<(), Error> {
    let offered = match offered(message, visitor) {
        Ok(offered) => offered,
        Err((status, comment)) => return super::refuse(association, message, status, comment).await,
    };
    let instance = offered.sop_instance.clone();
    let response = match take(association, Arc::clone(gateway), Arc::clone(visitor), offered).await? {
        Ok(Stored::New(_) | Stored::Repeated) => Command::response_to(&message.command, Status::SUCCESS),
        Err(refused) => {
            tell(association.peer(), &instance, &refused);
            let response =
                Command::response_to(&message.command, refused.status()).with_comment(refused.comment());
            match refused.offending() {
                Some(tag) => response.with_offending_elements(&[tag]),
                None => response,
            }
        }
    };
    association.send(message.context.id, &response).await
}

/// What is offered, or the status with which it is not even looked at.
fn offered(message: &Message, visitor: &Visitor) -> Result<Offered, super::Refusal> {
    if !visitor.permit.covers(Right::Store) {
        return Err((Status::NOT_AUTHORIZED, "this AE title may not store"));
    }
    let sop_instance = match message.command.uid(element::AFFECTED_SOP_INSTANCE) {
        Some(Ok(instance)) => instance,
        _ => return Err((Status::INVALID_SOP_INSTANCE, "the SOP Instance UID is missing or no UID")),
    };
    if !message.command.has_data_set() {
        return Err((Status::CANNOT_UNDERSTAND, "there is no data set"));
    }
    let syntax = message.context.transfer_syntax;
    Ok(Offered { sop_class: message.context.abstract_syntax.clone(), sop_instance, transfer_syntax: syntax })
}

/// Reads the data set to its end whatever happens to the instance, so that the peer is not left writing it.
async fn take<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    gateway: Arc<Gateway>,
    visitor: Arc<Visitor>,
    offered: Offered,
) -> Result<Result<Stored, Refused>, Error> {
    let mut intake = Ok(Intake::new(gateway, visitor, offered));
    while let Some(bytes) = association.next_data().await? {
        if let Ok(taking) = &mut intake
            && let Err(refused) = taking.push(&bytes)
        {
            intake = Err(refused);
        }
    }
    Ok(match intake {
        Ok(intake) => intake.finish().await,
        Err(refused) => Err(refused),
    })
}

fn tell(peer: &str, instance: &Uid, refused: &Refused) {
    let status = refused.status();
    if refused.is_ours() {
        error!(peer, %instance, %status, error = %refused, "instance not taken in");
    } else {
        info!(peer, %instance, %status, error = %refused, "instance not taken in");
    }
}
