//! The power fails at every single call: what was acknowledged is there afterwards, byte for byte, and nothing half.

use std::path::Path;

use sealgate::spool::Spool;

use super::sim::{Chance, Cut, Fault, Omit, Sim};
use super::story::{Told, meta, open};

/// Runs the story until it ends or fails.
pub(crate) fn run(sim: &Sim) -> (Told, bool) {
    let mut told = Told::default();
    let ended = open(sim).and_then(|(spool, _)| told.story(&spool)).is_ok();
    (told, ended)
}

/// Opens what a crash left, and compares.
pub(crate) fn check(told: &Told, after: &Sim) -> Result<(), String> {
    let (spool, recovery) = open(after).map_err(|error| format!("it does not open: {error}"))?;
    told.compare(&spool, &recovery, after)?;
    goes_on(&spool)
}

pub(crate) fn goes_on(spool: &Spool) -> Result<(), String> {
    let mut told = Told::default();
    let id = told.store(spool, meta("next", &["pacs"]), 1000).map_err(|error| error.to_string())?;
    told.done(spool, id, "pacs").map_err(|error| error.to_string())
}

pub(crate) fn calls_of_the_story() -> u64 {
    let sim = Sim::new();
    assert!(run(&sim).1, "the story ends well when nothing fails");
    sim.calls()
}

fn cuts(seed: u64) -> [Cut; 4] {
    [Cut::Nothing, Cut::All, Cut::Some(2 * seed + 1), Cut::Some(2 * seed + 2)]
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged_and_shows_nothing_half() {
    let calls = calls_of_the_story();
    assert!(calls > 150, "{calls}");
    for at in 0..calls {
        let sim = Sim::new().with_fault(Fault::Crash(at));
        let (told, ended) = run(&sim);
        assert!(!ended || at + 5 > calls, "the crash at call {at} is noticed");
        for cut in cuts(at) {
            let result = check(&told, &sim.after(cut));
            assert!(result.is_ok(), "crash at call {at} ({:?}), {cut:?}: {result:?}", sim.struck());
        }
    }
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_either() {
    let calls = calls_of_the_story();
    let step = if std::env::var_os("SEALGATE_SOAK").is_some() { 1 } else { 37 };
    let mut tried = 0;
    for at in (0..calls).step_by(step) {
        let sim = Sim::new().with_fault(Fault::Crash(at));
        let (told, _) = run(&sim);
        for cut in [Cut::Nothing, Cut::Some(at + 1)] {
            let left = sim.after(cut);
            // However long the recovery is: until one goes through.
            for again in 0.. {
                let second = left.after(Cut::All).with_fault(Fault::Crash(again));
                let recovered = open(&second).is_ok();
                for cut in [Cut::Nothing, Cut::Some(again + 1)] {
                    let result = check(&told, &second.after(cut));
                    assert!(result.is_ok(), "crashes at {at} and {again}, {cut:?}: {result:?}");
                    tried += 1;
                }
                if recovered {
                    break;
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_crash_among_many_writers_loses_nothing_acknowledged() {
    let rounds = if std::env::var_os("SEALGATE_SOAK").is_some() { 5000 } else { 60 };
    let mut chance = Chance(1);
    let mut acknowledged = 0;
    for round in 0..rounds {
        let sim = Sim::new();
        let (spool, _) = open(&sim).unwrap();
        sim.set_fault(Fault::Crash(sim.calls() + 20 + chance.next() % 300));
        let spool = &spool;
        let store = |writer: u64| {
            let mut told = Told::default();
            let key = |number: u32| format!("{writer} {number}");
            let mut numbers = 0..;
            while told.store(spool, meta(&key(numbers.next().unwrap()), &["pacs"]), 5000).is_ok() {}
            told
        };
        let mut told = Told::default();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || store(writer))).collect();
            for writer in writers {
                told.join(writer.join().unwrap());
            }
        });
        acknowledged += told.kept().count();
        for cut in cuts(round) {
            let result = check(&told, &sim.after(cut));
            assert!(result.is_ok(), "round {round}, {cut:?}: {result:?}");
        }
    }
    assert!(acknowledged > 100, "{acknowledged}");
}

/// Whether some crash shows that a sync is missing.
fn is_noticed(omit: Omit) -> Option<String> {
    (0..calls_of_the_story()).find_map(|at| {
        let sim = Sim::new().omitting(omit).with_fault(Fault::Crash(at));
        let (told, _) = run(&sim);
        check(&told, &sim.after(Cut::Nothing)).err()
    })
}

#[test]
fn the_crash_test_fails_when_any_one_fsync_is_taken_out() {
    assert_eq!(is_noticed(|_| false), None, "with every sync in place nothing is noticed");
    let cases: [(&str, Omit, &str); 4] = [
        ("the bytes of an entry", |path| path.extension().is_some_and(|e| e == "draft"), "damage"),
        ("the names of entries", |path| path == Path::new("/sim/spool/entries"), "is gone"),
        ("the journal", |path| path == Path::new("/sim/spool/journal.new"), ""),
        ("the name of the journal", |path| path == Path::new("/sim/spool"), ""),
    ];
    for (what, omit, word) in cases {
        let noticed = is_noticed(omit);
        assert!(noticed.as_deref().is_some_and(|text| text.contains(word)), "without {what}: {noticed:?}");
    }
}
