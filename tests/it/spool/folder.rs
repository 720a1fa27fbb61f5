//! The folder on a real disk: for its owner alone, for one process at a time, and seen from a second one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealgate::spool::{Config, Order, Spool, SpoolError, State, look, look_at};

use super::story::{NOW, Told, meta};

fn config(folder: &Path) -> Config {
    Config { folder: folder.join("spool"), refuse_stores_free_bytes: 0, ..Config::default() }
}

#[test]
fn everything_is_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&config(folder.path())).unwrap();
    Told::default().store(&spool, meta("a", &["pacs"]), 100_000).unwrap();
    let _draft = spool.begin(None).unwrap();
    let mut folders = vec![folder.path().join("spool")];
    let (mut seen, mut files) = (0, 0);
    while let Some(path) = folders.pop() {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700, "{}", path.display());
        for entry in fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                seen += 1;
            } else {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
                assert_eq!(mode, 0o600, "{}", entry.path().display());
                files += 1;
            }
        }
    }
    assert_eq!((seen, files), (2, 4), "two folders; lock, journal, entry, draft");
}

#[test]
fn a_folder_that_others_can_look_into_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    fs::create_dir(&config.folder).unwrap();
    fs::set_permissions(&config.folder, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Spool::open(&config).err().unwrap();
    assert!(error.to_string().contains("mode 0755"), "{error}");
}

#[test]
fn a_spool_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(&config(folder.path())).unwrap();
    let error = Spool::open(&config(folder.path())).err().unwrap();
    assert!(matches!(error, SpoolError::Locked(_)), "{error}");
    // A draft keeps it open: what it writes belongs to this process.
    let draft = spool.begin(None).unwrap();
    drop(spool);
    assert!(matches!(Spool::open(&config(folder.path())), Err(SpoolError::Locked(_))));
    drop(draft);
    assert!(Spool::open(&config(folder.path())).is_ok());
}

#[test]
fn a_second_look_sees_what_the_first_process_sees() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (spool, _) = Spool::open(&config).unwrap();
    let mut told = Told::default();
    let one = told.store(&spool, meta("a", &["pacs", "backup"]), 1000).unwrap();
    let two = told.store(&spool, meta("b", &["pacs"]), 2000).unwrap();
    let gone = told.store(&spool, meta("c", &["pacs"]), 10).unwrap();
    told.later(&spool, one, "pacs", "A700H").unwrap();
    told.done(&spool, gone, "pacs").unwrap();
    let _draft = spool.begin(None).unwrap();
    let listing = look(&config.folder).unwrap();
    assert_eq!(listing.entries, spool.list(0, 99));
    assert_eq!(listing.entries[0].deliveries[0].delivery.state, State::Later);
    assert!(listing.damaged.is_empty() && listing.unreadable.is_empty());
    assert_eq!(look_at(&config.folder, two).unwrap(), meta("b", &["pacs"]));
    assert!(matches!(look_at(&config.folder, gone), Err(SpoolError::Unknown(_))));
    assert_eq!(spool.usage().drafts, 1, "looking changes nothing");
}

#[test]
fn looking_while_entries_come_and_go_never_fails() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { journal_bytes_max: 4096, ..config(folder.path()) };
    let (spool, _) = Spool::open(&config).unwrap();
    let (ended, mut looks) = (std::sync::atomic::AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..60 {
                Told::default().store(&spool, meta(&number.to_string(), &["pacs"]), 100).unwrap();
                let due = if number % 2 == 1 { 2 } else { 0 };
                let jobs = spool.take("pacs", NOW, due, Order::Any).unwrap();
                jobs.into_iter().try_for_each(|job| job.done(NOW)).unwrap();
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            let listing = look(&config.folder).unwrap();
            assert!(listing.unreadable.is_empty() && listing.entries.len() <= 3, "{listing:?}");
            looks += 1;
        }
    });
    assert!(looks > 10, "{looks}");
}
