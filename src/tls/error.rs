//! What can go wrong with TLS: in our files, with advice, and in a handshake, with whose side it was.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error as Rustls, InvalidMessage};

use super::config::Place;

/// Why a profile cannot be used: ours to mend.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that cannot be opened or read.
    #[error("cannot read {place}: {error}; check the path, and that the service's user may read it")]
    Unreadable {
        /// Which.
        place: Place,
        /// What the system says.
        error: io::Error,
    },
    /// A credential outside a systemd unit.
    #[error(
        "{place} is wanted and CREDENTIALS_DIRECTORY is not set: systemd sets it for a unit with LoadCredential=; at a \
         terminal set it to the folder that has the credential"
    )]
    NoCredentials {
        /// Which.
        place: Place,
    },
    /// No certificate, key or list of this size exists.
    #[error("{place} has {bytes} bytes, the limit is {max}: is it the right file?")]
    TooLarge {
        /// Which.
        place: Place,
        /// What it has.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The file has something else in it.
    #[error("{place} has no {wanted} in it{hint}")]
    Nothing {
        /// Which.
        place: Place,
        /// What was looked for.
        wanted: &'static str,
        /// `; it …`, or nothing.
        hint: &'static str,
    },
    /// Something in the file cannot be used.
    #[error("{place}: {reason}; put a file there that is what the profile says")]
    Bad {
        /// Which.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate with somebody else's key.
    #[error("the key {key} does not belong to the certificate {certificate}: replace both together")]
    Mismatch {
        /// Where the certificate is.
        certificate: Place,
        /// Where the key is.
        key: Place,
    },
    /// rustls or the system refused.
    #[error("TLS cannot be set up: {0}; check the profile's certificate, key and ca")]
    Setup(String),
    /// The profile is not there, or lacks what its use takes.
    #[error("{0}")]
    Profile(#[from] super::config::ConfigError),
}

impl LoadError {
    pub(super) fn setup(error: impl std::fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }

    /// Whether another user, or the same one under systemd, might well read it.
    #[must_use]
    pub fn is_about_access(&self) -> bool {
        match self {
            Self::NoCredentials { .. } => true,
            Self::Unreadable { error, .. } => error.kind() == ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer speaks DICOM without TLS.
    #[error(
        "the peer speaks DICOM without TLS, and this listener takes TLS only: switch TLS on there, or use a plain port"
    )]
    PlainDicom,
    /// The peer speaks neither.
    #[error("the peer speaks no TLS, and this listener takes nothing else: its first byte is {0:02X}H")]
    NotTls(u8),
    /// The other node does not answer in TLS.
    #[error(
        "the other node answers without TLS: it may take plain DICOM on this port; use its TLS port, or leave TLS out for it"
    )]
    AnswersPlain,
    /// The peer closed.
    #[error("the peer closed the connection in the middle of the TLS handshake{0}")]
    Closed(&'static str),
    /// The peer's certificate is not one we believe.
    #[error("the peer's certificate {0}")]
    Certificate(String),
    /// The peer showed no certificate where one is required.
    #[error("the peer showed no certificate, and this listener requires one")]
    NoCertificate,
    /// The peer refused us.
    #[error("the peer ended TLS with the alert {alert}{hint}")]
    Alert {
        /// The alert as RFC 8446 section 6 names it.
        alert: String,
        /// What it usually means.
        hint: &'static str,
    },
    /// Neither side offers what the other takes.
    #[error("nothing in common with the peer ({0}); we take TLS 1.2 and 1.3 with the suites of BCP 195")]
    Incompatible(String),
    /// The name that a certificate is to be for.
    #[error("{0:?} is no name that a certificate can be for: set server_name")]
    BadName(String),
    /// Everything else.
    #[error("the TLS handshake failed: {0}")]
    Failed(String),
}

impl HandshakeError {
    /// Whether it may go away although nobody changes anything: the network, and no certificate or name.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Failed(_))
    }

    /// Sorts what tokio-rustls hands over.
    pub(super) fn from_io(error: &io::Error, is_client: bool) -> Self {
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Rustls>()) {
            return Self::from_rustls(inner, is_client);
        }
        let is_end = matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
        match is_end {
            true if is_client => {
                Self::Closed(": it may take plain DICOM on this port, or want a certificate from us")
            }
            true => Self::Closed(""),
            false => Self::Failed(error.to_string()),
        }
    }

    fn from_rustls(error: &Rustls, is_client: bool) -> Self {
        match error {
            Rustls::InvalidMessage(InvalidMessage::InvalidContentType) if is_client => Self::AnswersPlain,
            Rustls::NoCertificatesPresented => Self::NoCertificate,
            Rustls::InvalidCertificate(error) => Self::Certificate(certificate_words(error)),
            Rustls::AlertReceived(alert) => {
                Self::Alert { alert: format!("{alert:?}"), hint: alert_hint(*alert) }
            }
            Rustls::PeerIncompatible(what) => Self::Incompatible(format!("{what:?}")),
            other => Self::Failed(other.to_string()),
        }
    }
}

fn certificate_words(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: compare the clocks".to_owned()
        }
        CertificateError::Revoked => "has been revoked".to_owned(),
        CertificateError::UnknownIssuer => {
            "was issued by nobody that `ca` of the tls profile names".to_owned()
        }
        CertificateError::UnknownRevocationStatus => {
            "has an issuer that no revocation list in `crls` of the tls profile is from".to_owned()
        }
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be checked: our revocation list is out of date".to_owned()
        }
        CertificateError::BadSignature => "has a wrong signature".to_owned(),
        other => format!("cannot be used: {other}"),
    }
}

fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA => ": it does not know the issuer of our certificate",
        AlertDescription::CertificateRequired => ": it wants a certificate from us",
        AlertDescription::CertificateExpired => ": our certificate has expired for it",
        AlertDescription::CertificateRevoked => ": our certificate is revoked for it",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => ": it does not take our certificate",
        AlertDescription::ProtocolVersion => ": it speaks neither TLS 1.2 nor 1.3",
        AlertDescription::HandshakeFailure => ": no suite in common, or it wants a certificate from us",
        _ => "",
    }
}
