//! `sealgate keys` from the first key to the restored backup, as an operator types it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use sealgate::keys::store::Write;
use sealgate::keys::{Config, KeyStore, UnlockMethod};
use serde_json::Value;

use super::new_key;

const PASSPHRASE: &str = "a passphrase of the tests";

/// A place with a configuration and a passphrase.
pub(crate) struct Site(tempfile::TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        let folder = super::folder();
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, format!("{PASSPHRASE}\n")).unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "[keys]\nfolder = \"{}\"\nunlock = \"passphrase-file\"\npassphrase_file = \"{}\"\n\
             [keys.argon2]\nmemory_mebibytes = 19\npasses = 2\nlanes = 1\n\
             [keygen]\ngenerator = \"lite\"\nfolder = \"{}\"\n\
             [keygen.pool]\nready_max = 1\n[audit]\nfolder = \"{}\"\n",
            folder.path().join("keys").display(),
            passphrase.display(),
            folder.path().join("generators").display(),
            folder.path().join("audit").display(),
        );
        fs::write(folder.path().join("gateway.toml"), config).unwrap();
        Self(folder)
    }

    /// Files in the spool that are at work: entries and drafts, and no spare ones.
    pub(crate) fn in_spool(&self) -> usize {
        let files = fs::read_dir(self.path("spool/entries")).into_iter().flatten();
        let is_spare = |file: &fs::DirEntry| file.path().extension().is_some_and(|end| end == "spare");
        files.filter(|file| !is_spare(file.as_ref().expect("a name"))).count()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> Config {
        Config {
            folder: self.path("keys"),
            unlock: UnlockMethod::PassphraseFile,
            passphrase_file: Some(self.path("passphrase")),
            ..Config::default()
        }
    }

    /// Runs any command with the site's configuration.
    pub(crate) fn sealgate(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same before it runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.args(arguments).arg("--config").arg(self.path("gateway.toml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.sealgate(&[&["keys"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn fill(&self, numbers: std::ops::Range<u64>) {
        let (keyring, store) = (self.config().open_keyring().unwrap(), self.config().open_store().unwrap());
        for number in numbers {
            store.write(Write::Key(new_key(&keyring, number))).unwrap();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn from_the_first_key_to_the_restored_backup() {
    let site = Site::new();
    let made = site.json(&["init"]);
    assert_eq!((&made["ok"], &made["kek"]["algorithm"]), (&Value::Bool(true), &Value::from("x-wing")));
    site.fill(0..30);

    site.json(&["rotate", "--algorithm", "ecdh-p384"]);
    let keks = site.json(&["list"]);
    let current: Vec<_> =
        keks["keks"].as_array().unwrap().iter().map(|kek| kek["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [false, true]);

    assert_eq!(site.json(&["rewrap"])["rewrap"]["done"], 30);
    assert_eq!(site.json(&["rewrap"])["rewrap"]["done"], 0);
    assert_eq!(site.json(&["verify"])["open"]["done"], 60);
    assert_eq!(site.json(&["verify", "--sample", "3"])["open"]["keys"], 3);
    assert_eq!(site.json(&["list", "--study", "1.9.1"])["instances"].as_array().unwrap().len(), 10);
    assert_eq!(site.json(&["list", "--until", "2020-01-01"])["instances"].as_array().unwrap().len(), 0);

    let backup = site.path("backup.sqlite");
    assert_eq!(site.json(&["backup", text(&backup)])["manifest"]["records"], 60);
    assert_eq!(site.json(&["verify", "--backup", text(&backup)])["check"]["records"], 60);
    fs::remove_file(site.path("keys/store.sqlite")).unwrap();
    site.json(&["restore", text(&backup)]);
    assert_eq!(site.json(&["verify"])["open"]["failed"], 0);
}

#[test]
fn nothing_is_overwritten() {
    let site = Site::new();
    site.json(&["init"]);
    assert!(site.error(&["init"]).contains("has a key already"));
    let backup = site.path("backup.sqlite");
    site.json(&["backup", text(&backup)]);
    assert!(site.error(&["backup", text(&backup)]).contains("nothing is overwritten"));
    let exported = site.path("site.kek");
    site.json(&["export-public", "--out", text(&exported)]);
    assert!(site.error(&["export-public", "--out", text(&exported)]).contains("nothing is overwritten"));
    site.fill(0..1);
    assert!(site.error(&["restore", text(&backup)]).contains("that the backup lacks"));
}

#[test]
fn a_public_key_goes_from_site_to_site() {
    let (ours, theirs) = (Site::new(), Site::new());
    ours.json(&["init"]);
    theirs.json(&["init", "--algorithm", "ecdh-p256"]);
    let exported = theirs.path("public.kek");
    theirs.json(&["export-public", "--out", text(&exported)]);
    let output = ours.run(&["init", "--recipient", "second", "--public", text(&exported)]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("add \"second\" to `keys.recipients`"), "{said}");
    assert_eq!(ours.json(&["list"])["keks"][0]["custody"], "elsewhere");
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let site = Site::new();
    assert!(site.error(&["rotate"]).contains("`sealgate keys init`"));
    assert!(site.error(&["verify"]).contains("sealgate keys list"));
    site.json(&["init"]);
    fs::write(site.path("passphrase"), "another passphrase\n").unwrap();
    let wrong = site.error(&["rotate"]);
    assert!(wrong.contains("the passphrase given does not open") && wrong.contains("try again"), "{wrong}");
    fs::set_permissions(site.path("passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(site.error(&["verify"]).contains("chmod 0600"));
    fs::write(site.path("gateway.toml"), "[keys]\nrecipients = []\n").unwrap();
    assert_eq!(site.run(&["list"]).status.code(), Some(3));
}

#[test]
fn a_systemd_credential_is_a_key_or_a_passphrase() {
    for (content, unlock) in
        [(&[7; 32][..], "credential"), (b"a passphrase of the tests\n", "passphrase-credential")]
    {
        let site = Site::new();
        let credential = site.path("sealgate-kek");
        fs::write(&credential, content).unwrap();
        // As systemd makes it: the service's user has access by an ACL, which shows as group bits.
        fs::set_permissions(&credential, fs::Permissions::from_mode(0o440)).unwrap();
        let config = format!("[keys]\nfolder = \"{}\"\nunlock = \"{unlock}\"\n", text(&site.path("keys")));
        fs::write(site.path("gateway.toml"), config).unwrap();
        assert!(site.error(&["init"]).contains("CREDENTIALS_DIRECTORY is not set"));
        for arguments in [&["keys", "init"][..], &["keys", "verify"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
                .args(arguments)
                .arg("--config")
                .arg(site.path("gateway.toml"))
                .env("CREDENTIALS_DIRECTORY", site.0.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
    }
}

#[test]
fn a_short_passphrase_makes_no_key() {
    let site = Site::new();
    fs::write(site.path("passphrase"), "short\n").unwrap();
    assert!(site.error(&["init"]).contains("5 characters"));
    assert!(!site.path("keys/kek/site-0001.kek").exists());
}

#[test]
fn a_store_that_another_process_has_open_is_not_replaced() {
    let site = Site::new();
    site.json(&["init"]);
    let backup = site.path("backup.sqlite");
    site.json(&["backup", text(&backup)]);
    let store = site.config().open_store().unwrap();
    // Readers of their own, so that every way of opening the file has been gone.
    assert!(store.find(super::key_id(1)).unwrap().is_none());
    assert!(site.error(&["restore", text(&backup)]).contains("in use by another process"));
    drop(store);
    site.json(&["restore", text(&backup)]);
}
