//! What is agreed on before anything is asked: contexts, roles, sizes; decided without a socket.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextResult, PresentationContextResultReason, RequestorRoles,
    UserVariableItem,
};

use super::codes::Rejection;
use super::error::Error;
use crate::dicom::{
    AeTitle, Certificate, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Identity, TransferSyntax,
    Uid, User,
};

/// The DICOM application context (PS3.7 annex A.2.1).
pub(super) const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// PS3.7 D.3.3.3: the asynchronous operations window, which dicom-ul hands over unread.
const OPERATIONS_WINDOW: u8 = 0x53;
/// PS3.7 table D.3-15: the answer to a user identity.
const IDENTITY_ANSWER: u8 = 0x59;

/// An association request, before anything is decided.
#[derive(Debug)]
pub struct Knock {
    /// Who calls.
    pub calling: AeTitle,
    /// Whom it calls.
    pub called: AeTitle,
    /// From where.
    pub address: IpAddr,
    /// The verified certificate that the connection was made with; none on a plain one.
    pub certificate: Option<Certificate>,
    /// As whom, if it says so.
    pub identity: Option<Identity>,
    /// That user, where [`Gatekeeper::verify`] has verified it.
    pub user: Option<User>,
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

    /// What is answered to the service class application information of a SOP class extended negotiation, such as
    /// relational queries (PS3.7 D.3.3.5, PS3.4 C.5.1.1); no answer is a refusal of all of it.
    fn extended(&self, _abstract_syntax: &Uid, _asked: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Leave to associate.
pub struct Admission {
    /// The peer's name, for the log and for its limit.
    pub peer: Arc<str>,
    /// Associations this peer may have at once, if it has a limit of its own.
    pub associations_max: Option<usize>,
    /// What it is offered.
    pub offer: Box<dyn Offer>,
    /// What the gatekeeper wants to find again at the association, see `Association::pass`.
    pub pass: Arc<dyn Any + Send + Sync>,
}

/// The future that [`Gatekeeper::verify`] returns.
pub type Verifying<'a> = Pin<Box<dyn Future<Output = Option<User>> + Send + 'a>>;

/// Decides who comes in. The room that owns the rules implements it.
pub trait Gatekeeper: Send + Sync {
    /// Lets an association in, or says with which code it is refused.
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection>;

    /// Verifies the user that is claimed, before [`Self::admit`] decides; whoever needs none verifies none.
    fn verify<'a>(&'a self, _knock: &'a Knock) -> Verifying<'a> {
        Box::pin(std::future::ready(None))
    }

    /// Hears of a connection that came to no request, because it is not what the listener takes.
    fn turned_away(&self, _from: IpAddr, _error: &Error) {}
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
    /// What the gatekeeper gave; nothing where we asked.
    pub(super) pass: Option<Arc<dyn Any + Send + Sync>>,
    /// The largest P-DATA-TF the peer takes; 0 is no limit.
    pub(super) peer_pdu_bytes_max: u32,
    /// What the acceptor answered to extended negotiations.
    pub(super) extended: BTreeMap<Uid, Vec<u8>>,
}

/// The titles, if the request is one that can be considered at all.
pub(super) fn read_titles(request: &AssociationRQ) -> Result<(AeTitle, AeTitle), Rejection> {
    if request.application_context_name.trim_end_matches(['\0', ' ']) != APPLICATION_CONTEXT {
        return Err(Rejection::ApplicationContext);
    }
    let calling = AeTitle::parse(&request.calling_ae_title).map_err(|_| Rejection::CallingAeTitle)?;
    let called = AeTitle::parse(&request.called_ae_title).map_err(|_| Rejection::CalledAeTitle)?;
    Ok((calling, called))
}

/// Answers an admitted request.
pub(super) fn answer(
    request: &AssociationRQ,
    offer: &dyn Offer,
    pdu_bytes_max: u32,
) -> (AssociationAC, Agreement) {
    let proposed = proposed_roles(&request.user_variables);
    let mut agreement =
        Agreement { peer_pdu_bytes_max: maximum_length(&request.user_variables), ..Agreement::default() };
    let mut results = Vec::with_capacity(request.presentation_contexts.len());
    for context in &request.presentation_contexts {
        let class = Uid::from_wire(context.abstract_syntax.as_bytes()).ok();
        let offered = class.and_then(|class| offer.roles(&class).map(|roles| (class, roles)));
        let syntax = context
            .transfer_syntaxes
            .iter()
            .find_map(|uid| TransferSyntax::by_uid(uid.trim_end_matches(['\0', ' '])));
        let reason = match (offered, syntax) {
            (None, _) => PresentationContextResultReason::AbstractSyntaxNotSupported,
            (Some(_), None) => PresentationContextResultReason::TransferSyntaxesNotSupported,
            (Some((abstract_syntax, offered)), Some(transfer_syntax)) => {
                // PS3.7 D.3.3.4: without a proposal the requestor is the SCU.
                let proposed = proposed.get(abstract_syntax.as_str()).copied().unwrap_or(Roles::DEFAULT);
                let roles = both(proposed, offered);
                if roles.scu || roles.scp {
                    let id = context.id;
                    agreement.contexts.push(Context { id, abstract_syntax, transfer_syntax, roles });
                    PresentationContextResultReason::Acceptance
                } else {
                    PresentationContextResultReason::UserRejection
                }
            }
        };
        let transfer_syntax = syntax.map_or(TransferSyntax::IMPLICIT_LITTLE, |s| s.uid).to_owned();
        results.push(PresentationContextResult { id: context.id, reason, transfer_syntax });
    }
    // PS3.7 D.3.3.5: answered for classes that have a context, and only where the service wants to.
    for (class, asked) in extended(&request.user_variables) {
        if agreement.contexts.iter().any(|context| context.abstract_syntax == class)
            && let Some(answer) = offer.extended(&class, &asked)
        {
            agreement.extended.insert(class, answer);
        }
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
    variables.extend(agreement.extended.iter().map(|(class, answer)| extended_item(class, answer)));
    let window = |v: &UserVariableItem| matches!(v, UserVariableItem::Unknown(OPERATIONS_WINDOW, _));
    if request.user_variables.iter().any(window) {
        // PS3.7 D.3.3.3: one operation invoked and one performed at a time.
        variables.push(UserVariableItem::Unknown(OPERATIONS_WINDOW, vec![0, 1, 0, 1]));
    }
    variables
}

/// The positive answer to a user identity. PS3.7 D.3.3.7.2: for a user name it is empty, and a token gets no other one.
pub(super) fn identity_answer() -> UserVariableItem {
    UserVariableItem::Unknown(IDENTITY_ANSWER, vec![0, 0])
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

/// A SOP class extended negotiation sub-item.
pub(super) fn extended_item(class: &Uid, information: &[u8]) -> UserVariableItem {
    UserVariableItem::SopClassExtendedNegotiationSubItem(class.to_string(), information.to_vec())
}

/// What is said of each class in extended negotiation; what names no class says nothing.
pub(super) fn extended(variables: &[UserVariableItem]) -> BTreeMap<Uid, Vec<u8>> {
    let items = variables.iter().filter_map(|variable| match variable {
        UserVariableItem::SopClassExtendedNegotiationSubItem(class, information) => {
            Some((Uid::from_wire(class.as_bytes()).ok()?, information.clone()))
        }
        _ => None,
    });
    items.collect()
}

/// The peer's maximum length; 0 where it says none (PS3.8 annex D.1).
pub(super) fn maximum_length(variables: &[UserVariableItem]) -> u32 {
    let length = variables.iter().find_map(|variable| match variable {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    length.unwrap_or_default()
}
