//! The configuration: the shipped file, the layers over it, and what is said about mistakes.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::tls::pki::{Pki, Wanted};

fn check(config: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, config).expect("the configuration is written");
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["check", "--config"])
        .arg(&file)
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the command runs")
}

fn error(config: &str, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = check(config, environment, arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn json(config: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Value {
    let output = check(config, environment, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const SHIPPED: &str = include_str!("../../conf/gateway.toml");

/// Every key of `defaults` that is not in `file` with the same value.
fn missing(path: &str, defaults: &Value, file: &Value, found: &mut Vec<String>) {
    match (defaults, file) {
        (Value::Object(defaults), Value::Object(file)) => {
            for (key, value) in defaults {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match file.get(key) {
                    Some(other) => missing(&path, value, other, found),
                    None => found.push(path),
                }
            }
        }
        (defaults, file) if defaults != file => {
            found.push(format!("{path} = {file}, the default is {defaults}"));
        }
        _ => {}
    }
}

#[test]
fn the_shipped_file_has_every_key_with_its_default() {
    let mut defaults =
        serde_json::to_value(sealgate::settings::Settings::default()).expect("it can be shown");
    let tables = defaults.as_object_mut().expect("a table");
    for examples in ["tls", "peers", "destinations", "routes", "ris"] {
        tables.remove(examples).expect("a list of tables");
    }
    let file = config::Config::builder()
        .add_source(config::File::from_str(SHIPPED, config::FileFormat::Toml))
        .build()
        .and_then(config::Config::try_deserialize::<Value>)
        .expect("the shipped file is TOML");
    let mut found = Vec::new();
    missing("", &defaults, &file, &mut found);
    assert!(found.is_empty(), "not in conf/gateway.toml, or not with the default:\n{}", found.join("\n"));
}

#[test]
fn the_shipped_file_is_accepted_and_lets_only_this_machine_in() {
    let result = json(SHIPPED, &[], &[]);
    assert_eq!(result["ok"], true);
    assert_eq!(result["listeners"], serde_json::json!([{ "address": "127.0.0.1:11112" }]));
    assert_eq!(result["peers"][0]["may"], serde_json::json!(["echo"]));
    assert_eq!(result["peers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_examples_in_comments_of_the_shipped_file_are_accepted_too() {
    let is_code = |text: &str| {
        let key = text.split_once(" = ").map(|(key, _)| key);
        text.starts_with("[[")
            || key.is_some_and(|key| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let examples =
        SHIPPED.lines().map(|line| line.strip_prefix("# ").filter(|text| is_code(text)).unwrap_or(line));
    // The files that the examples name, from a CA of the test.
    let pki = Pki::new();
    pki.revoke(&[], 10);
    let folder = pki.folder().to_str().expect("a plain path");
    std::fs::copy(pki.path("gateway.key"), pki.path("gateway-key")).expect("copied");
    let config = examples.collect::<Vec<_>>().join("\n").replace("/etc/sealgate/tls", folder);
    let result = json(&config, &[("CREDENTIALS_DIRECTORY", folder)], &[]);
    assert_eq!(result["listeners"][1]["tls"], "hospital");
    let names: Vec<_> = result["certificates"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, ["CN=gateway,O=Clinic", "CN=Test CA", "CN=Test CA"]);
    assert_eq!(result["routes"][0]["destinations"], serde_json::json!(["archive"]));
    assert_eq!(result["peers"].as_array().map(Vec::len), Some(3));
}

#[test]
fn the_environment_wins_over_the_file_and_flags_win_over_both() {
    let file = "[association]\nidle_seconds = 11\n";
    let variable = [("SEALGATE__ASSOCIATION__IDLE_SECONDS", "22")];
    assert_eq!(json(file, &[], &[])["association"]["idle_seconds"], 11);
    assert_eq!(json(file, &variable, &[])["association"]["idle_seconds"], 22);
    let flags = ["--set", "association.idle_seconds=33"];
    assert_eq!(json(file, &variable, &flags)["association"]["idle_seconds"], 33);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let in_file = error("[association]\nidel_seconds = 5\n", &[], &[]);
    assert!(in_file.contains("\"association.idel_seconds\""), "{in_file}");
    assert!(in_file.contains("did you mean \"idle_seconds\"?"), "{in_file}");
    assert!(in_file.contains("gateway.toml"), "{in_file}");

    let in_environment = error("", &[("SEALGATE__LOG__LEVLE", "info")], &[]);
    assert!(in_environment.contains("\"log.levle\""), "{in_environment}");
    assert!(in_environment.contains("did you mean \"level\"?"), "{in_environment}");

    let in_flags = error("", &[], &["--set", "ap.resolve_seconds=1"]);
    assert!(in_flags.contains("\"ap\"") && in_flags.contains("did you mean \"app\"?"), "{in_flags}");

    let peer = "[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"127.0.0.1\"]\nmya = [\"echo\"]\n";
    let in_peer = error(peer, &[], &[]);
    assert!(in_peer.contains("mya") && in_peer.contains("did you mean \"may\"?"), "{in_peer}");
}

#[test]
fn a_bad_value_is_named_with_its_key() {
    let cases = [
        ("titles = [\"A NAME THAT IS TOO LONG\"]", "titles", "the limit is 16"),
        ("[association]\nidle_seconds = \"soon\"", "association.idle_seconds", "soon"),
        ("[log]\nlevel = \"inof\"", "log level", "no level"),
        ("[log]\nformat = \"xml\"", "log.format", "xml"),
        ("listeners = []", "listeners", "at least one"),
        ("[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"10.0.0.0/40\"]", "10.0.0.0/40", "network"),
        ("[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = []", "\"a\"", "no addresses"),
        ("[[peers]]\nname = \"a\"\naddresses = [\"10.0.0.1\"]", "peers", "title"),
        (
            "[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"10.0.0.1\"]\nmay = [\"fly\"]",
            "fly",
            "echo",
        ),
        (
            "[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"10.0.0.1\"]\ncertificates = [{ fingerprint = \"12\" }]",
            "peers[0]",
            "64 hexadecimal digits",
        ),
        (
            "[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"10.0.0.1\"]\nidentity = [\"password\"]",
            "peer a",
            "identity.users",
        ),
        ("[identity.jwt]\nkey = \"/k.pem\"", "identity.jwt.key", "audience"),
        ("[identity]\nusers = \"/nowhere/users\"", "/nowhere/users", "No such file"),
        ("[[routes]]\nname = \"r\"\ndestinations = [\"nowhere\"]", "\"nowhere\"", "not there"),
        ("[[destinations]]\nname = \"d\"\naddress = \"pacs:104\"", "pacs:104", "AE@host:port"),
    ];
    for (config, key, reason) in cases {
        let said = error(config, &[], &[]);
        assert!(said.contains(key) && said.contains(reason), "{config}\n{said}");
    }
}

#[test]
fn a_peer_can_be_known_by_its_certificates() {
    let peer = "[[peers]]\nname = \"a\"\ntitle = \"A\"\naddresses = [\"10.0.0.1\"]";
    let fingerprint = "0123456789abcdef".repeat(4);
    let names = format!(
        "{{ subject = \"CN=ct1,O=Hospital\" }}, {{ fingerprint = \"{fingerprint}\" }}, {{ common_name = \"ct1\" }}"
    );
    let result = json(&format!("{peer}\ncertificates = [{names}]"), &[], &[]);
    let certificates = &result["peers"][0]["certificates"];
    assert_eq!(certificates[0]["subject"], "CN=ct1,O=Hospital");
    assert_eq!(certificates[1]["fingerprint"], fingerprint.as_str());
    assert_eq!(certificates[2]["common_name"], "ct1");
}

#[test]
fn an_unknown_suite_is_refused() {
    let config = "[[destinations]]\nname = \"d\"\naddress = \"D@h:104\"\n\
        [[routes]]\nname = \"r\"\ndestinations = [\"d\"]\nsuite = \"rot13\"\n";
    let said = error(config, &[], &[]);
    assert!(said.contains("rot13") && said.contains("deepkeygen"), "{said}");
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_an_error() {
    let gone = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["check", "--config", "/nonexistent.toml"])
        .output();
    let gone = gone.expect("the command runs");
    assert_eq!(gone.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no configuration file"), "{gone:?}");
    let broken = error("titles = [", &[], &[]);
    assert!(broken.contains("gateway.toml"), "{broken}");
}

#[test]
fn check_says_in_words_who_may_do_what() {
    let config = "[[peers]]\nname = \"ct-1\"\ntitle = \"CT1\"\naddresses = [\"192.0.2.17\", \"192.0.2.32/28\"]\n\
        may = [\"store\", \"echo\"]\n\
        [[destinations]]\nname = \"archive\"\naddress = \"ARCH@pacs.example:104\"\n\
        [[routes]]\nname = \"ct\"\nmodality = [\"CT\"]\ndestinations = [\"archive\"]\n";
    let output = check(config, &[], &[]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("ct-1: CT1 from 192.0.2.17 and 192.0.2.32/28 may echo and store."), "{text}");
    assert!(text.contains("ct: what comes of modality CT goes to archive (ARCH@pacs.example:104)"), "{text}");
}

#[test]
fn check_warns_of_what_is_allowed_but_odd() {
    let config = "[[peers]]\nname = \"any\"\ntitle = \"ANY\"\naddresses = [\"0.0.0.0/0\"]\n";
    let warnings = json(config, &[], &[])["warnings"].to_string();
    assert!(warnings.contains("from any address") && warnings.contains("may do nothing"), "{warnings}");
}

#[test]
fn check_lists_what_is_weak_about_tls() {
    let pki = Pki::new();
    pki.issue("gateway", &Wanted { not_after: 10, ..Wanted::default() });
    let listeners = "[[listeners]]\naddress = \"0.0.0.0:104\"\n\
        [[listeners]]\naddress = \"0.0.0.0:2762\"\ntls = \"clinic\"\nclient_certificates = \"none\"\n\
        [[listeners]]\naddress = \"0.0.0.0:2763\"\ntls = \"clinic\"\nclient_certificates = \"optional\"\n\
        [[listeners]]\naddress = \"0.0.0.0:2764\"\ntls = \"clinic\"\n";
    let rest = "[[peers]]\nname = \"ct\"\ntitle = \"CT\"\naddresses = [\"192.0.2.1\"]\nmay = [\"echo\"]\n\
        [[destinations]]\nname = \"pacs\"\naddress = \"PACS@pacs.example:104\"\n\
        [[routes]]\nname = \"r\"\ndestinations = [\"pacs\"]\n";
    let config = format!("{listeners}{}{rest}", pki.profile(""));
    let open = |mode| {
        let key = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(pki.path("gateway.key"), key).expect("changed");
        json(&config, &[], &[])["warnings"].to_string()
    };
    let warnings = open(0o644);
    for weak in [
        "Listener 0.0.0.0:104 takes plain DICOM",
        "Listener 0.0.0.0:2762 asks callers for no certificate",
        "Listener 0.0.0.0:2763 takes callers without a certificate too",
        "Peer ct is bound to no certificate",
        "Destination pacs is called without TLS",
        "Everybody on this machine can read the private key",
        "CN=gateway,O=Clinic",
    ] {
        assert!(warnings.contains(weak), "{weak}: {warnings}");
    }
    assert!(!warnings.contains("2764"), "{warnings}");
    assert!(!open(0o640).contains("private key"));
}

#[test]
fn the_self_check_says_how_bad_it_is_and_what_to_do() {
    let config = "[[listeners]]\naddress = \"0.0.0.0:104\"\n\
        [[peers]]\nname = \"ct\"\ntitle = \"CT\"\naddresses = [\"0.0.0.0/0\"]\nmay = [\"store\", \"open\"]\n\
        [[destinations]]\nname = \"pacs\"\naddress = \"PACS@pacs.example:104\"\n\
        [[routes]]\nname = \"r\"\ndestinations = [\"pacs\"]\n[keys]\narchive = \"tag\"\n";
    let secret = [("SEALGATE_KEYS_PASSPHRASE", "x")];
    let security = json(config, &secret, &[])["security"].as_array().expect("a list").clone();
    let found: Vec<(&str, &str)> = security
        .iter()
        .map(|one| (one["severity"].as_str().expect("text"), one["check"].as_str().expect("text")))
        .collect();
    for wanted in [
        ("high", "plain-listener"),
        ("high", "store-from-any-address"),
        ("high", "no-escrow"),
        ("high", "secret-in-environment"),
        ("medium", "plain-call"),
        ("medium", "open-without-proof"),
        ("low", "unlimited-openings"),
        ("low", "no-roles"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert!(found.is_sorted_by(|a, b| rank(a.0) >= rank(b.0)), "the worst first: {found:?}");
    assert!(security.iter().all(|one| !one["advice"].as_str().expect("text").is_empty()));
    let code = |limit| check(config, &[], &["--fail-on", limit]).status.code();
    assert_eq!((code("high"), code("low")), (Some(6), Some(6)));
    let closed = "listeners = [{ address = \"127.0.0.1:11112\" }]\n";
    assert_eq!(check(closed, &[], &["--fail-on", "high"]).status.code(), Some(0));
}

fn rank(word: &str) -> usize {
    ["low", "medium", "high"].iter().position(|one| *one == word).expect("a severity")
}

#[test]
fn tls_that_could_not_work_is_named_before_any_file_is_read() {
    let tls = "[[tls]]\nname = \"clinic\"\nca = \"/nowhere/ca.pem\"\n";
    let listener = "[[listeners]]\naddress = \"127.0.0.1:2762\"\n";
    let cases = [
        (format!("{listener}tls = \"clinc\"\n{tls}"), "did you mean \"clinic\"?"),
        (format!("{listener}tls = \"clinic\"\n{tls}"), "has no certificate and key"),
        (format!("{listener}client_certificates = \"required\"\n"), "client_certificates without tls"),
        (format!("{tls}{tls}"), "there twice"),
        (format!("{tls}key = \"/k\"\n"), "a key without its certificate"),
        (format!("{tls}crls = [\"credential:../x\"]\n"), "systemd credential"),
        (
            "[[destinations]]\nname = \"d\"\naddress = \"D@h:1\"\nserver_name = \"h\"\n".to_owned(),
            "server_name without tls",
        ),
    ];
    for (config, words) in cases {
        let said = error(&config, &[], &[]);
        assert!(said.contains(words), "{config}\n{said}");
    }
}
