//! The self-check: every weak choice is found by its name, and is not found where it was not made.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::tls::pki::{Pki, Wanted};

/// The names of the checks that complain about this configuration, each with how bad that is.
fn found(folder: &Path, config: &str) -> Vec<(String, String)> {
    let file = folder.join("gateway.toml");
    if !file.exists() {
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(&file, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["check", "--json", "--config"])
        .arg(&file)
        .env("PATH", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{config}\n{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let security = said["security"].as_array().unwrap();
    security.iter().map(|one| (text(one, "check"), text(one, "severity"))).collect()
}

fn holds(found: &[(String, String)], check: &str, severity: &str) -> bool {
    found.iter().any(|(name, how)| name == check && how == severity)
}

/// A check, how bad it is, a weak configuration, and its twin that is not.
type Case = (&'static str, &'static str, String, String);

fn peer(more: &str) -> String {
    format!(
        "[[peers]]\nname = \"ws\"\ntitle = \"WS\"\naddresses = [\"192.0.2.1\"]\nmay = [\"open\", \"get\"]\n{more}"
    )
}

/// Of listeners and who may call them.
fn doors(folder: &Path, pki: &Pki) -> Vec<Case> {
    let tls = pki.profile("");
    let listener =
        |more: &str| format!("[[listeners]]\naddress = \"0.0.0.0:2762\"\ntls = \"clinic\"\n{more}{tls}");
    let certificates = |asks: &str| listener(&format!("client_certificates = \"{asks}\"\n"));
    let at = |addresses: &str, may: &str| {
        format!("[[peers]]\nname = \"ws\"\ntitle = \"WS\"\naddresses = [\"{addresses}\"]\nmay = [{may}]\n")
    };
    let from_any = |may: &str| (at("0.0.0.0/0", may), at("192.0.2.1", may));
    let (store, store_here) = from_any("\"store\"");
    let (open, open_here) = from_any("\"open\", \"get\"");
    let (echo, echo_here) = from_any("\"echo\"");
    fs::write(folder.join("users"), "").unwrap();
    let users = format!("[identity]\nusers = {:?}\n", folder.join("users"));
    let named = || format!("{users}{}", peer("identity = [\"password\"]\n"));
    let plain = "[[listeners]]\naddress = \"0.0.0.0:104\"\n".to_owned();
    vec![
        ("plain-listener", "high", plain, listener("")),
        ("no-client-certificates", "high", certificates("none"), listener("")),
        ("optional-client-certificates", "medium", certificates("optional"), listener("")),
        ("store-from-any-address", "high", store, store_here),
        ("open-from-any-address", "high", open, open_here),
        ("any-address", "medium", echo, echo_here),
        ("password-in-clear", "high", named(), peer("")),
        ("open-without-proof", "medium", peer(""), named()),
        ("no-certificate-bound", "medium", format!("{}{}", listener(""), peer("")), peer("")),
        ("unlimited-openings", "low", peer(""), peer("openings = { per_minute = 60, burst = 600 }\n")),
    ]
}

/// Of calls, keys and people.
fn others() -> Vec<Case> {
    let pacs = |more: &str| {
        format!(
            "[[destinations]]\nname = \"pacs\"\naddress = \"PACS@127.0.0.1:104\"\n{more}\
             [[routes]]\nname = \"r\"\ndestinations = [\"pacs\"]\n"
        )
    };
    let keys = |more: &str| format!("{}[keys]\n{more}", pacs(""));
    let in_file = keys("unlock = \"passphrase-file\"\npassphrase_file = \"/nowhere\"\n");
    let two = || keys("recipients = [\"site\", \"escrow\"]\n");
    let receives = |host: &str| peer(&format!("receives = \"WS@{host}:104\"\n"));
    let roles = "[roles]\ncustodians = [\"#1\", \"#2\"]\noperators = [\"#3\"]\n".to_owned();
    vec![
        ("opened-images-in-clear", "high", receives("192.0.2.1"), receives("127.0.0.1")),
        ("plain-call", "medium", pacs("").replace("127.0.0.1", "192.0.2.4"), pacs("")),
        ("failed-probe-allowed", "medium", pacs("allow_failed_probe = true\n"), pacs("")),
        ("no-escrow", "high", keys("archive = \"tag\"\n"), two()),
        ("no-escrow", "medium", keys(""), two()),
        ("passphrase-file", "medium", in_file, keys("unlock = \"passphrase-credential\"\n")),
        ("no-roles", "low", String::new(), roles),
    ]
}

#[test]
fn each_weak_choice_of_a_configuration_is_found_and_its_better_twin_is_not() {
    let (pki, folder) = (Pki::new(), TempDir::new().unwrap());
    for (check, severity, weak, strong) in [doors(folder.path(), &pki), others()].concat() {
        let weak_found = found(folder.path(), &weak);
        assert!(holds(&weak_found, check, severity), "{check} {severity}: {weak_found:?}\n{weak}");
        let strong_found = found(folder.path(), &strong);
        assert!(!strong_found.iter().any(|(name, _)| name == check), "{check}: {strong_found:?}\n{strong}");
    }
}

#[test]
fn files_that_others_get_at_are_found_until_they_do_not() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open = |name: &str, mode| fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
    fs::create_dir_all(path("keys/kek")).unwrap();
    for name in ["keys/kek/site-0001.kek", "keys/store.sqlite", "users", "passphrase"] {
        fs::write(path(name), "").unwrap();
    }
    let config = format!(
        "[keys]\nfolder = {:?}\nunlock = \"passphrase-file\"\npassphrase_file = {:?}\n[identity]\nusers = {:?}\n",
        path("keys"),
        path("passphrase"),
        path("users")
    );
    let private = || {
        for name in ["keys", "keys/kek"] {
            open(name, 0o700);
        }
        for name in ["keys/kek/site-0001.kek", "keys/store.sqlite", "users", "passphrase"] {
            open(name, 0o600);
        }
    };
    private();
    let good = found(folder.path(), &config);
    for check in ["open-key-file", "open-users-file", "writable-configuration"] {
        assert!(!good.iter().any(|(name, _)| name == check), "{good:?}");
    }
    for (name, mode, check, severity) in [
        ("keys", 0o755, "open-key-file", "high"),
        ("keys/kek", 0o750, "open-key-file", "high"),
        ("keys/kek/site-0001.kek", 0o644, "open-key-file", "high"),
        ("keys/store.sqlite", 0o640, "open-key-file", "high"),
        ("passphrase", 0o604, "open-key-file", "high"),
        ("users", 0o644, "open-users-file", "medium"),
        ("gateway.toml", 0o666, "writable-configuration", "high"),
    ] {
        open(name, mode);
        let weak = found(folder.path(), &config);
        assert!(holds(&weak, check, severity), "{name} {mode:o}: {weak:?}");
        private();
        open("gateway.toml", 0o600);
    }
}

#[test]
fn certificates_that_end_and_keys_that_everybody_reads_are_found() {
    for (not_after, check, severity) in
        [(10, "expires-soon", "medium"), (29, "expires-soon", "medium"), (-1, "expired", "high")]
    {
        let pki = Pki::new();
        pki.issue("gateway", &Wanted { not_before: -90, not_after, ..Wanted::default() });
        let weak = found(TempDir::new().unwrap().path(), &pki.profile(""));
        assert!(holds(&weak, check, severity), "{not_after} days: {weak:?}");
    }
    let pki = Pki::new();
    pki.issue("gateway", &Wanted { not_after: 40, ..Wanted::default() });
    let key = |mode| fs::set_permissions(pki.path("gateway.key"), Permissions::from_mode(mode)).unwrap();
    for (mode, is_weak) in [(0o644, true), (0o600, false)] {
        key(mode);
        let seen = found(TempDir::new().unwrap().path(), &pki.profile(""));
        assert_eq!(holds(&seen, "open-tls-key", "high"), is_weak, "{mode:o}: {seen:?}");
        assert!(!seen.iter().any(|(name, _)| name.starts_with("expire")), "40 days are enough: {seen:?}");
    }
}

#[test]
fn a_clock_that_nobody_sets_right_is_found() {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        // Nothing can talk that away.
        return;
    }
    for (says, expected) in [
        ("no", Some(("clock-not-synchronised", "medium"))),
        ("perhaps", Some(("clock-unknown", "low"))),
        ("yes", None),
    ] {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("timedatectl");
        fs::write(&program, format!("#!/bin/sh\necho {says}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let seen = found(folder.path(), "");
        match expected {
            Some((check, severity)) => assert!(holds(&seen, check, severity), "{says}: {seen:?}"),
            None => assert!(!seen.iter().any(|(name, _)| name.starts_with("clock")), "{seen:?}"),
        }
    }
}
