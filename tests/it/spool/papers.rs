//! The power fails at every call while papers are kept and the history is written: what was acknowledged is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sealgate::spool::{Disk, EntryId, History, Papers, SpoolError};

use super::sim::{Cut, Fault, Omit, Sim};

const FOLDER: &str = "/sim/spool";

/// What was acknowledged, and what was tried since and failed.
#[derive(Default)]
struct Told {
    papers: BTreeMap<EntryId, Vec<u8>>,
    tried: BTreeMap<EntryId, Vec<Vec<u8>>>,
    discarding: BTreeSet<EntryId>,
    lines: Vec<String>,
}

impl Told {
    fn keep(&mut self, papers: &Papers, id: EntryId, content: &[u8]) {
        match papers.keep(id, content) {
            Ok(()) => {
                self.papers.insert(id, content.to_vec());
                self.tried.remove(&id);
            }
            Err(_) => self.tried.entry(id).or_default().push(content.to_vec()),
        }
    }

    /// Goes on after a failure, as the service does.
    fn story(&mut self, sim: &Sim) -> Result<(), SpoolError> {
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let folder = Path::new(FOLDER);
        disk.make_folder(folder).map_err(|_| SpoolError::Failed("no folder".into()))?;
        disk.sync_folder(Path::new("/sim")).map_err(|_| SpoolError::Failed("no folder".into()))?;
        let (papers, _) = Papers::open_on(Arc::clone(&disk), folder)?;
        let history = History::open_on(disk, folder, 30)?;
        let (one, other) = (EntryId::from_bytes([1; 16]), EntryId::from_bytes([2; 16]));
        self.keep(&papers, one, b"first");
        self.keep(&papers, one, &[7; 5000]);
        self.keep(&papers, other, b"other");
        for (key, day) in [("1.2", 5_u64), ("1.3", 5), ("1.4", 6)] {
            if history.add([(key, "text")], day * 24 * 60 * 60 * 1000).is_ok() {
                self.lines.push(key.to_owned());
            }
        }
        match papers.discard(other) {
            Ok(()) => _ = self.papers.remove(&other),
            Err(_) => _ = self.discarding.insert(other),
        }
        self.keep(&papers, one, b"last");
        Ok(())
    }

    fn compare(&self, after: &Sim) -> Result<(), String> {
        let disk: Arc<dyn Disk> = Arc::new(after.clone());
        let folder = Path::new(FOLDER);
        let made = disk.make_folder(folder);
        made.map_err(|error| error.to_string())?;
        let (_, found) = Papers::open_on(Arc::clone(&disk), folder).map_err(|error| error.to_string())?;
        if !found.damaged.is_empty() {
            return Err("half a paper got a name".into());
        }
        let found: BTreeMap<EntryId, Vec<u8>> = found.papers.into_iter().collect();
        for (id, content) in &self.papers {
            let tried = self.tried.get(id).map(Vec::as_slice).unwrap_or_default();
            match found.get(id) {
                Some(there) if there == content || tried.contains(there) => {}
                None if self.discarding.contains(id) => {}
                there => return Err(format!("paper {id} is {there:?}")),
            }
        }
        let history = History::open_on(disk, folder, 30).map_err(|error| error.to_string())?;
        let keys = self.lines.iter().map(String::as_str).collect();
        let lines = history.find(&keys).map_err(|error| error.to_string())?;
        match self.lines.iter().find(|key| !lines.contains_key(*key)) {
            Some(key) => Err(format!("the line of {key} is gone")),
            None => Ok(()),
        }
    }
}

fn calls() -> u64 {
    let sim = Sim::new();
    Told::default().story(&sim).expect("the story ends well when nothing fails");
    sim.calls()
}

/// The first crash that loses something acknowledged.
fn first_loss(omit: Option<Omit>) -> Option<String> {
    for at in 0..calls() {
        let mut sim = Sim::new().with_fault(Fault::Crash(at));
        if let Some(omit) = omit {
            sim = sim.omitting(omit);
        }
        let mut told = Told::default();
        let _ended = told.story(&sim);
        for cut in [Cut::Nothing, Cut::All, Cut::Some(2 * at + 1), Cut::Some(2 * at + 2)] {
            if let Err(problem) = told.compare(&sim.after(cut)) {
                return Some(format!("crash at call {at} ({:?}), {cut:?}: {problem}", sim.struck()));
            }
        }
    }
    None
}

#[test]
fn a_crash_at_any_call_loses_no_paper_and_no_line() {
    assert!(calls() > 40, "{}", calls());
    assert_eq!(first_loss(None), None);
}

#[test]
fn without_any_one_of_its_syncs_something_is_lost() {
    let omits: [(&str, Omit); 4] = [
        ("papers", |path| path.extension().is_some_and(|kind| kind == "new")),
        ("their names", |path| path.ends_with("papers")),
        ("lines", |path| path.extension().is_some_and(|kind| kind == "log")),
        ("the names of days", |path| path.ends_with("history")),
    ];
    for (what, omit) in omits {
        assert!(first_loss(Some(omit)).is_some(), "nobody notices that {what} are not synced");
    }
}

#[test]
fn after_an_error_of_the_disk_nothing_more_is_acknowledged_that_may_be_lost() {
    for at in 0..calls() {
        let sim = Sim::new().with_fault(Fault::Eio(at));
        let mut told = Told::default();
        let _ended = told.story(&sim);
        let result = told.compare(&sim.after(Cut::Nothing));
        assert!(result.is_ok(), "EIO at call {at} ({:?}): {result:?}", sim.struck());
    }
}
