//! Hostile bytes at the door: every file of `testdata/hostile/association` gets the answer in its name.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::{ECHO_PEER, Gateway, SOON};
use crate::tls::BOTH;
use crate::tls::pki::{self, Pki, TLS_LISTENER};
use crate::wire;

/// Short limits, so that silence is over soon; wide ones, so that a thousand connections are all let in.
fn config() -> String {
    let peer = ECHO_PEER.replace("\"echo\"", "\"echo\", \"store\"");
    format!(
        "[association]\nartim_seconds = 2\nidle_seconds = 2\npdu_seconds = 2\nassociations_max = 3000\n\
         associations_per_peer_max = 3000\nassociations_per_address_max = 3000\n{peer}"
    )
}

/// Every file with the answers its name asks for.
fn files() -> Vec<(String, Vec<String>, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/hostile/association");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "bin"))
        .map(|path| {
            let stem = path.file_stem().expect("a name").to_str().expect("plain text").to_owned();
            let (fault, answers) = stem.split_once('.').expect("FAULT.ANSWER");
            let answers = answers.split('.').map(str::to_owned).collect();
            (fault.to_owned(), answers, fs::read(&path).expect("it can be read"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 80, "{} files", files.len());
    files
}

/// What the door said until it closed, in the words of the file names.
fn answers(stream: &mut TcpStream) -> Vec<String> {
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    answers_on(stream)
}

/// The same on any connection that has a time-out.
fn answers_on(stream: &mut impl Read) -> Vec<String> {
    let mut bytes = Vec::new();
    // A reset after the last words is an end too, and so is an end of TLS without close_notify; silence is not.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        let is_end = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof);
        assert!(is_end, "the door did not close: {error}");
    }
    let mut rest = &bytes[..];
    let mut said = Vec::new();
    while rest.len() >= 6 {
        let length = u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]]) as usize;
        let (pdu, behind) = rest.split_at(6 + length);
        said.push(match pdu[0] {
            2 => "accept".to_owned(),
            3 => format!("reject-{}-{}-{}", pdu[7], pdu[8], pdu[9]),
            4 => format!("status-{:04x}", wire::status_of(pdu)),
            6 => "released".to_owned(),
            7 => format!("abort-{}-{}", pdu[8], pdu[9]),
            other => format!("pdu-{other}"),
        });
        rest = behind;
    }
    assert!(rest.is_empty(), "half a PDU: {rest:02X?}");
    if said.is_empty() {
        said.push("closed".to_owned());
    }
    said
}

fn send(gateway: &Gateway, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).expect("connected");
    // The door may close before it has read everything.
    let _ = stream.write_all(bytes);
    stream
}

#[test]
fn every_hostile_file_gets_its_answer_and_the_door_stays_open() {
    let gateway = Gateway::start(&config());
    // All at once: those that are answered by silence take two seconds each.
    let streams: Vec<_> =
        files().into_iter().map(|(fault, wanted, bytes)| (fault, wanted, send(&gateway, &bytes))).collect();
    let mut wrong = BTreeMap::new();
    for (fault, wanted, mut stream) in streams {
        let said = answers(&mut stream);
        if said != wanted {
            wrong.insert(fault, (wanted, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", gateway.log());
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

/// The same door behind TLS, whose peer has the certificate `tester`.
fn tls_config(pki: &Pki) -> String {
    pki.client("tester");
    let bound = format!("{}certificates = [{{ common_name = \"tester\" }}]\n", config());
    format!("{TLS_LISTENER}{}{bound}", pki.profile(""))
}

#[test]
fn every_hostile_file_gets_the_same_answer_through_tls() {
    let pki = Pki::new();
    let gateway = Gateway::start(&tls_config(&pki));
    let client = pki.config(Some("tester"), BOTH);
    let mut wrong = BTreeMap::new();
    let streams: Vec<_> = files()
        .into_iter()
        .map(|(fault, wanted, bytes)| {
            let mut stream = pki::connect(gateway.address, &client);
            // The door may close before it has read everything.
            let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
            (fault, wanted, stream)
        })
        .collect();
    for (fault, wanted, mut stream) in streams {
        let said = answers_on(&mut stream);
        if said != wanted {
            wrong.insert(fault, (wanted, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", gateway.log());
    let mut stream = pki::connect(gateway.address, &client);
    wire::associate_on(&mut stream, "TESTER", "SEALGATE");
    assert_eq!(wire::echo_on(&mut stream), 0);
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

#[test]
fn every_hostile_file_in_place_of_a_tls_handshake_is_closed_and_costs_nothing() {
    let pki = Pki::new();
    let gateway = Gateway::start(&tls_config(&pki).replace("seconds = 2", "seconds = 60"));
    let client = pki.config(Some("tester"), BOTH);
    let mut stream = pki::connect(gateway.address, &client);
    wire::associate_on(&mut stream, "TESTER", "SEALGATE");
    let before = memory(&gateway, "VmHWM");
    let (plain, hellos): (Vec<_>, Vec<_>) =
        files().into_iter().partition(|(.., bytes)| bytes.first() != Some(&0x16));
    for (fault, _, bytes) in &plain {
        if bytes.is_empty() {
            continue;
        }
        let said = answers(&mut send(&gateway, bytes));
        let is_pdu = (1..=7).contains(&bytes[0]);
        assert_eq!(said, [if is_pdu { "abort-2-2" } else { "closed" }], "{fault}");
    }
    assert!(!hellos.is_empty());
    // Records that claim what is never sent: 64 KiB of handshake, in pieces, by a thousand callers.
    let lying = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0xFF, 0xFF][..], &[0; 1000]].concat();
    let held: Vec<_> = (0..1000).map(|_| send(&gateway, &lying)).collect();
    let end = Instant::now() + SOON;
    let open = || fs::read_dir(format!("/proc/{}/fd", gateway.id())).expect("the process is there").count();
    while open() < 900 {
        assert!(Instant::now() < end, "only {} of them are there at once", open());
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    let grown = memory(&gateway, "VmHWM") - before;
    println!("{} handshakes that never end: {grown} KiB", held.len());
    assert!(grown < 32 * 1024, "{grown} KiB more at the highest");
    assert_eq!(wire::echo_on(&mut stream), 0);
}

#[test]
fn a_hostile_file_that_comes_byte_by_byte_gets_the_same_answer() {
    let gateway = Gateway::start(&config());
    let small = files().into_iter().filter(|(.., bytes)| bytes.len() < 700);
    thread::scope(|scope| {
        for (fault, wanted, bytes) in small {
            let mut stream = TcpStream::connect(gateway.address).expect("connected");
            scope.spawn(move || {
                stream.set_nodelay(true).expect("no delay");
                // The door may close before it has read everything.
                let _ = bytes.iter().try_for_each(|byte| stream.write_all(&[*byte]));
                assert_eq!(answers(&mut stream), wanted, "{fault}");
            });
        }
    });
}

#[test]
fn one_byte_a_second_does_not_hold_a_place_for_ever() {
    let gateway = Gateway::start(&config());
    let start = Instant::now();
    let mut stream = TcpStream::connect(gateway.address).expect("connected");
    for byte in wire::associate_request("TESTER", "SEALGATE") {
        if stream.write_all(&[byte]).is_err() || start.elapsed() > SOON {
            break;
        }
        thread::sleep(Duration::from_secs(1));
    }
    assert!(start.elapsed() < Duration::from_secs(8), "the limit is 2 seconds: {:?}", start.elapsed());
}

#[test]
fn a_dripping_pdu_on_an_association_is_cut_off() {
    let gateway = Gateway::start(&config());
    let start = Instant::now();
    let mut stream = wire::associate(gateway.address, "TESTER", "SEALGATE");
    let mut drip = stream.try_clone().expect("a second handle");
    thread::spawn(move || {
        for byte in wire::echo_request() {
            if drip.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(500));
        }
    });
    assert_eq!(answers(&mut stream), ["abort-0-0"]);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn an_association_has_a_total_time_whatever_it_does() {
    let limits = "[association]\nassociation_seconds_max = 2\nartim_seconds = 1";
    let gateway = Gateway::start(&format!("{limits}\n{ECHO_PEER}"));
    let (mut busy, mut slow) = (
        wire::associate(gateway.address, "TESTER", "SEALGATE"),
        wire::associate(gateway.address, "TESTER", "SEALGATE"),
    );
    let start = Instant::now();
    // The one asks and asks, the other has sent a part of a PDU, which may take a minute.
    slow.write_all(&wire::echo_request()[..20]).expect("sent");
    while start.elapsed() < Duration::from_millis(1800) {
        assert_eq!(wire::echo_on(&mut busy), 0);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(answers(&mut busy), ["abort-0-0"]);
    assert_eq!(answers(&mut slow), ["abort-0-0"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn who_comes_when_all_places_are_taken_still_hears_the_right_answer() {
    let gateway = Gateway::start(&format!("[association]\nassociations_max = 1\n{ECHO_PEER}"));
    let _held = wire::associate(gateway.address, "TESTER", "SEALGATE");
    let start = Instant::now();
    assert_eq!(answers(&mut send(&gateway, b"GET / HTTP/1.1\r\n\r\n")), ["abort-2-1"]);
    assert_eq!(answers(&mut send(&gateway, b"")), ["closed"], "silence is not waited for as long as ARTIM");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let gateway = Gateway::start(&format!("[association]\nsend_seconds = 1\n{ECHO_PEER}"));
    let mut stream = wire::associate(gateway.address, "TESTER", "SEALGATE");
    stream.set_write_timeout(Some(SOON)).expect("a time-out");
    // It asks and asks, and reads no answer, until both buffers are full and the gateway cannot send.
    let request = wire::echo_request().repeat(1000);
    while stream.write_all(&request).is_ok() {}
    gateway.wait_for_log("to take what was sent to it");
}

#[test]
fn limits_refuse_politely_and_places_come_back() {
    let gateway = Gateway::start(&format!("[association]\nassociations_per_peer_max = 2\n{ECHO_PEER}"));
    let first = wire::associate(gateway.address, "TESTER", "SEALGATE");
    let _second = wire::associate(gateway.address, "TESTER", "SEALGATE");
    assert_eq!(wire::knock(gateway.address, "TESTER", "SEALGATE"), wire::rejected(2, 3, 1));
    drop(first);
    let end = Instant::now() + SOON;
    while wire::knock(gateway.address, "TESTER", "SEALGATE")[0] != 2 {
        assert!(Instant::now() < end, "the place of the first came back");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_limit_by_address_holds_for_connections_that_say_nothing() {
    let gateway = Gateway::start(&format!("[association]\nassociations_per_address_max = 3\n{ECHO_PEER}"));
    let mut silent: Vec<_> =
        (0..3).map(|_| TcpStream::connect(gateway.address).expect("connected")).collect();
    let end = Instant::now() + SOON;
    // Connections are taken in side by side, so the knock may have been faster than the third of them.
    while wire::knock(gateway.address, "TESTER", "SEALGATE") != wire::rejected(2, 3, 1) {
        assert!(Instant::now() < end, "the three places are taken\n{}", gateway.log());
        // Not before the knock has given its own place back.
        thread::sleep(Duration::from_millis(50));
        silent.push(TcpStream::connect(gateway.address).expect("connected"));
        thread::sleep(Duration::from_millis(50));
    }
    drop(silent);
    let end = Instant::now() + SOON;
    while wire::knock(gateway.address, "TESTER", "SEALGATE")[0] != 2 {
        assert!(Instant::now() < end, "the places came back");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A line of `/proc/PID/status` in KiB.
fn memory(gateway: &Gateway, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("the process is there");
    let line = status.lines().find_map(|l| l.strip_prefix(line)).expect("the line is there");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_thousand_hostile_connections_at_once_cost_less_than_16_mib() {
    // Long limits: all of them have to be there at the same time.
    let gateway = Gateway::start(&config().replace("seconds = 2", "seconds = 60"));
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
    let before = memory(&gateway, "VmHWM");
    let files = files();
    let streams: Vec<_> = files.iter().cycle().take(1000).map(|(.., bytes)| send(&gateway, bytes)).collect();
    let end = Instant::now() + SOON;
    // Few are closed by the gateway alone: those who abort.
    let open = || fs::read_dir(format!("/proc/{}/fd", gateway.id())).expect("the process is there").count();
    while open() < 900 {
        assert!(Instant::now() < end, "only {} of them are there at once", open());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
    let grown = memory(&gateway, "VmHWM") - before;
    assert!(grown < 16 * 1024, "{grown} KiB more at the highest");
    println!("{} hostile connections at once: {grown} KiB", open());
    drop(streams);
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0);
}

#[test]
fn five_hundred_idle_associations_cost_less_than_64_mib() {
    let gateway = Gateway::start(&config().replace("idle_seconds = 2", "idle_seconds = 60"));
    let before = memory(&gateway, "VmRSS");
    let mut idle: Vec<_> = (0..500).map(|_| wire::associate(gateway.address, "TESTER", "SEALGATE")).collect();
    // Each has carried a message before it fell idle.
    for stream in &mut idle {
        assert_eq!(wire::echo_on(stream), 0);
    }
    let grown = memory(&gateway, "VmRSS").saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB for 500 idle associations");
    println!("500 idle associations: {grown} KiB");
}
