//! Custody at the terminal: roles, two persons for what nobody does alone, escrow in shares, destruction that lasts.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};

use sealgate::audit::{self, Entry, Filter, Trail, entries, verify};
use sealgate::keys::destroy::{Certificate, Tombstones};
use sealgate::keys::store::{Filter as Keys, Write as StoreWrite};
use sealgate::keys::{Archive, ArchiveMode, Config, KeyStore, KeysError, Source, UnlockMethod};
use sealgate::seal::ContentKey;
use serde_json::Value;

use crate::keys::command::Site;
use crate::keys::{binding, facts, key_id, new_key};

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
    let other = format!("{}{}", if value.starts_with('1') { '2' } else { '1' }, &value[1..]);
    fs::write(share(2), good_text.replace(&value, &other)).unwrap();
    let said = String::from_utf8_lossy(&combine(&[1, 2, 3], true).stderr).into_owned();
    assert!(said.contains("share 2 has a mistake in it"), "{said}");
    assert!(combine(&[1, 3, 4], false).status.success());
    assert_eq!(escrow(&good(&site, AUDITOR, &["keys", "list"]))["custody"], "file-passphrase", "released");
    assert!(!combine(&[1, 3, 4], false).status.success(), "it is there already");
}

/// The trail as the service has it open.
fn trail(site: &Site) -> Trail {
    let config = audit::Config { folder: site.path("audit"), ..audit::Config::default() };
    Trail::open(&config, &["SEALGATE".to_owned()]).unwrap()
}

/// What is in the trail after the service has ended, which takes in what commands noted; the chain has to hold.
fn recorded(site: &Site, trail: &Trail) -> Vec<Entry> {
    trail.close();
    let report = verify(&site.path("audit"), None, None).unwrap();
    assert!(report.good, "{report:?}");
    let mut found = Vec::new();
    let bad = entries(&site.path("audit"), &Filter::default(), |entry, _| {
        found.push(entry);
        true
    });
    assert_eq!(bad.unwrap(), 0);
    let left: Vec<_> = fs::read_dir(site.path("audit/inbox")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    found
}

/// The events of this name: who, about what, what it says.
fn of<'a>(found: &'a [Entry], event: &str) -> Vec<&'a Entry> {
    found.iter().filter(|entry| entry.event == event).collect()
}

#[test]
fn what_people_do_with_keys_stands_in_the_audit_trail_of_the_service() {
    let site = site();
    fill(&site);
    let trail = trail(&site);
    good(&site, CUSTODIAN, &["keys", "rotate", "--algorithm", "ecdh-p256"]);
    refused(&site, OPERATOR, &["keys", "rotate"]);
    good(&site, CUSTODIAN, &["keys", "hold", "--study", "1.9.1", "--reason", "lawsuit"]);
    let id = shred(&site, "1.9.0");
    refused(&site, CUSTODIAN, &["approve", &id]);
    good(&site, SECOND, &["approve", &id]);
    let out = site.path("escrow");
    good(&site, CUSTODIAN, &["keys", "escrow", "split", "--out", out.to_str().unwrap()]);
    let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
    let shares = [1, 2, 3].map(|number| file(&format!("share-{number}-of-5.json")));
    let package = file("package.json");
    let mut combine = vec!["keys", "escrow", "combine", "--package", &package];
    combine.extend(shares.iter().map(String::as_str));
    good(&site, CUSTODIAN, &[&combine[..], &["--drill"]].concat());
    good(&site, CUSTODIAN, &combine);

    let found = recorded(&site, &trail);
    let used = of(&found, "key-used");
    assert!(used.iter().any(|one| one.text == "keys rotate" && one.parties.contains(&"#70002".to_owned())));
    let refusals = of(&found, "command-refused");
    assert!(
        matches!(&refusals[..], [one] if !one.ok && one.parties.contains(&"#70001".to_owned())),
        "{refusals:?}"
    );
    assert!(matches!(&of(&found, "legal-hold")[..], [one] if one.objects == ["1.9.1"]), "{found:?}");
    let about = format!("request {id}");
    let requests = of(&found, "custody-request");
    let said: Vec<(bool, &str)> = requests
        .iter()
        .map(|one| {
            assert_eq!(one.objects, std::slice::from_ref(&about));
            (one.ok, one.text.split(&[':', ','][..]).next().unwrap())
        })
        .collect();
    assert_eq!(
        said,
        [(true, "asked"), (false, "approval refused"), (true, "approved"), (true, "done")],
        "{requests:?}"
    );
    let destroyed = of(&found, "keys-destroyed");
    let text = &destroyed[0].text;
    assert!(text.contains("10 keys destroyed, asked by #70002, approved by #70003"), "{text}");
    assert_eq!(destroyed[0].objects, ["1.9.0"]);
    let certificates = Tombstones::of(&config(&site)).certificates().unwrap();
    assert!(text.contains(&certificates[0].signature), "the certificate is anchored in the chain: {text}");
    let escrow: Vec<&str> = of(&found, "escrow-used").into_iter().map(|one| one.text.as_str()).collect();
    assert!(
        matches!(&escrow[..], [made, drilled, released] if made.starts_with("made in 5 shares")
            && drilled.starts_with("drilled") && released.starts_with("released into the keyring")),
        "{escrow:?}"
    );
}

#[test]
fn images_opened_at_a_terminal_are_recorded_study_by_study_with_who_and_by_which_key() {
    let site = site();
    good(&site, CUSTODIAN, &["keys", "init"]);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/seal/golden");
    fs::copy(folder.join("v1-deepkeygen-slice.original"), site.path("in.dcm")).unwrap();
    let at = |name: &str| site.path(name).to_str().unwrap().to_owned();
    assert!(run_as(&site, CUSTODIAN, &["seal", &at("in.dcm"), "--out", &at("sealed")]).status.success());
    let trail = trail(&site);
    let opened = run_as(&site, CUSTODIAN, &["open", &at("sealed/in.dcm"), "--out", &at("opened"), "--json"]);
    assert!(opened.status.success(), "{opened:?}");
    refused(&site, OPERATOR, &["open", &at("sealed/in.dcm"), "--out", &at("not")]);
    let said: Value =
        serde_json::from_slice(opened.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();

    let found = recorded(&site, &trail);
    let accessed = of(&found, "accessed");
    let [one] = &accessed[..] else { panic!("one study, opened once: {found:?}") };
    assert!(one.ok && one.parties.contains(&"#70002".to_owned()), "{one:?}");
    assert_eq!(one.instances, [said["sop_instance"].as_str().unwrap()]);
    let files = fs::read_dir(site.path("audit")).unwrap().map(|entry| entry.unwrap().path());
    let log = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let text: String = log.map(|path| fs::read_to_string(path).unwrap()).collect();
    let line =
        text.lines().find(|line| line.contains("DICOM Instances Accessed")).expect("the standard's event");
    assert!(line.contains("csd-code=\\\"110103\\\"") || line.contains("csd-code=\"110103\""), "{line}");
    let first = of(&found, "key-used");
    assert!(
        first.iter().any(|one| one.text.contains("images are opened at a terminal")),
        "said before: {first:?}"
    );
}

#[test]
fn commands_that_run_at_once_beside_the_service_leave_one_valid_chain() {
    let site = site();
    fill(&site);
    let trail = trail(&site);
    let before = of(&recorded(&site, &trail), "custody-request").len();
    assert_eq!(before, 0);
    let trail = self::trail(&site);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let id = shred(&site, "1.9.0");
                good(&site, CUSTODIAN, &["approve", "--withdraw", &id]);
            });
        }
        for _ in 0..200 {
            trail.alert(audit::Alert::done(audit::What::Reconfigured, "meanwhile"));
        }
    });
    let found = recorded(&site, &trail);
    assert_eq!(of(&found, "custody-request").len(), 12, "none lost, none twice");
    assert_eq!(of(&found, "reconfigured").len(), 200);
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let site = site();
    let config = fill(&site);
    trail(&site).close();
    let id = shred(&site, "1.9.0");
    // Even root cannot write into a folder that is none.
    fs::remove_dir_all(site.path("audit/inbox")).unwrap();
    fs::write(site.path("audit/inbox"), "").unwrap();
    for (who, arguments) in [
        (CUSTODIAN, &["keys", "rotate"][..]),
        (CUSTODIAN, &["keys", "shred", "--study", "1.9.1", "--reason", "x"]),
        (SECOND, &["approve", &id]),
    ] {
        let said = refused(&site, who, arguments);
        assert!(said.contains("cannot be recorded in the audit trail"), "{arguments:?}: {said}");
    }
    assert!(find(&config, 3, None).is_ok(), "nothing was destroyed");
    let waiting = good(&site, AUDITOR, &["approve", "--list"]);
    assert_eq!(
        waiting["requests"].as_array().unwrap().len(),
        1,
        "what was not recorded was not asked: {waiting}"
    );
}

#[test]
fn whoever_reads_the_audit_trail_stands_in_it() {
    let site = site();
    fill(&site);
    let trail = trail(&site);
    assert!(refused(&site, OPERATOR, &["audit", "show"]).contains("an auditor"));
    for arguments in [["audit", "show"], ["audit", "verify"]] {
        let output = run_as(&site, AUDITOR, &arguments);
        assert!(output.status.success(), "{output:?}");
    }
    let found = recorded(&site, &trail);
    let used = of(&found, "audit-log-used");
    assert_eq!(used.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["audit show", "audit verify"]);
    assert!(used.iter().all(|one| one.parties == ["#70004"]), "{used:?}");
    assert!(used[0].objects[0].starts_with("file:///"), "{used:?}");
}

#[test]
fn shares_printed_as_codes_open_like_files() {
    let site = site();
    fill(&site);
    let out = site.path("printed");
    let name = out.to_str().unwrap();
    good(
        &site,
        CUSTODIAN,
        &["keys", "escrow", "split", "--qr", "--shares", "3", "--needed", "2", "--out", name],
    );
    let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
    assert!(!out.join("share-1-of-3.json").exists(), "a share is not on the disk as text");
    let (package, one, three) = (file("package.json"), file("share-1-of-3.png"), file("share-3-of-3.png"));
    good(&site, CUSTODIAN, &["keys", "escrow", "combine", "--drill", "--package", &package, &one, &three]);
    let said =
        refused(&site, CUSTODIAN, &["keys", "escrow", "combine", "--drill", "--package", &package, &one]);
    assert!(said.contains("1 of the 2 shares"), "{said}");
}

/// The same site with a shred key for each study.
fn with_shred_keys(site: &Site, archive: ArchiveMode) -> Config {
    let path = site.path("gateway.toml");
    let name = serde_json::to_value(archive).unwrap();
    let to = format!("[keys]\nshred_key = true\narchive = {name}\n");
    let text = fs::read_to_string(&path).unwrap().replacen("[keys]\n", &to, 1);
    fs::write(&path, text).unwrap();
    Config { shred_key: true, archive, ..config(site) }
}

/// Archives a content key of study 1.9.0 as sealing does; gives what its instance carries.
fn archived(archive: &Archive, number: u64) -> Vec<u8> {
    archive.archive(&ContentKey::new([9; 32]), binding(number), facts(number)).unwrap().in_tag.unwrap()
}

#[test]
fn what_an_instance_carries_opens_with_its_studys_shred_key_alone() {
    for mode in [ArchiveMode::Tag, ArchiveMode::Both] {
        let site = site();
        good(&site, CUSTODIAN, &["keys", "init", "--algorithm", "ecdh-p256"]);
        let config = with_shred_keys(&site, mode);
        let archive = config.open_archive().unwrap();
        let (one, two) = (archived(&archive, 1), archived(&archive, 2));
        let keyring = config.open_keyring().unwrap();
        let shred_keys = || config.open_store().unwrap().list(&Keys::default(), 0, 100).unwrap();
        let expected = if mode == ArchiveMode::Both { 3 } else { 1 };
        assert_eq!(shred_keys().len(), expected, "one shred key for the study");
        // Whoever has the private key and the instance gets no content key out of it.
        assert!(matches!(keyring.unwrap(&one, &binding(1)), Err(KeysError::ShredKeyMissing { .. })));
        let found = archive.find(key_id(1), Some(&one), &binding(1)).unwrap();
        assert_eq!(found.content_key.expose_secret(), &[9; 32]);
        assert_eq!(found.source == Source::Tag, mode == ArchiveMode::Tag);
        assert!(archive.find(key_id(2), Some(&two), &binding(2)).is_ok());
        // Of images the store knows nothing more for it.
        assert_eq!(archive.instances_of(&"1.9.0".parse().unwrap()).unwrap().len(), expected - 1);
        assert!(
            good(&site, AUDITOR, &["keys", "verify"])["check"]["problems"].as_array().unwrap().is_empty()
        );
        // They move to a new key with all others.
        good(&site, CUSTODIAN, &["keys", "rotate", "--algorithm", "ecdh-p256"]);
        good(&site, CUSTODIAN, &["keys", "rewrap"]);
        let archive = config.open_archive().unwrap();
        assert!(archive.find(key_id(1), Some(&one), &binding(1)).is_ok());
    }
}

#[test]
fn destroying_a_study_with_a_shred_key_reaches_what_its_instances_carry() {
    let site = site();
    good(&site, CUSTODIAN, &["keys", "init", "--algorithm", "ecdh-p256"]);
    let config = with_shred_keys(&site, ArchiveMode::Tag);
    let archive = config.open_archive().unwrap();
    let tag = archived(&archive, 1);
    let done = good(&site, SECOND, &["approve", &shred(&site, "1.9.0")]);
    let certificate: Certificate = serde_json::from_value(done["certificate"].clone()).unwrap();
    assert_eq!(certificate.statement.keys.len(), 1, "the shred key");
    let left = certificate.statement.not_reached.join("\n");
    assert!(
        left.contains("while shred_key was off") && !left.contains("the wrapped key in the private block"),
        "{left}"
    );
    // A service that runs knows at once.
    assert!(matches!(archive.find(key_id(1), Some(&tag), &binding(1)), Err(KeysError::Destroyed { .. })));
    // What comes later of the study gets another one, and opens.
    let later = archived(&archive, 2);
    assert!(archive.find(key_id(2), Some(&later), &binding(2)).is_ok());
    // Software that knows no tombstones finds no shred key either.
    fs::remove_dir_all(site.path("keys/tombstones")).unwrap();
    let archive = config.open_archive().unwrap();
    let error = archive.find(key_id(1), Some(&tag), &binding(1)).map(drop).unwrap_err();
    assert!(matches!(error, KeysError::ShredKeyMissing { .. }), "{error}");
    assert!(archive.find(key_id(2), Some(&later), &binding(2)).is_ok());
}
