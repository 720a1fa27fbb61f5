//! Certificates, trust and revocation lists that change while the gateway runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustls::pki_types::CertificateDer;

use super::pki::{self, Pki, Stream, Wanted};
use super::{BOTH, clinic};
use crate::gateway::Gateway;
use crate::wire;

/// An association of CT, and the certificate that the gateway showed.
fn associate(pki: &Pki, gateway: &Gateway) -> (Stream, CertificateDer<'static>) {
    let mut stream = pki::connect(gateway.address, &pki.config(Some("ct"), BOTH));
    wire::associate_on(&mut stream, "CT", "SEALGATE");
    let shown = stream.conn.peer_certificates().expect("one was shown")[0].clone().into_owned();
    (stream, shown)
}

#[test]
fn a_reload_shows_a_new_certificate_without_dropping_an_association() {
    let pki = Pki::new();
    pki.client("ct");
    let gateway = Gateway::start(&clinic(&pki, ""));
    let (mut held, before) = associate(&pki, &gateway);
    let fresh = pki.issue("gateway", &Wanted { serial: 8, ..Wanted::default() });
    assert_eq!(associate(&pki, &gateway).1, before, "not before it is told");
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    assert_eq!(&associate(&pki, &gateway).1, fresh.der());
    assert_eq!(wire::echo_on(&mut held), 0, "an association that was there goes on");
}

#[test]
fn files_that_change_are_noticed_and_bad_ones_keep_the_old() {
    let pki = Pki::new();
    pki.client("ct");
    let gateway = Gateway::start(&format!("[app]\ntls_files_seconds = 1\n{}", clinic(&pki, "")));
    let before = associate(&pki, &gateway).1;
    // The certificate first, the key later, as people copy them: in between they do not fit.
    let fresh = pki.issue("fresh", &Wanted { serial: 9, ..Wanted::default() });
    fs::rename(pki.path("fresh.pem"), pki.path("gateway.pem")).expect("renamed");
    gateway.wait_for_log("does not belong to the certificate");
    assert_eq!(associate(&pki, &gateway).1, before);
    fs::rename(pki.path("fresh.key"), pki.path("gateway.key")).expect("renamed");
    gateway.wait_for_log("files have changed, new connections use them");
    assert_eq!(&associate(&pki, &gateway).1, fresh.der());
    assert_eq!(gateway.log().matches("does not belong to the certificate").count(), 1, "said once");
}

#[test]
fn a_client_that_is_revoked_while_the_gateway_runs_is_out_with_its_sessions() {
    let pki = Pki::new();
    pki.issue("ct", &Wanted { serial: 41, ..Wanted::default() });
    pki.revoke(&[], 10);
    let crls = format!("crls = [\"{}\"]", pki.path("ca.crl").display());
    let gateway = Gateway::start(&clinic(&pki, &crls));
    let config = pki.config(Some("ct"), BOTH);
    let mut first = pki::connect(gateway.address, &config);
    assert_eq!(pki::knock(&mut first, "CT").expect("an answer")[0], 2);
    assert_eq!(wire::echo_on(&mut first), 0);
    pki.revoke(&[41], 10);
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    // It has tickets of the session before, which must not spare it the look at the list.
    let mut second = pki::connect(gateway.address, &config);
    assert!(pki::knock(&mut second, "CT").is_err());
    gateway.wait_for_log("has been revoked");
}

#[test]
fn a_reload_with_a_bad_file_changes_nothing() {
    let pki = Pki::new();
    pki.client("ct");
    let gateway = Gateway::start(&clinic(&pki, ""));
    let before = associate(&pki, &gateway).1;
    fs::write(pki.path("gateway.pem"), "no certificate").expect("written");
    gateway.signal("HUP");
    let line = gateway.wait_for_log("the configuration stays as it was");
    assert!(line.contains("gateway.pem has no certificate in it"), "{line}");
    assert_eq!(associate(&pki, &gateway).1, before);
}

#[test]
fn the_end_of_a_certificate_is_announced() {
    let pki = Pki::new();
    pki.issue("gateway", &Wanted { not_after: 10, ..Wanted::default() });
    let gateway = Gateway::start(&clinic(&pki, ""));
    let line = gateway.wait_for_log("expires in");
    assert!(line.contains("CN=gateway,O=Clinic") && line.contains("WARN"), "{line}");
}

/// `sealgate serve` with this configuration, which it must not take: exit code and what it said.
fn serve(config: &str, credentials: Option<&Path>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gateway.toml");
    fs::write(&file, config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.args(["serve", "--config"]).arg(&file).env_remove("CREDENTIALS_DIRECTORY");
    if let Some(folder) = credentials {
        command.env("CREDENTIALS_DIRECTORY", folder);
    }
    let output = command.output().expect("the command runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_start_with_files_that_cannot_be_used_says_which_and_why() {
    let pki = Pki::new();
    let config = clinic(&pki, "");
    let spoil = |name: &str, content: Option<&str>, words: &str| {
        let path = pki.path(name);
        let good = fs::read(&path).expect("it is there");
        match content {
            Some(content) => fs::write(&path, content).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        let (code, said) = serve(&config, None);
        assert!(code == Some(3) && said.contains(words) && said.contains(name), "{code:?} {said}");
        fs::write(&path, good).expect("written");
    };
    spoil("gateway.pem", None, "No such file");
    spoil("gateway.key", Some(""), "no private key");
    spoil(
        "gateway.key",
        Some("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n"),
        "behind a passphrase",
    );
    let other = KeyPairPem::new();
    spoil("gateway.key", Some(&other.0), "does not belong to the certificate");
    spoil("ca.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "cannot be read");
    let (code, said) = serve(
        &config.replace(&format!("{}/gateway.key", pki.folder().display()), "credential:tls-key"),
        None,
    );
    assert!(code == Some(3) && said.contains("LoadCredential="), "{said}");
}

struct KeyPairPem(String);

impl KeyPairPem {
    fn new() -> Self {
        Self(rcgen::KeyPair::generate().expect("a key").serialize_pem())
    }
}

#[test]
fn a_key_comes_from_a_systemd_credential() {
    let pki = Pki::new();
    pki.client("ct");
    let key = format!("{}/gateway.key", pki.folder().display());
    let config = clinic(&pki, "").replace(&key, "credential:gateway.key");
    let folder = pki.folder().to_str().expect("a plain path");
    let gateway = Gateway::start_with(&config, &[("CREDENTIALS_DIRECTORY", folder)]);
    let (mut stream, _) = associate(&pki, &gateway);
    assert_eq!(wire::echo_on(&mut stream), 0);
}
