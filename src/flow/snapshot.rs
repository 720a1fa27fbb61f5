//! How the stories are going, at one moment: what waits where, and what keeps instances from being taken in or sent on.

use std::time::Instant;

use super::{Gateway, now_unix_millis};
use crate::spool::{Counts, Pressure};
use crate::telemetry::snapshot::{Destination, Keys, Peer, Route, Snapshot, Spool};

/// Puts into a snapshot what the gateway knows.
pub fn take(gateway: &Gateway, snapshot: &mut Snapshot) {
    let now = now_unix_millis();
    let rules = (gateway.rules)();
    let routes = rules.routes().iter().map(|route| Route {
        name: route.name.clone(),
        calling: route.calling.iter().map(ToString::to_string).collect(),
        destinations: route.destinations.clone(),
        suite: route.suite.clone(),
    });
    snapshot.routes = routes.collect();
    snapshot.destinations = destinations(gateway, now);
    snapshot.spool = Some(spool(gateway));
    // Without a route there are no keys.
    snapshot.keys = (!snapshot.routes.is_empty()).then(|| keys(gateway));
    snapshot.generator = gateway.generated.as_ref().map(|generated| generated.snapshot());
    snapshot.audit = gateway.trail.status();
    snapshot.grants_open = gateway.release.grants.now().open(now / 1000).count() as u64;
}

/// The peers of the rules in force.
#[must_use]
pub fn peers(rules: &crate::policy::Rules) -> Vec<Peer> {
    let peers = rules.peers().map(|peer| Peer {
        name: peer.name.clone(),
        title: peer.title.to_string(),
        may: peer.may.iter().map(|right| right.word().to_owned()).collect(),
    });
    peers.collect()
}

fn destinations(gateway: &Gateway, now: u64) -> Vec<Destination> {
    let counts: Vec<_> = gateway.spool.counts();
    let at = Instant::now();
    let of = |name: &str| counts.iter().find(|(known, _)| **known == *name).map(|(_, counts)| *counts);
    let rules = (gateway.rules)();
    let known = rules.destinations().iter().map(|one| Destination {
        name: one.name.clone(),
        address: one.address.to_string(),
        down_seconds: gateway.ways.down_seconds(&one.name, at),
        ..waits(gateway, &one.name, of(&one.name).unwrap_or_default(), now)
    });
    let mut found: Vec<Destination> = known.collect();
    // What waits for one that a reload took away is still there.
    for (name, counts) in counts.iter().filter(|(_, counts)| is_open(*counts) || counts.aside > 0) {
        if found.iter().all(|one| *one.name != **name) {
            found.push(Destination { name: name.to_string(), ..waits(gateway, name, *counts, now) });
        }
    }
    found
}

const fn is_open(counts: Counts) -> bool {
    counts.waiting + counts.in_hand + counts.later > 0
}

fn waits(gateway: &Gateway, name: &str, counts: Counts, now: u64) -> Destination {
    let oldest = gateway.spool.oldest_unix_millis(name);
    Destination {
        waiting: counts.waiting + counts.in_hand + counts.later,
        aside: counts.aside,
        oldest_seconds: oldest.map_or(0, |since| now.saturating_sub(since) / 1000),
        ..Destination::default()
    }
}

fn spool(gateway: &Gateway) -> Spool {
    let (usage, config) = (gateway.spool.usage(), gateway.spool.config());
    Spool {
        entries: usage.entries,
        entries_max: config.entries_max,
        bytes: usage.bytes,
        bytes_max: config.bytes_max,
        free_bytes: gateway.spool.free_bytes().unwrap_or(0),
        pressure: match gateway.spool.pressure() {
            Pressure::Open => 0,
            Pressure::RefuseAssociations => 1,
            Pressure::RefuseStores => 2,
        },
        failed: gateway.spool.failed().map(ToOwned::to_owned),
    }
}

fn keys(gateway: &Gateway) -> Keys {
    let keyring = gateway.archive.keyring();
    let current = keyring.keks().filter(|kek| kek.current);
    Keys {
        unlocked: !keyring.is_locked(),
        recipients: current.map(|kek| kek.recipient.to_string()).collect(),
        stopped: gateway.archive.stopped().map(ToOwned::to_owned),
    }
}
