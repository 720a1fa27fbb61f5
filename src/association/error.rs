//! What can end an association, whose fault it is, and the A-ABORT that says so.

use std::io;

use super::codes::{Abort, Rejected};
use crate::tls::HandshakeError;

/// Why there is no association, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// There is no TLS connection.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// The peer closed without releasing.
    #[error("the peer closed the connection {0}")]
    Closed(&'static str),
    /// A-ABORT from the peer.
    #[error("the peer aborted the association (source {by}, reason {reason})")]
    Aborted {
        /// 0 its user, 2 its provider (PS3.8 table 9-26).
        by: u8,
        /// The reason, with source 2.
        reason: u8,
    },
    /// A-ASSOCIATE-RJ from the peer.
    #[error("the peer refused the association: {0}")]
    Rejected(Rejected),
    /// The peer asked for the end where it should have answered.
    #[error("the peer released the association in the middle of {0}")]
    Released(&'static str),
    /// A wait that has a limit.
    #[error("the peer took more than {seconds} s {what}")]
    TooSlow {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// A type that PS3.8 does not know.
    #[error("a PDU of type {found:02X}H, which is none: {words}", found = .0, words = guess(*.0))]
    UnknownPdu(u8),
    /// A PDU that does not belong here.
    #[error("{found} {state}")]
    UnexpectedPdu {
        /// Which.
        found: &'static str,
        /// When.
        state: &'static str,
    },
    /// A PDU above its limit.
    #[error("a PDU of {length} bytes, the limit is {max}")]
    PduTooLarge {
        /// What its header says.
        length: u32,
        /// The limit.
        max: u32,
    },
    /// A fragment that does not belong where it is, or a PDV whose length does not fit.
    #[error("{0}")]
    Misplaced(String),
    /// A value or length that PS3.8 does not allow.
    #[error("{0}")]
    Malformed(String),
    /// A command set that cannot be read.
    #[error("the command set: {0}")]
    Command(String),
    /// A message that was begun and never finished: nothing can be sent behind it.
    #[error("a message was left half sent")]
    HalfSent,
    /// What we were sending broke off behind its beginning, so that nothing can be sent behind it.
    #[error("what was being sent broke off: {0}")]
    SourceBroke(String),
    /// No presentation context for what is to be sent.
    #[error("the peer accepted no presentation context for {0}")]
    NoContext(String),
    /// We are ending.
    #[error("the gateway is ending")]
    Ending,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // TLS 1.3 has its handshake behind it on our side when the other side refuses our certificate.
        match error.downcast::<HandshakeError>() {
            Ok(tls) => Self::Tls(tls),
            Err(error) => Self::Io(error),
        }
    }
}

impl Error {
    /// Whether the mistake is ours, and so belongs in the log as an error; all others are the peer's, or nobody's.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::HalfSent)
    }

    /// The A-ABORT to answer with; none where the peer has ended it, or cannot hear us.
    #[must_use]
    pub fn abort(&self) -> Option<Abort> {
        match self {
            // An A-ASSOCIATE-RQ where the start of TLS was due; in the middle of TLS nobody reads an A-ABORT.
            Self::UnexpectedPdu { .. } | Self::Tls(HandshakeError::PlainDicom) => Some(Abort::UnexpectedPdu),
            Self::Tls(_)
            | Self::Io(_)
            | Self::Closed(_)
            | Self::Aborted { .. }
            | Self::Rejected(_)
            | Self::Released(_) => None,
            Self::TooSlow { .. }
            | Self::NoContext(_)
            | Self::HalfSent
            | Self::SourceBroke(_)
            | Self::Ending => Some(Abort::User),
            Self::UnknownPdu(_) => Some(Abort::UnrecognizedPdu),
            Self::Misplaced(_) => Some(Abort::UnexpectedParameter),
            Self::PduTooLarge { .. } | Self::Malformed(_) | Self::Command(_) => Some(Abort::InvalidParameter),
        }
    }
}

/// What somebody probably speaks whose first byte is this.
fn guess(first: u8) -> &'static str {
    match first {
        // RFC 8446 5.1: a handshake and an alert.
        0x16 => "the peer began TLS on a plain connection; it has to use a TLS port, or leave TLS out",
        0x15 => "the peer answered with a TLS alert; it takes TLS only, so call it with a tls profile",
        b'A'..=b'Z' => "the peer speaks something else than DICOM, perhaps HTTP",
        _ => "the peer speaks something else than DICOM",
    }
}
