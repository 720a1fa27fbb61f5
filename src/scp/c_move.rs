//! C-MOVE as SCP (PS3.4 C.4.2): instances go out as stores on associations of ours. Statuses: FF00H while it goes on; 0000H,
//! B000H, A702H with the list of what failed; FE00H, A700H, A801H, A900H, C001H, 0124H, or what the archive answered.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::tally::Tally;
use crate::association::{Association, Error, Message};
use crate::audit::Party;
use crate::dicom::Status;
use crate::flow::release::{
    Arrival, Delivery, Event, Request, Retrieval, audit_ended, audit_refused, send_to, undelivered,
};
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
    let may_decompress = access.transcodes();
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
            let tally = Tally::new(gateway.release.config.pending_milliseconds);
            let moving = Moving {
                association,
                message,
                gateway,
                visitor,
                to,
                receiver,
                retrieval,
                tally,
                may_decompress,
            };
            moving.run().await
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
    let caller = &visitor.party();
    let title = message.command.move_destination();
    let refused = |receiver: &str, reason: &str| {
        audit_refused(&gateway.trail, caller, receiver, "C-MOVE", reason);
        (Status::NOT_AUTHORIZED, "images may not be moved there")
    };
    visitor.permit.require(Right::Move).map_err(|refusal| refused("", &refusal.to_string()))?;
    let receiver = title.and_then(|title| (gateway.rules)().receiver(&title));
    let unknown = (Status::MOVE_DESTINATION_UNKNOWN, "no peer receives under this AE title");
    let receiver = receiver.ok_or_else(|| {
        audit_refused(&gateway.trail, caller, "", "C-MOVE", unknown.1);
        unknown
    })?;
    let access = visitor.permit.access(&(gateway.rules)()).and(receiver.access());
    gateway.release.check(&access).map_err(|refusal| refused(&receiver.peer().name, &refusal.to_string()))?;
    Ok((receiver, access))
}

/// A C-MOVE in hand.
struct Moving<'a, S> {
    association: &'a mut Association<S>,
    message: &'a Message,
    gateway: &'a Arc<Gateway>,
    visitor: &'a Visitor,
    to: Destination,
    receiver: Receiver,
    retrieval: Retrieval,
    tally: Tally,
    may_decompress: bool,
}

/// What became of a wait beside which a cancel may come.
enum Heard<T> {
    Cancel,
    Done(T),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Moving<'_, S> {
    async fn run(mut self) -> Result<(), Error> {
        loop {
            let event = tokio::select! {
                biased;
                heard = self.association.cancelled(id(self.message)), if !self.tally.cancelled => {
                    heard?;
                    self.cancel();
                    continue;
                }
                event = self.retrieval.next() => event,
            };
            match event {
                Event::Arrived(_) if self.tally.cancelled => {}
                Event::Arrived(arrival) => self.take(arrival).await?,
                Event::Total(asked) => self.tally.set_total(asked.total),
                Event::Done { pacs, result } => self.tally.pacs_done(&pacs, result),
                Event::Ended => break,
            }
            self.tally.pending(self.association, self.message).await?;
        }
        let receiver = &self.receiver.peer().name;
        audit_ended(self.association.peer(), receiver, "C-MOVE", self.tally.counts(), self.tally.status());
        self.gateway.trail.settle(self.retrieval.ticket).await;
        self.tally.end(self.association, self.message).await
    }

    fn cancel(&mut self) {
        self.tally.cancelled = true;
        self.retrieval.cancel();
    }

    async fn take(&mut self, mut arrival: Arrival) -> Result<(), Error> {
        let ready = tokio::select! {
            biased;
            heard = self.association.cancelled(id(self.message)) => {
                heard?;
                self.cancel();
                return Ok(());
            }
            ready = arrival.ready() => ready,
        };
        match ready {
            Ok(delivery) => self.send(delivery).await,
            // Why it is not was told where it was found out.
            Err(refused) => {
                self.tally.refused(&arrival.instance, &refused);
                Ok(())
            }
        }
    }

    /// One sub-operation. A cancel that comes meanwhile lets it finish.
    async fn send(&mut self, delivery: Delivery) -> Result<(), Error> {
        let instance = delivery.instance.clone();
        let message_id = id(self.message);
        let originator = (self.visitor.calling.clone(), message_id);
        let sending = send_to(self.gateway, &self.to, delivery, originator, self.may_decompress);
        tokio::pin!(sending);
        let sent = loop {
            let heard = tokio::select! {
                biased;
                heard = self.association.cancelled(message_id), if !self.tally.cancelled => {
                    heard?;
                    Heard::Cancel
                }
                sent = &mut sending => Heard::Done(sent),
            };
            match heard {
                Heard::Cancel => {
                    self.tally.cancelled = true;
                    self.retrieval.cancel();
                }
                Heard::Done(sent) => break sent,
            }
        };
        match sent {
            Ok(status) if Meaning::of(status) == Meaning::Success => self.tally.completed(),
            Ok(_) => self.tally.warned(),
            Err(reason) => {
                let receiver = &self.receiver.peer().name;
                undelivered(&self.gateway.trail, self.association.peer(), receiver, &instance, &reason);
                self.tally.failed(&instance);
            }
        }
        Ok(())
    }
}

fn id(message: &Message) -> u16 {
    message.command.message_id().unwrap_or_default()
}
