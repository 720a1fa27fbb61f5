//! Limits: bytes, entries, free space, fields; what is promised to one is not promised to another.

use std::sync::Arc;

use sealgate::spool::{Config, Meta, Pressure, Spool, SpoolError};

use super::sim::Sim;
use super::story::{NOW, Told, config, content, meta, open, read_all};

fn limited(change: impl FnOnce(&mut Config)) -> (Spool, Sim) {
    let sim = Sim::new();
    let mut config = Config { draft_step_bytes: 4096, ..config() };
    change(&mut config);
    (Spool::open_on(Arc::new(sim.clone()), &config).unwrap().0, sim)
}

#[test]
fn a_spool_refuses_associations_then_stores_and_takes_them_again() {
    let (spool, _) = limited(|config| config.bytes_max = 100_000);
    let mut told = Told::default();
    assert_eq!(spool.pressure(), Pressure::Open);
    let one = told.store(&spool, meta("a", &["pacs"]), 91_000).unwrap();
    assert_eq!(spool.pressure(), Pressure::RefuseAssociations);
    let error = told.store(&spool, meta("b", &["pacs"]), 20_000).unwrap_err();
    assert!(matches!(error, SpoolError::FullOfBytes { .. }) && error.is_full(), "{error}");
    let mut draft = spool.begin(Some(0)).unwrap();
    let written = (0..100).find_map(|_| draft.write(&[0; 1000]).err());
    assert!(written.is_some_and(|error| error.is_full()), "a draft that grows meets the limit too");
    drop(draft);
    told.done(&spool, one, "pacs").unwrap();
    assert_eq!((spool.pressure(), spool.usage()), (Pressure::Open, sealgate::spool::Usage::default()));
    told.store(&spool, meta("b", &["pacs"]), 20_000).unwrap();
}

#[test]
fn the_reserve_of_the_disk_is_left_alone() {
    let (spool, sim) = limited(|config| {
        config.refuse_stores_free_bytes = 1_000_000;
        config.refuse_associations_free_bytes = 2_000_000;
    });
    sim.set_free(3_000_000);
    assert_eq!(spool.pressure(), Pressure::Open);
    let big = spool.begin(Some(1_500_000)).unwrap();
    assert_eq!(spool.pressure(), Pressure::RefuseAssociations, "what is promised counts as taken");
    let error = spool.begin(Some(600_000)).err().unwrap();
    assert!(matches!(error, SpoolError::DiskFull { free: 1_500_000, .. }), "{error}");
    assert!(spool.begin(Some(500_000)).is_ok());
    sim.set_free(2_500_000);
    assert_eq!(spool.pressure(), Pressure::RefuseStores);
    drop(big);
    assert_eq!(spool.pressure(), Pressure::Open);
}

#[test]
fn promises_hold_among_many_writers() {
    let (spool, _) = limited(|config| config.bytes_max = 1_000_000);
    let started: usize = std::thread::scope(|scope| {
        let try_many = || (0..50).filter_map(|_| spool.begin(Some(10_000)).ok()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(try_many)).collect();
        let drafts: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(spool.usage().reserved_bytes, 1_000_000);
        drafts.len()
    });
    assert_eq!((started, spool.usage().reserved_bytes), (100, 0));
}

#[test]
fn entries_and_drafts_are_limited() {
    let (spool, _) = limited(|config| (config.entries_max, config.drafts_max) = (3, 2));
    let drafts = [spool.begin(None).unwrap(), spool.begin(None).unwrap()];
    assert!(matches!(spool.begin(None), Err(SpoolError::FullOfDrafts(2))));
    drop(drafts);
    let mut told = Told::default();
    for number in 0..3 {
        told.store(&spool, meta(&number.to_string(), &["pacs"]), 10).unwrap();
    }
    assert!(matches!(spool.begin(None), Err(SpoolError::FullOfEntries(3))));
    assert_eq!(spool.pressure(), Pressure::RefuseStores);
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let (spool, sim) = limited(|_| ());
    let mut draft = spool.begin(Some(200_000)).unwrap();
    draft.write(&content("a", 150_000)).unwrap();
    assert_eq!(sim.files().len(), 2);
    drop(draft);
    assert_eq!((sim.files().len(), spool.usage()), (1, sealgate::spool::Usage::default()));
    let draft = spool.begin(None).unwrap();
    assert!(draft.is_empty());
    assert!(matches!(draft.commit(Meta::default(), NOW), Err(SpoolError::NoDestination)));
    assert_eq!((sim.files().len(), spool.usage()), (1, sealgate::spool::Usage::default()));
}

#[test]
fn what_does_not_fit_its_field_is_refused() {
    let (spool, sim) = limited(|_| ());
    let name = |length| "n".repeat(length);
    let cases: [(bool, Meta); 12] = [
        (true, Meta { bytes: vec![1; 65_536], ..meta("a", &["pacs"]) }),
        (false, Meta { bytes: vec![1; 65_537], ..meta("a", &["pacs"]) }),
        (
            true,
            Meta { key: vec![1; 1024], group: vec![2; 1024], digest: vec![3; 64], ..meta("a", &["pacs"]) },
        ),
        (false, Meta { key: vec![1; 1025], ..meta("a", &["pacs"]) }),
        (false, Meta { group: vec![1; 1025], ..meta("a", &["pacs"]) }),
        (false, Meta { digest: vec![1; 65], ..meta("a", &["pacs"]) }),
        (true, Meta { destinations: (1..=64).map(name).collect(), ..meta("a", &[]) }),
        (false, Meta { destinations: (1..=65).map(name).collect(), ..meta("a", &[]) }),
        (true, Meta { destinations: vec![name(255)], ..meta("a", &[]) }),
        (false, Meta { destinations: vec![name(256)], ..meta("a", &[]) }),
        (false, meta("a", &["pacs", "pacs"])),
        (false, meta("a", &[""])),
    ];
    for (fits, meta) in cases {
        let draft = spool.begin(None).unwrap();
        let text = format!("{meta:?}");
        match draft.commit(meta.clone(), NOW) {
            Ok(receipt) => {
                assert!(fits, "{text}");
                assert_eq!(*spool.read(receipt.id()).unwrap().meta(), meta);
            }
            Err(error) => assert!(!fits, "{text}: {error}"),
        }
    }
    let kept = spool.usage().entries;
    assert_eq!(kept, 4);
    drop(spool);
    let (_, recovery) = open(&sim).unwrap();
    assert_eq!((recovery.entries, recovery.damaged.len()), (kept, 0));
}

#[test]
fn content_of_any_length_comes_back() {
    let (spool, sim) = limited(|_| ());
    let mut told = Told::default();
    let lengths = [4, 65_535, 65_536, 65_537, 131_072, 200_001];
    let ids: Vec<_> =
        lengths.iter().map(|n| told.store(&spool, meta(&n.to_string(), &["pacs"]), *n).unwrap()).collect();
    let empty = spool.begin(None).unwrap().commit(meta("empty", &["pacs"]), NOW).unwrap().id();
    drop(spool);
    let (spool, _) = open(&sim).unwrap();
    for (id, length) in ids.into_iter().zip(lengths) {
        assert!(read_all(&spool, id).unwrap() == content(&length.to_string(), length), "{length}");
    }
    assert_eq!(read_all(&spool, empty).unwrap(), b"");
}

#[test]
fn a_patch_reaches_every_place_and_no_further() {
    let (spool, _) = limited(|_| ());
    let mut draft = spool.begin(None).unwrap();
    let mut wanted = content("a", 200_000);
    draft.write(&wanted).unwrap();
    // Inside a block, over a border, over several blocks into the part that is still in memory, at the very end.
    for (at, length) in [(0, 4), (65_530, 10), (60_000, 139_000), (199_999, 1), (200_000, 0)] {
        let patch = content(&format!("patch {at}"), length);
        draft.patch(at as u64, &patch).unwrap();
        wanted[at..at + length].copy_from_slice(&patch);
    }
    for (at, length) in [(199_999, 2), (200_001, 0), (u64::MAX, 1)] {
        let error = draft.patch(at, &vec![0; length]).unwrap_err();
        assert!(matches!(error, SpoolError::PatchOutside { written: 200_000, .. }), "{error}");
    }
    let id = draft.commit(meta("a", &["pacs"]), NOW).unwrap().id();
    assert!(read_all(&spool, id).unwrap() == wanted);
}

#[test]
fn a_patch_over_bytes_that_the_disk_has_changed_is_refused() {
    let (spool, sim) = limited(|_| ());
    let mut draft = spool.begin(None).unwrap();
    draft.write(&content("a", 200_000)).unwrap();
    let path = sim.files().into_keys().find(|path| path.extension().is_some_and(|e| e == "draft")).unwrap();
    // Behind the first block, which is held in memory.
    sim.spoil(&path, |bytes| bytes[70_000] ^= 1);
    assert!(matches!(draft.patch(65_536, b"x"), Err(SpoolError::Damaged { .. })));
    assert!(matches!(draft.write(b"x"), Err(SpoolError::DraftFailed)));
    assert!(matches!(draft.commit(meta("a", &["pacs"]), NOW), Err(SpoolError::DraftFailed)));
}
