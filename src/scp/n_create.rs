//! N-CREATE of Modality Performed Procedure Step as SCP (PS3.4 annex F.7.2.1), passed on to the RIS. Statuses: the RIS's own;
//! 0110H where it cannot be asked; 0117H, 0124H, 0213H.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{error, warn};

use crate::association::{Association, Command, Error, Message, element};
use crate::dicom::Status;
use crate::flow::procedure::{NotPassed, Step, pass_on};
use crate::flow::{Gateway, Visitor};
use crate::policy::Right;
use crate::scu::Response;

/// What a response says besides its status that a modality may want to know (PS3.7 10.3.5.2 and C.4).
const PASSED_BACK: [u16; 5] = [
    element::AFFECTED_SOP_INSTANCE,
    element::OFFENDING_ELEMENT,
    element::ERROR_COMMENT,
    element::ERROR_ID,
    element::ATTRIBUTE_LIST,
];

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
) -> Result<(), Error> {
    // PS3.7 10.1.5.1.4: the UID is the asker's to give, or the RIS's.
    let instance = match message.command.uid(element::AFFECTED_SOP_INSTANCE) {
        None => None,
        Some(Ok(instance)) => Some(instance),
        Some(Err(_)) => {
            let comment = "the SOP Instance UID is no UID";
            return super::refuse(association, message, Status::INVALID_SOP_INSTANCE, comment).await;
        }
    };
    pass(association, message, gateway, visitor, Step::Create(instance)).await
}

/// Passes a step on, and the RIS's answer back.
pub(super) async fn pass<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    step: Step,
) -> Result<(), Error> {
    if !super::may(gateway, visitor, Right::Mpps, "N-CREATE or N-SET") {
        let comment = "this AE title may not report procedure steps";
        return super::refuse(association, message, Status::NOT_AUTHORIZED, comment).await;
    }
    let bytes_max = gateway.release.config.identifier_bytes_max;
    let attributes = match super::identifier::read(association, message, bytes_max).await? {
        Ok(attributes) => attributes.freeze(),
        Err((Status::OUT_OF_RESOURCES, comment)) => {
            return super::refuse(association, message, Status::RESOURCE_LIMITATION, comment).await;
        }
        Err((_, comment)) => {
            return super::refuse(association, message, Status::PROCESSING_FAILURE, comment).await;
        }
    };
    match pass_on(gateway, visitor, &message.context, &step, &attributes).await {
        Ok(response) => send_back(association, message, &response).await,
        Err(not_passed) => {
            let peer = association.peer();
            if let NotPassed::Nobody(_) = &not_passed {
                error!(peer, error = %not_passed, "procedure step not passed on");
            } else {
                warn!(peer, error = %not_passed, "procedure step not passed on");
            }
            let comment = "the RIS could not be asked, see the gateway's log";
            super::refuse(association, message, Status::PROCESSING_FAILURE, comment).await
        }
    }
}

async fn send_back<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    response: &Response,
) -> Result<(), Error> {
    let mut own = Command::response_to(&message.command, response.answer.status);
    for number in PASSED_BACK {
        if let Some(value) = response.command.value(number) {
            own.set(number, value);
        }
    }
    if response.data.is_empty() {
        return association.send(message.context.id, &own).await;
    }
    association.send_with_data(message.context.id, &own, &response.data).await
}
