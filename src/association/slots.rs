//! How many associations there are, in total, by address and by peer.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
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
        let address = network(address);
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

/// What counts as one address: who has an IPv6 address has the 2^64 beside it too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_that_is_dropped_is_free_again() {
        let slots = Slots::default();
        let one = slots.connection(address("192.0.2.1"), 2, 1).unwrap();
        assert_eq!(slots.connection(address("192.0.2.1"), 2, 1).unwrap_err(), Full::Address);
        let two = slots.connection(address("192.0.2.2"), 2, 1).unwrap();
        assert_eq!(slots.connection(address("192.0.2.3"), 2, 1).unwrap_err(), Full::Total);
        drop(one);
        assert!(slots.connection(address("192.0.2.1"), 2, 1).is_ok());
        drop(two);
        assert_eq!(slots.total(), 0);
        assert!(slots.counts().addresses.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let slots = Slots::default();
        let _one = slots.connection(address("2001:db8::1"), 9, 1).unwrap();
        assert_eq!(slots.connection(address("2001:db8::ffff:1"), 9, 1).unwrap_err(), Full::Address);
        assert!(slots.connection(address("2001:db8:0:1::1"), 9, 1).is_ok());
        let _four = slots.connection(address("192.0.2.1"), 9, 1).unwrap();
        assert_eq!(slots.connection(address("::ffff:192.0.2.1"), 9, 1).unwrap_err(), Full::Address);
    }

    #[test]
    fn a_peer_has_its_own_limit() {
        let (slots, ct): (_, Arc<str>) = (Slots::default(), "ct".into());
        let one = slots.peer(&ct, 1).unwrap();
        assert_eq!(slots.peer(&ct, 1).unwrap_err(), Full::Peer);
        assert!(slots.peer(&"mr".into(), 1).is_ok());
        drop(one);
        assert!(slots.peer(&ct, 1).is_ok());
    }
}
