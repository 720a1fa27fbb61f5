//! The rules as a whole: checked once when they are loaded, then asked for permits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::checks::{check_fallbacks, check_names, check_opens, check_peers, check_ris, check_routes};
use super::error::RulesError;
use super::peer::{AddressPattern, Peer};
use super::permit::{Caller, Permit, Refusal};
use super::ris::{Ris, Serves};
use super::route::{Destination, Instance, Route};
use crate::dicom::{AeTitle, Certificate, User};

/// The addresses that host names of the rules stood for when they were last resolved.
pub type HostTable = BTreeMap<String, BTreeSet<IpAddr>>;

/// All rules of one configuration, in agreement with one another.
#[derive(Debug, Clone)]
pub struct Rules {
    titles: Vec<AeTitle>,
    peers: Vec<Arc<Peer>>,
    destinations: Vec<Destination>,
    routes: Arc<[Route]>,
    ris: Vec<Ris>,
    hosts: HostTable,
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
        check_opens(peers, routes)?;
        check_routes(destinations, routes)?;
        check_fallbacks(destinations)?;
        Ok(Self {
            titles: all,
            peers: peers.iter().cloned().map(Arc::new).collect(),
            destinations: destinations.to_vec(),
            routes: routes.into(),
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

    pub(super) fn shared_routes(&self) -> Arc<[Route]> {
        Arc::clone(&self.routes)
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
            return Ok(Permit { may: peer.may.clone(), peer, claims, user: None, only: None });
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
        Ok(Permit { may, peer, claims, user: Some(user.name.clone()), only: user.only.clone() })
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

#[cfg(test)]
mod tests;
