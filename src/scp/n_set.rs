//! N-SET of Modality Performed Procedure Step as SCP (PS3.4 annex F.7.2.2), passed on to the RIS. Statuses: as of N-CREATE.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::association::{Association, Error, Message, element};
use crate::dicom::Status;
use crate::flow::procedure::Step;
use crate::flow::{Gateway, Visitor};

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
) -> Result<(), Error> {
    let Some(Ok(instance)) = message.command.uid(element::REQUESTED_SOP_INSTANCE) else {
        let comment = "the SOP Instance UID is missing or no UID";
        return super::refuse(association, message, Status::INVALID_SOP_INSTANCE, comment).await;
    };
    super::n_create::pass(association, message, gateway, visitor, Step::Set(instance)).await
}
