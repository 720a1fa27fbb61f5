//! The audit trail and others: the standard's schema, a real rsyslog over TLS and UDP, and a gateway that is killed.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate::audit::{
    Access, Alert, Clients, Config, Event, Instance, Kind, LogUse, Login, Party, Query, Repository, Source,
    Trail, Transfer, Transport, What, message, ship,
};
use sealgate::dicom::Uid;
use sealgate::tls::{Place, Profile, Profiles};
use serde_json::Value;

use crate::peers::{Dcmqrscp, Process, free_port, python};
use crate::retrieve::site::{Front, needs_of, one_study};
use crate::tls::pki::Pki;

/// How long something may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

fn transfer(kind: Kind, failure: Option<&str>) -> Transfer {
    let instance = |number: u32| Instance {
        class: uid("1.2.840.10008.5.1.4.1.1.2"),
        uid: uid(&format!("1.2.3.{number}")),
        key_id: number.is_multiple_of(2).then(|| "00112233445566778899aabbccddeeff".to_owned()),
    };
    Transfer {
        kind,
        source: Party::named("CT <1> & \"co\"").titled("CT1").at("10.0.0.1"),
        destination: Party::named("archive").titled("ARCHIVE").at("pacs.example.org"),
        requestor: Some(Party::named("Dr. Müller\n")),
        study: failure.is_none().then(|| uid("1.2.3")),
        patient: Some("4711 \u{1}".into()),
        instances: (1..=100).map(instance).collect(),
        sealed: kind != Kind::Released,
        grant: Some("3".into()),
        failure: failure.map(ToOwned::to_owned),
        ticket: 0,
    }
}

/// Every event there is.
fn events() -> Vec<Event> {
    let query = Query {
        caller: Party::named("viewer").titled("VIEW").at("10.0.0.2"),
        called: Party::named("sealgate").titled("SEALGATE"),
        user: Some("weiss".into()),
        class: uid("1.2.840.10008.5.1.4.1.2.2.1"),
        transfer_syntax: "1.2.840.10008.1.2".into(),
        identifier: vec![0x10; 20_000],
    };
    let login = |failure: Option<&str>| Login {
        user: failure.is_none().then(|| "weiss".to_owned()),
        node: Party::named("viewer").titled("VIEW").at("10.0.0.2"),
        failure: failure.map(ToOwned::to_owned),
    };
    let mut events = vec![
        Event::Started,
        Event::Stopped,
        Event::Query(Box::new(query)),
        Event::Login(Box::new(login(None))),
        Event::Login(Box::new(login(Some("wrong password")))),
    ];
    let (by, log) = (Party::named("auditor"), "file:///var/lib/sealgate/audit".to_owned());
    events.push(Event::LogUsed(Box::new(LogUse { by, log, how: "shown".to_owned() })));
    for kind in [Kind::Received, Kind::Released] {
        let Transfer { study, instances, .. } = transfer(kind, None);
        let study = study.filter(|_| kind == Kind::Released);
        events.push(Event::Accessed(Box::new(Access { by: Party::named("#70002"), study, instances })));
    }
    for kind in [Kind::Received, Kind::Forwarded, Kind::Released] {
        events.push(Event::Begin(Box::new(transfer(kind, None))));
        events.push(Event::Transferred(Box::new(transfer(kind, None))));
        events.push(Event::Transferred(Box::new(transfer(kind, Some("it does not open")))));
    }
    for what in What::ALL {
        events.push(Event::Alert(Box::new(Alert::done(what, "was done"))));
        let by = Party::named("root").at("::1");
        events.push(Event::Alert(Box::new(Alert::failed(what, "a\tb").by(by).about("1.2.3").about("ER"))));
    }
    events
}

/// What the validator says of these messages.
fn validated(messages: &[String]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("messages");
    fs::write(&file, messages.join("\n")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python())
        .arg(root.join("tests/peers/audit_schema.py"))
        .arg(root.join("testdata/audit/audit-message.rng"))
        .arg(&file)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_event_validates_against_the_schema_and_the_tables_of_the_standard() {
    let source = |site: Option<&str>, patient_ids| Source {
        id: "gw".into(),
        site: site.map(ToOwned::to_owned),
        titles: vec!["SEALGATE".into(), "OTHER".into()],
        patient_ids,
    };
    for source in [source(None, true), source(Some("north"), false)] {
        let messages: Vec<String> =
            events().iter().map(|event| message(event, 1_769_841_000_000, &source)).collect();
        // PS3.15 A.6: a repository has to take 32 KiB.
        assert!(messages.iter().all(|text| text.len() <= 32 * 1024 && !text.contains('\n')));
        assert_eq!(validated(&messages), format!("{} messages\n", messages.len()));
    }
    let good = message(&Event::Started, 0, &source(None, true));
    for (from, to) in [
        ("originalText", "displayName"),
        ("EventDateTime=\"1970", "EventDateTime=\"70"),
        ("<AuditSourceTypeCode", "<AuditSourceKind"),
        ("110150", "110151"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(validated(std::slice::from_ref(&bad)), "1 messages\n", "{bad}");
    }
}

/// A real rsyslog that writes what comes into a file.
struct Rsyslog {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

impl Rsyslog {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: free_port(), process: None }
    }

    fn start(&mut self, pki: &Pki) {
        let (at, port) = (self.folder.path().display(), self.port);
        let certificates = pki.folder().display();
        let config = format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\" DefaultNetstreamDriver=\"ossl\" \
             DefaultNetstreamDriverCAFile=\"{certificates}/ca.pem\" DefaultNetstreamDriverCertFile=\"{certificates}/gateway.pem\" \
             DefaultNetstreamDriverKeyFile=\"{certificates}/gateway.key\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/certvalid\")\n\
             input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
             template(name=\"all\" type=\"string\" string=\"%pri%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{at}/came\" template=\"all\" flushInterval=\"1\" asyncWriting=\"off\")\n"
        );
        fs::write(self.folder.path().join("rsyslog.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-f").arg(self.folder.path().join("rsyslog.conf"));
        command.arg("-i").arg(self.folder.path().join("pid"));
        self.process = Some(Process::start(&mut command, self.folder.path().join("log"), port));
    }

    fn came(&self) -> String {
        fs::read_to_string(self.folder.path().join("came")).unwrap_or_default()
    }

    /// Waits until all of these have come.
    fn wait_for(&self, texts: &[String]) {
        let end = Instant::now() + PATIENCE;
        loop {
            let came = self.came();
            let missing: Vec<&String> = texts.iter().filter(|text| !came.contains(text.as_str())).collect();
            if missing.is_empty() {
                return;
            }
            let said = self.process.as_ref().map(Process::log);
            assert!(Instant::now() < end, "{missing:?} have not come: {said:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill();
    }
}

fn clients(pki: &Pki, ca: &str) -> Clients {
    let place = |name: &str| Place::parse(pki.path(name).to_str().unwrap()).ok();
    let profile = Profile {
        name: "clinic".into(),
        certificate: place("client.pem"),
        key: place("client.key"),
        ca: place(ca),
        crls: Vec::new(),
    };
    let profiles = Profiles::load(&[profile], &Profiles::default()).expect("the files are good");
    Arc::new(move |repository: &Repository| {
        profiles
            .client("clinic", repository.server_name.as_deref())
            .expect("it calls")
            .map_err(|e| e.to_string())
    })
}

fn config(folder: &Path, port: u16, transport: Transport) -> Config {
    let repository = Repository {
        name: "central".into(),
        address: format!("127.0.0.1:{port}"),
        transport,
        tls: (transport == Transport::Tls).then(|| "clinic".into()),
        server_name: None,
    };
    Config {
        folder: folder.join("audit"),
        sync_milliseconds: 5,
        retry_seconds_max: 1,
        confirm_seconds: 1,
        file_bytes_max: 256 * 1024,
        repositories: vec![repository],
        ..Config::default()
    }
}

/// Records alerts with these numbers; says the texts they are known by.
fn record(trail: &Trail, numbers: std::ops::Range<u32>) -> Vec<String> {
    let names = numbers.map(|number| format!("request number {number} end"));
    names.inspect(|text| trail.alert(Alert::failed(What::RequestRefused, text))).collect()
}

fn sent(config: &Config) -> u64 {
    let text = fs::read_to_string(config.folder.join("sent-central")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsyslog_over_tls_gets_everything_though_it_is_away_for_a_while_and_the_gateway_too() {
    let pki = Pki::new();
    pki.client("client");
    let folder = tempfile::tempdir().unwrap();
    let mut rsyslog = Rsyslog::new();
    let config = config(folder.path(), rsyslog.port, Transport::Tls);
    let open = || Trail::open(&config, &["SEALGATE".to_owned()]).unwrap();

    // Away from the beginning; more than one file of the log.
    let trail = open();
    let shipper = ship(&trail, &clients(&pki, "ca.pem"));
    let mut texts = record(&trail, 0..400);
    rsyslog.start(&pki);
    rsyslog.wait_for(&texts);
    // Away in the middle.
    rsyslog.stop();
    texts.extend(record(&trail, 400..420));
    // The gateway ends meanwhile, and what it could not send waits for it.
    let closing = trail.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.unwrap();
    shipper.close().await;
    drop(trail);
    rsyslog.start(&pki);
    let trail = open();
    let shipper = ship(&trail, &clients(&pki, "ca.pem"));
    texts.extend(record(&trail, 420..430));
    rsyslog.wait_for(&texts);
    let closing = trail.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.unwrap();
    shipper.close().await;
    // Closed in good order, all of it counts as arrived.
    let report = sealgate::audit::verify(&config.folder, None, None).unwrap();
    assert!(report.good && sent(&config) + 1 >= report.last, "{} of {report:?}", sent(&config));
    rsyslog.wait_for(&["Application Stop".to_owned()]);

    let came = rsyslog.came();
    let first = came.lines().next().unwrap();
    let fields: Vec<&str> = first.splitn(6, '|').collect();
    assert_eq!(
        (fields[0], fields[2], fields[3], fields[4]),
        ("85", "sealgate", "DICOM+RFC3881", "-"),
        "{first}"
    );
    let messages: BTreeSet<String> = came
        .lines()
        .map(|line| line.splitn(6, '|').nth(5).unwrap().trim_start_matches([' ', '\u{FEFF}']).to_owned())
        .collect();
    let messages: Vec<String> = messages.into_iter().collect();
    assert_eq!(validated(&messages), format!("{} messages\n", messages.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_show_who_it_is_gets_nothing() {
    let (pki, other) = (Pki::new(), Pki::empty("Other CA"));
    pki.client("client");
    fs::copy(other.path("ca.pem"), pki.path("other.pem")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut rsyslog = Rsyslog::new();
    rsyslog.start(&pki);
    let config = config(folder.path(), rsyslog.port, Transport::Tls);
    let trail = Trail::open(&config, &[]).unwrap();
    let wrong = ship(&trail, &clients(&pki, "other.pem"));
    let texts = record(&trail, 0..3);
    trail.durable().unwrap().wait_for(|number| *number > 4).await.unwrap();
    wrong.close().await;
    assert_eq!((rsyslog.came().as_str(), sent(&config)), ("", 0));
    let right = ship(&trail, &clients(&pki, "ca.pem"));
    rsyslog.wait_for(&texts);
    right.close().await;
    trail.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_carry_the_same_messages() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let pki = Pki::new();
    pki.client("client");
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), socket.local_addr().unwrap().port(), Transport::Udp);
    let trail = Trail::open(&config, &["SEALGATE".to_owned()]).unwrap();
    let shipper = ship(&trail, &clients(&pki, "ca.pem"));
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(text.starts_with("<85>1 ") && text.contains("Application Start"), "{text}");
    let end = Instant::now() + PATIENCE;
    while sent(&config) == 0 {
        assert!(Instant::now() < end, "it is kept how far the repository is");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    trail.close();
    shipper.close().await;
}

/// What `sealgate audit show` says.
fn shown(front: &Front, arguments: &[&str]) -> Vec<Value> {
    let output = front.site.sealgate(&[&["audit", "show", "--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verified(front: &Front) -> Value {
    let output = front.site.sealgate(&["audit", "verify", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn wait_for_events(front: &Front, arguments: &[&str], instances: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = shown(front, arguments);
        let count: usize = found.iter().map(|entry| entry["instances"].as_array().map_or(0, Vec::len)).sum();
        if count >= instances {
            return found;
        }
        assert!(Instant::now() < end, "{count} of {instances} for {arguments:?}: {:?}", shown(front, &[]));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_stored_and_retrieved_leaves_the_events_of_the_standard_and_a_kill_no_gap() {
    let archive = Dcmqrscp::start(&[]);
    let mut front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..3];
    front.store(samples).await;
    let received = wait_for_events(&front, &["--event", "received", "--study", &study], 3);
    assert!(received[0]["parties"].to_string().contains("127.0.0.1"), "{received:?}");
    let forwarded = wait_for_events(&front, &["--event", "forwarded", "--peer", "pacs"], 3);
    assert_eq!(forwarded[0]["objects"], received[0]["objects"], "the study, and of which patient");

    let (came, ended) = front.get("VIEWER", &study, &needs_of(samples)).await;
    assert!(ended.is_complete() && came.len() == 3);
    // Killed right after the last response: the end of the retrieval was durable before it.
    front.crash();
    let begun = shown(&front, &["--event", "releasing", "--peer", "VIEWER"]);
    assert_eq!(begun.len(), 1, "{begun:?}");
    let released = shown(&front, &["--event", "released", "--study", &study]);
    assert_eq!(released.iter().map(|one| one["instances"].as_array().unwrap().len()).sum::<usize>(), 3);
    let report = verified(&front);
    assert_eq!(report["good"], true, "{report}");

    // Who may not open leaves a record too; what happened goes to no other log than this one.
    let (none, _) = front.get("NOSY", &study, &needs_of(samples)).await;
    assert!(none.is_empty());
    let granted = front.site.sealgate(&["grant", "ER", "--for", "5m", "--reason", "trauma"]);
    assert!(granted.status.success());
    front.gateway.wait_for_log("emergency access opened");
    front.gateway.signal("HUP");
    front.gateway.wait_for_log("configuration reloaded");
    front.stop();
    for event in ["request-refused", "emergency-began", "reconfigured", "application-stop"] {
        assert!(!shown(&front, &["--event", event]).is_empty(), "{event}: {:?}", shown(&front, &[]));
    }
    let report = verified(&front);
    assert!(report["good"] == true && report["signed"] == report["last"], "{report}");

    let lines = front.site.sealgate(&["audit", "show", "--xml"]);
    let messages: Vec<String> =
        String::from_utf8(lines.stdout).unwrap().lines().map(ToOwned::to_owned).collect();
    assert_eq!(validated(&messages), format!("{} messages\n", messages.len()));
    let file: PathBuf = fs::read_dir(front.site.path("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "log"))
        .unwrap();
    let text = fs::read_to_string(&file).unwrap().replacen("VIEWER", "NOBODY", 1);
    fs::write(&file, text).unwrap();
    let output = front.site.sealgate(&["audit", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOT as it was written"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_holds_however_often_the_gateway_is_killed() {
    let archive = Dcmqrscp::start(&[]);
    let mut front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    for round in 0..4 {
        front.store(&samples[..1]).await;
        let _came = front.get("VIEWER", &study, &needs_of(&samples[..1])).await;
        front.crash();
        let report = verified(&front);
        assert_eq!(report["good"], true, "round {round}: {report}");
        let released = shown(&front, &["--event", "released"]);
        assert!(released.len() > round, "round {round}: {released:?}");
    }
}
