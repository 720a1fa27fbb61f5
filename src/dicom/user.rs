//! A user whose identity was verified, which is more than a claimed [`Identity`](super::Identity).

use std::collections::BTreeSet;
use std::fmt;

use super::IdentityKind;

/// Who uses the peer, as somebody verified it.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, without control characters.
    pub name: String,
    /// How it was verified.
    pub kind: IdentityKind,
    /// The words for the only rights that the user may use; nothing leaves all that the peer has.
    pub only: Option<BTreeSet<String>>,
}

impl User {
    /// A user of this name; characters that could forge a line of a log become question marks.
    #[must_use]
    pub fn new(name: &str, kind: IdentityKind, only: Option<BTreeSet<String>>) -> Self {
        let name = name.chars().map(|c| if c.is_control() { '?' } else { c }).take(64).collect();
        Self { name, kind, only }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}, {:?})", self.name, self.kind)
    }
}
