//! Bytes that changed on the disk: found, named, set aside, kept; never handed on.

use std::path::{Path, PathBuf};

use sealgate::spool::{Config, EntryId, JournalFound, Order, Spool, SpoolError};

use super::sim::Sim;
use super::story::{NOW, Told, config, content, meta, open, read_all};

fn entry_path(id: EntryId) -> PathBuf {
    Path::new("/sim/spool/entries").join(format!("{id}.entry"))
}

type Spoil = fn(&mut Vec<u8>);

fn two_entries(sim: &Sim) -> (EntryId, EntryId) {
    let (spool, _) = open(sim).unwrap();
    let mut told = Told::default();
    let one = told.store(&spool, meta("1.2.3", &["pacs"]), 150_000).unwrap();
    (one, told.store(&spool, meta("other", &["pacs"]), 150_000).unwrap())
}

#[test]
fn a_damaged_entry_is_set_aside_at_the_start_and_kept() {
    let size = 150_000;
    let cases: [(&str, Spoil); 8] = [
        ("the bytes from 65536 to 131072 do not fit their sum", |bytes| bytes[70_000] ^= 1),
        ("the bytes from 131072 to 150000 do not fit their sum", |bytes| bytes[149_999] ^= 0x80),
        ("the sum of its record does not fit", |bytes| bytes[150_040] ^= 1),
        ("it does not end as an entry does", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("it does not end as an entry does", |bytes| bytes.truncate(100_000)),
        ("it has 0 bytes", Vec::clear),
        ("its end says", |bytes| {
            let at = bytes.len() - 9;
            bytes[at] ^= 1;
        }),
        ("its end says", |bytes| {
            bytes.remove(10);
        }),
    ];
    for (reason, spoil) in cases {
        let sim = Sim::new();
        let (id, other) = two_entries(&sim);
        sim.spoil(&entry_path(id), spoil);
        let spoiled = sim.files()[&entry_path(id)].clone();
        let (spool, recovery) = open(&sim).unwrap();
        assert_eq!(recovery.damaged.len(), 1, "{reason}");
        assert_eq!((recovery.damaged[0].id, recovery.entries), (id, 1));
        assert!(recovery.damaged[0].reason.contains(reason), "{reason}: {}", recovery.damaged[0].reason);
        assert!(matches!(spool.show(id), Err(SpoolError::Unknown(_))));
        assert_eq!(read_all(&spool, other).unwrap(), content("other", size));
        let kept = Path::new("/sim/spool/damaged").join(format!("{id}.entry"));
        assert_eq!(sim.files()[&kept], spoiled, "not a byte of it is lost");
        let listed = spool.damaged().unwrap();
        assert_eq!((listed.len(), &listed[0].reason), (1, &recovery.damaged[0].reason));
        let readable = reason.starts_with("the bytes");
        assert_eq!(listed[0].key.as_deref(), readable.then_some(&b"1.2.3"[..]), "{reason}");
        drop(spool);
        let (_, again) = open(&sim).unwrap();
        assert!(again.damaged.is_empty() && again.entries == 1, "it is told once");
    }
}

#[test]
fn the_file_of_one_entry_in_place_of_another_is_found() {
    let sim = Sim::new();
    let (id, other) = two_entries(&sim);
    let bytes = sim.files()[&entry_path(other)].clone();
    sim.spoil(&entry_path(id), |old| *old = bytes);
    let (_, recovery) = open(&sim).unwrap();
    assert_eq!(recovery.damaged[0].id, id);
    assert!(recovery.damaged[0].reason.contains(&format!("the file of entry {other}")));
}

#[test]
fn damage_after_the_start_is_found_before_a_byte_of_it_is_handed_on() {
    let sim = Sim::new();
    let (id, _) = two_entries(&sim);
    let (spool, _) = open(&sim).unwrap();
    sim.spoil(&entry_path(id), |bytes| bytes[70_000] ^= 1);
    let job = spool.take("pacs", NOW, 1, Order::Any).unwrap().remove(0);
    assert_eq!(job.id(), id);
    let mut opened = job.open().unwrap();
    let first = opened.next_block().unwrap().to_vec();
    assert_eq!(first, content("1.2.3", 150_000)[..65_536]);
    let error = opened.next_block().unwrap_err();
    assert!(matches!(error, SpoolError::Damaged { .. }), "{error}");
    assert!(opened.next_block().is_err(), "and not by the next call either");
    drop(opened);
    assert!(matches!(job.done(NOW), Err(SpoolError::Unknown(_))), "nobody can say that it was delivered");
    assert_eq!((spool.usage().entries, spool.damaged().unwrap().len()), (1, 1));
    assert_eq!(spool.failed(), None);
}

#[test]
fn an_entry_whose_file_somebody_removed_is_named() {
    let sim = Sim::new();
    let (id, _) = two_entries(&sim);
    let (spool, _) = open(&sim).unwrap();
    sealgate::spool::Disk::remove(&sim, &entry_path(id)).unwrap();
    let error = spool.read(id).err().unwrap();
    assert!(error.to_string().contains("its file is gone"), "{error}");
    assert_eq!(spool.damaged().unwrap()[0].id, id);
}

#[test]
fn contents_that_the_start_had_no_time_for_are_verified_afterwards() {
    let sim = Sim::new();
    let (id, _) = two_entries(&sim);
    sim.spoil(&entry_path(id), |bytes| bytes[0] ^= 1);
    let hurried = Config { verify_seconds_max: 0, ..config() };
    let (spool, recovery) = Spool::open_on(std::sync::Arc::new(sim.clone()), &hurried).unwrap();
    assert_eq!((recovery.entries, recovery.verified, recovery.unverified), (2, 0, 2));
    assert!(recovery.damaged.is_empty());
    assert_eq!(spool.verify(1).unwrap(), 1, "a piece at a time");
    assert_eq!(spool.verify(u64::MAX).unwrap(), 0);
    assert_eq!(spool.damaged().unwrap()[0].id, id);
    assert_eq!(spool.usage().entries, 1);
}

#[test]
fn a_damaged_journal_costs_progress_and_no_entry() {
    let sim = Sim::new();
    let (spool, _) = open(&sim).unwrap();
    let mut told = Told::default();
    let one = told.store(&spool, meta("one", &["pacs", "backup"]), 10).unwrap();
    told.later(&spool, one, "backup", "A700H").unwrap();
    told.done(&spool, one, "pacs").unwrap();
    told.later(&spool, one, "backup", "A700H").unwrap();
    drop(spool);
    let journal = Path::new("/sim/spool/journal");
    // The second of the three records: 10 bytes of head, then the payload.
    let bytes = sim.files()[journal].clone();
    let starts: Vec<_> = (0..bytes.len() - 4).filter(|at| &bytes[*at..at + 4] == b"SGJR").collect();
    assert_eq!(starts.len(), 3);
    sim.spoil(journal, |bytes| bytes[starts[1] + 20] ^= 1);
    let spoiled = sim.files()[journal].clone();
    let (spool, recovery) = open(&sim).unwrap();
    assert_eq!((recovery.journal, recovery.entries), (JournalFound::Damaged(1), 1));
    let states: Vec<_> =
        spool.show(one).unwrap().deliveries.iter().map(|d| (d.delivery.state, d.delivery.attempts)).collect();
    assert_eq!(states, [(sealgate::spool::State::Waiting, 0), (sealgate::spool::State::Later, 2)]);
    let copies: Vec<_> = sim
        .files()
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("damaged/journal."))
        .collect();
    assert!(copies.len() == 1 && copies[0].1 == spoiled, "a copy is kept");
}

#[test]
fn a_missing_journal_is_told_and_everything_is_delivered_again() {
    let sim = Sim::new();
    let (one, _) = two_entries(&sim);
    sealgate::spool::Disk::remove(&sim, Path::new("/sim/spool/journal")).unwrap();
    let (spool, recovery) = open(&sim).unwrap();
    assert_eq!((recovery.journal, recovery.entries), (JournalFound::Missing, 2));
    assert_eq!(spool.take("pacs", NOW, 1, Order::Any).unwrap()[0].id(), one);
}

#[test]
fn files_of_a_later_version_are_refused_and_left_alone() {
    let sim = Sim::new();
    let (id, _) = two_entries(&sim);
    let before = sim.files();
    sim.spoil(&entry_path(id), |bytes| {
        bytes[150_000 + 9] = 2;
        let (record, end) = bytes[150_000..].split_at(bytes.len() - 150_000 - 24);
        let sum = crc32(record).to_be_bytes();
        let at = 150_000 + record.len() + 4;
        let _ = end;
        bytes[at..at + 4].copy_from_slice(&sum);
    });
    let spoiled = sim.files();
    let error = open(&sim).err().unwrap();
    assert!(error.to_string().contains("has version 2, this program knows 1"), "{error}");
    assert_eq!(sim.files(), spoiled);
    sim.spoil(&entry_path(id), |bytes| bytes.clone_from(&before[&entry_path(id)]));
    sim.spoil(Path::new("/sim/spool/journal"), |bytes| bytes[9] = 2);
    let error = open(&sim).err().unwrap();
    assert!(error.to_string().contains("has version 2, this program knows 1"), "{error}");
}

#[test]
fn names_that_are_not_the_spools_are_left_alone_and_told() {
    let sim = Sim::new();
    two_entries(&sim);
    let strange = Path::new("/sim/spool/entries/README");
    sealgate::spool::Disk::create(&sim, strange).unwrap();
    let (_, recovery) = open(&sim).unwrap();
    assert_eq!(recovery.foreign, ["README"]);
    assert!(sim.files().contains_key(strange));
}

/// CRC-32 as its definition has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}
