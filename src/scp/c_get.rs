//! C-GET as SCP (PS3.4 C.4.3): instances go out as stores on the same association. Statuses: FF00H while it goes on; 0000H,
//! B000H, A702H with the list of what failed; FE00H, A700H, A900H, C001H, 0124H, or what the archive answered.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::retrieving::Retrieving;
use crate::association::{Association, Command, Context, Error, Message, field};
use crate::dicom::{Status, TransferSyntax, Uid};
use crate::flow::audit;
use crate::flow::release::{Delivery, Refused, Request, Retrieval};
use crate::flow::{Gateway, Visitor};
use crate::policy::Right;
use crate::scu::{Meaning, Source};

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
) -> Result<(), Error> {
    let access = visitor.permit.access(&(gateway.rules)());
    let permitted = visitor.permit.require(Right::Get).and_then(|()| gateway.release.check(&access));
    let access = match permitted.map(|()| access) {
        Ok(access) => access,
        Err(refusal) => {
            audit::refused(&gateway.trail, visitor, association.peer(), "C-GET", &refusal.to_string());
            let comment = "this AE title may not retrieve images";
            return super::refuse(association, message, Status::NOT_AUTHORIZED, comment).await;
        }
    };
    let bytes_max = gateway.release.config.identifier_bytes_max;
    let identifier = match super::identifier::read(association, message, bytes_max).await? {
        Ok(identifier) => identifier.freeze(),
        Err((status, comment)) => return super::refuse(association, message, status, comment).await,
    };
    let takes = takes(association);
    if takes.is_empty() {
        // PS3.4 C.5.3.1: without the SCP role on a storage context every sub-operation would fail, one by one.
        let comment = "no storage class in the SCP role was agreed on";
        return super::refuse(association, message, Status::SUB_OPERATIONS_REFUSED, comment).await;
    }
    let context = message.context.clone();
    let may_transcode = access.transcodes();
    let receiver = association.peer().into();
    let request = Request { context, identifier, access, receiver, destination: None, takes };
    match Retrieval::begin(gateway, visitor, request) {
        Ok(retrieval) => {
            let told = ("C-GET", association.peer().into());
            let retrieving = Retrieving::new(association, message, gateway, told, retrieval);
            Getting { retrieving, gateway, may_transcode, message_id: 0 }.run().await
        }
        Err(error) => {
            info!(peer = association.peer(), %error, "an identifier cannot be read");
            let comment = "the identifier cannot be read";
            super::refuse(association, message, Status::DATA_SET_MISMATCH, comment).await
        }
    }
}

/// The classes that the peer takes on this association, each with its transfer syntaxes.
fn takes<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &Association<S>,
) -> Vec<(Uid, Vec<TransferSyntax>)> {
    let mut takes: Vec<(Uid, Vec<TransferSyntax>)> = Vec::new();
    for context in association.contexts().iter().filter(|context| context.roles.scp) {
        match takes.iter_mut().find(|(class, _)| *class == context.abstract_syntax) {
            Some((_, syntaxes)) => syntaxes.push(context.transfer_syntax),
            None => takes.push((context.abstract_syntax.clone(), vec![context.transfer_syntax])),
        }
    }
    takes
}

/// A C-GET in hand.
struct Getting<'a, S> {
    retrieving: Retrieving<'a, S>,
    gateway: &'a Gateway,
    may_transcode: bool,
    /// Of the last store.
    message_id: u16,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Getting<'_, S> {
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
        let (class, instance) = (delivery.class.clone(), delivery.instance.clone());
        let association = &*self.retrieving.association;
        let receiving =
            || association.contexts().iter().filter(|c| c.roles.scp && c.abstract_syntax == class);
        let syntaxes: Vec<TransferSyntax> = receiving().map(|context| context.transfer_syntax).collect();
        let choices = delivery.choices(&syntaxes, self.may_transcode);
        let mut delivery = match delivery.into_one_of(&choices, &self.gateway.release).await {
            Ok(delivery) => delivery,
            Err(reason) => {
                self.retrieving.failed(&instance, &reason);
                return Ok(());
            }
        };
        let association = &*self.retrieving.association;
        let fits = |one: &&Context| {
            one.roles.scp && one.abstract_syntax == class && one.transfer_syntax == delivery.transfer_syntax
        };
        let Some(context) = association.contexts().iter().find(fits).map(|context| context.id) else {
            let refused = Refused::TransferSyntax(delivery.transfer_syntax.keyword);
            self.retrieving.failed(&instance, &refused);
            return Ok(());
        };
        self.message_id = self.message_id.checked_add(1).unwrap_or(1);
        let request = Command::store(self.message_id, &class, &instance);
        if !self.write(context, &request, &mut delivery).await? {
            return Ok(());
        }
        let status = self.store_status().await?;
        match Meaning::of(status) {
            Meaning::Success => self.retrieving.tally.completed(&instance),
            Meaning::Warning => self.retrieving.tally.warned(&instance),
            _ => {
                self.retrieving.failed(&instance, &format_args!("the viewer answered with {status}"));
            }
        }
        Ok(())
    }

    /// Writes a store; says whether it went out. One that breaks off when a part of it has gone out ends the association:
    /// the viewer must not take the part for the whole.
    async fn write(
        &mut self,
        context: u8,
        request: &Command,
        delivery: &mut Delivery,
    ) -> Result<bool, Error> {
        let mut outgoing = self.retrieving.association.begin(context, request)?;
        let broken = loop {
            match delivery.next().await {
                Ok(Some(piece)) => outgoing.write(&piece).await?,
                Ok(None) => {
                    outgoing.finish().await?;
                    return Ok(true);
                }
                Err(error) => break error,
            }
        };
        drop(outgoing);
        self.retrieving.failed(&delivery.instance, &broken);
        if self.retrieving.association.is_half_sent() {
            return Err(Error::SourceBroke(format!("instance {}", delivery.instance)));
        }
        Ok(false)
    }

    /// The status of the response to the store just sent.
    async fn store_status(&mut self) -> Result<Status, Error> {
        let Some(response) = self.retrieving.association.receive().await? else {
            return Err(Error::Released("a C-GET"));
        };
        if !self.retrieving.tally.cancelled && self.retrieving.association.was_cancelled(self.retrieving.id())
        {
            self.retrieving.cancel();
        }
        let command = &response.command;
        let is_answer = command.field() == field::C_STORE | field::RESPONSE
            && command.responded_to() == Some(self.message_id);
        match command.status() {
            Some(status) if is_answer => Ok(status),
            _ => Err(Error::Misplaced(format!("{command:?} instead of the response to a store"))),
        }
    }
}
