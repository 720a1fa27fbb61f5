//! C-STORE as SCP (PS3.4 annex B). Statuses: 0000H once the instance cannot be lost; A700H, A900H, C000H, 0117H, 0124H, or
//! on a route that waits for the PACS what the PACS answered.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use crate::association::{Association, Command, Error, Message, element};
use crate::dicom::Status;
use crate::flow::audit;
use crate::flow::release::{Expected, Offer};
use crate::flow::{Gateway, Intake, Offered, Refused, Stored, Visitor};
use crate::policy::Right;

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Arc<Visitor>,
) -> Result<(), Error> {
    match belonging(message, gateway, visitor).await {
        Belonging::Expected(expected) => return take_expected(association, message, expected).await,
        Belonging::Stray => {
            let comment = "it belongs to no retrieval that is under way";
            return super::refuse(association, message, Status::NOT_AUTHORIZED, comment).await;
        }
        Belonging::New => {}
    }
    let offered = match offered(message, gateway, visitor) {
        Ok(offered) => offered,
        Err((status, comment)) => {
            audit::store_refused(visitor, status);
            return super::refuse(association, message, status, comment).await;
        }
    };
    let instance = offered.sop_instance.clone();
    let response = match take(association, Arc::clone(gateway), Arc::clone(visitor), offered).await? {
        Ok(stored) => Command::response_to(&message.command, stored.status),
        Err(refused) => {
            let about = (&message.context.abstract_syntax, &instance);
            audit::not_taken_in(&gateway.trail, visitor, about, &refused);
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

/// What a store is, before its data set.
enum Belonging {
    /// Part of a retrieval.
    Expected(Expected),
    /// Part of a retrieval that is over, or was asked of another node.
    Stray,
    /// An instance to take in.
    New,
}

async fn belonging(message: &Message, gateway: &Gateway, visitor: &Visitor) -> Belonging {
    let instance = message.command.uid(element::AFFECTED_SOP_INSTANCE).and_then(Result::ok);
    let (Some(instance), true) = (instance, message.command.has_data_set()) else { return Belonging::New };
    if !visitor.permit.covers(Right::Store) {
        return Belonging::New;
    }
    let offer = Offer {
        calling: visitor.calling.clone(),
        called: visitor.called.clone(),
        originator: message.command.move_originator(),
        class: message.context.abstract_syntax.clone(),
        instance,
        transfer_syntax: message.context.transfer_syntax,
    };
    let expectations = &gateway.release.expectations;
    if let Some(expected) = expectations.take(&offer).await {
        return Belonging::Expected(expected);
    }
    if !expectations.is_stray(&offer, (gateway.rules)().titles()) {
        return Belonging::New;
    }
    let (peer, asked_of) = (&visitor.permit.peer().name, expectations.asked_of(&offer));
    let message_id = offer.originator.map(|(_, message_id)| message_id);
    warn!(
        peer, calling = %offer.calling, instance = %offer.instance, message_id,
        asked_of = asked_of.map(|pacs| pacs.to_string()),
        "a store names a C-MOVE of ours and belongs to no retrieval that is under way: it is not taken in"
    );
    Belonging::Stray
}

/// Hands an expected data set to its retrieval.
async fn take_expected<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    mut expected: Expected,
) -> Result<(), Error> {
    while let Some(piece) = association.next_data().await? {
        expected.push(piece).await;
    }
    let status = expected.finish().await;
    association.send(message.context.id, &Command::response_to(&message.command, status)).await
}

/// What is offered, or the status with which it is not even looked at.
fn offered(message: &Message, gateway: &Gateway, visitor: &Visitor) -> Result<Offered, super::Refusal> {
    if !super::may(gateway, visitor, Right::Store, "C-STORE") {
        return Err((Status::NOT_AUTHORIZED, "this AE title may not store"));
    }
    let Some(Ok(sop_instance)) = message.command.uid(element::AFFECTED_SOP_INSTANCE) else {
        return Err((Status::INVALID_SOP_INSTANCE, "the SOP Instance UID is missing or no UID"));
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
