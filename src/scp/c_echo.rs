//! C-ECHO as SCP (PS3.7 9.1.5, PS3.4 annex A). Status: 0000H.

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::association::{Association, Command, Error, Message};
use crate::dicom::Status;

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
) -> Result<(), Error> {
    while association.next_data().await?.is_some() {}
    debug!(peer = association.peer(), "echo");
    association.send(message.context.id, &Command::response_to(&message.command, Status::SUCCESS)).await
}
