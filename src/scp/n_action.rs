//! N-ACTION of Storage Commitment Push Model as SCP (PS3.4 J.3.2). Statuses: 0000H once the request cannot be lost; 0110H,
//! 0112H, 0115H, 0123H, 0124H, 0131H, 0213H.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{error, info};

use crate::association::{Association, Command, Error, Message, element};
use crate::dicom::{Encoding, Status};
use crate::flow::commitment::{self, Mailbox, Refused};
use crate::flow::{Gateway, Visitor};
use crate::policy::Right;
use crate::scu::{CommitmentRequest, STORAGE_COMMITMENT_INSTANCE};

/// Action Type ID: request storage commitment (PS3.4 table J.3.2-1).
const REQUEST_COMMITMENT: u16 = 1;

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    mailbox: &Mailbox,
) -> Result<(), Error> {
    if let Err((status, comment)) = allowed(message, gateway, visitor) {
        return super::refuse(association, message, status, comment).await;
    }
    let bytes_max = gateway.commitments.request_bytes_max();
    let data = match super::identifier::read(association, message, bytes_max).await? {
        Ok(data) => data,
        Err((Status::OUT_OF_RESOURCES, _)) => {
            let comment = "more instances than commitment.references_max";
            return super::refuse(association, message, Status::RESOURCE_LIMITATION, comment).await;
        }
        Err((_, comment)) => {
            return super::refuse(association, message, Status::INVALID_ARGUMENT, comment).await;
        }
    };
    let encoding: Encoding = message.context.transfer_syntax.encoding;
    let request = match CommitmentRequest::decode(&data, encoding) {
        Ok(request) => request,
        Err(error) => {
            info!(peer = association.peer(), %error, "a request for commitment cannot be read");
            let comment = "the request cannot be read, or names no instance";
            return super::refuse(association, message, Status::INVALID_ARGUMENT, comment).await;
        }
    };
    let (transaction, instances) = (request.transaction.clone(), request.references.len());
    match commitment::take(gateway, visitor, request, mailbox.clone()).await {
        Ok(()) => {
            info!(peer = association.peer(), %transaction, instances, "storage commitment requested");
            let response = Command::response_to(&message.command, Status::SUCCESS);
            association.send(message.context.id, &response).await
        }
        Err(refused) => {
            let peer = association.peer();
            match &refused {
                Refused::Spool(_) | Refused::Task => {
                    error!(peer, %transaction, error = %refused, "a request for commitment cannot be kept");
                }
                _ => info!(peer, %transaction, error = %refused, "a request for commitment is not taken"),
            }
            super::refuse(association, message, refused.status(), "see the gateway's log").await
        }
    }
}

fn allowed(message: &Message, gateway: &Gateway, visitor: &Visitor) -> Result<(), super::Refusal> {
    if !super::may(gateway, visitor, Right::Commit, "N-ACTION") {
        return Err((Status::NOT_AUTHORIZED, "this AE title may not ask for commitment"));
    }
    super::is_well_known(message, element::REQUESTED_SOP_INSTANCE, STORAGE_COMMITMENT_INSTANCE)?;
    match message.command.u16(element::ACTION_TYPE) {
        Some(REQUEST_COMMITMENT) => Ok(()),
        _ => Err((Status::NO_SUCH_ACTION_TYPE, "the action type is not 1, request storage commitment")),
    }
}
