//! User identity negotiation (PS3.7 D.3.3.7): who a peer says its user is, as claimed and not verified.

use std::fmt;

use zeroize::Zeroizing;

/// A claimed user identity. What it holds may be secret, so it is erased when dropped and never printed.
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

impl IdentityKind {
    /// The kind with this code, if it is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Name,
            2 => Self::NameAndPasscode,
            3 => Self::Kerberos,
            4 => Self::Saml,
            5 => Self::Jwt,
            _ => return None,
        })
    }
}

/// Says how, never who.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?}, secret)", self.kind)
    }
}
