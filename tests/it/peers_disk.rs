//! The key store on a disk that is full, and on one that is read-only.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

use sealgate::keys::store::Write;
use sealgate::keys::{KeyStore, KeysError, SqliteStore, StoreConfig};

use crate::keys::{folder, key_id, new_key, site_keyring};
use crate::mount::Mount;

#[test]
fn a_full_disk_refuses_clearly_and_goes_on_when_there_is_room() {
    let (keys, disk) = (folder(), folder());
    let keyring = site_keyring(keys.path());
    let mount = Mount::new(disk.path(), "1m").expect("mounted");
    let store = SqliteStore::open(&disk.path().join("store.sqlite"), &StoreConfig::default()).unwrap();
    let mut stored = 0;
    let error = loop {
        match store.write(Write::Key(new_key(&keyring, stored))) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100_000, "the disk does not get full");
    };
    assert!(matches!(error, KeysError::StoreFull), "{error}");
    assert!(error.is_retryable() && error.advice().contains("Free space"));
    assert!(stored > 10, "{stored}");
    mount.remount("size=8m");
    assert_eq!(store.write(Write::Key(new_key(&keyring, stored))).unwrap(), 1);
    for number in 0..=stored {
        assert!(store.find(key_id(number)).unwrap().is_some(), "key {number}");
    }
    assert_eq!(store.check(&mut |_, _| ()).unwrap().problems, [""; 0]);
}

#[test]
fn a_read_only_disk_refuses_clearly() {
    let (keys, disk) = (folder(), folder());
    let keyring = site_keyring(keys.path());
    let mount = Mount::new(disk.path(), "4m").expect("mounted");
    let path = disk.path().join("store.sqlite");
    drop(SqliteStore::open(&path, &StoreConfig::default()).unwrap());
    mount.remount("ro");
    let error = SqliteStore::open(&path, &StoreConfig::default()).err().expect("a refusal");
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    mount.remount("rw");
    let store = SqliteStore::open(&path, &StoreConfig::default()).unwrap();
    assert_eq!(store.write(Write::Key(new_key(&keyring, 1))).unwrap(), 1);
}
