//! C-ECHO as SCP (PS3.7 9.1.5, PS3.4 annex A). Statuses: 0000H, 0122H, 0212H.

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::refuse;
use crate::association::{Association, Command, Error, Message, element};
use crate::dicom::{Status, VERIFICATION};

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
) -> Result<(), Error> {
    if message.command.message_id().is_none() {
        return refuse(association, message, Status::MISTYPED_ARGUMENT, "no Message ID (0000,0110)").await;
    }
    let class = message.command.uid(element::AFFECTED_SOP_CLASS);
    let named = class.is_some_and(|class| class.is_ok_and(|class| class.as_str() == VERIFICATION));
    if !named || message.context.abstract_syntax.as_str() != VERIFICATION {
        return refuse(association, message, Status::SOP_CLASS_NOT_SUPPORTED, "C-ECHO is for Verification")
            .await;
    }
    while association.next_data().await?.is_some() {}
    debug!(peer = association.peer(), "echo");
    association.send(message.context.id, &Command::response_to(&message.command, Status::SUCCESS)).await
}
