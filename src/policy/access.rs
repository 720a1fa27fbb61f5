//! Who may see what: what a retrieval gives its caller, and its destination.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::peer::{Peer, Right, WithoutOpen};
use super::rules::{Permit, Refusal, Rules};
use crate::dicom::{AeAddress, AeTitle};

/// In which form images are given to somebody. Only this room makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Opened,
    Sealed,
}

/// A peer as the destination of a C-MOVE.
#[derive(Debug, Clone)]
pub struct Receiver {
    peer: Arc<Peer>,
    address: AeAddress,
}

impl Access {
    /// Whether sealed images are opened.
    #[must_use]
    pub fn is_opened(self) -> bool {
        self.0 == Form::Opened
    }

    /// What both may have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.is_opened() { other } else { self }
    }

    fn of(peer: &Peer, may: &BTreeSet<Right>) -> Result<Self, Refusal> {
        if may.contains(&Right::Open) {
            return Ok(Self(Form::Opened));
        }
        match peer.without_open {
            WithoutOpen::Sealed => Ok(Self(Form::Sealed)),
            WithoutOpen::Refuse => Err(Refusal::NoRight { peer: peer.name.clone(), right: Right::Open }),
        }
    }
}

impl Permit {
    /// In which form the caller is given images, or why it is given none.
    pub fn access(&self) -> Result<Access, Refusal> {
        Access::of(&self.peer, &self.may)
    }
}

impl Receiver {
    /// The peer.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &AeAddress {
        &self.address
    }

    /// In which form it is given images, or why it is given none.
    pub fn access(&self) -> Result<Access, Refusal> {
        Access::of(&self.peer, &self.peer.may)
    }
}

impl Rules {
    /// The peer that takes what is moved to this AE title.
    #[must_use]
    pub fn receiver(&self, title: &AeTitle) -> Option<Receiver> {
        self.shared_peers().iter().find_map(|peer| {
            let address = peer.receives.as_ref().filter(|address| address.title == *title)?;
            Some(Receiver { peer: Arc::clone(peer), address: address.clone() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::AddressPattern;

    fn title(text: &str) -> AeTitle {
        AeTitle::parse(text).unwrap()
    }

    fn peer(name: &str, may: &[Right], without_open: WithoutOpen) -> Peer {
        Peer {
            name: name.to_owned(),
            title: title(name),
            addresses: vec![AddressPattern::parse("127.0.0.1").unwrap()],
            may: may.iter().copied().collect(),
            called: BTreeSet::new(),
            associations_max: None,
            certificates: Vec::new(),
            without_open,
            receives: Some(AeAddress::parse(&format!("{name}@127.0.0.1:104")).unwrap()),
            receives_tls: None,
            reports: None,
            reports_tls: None,
            identity: BTreeSet::new(),
        }
    }

    fn of(peer: &Peer) -> Result<Access, Refusal> {
        Access::of(peer, &peer.may)
    }

    #[test]
    fn who_may_not_open_is_refused_or_given_what_is_sealed() {
        let opens = of(&peer("A", &[Right::Open], WithoutOpen::Refuse)).unwrap();
        let sealed = of(&peer("B", &[Right::Get], WithoutOpen::Sealed)).unwrap();
        assert!(opens.is_opened() && !sealed.is_opened());
        assert!(!opens.and(sealed).is_opened() && !sealed.and(opens).is_opened());
        assert!(opens.and(opens).is_opened());
        let refused = of(&peer("C", &[Right::Get, Right::Move], WithoutOpen::Refuse));
        assert_eq!(refused, Err(Refusal::NoRight { peer: "C".to_owned(), right: Right::Open }));
    }

    #[test]
    fn two_peers_never_receive_under_one_title() {
        let mut other = peer("OTHER", &[Right::Open], WithoutOpen::Refuse);
        other.receives = Some(AeAddress::parse("VIEWER@127.0.0.1:105").unwrap());
        let peers = [peer("VIEWER", &[], WithoutOpen::Refuse), other];
        let refused = Rules::new(&[title("SEALGATE")], &peers, &[], &[]).unwrap_err();
        assert!(matches!(refused, crate::policy::RulesError::ReceiversOverlap { .. }), "{refused}");
    }

    #[test]
    fn only_a_peer_that_says_where_it_listens_is_moved_to() {
        let mut silent = peer("SILENT", &[Right::Open], WithoutOpen::Refuse);
        silent.receives = None;
        let peers = [peer("VIEWER", &[Right::Open], WithoutOpen::Refuse), silent];
        let rules = Rules::new(&[title("SEALGATE")], &peers, &[], &[]).unwrap();
        assert_eq!(rules.receiver(&title("VIEWER")).unwrap().peer().name, "VIEWER");
        assert!(rules.receiver(&title("SILENT")).is_none());
        assert!(rules.receiver(&title("NOBODY")).is_none());
    }
}
