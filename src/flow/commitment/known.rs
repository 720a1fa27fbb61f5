//! What is known of an instance that somebody asks about: from the spool while it is there, from the history afterwards.
//!
//! An entry leaves the spool only when its line is in the history (see [`super::keep`]), so an instance that was taken in
//! is always in one of the two for as long as `commitment.remember_days` says; whoever looks into the spool first and into
//! the history then never misses one that goes meanwhile.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::dicom::Uid;
use crate::flow::TAKEN_OVER;
use crate::flow::gateway::Gateway;
use crate::flow::ticket::{Protection, Ticket};
use crate::scu::Reference;
use crate::spool::{DeliverySummary, Meta, SpoolError, State, Summary};

/// PS3.3 C.14.1.1: Failure Reason.
pub(super) mod reason {
    pub(in crate::flow::commitment) const PROCESSING_FAILURE: u16 = 0x0110;
    pub(in crate::flow::commitment) const NO_SUCH_INSTANCE: u16 = 0x0112;
    pub(in crate::flow::commitment) const CLASS_CONFLICT: u16 = 0x0119;
}

/// An instance that was taken in here, and where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) class: Uid,
    pub(super) study: Option<Uid>,
    pub(super) series: Option<Uid>,
    /// The transfer syntax it went out in.
    pub(super) transfer_syntax: Option<Uid>,
    /// Digest of the data set as it came: a secret like the data set, so it is never written beside the spool.
    #[serde(skip)]
    pub(super) digest: Option<Vec<u8>>,
    pub(super) seal: Protection,
    /// Destinations that have it.
    pub(super) at: Vec<String>,
    /// Destinations that it shall not go to any more, as an operator decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dropped: Vec<String>,
}

/// Where an instance is.
#[derive(Debug)]
pub(super) enum Place {
    /// On its way.
    Waiting,
    /// Everywhere where it shall be.
    Settled(Box<Known>),
    /// It was never taken in, or too long ago.
    Unknown,
}

impl Known {
    /// What an entry says of its instance.
    pub(super) fn of(summary: &Summary, meta: &Meta) -> Option<Self> {
        let ticket = Ticket::read(&meta.bytes).ok()?;
        // What another destination took over has its place there.
        let in_state = |wanted: State| {
            let is_it = move |one: &&DeliverySummary| {
                one.delivery.state == wanted && !one.delivery.reason.starts_with(TAKEN_OVER)
            };
            summary.deliveries.iter().filter(is_it).map(|one| one.destination.clone()).collect()
        };
        Some(Self {
            class: ticket.sop_class,
            study: ticket.study,
            series: ticket.series,
            transfer_syntax: Some(ticket.transfer_syntax),
            digest: Some(meta.digest.clone()),
            seal: ticket.seal,
            at: in_state(State::Done),
            dropped: in_state(State::Dropped),
        })
    }
}

/// Where each of these instances is. Blocks on the disk.
pub(super) fn places(gateway: &Gateway, references: &[Reference]) -> Result<Vec<Place>, SpoolError> {
    let mut places: Vec<Option<Place>> =
        references.iter().map(|one| in_spool(gateway, &one.instance)).collect();
    let gone = references.iter().zip(&places).filter(|(_, place)| place.is_none());
    let keys: HashSet<&str> = gone.map(|(one, _)| one.instance.as_str()).collect();
    let found = match &gateway.commitments.history {
        Some(history) if !keys.is_empty() => history.find(&keys)?,
        _ => HashMap::new(),
    };
    for (reference, place) in references.iter().zip(&mut places) {
        if place.is_none() {
            let line = found.get(reference.instance.as_str());
            let known = line.and_then(|line| serde_json::from_str(line).ok());
            *place = Some(known.map_or(Place::Unknown, Place::Settled));
        }
    }
    Ok(places.into_iter().map(|place| place.unwrap_or(Place::Unknown)).collect())
}

/// Whether an instance was taken in before this entry of it was: as far as spool, key store and history know. Blocks on the
/// disk.
pub(in crate::flow) fn came_before(gateway: &Gateway, sequence: u64, ticket: &Ticket) -> bool {
    let instance = &ticket.sop_instance;
    let earlier = |one: &Summary| one.sequence < sequence;
    if gateway.spool.find(instance.as_str().as_bytes()).iter().any(earlier) {
        return true;
    }
    if let Protection::Sealed(own) | Protection::CameSealed(own) = &ticket.seal {
        match gateway.archive.first_key_of(instance) {
            Ok(first) if first.is_some_and(|first| first.to_string() != *own) => return true,
            Ok(_) => {}
            // Nobody can say that it did not.
            Err(_) => return true,
        }
    }
    let keys = HashSet::from([instance.as_str()]);
    let history = gateway.commitments.history.as_ref();
    let found = history.map_or_else(|| Ok(HashMap::new()), |history| history.find(&keys));
    found.is_ok_and(|found| {
        let line = found.get(instance.as_str());
        let known: Option<Known> = line.and_then(|line| serde_json::from_str(line).ok());
        known.is_some_and(|known| known.seal == Protection::Clear || known.seal != ticket.seal)
    })
}

fn in_spool(gateway: &Gateway, instance: &Uid) -> Option<Place> {
    let entries = gateway.spool.find(instance.as_str().as_bytes());
    // A version that was sent again counts as much as the first.
    let on_its_way =
        |one: &Summary| one.deliveries.iter().any(|delivery| !delivery.delivery.state.is_final());
    if entries.iter().any(on_its_way) {
        return Some(Place::Waiting);
    }
    let newest = entries.last()?;
    // One that has gone since is in the history by now.
    let content = gateway.spool.read(newest.id).ok()?;
    Known::of(newest, content.meta()).map(|known| Place::Settled(Box::new(known)))
}
