//! C-FIND as SCP (PS3.4 annexes C and K). Statuses: FF00H and FF01H with each match; 0000H, FE00H, A700H, A900H, C001H, 0124H;
//! B000H where not every archive has answered in full, or what the one archive answered.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use crate::association::{Association, Command, Error, Message};
use crate::dicom::{Model, Status, query_retrieve};
use crate::flow::audit;
use crate::flow::release::{Found, Query, Search};
use crate::flow::{Gateway, Visitor};
use crate::policy::Right;

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
) -> Result<(), Error> {
    let class = &message.context.abstract_syntax;
    let right = match query_retrieve(class.as_str()) {
        Some((Model::Worklist, _)) => Right::Worklist,
        _ => Right::Find,
    };
    if !super::may(gateway, visitor, right, "C-FIND") {
        return super::refuse(association, message, Status::NOT_AUTHORIZED, "this AE title may not query")
            .await;
    }
    let bytes_max = gateway.release.config.identifier_bytes_max;
    let identifier = match super::identifier::read(association, message, bytes_max).await? {
        Ok(identifier) => identifier.freeze(),
        Err((status, comment)) => return super::refuse(association, message, status, comment).await,
    };
    let extended = association.extended(class).map(<[u8]>::to_vec);
    audit::query_began(&gateway.trail, visitor, &message.context, &identifier);
    let query = Query { context: message.context.clone(), identifier, extended };
    match Search::begin(gateway, visitor, query) {
        Ok(search) => tell(association, message, gateway, search).await,
        Err(error) => {
            info!(peer = association.peer(), %error, "an identifier cannot be read");
            let comment = "the identifier cannot be read";
            super::refuse(association, message, Status::DATA_SET_MISMATCH, comment).await
        }
    }
}

/// Sends match after match, as fast as the peer takes them, until the end or until it has had enough.
async fn tell<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    gateway: &Gateway,
    mut search: Search,
) -> Result<(), Error> {
    let Message { context, command } = message;
    let message_id = command.message_id().unwrap_or_default();
    let mut matches = 0_u64;
    loop {
        let found = tokio::select! {
            biased;
            heard = association.cancelled(message_id) => {
                heard?;
                audit::query_ended(association.peer(), matches, Status::CANCEL);
                let response = Command::response_to(command, Status::CANCEL);
                // PS3.4 C.4.1.3: no matches follow a cancel. The viewer does not wait for the PACS.
                association.send(context.id, &response).await?;
                search.leave(gateway);
                return Ok(());
            }
            found = search.next() => found,
        };
        match found {
            Found::Match(found) => {
                matches += 1;
                let response = Command::response_to(command, found.status);
                association.send_with_data(context.id, &response, &found.identifier).await?;
            }
            Found::Ended(status, comment) => {
                audit::query_ended(association.peer(), matches, status);
                let response = Command::response_to(command, status);
                let response = match comment {
                    Some(comment) => response.with_comment(&comment),
                    None => response,
                };
                return association.send(context.id, &response).await;
            }
        }
    }
}
