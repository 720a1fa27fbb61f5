//! Killed at random times while it stores and delivers: what it acknowledged is there, to the byte, and nothing comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sealgate::spool::{Config, EntryId, JournalFound, Order, Spool};

use super::sim::Chance;
use super::story::{NOW, meta};

/// Tells the child its folder and the seed of its bytes.
const CHILD: &str = "SEALGATE_TEST_SPOOL_CHILD";
const WRITERS: u64 = 4;

fn config(folder: &Path) -> Config {
    let folder = folder.join("spool");
    // A small journal, so that it is written anew in the middle of everything.
    Config { folder, journal_bytes_max: 8192, refuse_stores_free_bytes: 0, ..Config::default() }
}

#[test]
#[ignore = "the other test here runs it as a process of its own"]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (seed, folder) = order.split_once(' ').unwrap();
    let seed: u64 = seed.parse().unwrap();
    let (spool, _) = Spool::open(&config(Path::new(folder))).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let spool = &spool;
            scope.spawn(move || write_for_ever(spool, seed * 100 + writer));
        }
        scope.spawn(|| deliver_for_ever(&spool));
    });
}

/// One call each, so that lines stay whole.
fn say(line: &str) {
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

fn write_for_ever(spool: &Spool, seed: u64) {
    let mut chance = Chance(seed);
    loop {
        let length = usize::try_from(chance.next() % 200_000).unwrap() + 8;
        let bytes = chance.bytes(length);
        let mut draft = spool.begin(None).unwrap();
        draft.write(&[0; 8]).unwrap();
        draft.write(&bytes[8..]).unwrap();
        draft.patch(0, &bytes[..8]).unwrap();
        let receipt = draft.commit(meta("key", &["pacs"]), NOW).unwrap();
        say(&format!("stored {} {}\n", receipt.id(), blake3::hash(&bytes)));
    }
}

fn deliver_for_ever(spool: &Spool) {
    loop {
        for (number, job) in spool.take("pacs", NOW, 4, Order::Any).unwrap().into_iter().enumerate() {
            let id = job.id();
            if number % 2 == 0 {
                say(&format!("sending {id}\n"));
                job.done(NOW).unwrap();
                say(&format!("sent {id}\n"));
            } else {
                job.later(NOW + 60_000, "A700H", NOW).unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the children have acknowledged.
#[derive(Default)]
struct Told {
    stored: BTreeMap<EntryId, String>,
    sending: BTreeSet<EntryId>,
    sent: BTreeSet<EntryId>,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["stored", id, digest] => _ = self.stored.insert(id.parse().unwrap(), digest.to_owned()),
            ["sending", id] => _ = self.sending.insert(id.parse().unwrap()),
            ["sent", id] => _ = self.sent.insert(id.parse().unwrap()),
            _ => {}
        }
    }

    /// Compares, then delivers what there is so that the spool does not grow over the rounds.
    fn check(&mut self, folder: &Path) {
        let (spool, recovery) = Spool::open(&config(folder)).unwrap();
        assert!(recovery.damaged.is_empty() && recovery.foreign.is_empty(), "{recovery:?}");
        assert!(
            !matches!(recovery.journal, JournalFound::Damaged(_) | JournalFound::Missing),
            "{recovery:?}"
        );
        for (id, digest) in &self.stored {
            match spool.read(*id) {
                Err(error) => assert!(self.sending.contains(id), "{id} was acknowledged: {error}"),
                Ok(mut content) => {
                    assert!(!self.sent.contains(id), "{id} was delivered, and is here again");
                    let mut bytes = Vec::new();
                    content.read_to_end(&mut bytes).unwrap();
                    assert_eq!(blake3::hash(&bytes).to_string(), *digest, "{id} has other bytes");
                }
            }
        }
        loop {
            // Of entries with one key one at a time.
            let jobs = spool.take("pacs", NOW + 100_000, usize::MAX, Order::Any).unwrap();
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                job.done(NOW).unwrap();
            }
        }
        assert_eq!(spool.usage().entries, 0);
        // With its end the spare files go.
        drop(spool);
        let left: Vec<_> = std::fs::read_dir(folder.join("spool/entries")).unwrap().collect();
        assert!(left.is_empty(), "no file stays without an entry: {left:?}");
        *self = Self::default();
    }
}

/// Lets a child work for a while and kills it: in every second round after its first acknowledgement, else wherever it
/// is then, such as in its start.
fn round(folder: &Path, seed: u64, told: &mut Told, pause: Duration) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["spool::kill::child", "--exact", "--ignored", "--nocapture"])
        .env(CHILD, format!("{seed} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(child.stdout.take().unwrap());
    let (first, has_begun) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        while pipe.read_line(&mut text).unwrap() > 0 {
            if text.contains("stored") {
                let _ = first.send(());
            }
        }
        text
    });
    if seed.is_multiple_of(2) {
        has_begun.recv_timeout(Duration::from_secs(60)).expect("an acknowledgement");
    }
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    // A line that the kill cut off was not said.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().for_each(|line| told.hear(line));
    told.stored.len()
}

#[test]
fn every_acknowledged_entry_survives_a_kill() {
    let rounds = if std::env::var_os("SEALGATE_SOAK").is_some() { 5000 } else { 100 };
    let folder = tempfile::tempdir().unwrap();
    let (mut told, mut chance, start) = (Told::default(), Chance(99), Instant::now());
    let mut stored = 0;
    for seed in 0..rounds {
        let pause = Duration::from_millis(2 + chance.next() % 100);
        stored += round(folder.path(), seed, &mut told, pause);
        told.check(folder.path());
    }
    println!("{rounds} kills, {stored} acknowledged entries, {:?}", start.elapsed());
    assert!(stored > 200, "{stored}");
}
