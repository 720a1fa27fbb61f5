//! What one destination is still to receive: in order of commit, with what is put off, and groups that keep their order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::spool::state::{Delivery, State};

/// What order deliveries keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The oldest first; one that fails does not hold up others.
    #[default]
    Any,
    /// Of the entries of one group only one worker has some at a time, and none overtakes another that is still to be
    /// delivered. What is set aside does not hold up its group. A worker that fails with one gives back the later ones
    /// of that group, by dropping the jobs.
    PerGroup,
}

/// How many deliveries of a destination are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Waiting.
    pub waiting: u64,
    /// In hand.
    pub in_hand: u64,
    /// Put off.
    pub later: u64,
    /// Delivered; the entry stays for another destination, or is held.
    pub done: u64,
    /// Set aside.
    pub aside: u64,
    /// Dropped; likewise.
    pub dropped: u64,
}

/// The queue of a destination.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Waiting, or put off until a time that has come.
    due: BTreeSet<u64>,
    /// Put off, by time.
    later: BTreeSet<(u64, u64)>,
    in_hand: BTreeSet<u64>,
    /// What is open, by group.
    groups: HashMap<Arc<[u8]>, BTreeSet<u64>>,
    counts: Counts,
}

impl Queue {
    /// The oldest that is waiting, put off or in hand.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let later = self.later.iter().map(|(_, sequence)| *sequence).min();
        [self.due.first().copied(), self.in_hand.first().copied(), later].into_iter().flatten().min()
    }

    /// Adds a delivery in its state.
    pub(crate) fn put(&mut self, sequence: u64, group: &Arc<[u8]>, delivery: &Delivery) {
        *self.count(delivery.state) += 1;
        match delivery.state {
            State::Waiting => _ = self.due.insert(sequence),
            State::Later => _ = self.later.insert((delivery.not_before_unix_millis, sequence)),
            State::InHand => _ = self.in_hand.insert(sequence),
            State::Done | State::Aside | State::Dropped => {}
        }
        if delivery.state.is_open() && !group.is_empty() {
            self.groups.entry(Arc::clone(group)).or_default().insert(sequence);
        }
    }

    /// Takes a delivery out that is in this state.
    pub(crate) fn take_out(&mut self, sequence: u64, group: &Arc<[u8]>, delivery: &Delivery) {
        let count = self.count(delivery.state);
        *count = count.saturating_sub(1);
        match delivery.state {
            State::Waiting | State::Later => {
                self.due.remove(&sequence);
                self.later.remove(&(delivery.not_before_unix_millis, sequence));
            }
            State::InHand => _ = self.in_hand.remove(&sequence),
            State::Done | State::Aside | State::Dropped => {}
        }
        if let Some(open) = self.groups.get_mut(group) {
            open.remove(&sequence);
            if open.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    fn count(&mut self, state: State) -> &mut u64 {
        match state {
            State::Waiting => &mut self.counts.waiting,
            State::InHand => &mut self.counts.in_hand,
            State::Later => &mut self.counts.later,
            State::Done => &mut self.counts.done,
            State::Aside => &mut self.counts.aside,
            State::Dropped => &mut self.counts.dropped,
        }
    }

    /// Makes due what was put off until now; and what lies so far ahead that the clock must have been set back.
    pub(crate) fn wake(&mut self, now_unix_millis: u64, later_millis_max: u64) {
        let horizon = now_unix_millis.saturating_add(later_millis_max);
        while let Some((at, sequence)) = self.later.first().copied().filter(|(at, _)| *at <= now_unix_millis)
        {
            self.later.remove(&(at, sequence));
            self.due.insert(sequence);
        }
        while let Some((at, sequence)) = self.later.last().copied().filter(|(at, _)| *at > horizon) {
            self.later.remove(&(at, sequence));
            self.due.insert(sequence);
        }
    }

    /// The oldest of what is due, of those that may go.
    pub(crate) fn choose(
        &self,
        limit: usize,
        order: Order,
        group_of: impl Fn(u64) -> Option<Arc<[u8]>>,
        may_go: impl Fn(u64) -> bool,
    ) -> Vec<u64> {
        let free = self.due.iter().copied().filter(|sequence| may_go(*sequence));
        if order == Order::Any {
            return free.take(limit).collect();
        }
        let (mut chosen, mut blocked) = (Vec::new(), HashSet::new());
        let mut together: HashSet<u64> = HashSet::new();
        for sequence in free {
            if chosen.len() == limit {
                break;
            }
            let Some(group) = group_of(sequence) else { continue };
            if blocked.contains(&group) {
                continue;
            }
            let is_next = self.groups.get(&group).is_none_or(|open| {
                let mut earlier = open.range(..sequence);
                earlier.all(|other| together.contains(other)) && open.is_disjoint(&self.in_hand)
            });
            if is_next {
                chosen.push(sequence);
                together.insert(sequence);
            } else {
                blocked.insert(group);
            }
        }
        chosen
    }

    /// When something is due: 0 for at once, none for never.
    pub(crate) fn next_due_unix_millis(&self) -> Option<u64> {
        if !self.due.is_empty() {
            return Some(0);
        }
        self.later.first().map(|(at, _)| *at)
    }

    /// What is due or put off, the oldest first.
    pub(crate) fn waiting(&self) -> BTreeSet<u64> {
        let later = self.later.iter().map(|(_, sequence)| *sequence);
        self.due.iter().copied().chain(later).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(state: State, not_before_unix_millis: u64) -> Delivery {
        Delivery { state, not_before_unix_millis, ..Delivery::waiting(0) }
    }

    struct Fixture {
        queue: Queue,
        groups: HashMap<u64, Arc<[u8]>>,
    }

    impl Fixture {
        fn new(rows: &[(u64, &str, State, u64)]) -> Self {
            let mut fixture = Self { queue: Queue::default(), groups: HashMap::new() };
            for (sequence, group, state, at) in rows {
                let group: Arc<[u8]> = group.as_bytes().into();
                fixture.queue.put(*sequence, &group, &delivery(*state, *at));
                fixture.groups.insert(*sequence, group);
            }
            fixture
        }

        fn choose(&self, limit: usize, order: Order) -> Vec<u64> {
            self.queue.choose(limit, order, |sequence| self.groups.get(&sequence).cloned(), |_| true)
        }
    }

    #[test]
    fn the_oldest_that_is_due_comes_first() {
        let mut fixture = Fixture::new(&[
            (3, "", State::Waiting, 0),
            (1, "", State::Later, 50),
            (2, "", State::Later, 60),
            (4, "", State::Aside, 0),
            (5, "", State::Waiting, 0),
        ]);
        assert_eq!(fixture.choose(9, Order::Any), [3, 5]);
        assert_eq!(fixture.queue.next_due_unix_millis(), Some(0));
        fixture.queue.wake(50, 1000);
        assert_eq!(fixture.choose(2, Order::Any), [1, 3]);
        fixture.queue.wake(60, 1000);
        assert_eq!(fixture.choose(9, Order::Any), [1, 2, 3, 5]);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up_for_ever() {
        let year = 366 * 86_400_000;
        let mut fixture = Fixture::new(&[(1, "", State::Later, year), (2, "", State::Later, 900)]);
        fixture.queue.wake(0, 1000);
        assert_eq!(fixture.choose(9, Order::Any), [1]);
    }

    #[test]
    fn in_order_nothing_overtakes_what_is_put_off_or_in_hand() {
        let rows = [
            (1, "a", State::Later, 50),
            (2, "a", State::Waiting, 0),
            (3, "b", State::InHand, 0),
            (4, "b", State::Waiting, 0),
            (5, "c", State::Aside, 0),
            (6, "c", State::Waiting, 0),
            (7, "", State::Waiting, 0),
            (8, "c", State::Waiting, 0),
        ];
        let mut fixture = Fixture::new(&rows);
        assert_eq!(fixture.choose(9, Order::PerGroup), [6, 7, 8]);
        assert_eq!(fixture.choose(1, Order::PerGroup), [6]);
        assert_eq!(fixture.choose(9, Order::Any), [2, 4, 6, 7, 8]);
        fixture.queue.wake(50, 1000);
        assert_eq!(fixture.choose(9, Order::PerGroup), [1, 2, 6, 7, 8]);
        let in_hand = delivery(State::InHand, 0);
        fixture.queue.take_out(3, &fixture.groups[&3], &in_hand);
        assert_eq!(fixture.choose(9, Order::PerGroup), [1, 2, 4, 6, 7, 8]);
    }

    #[test]
    fn a_later_one_in_hand_keeps_the_earlier_one_back() {
        // As when the earlier one was set aside and is tried again.
        let fixture = Fixture::new(&[(1, "a", State::Waiting, 0), (2, "a", State::InHand, 0)]);
        assert_eq!(fixture.choose(9, Order::PerGroup), [0_u64; 0]);
    }

    #[test]
    fn counts_follow_the_states() {
        let mut fixture = Fixture::new(&[(1, "a", State::Waiting, 0), (2, "a", State::Later, 9)]);
        fixture.queue.take_out(1, &fixture.groups[&1], &delivery(State::Waiting, 0));
        fixture.queue.put(1, &fixture.groups[&1], &delivery(State::Done, 0));
        assert_eq!(fixture.queue.counts(), Counts { later: 1, done: 1, ..Counts::default() });
        // What was put off and woken is found in its place.
        fixture.queue.wake(9, 1000);
        fixture.queue.take_out(2, &fixture.groups[&2], &delivery(State::Later, 9));
        assert_eq!(fixture.choose(9, Order::Any), [0_u64; 0]);
        assert!(fixture.queue.groups.is_empty());
    }
}
