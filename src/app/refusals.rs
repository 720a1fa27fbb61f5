//! Refusals at the door, as the audit trail gets them: each node's first ones each minute, and how many more there were.
//!
//! Whoever can knock could otherwise fill the trail with nothing else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Refusals of one address that are recorded one by one in a minute.
const EACH_MAX: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are told apart; those beyond count as one.
const ADDRESSES_MAX: usize = 1024;

/// What was refused lately.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Option<IpAddr>, (Instant, u32)>>);

impl Refusals {
    /// Counts one more from there: nothing if it is not to be recorded, else how many before it were not.
    pub(super) fn count(&self, from: IpAddr, now: Instant) -> Option<u32> {
        // The map is whole between any two statements.
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !lately.contains_key(&Some(from));
        if is_new && lately.len() >= ADDRESSES_MAX {
            lately.retain(|_, (since, count)| {
                now.saturating_duration_since(*since) < MINUTE || *count > EACH_MAX
            });
        }
        let key = if is_new && lately.len() >= ADDRESSES_MAX { None } else { Some(from) };
        let (since, count) = lately.entry(key).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= MINUTE {
            let unsaid = count.saturating_sub(EACH_MAX);
            (*since, *count) = (now, 1);
            return Some(unsaid);
        }
        *count = count.saturating_add(1);
        (*count <= EACH_MAX).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_minute_are_recorded_and_the_rest_is_counted() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let said = (0..25).filter(|_| refusals.count(one, start).is_some()).count();
        assert_eq!(said, 10);
        assert_eq!(refusals.count(two, start), Some(0), "another node");
        assert_eq!(refusals.count(one, start + MINUTE), Some(15));
        assert_eq!(refusals.count(one, start + MINUTE), Some(0));
    }

    #[test]
    fn any_number_of_addresses_costs_so_much_memory_and_no_more() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        for number in 0..10_000_u32 {
            refusals.count(IpAddr::from(number.to_be_bytes()), start);
        }
        assert!(refusals.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
    }
}
