//! Custody at the terminal: roles, two persons for what nobody does alone, escrow in shares, destruction that lasts.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};

use sealgate::keys::destroy::{Certificate, Tombstones};
use sealgate::keys::store::Write as StoreWrite;
use sealgate::keys::{Archive, Config, KeyStore, KeysError, UnlockMethod};
use serde_json::Value;

use crate::keys::command::Site;
use crate::keys::{binding, key_id, new_key};

const OPERATOR: &str = "70001";
const CUSTODIAN: &str = "70002";
const SECOND: &str = "70003";
const AUDITOR: &str = "70004";

/// A site with roles, and nobody in them who has an account here.
fn site() -> Site {
    let site = Site::new();
    let mut config = fs::read_to_string(site.path("gateway.toml")).unwrap();
    config.push_str(
        "\n[roles]\noperators = [\"#70001\"]\ncustodians = [\"#70002\", \"#70003\"]\nauditors = [\"#70004\"]\n",
    );
    let _ = write!(config, "[grants]\nfile = {:?}\n", site.path("grants.json"));
    config.push_str(
        "[[peers]]\nname = \"er\"\ntitle = \"ER\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\"]\n",
    );
    fs::write(site.path("gateway.toml"), config).unwrap();
    site
}

/// The command as somebody else runs it, through sudo. The tests run as root or as the owner of the folder.
fn run_as(site: &Site, who: &str, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().unwrap();
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .arg(command)
        .args(rest)
        .arg("--config")
        .arg(site.path("gateway.toml"))
        .env("SUDO_UID", who)
        .output()
        .unwrap()
}

fn good(site: &Site, who: &str, arguments: &[&str]) -> Value {
    let output = run_as(site, who, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{who} {arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(site: &Site, who: &str, arguments: &[&str]) -> String {
    let output = run_as(site, who, arguments);
    assert!(!output.status.success(), "{who} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn config(site: &Site) -> Config {
    Config {
        folder: site.path("keys"),
        unlock: UnlockMethod::PassphraseFile,
        passphrase_file: Some(site.path("passphrase")),
        ..Config::default()
    }
}

/// Twenty keys: ten of study 1.9.0, ten of 1.9.1.
fn fill(site: &Site) -> Config {
    good(site, CUSTODIAN, &["keys", "init", "--algorithm", "ecdh-p256"]);
    let config = config(site);
    let (store, keyring) = (config.open_store().unwrap(), config.open_keyring().unwrap());
    for number in 0..20 {
        store.write(StoreWrite::Key(new_key(&keyring, number))).unwrap();
    }
    config
}

fn shred(site: &Site, study: &str) -> String {
    let asked = good(site, CUSTODIAN, &["keys", "shred", "--study", study, "--reason", "retention is over"]);
    asked["request"].as_str().unwrap().to_owned()
}

fn find(config: &Config, number: u64, in_tag: Option<&[u8]>) -> Result<(), KeysError> {
    let archive: Archive = config.open_archive().unwrap();
    archive.find(key_id(number), in_tag, &binding(number)).map(drop)
}

#[test]
fn each_role_does_its_own_and_nothing_else() {
    let site = site();
    fill(&site);
    for who in [OPERATOR, AUDITOR, "70009"] {
        let said = refused(&site, who, &["keys", "rotate"]);
        assert!(said.contains("is not a custodian"), "{said}");
    }
    for who in [OPERATOR, CUSTODIAN, AUDITOR] {
        good(&site, who, &["keys", "list"]);
    }
    assert!(refused(&site, "70009", &["keys", "list"]).contains("an auditor"));
    assert!(refused(&site, AUDITOR, &["keys", "backup", "/nowhere"]).contains("an operator or a custodian"));
    assert!(
        refused(&site, AUDITOR, &["grant", "er", "--for", "5m", "--reason", "x"]).contains("an operator")
    );
    let line = refused(&site, OPERATOR, &["keys", "escrow", "split", "--out", "/nowhere"]);
    assert!(line.contains("command refused") && line.contains("sealgate::audit"), "{line}");
}

#[test]
fn an_operator_opens_no_emergency_access_alone() {
    let site = site();
    fill(&site);
    let asked = good(&site, OPERATOR, &["grant", "er", "--for", "5m", "--reason", "trauma"]);
    let listed = |who| good(&site, who, &["grant", "list"])["grants"].as_array().unwrap().len();
    assert_eq!(listed(OPERATOR), 0, "nothing is open yet: {asked}");
    let id = asked["request"].as_str().unwrap();
    assert!(refused(&site, OPERATOR, &["approve", id]).contains("somebody else has to approve"));
    good(&site, CUSTODIAN, &["approve", id]);
    assert_eq!(listed(AUDITOR), 1);
    let open = good(&site, AUDITOR, &["grant", "list"]);
    assert_eq!(open["grants"][0]["by"], "#70001 and #70002");
    good(&site, SECOND, &["grant", "er", "--for", "5m", "--reason", "again"]);
    assert_eq!(listed(AUDITOR), 2, "a custodian may");
}

#[test]
fn destroying_a_study_takes_two_custodians_and_survives_an_old_backup() {
    let site = site();
    let config = fill(&site);
    let backup = site.path("backup");
    good(&site, OPERATOR, &["keys", "backup", backup.to_str().unwrap()]);
    let record = config.open_store().unwrap().find(key_id(3)).unwrap().unwrap().record;

    let id = shred(&site, "1.9.0");
    assert!(find(&config, 3, None).is_ok(), "nothing is destroyed yet");
    assert!(refused(&site, CUSTODIAN, &["approve", &id]).contains("somebody else"));
    assert!(refused(&site, OPERATOR, &["approve", &id]).contains("a custodian"));
    let done = run_as(&site, SECOND, &["approve", &id, "--json"]);
    assert!(done.status.success(), "{done:?}");
    let audit = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(audit.contains("keys destroyed") && audit.contains("sealgate::audit"), "{audit}");
    let certificate: Value = serde_json::from_slice(&done.stdout).unwrap();
    let certificate: Certificate = serde_json::from_value(certificate["certificate"].clone()).unwrap();
    assert!(certificate.verifies());
    assert_eq!(certificate.statement.keys.len(), 10);
    assert!(certificate.statement.not_reached.iter().any(|place| place.contains("private block")));

    for copy in [None, Some(record.as_slice())] {
        let error = find(&config, 3, copy).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, KeysError::Destroyed { .. }), "{said}");
        assert!(said.contains("#70002 and #70003") && said.contains(&id), "{said}");
    }
    assert!(find(&config, 13, None).is_ok(), "the other study is not touched");
    // Not a byte of it is left where the store was.
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = fs::read(site.path("keys").join(name)).unwrap_or_default();
        assert!(!bytes.windows(32).any(|window| window == &record[..32]), "{name} still has the record");
    }
    assert!(good(&site, AUDITOR, &["keys", "verify"])["check"]["problems"].as_array().unwrap().is_empty());

    let restored = good(&site, CUSTODIAN, &["keys", "restore", backup.to_str().unwrap()]);
    assert_eq!(restored["destroyed_again"], 10);
    assert!(matches!(find(&config, 3, None), Err(KeysError::Destroyed { .. })));
    assert!(config.open_store().unwrap().find(key_id(3)).unwrap().is_none(), "it is gone from the store too");
    assert!(find(&config, 13, None).is_ok());
}

#[test]
fn what_somebody_copies_back_by_hand_is_reported_and_destroyed_again() {
    let site = site();
    let config = fill(&site);
    let (store, copy) = (site.path("keys/store.sqlite"), site.path("copy"));
    drop(config.open_store().unwrap());
    let backup = site.path("backup");
    good(&site, OPERATOR, &["keys", "backup", backup.to_str().unwrap()]);
    fs::copy(&backup, &copy).unwrap();
    good(&site, SECOND, &["approve", &shred(&site, "1.9.0")]);
    fs::rename(&copy, &store).unwrap();
    for log in ["-wal", "-shm"] {
        let _ = fs::remove_file(site.path(&format!("keys/store.sqlite{log}")));
    }
    let output = run_as(&site, AUDITOR, &["keys", "verify", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = said["check"]["problems"].to_string();
    assert!(
        !output.status.success() && problems.contains("was destroyed and is in the store again"),
        "{said}"
    );
    assert!(matches!(find(&config, 3, None), Err(KeysError::Destroyed { .. })));
    assert!(config.open_store().unwrap().find(key_id(3)).unwrap().is_none(), "opening the archive mends it");
}

#[test]
fn an_altered_certificate_is_found() {
    let site = site();
    let config = fill(&site);
    good(&site, SECOND, &["approve", &shred(&site, "1.9.0")]);
    let folder = site.path("keys/tombstones");
    let path = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("retention is over", "retention is gone")).unwrap();
    assert_eq!(Tombstones::of(&config).problems().unwrap().len(), 1);
    let output = run_as(&site, AUDITOR, &["keys", "destroyed"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("DOES NOT VERIFY"), "{said}");
}

#[test]
fn what_is_on_legal_hold_is_not_destroyed_until_two_custodians_have_lifted_it() {
    let site = site();
    let config = fill(&site);
    // Asked for before the hold was set: the hold counts when it is approved.
    let early = shred(&site, "1.9.0");
    let hold = good(&site, CUSTODIAN, &["keys", "hold", "--study", "1.9.0", "--reason", "lawsuit"]);
    let hold = hold["hold"]["id"].as_str().unwrap().to_owned();
    assert!(refused(&site, SECOND, &["approve", &early]).contains("legal hold"));
    let by_key = key_id(3).to_string();
    let said = refused(&site, CUSTODIAN, &["keys", "shred", "--key", &by_key, "--reason", "x"]);
    assert!(said.contains("legal hold") && said.contains("lawsuit"), "a key of the study: {said}");
    assert!(find(&config, 3, None).is_ok());
    let lift = good(&site, CUSTODIAN, &["keys", "lift", &hold, "--reason", "settled"]);
    let lift = lift["request"].as_str().unwrap();
    assert!(!run_as(&site, CUSTODIAN, &["approve", lift]).status.success());
    good(&site, SECOND, &["approve", lift]);
    good(&site, SECOND, &["approve", &early]);
    assert!(matches!(find(&config, 3, None), Err(KeysError::Destroyed { .. })));
}

#[test]
fn an_escrow_key_in_shares_opens_with_enough_of_them_and_with_no_fewer() {
    let site = site();
    fill(&site);
    let out = site.path("escrow");
    let name = out.to_str().unwrap();
    let said = refused(&site, CUSTODIAN, &["keys", "escrow", "split", "--needed", "1", "--out", name]);
    assert!(said.contains("at least 2"), "nobody opens alone: {said}");
    good(&site, CUSTODIAN, &["keys", "escrow", "split", "--out", name]);
    let package = out.join("package.json");
    let share = |number: u8| out.join(format!("share-{number}-of-5.json")).to_str().unwrap().to_owned();
    let combine = |numbers: &[u8], drill: bool| {
        let shares: Vec<String> = numbers.iter().map(|number| share(*number)).collect();
        let mut arguments = vec!["keys", "escrow", "combine", "--package", package.to_str().unwrap()];
        arguments.extend(shares.iter().map(String::as_str));
        arguments.extend(drill.then_some("--drill"));
        run_as(&site, CUSTODIAN, &arguments)
    };
    for numbers in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
        let output = combine(&numbers, true);
        assert!(output.status.success(), "{numbers:?} {output:?}");
    }
    let listed = good(&site, AUDITOR, &["keys", "list"]);
    let escrow = |listed: &Value| {
        let keks = listed["keks"].as_array().unwrap().clone();
        keks.into_iter().find(|kek| kek["recipient"] == "escrow").unwrap()
    };
    assert_eq!(escrow(&listed)["custody"], "elsewhere", "a drill writes nothing");
    for numbers in [&[1, 2][..], &[4, 4, 4]] {
        let said = String::from_utf8_lossy(&combine(numbers, true).stderr).into_owned();
        assert!(said.contains("of the 3 shares"), "{numbers:?} {said}");
    }
    let good_text = fs::read_to_string(share(2)).unwrap();
    let value = serde_json::from_str::<Value>(&good_text).unwrap()["value"].as_str().unwrap().to_owned();
    let other = value.chars().map(|c| if c == '1' { '2' } else { c }).collect::<String>();
    fs::write(share(2), good_text.replace(&value, &other)).unwrap();
    let said = String::from_utf8_lossy(&combine(&[1, 2, 3], true).stderr).into_owned();
    assert!(said.contains("share 2 has a mistake in it"), "{said}");
    assert!(combine(&[1, 3, 4], false).status.success());
    assert_eq!(escrow(&good(&site, AUDITOR, &["keys", "list"]))["custody"], "file-passphrase", "released");
    assert!(!combine(&[1, 3, 4], false).status.success(), "it is there already");
}
