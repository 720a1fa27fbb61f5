//! What is agreed on before anything is asked: contexts, roles, sizes; decided without a socket.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextResult, PresentationContextResultReason, RequestorRoles,
    UserIdentityType, UserVariableItem,
};
use zeroize::Zeroizing;

use super::codes::Rejection;
use crate::dicom::{AeTitle, TransferSyntax, Uid};

/// The DICOM application context (PS3.7 annex A.2.1).
pub(super) const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Our implementation class UID: a UUID of our own as PS3.5 annex B.2 makes a UID of it.
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.319356651900048721231927874169036838714";
/// Our implementation version name.
pub const IMPLEMENTATION_VERSION_NAME: &str = "SEALGATE_0_1";
/// PS3.7 D.3.3.3: the asynchronous operations window, which dicom-ul hands over unread.
const OPERATIONS_WINDOW: u8 = 0x53;

/// An association request, before anything is decided.
#[derive(Debug)]
pub struct Knock {
    /// Who calls.
    pub calling: AeTitle,
    /// Whom it calls.
    pub called: AeTitle,
    /// From where.
    pub address: IpAddr,
    /// As whom, if it says so.
    pub identity: Option<Identity>,
}

/// User identity (PS3.7 D.3.3.7), as claimed and not verified.
pub struct Identity {
    /// How the user is identified.
    pub kind: IdentityKind,
    /// User name, or a ticket, an assertion or a token.
    pub primary: Zeroizing<Vec<u8>>,
    /// Passcode.
    pub secondary: Zeroizing<Vec<u8>>,
    /// Whether the requestor wants an answer to it.
    pub wants_answer: bool,
}

/// The five ways of PS3.7 table D.3-14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// A user name.
    Name,
    /// A user name and a passcode.
    NameAndPasscode,
    /// A Kerberos service ticket.
    Kerberos,
    /// A SAML assertion.
    Saml,
    /// A JSON Web Token.
    Jwt,
}

/// Says how, never who.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?}, secret)", self.kind)
    }
}

/// What the requestor may do on a context (PS3.7 D.3.3.4); the acceptor is the counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Send requests.
    pub scu: bool,
    /// Receive requests.
    pub scp: bool,
}

impl Roles {
    /// What holds without negotiation.
    pub const DEFAULT: Self = Self { scu: true, scp: false };
}

/// Which services one peer is offered.
pub trait Offer: Send + Sync {
    /// The roles that the requestor may take with this abstract syntax; none if it is not offered.
    fn roles(&self, abstract_syntax: &Uid) -> Option<Roles>;
}

/// Leave to associate.
pub struct Admission {
    /// The peer's name, for the log and for its limit.
    pub peer: Arc<str>,
    /// Associations this peer may have at once, if it has a limit of its own.
    pub associations_max: Option<usize>,
    /// What it is offered.
    pub offer: Box<dyn Offer>,
}

/// Decides who comes in. The room that owns the rules implements it.
pub trait Gatekeeper: Send + Sync {
    /// Lets an association in, or says with which code it is refused.
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection>;
}

/// An accepted presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its id, an odd number.
    pub id: u8,
    /// What it is for.
    pub abstract_syntax: Uid,
    /// How data sets on it are encoded.
    pub transfer_syntax: TransferSyntax,
    /// What the requestor may do on it.
    pub roles: Roles,
}

/// What both sides know when the association is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Agreement {
    pub(super) contexts: Vec<Context>,
    /// The largest P-DATA-TF the peer takes; 0 is no limit.
    pub(super) peer_pdu_bytes_max: u32,
}

/// The titles, if the request is one that can be considered at all.
pub(super) fn read_titles(request: &AssociationRQ) -> Result<(AeTitle, AeTitle), Rejection> {
    // PS3.8 9.3.2: only bit 0 is tested.
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::ProtocolVersion);
    }
    if request.application_context_name.trim_end_matches(['\0', ' ']) != APPLICATION_CONTEXT {
        return Err(Rejection::ApplicationContext);
    }
    let calling = AeTitle::parse(&request.calling_ae_title).map_err(|_| Rejection::CallingAeTitle)?;
    let called = AeTitle::parse(&request.called_ae_title).map_err(|_| Rejection::CalledAeTitle)?;
    Ok((calling, called))
}

/// The user identity in a request, taken out of it so that nothing else keeps it.
pub(super) fn take_identity(request: &mut AssociationRQ) -> Option<Identity> {
    let at =
        request.user_variables.iter().position(|v| matches!(v, UserVariableItem::UserIdentityItem(_)))?;
    let UserVariableItem::UserIdentityItem(item) = request.user_variables.swap_remove(at) else {
        return None;
    };
    let kind = match item.identity_type() {
        UserIdentityType::Username => IdentityKind::Name,
        UserIdentityType::UsernamePassword => IdentityKind::NameAndPasscode,
        UserIdentityType::KerberosServiceTicket => IdentityKind::Kerberos,
        UserIdentityType::SamlAssertion => IdentityKind::Saml,
        UserIdentityType::Jwt => IdentityKind::Jwt,
        _ => return None,
    };
    Some(Identity {
        kind,
        primary: Zeroizing::new(item.primary_field()),
        secondary: Zeroizing::new(item.secondary_field()),
        wants_answer: item.positive_response_requested(),
    })
}

/// Answers an admitted request.
pub(super) fn answer(
    request: &AssociationRQ,
    offer: &dyn Offer,
    pdu_bytes_max: u32,
) -> (AssociationAC, Agreement) {
    let proposed = proposed_roles(&request.user_variables);
    let mut agreement =
        Agreement { contexts: Vec::new(), peer_pdu_bytes_max: maximum_length(&request.user_variables) };
    let mut results = Vec::with_capacity(request.presentation_contexts.len());
    for context in &request.presentation_contexts {
        let class = Uid::from_wire(context.abstract_syntax.as_bytes()).ok();
        let roles = class.as_ref().and_then(|class| offer.roles(class));
        let syntax = context
            .transfer_syntaxes
            .iter()
            .find_map(|uid| TransferSyntax::by_uid(uid.trim_end_matches(['\0', ' '])));
        let reason = match (class, roles, syntax) {
            (Some(abstract_syntax), Some(offered), Some(transfer_syntax)) => {
                let roles =
                    proposed.get(abstract_syntax.as_str()).map_or(Roles::DEFAULT, |p| both(*p, offered));
                agreement.contexts.push(Context { id: context.id, abstract_syntax, transfer_syntax, roles });
                PresentationContextResultReason::Acceptance
            }
            (Some(_), Some(_), None) => PresentationContextResultReason::TransferSyntaxesNotSupported,
            _ => PresentationContextResultReason::AbstractSyntaxNotSupported,
        };
        let transfer_syntax = syntax.map_or(TransferSyntax::IMPLICIT_LITTLE, |s| s.uid).to_owned();
        results.push(PresentationContextResult { id: context.id, reason, transfer_syntax });
    }
    let acceptance = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: results,
        user_variables: answer_variables(request, &agreement, pdu_bytes_max),
    };
    (acceptance, agreement)
}

fn both(proposed: Roles, offered: Roles) -> Roles {
    Roles { scu: proposed.scu && offered.scu, scp: proposed.scp && offered.scp }
}

fn answer_variables(
    request: &AssociationRQ,
    agreement: &Agreement,
    pdu_bytes_max: u32,
) -> Vec<UserVariableItem> {
    let mut variables = own_variables(pdu_bytes_max);
    for (class, _) in proposed_roles(&request.user_variables) {
        // PS3.7 D.3.3.4: answered for what was accepted; without an answer the default roles hold.
        if let Some(context) = agreement.contexts.iter().find(|c| c.abstract_syntax.as_str() == class) {
            let Roles { scu, scp } = context.roles;
            variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(class, RequestorRoles { scu, scp }));
        }
    }
    let window = |v: &UserVariableItem| matches!(v, UserVariableItem::Unknown(OPERATIONS_WINDOW, _));
    if request.user_variables.iter().any(window) {
        // PS3.7 D.3.3.3: one operation invoked and one performed at a time.
        variables.push(UserVariableItem::Unknown(OPERATIONS_WINDOW, vec![0, 1, 0, 1]));
    }
    variables
}

/// What we say of ourselves in every request and answer.
pub(super) fn own_variables(pdu_bytes_max: u32) -> Vec<UserVariableItem> {
    vec![
        UserVariableItem::MaxLength(pdu_bytes_max),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ]
}

pub(super) fn proposed_roles(variables: &[UserVariableItem]) -> BTreeMap<String, Roles> {
    let roles = variables.iter().filter_map(|variable| match variable {
        UserVariableItem::ScuScpRoleSelectionSubItem(class, roles) => {
            let class = class.trim_end_matches(['\0', ' ']).to_owned();
            Some((class, Roles { scu: roles.scu, scp: roles.scp }))
        }
        _ => None,
    });
    roles.collect()
}

/// The peer's maximum length; 0 where it says none (PS3.8 annex D.1).
pub(super) fn maximum_length(variables: &[UserVariableItem]) -> u32 {
    let length = variables.iter().find_map(|variable| match variable {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    length.unwrap_or_default()
}
