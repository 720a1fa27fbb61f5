//! Calls to the file system that fail: errors, a full disk, short writes. The spool stops or goes on, and loses nothing.

use sealgate::spool::{Order, Pressure, Spool, SpoolError};

use super::crash::{calls_of_the_story, check, goes_on, run};
use super::sim::{Cut, Fault, Sim};
use super::story::{NOW, Told, meta, open};

/// Everything that a spool can be asked is refused, with the reason.
fn refuses_everything(spool: &Spool) {
    let is_failed = |error: Option<SpoolError>| matches!(error, Some(SpoolError::Failed(_)));
    assert!(is_failed(spool.begin(None).err()));
    assert!(is_failed(spool.take("pacs", NOW, 1, Order::Any).err()));
    assert!(is_failed(spool.verify(1).err()) || spool.verify(1).is_ok());
    for summary in spool.list(0, 9) {
        assert!(is_failed(spool.read(summary.id).err()));
        assert!(is_failed(spool.retry(summary.id, None, NOW).err()));
        assert!(is_failed(spool.discard(summary.id, None, "", NOW).err()));
        assert!(is_failed(spool.hold(summary.id, 2).err()));
    }
    assert_eq!(spool.pressure(), Pressure::RefuseStores);
}

#[test]
fn an_error_at_any_call_stops_the_spool_or_one_entry_and_loses_nothing() {
    let (mut stopped, mut went_on) = (0, 0);
    for at in 0..calls_of_the_story() {
        let sim = Sim::new().with_fault(Fault::Eio(at));
        let mut told = Told::default();
        if let Ok((spool, _)) = open(&sim) {
            let story = told.story(&spool);
            // Calls after the last of the story are those of the spool's end.
            let Some(struck) = sim.struck() else { continue };
            // An entry that has gone, and what is kept of it, are no reason to stop.
            let is_idle = struck.ends_with(".entry") || struck.ends_with(".spare");
            if struck.starts_with("sync") || struck.starts_with("rename") && !is_idle {
                assert!(matches!(story, Err(SpoolError::Failed(_))), "call {at} ({struck}): {story:?}");
                assert!(spool.failed().is_some_and(|text| text.contains("Input/output error")));
                let calls = sim.calls();
                refuses_everything(&spool);
                assert!(sim.calls() <= calls + 1, "call {at} ({struck}): the disk is left alone afterwards");
                stopped += 1;
            } else if spool.failed().is_none() {
                let result = goes_on(&spool);
                assert!(result.is_ok(), "call {at} ({struck}): {result:?}");
                went_on += 1;
            }
        }
        for cut in [Cut::Nothing, Cut::All, Cut::Some(at + 1)] {
            let result = check(&told, &sim.after(cut));
            assert!(result.is_ok(), "call {at} ({:?}), {cut:?}: {result:?}", sim.struck());
        }
    }
    assert!(stopped > 20 && went_on > 20, "{stopped} {went_on}");
}

#[test]
fn an_error_at_any_call_of_the_start_loses_nothing() {
    let sim = Sim::new();
    let (told, _) = run(&sim);
    let left = sim.after(Cut::Nothing);
    let sound = left.after(Cut::All);
    open(&sound).unwrap();
    let mut opened = 0;
    for at in 0..sound.calls() {
        let sim = left.after(Cut::All).with_fault(Fault::Eio(at));
        let Ok((spool, recovery)) = open(&sim) else {
            // It did not open, so nothing has happened: the next one finds everything.
            let result = check(&told, &sim.after(Cut::Nothing));
            assert!(result.is_ok(), "call {at} ({:?}): {result:?}", sim.struck());
            continue;
        };
        opened += 1;
        // What the disk does not give is set aside and named; everything else is there.
        for id in told.kept() {
            let is_damaged = recovery.damaged.iter().any(|damaged| damaged.id == id);
            assert!(is_damaged || spool.read(id).is_ok(), "call {at} ({:?}): {id} is gone", sim.struck());
        }
        assert!(recovery.damaged.iter().all(|damaged| damaged.reason.contains("cannot be read")));
        assert_eq!(spool.damaged().unwrap().len(), recovery.damaged.len());
    }
    assert!(opened > 3, "{opened}");
}

#[test]
fn a_disk_that_is_full_from_any_call_on_refuses_and_goes_on_when_there_is_room() {
    let mut refused = 0;
    for at in 0..calls_of_the_story() {
        let sim = Sim::new().with_fault(Fault::Full(at));
        let mut told = Told::default();
        match open(&sim) {
            Err(error) => assert!(error.is_full(), "call {at}: {error}"),
            Ok((spool, _)) => {
                if let Err(error) = told.story(&spool) {
                    assert!(error.is_full(), "call {at} ({:?}): {error}", sim.struck());
                    refused += 1;
                }
                assert_eq!(spool.failed(), None, "call {at} ({:?})", sim.struck());
                sim.set_fault(Fault::None);
                let result = goes_on(&spool);
                assert!(result.is_ok(), "call {at}: {result:?}");
            }
        }
        for cut in [Cut::Nothing, Cut::All] {
            let result = check(&told, &sim.after(cut));
            assert!(result.is_ok(), "call {at} ({:?}), {cut:?}: {result:?}", sim.struck());
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn on_a_full_disk_deliveries_go_on_and_make_room_even_over_a_restart() {
    let sim = Sim::new();
    let (spool, _) = open(&sim).unwrap();
    let mut told = Told::default();
    let ids: Vec<_> =
        (0..4).map(|n| told.store(&spool, meta(&format!("{n}"), &["pacs"]), 1000).unwrap()).collect();
    sim.set_fault(Fault::Full(0));
    assert!(told.store(&spool, meta("more", &["pacs"]), 1000).is_err_and(|error| error.is_full()));
    for number in 0..300 {
        told.later(&spool, ids[0], "pacs", &format!("{number}, A700H")).unwrap();
    }
    told.done(&spool, ids[1], "pacs").unwrap();
    drop(spool);
    let (spool, recovery) = open(&sim).expect("it starts on a full disk");
    told.compare(&spool, &recovery, &sim).unwrap();
    told.done(&spool, ids[0], "pacs").unwrap();
    told.done(&spool, ids[2], "pacs").unwrap();
    assert_eq!(spool.usage().entries, 1);
    drop(spool);
    let after = sim.after(Cut::Nothing);
    check(&told, &after).unwrap();
}

#[test]
fn what_a_start_on_a_full_disk_shows_survives_a_power_cut() {
    let sim = Sim::new();
    let (spool, _) = open(&sim).unwrap();
    let mut told = Told::default();
    let id = told.store(&spool, meta("a", &["pacs"]), 1000).unwrap();
    // Killed between writing the journal and syncing it.
    sim.set_fault(Fault::Crash(sim.calls() + 1));
    assert!(told.later(&spool, id, "pacs", "A700H").is_err());
    drop(spool);
    sim.set_fault(Fault::Full(0));
    let (spool, _) = open(&sim).unwrap();
    let shown = spool.list(0, 9);
    assert_eq!(shown[0].deliveries[0].delivery.attempts, 1, "the kernel still had it");
    let (spool, _) = open(&sim.after(Cut::Nothing)).unwrap();
    assert_eq!(spool.list(0, 9), shown);
}

#[test]
fn short_writes_are_completed() {
    let sim = Sim::new().with_fault(Fault::ShortWrites);
    let (told, ended) = run(&sim);
    assert!(ended);
    check(&told, &sim.after(Cut::Nothing)).unwrap();
}
