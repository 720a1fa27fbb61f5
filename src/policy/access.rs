//! Who may see what: what a retrieval gives its caller, and its destination.

use std::sync::Arc;

use super::criteria::Facts;
use super::grant::Grants;
use super::hours::Moment;
use super::peer::{Peer, Right, WithoutOpen};
use super::permit::{Permit, Refusal};
use super::rate::{Metered, Openings};
use super::route::Route;
use super::rules::Rules;
use crate::dicom::{AeAddress, AeTitle};

/// Under which conditions images are given to somebody, and in which form. Only this room makes it.
#[derive(Debug, Clone)]
pub struct Access {
    /// The caller, and in a C-MOVE the receiver; what both may have is given.
    parties: Vec<Party>,
    routes: Arc<[Route]>,
}

/// Somebody who gets images.
#[derive(Debug, Clone)]
struct Party {
    peer: Arc<Peer>,
    /// Whether it may open, as far as its peer and its user go.
    may_open: bool,
    /// Whether an emergency access of its peer counts for it.
    may_be_granted: bool,
}

/// What becomes of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is opened; by an emergency access, if one is named.
    Opened(Option<String>),
    /// It is given as the PACS has it.
    Sealed,
    /// It is not given.
    Refused(Refusal),
}

/// Nothing more is opened for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// For whom, and what the limit is.
    pub refusal: Refusal,
    /// Whether it is the first that is refused since something was opened: the moment for an alarm.
    pub is_first: bool,
}

/// A peer as the destination of a C-MOVE.
#[derive(Debug, Clone)]
pub struct Receiver {
    peer: Arc<Peer>,
    address: AeAddress,
    routes: Arc<[Route]>,
}

impl Access {
    /// What both may have.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.parties.extend(other.parties);
        self
    }

    /// Whether images may be opened now: all, or those that conditions hold for.
    #[must_use]
    pub fn may_open(&self, moment: Moment, grants: &Grants) -> bool {
        self.parties.iter().all(|party| party.may_open(moment, grants))
    }

    /// Whether images are decompressed where they are taken in no other form; the last party is the one that receives.
    #[must_use]
    pub fn transcodes(&self) -> bool {
        self.parties.last().is_some_and(|party| party.peer.transcode)
    }

    /// Why nothing at all is given now, if that is so.
    pub fn check(&self, moment: Moment, grants: &Grants) -> Result<(), Refusal> {
        let refused = self
            .parties
            .iter()
            .find(|party| party.peer.without_open == WithoutOpen::Refuse && !party.may_open(moment, grants));
        match refused {
            Some(party) => Err(party.refusal()),
            None => Ok(()),
        }
    }

    /// Takes one opening of everybody who has a limit on them; `now_millis` of a clock that never goes back.
    pub fn meter(&self, openings: &mut Openings, now_millis: u64) -> Result<(), Limited> {
        for party in &self.parties {
            let Some(rate) = party.peer.openings else { continue };
            let metered = openings.take(&party.peer.name, rate, now_millis);
            if metered != Metered::Allowed {
                let refusal = Refusal::TooMany { peer: party.peer.name.clone(), rate };
                return Err(Limited { refusal, is_first: metered == Metered::FirstRefused });
            }
        }
        Ok(())
    }

    /// What becomes of an image of which this is known.
    #[must_use]
    pub fn decide(&self, facts: &Facts, moment: Moment, grants: &Grants) -> Answer {
        let mut all = Answer::Opened(None);
        for party in &self.parties {
            match party.decide(facts, &self.routes, moment, grants) {
                refused @ Answer::Refused(_) => return refused,
                Answer::Sealed => all = Answer::Sealed,
                Answer::Opened(Some(grant)) if all == Answer::Opened(None) => {
                    all = Answer::Opened(Some(grant));
                }
                Answer::Opened(_) => {}
            }
        }
        all
    }
}

impl Party {
    fn may_open(&self, moment: Moment, grants: &Grants) -> bool {
        let opens = &self.peer.opens;
        let is_time = opens.is_empty() || opens.iter().any(|criteria| criteria.is_time(moment));
        (self.may_open && is_time) || self.grant(moment, grants).is_some()
    }

    fn grant<'a>(&self, moment: Moment, grants: &'a Grants) -> Option<&'a super::Grant> {
        grants.of(&self.peer.name, moment.unix).filter(|_| self.may_be_granted)
    }

    fn decide(&self, facts: &Facts, routes: &[Route], moment: Moment, grants: &Grants) -> Answer {
        let opens = &self.peer.opens;
        let holds = || opens.is_empty() || opens.iter().any(|criteria| criteria.holds(facts, routes, moment));
        if self.may_open && holds() {
            return Answer::Opened(None);
        }
        if let Some(grant) = self.grant(moment, grants) {
            return Answer::Opened(Some(grant.id.clone()));
        }
        match self.peer.without_open {
            WithoutOpen::Sealed => Answer::Sealed,
            WithoutOpen::Refuse => Answer::Refused(self.refusal()),
        }
    }

    fn refusal(&self) -> Refusal {
        let peer = self.peer.name.clone();
        if self.may_open { Refusal::NotThese { peer } } else { Refusal::NoRight { peer, right: Right::Open } }
    }
}

impl Permit {
    /// Under which conditions the caller is given images.
    #[must_use]
    pub fn access(&self, rules: &Rules) -> Access {
        let party = Party {
            peer: Arc::clone(&self.peer),
            may_open: self.covers(Right::Open),
            may_be_granted: self.user_may(Right::Open),
        };
        Access { parties: vec![party], routes: rules.shared_routes() }
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

    /// Under which conditions it is given images.
    #[must_use]
    pub fn access(&self) -> Access {
        let may_open = self.peer.may.contains(&Right::Open);
        let party = Party { peer: Arc::clone(&self.peer), may_open, may_be_granted: true };
        Access { parties: vec![party], routes: Arc::clone(&self.routes) }
    }
}

impl Rules {
    /// The peer that takes what is moved to this AE title.
    #[must_use]
    pub fn receiver(&self, title: &AeTitle) -> Option<Receiver> {
        self.shared_peers().iter().find_map(|peer| {
            let address = peer.receives.as_ref().filter(|address| address.title == *title)?;
            let routes = self.shared_routes();
            Some(Receiver { peer: Arc::clone(peer), address: address.clone(), routes })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::{AddressPattern, Criteria, Grant, Hours};

    const NOON: Moment = Moment { unix: 1000, day: 20_458, minute: 720 };

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
            opens: Vec::new(),
            openings: None,
            transcode: true,
            receives: Some(AeAddress::parse(&format!("{name}@127.0.0.1:104")).unwrap()),
            receives_tls: None,
            reports: None,
            reports_tls: None,
            identity: BTreeSet::new(),
        }
    }

    fn of(peer: &Peer) -> Access {
        let party = Party {
            peer: Arc::new(peer.clone()),
            may_open: peer.may.contains(&Right::Open),
            may_be_granted: true,
        };
        Access { parties: vec![party], routes: Arc::new([]) }
    }

    fn modality(modality: &str) -> Facts {
        Facts { modality: Some(modality.to_owned()), ..Facts::default() }
    }

    fn grants(peer: &str) -> Grants {
        let text = |text: &str| text.to_owned();
        Grants::new(vec![Grant {
            id: text("g1"),
            peer: text(peer),
            reason: text("trauma"),
            by: text("root"),
            from: 900,
            until: 1100,
            ended: None,
        }])
    }

    #[test]
    fn who_may_not_open_is_refused_or_given_what_is_sealed() {
        let opens = of(&peer("A", &[Right::Open], WithoutOpen::Refuse));
        let sealed = of(&peer("B", &[Right::Get], WithoutOpen::Sealed));
        let refused = of(&peer("C", &[Right::Get, Right::Move], WithoutOpen::Refuse));
        let none = Grants::default();
        let decide = |access: &Access| access.decide(&modality("CT"), NOON, &none);
        assert_eq!(decide(&opens), Answer::Opened(None));
        assert_eq!(decide(&opens.clone().and(sealed.clone())), Answer::Sealed);
        assert_eq!(decide(&sealed.clone().and(opens.clone())), Answer::Sealed);
        let refusal = Refusal::NoRight { peer: "C".to_owned(), right: Right::Open };
        assert_eq!(decide(&refused), Answer::Refused(refusal.clone()));
        assert_eq!(refused.check(NOON, &none), Err(refusal));
        assert!(sealed.check(NOON, &none).is_ok() && !sealed.may_open(NOON, &none));
        assert!(opens.clone().and(refused).check(NOON, &none).is_err());
    }

    #[test]
    fn a_peer_with_conditions_opens_what_one_of_them_holds_for() {
        let mut some = peer("A", &[Right::Open], WithoutOpen::Refuse);
        let ct = Criteria { modality: ["CT".to_owned()].into(), ..Criteria::default() };
        let night = Criteria { hours: vec![Hours::parse("22:00-06:00").unwrap()], ..Criteria::default() };
        some.opens = vec![ct, night.clone()];
        let none = Grants::default();
        assert_eq!(of(&some).decide(&modality("CT"), NOON, &none), Answer::Opened(None));
        let refusal = Refusal::NotThese { peer: "A".to_owned() };
        assert_eq!(of(&some).decide(&modality("MR"), NOON, &none), Answer::Refused(refusal.clone()));
        let midnight = Moment { minute: 0, ..NOON };
        assert_eq!(of(&some).decide(&modality("MR"), midnight, &none), Answer::Opened(None));
        some.opens = vec![night];
        assert_eq!(of(&some).check(NOON, &none), Err(refusal), "whatever it asks for");
        assert!(of(&some).check(midnight, &none).is_ok());
        some.without_open = WithoutOpen::Sealed;
        assert_eq!(of(&some).decide(&modality("MR"), NOON, &none), Answer::Sealed);
    }

    #[test]
    fn an_emergency_access_opens_everything_until_it_ends() {
        let refused = of(&peer("A", &[Right::Get], WithoutOpen::Refuse));
        let grants = grants("A");
        assert_eq!(refused.decide(&modality("CT"), NOON, &grants), Answer::Opened(Some("g1".to_owned())));
        assert!(refused.check(NOON, &grants).is_ok() && refused.may_open(NOON, &grants));
        let later = Moment { unix: 1100, ..NOON };
        assert!(matches!(refused.decide(&modality("CT"), later, &grants), Answer::Refused(_)));
        let other = of(&peer("B", &[Right::Get], WithoutOpen::Refuse));
        assert!(matches!(other.clone().decide(&modality("CT"), NOON, &grants), Answer::Refused(_)));
        assert!(refused.and(other).check(NOON, &grants).is_err(), "the receiver of a C-MOVE counts too");
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
