//! Deliveries: what is due and in which order, what becomes of it, and when an entry goes.

use std::sync::{Arc, Mutex};

use sealgate::spool::{EntryId, Meta, Order, Spool, SpoolError, State};

use super::sim::Sim;
use super::story::{NOW, Told, content, meta, open};

fn spool() -> (Spool, Sim) {
    let sim = Sim::new();
    (open(&sim).unwrap().0, sim)
}

fn store(spool: &Spool, meta: Meta) -> EntryId {
    Told::default().store(spool, meta, 100).unwrap()
}

fn due(spool: &Spool, now: u64, order: Order) -> Vec<EntryId> {
    spool.take("pacs", now, 99, order).unwrap().iter().map(sealgate::spool::Job::id).collect()
}

fn in_group(key: &str, group: &str) -> Meta {
    Meta { group: group.as_bytes().to_vec(), ..meta(key, &["pacs"]) }
}

fn state(spool: &Spool, id: EntryId) -> (State, u32, String) {
    let delivery = spool.show(id).unwrap().deliveries.remove(0).delivery;
    (delivery.state, delivery.attempts, delivery.reason.into())
}

#[test]
fn the_oldest_comes_first_and_nobody_gets_what_another_has() {
    let (spool, _) = spool();
    let ids: Vec<_> = (0..5).map(|n| store(&spool, meta(&n.to_string(), &["pacs"]))).collect();
    let first = spool.take("pacs", NOW, 2, Order::Any).unwrap();
    assert_eq!(first.iter().map(sealgate::spool::Job::id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(due(&spool, NOW, Order::Any), ids[2..]);
    drop(first);
    assert_eq!(due(&spool, NOW, Order::Any), ids, "what is dropped without a verdict waits again");
    assert!(spool.take("elsewhere", NOW, 9, Order::Any).unwrap().is_empty());
}

#[test]
fn of_entries_with_one_key_the_later_waits_for_the_earlier() {
    let (spool, _) = spool();
    let [first, second, other] = ["a", "a", "b"].map(|key| store(&spool, meta(key, &["pacs"])));
    assert_eq!(due(&spool, NOW, Order::Any), [first, other]);
    let take = |now| spool.take("pacs", now, 1, Order::Any).unwrap().remove(0);
    take(NOW).later(NOW + 500, "A700H", NOW).unwrap();
    assert_eq!(due(&spool, NOW, Order::Any), [other], "put off it still goes first");
    let job = take(NOW + 500);
    assert_eq!(job.id(), first);
    assert_eq!(due(&spool, NOW + 500, Order::Any), [other], "and in hand");
    job.aside("C000H", NOW).unwrap();
    assert_eq!(due(&spool, NOW, Order::Any), [second, other], "what is set aside holds nothing up");
}

#[test]
fn what_a_destination_has_otherwise_is_set_aside_and_goes_once_more_when_asked_to() {
    let (spool, _) = spool();
    let id = store(&spool, Meta { holds: 2, ..meta("a", &["pacs"]) });
    assert!(!spool.set_aside(id, "pacs", "it was not delivered", NOW).unwrap());
    spool.take("pacs", NOW, 1, Order::Any).unwrap().remove(0).done(NOW).unwrap();
    assert!(spool.set_aside(id, "pacs", "it keeps another", NOW).unwrap());
    assert_eq!(state(&spool, id), (State::Aside, 0, "it keeps another".into()));
    assert!(due(&spool, NOW, Order::Any).is_empty());
    spool.retry_all("pacs", NOW).unwrap();
    assert_eq!(due(&spool, NOW, Order::Any), [id]);
}

#[test]
fn what_is_put_off_comes_at_its_time_and_no_later_than_the_limit() {
    let (spool, sim) = spool();
    let id = store(&spool, meta("a", &["pacs"]));
    let take = |now| spool.take("pacs", now, 1, Order::Any).unwrap().pop();
    take(NOW).unwrap().later(NOW + 500, "A700H", NOW).unwrap();
    assert_eq!(state(&spool, id), (State::Later, 1, "A700H".into()));
    assert_eq!(spool.next_due_unix_millis("pacs"), Some(NOW + 500));
    assert!(take(NOW + 499).is_none());
    let job = take(NOW + 500).unwrap();
    assert_eq!((job.attempts(), state(&spool, id).0), (1, State::InHand));
    job.later(u64::MAX, "a wild time", NOW).unwrap();
    let limit = 86_400_000;
    assert_eq!(spool.next_due_unix_millis("pacs"), Some(NOW + limit));
    // A clock set back by a year makes it due, rather than late by a year.
    assert!(take(NOW - 366 * limit).is_some(), "and dropped again");
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    assert_eq!(state(&spool, id), (State::Later, 2, "a wild time".into()), "over a restart too");
    assert_eq!(spool.next_due_unix_millis("pacs"), Some(NOW + limit));
}

#[test]
fn in_order_a_group_waits_for_its_first_and_others_do_not() {
    let (spool, _) = spool();
    let a: Vec<_> = (0..3).map(|n| store(&spool, in_group(&format!("a{n}"), "a"))).collect();
    let b = store(&spool, in_group("b", "b"));
    let none = store(&spool, in_group("none", ""));
    let jobs = spool.take("pacs", NOW, 2, Order::PerGroup).unwrap();
    assert_eq!(jobs.iter().map(sealgate::spool::Job::id).collect::<Vec<_>>(), a[..2]);
    assert_eq!(due(&spool, NOW, Order::PerGroup), [b, none], "the group is in one hand");
    let mut jobs = jobs.into_iter();
    jobs.next().unwrap().later(NOW + 500, "refused", NOW).unwrap();
    drop(jobs);
    assert_eq!(due(&spool, NOW, Order::PerGroup), [b, none], "the group waits for its first");
    assert_eq!(due(&spool, NOW, Order::Any), [a[1], a[2], b, none]);
    assert_eq!(due(&spool, NOW + 500, Order::PerGroup), [a[0], a[1], a[2], b, none]);
    let first = spool.take("pacs", NOW + 500, 1, Order::PerGroup).unwrap().remove(0);
    first.aside("C000H", NOW).unwrap();
    assert_eq!(due(&spool, NOW, Order::PerGroup), [a[1], a[2], b, none], "what is set aside holds up nobody");
}

#[test]
fn an_entry_goes_when_every_destination_has_it_and_nothing_holds_it() {
    let (spool, sim) = spool();
    let id = store(&spool, Meta { holds: 0b11, ..meta("a", &["pacs", "backup"]) });
    let done = |to| spool.take(to, NOW, 1, Order::Any).unwrap().remove(0).done(NOW).unwrap();
    done("pacs");
    assert!(spool.take("pacs", NOW, 1, Order::Any).unwrap().is_empty());
    done("backup");
    spool.release(id, 0b01).unwrap();
    assert_eq!(spool.show(id).unwrap().holds, 0b10);
    spool.hold(id, 0b100).unwrap();
    spool.release(id, 0b10).unwrap();
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    assert_eq!(spool.show(id).unwrap().holds, 0b100, "over a restart too");
    assert_eq!(spool.usage().entries, 1);
    spool.release(id, 0b100).unwrap();
    assert!(matches!(spool.show(id), Err(SpoolError::Unknown(_))));
    assert_eq!(spool.usage(), sealgate::spool::Usage::default());
    drop(spool);
    assert_eq!(sim.files().len(), 1, "only the journal");
}

#[test]
fn what_is_set_aside_stays_until_somebody_decides() {
    let (spool, sim) = spool();
    let id = store(&spool, meta("a", &["pacs"]));
    spool.take("pacs", NOW, 1, Order::Any).unwrap().remove(0).aside("C000H", NOW).unwrap();
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    assert_eq!(state(&spool, id), (State::Aside, 1, "C000H".into()));
    assert!(due(&spool, NOW + 1_000_000, Order::Any).is_empty());
    assert_eq!(spool.counts()[0].1.aside, 1);
    assert_eq!(spool.retry(id, Some("pacs"), NOW).unwrap(), 1);
    assert_eq!(spool.retry(id, Some("pacs"), NOW).unwrap(), 0, "it waits already");
    assert_eq!(state(&spool, id), (State::Waiting, 0, "C000H".into()));
    assert_eq!(due(&spool, NOW, Order::Any), [id]);
    let error = spool.retry(id, Some("elsewhere"), NOW).unwrap_err();
    assert!(matches!(error, SpoolError::UnknownDestination { .. }), "{error}");
}

#[test]
fn all_that_a_destination_refused_can_be_tried_again_at_once() {
    let (spool, _) = spool();
    let ids: Vec<_> = (0..3).map(|n| store(&spool, meta(&n.to_string(), &["pacs", "backup"]))).collect();
    let mut jobs = spool.take("pacs", NOW, 3, Order::Any).unwrap().into_iter();
    jobs.next().unwrap().later(NOW + 60_000, "A700H", NOW).unwrap();
    jobs.next().unwrap().aside("C000H", NOW).unwrap();
    spool.take("backup", NOW, 1, Order::Any).unwrap().remove(0).aside("C000H", NOW).unwrap();
    drop(jobs);
    assert_eq!(spool.retry_all("pacs", NOW).unwrap(), 2);
    assert_eq!(due(&spool, NOW, Order::Any), ids);
    assert_eq!(
        spool.show(ids[0]).unwrap().deliveries[1].delivery.state,
        State::Aside,
        "the other is left alone"
    );
    assert_eq!(spool.retry_all("elsewhere", NOW).unwrap(), 0);
}

#[test]
fn dropping_needs_to_be_asked_for_and_spares_what_is_being_sent() {
    let (spool, _) = spool();
    let id = store(&spool, meta("a", &["pacs", "backup"]));
    let job = spool.take("pacs", NOW, 1, Order::Any).unwrap();
    let error = spool.discard(id, None, "asked for", NOW).unwrap_err();
    assert!(matches!(error, SpoolError::InHand { .. }), "{error}");
    assert_eq!(spool.discard(id, Some("backup"), "asked for", NOW).unwrap(), 1);
    drop(job);
    assert_eq!(spool.show(id).unwrap().deliveries[1].delivery.state, State::Dropped);
    assert_eq!(spool.discard(id, None, "asked for", NOW).unwrap(), 1);
    assert!(spool.show(id).is_err() && spool.usage().entries == 0);
}

#[test]
fn a_destination_can_take_over_from_another() {
    let (spool, sim) = spool();
    let id = store(&spool, meta("a", &["pacs"]));
    spool.send_also(id, "second", NOW).unwrap();
    spool.send_also(id, "second", NOW).unwrap();
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    assert_eq!(spool.show(id).unwrap().deliveries.len(), 2);
    spool.take("second", NOW, 1, Order::Any).unwrap().remove(0).done(NOW).unwrap();
    assert_eq!(spool.usage().entries, 1, "the first destination is still to have it");
    spool.discard(id, Some("pacs"), "the second has it", NOW).unwrap();
    assert_eq!(spool.usage().entries, 0);
}

#[test]
fn the_same_key_is_found_while_it_is_here() {
    let (spool, sim) = spool();
    let ids: Vec<_> = (0..2).map(|_| store(&spool, meta("1.2.3", &["pacs"]))).collect();
    store(&spool, meta("1.2.4", &["pacs"]));
    let found: Vec<_> = spool.find(b"1.2.3").iter().map(|summary| summary.id).collect();
    assert_eq!(found, ids);
    assert!(spool.find(b"1.2").is_empty() && spool.find(b"").is_empty());
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    assert!(spool.find(b"1.2.3").iter().all(sealgate::spool::Summary::is_open));
    for job in spool.take("pacs", NOW, 1, Order::Any).unwrap() {
        job.done(NOW).unwrap();
    }
    assert_eq!(spool.find(b"1.2.3").len(), 1);
}

#[test]
fn a_list_goes_on_behind_a_sequence() {
    let (spool, _) = spool();
    let ids: Vec<_> = (0..5).map(|n| store(&spool, meta(&n.to_string(), &["pacs"]))).collect();
    let first = spool.list(0, 2);
    let rest = spool.list(first[1].sequence, 99);
    let listed: Vec<_> = first.iter().chain(&rest).map(|summary| summary.id).collect();
    assert_eq!(listed, ids);
    assert_eq!((first[0].content_bytes, first[0].age_millis(NOW + 7)), (100, 7));
    let json = serde_json::to_value(&first[0]).unwrap();
    assert_eq!(json["deliveries"][0]["destination"], "pacs");
    assert_eq!(json["deliveries"][0]["state"], "waiting");
    assert_eq!(json["id"], ids[0].to_string());
}

#[test]
fn workers_are_called_when_there_is_something_new() {
    let (spool, _) = spool();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&calls);
    spool.on_work(move |name| heard.lock().unwrap().push(name.to_owned()));
    let id = store(&spool, meta("a", &["pacs", "backup"]));
    spool.take("pacs", NOW, 1, Order::Any).unwrap().remove(0).aside("C000H", NOW).unwrap();
    spool.retry(id, None, NOW).unwrap();
    spool.send_also(id, "second", NOW).unwrap();
    assert_eq!(*calls.lock().unwrap(), ["pacs", "backup", "pacs", "second"]);
}

#[test]
fn many_workers_deliver_everything_once() {
    let (spool, sim) = spool();
    for number in 0..200 {
        store(&spool, meta(&number.to_string(), &["pacs", "backup"]));
    }
    let sent = Mutex::new(Vec::new());
    let work = &|to: &'static str| {
        while let Some(jobs) = spool.take(to, NOW, 3, Order::Any).ok().filter(|jobs| !jobs.is_empty()) {
            for job in jobs {
                sent.lock().unwrap().push((job.id(), to));
                job.done(NOW).unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || work(if worker % 2 == 0 { "pacs" } else { "backup" }));
        }
    });
    let mut sent = sent.into_inner().unwrap();
    assert_eq!(sent.len(), 400);
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), 400);
    assert_eq!(spool.usage().entries, 0);
    drop(spool);
    assert_eq!(sim.files().len(), 1, "only the journal");
}

#[test]
fn an_entry_gets_its_name_only_after_what_it_has_to_outlive() {
    let sim = Sim::new();
    let (spool, _) = open(&sim).unwrap();
    let is_named = || sim.files().keys().any(|path| path.extension().is_some_and(|end| end == "entry"));
    let draft = |key: &str| {
        let mut draft = spool.begin(None).unwrap();
        draft.write(&content(key, 100)).unwrap();
        draft
    };
    // The key store fails: there is no entry, now or after a crash.
    let failed = draft("a").commit_after(meta("a", &["pacs"]), NOW, || {
        assert!(!is_named(), "the name comes behind the key");
        Err(SpoolError::Failed("the key was not kept".into()))
    });
    assert!(failed.is_err() && spool.list(0, 9).is_empty() && !is_named());
    let mut asked = false;
    let receipt = draft("b").commit_after(meta("b", &["pacs"]), NOW, || {
        asked = true;
        assert!(!is_named(), "the name comes behind the key");
        Ok::<_, SpoolError>(())
    });
    assert!(receipt.is_ok() && asked && is_named());
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    assert_eq!(spool.list(0, 9).len(), 1);
}
