//! What rules are held to before they are used: names, titles, addresses, and whether every reference leads somewhere.

use std::collections::BTreeSet;

use super::criteria::Criteria;
use super::error::RulesError;
use super::peer::{AddressPattern, CertificateName, Peer, Right};
use super::ris::{Ris, Serves};
use super::route::{Destination, Fetch, Route};
use crate::dicom::AeTitle;

pub(super) fn check_names<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), RulesError> {
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

pub(super) fn check_peers(titles: &[AeTitle], peers: &[Peer]) -> Result<(), RulesError> {
    for (index, peer) in peers.iter().enumerate() {
        if peer.addresses.is_empty() {
            return Err(RulesError::NoAddress(peer.name.clone()));
        }
        if peer.certificates.iter().any(CertificateName::is_empty) {
            return Err(RulesError::EmptyCertificateName(peer.name.clone()));
        }
        if peer.openings.is_some_and(|rate| !rate.is_usable()) {
            return Err(RulesError::NoOpenings(peer.name.clone()));
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

pub(super) fn check_routes(destinations: &[Destination], routes: &[Route]) -> Result<(), RulesError> {
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
            let hint = hint(name, destinations.iter().map(|destination| &destination.name));
            return Err(RulesError::UnknownDestination {
                route: route.name.clone(),
                name: name.clone(),
                hint,
            });
        }
    }
    Ok(())
}

pub(super) fn check_ris(titles: &[AeTitle], all: &[Ris]) -> Result<(), RulesError> {
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

/// Whether every condition on what peers may open can hold, and says something.
pub(super) fn check_opens(peers: &[Peer], routes: &[Route]) -> Result<(), RulesError> {
    for peer in peers.iter().filter(|peer| !peer.opens.is_empty()) {
        if !peer.may.contains(&Right::Open) {
            return Err(RulesError::OpensWithoutRight(peer.name.clone()));
        }
        if peer.opens.iter().any(Criteria::is_empty) {
            return Err(RulesError::OpensEverything(peer.name.clone()));
        }
        let is_there = |name: &&String| routes.iter().any(|route| route.name == **name);
        if let Some(name) =
            peer.opens.iter().flat_map(|criteria| &criteria.routes).find(|name| !is_there(name))
        {
            return Err(RulesError::UnknownRoute {
                peer: peer.name.clone(),
                route: name.clone(),
                hint: hint(name, routes.iter().map(|route| &route.name)),
            });
        }
    }
    Ok(())
}

/// A destination that takes over has none that takes over for it: what waits would go back and forth.
pub(super) fn check_fallbacks(destinations: &[Destination]) -> Result<(), RulesError> {
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

/// Which known name may have been meant.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let nearest = known.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    let near = nearest.filter(|(distance, _)| *distance <= 3);
    near.map(|(_, near)| format!("; did you mean {near:?}?")).unwrap_or_default()
}
