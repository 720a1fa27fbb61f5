//! The wrong protocol on a port, in either direction, and what both sides hear of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::pki::{self, Pki};
use super::{BOTH, clinic};
use crate::gateway::{ECHO_PEER, Gateway, SOON};
use crate::wire;

/// Everything that comes until the end.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the door did not close: {error}"),
    }
    bytes
}

#[test]
fn plain_dicom_on_a_tls_port_is_aborted_at_once_with_a_clear_log() {
    let gateway = Gateway::start(&clinic(&Pki::new(), ""));
    let start = Instant::now();
    let mut stream = TcpStream::connect(gateway.address).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    stream.write_all(&wire::associate_request("CT", "SEALGATE")).expect("sent");
    // A-ABORT, source service-provider, reason unexpected-PDU.
    assert_eq!(rest(&mut stream), [7, 0, 0, 0, 0, 4, 0, 0, 2, 2]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    gateway.wait_for_log("the peer speaks DICOM without TLS, and this listener takes TLS only");
}

#[test]
fn what_is_neither_on_a_tls_port_is_closed_at_once() {
    let gateway = Gateway::start(&clinic(&Pki::new(), ""));
    let start = Instant::now();
    let mut stream = TcpStream::connect(gateway.address).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    assert_eq!(rest(&mut stream), b"");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    gateway.wait_for_log("its first byte is 47H");
}

#[test]
fn a_tls_hello_on_a_plain_port_is_aborted_with_a_clear_log() {
    let gateway = Gateway::start(ECHO_PEER);
    let pki = Pki::new();
    let mut stream = pki::connect(gateway.address, &pki.config(None, BOTH));
    assert!(pki::handshake(&mut stream).is_err());
    gateway.wait_for_log("the peer began TLS on a plain connection");
}

/// `sealgate echo` to `address`, with these flags: exit code and what it said.
fn echo(address: &str, flags: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["echo", &format!("SEALGATE@{address}"), "--calling", "CT", "--timeout", "5"])
        .args(flags)
        .output()
        .expect("the command runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn we_call_through_tls_and_say_what_is_wrong_when_it_does_not_work() {
    let (pki, other) = (Pki::new(), Pki::empty("Another CA"));
    pki.client("ct");
    let (gateway, plain) = (Gateway::start(&clinic(&pki, "")), Gateway::start(ECHO_PEER));
    let port = |gateway: &Gateway| gateway.address.port();
    let path = |name: &str| pki.path(name).display().to_string();
    let (ca, certificate, key) = (path("ca.pem"), path("ct.pem"), path("ct.key"));
    let flags = ["--tls-ca", &ca, "--tls-certificate", &certificate, "--tls-key", &key];

    let by_name = format!("localhost:{}", port(&gateway));
    let by_address = format!("127.0.0.1:{}", port(&gateway));
    for address in [&by_name, &by_address] {
        let (code, said) = echo(address, &flags);
        assert_eq!(code, Some(0), "{said}");
    }
    let named = [&flags[..], &["--tls-server-name", "gateway.clinic.example"]].concat();
    assert_eq!(echo(&by_name, &named).0, Some(0));
    let misnamed = [&flags[..], &["--tls-server-name", "pacs.clinic.example"]].concat();
    let (code, said) = echo(&by_name, &misnamed);
    assert!(
        code == Some(4) && said.contains("certificate") && said.contains("pacs.clinic.example"),
        "{said}"
    );

    // In clear to a TLS port.
    let (code, said) = echo(&by_name, &[]);
    assert!(code == Some(4) && said.contains("aborted"), "{said}");
    // Through TLS to a plain port.
    let (code, said) = echo(&format!("localhost:{}", port(&plain)), &flags);
    assert!(code == Some(4) && said.contains("answers without TLS"), "{said}");
    // Without a certificate.
    let (code, said) = echo(&by_name, &["--tls-ca", &ca]);
    assert!(code == Some(4) && said.contains("wants a certificate from us"), "{said}");
    // Somebody whom we do not believe.
    let strange = other.path("ca.pem").display().to_string();
    let (code, said) = echo(&by_name, &["--tls-ca", &strange]);
    assert!(code == Some(4) && said.contains("issued by nobody"), "{said}");
}

#[test]
fn a_tls_alert_to_our_plain_call_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let mut first = [0; 1];
        stream.read_exact(&mut first).expect("a byte");
        // RFC 8446 6: alert, TLS 1.2, two bytes, fatal, protocol_version: as OpenSSL answers.
        stream.write_all(&[0x15, 3, 3, 0, 2, 2, 70]).expect("sent");
        rest(&mut stream);
    });
    let (code, said) = echo(&address, &[]);
    assert!(code == Some(4) && said.contains("takes TLS only"), "{said}");
    other.join().expect("no panic");
}

#[test]
fn silence_and_dripping_in_the_handshake_end_with_artim() {
    let pki = Pki::new();
    let gateway = Gateway::start(&format!("[association]\nartim_seconds = 2\n{}", clinic(&pki, "")));
    let start = Instant::now();
    let silent = TcpStream::connect(gateway.address).expect("connected");
    let mut dripping = TcpStream::connect(gateway.address).expect("connected");
    let mut half = TcpStream::connect(gateway.address).expect("connected");
    let hello = client_hello(&pki);
    half.write_all(&hello[..hello.len() / 2]).expect("sent");
    for byte in hello {
        if dripping.write_all(&[byte]).is_err() || start.elapsed() > Duration::from_secs(6) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    for mut stream in [silent, dripping, half] {
        stream.set_read_timeout(Some(SOON)).expect("a time-out");
        assert_eq!(rest(&mut stream), b"");
    }
    assert!(start.elapsed() < Duration::from_secs(8), "the limit is 2 seconds: {:?}", start.elapsed());
    gateway.wait_for_log("the peer took more than 2 s to ask for an association");
}

/// The first message of a client.
fn client_hello(pki: &Pki) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let mut client = rustls::ClientConnection::new(pki.config(None, BOTH), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("written");
    hello
}
