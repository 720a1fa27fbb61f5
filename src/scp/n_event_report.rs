//! N-EVENT-REPORT of Storage Commitment Push Model, from a PACS that was asked (PS3.4 J.3.3). Statuses: 0000H once the
//! report cannot be lost, or was heard before; 0110H, 0112H, 0113H, 0115H, 0124H.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use crate::association::{Association, Command, Error, Message, element};
use crate::dicom::Status;
use crate::flow::commitment;
use crate::flow::{Gateway, Visitor};
use crate::policy::Right;
use crate::scu::{CommitmentReport, STORAGE_COMMITMENT_INSTANCE};

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
) -> Result<(), Error> {
    if let Err((status, comment)) = allowed(message, gateway, visitor) {
        return super::refuse(association, message, status, comment).await;
    }
    let bytes_max = gateway.commitments.request_bytes_max();
    let data = match super::identifier::read(association, message, bytes_max).await? {
        Ok(data) => data,
        Err((_, comment)) => {
            return super::refuse(association, message, Status::INVALID_ARGUMENT, comment).await;
        }
    };
    let report = match CommitmentReport::decode(&data, message.context.transfer_syntax.encoding) {
        Ok(report) => report,
        Err(error) => {
            info!(peer = association.peer(), %error, "a report of commitment cannot be read");
            let comment = "the report cannot be read";
            return super::refuse(association, message, Status::INVALID_ARGUMENT, comment).await;
        }
    };
    let (transaction, failed) = (report.transaction.clone(), report.failed.len());
    let status = commitment::reported(gateway, &visitor.calling, report).await;
    info!(peer = association.peer(), %transaction, failed, %status, "a PACS has reported a commitment");
    association.send(message.context.id, &Command::response_to(&message.command, status)).await
}

fn allowed(message: &Message, gateway: &Gateway, visitor: &Visitor) -> Result<(), super::Refusal> {
    if !super::may(gateway, visitor, Right::Report, "N-EVENT-REPORT") {
        return Err((Status::NOT_AUTHORIZED, "this AE title may not report commitments"));
    }
    super::is_well_known(message, element::AFFECTED_SOP_INSTANCE, STORAGE_COMMITMENT_INSTANCE)?;
    // PS3.4 table J.3.3-1. Which of the two it is, the sequences say as well.
    match message.command.u16(element::EVENT_TYPE) {
        Some(1 | 2) => Ok(()),
        _ => Err((Status::NO_SUCH_EVENT_TYPE, "the event type is neither 1 nor 2")),
    }
}
