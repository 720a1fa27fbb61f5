//! The key store: found again, never overwritten, checked, backed up, restored; damage is seen.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sealgate::dicom::AeTitle;
use sealgate::keys::rotation::{rewrap, verify};
use sealgate::keys::store::{Filter, NewVersion, Write, manifest_path, restore, verify_backup};
use sealgate::keys::{Algorithm, Config, KeyStore, Keyring, KeysError, SqliteStore, StoreConfig};

use super::{add_key, binding, content_key, facts, key_id, name, new_key, site_keyring, uid};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("store.sqlite"), &StoreConfig::default()).unwrap()
}

/// A way to damage a file.
type Spoil = fn(&mut Vec<u8>);

fn quiet(_: u64, _: u64) {}

fn fill(store: &SqliteStore, keyring: &Keyring, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(store.write(Write::Key(new_key(keyring, number))).unwrap(), 1);
    }
}

/// Runs SQL past the program, as a damaged disk or a curious hand would.
fn meddle(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join("store.sqlite")).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn what_was_stored_is_found_after_reopening() {
    let folder = super::folder();
    let keyring = site_keyring(folder.path());
    let new = new_key(&keyring, 1);
    assert_eq!(open(folder.path()).write(Write::Key(new.clone())).unwrap(), 1);
    let found = open(folder.path()).find(key_id(1)).unwrap().unwrap();
    assert_eq!(
        (found.binding, found.facts, found.record, found.version),
        (new.binding, new.facts, new.record, 1)
    );
    assert_eq!(open(folder.path()).find(key_id(2)).unwrap(), None);
}

#[test]
fn the_same_record_again_is_kept_once_and_another_is_refused() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    let new = new_key(&keyring, 1);
    store.write(Write::Key(new.clone())).unwrap();
    assert_eq!(store.write(Write::Key(new.clone())).unwrap(), 1);
    let other_wrap = new_key(&keyring, 1);
    assert!(matches!(store.write(Write::Key(other_wrap)), Err(KeysError::Conflict(_))));
    assert_eq!(store.counts().unwrap().records, 1);
    assert_eq!(store.find(key_id(1)).unwrap().unwrap().record, new.record);
}

#[test]
fn a_conflict_does_not_take_its_neighbours_in_the_commit_down() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..1);
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in [5, 0, 6] {
        let sender = sender.clone();
        let done = Box::new(move |result| sender.send((number, result)).unwrap());
        store.submit(Write::Key(new_key(&keyring, number)), done);
    }
    drop(sender);
    for (number, result) in receiver {
        assert_eq!(result.is_ok(), number != 0, "{number}");
    }
    assert_eq!(store.counts().unwrap().keys, 3);
}

#[test]
fn nonsense_and_another_keys_record_are_not_stored() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    let mut nonsense = new_key(&keyring, 1);
    nonsense.record.truncate(50);
    assert!(matches!(store.write(Write::Key(nonsense)), Err(KeysError::Record(_))));
    let mut mixed_up = new_key(&keyring, 1);
    mixed_up.record = new_key(&keyring, 2).record;
    assert!(matches!(store.write(Write::Key(mixed_up)), Err(KeysError::OtherKey { .. })));
    assert_eq!(store.counts().unwrap().keys, 0);
}

#[test]
fn versions_are_added_behind_the_latest_only() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 1..2);
    let version = |after| {
        let record = keyring.wrap(&content_key(1), &binding(1)).unwrap();
        Write::Version(NewVersion { key_id: key_id(1), after, record, wrapped_unix_millis: 9 })
    };
    let second = version(1);
    assert_eq!(store.write(second.clone()).unwrap(), 2);
    assert_eq!(store.write(second).unwrap(), 2, "the same again is the same version");
    assert!(matches!(store.write(version(1)), Err(KeysError::Conflict(_))));
    assert_eq!(store.write(version(2)).unwrap(), 3);
    let versions = store.versions(key_id(1)).unwrap();
    assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(store.find(key_id(1)).unwrap().unwrap().version, 3);
    let unknown = Write::Version(NewVersion {
        key_id: key_id(7),
        after: 1,
        record: new_key(&keyring, 7).record,
        wrapped_unix_millis: 9,
    });
    assert!(matches!(store.write(unknown), Err(KeysError::UnknownKey(_))));
}

#[test]
fn listing_answers_by_study_title_time_and_instance() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..40);
    let numbers = |filter: Filter| -> Vec<i64> {
        store.list(&filter, 0, 100).unwrap().iter().map(|stored| stored.position - 1).collect()
    };
    assert_eq!(
        numbers(Filter { study: Some(uid("1.9.2")), ..Filter::default() }),
        (20..30).collect::<Vec<_>>()
    );
    assert_eq!(numbers(Filter { sop_instance: Some(uid("1.2.3.7")), ..Filter::default() }), [7]);
    let from_mr = Filter {
        calling: Some(AeTitle::parse("MR 1").unwrap()),
        sealed_from_unix_millis: Some(facts(10).sealed_unix_millis),
        sealed_before_unix_millis: Some(facts(15).sealed_unix_millis),
        ..Filter::default()
    };
    assert_eq!(numbers(from_mr), [11, 13]);
    let page = store.list(&Filter::default(), 10, 5).unwrap();
    assert_eq!(page.iter().map(|stored| stored.position).collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
}

#[test]
fn rows_are_neither_changed_nor_deleted_even_by_hand() {
    let folder = super::folder();
    let keyring = site_keyring(folder.path());
    fill(&open(folder.path()), &keyring, 0..1);
    let connection = rusqlite::Connection::open(folder.path().join("store.sqlite")).unwrap();
    for sql in [
        "UPDATE keys SET suite = 2",
        "DELETE FROM keys",
        "UPDATE records SET version = 2",
        "DELETE FROM records",
    ] {
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("are never"), "{sql}: {error}");
    }
}

#[test]
fn the_check_sees_every_kind_of_damage() {
    let damages = [
        ("DROP TRIGGER keys_stay; UPDATE keys SET study = '1.6.6' WHERE id = 2", "beside the key"),
        ("DROP TRIGGER keys_stay; UPDATE keys SET calling = NULL WHERE id = 2", "beside the key"),
        ("DROP TRIGGER records_stay; UPDATE records SET record = zeroblob(50) WHERE key = 2", "its digest"),
        ("DROP TRIGGER records_stay; UPDATE records SET kek_set = x'00' WHERE key = 2", "its recipients"),
        (
            "DROP TRIGGER records_stay; UPDATE records SET version = 2 WHERE key = 2",
            "version of a key is missing",
        ),
        ("DROP TRIGGER records_remain; DELETE FROM records WHERE key = 2", "a key has no record"),
        (
            "PRAGMA foreign_keys = OFF; DROP TRIGGER keys_remain; DELETE FROM keys WHERE id = 2",
            "belongs to no key",
        ),
        ("DROP TRIGGER keys_stay; UPDATE keys SET sop_class = 'x' WHERE id = 2", "row 2"),
    ];
    for (sql, expected) in damages {
        let folder = super::folder();
        let keyring = site_keyring(folder.path());
        fill(&open(folder.path()), &keyring, 0..3);
        assert_eq!(open(folder.path()).check(&mut quiet).unwrap().problems, [""; 0]);
        meddle(folder.path(), sql);
        let problems = open(folder.path()).check(&mut quiet).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{sql}: {problems:?}");
    }
}

#[test]
fn another_database_and_a_newer_schema_are_refused() {
    let folder = super::folder();
    drop(open(folder.path()));
    meddle(folder.path(), "INSERT INTO schema_version (version) VALUES (99)");
    let newer =
        SqliteStore::open(&folder.path().join("store.sqlite"), &StoreConfig::default()).err().unwrap();
    assert!(matches!(newer, KeysError::StoreSchema { found: 99, .. }), "{newer}");

    let folder = super::folder();
    meddle(folder.path(), "CREATE TABLE patients (name TEXT)");
    fs::set_permissions(
        folder.path().join("store.sqlite"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let other =
        SqliteStore::open(&folder.path().join("store.sqlite"), &StoreConfig::default()).err().unwrap();
    assert!(matches!(other, KeysError::Malformed { .. }), "{other}");
}

#[test]
fn a_backup_taken_while_writing_is_whole_and_restores() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..500);
    let backup = folder.path().join("backup.sqlite");
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(500));
    let manifest = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fill(&store, &keyring, written.load(Ordering::Relaxed)..written.load(Ordering::Relaxed) + 1);
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        let manifest = store.backup(&backup, 1_700_000_000, &mut quiet);
        std::thread::sleep(std::time::Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        manifest.unwrap()
    });
    assert!(manifest.counts.keys >= 500 && manifest.counts.keys < written.load(Ordering::Relaxed));
    assert!(matches!(store.backup(&backup, 1, &mut quiet), Err(KeysError::Exists(_))));

    let elsewhere = super::folder();
    let restored = restore(&backup, &elsewhere.path().join("store.sqlite"), 1, &mut quiet).unwrap();
    assert_eq!((restored.manifest.counts, restored.replaced), (manifest.counts, None));
    let copy = open(elsewhere.path());
    assert_eq!(copy.check(&mut quiet).unwrap().problems, [""; 0]);
    for number in 0..500 {
        assert_eq!(
            copy.find(key_id(number)).unwrap().map(|s| s.record),
            store.find(key_id(number)).unwrap().map(|s| s.record)
        );
    }
    fill(&copy, &keyring, 100_000..100_001);
}

#[test]
fn a_restore_never_loses_what_only_the_present_store_has() {
    let folder = super::folder();
    let path = folder.path().join("store.sqlite");
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..10);
    let backup = folder.path().join("backup.sqlite");
    store.backup(&backup, 1, &mut quiet).unwrap();
    let in_use = restore(&backup, &path, 1, &mut quiet);
    assert!(matches!(in_use, Err(KeysError::StoreInUse(_))), "{in_use:?}");
    drop(store);
    // The same content: nothing is lost, and the old file is only moved.
    let replaced = restore(&backup, &path, 1, &mut quiet).unwrap().replaced.unwrap();
    assert!(replaced.exists());

    fill(&open(folder.path()), &keyring, 10..12);
    match restore(&backup, &path, 2, &mut quiet) {
        Err(KeysError::RestoreWouldLose { count: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(open(folder.path()).counts().unwrap().keys, 12);
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..10);
    let backup = folder.path().join("backup.sqlite");
    store.backup(&backup, 1, &mut quiet).unwrap();
    let whole = fs::read(&backup).unwrap();
    let target = folder.path().join("restored.sqlite");
    let spoils: [(&str, Spoil); 3] = [
        ("one bit", |bytes| bytes[5000] ^= 1),
        ("cut short", |bytes| bytes.truncate(4096)),
        ("extended", |bytes| bytes.push(0)),
    ];
    for (what, spoil) in spoils {
        let mut bytes = whole.clone();
        spoil(&mut bytes);
        fs::write(&backup, bytes).unwrap();
        assert!(
            matches!(restore(&backup, &target, 1, &mut quiet), Err(KeysError::Malformed { .. })),
            "{what}"
        );
        assert!(!target.exists());
    }
    fs::write(&backup, whole).unwrap();
    assert!(verify_backup(&backup, &mut quiet).is_ok());
    fs::remove_file(manifest_path(&backup)).unwrap();
    assert!(restore(&backup, &target, 1, &mut quiet).is_err(), "without its manifest");
}

#[test]
fn a_log_left_behind_is_not_played_into_a_restored_store() {
    let folder = super::folder();
    let (keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..10);
    let backup = folder.path().join("backup.sqlite");
    store.backup(&backup, 1, &mut quiet).unwrap();
    let elsewhere = super::folder();
    let log = elsewhere.path().join("store.sqlite-wal");
    fs::copy(folder.path().join("store.sqlite-wal"), &log).unwrap();
    restore(&backup, &elsewhere.path().join("store.sqlite"), 1, &mut quiet).unwrap();
    assert!(!log.exists());
    assert_eq!(open(elsewhere.path()).check(&mut quiet).unwrap().problems, [""; 0]);
}

#[test]
fn rewrap_moves_everything_over_and_goes_on_where_it_was() {
    let folder = super::folder();
    let (mut keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..600);
    assert_eq!(rewrap(&store, &keyring, 5, &mut quiet).unwrap().done, 0, "nothing to do yet");
    add_key(&mut keyring, "site", Algorithm::XWing);

    // Ended in the middle, as by a signal: the progress callback does not return.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rewrap(&store, &keyring, 5, &mut |done, _| assert!(done < 256, "that is enough for now"))
    }));
    assert!(ended.is_err());
    let moved = store.counts().unwrap().records - 600;
    assert!((1..600).contains(&moved), "{moved}");
    let outcome = rewrap(&store, &keyring, 6, &mut quiet).unwrap();
    assert_eq!((outcome.done, outcome.failed), (600 - moved, 0));
    assert_eq!(store.counts().unwrap().records, 1200, "old versions stay");
    let filter = Filter { not_wrapped_for: Some(keyring.current_set().unwrap()), ..Filter::default() };
    assert_eq!(store.list(&filter, 0, 10).unwrap(), []);

    let everything = verify(&store, &keyring, None, &mut quiet).unwrap();
    assert_eq!((everything.keys, everything.done, everything.failed), (600, 1200, 0));
    // The new key alone opens every latest version.
    fs::remove_file(folder.path().join("kek/site-0001.kek")).unwrap();
    let mut alone = Keyring::load(&folder.path().join("kek"), &[name("site")]).unwrap();
    alone.unlock(&super::secrets()).unwrap();
    for number in [0, 299, 599] {
        let stored = store.find(key_id(number)).unwrap().unwrap();
        let found = alone.unwrap(&stored.record, &stored.binding).unwrap();
        assert_eq!(found.expose_secret(), content_key(number).expose_secret());
    }
    assert_eq!(
        verify(&store, &alone, None, &mut quiet).unwrap().failed,
        600,
        "the old versions need the old key"
    );
}

#[test]
fn verify_tells_which_keys_do_not_open() {
    let (folder, other) = (super::folder(), super::folder());
    let (keyring, stranger, store) =
        (site_keyring(folder.path()), site_keyring(other.path()), open(folder.path()));
    fill(&store, &keyring, 0..20);
    fill(&store, &stranger, 20..21);
    let outcome = verify(&store, &keyring, None, &mut quiet).unwrap();
    assert_eq!((outcome.done, outcome.failed), (20, 1));
    assert!(outcome.failures[0].contains(&key_id(20).to_string()), "{:?}", outcome.failures);
    let sampled = verify(&store, &keyring, Some(5), &mut quiet).unwrap();
    assert_eq!((sampled.keys, sampled.done), (5, 5));
}

#[test]
fn a_locked_keyring_stops_a_rewrap_before_anything_is_written() {
    let folder = super::folder();
    let (mut keyring, store) = (site_keyring(folder.path()), open(folder.path()));
    fill(&store, &keyring, 0..3);
    add_key(&mut keyring, "site", Algorithm::EcdhP256);
    keyring.lock();
    assert!(matches!(rewrap(&store, &keyring, 5, &mut quiet), Err(KeysError::Locked(_))));
    assert_eq!(store.counts().unwrap().records, 3);
}

#[test]
fn many_readers_wait_for_the_few_connections_there_are() {
    let folder = super::folder();
    let keyring = site_keyring(folder.path());
    let limits = StoreConfig { readers_max: 2, ..Config::default().store };
    let store = SqliteStore::open(&folder.path().join("store.sqlite"), &limits).unwrap();
    fill(&store, &keyring, 0..50);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..50 {
                    assert!(store.find(key_id((number + thread) % 50)).unwrap().is_some());
                }
            });
        }
    });
}
