//! How many associations there are, in total, by address and by peer.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is there; a place is given back when its guard is dropped.
#[derive(Debug, Clone, Default)]
pub struct Slots(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    peers: HashMap<Arc<str>, usize>,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
    Peer,
}

impl Full {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Total => "association.associations_max",
            Self::Address => "association.associations_per_address_max",
            Self::Peer => "the peer's associations_max",
        }
    }
}

/// A place for a connection from an address.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    slots: Slots,
    address: IpAddr,
}

/// A place for an association of a peer.
#[derive(Debug)]
pub(super) struct PeerPlace {
    slots: Slots,
    peer: Arc<str>,
}

impl Slots {
    /// Associations and connections that are there now.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts().total
    }

    pub(super) fn connection(
        &self,
        address: IpAddr,
        total: usize,
        per_address: usize,
    ) -> Result<ConnectionPlace, Full> {
        let mut counts = self.counts();
        if counts.total >= total {
            return Err(Full::Total);
        }
        if !take(&mut counts.addresses, address, per_address) {
            return Err(Full::Address);
        }
        counts.total = counts.total.saturating_add(1);
        Ok(ConnectionPlace { slots: self.clone(), address })
    }

    pub(super) fn peer(&self, peer: &Arc<str>, limit: usize) -> Result<PeerPlace, Full> {
        if take(&mut self.counts().peers, Arc::clone(peer), limit) {
            Ok(PeerPlace { slots: self.clone(), peer: Arc::clone(peer) })
        } else {
            Err(Full::Peer)
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counters are whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K, limit: usize) -> bool {
    let count = counts.entry(key).or_default();
    // Limits are at least 1, so an entry that was just made is never left behind at 0.
    let free = *count < limit;
    if free {
        *count = count.saturating_add(1);
    }
    free
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        counts.total = counts.total.saturating_sub(1);
        give_back(&mut counts.addresses, &self.address);
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        give_back(&mut self.slots.counts().peers, &self.peer);
    }
}
