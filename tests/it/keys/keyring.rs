//! The keyring: made, locked, unlocked, rotated; what is wrong is found before anything is opened with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealgate::keys::{
    Algorithm, Argon2Cost, Credential, Keyring, KeysError, NewCustody, Passphrase, PrivateState,
    SealingSecret, UnlockSecrets,
};

use super::{add_key, binding, content_key, name, secrets, site_keyring};

fn with_passphrase(text: &str) -> UnlockSecrets {
    UnlockSecrets { passphrase: Some(Passphrase::new(text.into())), ..UnlockSecrets::default() }
}

fn passphrase_keyring(folder: &Path) -> Keyring {
    let mut keyring = Keyring::load(folder, &[name("site")]).unwrap();
    let secret =
        SealingSecret::Passphrase(Passphrase::new("correct horse battery".into()), Argon2Cost::FLOOR);
    keyring.generate(&name("site"), Algorithm::XWing, &NewCustody::File(secret), 1).unwrap();
    keyring
}

/// Replaces the first `from` in the only key file.
fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("site-0001.kek");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn every_algorithm_is_kept_in_a_file_and_opens_after_a_restart() {
    for algorithm in Algorithm::ALL {
        let folder = super::folder();
        let path = folder.path().join("kek");
        let mut keyring = Keyring::load(&path, &[name("site")]).unwrap();
        add_key(&mut keyring, "site", algorithm);
        let record = keyring.wrap(&content_key(1), &binding(1)).unwrap();

        let mut again = Keyring::load(&path, &[name("site")]).unwrap();
        assert!(matches!(again.unwrap(&record, &binding(1)), Err(KeysError::Locked(_))), "{algorithm}");
        assert_eq!(again.unlock(&secrets()).unwrap(), 1);
        assert_eq!(
            again.unwrap(&record, &binding(1)).unwrap().expose_secret(),
            content_key(1).expose_secret()
        );
        again.lock();
        assert!(matches!(again.unwrap(&record, &binding(1)), Err(KeysError::Locked(_))));
    }
}

#[test]
fn a_locked_keyring_still_wraps() {
    let folder = super::folder();
    site_keyring(folder.path());
    let mut keyring = Keyring::load(&folder.path().join("kek"), &[name("site")]).unwrap();
    assert!(keyring.is_locked());
    let record = keyring.wrap(&content_key(1), &binding(1)).unwrap();
    keyring.unlock(&secrets()).unwrap();
    assert!(!keyring.is_locked());
    assert!(keyring.unwrap(&record, &binding(1)).is_ok());
}

#[test]
fn a_wrong_passphrase_or_credential_is_found_at_the_start() {
    let folder = super::folder();
    let record = passphrase_keyring(folder.path()).wrap(&content_key(1), &binding(1)).unwrap();
    let mut keyring = Keyring::load(folder.path(), &[name("site")]).unwrap();
    let wrong = keyring.unlock(&with_passphrase("correct horse batterY"));
    assert!(matches!(wrong, Err(KeysError::WrongSecret { method: "passphrase", .. })));
    assert!(keyring.is_locked());
    keyring.unlock(&with_passphrase("correct horse battery")).unwrap();
    assert!(keyring.unwrap(&record, &binding(1)).is_ok());

    let folder = super::folder();
    site_keyring(folder.path());
    let mut keyring = Keyring::load(&folder.path().join("kek"), &[name("site")]).unwrap();
    let wrong = UnlockSecrets { credential: Some(Credential::new([0x43; 32])), ..UnlockSecrets::default() };
    assert!(matches!(keyring.unlock(&wrong), Err(KeysError::WrongSecret { method: "credential", .. })));
}

#[test]
fn one_wrong_key_leaves_all_locked() {
    let folder = super::folder();
    let path = folder.path().join("kek");
    let mut keyring = site_keyring(folder.path());
    let other = SealingSecret::Credential(Credential::new([0x43; 32]));
    keyring.generate(&name("site"), Algorithm::EcdhP256, &NewCustody::File(other), 1).unwrap();
    let mut keyring = Keyring::load(&path, &[name("site")]).unwrap();
    assert!(keyring.unlock(&secrets()).is_err());
    assert!(keyring.keks().all(|kek| kek.private == PrivateState::Locked));
}

#[test]
fn every_edit_of_a_key_file_is_refused() {
    let folder = super::folder();
    let original = {
        passphrase_keyring(folder.path());
        fs::read_to_string(folder.path().join("site-0001.kek")).unwrap()
    };
    let sealed_at = original.find("\"sealed\": \"").unwrap() + 11;
    let sealed = &original[sealed_at..sealed_at + 8];
    let public_at = original.find("\"public_key\": \"").unwrap() + 15;
    let public = &original[public_at..public_at + 8];
    let edits = [
        ("\"version\": 1", "\"version\": 2"),
        ("\"format\": \"sealgate-kek\"", "\"format\": \"other\""),
        ("\"created_unix_seconds\": 1", "\"created_unix_seconds\": 2"),
        ("\"recipient\": \"site\"", "\"recipient\": \"escrow\""),
        ("\"generation\": 1", "\"generation\": 2"),
        ("\"algorithm\": \"x-wing\"", "\"algorithm\": \"ecdh-p256\""),
        ("\"passes\": 2", "\"passes\": 1"),
        ("\"passes\": 2", "\"passes\": 3"),
        ("\"memory_mebibytes\": 19", "\"memory_mebibytes\": 1048576"),
        ("\"version\": 1", "\"surprise\": 1, \"version\": 1"),
        (sealed, "00000000"),
        (public, "00000000"),
    ];
    for (from, to) in edits {
        fs::write(folder.path().join("site-0001.kek"), &original).unwrap();
        edit(folder.path(), from, to);
        let opened = Keyring::load(folder.path(), &[name("site")])
            .and_then(|mut keyring| keyring.unlock(&with_passphrase("correct horse battery")));
        assert!(opened.is_err(), "{from} -> {to}");
    }
}

#[test]
fn a_public_key_swapped_for_another_is_found_at_the_start() {
    let (one, two) = (super::folder(), super::folder());
    let read = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join("kek/site-0001.kek")).unwrap()).unwrap()
    };
    site_keyring(one.path());
    site_keyring(two.path());
    let (mut ours, theirs) = (read(one.path()), read(two.path()));
    for field in ["public_key", "kek", "check"] {
        ours[field] = theirs[field].clone();
    }
    fs::write(one.path().join("kek/site-0001.kek"), ours.to_string()).unwrap();
    let mut keyring = Keyring::load(&one.path().join("kek"), &[name("site")]).unwrap();
    assert!(keyring.unlock(&secrets()).is_err());
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = super::folder();
    site_keyring(folder.path());
    let (keks, file) = (folder.path().join("kek"), folder.path().join("kek/site-0001.kek"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&keks).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Keyring::load(&keks, &[]), Err(KeysError::Permissions { mode: 0o640, .. })));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&keks, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(Keyring::load(&keks, &[]), Err(KeysError::Permissions { mode: 0o755, .. })));
}

#[test]
fn rotation_keeps_the_old_key_for_opening_and_wraps_with_the_new() {
    let folder = super::folder();
    let mut keyring = site_keyring(folder.path());
    let before = keyring.wrap(&content_key(1), &binding(1)).unwrap();
    let first_set = keyring.current_set().unwrap();
    add_key(&mut keyring, "site", Algorithm::XWing);
    assert_ne!(keyring.current_set().unwrap(), first_set);
    let after = keyring.wrap(&content_key(2), &binding(2)).unwrap();
    assert!(keyring.unwrap(&before, &binding(1)).is_ok() && keyring.unwrap(&after, &binding(2)).is_ok());
    let keks: Vec<_> = keyring.keks().map(|kek| (kek.generation, kek.current, kek.algorithm)).collect();
    assert_eq!(keks, [(1, false, Algorithm::EcdhP256), (2, true, Algorithm::XWing)]);
    // The old file gone, the new key does not open what the old one wrapped.
    fs::remove_file(folder.path().join("kek/site-0001.kek")).unwrap();
    let mut keyring = Keyring::load(&folder.path().join("kek"), &[name("site")]).unwrap();
    keyring.unlock(&secrets()).unwrap();
    assert!(matches!(keyring.unwrap(&before, &binding(1)), Err(KeysError::KekMissing { .. })));
}

#[test]
fn two_rotations_at_once_make_one_key() {
    let folder = super::folder();
    let path = folder.path().join("kek");
    site_keyring(folder.path());
    let mut rivals = [(); 2].map(|()| Keyring::load(&path, &[name("site")]).unwrap());
    add_key(&mut rivals[0], "site", Algorithm::EcdhP256);
    let custody = NewCustody::File(SealingSecret::Credential(super::credential()));
    let second = rivals[1].generate(&name("site"), Algorithm::EcdhP256, &custody, 1);
    assert!(matches!(second, Err(KeysError::Exists(_))));
    assert_eq!(Keyring::load(&path, &[name("site")]).unwrap().keks().count(), 2);
}

#[test]
fn a_second_site_and_an_escrow_open_what_was_wrapped_for_their_public_keys() {
    let [ours, theirs, escrow] = [(); 3].map(|()| super::folder());
    let mut second = site_keyring(theirs.path());
    let mut vault = Keyring::load(&escrow.path().join("kek"), &[name("vault")]).unwrap();
    add_key(&mut vault, "vault", Algorithm::XWing);
    let mut keyring = site_keyring(ours.path());
    for (other, from, to) in [(&second, "site", "second"), (&vault, "vault", "escrow")] {
        let exported = ours.path().join(to);
        fs::write(&exported, other.export_public(&name(from)).unwrap()).unwrap();
        let text = fs::read_to_string(&exported).unwrap();
        assert!(!text.contains("sealed") && !text.contains("check"), "nothing secret leaves: {text}");
        keyring.import_public(&name(to), &exported).unwrap();
    }
    let active = [name("site"), name("second"), name("escrow")];
    let keyring = Keyring::load(&ours.path().join("kek"), &active).unwrap();
    let record = keyring.wrap(&content_key(1), &binding(1)).unwrap();
    second.lock();
    second.unlock(&secrets()).unwrap();
    for other in [&second, &vault] {
        assert_eq!(
            other.unwrap(&record, &binding(1)).unwrap().expose_secret(),
            content_key(1).expose_secret()
        );
    }
    // Locked here, and elsewhere there: the answer is what somebody here can do something about.
    assert!(matches!(keyring.unwrap(&record, &binding(1)), Err(KeysError::Locked(_))));
}

#[test]
fn a_recipient_without_a_key_is_an_error_not_an_omission() {
    let folder = super::folder();
    site_keyring(folder.path());
    let keyring = Keyring::load(&folder.path().join("kek"), &[name("site"), name("escrow")]).unwrap();
    assert!(matches!(keyring.wrap(&content_key(1), &binding(1)), Err(KeysError::Recipient(_))));
    let nobody = Keyring::load(&folder.path().join("kek"), &[]).unwrap();
    assert!(matches!(nobody.wrap(&content_key(1), &binding(1)), Err(KeysError::Recipient(_))));
}

#[test]
fn a_short_passphrase_is_refused_for_a_new_key() {
    assert!(Passphrase::new("elf letters".into()).check_strength().is_err());
    assert!(Passphrase::new("zwölf Zeiche".into()).check_strength().is_ok());
}

#[test]
fn a_credential_is_exactly_32_bytes_and_not_for_everybody() {
    let folder = super::folder();
    let path = folder.path().join("sealgate-kek");
    for length in [0, 31, 33] {
        fs::write(&path, vec![1; length]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(matches!(Credential::load(folder.path(), "sealgate-kek"), Err(KeysError::Malformed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    fs::write(&path, [1; 32]).unwrap();
    assert!(Credential::load(folder.path(), "sealgate-kek").is_ok());
    assert!(matches!(Credential::load(folder.path(), "../sealgate-kek"), Err(KeysError::Secret(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Credential::load(folder.path(), "sealgate-kek"), Err(KeysError::Permissions { .. })));
}
