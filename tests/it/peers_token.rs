//! Keys in a PKCS#11 token (SoftHSM): made there, used there, never seen outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use sealgate::keys::{
    Algorithm, Keyring, KeysError, NewCustody, Passphrase, PrivateState, Token, UnlockSecrets,
};

use crate::keys::{binding, content_key, folder, name};

const PIN: &str = "271828";
const IN_TOKENS: [Algorithm; 3] = [Algorithm::RsaOaep3072, Algorithm::EcdhP256, Algorithm::EcdhP384];

fn module() -> PathBuf {
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .expect("softhsm2 is installed")
}

/// An empty token in `folder`, and the variable that points SoftHSM to it.
fn make_token(folder: &Path) -> (&'static str, PathBuf) {
    let (config, tokens) = (folder.join("softhsm2.conf"), folder.join("tokens"));
    fs::create_dir(&tokens).unwrap();
    fs::write(&config, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
    let output = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "sealgate", "--so-pin", "31415926", "--pin", PIN])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    ("SOFTHSM2_CONF", config)
}

/// Runs one of the tests below as a process of its own, since SoftHSM reads its settings from the environment.
fn run_with_token(test: &str) {
    let folder = folder();
    let (variable, config) = make_token(folder.path());
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("peers_token::{test}"), "--exact", "--ignored", "--nocapture"])
        .env(variable, config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn token() -> Arc<Token> {
    Token::open(&module(), "sealgate", Passphrase::new(PIN.into()), 4).unwrap()
}

fn keyring(folder: &Path, algorithm: Algorithm) -> Keyring {
    let mut keyring = Keyring::load(&folder.join("kek"), &[name("site")]).unwrap();
    keyring.generate(&name("site"), algorithm, &NewCustody::Token(token()), 1).unwrap();
    keyring
}

fn secrets() -> UnlockSecrets {
    UnlockSecrets { token: Some(token()), ..UnlockSecrets::default() }
}

#[test]
fn keys_are_made_and_used_in_the_token() {
    run_with_token("in_token_make_and_use");
}

#[test]
#[ignore = "run with a token by the test above"]
fn in_token_make_and_use() {
    for algorithm in IN_TOKENS {
        let folder = folder();
        let record = keyring(folder.path(), algorithm).wrap(&content_key(1), &binding(1)).unwrap();
        let mut again = Keyring::load(&folder.path().join("kek"), &[name("site")]).unwrap();
        assert!(matches!(again.unwrap(&record, &binding(1)), Err(KeysError::Locked(_))));
        assert_eq!(again.unlock(&secrets()).unwrap(), 1);
        assert_eq!(
            again.unwrap(&record, &binding(1)).unwrap().expose_secret(),
            content_key(1).expose_secret()
        );
        assert!(again.keks().all(|kek| kek.custody == "token" && kek.private == PrivateState::Unlocked));

        for at in (44..record.len()).step_by(7) {
            let mut changed = record.clone();
            changed[at] ^= 1;
            let refused = again.unwrap(&changed, &binding(1)).err();
            assert!(
                matches!(refused, Some(KeysError::Tampered { .. })),
                "{algorithm} byte {at}: {refused:?}"
            );
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|_| assert!(again.unwrap(&record, &binding(1)).is_ok())));
            }
        });
    }
}

#[test]
fn private_keys_cannot_be_taken_out_of_the_token() {
    run_with_token("in_token_not_extractable");
}

#[test]
#[ignore = "run with a token by the test above"]
fn in_token_not_extractable() {
    for algorithm in IN_TOKENS {
        keyring(folder().path(), algorithm);
    }
    let context = Pkcs11::new(module()).unwrap();
    // The room has started the module in this process already.
    let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    let session = context.open_ro_session(slot).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
    assert_eq!(keys.len(), 3);
    for key in keys {
        let wanted = [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::NeverExtractable];
        let found = session.get_attributes(key, &wanted).unwrap();
        assert_eq!(
            found,
            [Attribute::Sensitive(true), Attribute::Extractable(false), Attribute::NeverExtractable(true)]
        );
        let secret =
            session.get_attributes(key, &[AttributeType::PrivateExponent, AttributeType::Value]).unwrap();
        assert_eq!(secret, [], "the token gives nothing out");
    }
}

#[test]
fn a_wrong_pin_token_or_key_is_found_at_the_start() {
    run_with_token("in_token_wrong");
}

#[test]
#[ignore = "run with a token by the test above"]
fn in_token_wrong() {
    let open =
        |module: &Path, label: &str, pin: &str| Token::open(module, label, Passphrase::new(pin.into()), 4);
    let message = |result: Result<Arc<Token>, KeysError>| result.err().expect("an error").to_string();
    assert!(message(open(&module(), "sealgate", "000000")).contains("logging in"));
    assert!(message(open(&module(), "other", PIN)).contains("[\"sealgate\"]"));
    assert!(message(open(Path::new("/nowhere.so"), "sealgate", PIN)).contains("loading the module"));

    // A key file that names another key of the token: the check record does not open.
    let (one, two) = (folder(), folder());
    drop((keyring(one.path(), Algorithm::EcdhP256), keyring(two.path(), Algorithm::EcdhP256)));
    let read = |folder: &Path| fs::read_to_string(folder.join("kek/site-0001.kek")).unwrap();
    let object = |text: &str| {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        document["custody"]["token"].as_str().unwrap().to_owned()
    };
    let (ours, theirs) = (read(one.path()), read(two.path()));
    fs::write(one.path().join("kek/site-0001.kek"), ours.replace(&object(&ours), &object(&theirs))).unwrap();
    let mut swapped = Keyring::load(&one.path().join("kek"), &[name("site")]).unwrap();
    assert!(matches!(swapped.unlock(&secrets()), Err(KeysError::WrongPrivateKey(_))));

    let gone = ours.replace(&object(&ours), "00112233445566778899aabbccddeeff");
    fs::write(one.path().join("kek/site-0001.kek"), gone).unwrap();
    let mut gone = Keyring::load(&one.path().join("kek"), &[name("site")]).unwrap();
    assert!(matches!(gone.unlock(&secrets()), Err(KeysError::Token { .. })));

    let mut keyring = Keyring::load(&folder().path().join("kek"), &[name("site")]).unwrap();
    let refused = keyring.generate(&name("site"), Algorithm::XWing, &NewCustody::Token(token()), 1);
    assert!(refused.unwrap_err().to_string().contains("PKCS#11 has no X-Wing"));
}

#[test]
fn lost_sessions_are_opened_anew() {
    run_with_token("in_token_lost_sessions");
}

#[test]
#[ignore = "run with a token by the test above"]
fn in_token_lost_sessions() {
    let folder = folder();
    let keyring = keyring(folder.path(), Algorithm::EcdhP384);
    let record = keyring.wrap(&content_key(1), &binding(1)).unwrap();
    assert!(keyring.unwrap(&record, &binding(1)).is_ok());
    // Logging out any session logs the process out, as a token that was unplugged for a moment does.
    let context = Pkcs11::new(module()).unwrap();
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    context.open_ro_session(slot).unwrap().logout().unwrap();
    assert!(keyring.unwrap(&record, &binding(1)).is_ok());
}

#[test]
fn the_command_makes_a_key_in_the_token() {
    let folder = folder();
    let (variable, config) = make_token(folder.path());
    let pin = folder.path().join("pin");
    fs::write(&pin, PIN).unwrap();
    fs::set_permissions(&pin, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = folder.path().join("gateway.toml");
    let text = format!(
        "[keys]\nfolder = {:?}\nunlock = \"token\"\n[keys.pkcs11]\nmodule = {:?}\npin_file = {pin:?}\n",
        folder.path().join("keys"),
        module()
    );
    fs::write(&settings, text).unwrap();
    for arguments in [
        &["init", "--token", "--algorithm", "rsa-oaep-3072"][..],
        &["rotate", "--algorithm", "ecdh-p256"],
        &["verify"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .arg("keys")
            .args(arguments)
            .arg("--config")
            .arg(&settings)
            .env(variable, &config)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let second = fs::read_to_string(folder.path().join("keys/kek/site-0002.kek")).unwrap();
    assert!(second.contains("\"token\"") && !second.contains("sealed"), "{second}");
}
