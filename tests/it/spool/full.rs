//! A real disk that gets full under the spool: a small file system in memory, mounted by root.

use std::sync::Mutex;

use sealgate::spool::{Config, Order, Pressure, Spool};

use super::story::{NOW, content, meta, read_all};
use crate::mount::Mount;

fn config(folder: &std::path::Path) -> Config {
    Config {
        folder: folder.join("spool"),
        refuse_stores_free_bytes: 0,
        refuse_associations_free_bytes: 0,
        ..Config::default()
    }
}

/// Stores until it is refused; the acknowledged ids with their keys.
fn fill(spool: &Spool, writer: u32) -> Vec<(sealgate::spool::EntryId, String)> {
    let mut stored = Vec::new();
    for number in 0..10_000 {
        let key = format!("{writer} {number}");
        let store = || {
            let mut draft = spool.begin(Some(0))?;
            draft.write(&content(&key, 100_000))?;
            draft.commit(meta(&key, &["pacs"]), NOW)
        };
        match store() {
            Ok(receipt) => stored.push((receipt.id(), key)),
            Err(error) => {
                assert!(error.is_full(), "{error}");
                return stored;
            }
        }
    }
    panic!("the disk does not get full");
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_empties_itself() {
    let disk = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(disk.path(), "8m") else { return };
    let (spool, _) = Spool::open(&config(disk.path())).unwrap();
    let stored = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (spool, stored) = (&spool, &stored);
            scope.spawn(move || stored.lock().unwrap().extend(fill(spool, writer)));
        }
    });
    let stored = stored.into_inner().unwrap();
    assert!(stored.len() > 50, "{}", stored.len());
    assert_eq!(spool.failed(), None);
    // Something else takes the last bytes as well.
    let other = std::fs::write(disk.path().join("other"), vec![1; 8 << 20]);
    assert!(other.is_err());
    assert_eq!(spool.pressure(), Pressure::RefuseStores);
    drop(spool);
    let (spool, recovery) = Spool::open(&config(disk.path())).expect("it starts on a full disk");
    assert_eq!((recovery.entries, recovery.damaged.len()), (stored.len() as u64, 0));
    for (id, key) in &stored {
        assert!(read_all(&spool, *id).unwrap() == content(key, 100_000), "{key}");
    }
    for job in spool.take("pacs", NOW, 40, Order::Any).unwrap() {
        job.done(NOW).expect("a delivery is noted on a full disk");
    }
    assert_eq!(spool.pressure(), Pressure::Open);
    assert!(!fill(&spool, 9).is_empty(), "with room again it goes on");
}
