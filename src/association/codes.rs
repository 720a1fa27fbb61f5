//! The one table of A-ASSOCIATE-RJ and A-ABORT codes, with their paragraphs of PS3.8.

use std::fmt;

/// Why we refuse an association (PS3.8 table 9-21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The calling AE title is unknown, or the address is not one of its peer.
    CallingAeTitle,
    /// The called AE title is none of ours.
    CalledAeTitle,
    /// The user has to be identified, and is not; PS3.7 D.3.3.7 leaves the reason open.
    Identity,
    /// Not the DICOM application context.
    ApplicationContext,
    /// Bit 0 of the protocol version is not set.
    ProtocolVersion,
    /// Too many associations.
    Congestion,
    /// Too little room, on disk for example.
    LocalLimit,
}

impl Rejection {
    /// The word for it in metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::CallingAeTitle => "calling-ae-title",
            Self::CalledAeTitle => "called-ae-title",
            Self::Identity => "identity",
            Self::ApplicationContext => "application-context",
            Self::ProtocolVersion => "protocol-version",
            Self::Congestion => "congestion",
            Self::LocalLimit => "local-limit",
        }
    }

    /// The codes on the wire.
    #[must_use]
    pub const fn codes(self) -> Rejected {
        let (result, source, reason) = match self {
            Self::CallingAeTitle => (1, 1, 3), // PS3.8 9.3.4: calling-AE-title-not-recognized
            Self::CalledAeTitle => (1, 1, 7),  // called-AE-title-not-recognized
            Self::Identity => (1, 1, 1),       // no-reason-given, by the service-user
            Self::ApplicationContext => (1, 1, 2), // application-context-name-not-supported
            Self::ProtocolVersion => (1, 2, 2), // protocol-version-not-supported
            Self::Congestion => (2, 3, 1),     // temporary-congestion
            Self::LocalLimit => (2, 3, 2),     // local-limit-exceeded
        };
        Rejected { result, source, reason }
    }
}

/// Why we break an association off (PS3.8 table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abort {
    /// As its user: a deadline, or the end of the process.
    User,
    /// What came is no PDU.
    UnrecognizedPdu,
    /// A PDU that the state does not allow.
    UnexpectedPdu,
    /// A PDV with a wrong length, context or place.
    UnexpectedParameter,
    /// A length or value that is not allowed.
    InvalidParameter,
}

impl Abort {
    /// Source and reason on the wire.
    #[must_use]
    pub const fn codes(self) -> (u8, u8) {
        match self {
            Self::User => (0, 0), // PS3.8 9.3.8: service-user; the reason is not significant
            Self::UnrecognizedPdu => (2, 1), // unrecognized-PDU
            Self::UnexpectedPdu => (2, 2), // unexpected-PDU
            Self::UnexpectedParameter => (2, 5), // unexpected-PDU-parameter
            Self::InvalidParameter => (2, 6), // invalid-PDU-parameter-value
        }
    }
}

/// An A-ASSOCIATE-RJ as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rejected {
    /// 1 permanent, 2 transient.
    pub result: u8,
    /// 1 the user of the service, 2 and 3 its provider.
    pub source: u8,
    /// Read with the source.
    pub reason: u8,
}

impl Rejected {
    /// The reason in the standard's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match (self.source, self.reason) {
            (1 | 2, 1) => "no reason given",
            (1, 2) => "application context name not supported",
            (1, 3) => "calling AE title not recognized",
            (1, 7) => "called AE title not recognized",
            (2, 2) => "protocol version not supported",
            (3, 1) => "temporary congestion",
            (3, 2) => "local limit exceeded",
            _ => "a reason that the standard reserves",
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { result, source, reason } = self;
        let kind = if *result == 2 { "for the moment" } else { "permanently" };
        write!(f, "{} ({kind}; result {result}, source {source}, reason {reason})", self.words())
    }
}
