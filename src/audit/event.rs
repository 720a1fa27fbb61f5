//! What is recorded: the events of PS3.15 A.5.3 that happen in a gateway, as types.

use crate::dicom::Uid;

use super::alert::Alert;

/// What the event is called that tells of the trail being read.
pub(super) const LOG_USED: &str = "audit-log-used";
/// And the one that tells of images opened at a terminal.
pub(super) const ACCESSED: &str = "accessed";

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Application Activity: the gateway began its work.
    Started,
    /// Application Activity: it ended it.
    Stopped,
    /// Begin Transferring DICOM Instances: they are about to go.
    Begin(Box<Transfer>),
    /// DICOM Instances Transferred: they went, or they did not.
    Transferred(Box<Transfer>),
    /// DICOM Instances Accessed: a person has opened them at a terminal.
    Accessed(Box<Access>),
    /// Query.
    Query(Box<Query>),
    /// User Authentication.
    Login(Box<Login>),
    /// Security Alert.
    Alert(Box<Alert>),
    /// Audit Log Used.
    LogUsed(Box<LogUse>),
}

impl Event {
    /// What `sealgate audit show` calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started => "application-start",
            Self::Stopped => "application-stop",
            Self::Begin(transfer) => transfer.kind.names().0,
            Self::Transferred(transfer) => transfer.kind.names().1,
            Self::Accessed(_) => ACCESSED,
            Self::Query(_) => "query",
            Self::Login(_) => "login",
            Self::Alert(alert) => alert.what.name(),
            Self::LogUsed(_) => LOG_USED,
        }
    }
}

/// A node, a program or a person that took part (an Active Participant).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Party {
    /// Its name in our configuration, or what it calls itself.
    pub name: String,
    /// Its AE title, where that is known.
    pub title: Option<String>,
    /// Host or address, where that is known.
    pub address: Option<String>,
}

impl Party {
    /// One of which only the name is known.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The same with an AE title.
    #[must_use]
    pub fn titled(self, title: &str) -> Self {
        Self { title: Some(title.to_owned()), ..self }
    }

    /// The same with an address.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "whatever has words, as it comes")]
    pub fn at(self, address: impl ToString) -> Self {
        Self { address: Some(address.to_string()), ..self }
    }
}

/// Why instances move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A node stored them with us.
    Received,
    /// We stored them at a PACS.
    Forwarded,
    /// Somebody retrieved them through us.
    Released,
}

impl Kind {
    /// What the beginning and the end of it are called.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Received => ("receiving", "received"),
            Self::Forwarded => ("forwarding", "forwarded"),
            Self::Released => ("releasing", "released"),
        }
    }
}

/// Instances of one study on their way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Why.
    pub kind: Kind,
    /// From where.
    pub source: Party,
    /// To where.
    pub destination: Party,
    /// Who wanted it, where that is neither of the two: the caller of a C-MOVE, a user.
    pub requestor: Option<Party>,
    /// Of which study.
    pub study: Option<Uid>,
    /// Of which patient. It is recorded only where `audit.patient_ids` says so.
    pub patient: Option<String>,
    /// Which ones.
    pub instances: Vec<Instance>,
    /// Whether what went was sealed.
    pub sealed: bool,
    /// The emergency access that it was opened by.
    pub grant: Option<String>,
    /// Why they did not arrive.
    pub failure: Option<String>,
    /// Which retrieval it belongs to; 0 where it belongs to none.
    pub ticket: u64,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// SOP Class UID.
    pub class: Uid,
    /// SOP Instance UID.
    pub uid: Uid,
    /// The key that it was opened with.
    pub key_id: Option<String>,
}

/// Instances of one study that somebody has opened, without sending them anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub by: Party,
    /// Of which study, where the key store knows.
    pub study: Option<Uid>,
    /// Which ones.
    pub instances: Vec<Instance>,
}

/// A query that was asked of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Who asked.
    pub caller: Party,
    /// Whom it called.
    pub called: Party,
    /// The user that it asked as.
    pub user: Option<String>,
    /// SOP Class UID of the query.
    pub class: Uid,
    /// Transfer Syntax UID of the identifier.
    pub transfer_syntax: String,
    /// The identifier; recorded only where `audit.patient_ids` says so.
    pub identifier: Vec<u8>,
}

/// Somebody said who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, where it is known.
    pub user: Option<String>,
    /// The node it came from.
    pub node: Party,
    /// Why it was not believed.
    pub failure: Option<String>,
}

/// Somebody read the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogUse {
    /// Who.
    pub by: Party,
    /// The trail: a URI.
    pub log: String,
    /// How: shown, or verified.
    pub how: String,
}
