//! The archive: what goes where in each mode, what is tried on opening, and what is said when nothing opens.

use std::sync::Arc;

use sealgate::keys::store::{Facts, NewVersion, Write};
use sealgate::keys::{
    Archive, ArchiveMode, Found, KeyStore, Keyring, KeysError, Source, SqliteStore, StoreConfig,
};
use sealgate::seal::{self, Claim};
use tempfile::TempDir;

use super::{add_key, binding, content_key, facts, key_id, name, secrets, site_keyring};

struct Site {
    folder: TempDir,
    store: Arc<SqliteStore>,
}

impl Site {
    fn new() -> Self {
        let folder = super::folder();
        site_keyring(folder.path());
        let store = SqliteStore::open(&folder.path().join("store.sqlite"), &StoreConfig::default()).unwrap();
        Self { folder, store: Arc::new(store) }
    }

    fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::load(&self.folder.path().join("kek"), &[name("site")]).unwrap();
        keyring.unlock(&secrets()).unwrap();
        keyring
    }

    fn archive(&self, mode: ArchiveMode) -> Archive {
        self.with(mode, self.keyring())
    }

    fn with(&self, mode: ArchiveMode, keyring: Keyring) -> Archive {
        Archive::new(mode, Arc::new(keyring), Some(Arc::clone(&self.store) as Arc<dyn KeyStore>)).unwrap()
    }
}

fn archive(archive: &Archive, number: u64) -> Option<Vec<u8>> {
    archive.archive(&content_key(number), binding(number), facts(number)).unwrap().in_tag
}

fn refused(found: Result<Found, KeysError>) -> KeysError {
    match found {
        Ok(found) => panic!("found in {:?}", found.source),
        Err(error) => error,
    }
}

#[test]
fn each_mode_puts_the_record_where_it_says() {
    for (mode, in_tag, in_store) in [
        (ArchiveMode::Tag, true, false),
        (ArchiveMode::Sidecar, false, true),
        (ArchiveMode::Both, true, true),
    ] {
        let site = Site::new();
        let tag = archive(&site.archive(mode), 1);
        assert_eq!(
            (tag.is_some(), site.store.find(key_id(1)).unwrap().is_some()),
            (in_tag, in_store),
            "{mode:?}"
        );
    }
}

#[test]
fn opening_says_which_record_it_used() {
    let site = Site::new();
    let both = site.archive(ArchiveMode::Both);
    let tag = archive(&both, 1).unwrap();
    let found = both.find(key_id(1), Some(&tag), &binding(1)).unwrap();
    assert_eq!((found.source, found.failures.len()), (Source::Store, 0));
    assert_eq!(found.content_key.expose_secret(), content_key(1).expose_secret());
    // Its private tags were dropped on the way.
    assert_eq!(both.find(key_id(1), None, &binding(1)).unwrap().source, Source::Store);
    // The store knows nothing of it.
    let tag = archive(&site.archive(ArchiveMode::Tag), 2).unwrap();
    assert_eq!(both.find(key_id(2), Some(&tag), &binding(2)).unwrap().source, Source::Tag);
}

#[test]
fn a_bad_record_in_one_place_does_not_hide_the_good_one_in_the_other() {
    let site = Site::new();
    let both = site.archive(ArchiveMode::Both);
    let mut tag = archive(&both, 1).unwrap();
    tag[100] ^= 1;
    assert!(both.find(key_id(1), Some(&tag), &binding(1)).is_ok());

    // The store's latest version is for a key this site does not have; the instance's still opens.
    let stranger = super::folder();
    let record = site_keyring(stranger.path()).wrap(&content_key(2), &binding(2)).unwrap();
    let tag = archive(&both, 2).unwrap();
    let version = NewVersion { key_id: key_id(2), after: 1, record, wrapped_unix_millis: 1 };
    site.store.write(Write::Version(version)).unwrap();
    let found = both.find(key_id(2), Some(&tag), &binding(2)).unwrap();
    assert_eq!(found.source, Source::Tag);
    assert!(matches!(found.failures.as_slice(), [("the key store", KeysError::KekMissing { .. })]));
}

#[test]
fn the_reasons_are_told_apart() {
    let site = Site::new();
    let both = site.archive(ArchiveMode::Both);
    let tag = archive(&both, 1).unwrap();

    assert!(matches!(refused(both.find(key_id(9), None, &binding(9))), KeysError::UnknownKey(_)));

    let locked = Keyring::load(&site.folder.path().join("kek"), &[name("site")]).unwrap();
    let locked = refused(site.with(ArchiveMode::Both, locked).find(key_id(1), Some(&tag), &binding(1)));
    assert!(matches!(locked.root(), KeysError::Locked(_)) && locked.is_retryable(), "{locked}");

    let stranger = super::folder();
    let missing = site.with(ArchiveMode::Both, site_keyring(stranger.path()));
    let missing = refused(missing.find(key_id(1), Some(&tag), &binding(1)));
    assert!(matches!(missing.root(), KeysError::KekMissing { .. }), "{missing}");

    let moved = binding(2);
    let moved = sealgate::keys::Binding { key_id: key_id(1), ..moved };
    let moved = refused(both.find(key_id(1), Some(&tag), &moved));
    assert!(matches!(moved.root(), KeysError::Tampered { .. }), "{moved}");
    assert!(matches!(&moved, KeysError::NoneOpens { failures, .. } if failures.len() == 2));

    let nonsense = refused(site.archive(ArchiveMode::Tag).find(key_id(9), Some(b"nonsense"), &binding(9)));
    assert!(matches!(nonsense, KeysError::Record(_)), "{nonsense}");
    for error in [locked, missing, moved, nonsense] {
        assert!(!error.advice().is_empty());
    }
}

#[test]
fn what_comes_back_sealed_is_known_foreign_or_not_to_be_decided_now() {
    let site = Site::new();
    let both = site.archive(ArchiveMode::Both);
    let tag = archive(&both, 1).unwrap();
    let claim = |binding: &sealgate::keys::Binding, key_record: Option<&[u8]>| Claim {
        binding: seal::Binding {
            suite: seal::Suite::from_id(binding.suite).unwrap(),
            key_id: binding.key_id,
            sop_class: binding.sop_class.clone(),
            sop_instance: binding.sop_instance.clone(),
        },
        key_record: key_record.map(<[u8]>::to_vec),
        signer: None,
    };
    let own = claim(&binding(1), Some(&tag));
    assert!(both.find_claimed(&own).unwrap().is_some());

    // Forged: a key that nobody knows, a record that is none, one of another instance.
    let moved = sealgate::keys::Binding { key_id: key_id(1), ..binding(2) };
    for forged in [claim(&binding(9), None), claim(&binding(9), Some(b"nonsense")), claim(&moved, Some(&tag))]
    {
        assert!(both.find_claimed(&forged).unwrap().is_none());
    }
    // Of another site, whose record is nowhere but in the instance.
    let stranger = super::folder();
    let elsewhere = Site::new();
    assert!(
        elsewhere
            .with(ArchiveMode::Both, site_keyring(stranger.path()))
            .find_claimed(&own)
            .unwrap()
            .is_none()
    );

    // Its key file is not there: the store knows it all the same.
    let missing = site.with(ArchiveMode::Both, site_keyring(stranger.path()));
    assert!(matches!(missing.find_claimed(&own).err().unwrap().root(), KeysError::KekMissing { .. }));
    let load = || Keyring::load(&site.folder.path().join("kek"), &[name("site")]).unwrap();
    for locked in [site.with(ArchiveMode::Both, load()), elsewhere.with(ArchiveMode::Both, load())] {
        assert!(matches!(locked.find_claimed(&own).err().unwrap().root(), KeysError::Locked(_)));
    }
}

#[test]
fn an_instance_that_was_sent_again_has_a_key_of_its_own() {
    let site = Site::new();
    let both = site.archive(ArchiveMode::Both);
    archive(&both, 1);
    let again = sealgate::keys::Binding { key_id: key_id(1001), ..binding(1) };
    both.archive(&content_key(1001), again.clone(), facts(1)).unwrap();
    for (number, binding) in [(1, binding(1)), (1001, again)] {
        let found = both.find(key_id(number), None, &binding).unwrap();
        assert_eq!(found.content_key.expose_secret(), content_key(number).expose_secret());
    }
}

#[test]
fn a_rotation_leaves_older_instances_open() {
    let site = Site::new();
    let tag = archive(&site.archive(ArchiveMode::Tag), 1);
    let mut keyring = site.keyring();
    add_key(&mut keyring, "site", sealgate::keys::Algorithm::XWing);
    let rotated = site.archive(ArchiveMode::Both);
    assert_eq!(rotated.find(key_id(1), tag.as_deref(), &binding(1)).unwrap().source, Source::Tag);
}

#[test]
fn keeping_later_calls_back_once_it_is_durable() {
    let site = Site::new();
    let both = site.archive(ArchiveMode::Both);
    let record = both.wrap(&content_key(1), &binding(1)).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let facts: Facts = facts(1);
    both.keep_later(record, binding(1), facts, Box::new(move |result| sender.send(result).unwrap()));
    assert_eq!(receiver.recv().unwrap().unwrap(), 1);
    assert!(site.store.find(key_id(1)).unwrap().is_some());
}

#[test]
fn the_modes_that_need_a_store_do_not_start_without() {
    let folder = super::folder();
    let keyring = Arc::new(site_keyring(folder.path()));
    for mode in [ArchiveMode::Sidecar, ArchiveMode::Both] {
        assert!(matches!(Archive::new(mode, Arc::clone(&keyring), None), Err(KeysError::Config(_))));
    }
    assert!(Archive::new(ArchiveMode::Tag, keyring, None).is_ok());
}
