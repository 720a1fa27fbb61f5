//! The rules as a whole: checked once when they are loaded, then asked for permits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::peer::{AddressPattern, CertificateName, Peer, Right};
use super::ris::{Ris, Serves};
use super::route::{Destination, Fetch, Instance, Route};
use crate::dicom::{AeTitle, Certificate, Identity, IdentityKind, User};

/// The addresses that host names of the rules stood for when they were last resolved.
pub type HostTable = BTreeMap<String, BTreeSet<IpAddr>>;

/// All rules of one configuration, in agreement with one another.
#[derive(Debug, Clone)]
pub struct Rules {
    titles: Vec<AeTitle>,
    peers: Vec<Arc<Peer>>,
    destinations: Vec<Destination>,
    routes: Vec<Route>,
    ris: Vec<Ris>,
    hosts: HostTable,
}

/// Two rules that contradict each other, or one that can never apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Neither a title of its own nor one in a route.
    #[error("the gateway has no AE title: set titles, for example titles = [\"SEALGATE\"]")]
    NoTitle,
    /// Two entries under one name.
    #[error("{kind} {name:?} is there twice: give each {kind} a name of its own")]
    NameTwice {
        /// peer, destination or route.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that cannot stand in a log line or a message.
    #[error("{kind} name {name:?}: use 1 to 64 letters, digits, dots, hyphens and underscores")]
    BadName {
        /// peer, destination or route.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A peer that no address belongs to.
    #[error(
        "peer {0:?} has no addresses and could never connect: list an IP address, a network or a host name"
    )]
    NoAddress(String),
    /// Two peers that the gateway could not tell apart.
    #[error("peers {first:?} and {second:?} share the AE title {title} and the address {address}")]
    PeersOverlap {
        /// One peer.
        first: String,
        /// The other.
        second: String,
        /// Their AE title.
        title: AeTitle,
        /// The address or network they share.
        address: String,
    },
    /// A certificate that could never be recognised.
    #[error(
        "peer {0:?} has an empty name among its certificates: leave it out, or say which certificate it is"
    )]
    EmptyCertificateName(String),
    /// A name for the certificate of a node that is called in clear.
    #[error("destination {0:?} has server_name without tls: name a tls profile, or leave it out")]
    NameWithoutTls(String),
    /// A destination that something takes over for that cannot.
    #[error("destination {destination:?} has the fallback {fallback:?}, which {problem}")]
    BadFallback {
        /// The destination.
        destination: String,
        /// The name it gives.
        fallback: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A peer restricted to a title that nobody answers to.
    #[error("peer {peer:?} may call {title}, which is none of the gateway's AE titles")]
    UnknownCalled {
        /// The peer.
        peer: String,
        /// The title.
        title: AeTitle,
    },
    /// Two peers that a C-MOVE could not tell apart.
    #[error("peers {first:?} and {second:?} both receive as {title}: a C-MOVE could not tell them apart")]
    ReceiversOverlap {
        /// One peer.
        first: String,
        /// The other.
        second: String,
        /// The AE title that both receive as.
        title: AeTitle,
    },
    /// TLS towards a peer that nothing is sent to.
    #[error("peer {0:?} has receives_tls without receives: say where it listens, or leave it out")]
    TlsWithoutReceiver(String),
    /// A RIS for a title that nobody answers to.
    #[error("ris {ris:?} is for {title}, which is none of the gateway's AE titles")]
    UnknownRisCalled {
        /// The RIS.
        ris: String,
        /// The title.
        title: AeTitle,
    },
    /// A RIS that is asked for nothing.
    #[error("ris {0:?} serves nothing: set serves = [\"worklist\", \"mpps\"], or one of the two")]
    ServesNothing(String),
    /// Two systems that would hold the steps of one modality.
    #[error(
        "ris {first:?} and {second:?} both take procedure steps: a step has one place, so give each its own called titles"
    )]
    StepsOverlap {
        /// One system.
        first: String,
        /// The other.
        second: String,
    },
    /// A name for the certificate of a RIS that is called in clear.
    #[error("ris {0:?} has server_name without tls: name a tls profile, or leave it out")]
    RisNameWithoutTls(String),
    /// Reports through TLS to a peer that has no place of its own for them.
    #[error("peer {0:?} has reports_tls without reports: say where it listens, or leave it out")]
    TlsWithoutReports(String),
    /// Reading back is done by C-GET.
    #[error(
        "destination {0:?} is to be read back from and has retrieve = \"move\": set retrieve = \"get\", or use \"find\""
    )]
    ReadBackByMove(String),
    /// A route to nowhere.
    #[error("route {0:?} has no destinations: name at least one")]
    NoDestination(String),
    /// A route to a destination that is not there.
    #[error("route {route:?} names the destination {name:?}, which is not there{hint}")]
    UnknownDestination {
        /// The route.
        route: String,
        /// The name it gives.
        name: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
}

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

/// Leave for one association of one peer. Only [`Rules`] makes it.
#[derive(Debug, Clone)]
pub struct Permit {
    pub(super) peer: Arc<Peer>,
    claims: Option<IdentityKind>,
    user: Option<String>,
    pub(super) may: BTreeSet<Right>,
}

impl Permit {
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

impl Rules {
    /// Checks that the rules fit together. `titles` are the gateway's own; a route's called titles are added.
    pub fn new(
        titles: &[AeTitle],
        peers: &[Peer],
        destinations: &[Destination],
        routes: &[Route],
    ) -> Result<Self, RulesError> {
        let mut all = titles.to_vec();
        all.extend(routes.iter().flat_map(|route| route.called.iter().cloned()));
        let mut seen = BTreeSet::new();
        all.retain(|title| seen.insert(title.clone()));
        if all.is_empty() {
            return Err(RulesError::NoTitle);
        }
        check_names("peer", peers.iter().map(|p| &p.name))?;
        check_names("destination", destinations.iter().map(|d| &d.name))?;
        check_names("route", routes.iter().map(|r| &r.name))?;
        check_peers(&all, peers)?;
        check_routes(destinations, routes)?;
        check_fallbacks(destinations)?;
        Ok(Self {
            titles: all,
            peers: peers.iter().cloned().map(Arc::new).collect(),
            destinations: destinations.to_vec(),
            routes: routes.to_vec(),
            ris: Vec::new(),
            hosts: HostTable::new(),
        })
    }

    /// The same rules with these systems for worklists and procedure steps.
    pub fn with_ris(mut self, ris: &[Ris]) -> Result<Self, RulesError> {
        check_names("ris", ris.iter().map(|one| &one.name))?;
        check_ris(&self.titles, ris)?;
        self.ris = ris.to_vec();
        Ok(self)
    }

    /// The same rules with host names resolved to these addresses.
    #[must_use]
    pub fn with_hosts(mut self, hosts: HostTable) -> Self {
        self.hosts = hosts;
        self
    }

    /// What [`Rules::with_hosts`] was last given.
    #[must_use]
    pub fn hosts(&self) -> &HostTable {
        &self.hosts
    }

    /// Every host name that a peer's addresses mention.
    #[must_use]
    pub fn host_names(&self) -> BTreeSet<&str> {
        let names = self.peers.iter().flat_map(|peer| &peer.addresses).filter_map(|pattern| match pattern {
            AddressPattern::Host(name) => Some(name.as_str()),
            AddressPattern::Net(_) => None,
        });
        names.collect()
    }

    /// The AE titles the gateway answers to; the first is its own towards others.
    #[must_use]
    pub fn titles(&self) -> &[AeTitle] {
        &self.titles
    }

    /// The peers, in the order of the configuration.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = &Peer> {
        self.peers.iter().map(AsRef::as_ref)
    }

    pub(super) fn shared_peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    /// The destinations, in the order of the configuration.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// The routes, in the order of the configuration.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The systems for worklists and procedure steps, in the order of the configuration.
    #[must_use]
    pub fn ris(&self) -> &[Ris] {
        &self.ris
    }

    /// Those that are asked for a service on behalf of those who called this title.
    pub fn serving<'a>(&'a self, service: Serves, called: &'a AeTitle) -> impl Iterator<Item = &'a Ris> {
        self.ris.iter().filter(move |ris| ris.is_for(service, called))
    }

    /// Lets a caller in, or says why not.
    pub fn admit(&self, caller: Caller<'_>) -> Result<Permit, Refusal> {
        let mut named = self.peers.iter().filter(|peer| peer.title == *caller.calling).peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownCalling(caller.calling.clone()));
        }
        // An IPv4 caller at an IPv6 socket shows up as ::ffff:a.b.c.d; the rules speak of a.b.c.d.
        let address = caller.address.to_canonical();
        let Some(peer) =
            named.find(|peer| peer.addresses.iter().any(|pattern| self.covers(pattern, address)))
        else {
            return Err(Refusal::WrongAddress { title: caller.calling.clone(), address });
        };
        self.check_certificate(peer, caller.certificate)?;
        let is_ours = self.titles.contains(caller.called);
        if !is_ours || !(peer.called.is_empty() || peer.called.contains(caller.called)) {
            return Err(Refusal::WrongCalled { peer: peer.name.clone(), title: caller.called.clone() });
        }
        let claims = caller.identity.map(|identity| identity.kind);
        let peer = Arc::clone(peer);
        if peer.identity.is_empty() {
            return Ok(Permit { may: peer.may.clone(), peer, claims, user: None });
        }
        let counts = |user: &&User| peer.identity.iter().any(|way| way.fits(user.kind));
        let Some(user) = caller.user.filter(counts) else {
            return Err(Refusal::NoUser { peer: peer.name.clone(), claimed: claims });
        };
        // A user narrows what its peer may, and never widens it.
        let may = match &user.only {
            Some(only) => peer.may.iter().copied().filter(|right| only.contains(right.word())).collect(),
            None => peer.may.clone(),
        };
        Ok(Permit { may, peer, claims, user: Some(user.name.clone()) })
    }

    /// The destinations that hold what went through the routes of a called AE title, those that took over for others
    /// among them: where its queries are asked.
    #[must_use]
    pub fn sources(&self, called: &AeTitle) -> Vec<&Destination> {
        let routes =
            self.routes.iter().filter(|route| route.called.is_empty() || route.called.contains(called));
        let mut names: BTreeSet<&String> = routes.flat_map(|route| &route.destinations).collect();
        let named = self.destinations.iter().filter(|destination| names.contains(&destination.name));
        let fallbacks: Vec<&String> = named.filter_map(|destination| destination.fallback.as_ref()).collect();
        names.extend(fallbacks);
        self.destinations.iter().filter(|destination| names.contains(&destination.name)).collect()
    }

    /// The first route that takes the instance.
    #[must_use]
    pub fn route(&self, instance: &Instance<'_>) -> Option<&Route> {
        self.routes.iter().find(|route| route.takes(instance))
    }

    /// A certificate that some peers name is for their AE titles alone; a peer that names some shows one of them.
    fn check_certificate(&self, peer: &Peer, shown: Option<&Certificate>) -> Result<(), Refusal> {
        let names = |peer: &Peer, shown| peer.certificates.iter().any(|name| name.fits(shown));
        let refused = match shown {
            None if peer.certificates.is_empty() => return Ok(()),
            None => return Err(Refusal::NoCertificate { peer: peer.name.clone() }),
            Some(shown) if names(peer, shown) => return Ok(()),
            Some(shown) => shown,
        };
        let is_of_another = self.peers.iter().any(|other| names(other, refused));
        if peer.certificates.is_empty() && !is_of_another {
            return Ok(());
        }
        Err(Refusal::WrongCertificate { peer: peer.name.clone(), certificate: refused.to_string() })
    }

    fn covers(&self, pattern: &AddressPattern, address: IpAddr) -> bool {
        match pattern {
            AddressPattern::Net(net) => net.contains(&address),
            AddressPattern::Host(name) => self.hosts.get(name).is_some_and(|found| found.contains(&address)),
        }
    }
}

fn check_names<'a>(kind: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), RulesError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(RulesError::BadName { kind, name: name.clone() });
        }
        if !seen.insert(name) {
            return Err(RulesError::NameTwice { kind, name: name.clone() });
        }
    }
    Ok(())
}

fn check_peers(titles: &[AeTitle], peers: &[Peer]) -> Result<(), RulesError> {
    for (index, peer) in peers.iter().enumerate() {
        if peer.addresses.is_empty() {
            return Err(RulesError::NoAddress(peer.name.clone()));
        }
        if peer.certificates.iter().any(CertificateName::is_empty) {
            return Err(RulesError::EmptyCertificateName(peer.name.clone()));
        }
        if let Some(title) = peer.called.iter().find(|title| !titles.contains(title)) {
            return Err(RulesError::UnknownCalled { peer: peer.name.clone(), title: title.clone() });
        }
        if peer.receives.is_none() && peer.receives_tls.is_some() {
            return Err(RulesError::TlsWithoutReceiver(peer.name.clone()));
        }
        if peer.reports.is_none() && peer.reports_tls.is_some() {
            return Err(RulesError::TlsWithoutReports(peer.name.clone()));
        }
        let title = |peer: &Peer| peer.receives.as_ref().map(|address| address.title.clone());
        if let Some(own) = title(peer)
            && let Some(other) = peers.iter().take(index).find(|other| title(other).as_ref() == Some(&own))
        {
            return Err(RulesError::ReceiversOverlap {
                first: other.name.clone(),
                second: peer.name.clone(),
                title: own,
            });
        }
        for other in peers.iter().take(index).filter(|other| other.title == peer.title) {
            if let Some(shared) = shared_address(other, peer) {
                return Err(RulesError::PeersOverlap {
                    first: other.name.clone(),
                    second: peer.name.clone(),
                    title: peer.title.clone(),
                    address: shared.to_string(),
                });
            }
        }
    }
    Ok(())
}

fn shared_address<'a>(one: &'a Peer, other: &Peer) -> Option<&'a AddressPattern> {
    let overlap = |a: &AddressPattern, b: &AddressPattern| match (a, b) {
        (AddressPattern::Net(a), AddressPattern::Net(b)) => a.contains(b) || b.contains(a),
        (a, b) => a == b,
    };
    one.addresses.iter().find(|a| other.addresses.iter().any(|b| overlap(a, b)))
}

fn check_routes(destinations: &[Destination], routes: &[Route]) -> Result<(), RulesError> {
    if let Some(named) = destinations.iter().find(|d| d.server_name.is_some() && d.tls.is_none()) {
        return Err(RulesError::NameWithoutTls(named.name.clone()));
    }
    let by_move = |one: &&Destination| one.retrieve == Fetch::Move && one.reads_back();
    if let Some(one) = destinations.iter().find(by_move) {
        return Err(RulesError::ReadBackByMove(one.name.clone()));
    }
    for route in routes {
        if route.destinations.is_empty() {
            return Err(RulesError::NoDestination(route.name.clone()));
        }
        for name in &route.destinations {
            if destinations.iter().any(|destination| destination.name == *name) {
                continue;
            }
            let nearest = destinations
                .iter()
                .map(|d| (strsim::damerau_levenshtein(&d.name, name), &d.name))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            let hint = nearest.map(|(_, near)| format!("; did you mean {near:?}?")).unwrap_or_default();
            return Err(RulesError::UnknownDestination {
                route: route.name.clone(),
                name: name.clone(),
                hint,
            });
        }
    }
    Ok(())
}

fn check_ris(titles: &[AeTitle], all: &[Ris]) -> Result<(), RulesError> {
    for (index, ris) in all.iter().enumerate() {
        if ris.serves.is_empty() {
            return Err(RulesError::ServesNothing(ris.name.clone()));
        }
        if ris.server_name.is_some() && ris.tls.is_none() {
            return Err(RulesError::RisNameWithoutTls(ris.name.clone()));
        }
        if let Some(title) = ris.called.iter().find(|title| !titles.contains(title)) {
            return Err(RulesError::UnknownRisCalled { ris: ris.name.clone(), title: title.clone() });
        }
        let both = |other: &&Ris| {
            let takes_steps = |one: &Ris, title| one.is_for(Serves::Mpps, title);
            titles.iter().any(|title| takes_steps(other, title) && takes_steps(ris, title))
        };
        if let Some(other) = all.iter().take(index).find(both) {
            return Err(RulesError::StepsOverlap { first: other.name.clone(), second: ris.name.clone() });
        }
    }
    Ok(())
}

/// A destination that takes over has none that takes over for it: what waits would go back and forth.
fn check_fallbacks(destinations: &[Destination]) -> Result<(), RulesError> {
    for Destination { name, fallback, .. } in destinations {
        let Some(fallback) = fallback else { continue };
        let problem = match destinations.iter().find(|one| one.name == *fallback) {
            None => "is not there",
            Some(_) if fallback == name => "is itself",
            Some(other) if other.fallback.is_some() => "has a fallback itself",
            Some(_) => continue,
        };
        return Err(RulesError::BadFallback {
            destination: name.clone(),
            fallback: fallback.clone(),
            problem,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Fingerprint;
    use crate::policy::{Acknowledge, Identification, WithoutPixels};

    fn title(text: &str) -> AeTitle {
        AeTitle::parse(text).expect("a good title")
    }

    fn peer(name: &str, ae: &str, addresses: &[&str], may: &[Right]) -> Peer {
        Peer {
            name: name.into(),
            title: title(ae),
            addresses: addresses.iter().map(|a| AddressPattern::parse(a).expect("a good address")).collect(),
            may: may.iter().copied().collect(),
            called: BTreeSet::new(),
            associations_max: None,
            certificates: Vec::new(),
            without_open: crate::policy::WithoutOpen::Refuse,
            receives: None,
            receives_tls: None,
            reports: None,
            reports_tls: None,
            identity: BTreeSet::new(),
        }
    }

    fn rules(peers: &[Peer]) -> Result<Rules, RulesError> {
        Rules::new(&[title("SEALGATE")], peers, &[], &[])
    }

    fn ask(rules: &Rules, calling: &str, called: &str, address: &str) -> Result<Permit, Refusal> {
        let (calling, called) = (title(calling), title(called));
        let address = address.parse().expect("an address");
        rules.admit(Caller {
            calling: &calling,
            called: &called,
            address,
            certificate: None,
            identity: None,
            user: None,
        })
    }

    #[test]
    fn without_peers_everybody_is_refused() {
        let rules = rules(&[]).expect("good rules");
        assert_eq!(
            ask(&rules, "CT1", "SEALGATE", "127.0.0.1").unwrap_err(),
            Refusal::UnknownCalling(title("CT1"))
        );
    }

    #[test]
    fn title_address_and_called_title_must_all_fit() {
        let rules =
            rules(&[peer("ct", "CT1", &["192.0.2.0/28", "2001:db8::7"], &[Right::Echo])]).expect("good");
        assert_eq!(ask(&rules, "CT1", "SEALGATE", "192.0.2.15").expect("let in").peer().name, "ct");
        assert!(
            ask(&rules, "CT1", "SEALGATE", "::ffff:192.0.2.3").is_ok(),
            "an IPv4 address seen through IPv6"
        );
        assert!(ask(&rules, "CT1", "SEALGATE", "2001:db8::7").is_ok());
        assert!(matches!(ask(&rules, "CT1", "SEALGATE", "192.0.2.16"), Err(Refusal::WrongAddress { .. })));
        assert!(matches!(ask(&rules, "ct1", "SEALGATE", "192.0.2.1"), Err(Refusal::UnknownCalling(_))));
        assert!(matches!(ask(&rules, "CT1", "PACS", "192.0.2.1"), Err(Refusal::WrongCalled { .. })));
    }

    #[test]
    fn a_host_name_covers_only_what_it_resolved_to() {
        let rules = rules(&[peer("ct", "CT1", &["ct1.example"], &[])]).expect("good");
        assert!(ask(&rules, "CT1", "SEALGATE", "192.0.2.1").is_err(), "not resolved yet");
        let hosts =
            HostTable::from([("ct1.example".into(), ["192.0.2.1".parse().expect("an address")].into())]);
        let rules = rules.with_hosts(hosts);
        assert!(ask(&rules, "CT1", "SEALGATE", "192.0.2.1").is_ok());
        assert!(ask(&rules, "CT1", "SEALGATE", "192.0.2.2").is_err());
    }

    #[test]
    fn two_peers_may_share_a_title_but_not_an_address() {
        let one = peer("one", "CT", &["192.0.2.0/25"], &[Right::Echo]);
        let two = peer("two", "CT", &["192.0.2.128/25"], &[]);
        let both = rules(&[one.clone(), two]).expect("no overlap");
        assert_eq!(ask(&both, "CT", "SEALGATE", "192.0.2.200").expect("let in").peer().name, "two");
        let clash = peer("clash", "CT", &["192.0.2.7"], &[]);
        assert!(matches!(rules(&[one, clash]), Err(RulesError::PeersOverlap { .. })));
    }

    #[test]
    fn a_peer_may_be_held_to_some_of_the_titles() {
        let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[]);
        ct.called = [title("RESEARCH")].into();
        assert!(matches!(rules(std::slice::from_ref(&ct)), Err(RulesError::UnknownCalled { .. })));
        let rules = Rules::new(&[title("SEALGATE"), title("RESEARCH")], &[ct], &[], &[]).expect("good");
        assert!(ask(&rules, "CT1", "RESEARCH", "192.0.2.1").is_ok());
        assert!(matches!(ask(&rules, "CT1", "SEALGATE", "192.0.2.1"), Err(Refusal::WrongCalled { .. })));
    }

    #[test]
    fn a_permit_covers_what_the_peer_may_and_nothing_else() {
        let rules = rules(&[peer("ct", "CT1", &["192.0.2.1"], &[Right::Echo, Right::Store])]).expect("good");
        let permit = ask(&rules, "CT1", "SEALGATE", "192.0.2.1").expect("let in");
        assert!(permit.require(Right::Store).is_ok());
        assert_eq!(
            permit.require(Right::Open),
            Err(Refusal::NoRight { peer: "ct".into(), right: Right::Open })
        );
    }

    #[test]
    fn a_claimed_user_is_known_and_gives_no_right() {
        let rules = rules(&[peer("ws", "WS", &["192.0.2.1"], &[Right::Echo])]).expect("good");
        let identity = Identity {
            kind: IdentityKind::NameAndPasscode,
            primary: b"root".to_vec().into(),
            secondary: b"secret".to_vec().into(),
            wants_answer: false,
        };
        let (calling, called) = (title("WS"), title("SEALGATE"));
        let address = "192.0.2.1".parse().expect("an address");
        let asked = Caller {
            calling: &calling,
            called: &called,
            address,
            certificate: None,
            identity: Some(&identity),
            user: None,
        };
        let permit = rules.admit(asked).expect("let in");
        assert_eq!(permit.claims(), Some(IdentityKind::NameAndPasscode));
        assert!(permit.require(Right::Open).is_err());
        assert_eq!(format!("{identity:?}"), "Identity(NameAndPasscode, secret)");
    }

    fn certificate(name: &str, number: u8) -> Certificate {
        Certificate {
            fingerprint: Fingerprint::new([number; 32]),
            key_fingerprint: Fingerprint::new([number + 100; 32]),
            subject: format!("CN={name},O=Clinic"),
            common_names: vec![name.to_owned()],
            alternative_names: vec![format!("{name}.clinic.example")],
        }
    }

    fn show(rules: &Rules, calling: &str, shown: Option<&Certificate>) -> Result<Permit, Refusal> {
        let (calling, called) = (title(calling), title("SEALGATE"));
        let address = "192.0.2.1".parse().expect("an address");
        rules.admit(Caller {
            calling: &calling,
            called: &called,
            address,
            certificate: shown,
            identity: None,
            user: None,
        })
    }

    #[test]
    fn a_peer_that_names_certificates_shows_one_of_them() {
        let (own, other) = (certificate("ct", 1), certificate("mr", 2));
        for name in [
            CertificateName::Fingerprint(own.fingerprint),
            CertificateName::KeyFingerprint(own.key_fingerprint),
            CertificateName::AlternativeName("CT.clinic.example".to_owned()),
            CertificateName::CommonName("ct".to_owned()),
            CertificateName::Subject("CN=ct,O=Clinic".to_owned()),
        ] {
            let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[Right::Echo]);
            // An old one beside it, as while certificates are replaced.
            ct.certificates = vec![CertificateName::CommonName("old".to_owned()), name.clone()];
            let rules = rules(&[ct]).expect("good");
            assert!(show(&rules, "CT1", Some(&own)).is_ok(), "{name:?}");
            assert!(
                matches!(show(&rules, "CT1", Some(&other)), Err(Refusal::WrongCertificate { .. })),
                "{name:?}"
            );
            assert!(matches!(show(&rules, "CT1", None), Err(Refusal::NoCertificate { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_certificate_of_one_peer_opens_no_title_of_another() {
        let (own, nobodys) = (certificate("ct", 1), certificate("new", 3));
        let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[Right::Echo]);
        ct.certificates = vec![CertificateName::CommonName("ct".to_owned())];
        // This one names no certificate: a title and an address are enough, but not somebody else's certificate.
        let mr = peer("mr", "MR1", &["192.0.2.1"], &[Right::Echo]);
        let rules = rules(&[ct, mr]).expect("good");
        assert!(matches!(show(&rules, "MR1", Some(&own)), Err(Refusal::WrongCertificate { .. })));
        assert!(show(&rules, "MR1", Some(&nobodys)).is_ok());
        assert!(show(&rules, "MR1", None).is_ok());
    }

    #[test]
    fn a_certificate_without_a_name_is_no_rule() {
        let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[]);
        ct.certificates = vec![CertificateName::Subject(String::new())];
        assert!(matches!(rules(&[ct]), Err(RulesError::EmptyCertificateName(_))));
    }

    #[test]
    fn a_user_is_demanded_and_narrows_what_its_peer_may() {
        let mut ws = peer("ws", "WS", &["192.0.2.1"], &[Right::Echo, Right::Find, Right::Open]);
        ws.identity = [Identification::Password].into();
        let rules = rules(&[ws]).expect("good");
        let (calling, called) = (title("WS"), title("SEALGATE"));
        let address = "192.0.2.1".parse().expect("an address");
        let admit = |user: Option<&User>| {
            rules.admit(Caller {
                calling: &calling,
                called: &called,
                address,
                certificate: None,
                identity: None,
                user,
            })
        };
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        assert!(matches!(admit(None), Err(Refusal::NoUser { .. })));
        let token = User::new("alice", IdentityKind::Jwt, None);
        assert!(matches!(admit(Some(&token)), Err(Refusal::NoUser { .. })), "not in this way");
        let alice = User::new("alice", IdentityKind::NameAndPasscode, words(&["find", "store", "fly"]));
        let permit = admit(Some(&alice)).expect("let in");
        assert_eq!(permit.user(), Some("alice"));
        assert!(permit.covers(Right::Find));
        assert!(!permit.covers(Right::Open), "narrowed");
        assert!(permit.access().is_err(), "for retrievals too");
        assert!(!permit.covers(Right::Store), "and not widened");
        let bob = User::new("bob", IdentityKind::NameAndPasscode, None);
        assert!(admit(Some(&bob)).expect("let in").covers(Right::Open));
    }

    #[test]
    fn a_route_adds_its_called_titles_and_must_lead_somewhere() {
        let pacs = Destination::new("pacs", "PACS@pacs:104".parse().expect("good"));
        let mut route = Route {
            name: "research".into(),
            calling: BTreeSet::new(),
            called: [title("RESEARCH")].into(),
            modality: ["CT".to_owned()].into(),
            sop_class: BTreeSet::new(),
            station: BTreeSet::new(),
            destinations: vec!["pasc".into()],
            acknowledge: Acknowledge::default(),
            without_pixels: WithoutPixels::default(),
            suite: "deepkeygen".to_owned(),
        };
        let titles = [title("SEALGATE")];
        let error =
            Rules::new(&titles, &[], std::slice::from_ref(&pacs), std::slice::from_ref(&route)).unwrap_err();
        assert!(error.to_string().ends_with("did you mean \"pacs\"?"), "{error}");
        route.destinations = vec!["pacs".into()];
        let rules = Rules::new(&titles, &[], std::slice::from_ref(&pacs), std::slice::from_ref(&route))
            .expect("good");
        assert_eq!(rules.titles(), [title("SEALGATE"), title("RESEARCH")]);

        let class = "1.2.840.10008.5.1.4.1.1.2".parse().expect("a UID");
        let mut instance = Instance {
            calling: &title("CT1"),
            called: &title("RESEARCH"),
            modality: Some("CT"),
            sop_class: &class,
            station: None,
        };
        assert_eq!(rules.route(&instance).map(|r| r.name.as_str()), Some("research"));
        instance.modality = Some("MR");
        assert!(rules.route(&instance).is_none());
    }

    #[test]
    fn a_procedure_step_has_one_place_and_a_worklist_may_have_several() {
        let ris = |name: &str, called: &[&str], serves: &[Serves]| Ris {
            name: name.into(),
            address: "RIS@ris:104".parse().expect("good"),
            calling: None,
            tls: None,
            server_name: None,
            called: called.iter().map(|text| title(text)).collect(),
            serves: serves.iter().copied().collect(),
        };
        let titles = [title("CTGATE"), title("MRGATE")];
        let with = |all: &[Ris]| Rules::new(&titles, &[], &[], &[]).expect("good").with_ris(all);
        let both = [Serves::Worklist, Serves::Mpps];
        let (ct, mr) = (ris("ct", &["CTGATE"], &both), ris("mr", &["MRGATE"], &both));
        let more = ris("more", &[], &[Serves::Worklist]);
        let rules = with(&[ct.clone(), mr, more]).expect("each has its own");
        let serving = |service| -> Vec<String> {
            rules.serving(service, &titles[0]).map(|one| one.name.clone()).collect()
        };
        assert_eq!(
            (serving(Serves::Mpps), serving(Serves::Worklist)),
            (vec!["ct".into()], vec!["ct".into(), "more".into()])
        );
        let overlap = with(&[ct, ris("all", &[], &both)]);
        assert!(matches!(overlap, Err(RulesError::StepsOverlap { .. })), "{overlap:?}");
        assert!(matches!(with(&[ris("none", &[], &[])]), Err(RulesError::ServesNothing(_))));
        assert!(matches!(with(&[ris("x", &["OTHER"], &both)]), Err(RulesError::UnknownRisCalled { .. })));
    }

    #[test]
    fn a_destination_that_takes_over_is_another_and_is_asked_too() {
        let pacs = |name: &str, fallback: Option<&str>| Destination {
            fallback: fallback.map(str::to_owned),
            ..Destination::new(name, "PACS@pacs:104".parse().expect("good"))
        };
        let route = serde_json::json!({ "name": "all", "destinations": ["one"] });
        let route: Route = serde_json::from_value(route).expect("good");
        let rules = |destinations: &[Destination]| {
            Rules::new(&[title("SEALGATE")], &[], destinations, std::slice::from_ref(&route))
        };
        let wrong = [
            [pacs("one", Some("one")), pacs("two", None)],
            [pacs("one", Some("three")), pacs("two", None)],
            [pacs("one", Some("two")), pacs("two", Some("one"))],
        ];
        for destinations in wrong {
            assert!(matches!(rules(&destinations), Err(RulesError::BadFallback { .. })), "{destinations:?}");
        }
        let rules = rules(&[pacs("one", Some("two")), pacs("two", None), pacs("three", None)]).expect("good");
        let names: Vec<&str> =
            rules.sources(&title("SEALGATE")).iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn a_gateway_needs_a_title() {
        assert_eq!(Rules::new(&[], &[], &[], &[]).unwrap_err(), RulesError::NoTitle);
    }
}
