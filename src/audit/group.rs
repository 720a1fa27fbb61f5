//! Gathers instances that move between the same two nodes: one message for many, and one when they begin.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use super::event::{Event, Kind, Transfer};
use crate::dicom::Uid;

/// Instances in one message: with their keys they take some 25 KB, and repositories have to take 32.
const INSTANCES_MAX: usize = 100;
/// How long it is remembered that a transfer has begun, and how many are remembered.
const BEGUN: Duration = Duration::from_secs(600);
pub(super) const BEGUN_MAX: usize = 4096;

/// What one message can speak of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    way: Way,
    sealed: bool,
    grant: Option<String>,
    failure: Option<String>,
}

/// Who gets what of whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Way {
    kind: Kind,
    source: String,
    destination: String,
    requestor: Option<String>,
    study: Option<Uid>,
    pub(super) ticket: u64,
}

impl Way {
    pub(super) fn of(transfer: &Transfer) -> Self {
        Self {
            kind: transfer.kind,
            source: transfer.source.name.clone(),
            destination: transfer.destination.name.clone(),
            requestor: transfer.requestor.as_ref().map(|party| party.name.clone()),
            study: transfer.study.clone(),
            ticket: transfer.ticket,
        }
    }
}

/// Transfers that are being gathered.
#[derive(Debug, Default)]
pub(super) struct Groups {
    open: HashMap<Key, (Instant, Transfer)>,
    begun: HashMap<Way, Instant>,
}

impl Groups {
    /// The message that a transfer begins, if that was not said yet.
    pub(super) fn begin(&mut self, transfer: &Transfer, now: Instant) -> Option<Event> {
        let way = Way::of(transfer);
        if self.begun.contains_key(&way) {
            return None;
        }
        if self.begun.len() >= BEGUN_MAX {
            // Who is forgotten is said to begin once more.
            self.begun.retain(|_, at| now.saturating_duration_since(*at) < BEGUN / 10);
            if self.begun.len() >= BEGUN_MAX {
                self.begun.clear();
            }
        }
        self.begun.insert(way, now);
        Some(Event::Begin(Box::new(transfer.clone())))
    }

    /// Takes what has moved; gives the message that is full.
    pub(super) fn add(&mut self, transfer: Transfer, now: Instant) -> Option<Event> {
        let Transfer { sealed, grant, failure, .. } = &transfer;
        let key =
            Key { way: Way::of(&transfer), sealed: *sealed, grant: grant.clone(), failure: failure.clone() };
        let Some((_, group)) = self.open.get_mut(&key) else {
            self.open.insert(key, (now, transfer));
            return None;
        };
        group.instances.extend(transfer.instances);
        if group.patient.is_none() {
            group.patient = transfer.patient;
        }
        if group.instances.len() < INSTANCES_MAX {
            return None;
        }
        let (_, full) = self.open.remove(&key)?;
        Some(Event::Transferred(Box::new(full)))
    }

    /// What has been gathered for so long.
    pub(super) fn due(&mut self, after: Duration, now: Instant) -> Vec<Event> {
        self.begun.retain(|_, at| now.saturating_duration_since(*at) < BEGUN);
        self.take(|_, at| now.saturating_duration_since(at) >= after)
    }

    /// What belongs to this retrieval, which is over.
    pub(super) fn settle(&mut self, ticket: u64) -> Vec<Event> {
        self.begun.retain(|way, _| way.ticket != ticket);
        self.take(|key, _| key.way.ticket == ticket)
    }

    /// All.
    pub(super) fn all(&mut self) -> Vec<Event> {
        self.take(|_, _| true)
    }

    /// When the next is due, counted from now.
    pub(super) fn next_due(&self, after: Duration, now: Instant) -> Option<Duration> {
        let oldest = self.open.values().map(|(at, _)| *at).min()?;
        Some(after.saturating_sub(now.saturating_duration_since(oldest)))
    }

    fn take(&mut self, wanted: impl Fn(&Key, Instant) -> bool) -> Vec<Event> {
        let (taken, left): (HashMap<_, _>, HashMap<_, _>) =
            mem::take(&mut self.open).into_iter().partition(|(key, (at, _))| wanted(key, *at));
        self.open = left;
        let mut taken: Vec<(Instant, Transfer)> = taken.into_values().collect();
        taken.sort_by_key(|(at, _)| *at);
        taken.into_iter().map(|(_, transfer)| Event::Transferred(Box::new(transfer))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Instance, Party};

    fn transfer(study: &str, number: usize, ticket: u64) -> Transfer {
        let uid = |text: &str| Uid::parse(text).unwrap();
        Transfer {
            kind: Kind::Received,
            source: Party::named("ct"),
            destination: Party::named("sealgate"),
            requestor: None,
            study: Some(uid(study)),
            patient: (number > 1).then(|| "P1".into()),
            instances: vec![Instance {
                class: uid("1.2"),
                uid: uid(&format!("{study}.{number}")),
                key_id: None,
            }],
            sealed: true,
            grant: None,
            failure: None,
            ticket,
        }
    }

    fn counts(events: &[Event]) -> Vec<usize> {
        let count = |event: &Event| match event {
            Event::Transferred(transfer) => transfer.instances.len(),
            other => panic!("{other:?}"),
        };
        events.iter().map(count).collect()
    }

    #[test]
    fn instances_of_one_study_become_one_message_and_of_two_studies_two() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        for number in 1..=3 {
            assert_eq!(groups.add(transfer("1.1", number, 0), now), None);
        }
        groups.add(transfer("1.2", 1, 0), now + Duration::from_secs(1));
        let after = Duration::from_secs(5);
        assert!(groups.due(after, now + Duration::from_secs(4)).is_empty());
        assert_eq!(groups.next_due(after, now), Some(after));
        let events = groups.due(after, now + Duration::from_secs(5));
        assert_eq!(counts(&events), [3]);
        let Event::Transferred(transfer) = &events[0] else { panic!() };
        assert_eq!(transfer.patient.as_deref(), Some("P1"));
        assert_eq!(counts(&groups.all()), [1]);
    }

    #[test]
    fn a_message_holds_so_many_and_no_more() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        let full: Vec<Event> =
            (1..=250).filter_map(|number| groups.add(transfer("1.1", number, 0), now)).collect();
        assert_eq!(counts(&full), [INSTANCES_MAX, INSTANCES_MAX]);
        assert_eq!(counts(&groups.all()), [50]);
    }

    #[test]
    fn what_ends_ends_alone_and_what_begins_is_said_once() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        let (one, two) = (transfer("1.1", 1, 1), transfer("1.1", 1, 2));
        assert!(groups.begin(&one, now).is_some() && groups.begin(&one, now).is_none());
        assert!(groups.begin(&two, now).is_some());
        groups.add(one.clone(), now);
        groups.add(two, now);
        assert_eq!(counts(&groups.settle(1)), [1]);
        assert_eq!(counts(&groups.settle(1)), [0; 0]);
        assert!(groups.begin(&one, now).is_some(), "another retrieval");
        assert_eq!(counts(&groups.settle(2)), [1]);
    }
}
