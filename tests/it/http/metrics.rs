//! Metrics, health and status: right numbers, known names, no patient, and limits on who asks.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::client::{ask, get, send};
use super::trial::{Trial, turn};
use crate::gateway::{ECHO_PEER, Gateway, SOON};
use crate::tls::clinic;
use crate::tls::pki::{Pki, Wanted};

/// The address of a gateway's web server.
pub(super) fn web(gateway: &Gateway) -> SocketAddr {
    let line: Value = serde_json::from_str(&gateway.wait_for_log("the web server listens")).unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

fn with_web(more: &str) -> String {
    format!("[http]\naddress = \"127.0.0.1:0\"\n{more}\n{ECHO_PEER}")
}

/// The value of a sample whose line begins so.
fn value(text: &str, sample: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(sample));
    let line = line.unwrap_or_else(|| panic!("no {sample} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_ends_of_certificates_and_revocation_lists_are_metrics_that_a_reload_moves() {
    let day = 86_400;
    let pki = Pki::new();
    pki.issue("gateway", &Wanted { not_after: 10, ..Wanted::default() });
    pki.revoke(&[], 5);
    let crls = format!("crls = [\"{}\"]", pki.path("ca.crl").display());
    let gateway = Gateway::start(&format!("[http]\naddress = \"127.0.0.1:0\"\n{}", clinic(&pki, &crls)));
    let web = web(&gateway);
    let days_left = |key: &str| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let page = get(web, "/metrics");
        let of_key = |line: &&str| {
            line.starts_with("sealgate_tls_not_after_seconds{") && line.contains(&format!("\"{key}\""))
        };
        let line = page.text().lines().find(of_key).unwrap_or_else(|| panic!("{key}: {}", page.text()));
        (value(line, "sealgate_tls_not_after_seconds").saturating_sub(now) + day / 2) / day
    };
    assert_eq!((days_left("certificate"), days_left("crls")), (10, 5));
    pki.issue("gateway", &Wanted { not_after: 100, ..Wanted::default() });
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    let end = Instant::now() + SOON;
    while days_left("certificate") != 100 {
        assert!(Instant::now() < end, "{} days", days_left("certificate"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_gateway_has_no_web_server_unless_it_is_asked_for() {
    let gateway = Gateway::start(ECHO_PEER);
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
    assert!(!gateway.log().contains("the web server listens"));
}

#[test]
fn associations_are_counted_by_peer_and_refusals_by_reason_alone() {
    let gateway = Gateway::start(&with_web(""));
    let web = web(&gateway);
    assert_eq!(get(web, "/healthz").text(), "ok\n");
    assert_eq!(get(web, "/readyz").text(), "ready\n");
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
    // Whoever guesses titles adds no label.
    for number in 0..5 {
        assert_eq!(gateway.echo(&format!("STRANGER{number}"), "SEALGATE").0, 4);
    }
    let text = get(web, "/metrics").text().to_owned();
    assert_eq!(value(&text, "sealgate_associations_accepted_total{peer=\"tester\"}"), 2);
    assert_eq!(value(&text, "sealgate_associations_refused_total{reason=\"calling-ae-title\"}"), 5);
    assert!(!text.contains("STRANGER"), "{text}");
    assert_eq!(value(&text, "sealgate_ready "), 1);
    assert!(value(&text, "sealgate_process_resident_memory_bytes ") > 700_000);
    assert_eq!(get(web, "/").status, 404, "without users there is no admin page");
}

#[test]
fn the_form_is_the_one_that_is_asked_for() {
    let gateway = Gateway::start(&with_web(""));
    let web = web(&gateway);
    let older = get(web, "/metrics");
    assert!(older.header("content-type").contains("version=0.0.4"), "{older:?}");
    assert!(!older.text().contains("# EOF"));
    let newer = ask(
        web,
        "GET",
        "/metrics",
        &[("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")],
        "",
    );
    assert!(newer.header("content-type").starts_with("application/openmetrics-text"));
    assert!(newer.text().ends_with("# EOF\n"));
}

#[test]
fn every_answer_has_headers_that_keep_browsers_careful() {
    let gateway = Gateway::start(&with_web(""));
    let web = web(&gateway);
    for path in ["/metrics", "/healthz", "/nowhere"] {
        let answer = get(web, path);
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(!answer.header("content-security-policy").contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
    }
}

#[test]
fn a_request_that_is_too_large_too_slow_or_none_is_ended() {
    let gateway = Gateway::start(&with_web("header_seconds = 1\nconnections_max = 2"));
    let web = web(&gateway);
    let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nlarge: {}\r\n\r\n", "x".repeat(100_000));
    assert!(send(web, large.as_bytes()).is_none_or(|answer| answer.status == 431));
    assert!(send(web, b"\x16\x03\x01 this is no HTTP\r\n\r\n").is_none_or(|answer| answer.status == 400));
    // Two who say nothing have all the places, for a second each.
    let silent: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(web).unwrap()).collect();
    for mut stream in silent {
        stream.write_all(b"GET /heal").unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let begun = Instant::now();
        let _answer = stream.read_to_end(&mut Vec::new());
        assert!(begun.elapsed() < Duration::from_secs(25), "it is closed in time");
    }
    assert_eq!(get(web, "/healthz").status, 200);
}

#[test]
fn a_full_spool_is_not_ready_and_says_why() {
    let site = crate::keys::command::Site::new();
    assert!(site.sealgate(&["keys", "init"]).status.success());
    let keys = std::fs::read_to_string(site.path("gateway.toml")).unwrap();
    let config = format!(
        "{keys}\n[spool]\nfolder = \"{}\"\nrefuse_stores_free_bytes = 9000000000000000\nrefuse_associations_free_bytes = 9000000000000000\n\
         [http]\naddress = \"127.0.0.1:0\"\n{ECHO_PEER}\n[[destinations]]\nname = \"pacs\"\naddress = \"PACS@127.0.0.1:104\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
        site.path("spool").display()
    );
    let gateway = Gateway::start(&config);
    let answer = get(web(&gateway), "/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("the spool is full"), "{answer:?}");
    let text = get(web(&gateway), "/metrics").text().to_owned();
    assert_eq!(value(&text, "sealgate_ready "), 0);
    assert_eq!(value(&text, "sealgate_spool_pressure "), 2);
    assert_eq!(value(&text, "sealgate_forward_destination_up{destination=\"pacs\"}"), 1);
    let status = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["status", "--config"])
        .arg(gateway.config())
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    assert!(String::from_utf8_lossy(&status.stdout).contains("NOT READY"), "{status:?}");
}

#[test]
fn status_without_a_gateway_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, format!("[spool]\nfolder = \"{}\"\n", folder.path().display())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["status", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no gateway runs") && said.contains("sealgate serve"), "{said}");
}

#[test]
fn what_a_trial_did_stands_in_metrics_and_status_alike_and_no_patient_does() {
    let _turn = turn();
    let trial = Trial::start();
    // The archive has an image a moment before it is durable here that it has; records are synced every second.
    let forwarded = "sealgate_forward_instances_total{destination=\"archive\",outcome=\"forwarded\"} 5";
    let is_done = |text: &str| text.contains(forwarded) && value(text, "sealgate_audit_records_total ") > 0;
    let end = Instant::now() + SOON;
    let text = loop {
        let text = get(trial.web, "/metrics").text().to_owned();
        if is_done(&text) {
            break text;
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        value(
            &text,
            "sealgate_store_instances_total{peer=\"modality\",route=\"everything\",outcome=\"new\"}"
        ),
        5
    );
    assert_eq!(value(&text, "sealgate_seal_instances_total{suite=\"deepkeygen\"}"), 5);
    assert_eq!(value(&text, "sealgate_keys_kept_total{outcome=\"kept\"}"), 5);
    assert_eq!(value(&text, "sealgate_open_instances_total{peer=\"viewer\",outcome=\"opened\"}"), 5);
    assert_eq!(value(&text, "sealgate_store_duration_seconds_count{route=\"everything\"}"), 5);
    assert!(value(&text, "sealgate_store_received_bytes_total{peer=\"modality\"}") > 700_000);
    for count in ["spool_commit", "open", "keys_commit"] {
        assert_eq!(value(&text, &format!("sealgate_{count}_duration_seconds_count ")), 5, "{count}");
    }
    for patient in ["CompressedSamples", "13US1", "1.3.6.1.4.1.5962."] {
        assert!(!text.contains(patient), "{patient} in\n{text}");
    }
    let status = trial.sealgate(&["status", "--json"]);
    assert!(status.status.success(), "{status:?}");
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["ok"], true);
    assert_eq!(status["totals"]["stored"], 5);
    assert_eq!(status["totals"]["forwarded"], 5);
    assert_eq!(status["totals"]["opened"], 5);
    assert_eq!(status["destinations"][0]["name"], "archive");
    let words = trial.sealgate(&["status"]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    for wanted in ["is ready", "5 taken in, 0 refused; 5 forwarded", "archive"] {
        assert!(words.contains(wanted), "{wanted} in\n{words}");
    }
}

/// The names in a text that could be those of metrics.
pub(super) fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("sealgate_")).map(ToOwned::to_owned).collect()
}

#[test]
fn rules_and_dashboard_use_metrics_that_there_are() {
    let known = sealgate::telemetry::metrics::sample_names();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (file, least) in [("alerts.yml", 15), ("grafana.json", 25)] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let used = names_in(&text);
        assert!(used.len() >= least, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}");
    }
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("grafana.json")).unwrap()).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{panel}");
    }
}
