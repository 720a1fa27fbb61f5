//! Who asks, and the leave that is given: a permit for one association, or a refusal that says why not.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::grant::EMERGENCY;
use super::peer::{Peer, Right};
use crate::dicom::{AeTitle, Certificate, Identity, IdentityKind, User};

/// Who asks for an association.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The calling AE title.
    pub calling: &'a AeTitle,
    /// The called AE title.
    pub called: &'a AeTitle,
    /// The address the connection comes from.
    pub address: IpAddr,
    /// The verified certificate of the connection; none on a plain one, or where none was shown.
    pub certificate: Option<&'a Certificate>,
    /// The user it claims to call for, if it names one.
    pub identity: Option<&'a Identity>,
    /// That user, where somebody has verified the claim.
    pub user: Option<&'a User>,
}

/// Why there is no permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No peer has this calling AE title.
    #[error("no peer has the AE title {0}")]
    UnknownCalling(AeTitle),
    /// The title is a peer's, the address is not.
    #[error("{address} is not an address of a peer with the AE title {title}")]
    WrongAddress {
        /// The title claimed.
        title: AeTitle,
        /// Where the connection came from.
        address: IpAddr,
    },
    /// The peer has to show a certificate, and the connection has none.
    #[error("{peer} has to show a certificate on a TLS connection, and showed none")]
    NoCertificate {
        /// The peer's name.
        peer: String,
    },
    /// The certificate is a good one, but not for this peer.
    #[error("the certificate {certificate} is not one of {peer}")]
    WrongCertificate {
        /// The peer's name.
        peer: String,
        /// The certificate that was shown.
        certificate: String,
    },
    /// The peer's users have to identify themselves, and nobody did in a way that counts.
    #[error("a user of {peer} has to identify itself, and {words}", words = claimed_words(*.claimed))]
    NoUser {
        /// The peer's name.
        peer: String,
        /// What was claimed, if anything.
        claimed: Option<IdentityKind>,
    },
    /// The called AE title is not ours, or not for this peer.
    #[error("{peer} called {title}, which is not an AE title for it")]
    WrongCalled {
        /// The peer's name.
        peer: String,
        /// The title it called.
        title: AeTitle,
    },
    /// The peer is known but may not do this.
    #[error("{peer} may not {right}")]
    NoRight {
        /// The peer's name.
        peer: String,
        /// What it lacks.
        right: Right,
    },
    /// The peer has opened as many images as it may in this time.
    #[error("{peer} has opened as many images as it may: {rate}")]
    TooMany {
        /// The peer's name.
        peer: String,
        /// What it may.
        rate: super::rate::OpeningRate,
    },
    /// The peer may open images, but not these, or not now.
    #[error("none of the conditions under which {peer} may open holds")]
    NotThese {
        /// The peer's name.
        peer: String,
    },
}

fn claimed_words(claimed: Option<IdentityKind>) -> &'static str {
    match claimed {
        None => "claimed no identity",
        Some(IdentityKind::Name) => "gave a name without a password",
        Some(IdentityKind::Kerberos) => "gave a Kerberos ticket, which is not taken here",
        Some(IdentityKind::Saml) => "gave a SAML assertion, which is not taken here",
        Some(IdentityKind::NameAndPasscode) => "gave a name and a password that do not count for this peer",
        Some(IdentityKind::Jwt) => "gave a token that does not count for this peer",
    }
}

/// Leave for one association of one peer. Only [`Rules`](crate::policy::Rules) makes it.
#[derive(Debug, Clone)]
pub struct Permit {
    pub(super) peer: Arc<Peer>,
    pub(super) claims: Option<IdentityKind>,
    pub(super) user: Option<String>,
    /// The only rights that the user may use.
    pub(super) only: Option<BTreeSet<String>>,
    pub(super) may: BTreeSet<Right>,
}

impl Permit {
    /// The same with what an emergency access of its peer adds for finding and asking; whether images are opened is
    /// decided anew for each. What a user may not do stays so.
    #[must_use]
    pub fn in_emergency(mut self) -> Self {
        let added: Vec<Right> =
            EMERGENCY.into_iter().filter(|right| *right != Right::Open && self.user_may(*right)).collect();
        self.may.extend(added);
        self
    }

    pub(super) fn user_may(&self, right: Right) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(right.word()))
    }

    /// Whom it was given to.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The verified user, if the peer's users have to identify themselves.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// How the caller identified its user, if it did. No right rests on it: those of a verified user are in the permit.
    #[must_use]
    pub fn claims(&self) -> Option<IdentityKind> {
        self.claims
    }

    /// Whether it covers `right`.
    #[must_use]
    pub fn covers(&self, right: Right) -> bool {
        self.may.contains(&right)
    }

    /// Nothing if it covers `right`, the refusal to answer with if not.
    pub fn require(&self, right: Right) -> Result<(), Refusal> {
        if self.covers(right) {
            Ok(())
        } else {
            Err(Refusal::NoRight { peer: self.peer.name.clone(), right })
        }
    }
}
