//! Why a service failed, sorted by what can be done about it.

use std::io;

use super::answer::{Answer, Meaning};
use crate::association::{Error, Rejected};
use crate::dicom::Uid;

/// What went wrong between us and another node.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A-ASSOCIATE-RJ, permanent or transient, with its source and reason.
    #[error("the peer refused the association: {0}")]
    Refused(Rejected),
    /// A-ABORT.
    #[error("the peer aborted the association (source {by}, reason {reason})")]
    Aborted {
        /// 0 its user, 2 its provider (PS3.8 table 9-26).
        by: u8,
        /// The reason, with source 2.
        reason: u8,
    },
    /// The peer could not be reached, or the connection broke, or ended where an answer was due.
    #[error("{0}")]
    Connection(#[source] Error),
    /// The peer could be reached and TLS with it failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The peer takes no such objects, or not encoded this way.
    #[error("the peer accepted no presentation context for {class} {how}")]
    NoContext {
        /// The SOP class.
        class: Uid,
        /// In which transfer syntax or role.
        how: String,
    },
    /// A wait had an end.
    #[error("it took more than {seconds} s {what}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// A response whose status says that it was not done.
    #[error("the peer answered {0}")]
    Status(Box<Answer>),
    /// The peer broke the rules of the protocol.
    #[error("the peer does not keep to the protocol: {0}")]
    Protocol(String),
    /// What was to be sent could not be read, or was shorter or longer than it should be.
    #[error("what was to be sent could not be read: {0}")]
    Source(#[source] io::Error),
    /// The association was used where an operation on it was left in the middle.
    #[error("an operation on the association was left in the middle")]
    Unfinished,
    /// We are ending.
    #[error("the gateway is ending")]
    Ending,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's: the way between us.
    Network,
    /// The other node's, or that of its configuration.
    Peer,
    /// Ours.
    Ours,
}

impl Failure {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Connection(_) | Self::TimedOut { .. } => Fault::Network,
            Self::Source(_) | Self::Unfinished | Self::Ending => Fault::Ours,
            _ => Fault::Peer,
        }
    }

    /// Whether the same request may succeed later although nobody changes anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            // PS3.8 9.3.4: 1 is rejected-permanent, 2 rejected-transient.
            Self::Refused(rejected) => rejected.result == 2,
            Self::Aborted { .. } | Self::Connection(_) | Self::TimedOut { .. } | Self::Ending => true,
            Self::Status(answer) => {
                matches!(
                    Meaning::of(answer.status),
                    Meaning::OutOfResources | Meaning::Failure | Meaning::Cancelled
                )
            }
            Self::Tls(_)
            | Self::NoContext { .. }
            | Self::Protocol(_)
            | Self::Source(_)
            | Self::Unfinished => false,
        }
    }

    /// Whether it may be the association alone that failed, which was good once.
    #[must_use]
    pub fn may_be_of_the_association(&self) -> bool {
        matches!(self, Self::Aborted { .. } | Self::Connection(_) | Self::TimedOut { .. })
    }

    /// What an administrator can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Refused(rejected) if rejected.result == 2 => "The peer is busy. It is worth trying later.",
            Self::Refused(_) => {
                "Check both AE titles, and that the peer knows ours and this machine's address."
            }
            Self::Aborted { .. } => "The peer's log says why it aborted.",
            Self::Connection(_) => {
                "Check the address and the port, that the peer runs, and the network between."
            }
            Self::Tls(_) => "Check that the port speaks TLS, the certificates, and whom each side trusts.",
            Self::NoContext { .. } => "Let the peer accept this SOP class in this transfer syntax.",
            Self::TimedOut { .. } => {
                "Check the load of the peer; the limits stand in [association] and [scu]."
            }
            Self::Status(_) => "The peer's log says more about this status.",
            Self::Protocol(_) => "Tell the peer's maker.",
            Self::Source(_) => "Check the disk that the instance is on.",
            Self::Unfinished => "This is a mistake of ours: report it.",
            Self::Ending => "Nothing is wrong.",
        }
    }

    /// The status of a response, if there was one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Status(answer) => Some(answer),
            _ => None,
        }
    }

    pub(super) fn source(what: &str) -> Self {
        Self::Source(io::Error::other(what.to_owned()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejected) => Self::Refused(rejected),
            Error::Aborted { by, reason } => Self::Aborted { by, reason },
            Error::TooSlow { what, seconds } => Self::TimedOut { what, seconds },
            Error::HalfSent => Self::Unfinished,
            Error::Ending => Self::Ending,
            Error::Tls(error) if !error.may_pass() => Self::Tls(error.to_string()),
            error @ (Error::Io(_) | Error::Tls(_) | Error::Closed(_) | Error::Released(_)) => {
                Self::Connection(error)
            }
            error => Self::Protocol(error.to_string()),
        }
    }
}

impl From<Answer> for Failure {
    fn from(answer: Answer) -> Self {
        Self::Status(Box::new(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Status;

    fn status(code: u16) -> Failure {
        Answer { status: Status(code), comment: None, offending: Vec::new(), instance: None }.into()
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let rejected = |result| Failure::Refused(Rejected { result, source: 1, reason: 1 });
        let no_context = || Failure::NoContext { class: Uid::parse("1.2").unwrap(), how: String::new() };
        for passes in [rejected(2), status(0xA700), status(0x0110), Error::Closed("").into()] {
            assert!(passes.may_pass(), "{passes}");
        }
        for stays in [rejected(1), status(0xA900), status(0xC000), status(0x0124), no_context()] {
            assert!(!stays.may_pass(), "{stays}");
        }
    }

    #[test]
    fn errors_of_the_association_become_classes() {
        let class = |error: Error| Failure::from(error);
        assert!(matches!(class(Error::Aborted { by: 2, reason: 1 }), Failure::Aborted { by: 2, reason: 1 }));
        assert!(matches!(
            class(Error::TooSlow { what: "x", seconds: 3 }),
            Failure::TimedOut { what: "x", seconds: 3 }
        ));
        assert!(matches!(class(Error::UnknownPdu(0x15)), Failure::Protocol(_)));
        let io = class(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        assert!(matches!(io, Failure::Connection(_)) && io.fault() == Fault::Network);
    }
}
