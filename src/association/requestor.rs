//! The calling side: reaches another node and proposes an association.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResultReason,
    RequestorRoles, UserVariableItem, write_pdu,
};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::codes::Rejected;
use super::config::Config;
use super::ending::Ending;
use super::error::Error;
use super::established::{Association, abort_pdu, aborted};
use super::frame::{Framed, Limit, Phase, kind};
use super::items::{self, CONTEXTS_MAX};
use super::negotiate::{self, APPLICATION_CONTEXT, Agreement, Context, Roles};
use crate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid};
use crate::tls::{Client, Connection};

/// A presentation context to propose.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What it is for.
    pub abstract_syntax: Uid,
    /// In the order of preference.
    pub transfer_syntaxes: Vec<TransferSyntax>,
    /// Roles to ask for, if other than the default.
    pub roles: Option<Roles>,
    /// Service class application information for an extended negotiation of the class; empty asks for none.
    pub extended: Vec<u8>,
}

impl Proposal {
    /// A proposal with the default roles.
    #[must_use]
    pub fn new(abstract_syntax: Uid, transfer_syntaxes: Vec<TransferSyntax>) -> Self {
        Self { abstract_syntax, transfer_syntaxes, roles: None, extended: Vec::new() }
    }

    /// The same with other roles.
    #[must_use]
    pub fn with_roles(self, roles: Roles) -> Self {
        Self { roles: Some(roles), ..self }
    }

    /// The same with an extended negotiation (PS3.7 D.3.3.5).
    #[must_use]
    pub fn with_extended(self, extended: Vec<u8>) -> Self {
        Self { extended, ..self }
    }
}

/// What a peer did that closed too early.
const UNANSWERED: &str = "instead of answering the request for an association";

/// How another node is reached.
#[derive(Debug, Clone, Default)]
pub enum Transport {
    /// In clear.
    #[default]
    Plain,
    /// Through TLS.
    Tls(Client),
}

/// Reaches `target`, in `connect_seconds` for the connection and as many for TLS. Nothing is said over it yet.
pub async fn reach(
    transport: &Transport,
    target: &AeAddress,
    config: &Config,
) -> Result<Connection<TcpStream>, Error> {
    let seconds = config.connect_seconds;
    let limit = Limit::from_now(seconds, "to be reached");
    let stream = limit.bound(TcpStream::connect((target.host.as_str(), target.port))).await??;
    // Or every message waits 40 ms for a delayed acknowledgement.
    stream.set_nodelay(true)?;
    // A machine that has gone without a word acknowledges nothing any more, also where little enough is on its way to fit
    // into the system's buffers; one that is only slow does.
    let millis = u32::try_from(config.send_seconds.saturating_mul(1000)).unwrap_or(u32::MAX);
    set_tcp_user_timeout(&stream, millis).map_err(io::Error::from)?;
    match transport {
        Transport::Plain => Ok(Connection::Plain(stream)),
        Transport::Tls(client) => {
            let limit = Limit::from_now(seconds, "for the TLS handshake");
            Ok(limit.bound(client.connect(&target.host, stream)).await??)
        }
    }
}

/// Reaches `target` in clear and associates as `calling`. Contexts that the peer refuses are simply not in the
/// association; an association has room for 128 proposals, and further ones count as refused.
pub async fn request(
    target: &AeAddress,
    calling: &AeTitle,
    proposals: &[Proposal],
    config: &Arc<Config>,
    ending: Ending,
) -> Result<Association<Connection<TcpStream>>, Error> {
    request_via(&Transport::Plain, target, calling, proposals, config, ending).await
}

/// The same through TLS, where the transport says so.
pub async fn request_via(
    transport: &Transport,
    target: &AeAddress,
    calling: &AeTitle,
    proposals: &[Proposal],
    config: &Arc<Config>,
    ending: Ending,
) -> Result<Association<Connection<TcpStream>>, Error> {
    let connection = reach(transport, target, config).await?;
    request_over(connection, target, calling, proposals, config, ending).await
}

/// The same over a connection that is there.
pub async fn request_over<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    target: &AeAddress,
    calling: &AeTitle,
    proposals: &[Proposal],
    config: &Arc<Config>,
    ending: Ending,
) -> Result<Association<S>, Error> {
    let request = ask(target, calling, proposals, config)?;
    let whole = Limit::from_now(config.connect_seconds, "to answer the request for an association");
    let mut framed = Framed::new(stream, config, whole);
    match hear(&mut framed, &request, proposals).await {
        Ok(agreement) => {
            let peer = target.title.as_str().into();
            Ok(Association::new(framed, Arc::clone(config), agreement, peer, ending, Box::new(())))
        }
        Err(error) => {
            if let Some(abort) = error.abort()
                && framed.write(&abort_pdu(abort)).await.is_ok()
            {
                framed.close(1).await;
            }
            Err(error)
        }
    }
}

/// Sends the request and reads the answer.
async fn hear<S: AsyncRead + AsyncWrite + Unpin>(
    framed: &mut Framed<S>,
    request: &[u8],
    proposals: &[Proposal],
) -> Result<Agreement, Error> {
    let answer = match framed.write(request).await {
        Ok(()) => framed.next(Phase::Answer, None).await,
        Err(error) => Err(error),
    };
    let frame = match answer {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(Error::Closed(UNANSWERED)),
        // Who closes with our request unread resets the connection: a node that takes TLS only, for one.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err(Error::Closed(UNANSWERED));
        }
        Err(error) => return Err(error),
    };
    match (frame.kind, &frame.body[..]) {
        (kind::ASSOCIATE_AC, body) => Ok(agree(proposals, &items::read_acceptance(body)?)),
        (kind::ASSOCIATE_RJ, &[_, result, source, reason, ..]) => {
            Err(Error::Rejected(Rejected { result, source, reason }))
        }
        (_, body) => Err(aborted(body)),
    }
}

fn ask(
    target: &AeAddress,
    calling: &AeTitle,
    proposals: &[Proposal],
    config: &Config,
) -> Result<Vec<u8>, Error> {
    let mut variables = negotiate::own_variables(config.pdu_bytes_max);
    let (mut with_roles, mut with_extended) = (BTreeSet::new(), BTreeSet::new());
    // PS3.7 D.3.3.4 and D.3.3.5: once for a class, however many contexts it has.
    for proposal in proposals.iter().take(CONTEXTS_MAX) {
        let class = &proposal.abstract_syntax;
        if let Some(Roles { scu, scp }) = proposal.roles
            && with_roles.insert(class)
        {
            let roles = RequestorRoles { scu, scp };
            variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(class.to_string(), roles));
        }
        if !proposal.extended.is_empty() && with_extended.insert(class) {
            variables.push(negotiate::extended_item(class, &proposal.extended));
        }
    }
    let contexts = proposals.iter().zip(ids()).map(|(proposal, id)| PresentationContextProposed {
        id,
        abstract_syntax: proposal.abstract_syntax.to_string(),
        transfer_syntaxes: proposal.transfer_syntaxes.iter().map(|syntax| syntax.uid.to_owned()).collect(),
    });
    let request = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: calling.to_string(),
        called_ae_title: target.title.to_string(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: contexts.collect(),
        user_variables: variables,
    };
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationRQ(request))
        .map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(bytes)
}

/// The 128 ids there are (PS3.8 9.3.2.2).
fn ids() -> impl Iterator<Item = u8> {
    (1..=u8::MAX).step_by(2)
}

fn agree(proposals: &[Proposal], acceptance: &AssociationAC) -> Agreement {
    let granted = negotiate::proposed_roles(&acceptance.user_variables);
    let contexts = proposals.iter().zip(ids()).filter_map(|(proposal, id)| {
        let result = acceptance.presentation_contexts.iter().find(|result| result.id == id)?;
        if result.reason != PresentationContextResultReason::Acceptance {
            return None;
        }
        let chosen = result.transfer_syntax.trim_end_matches(['\0', ' ']);
        // PS3.8 9.3.3.2: one of those proposed; anything else is as good as a refusal.
        let transfer_syntax = *proposal.transfer_syntaxes.iter().find(|syntax| syntax.uid == chosen)?;
        // PS3.7 D.3.3.4: no answer about roles means the default ones.
        let roles = granted.get(proposal.abstract_syntax.as_str()).copied().unwrap_or(Roles::DEFAULT);
        Some(Context { id, abstract_syntax: proposal.abstract_syntax.clone(), transfer_syntax, roles })
    });
    Agreement {
        pass: None,
        contexts: contexts.collect(),
        peer_pdu_bytes_max: negotiate::maximum_length(&acceptance.user_variables),
        extended: negotiate::extended(&acceptance.user_variables),
    }
}
