//! The process: it starts, reloads, drains and ends as its documentation says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::gateway::{ECHO_PEER, Gateway, SOON};
use crate::keys::command::Site;
use crate::wire;

#[test]
fn a_known_peer_is_answered_and_everybody_else_refused() {
    let gateway = Gateway::start(ECHO_PEER);
    let (code, text) = gateway.echo("TESTER", "SEALGATE");
    assert_eq!(code, 0, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["status"], "0000H");

    let (code, text) = gateway.echo("STRANGER", "SEALGATE");
    assert_eq!(code, 4);
    assert!(text.contains("calling AE title"), "{text}");
    let (code, text) = gateway.echo("TESTER", "SOMEBODY");
    assert_eq!(code, 4);
    assert!(text.contains("called AE title"), "{text}");
}

#[test]
fn a_peer_without_the_right_to_echo_is_not_echoed() {
    let gateway = Gateway::start(&ECHO_PEER.replace("\"echo\"", "\"store\""));
    let (code, text) = gateway.echo("TESTER", "SEALGATE");
    assert_eq!(code, 4, "{text}");
}

#[test]
fn a_route_gives_the_gateway_a_second_ae_title() {
    let site = Site::new();
    assert!(site.sealgate(&["keys", "init"]).status.success());
    let keys = std::fs::read_to_string(site.path("gateway.toml")).expect("the site has a configuration");
    let config = format!(
        "{keys}\n[spool]\nfolder = \"{}\"\n{ECHO_PEER}\n[[destinations]]\nname = \"pacs\"\naddress = \"PACS@127.0.0.1:104\"\n\
         [[routes]]\nname = \"research\"\ncalled = [\"RESEARCH\"]\ndestinations = [\"pacs\"]\n",
        site.path("spool").display()
    );
    let gateway = Gateway::start(&config);
    assert_eq!(gateway.echo("TESTER", "RESEARCH").0, 0);
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
}

#[test]
fn reload_takes_a_new_peer_without_dropping_an_association() {
    let gateway = Gateway::start(ECHO_PEER);
    let mut held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    assert_eq!(gateway.echo("NEWCOMER", "SEALGATE").0, 4);

    let newcomer = ECHO_PEER.replace("tester", "newcomer").replace("TESTER", "NEWCOMER");
    std::fs::write(gateway.config(), newcomer).expect("the configuration is written");
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    assert_eq!(gateway.echo("NEWCOMER", "SEALGATE").0, 0);
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 4, "the old peer is out");
    assert_eq!(wire::echo_on(&mut held), 0x0000, "an association that was there goes on");
}

#[test]
fn reload_changes_limits_and_the_log_level() {
    let gateway = Gateway::start(ECHO_PEER);
    assert!(!gateway.log().contains("\"DEBUG\""));
    let changed = format!("[log]\nlevel = \"debug\"\n[association]\nassociations_max = 1\n{ECHO_PEER}");
    std::fs::write(gateway.config(), changed).expect("the configuration is written");
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    let _held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    let answer = wire::knock(gateway.address, "TESTER", "SEALGATE");
    assert_eq!(answer, wire::rejected(2, 3, 1), "the one place is taken");
    gateway.wait_for_log("\"DEBUG\"");
}

#[test]
fn a_bad_configuration_is_not_taken_on_reload() {
    let gateway = Gateway::start(ECHO_PEER);
    std::fs::write(gateway.config(), "titels = [\"X\"]\n").expect("the configuration is written");
    gateway.signal("HUP");
    let line = gateway.wait_for_log("the configuration stays as it was");
    assert!(line.contains("did you mean"), "{line}");
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
}

#[test]
fn the_first_sigterm_lets_associations_finish_and_takes_no_new_ones() {
    let mut gateway = Gateway::start(ECHO_PEER);
    let mut held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    gateway.signal("TERM");
    gateway.wait_for_log("stopping");
    // An idle association is not work in hand: the gateway ends it, and then itself.
    let mut rest = Vec::new();
    let _ = held.set_read_timeout(Some(SOON));
    held.read_to_end(&mut rest).expect("closed in good order");
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    assert!(TcpStream::connect(gateway.address).is_err());
}

#[test]
fn a_message_in_hand_is_finished_before_the_end() {
    let mut gateway = Gateway::start(ECHO_PEER);
    let mut held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    let request = wire::echo_request();
    let (first, second) = request.split_at(20);
    held.write_all(first).expect("sent");
    std::thread::sleep(Duration::from_millis(100));
    gateway.signal("TERM");
    gateway.wait_for_log("stopping");
    held.write_all(second).expect("sent");
    assert_eq!(wire::echo_status(&mut held), 0x0000, "the answer came although the end had begun");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn the_drain_has_a_deadline() {
    let mut gateway = Gateway::start(&format!("[app]\ndrain_seconds_max = 1\n{ECHO_PEER}"));
    let mut held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    held.write_all(&wire::echo_request()[..20]).expect("sent");
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(5), "unfinished: {}", gateway.log());
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_second_sigterm_ends_at_once() {
    let mut gateway = Gateway::start(ECHO_PEER);
    let mut held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    held.write_all(&wire::echo_request()[..20]).expect("sent");
    std::thread::sleep(Duration::from_millis(100));
    gateway.signal("TERM");
    gateway.wait_for_log("stopping");
    let start = Instant::now();
    gateway.signal("TERM");
    let status = gateway.wait();
    assert_eq!((status.code(), status.signal()), (Some(5), None), "{}", gateway.log());
    assert!(start.elapsed() < Duration::from_secs(5), "not only at the deadline of 30 s");
}

#[test]
fn systemd_hears_of_every_step() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a time-out");
    let hear = |word: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {word}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|line| line == word) {
                return message;
            }
        }
    };
    let path = path.to_str().expect("a plain path");
    let environment = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "400000")];
    let mut gateway = Gateway::start_with(ECHO_PEER, &environment);
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    gateway.signal("HUP");
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    gateway.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args([
            "serve",
            "--listen",
            &address,
            "--config",
            concat!(env!("CARGO_MANIFEST_DIR"), "/conf/gateway.toml"),
        ])
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn serve_refuses_a_bad_configuration_with_its_own_exit_code() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["serve", "--set", "titels=X"])
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}
