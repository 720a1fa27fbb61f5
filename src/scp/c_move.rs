//! C-MOVE as SCP (PS3.4 C.4.2): instances go out as stores on associations of ours. Statuses: FF00H while it goes on; 0000H,
//! B000H, A702H with the list of what failed; FE00H, A700H, A801H, A900H, C001H, 0124H, or what the archive answered.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::retrieving::Retrieving;
use crate::association::{Association, Error, Message};
use crate::audit::Party;
use crate::dicom::Status;
use crate::flow::audit;
use crate::flow::release::{Delivery, Request, Retrieval, Sender};
use crate::flow::{Gateway, Visitor};
use crate::policy::{Access, Receiver, Right};
use crate::scu::{Destination, Meaning};

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
) -> Result<(), Error> {
    let bytes_max = gateway.release.config.identifier_bytes_max;
    let identifier = match super::identifier::read(association, message, bytes_max).await? {
        Ok(identifier) => identifier.freeze(),
        Err((status, comment)) => return super::refuse(association, message, status, comment).await,
    };
    let (receiver, access) = match permitted(message, gateway, visitor) {
        Ok(permitted) => permitted,
        Err((status, comment)) => return super::refuse(association, message, status, comment).await,
    };
    let may_transcode = access.transcodes();
    let request = Request {
        context: message.context.clone(),
        identifier,
        access,
        receiver: receiver.peer().name.as_str().into(),
        destination: Some(as_party(&receiver)),
        takes: Vec::new(),
    };
    let to = Destination { address: receiver.address().clone(), calling: visitor.called.clone() };
    match Retrieval::begin(gateway, visitor, request) {
        Ok(retrieval) => {
            let told = ("C-MOVE", receiver.peer().name.as_str().into());
            let retrieving = Retrieving::new(association, message, gateway, told, retrieval);
            let originator = (visitor.calling.clone(), retrieving.id());
            let sender = Sender::new(gateway, to, originator, may_transcode);
            Moving { retrieving, sender }.run().await
        }
        Err(error) => {
            info!(peer = association.peer(), %error, "an identifier cannot be read");
            let comment = "the identifier cannot be read";
            super::refuse(association, message, Status::DATA_SET_MISMATCH, comment).await
        }
    }
}

/// The receiver as the audit trail names it.
fn as_party(receiver: &Receiver) -> Party {
    let address = receiver.address();
    Party::named(&receiver.peer().name).titled(address.title.as_str()).at(&address.host)
}

/// Where it goes, and in which form: the rights of the caller and those of the receiver both count.
fn permitted(
    message: &Message,
    gateway: &Gateway,
    visitor: &Visitor,
) -> Result<(Receiver, Access), super::Refusal> {
    let title = message.command.move_destination();
    let refused = |receiver: &str, reason: &str| {
        audit::refused(&gateway.trail, visitor, receiver, "C-MOVE", reason);
        (Status::NOT_AUTHORIZED, "images may not be moved there")
    };
    visitor.permit.require(Right::Move).map_err(|refusal| refused("", &refusal.to_string()))?;
    let receiver = title.and_then(|title| (gateway.rules)().receiver(&title));
    let unknown = (Status::MOVE_DESTINATION_UNKNOWN, "no peer receives under this AE title");
    let receiver = receiver.ok_or_else(|| {
        audit::refused(&gateway.trail, visitor, "", "C-MOVE", unknown.1);
        unknown
    })?;
    let access = visitor.permit.access(&(gateway.rules)()).and(receiver.access());
    gateway.release.check(&access).map_err(|refusal| refused(&receiver.peer().name, &refusal.to_string()))?;
    Ok((receiver, access))
}

/// A C-MOVE in hand.
struct Moving<'a, S> {
    retrieving: Retrieving<'a, S>,
    sender: Sender,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Moving<'_, S> {
    async fn run(mut self) -> Result<(), Error> {
        let result = self.send_all().await;
        self.retrieving.close(result).await
    }

    async fn send_all(&mut self) -> Result<(), Error> {
        while let Some(delivery) = self.retrieving.next().await? {
            self.send(delivery).await?;
            self.retrieving.pending().await?;
        }
        self.retrieving.end().await
    }

    /// One sub-operation.
    async fn send(&mut self, delivery: Delivery) -> Result<(), Error> {
        let instance = delivery.instance.clone();
        let mut sending = Box::pin(self.sender.send(delivery));
        match self.retrieving.beside(sending.as_mut()).await? {
            Some(Ok(status)) if Meaning::of(status) == Meaning::Success => {
                self.retrieving.tally.completed(&instance);
            }
            Some(Ok(_)) => self.retrieving.tally.warned(&instance),
            Some(Err(reason)) => self.retrieving.failed(&instance, &reason),
            None => {
                self.retrieving.failed(&instance, &"the caller cancelled, and the receiver took too long");
            }
        }
        Ok(())
    }
}
