//! TLS with other people's software: DCMTK, OpenSSL, pynetdicom and Orthanc, in both directions.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use rcgen::KeyPair;

use crate::gateway::{ECHO_PEER, Gateway, SOON};
use crate::ports::free_port;
use crate::tls::pki::{Pki, TLS_LISTENER, Wanted};
use crate::tls::{clinic, peer};

/// A CA with RSA certificates, which every product takes, for the gateway, CT and MR.
pub(crate) fn pki() -> Pki {
    let pki = Pki::new();
    for name in ["gateway", "ct", "mr"] {
        pki.issue(name, &Wanted { key: rsa(), ..Wanted::default() });
    }
    pki
}

/// The same with a certificate that has expired, one that was revoked, and one that another CA has issued; `ca.crl` says
/// which is revoked.
pub(crate) fn suspects() -> Pki {
    let (pki, other) = (pki(), Pki::empty("Another CA"));
    pki.issue("old", &Wanted { not_before: -30, not_after: -2, key: rsa(), ..Wanted::default() });
    pki.issue("stolen", &Wanted { serial: 99, key: rsa(), ..Wanted::default() });
    other.issue("stranger", &Wanted { key: rsa(), ..Wanted::default() });
    for kind in ["pem", "key"] {
        let name = format!("stranger.{kind}");
        fs::copy(other.path(&name), pki.path(&name)).expect("copied");
    }
    pki.revoke(&[99], 10);
    pki
}

/// What the log says of each of them.
pub(crate) const SUSPECTS: [(&str, &str); 3] =
    [("old", "has expired"), ("stolen", "has been revoked"), ("stranger", "issued by nobody")];

/// A gateway that knows what is revoked.
pub(crate) fn wary(pki: &Pki) -> Gateway {
    Gateway::start(&clinic(pki, &format!("crls = [\"{}\"]", path(pki, "ca.crl"))))
}

fn rsa() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("an RSA key")
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

pub(crate) fn path(pki: &Pki, name: &str) -> String {
    pki.path(name).display().to_string()
}

/// DCMTK's echoscu as CT to a port of this machine.
fn echoscu(port: u16, arguments: &[&str]) -> Output {
    Command::new("echoscu")
        .args([
            "--acse-timeout",
            "20",
            "--dimse-timeout",
            "20",
            "-v",
            "--aetitle",
            "CT",
            "--call",
            "SEALGATE",
        ])
        .args(arguments)
        .args(["localhost", &port.to_string()])
        .output()
        .expect("DCMTK's echoscu is installed: run tests/run install")
}

/// The same with the certificate of this name, through TLS.
fn echoscu_tls(pki: &Pki, port: u16, certificate: &str, more: &[&str]) -> Output {
    let (key, pem) = (path(pki, &format!("{certificate}.key")), path(pki, &format!("{certificate}.pem")));
    let ca = path(pki, "ca.pem");
    echoscu(port, &[&["--enable-tls", &key, &pem, "--add-cert-file", &ca][..], more].concat())
}

#[test]
fn echoscu_with_its_certificate_is_answered_under_each_profile_of_bcp_195() {
    let pki = pki();
    let gateway = Gateway::start(&clinic(&pki, ""));
    for profile in ["--profile-bcp195-nd", "--profile-bcp195", "--profile-bcp195-ex"] {
        let output = echoscu_tls(&pki, gateway.address.port(), "ct", &[profile]);
        assert!(output.status.success(), "{profile}: {}\n{}", said(&output), gateway.log());
    }
    // The retired profiles have other suites only where TLS 1.3 is not agreed on, so they are not refused by name.
    let output = echoscu_tls(&pki, gateway.address.port(), "ct", &["--profile-null"]);
    assert!(!output.status.success(), "a suite without encryption: {}", said(&output));
}

#[test]
fn echoscu_without_a_certificate_is_answered_only_where_none_is_required() {
    let pki = pki();
    let ca = path(&pki, "ca.pem");
    let anonymous = ["--anonymous-tls", "--add-cert-file", &ca];
    let gateway = Gateway::start(&clinic(&pki, ""));
    let output = echoscu(gateway.address.port(), &anonymous);
    assert!(!output.status.success(), "{}", said(&output));
    gateway.wait_for_log("showed no certificate");

    let open = format!("{TLS_LISTENER}client_certificates = \"none\"\n{}{}", pki.profile(""), peer("CT", ""));
    let gateway = Gateway::start(&open);
    let output = echoscu(gateway.address.port(), &anonymous);
    assert!(output.status.success(), "{}\n{}", said(&output), gateway.log());
    // It believes nobody, and is told to believe everybody.
    let output = echoscu(gateway.address.port(), &["--anonymous-tls"]);
    assert!(!output.status.success(), "{}", said(&output));
    let output = echoscu(gateway.address.port(), &["--anonymous-tls", "--ignore-peer-cert"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn echoscu_with_a_certificate_that_proves_nothing_is_refused() {
    let pki = suspects();
    let gateway = wary(&pki);
    for (certificate, log) in SUSPECTS {
        let output = echoscu_tls(&pki, gateway.address.port(), certificate, &[]);
        assert!(!output.status.success(), "{certificate}: {}", said(&output));
        gateway.wait_for_log(log);
    }
    // A good one, but of another peer.
    let output = echoscu_tls(&pki, gateway.address.port(), "mr", &[]);
    assert!(said(&output).contains("Calling AE Title Not Recognized"), "{}", said(&output));
    let output = echoscu_tls(&pki, gateway.address.port(), "ct", &[]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn echoscu_with_the_wrong_protocol_ends_at_once() {
    let pki = pki();
    let (tls, plain) = (Gateway::start(&clinic(&pki, "")), Gateway::start(ECHO_PEER));
    let start = Instant::now();
    let output = echoscu(tls.address.port(), &[]);
    assert!(!output.status.success() && said(&output).contains("Peer aborted"), "{}", said(&output));
    tls.wait_for_log("the peer speaks DICOM without TLS");
    let output = echoscu_tls(&pki, plain.address.port(), "ct", &[]);
    assert!(!output.status.success(), "{}", said(&output));
    plain.wait_for_log("the peer began TLS on a plain connection");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// `openssl s_client` with this input: everything it said.
fn s_client(pki: &Pki, port: u16, arguments: &[&str], input: &str) -> String {
    let (certificate, key) = (path(pki, "ct.pem"), path(pki, "ct.key"));
    s_client_without(pki, port, &[&["-cert", &certificate, "-key", &key], arguments].concat(), input)
}

/// The same without a certificate, unless the arguments say one.
pub(crate) fn s_client_without(pki: &Pki, port: u16, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile", &path(pki, "ca.pem")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // It reads commands once the handshake is done.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let _ = stdin.write_all(input.as_bytes());
        std::thread::sleep(std::time::Duration::from_millis(500));
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    said(&output)
}

#[test]
fn openssl_agrees_on_tls_1_2_and_1_3_and_on_nothing_older() {
    let pki = pki();
    let gateway = Gateway::start(&clinic(&pki, ""));
    let port = gateway.address.port();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let text = s_client(&pki, port, &[version], "Q\n");
        assert!(
            text.contains(&format!("New, {name}")) && text.contains("Verify return code: 0 (ok)"),
            "{text}"
        );
    }
    for version in ["-tls1_1", "-tls1"] {
        // Security level 0, or OpenSSL would not even try.
        let text = s_client(&pki, port, &[version, "-cipher", "ALL:@SECLEVEL=0"], "Q\n");
        assert!(text.contains("Cipher is (NONE)"), "{version}: {text}");
    }
    for suite in [
        "AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ] {
        let text = s_client(&pki, port, &["-tls1_2", "-cipher", suite], "Q\n");
        assert!(text.contains("Cipher is (NONE)"), "{suite}: {text}");
    }
    for suite in ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"] {
        let text = s_client(&pki, port, &["-tls1_2", "-cipher", suite], "Q\n");
        assert!(text.contains(&format!("Cipher is {suite}")), "{suite}: {text}");
    }
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"] {
        let text = s_client(&pki, port, &["-tls1_3", "-ciphersuites", suite], "Q\n");
        assert!(text.contains(&format!("Cipher is {suite}")), "{suite}: {text}");
    }
    let text = s_client(&pki, port, &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], "Q\n");
    assert!(text.contains("Cipher is (NONE)"), "{text}");
}

#[test]
fn openssl_is_refused_a_renegotiation() {
    let pki = pki();
    let gateway = Gateway::start(&clinic(&pki, ""));
    let text = s_client(&pki, gateway.address.port(), &["-tls1_2", "-msg"], "R\n");
    assert!(text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{text}\n{}", gateway.log());
    let output = echoscu_tls(&pki, gateway.address.port(), "ct", &[]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn openssl_resumes_a_session() {
    let pki = pki();
    let gateway = Gateway::start(&clinic(&pki, ""));
    for version in ["-tls1_2", "-tls1_3"] {
        let session = path(&pki, "session.pem");
        let first = s_client(&pki, gateway.address.port(), &[version, "-sess_out", &session], "Q\n");
        assert!(first.contains("New, TLS"), "{first}");
        let second = s_client(&pki, gateway.address.port(), &[version, "-sess_in", &session], "Q\n");
        assert!(second.contains("Reused, TLS"), "{version}: {second}");
    }
}

pub(crate) fn pynetdicom(case: &str, port: u16, pki: &Pki) -> Command {
    let root = env!("CARGO_MANIFEST_DIR");
    let python =
        std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| format!("{root}/tests/.venv/bin/python"));
    let mut command = Command::new(python);
    command.arg(format!("{root}/tests/peers/tls.py")).arg(case).arg(port.to_string()).arg(pki.folder());
    command
}

#[test]
fn pynetdicom_is_held_to_its_certificate() {
    let pki = pki();
    let gateway = Gateway::start(&clinic(&pki, ""));
    for case in ["echo", "without_certificate", "wrong_title"] {
        let run = || {
            let output = pynetdicom(case, gateway.address.port(), &pki).output();
            output.expect("the virtual environment is there: run tests/run install")
        };
        // pynetdicom takes the session tickets of TLS 1.3 for data, and waits behind them with what it has to send: on a
        // slow machine until its own limit is over. OpenSSL and DCMTK prove the same without such luck.
        let good = (0..4).map(|_| run()).find(|output| output.status.success());
        let said = || said(&run());
        assert!(good.is_some(), "{case}: {}\n{}", said(), gateway.log());
    }
}

/// A process that is stopped when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `sealgate echo` to PACS at this port, with these flags: whether it went well, and what it said.
fn sealgate_echo(port: u16, flags: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["echo", &format!("PACS@localhost:{port}"), "--calling", "SEALGATE"])
        .args(flags)
        .output()
        .expect("the command runs");
    (output.status.success(), said(&output))
}

/// Asks until the other side has come up.
fn sealgate_echo_soon(port: u16, flags: &[&str]) {
    let end = Instant::now() + SOON;
    loop {
        let (good, text) = sealgate_echo(port, flags);
        if good {
            return;
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The flags to show the gateway's certificate and believe the CA.
fn own(pki: &Pki) -> [String; 6] {
    let of = |name| path(pki, name);
    [
        "--tls-ca".into(),
        of("ca.pem"),
        "--tls-certificate".into(),
        of("gateway.pem"),
        "--tls-key".into(),
        of("gateway.key"),
    ]
}

#[test]
fn we_call_dcmtk_through_tls_and_hear_what_is_wrong() {
    let pki = pki();
    let own = own(&pki);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let storescp = |arguments: &[&str]| {
        let port = free_port();
        let child = Command::new("storescp")
            .args(arguments)
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("DCMTK's storescp is installed: run tests/run install");
        (port, Running(child))
    };
    let (key, pem, ca) = (path(&pki, "ct.key"), path(&pki, "ct.pem"), path(&pki, "ca.pem"));
    let (port, _tls) = storescp(&["--enable-tls", &key, &pem, "--add-cert-file", &ca]);
    sealgate_echo_soon(port, &own);
    let (good, text) = sealgate_echo(port, &own[..2]);
    assert!(!good && text.contains("certificate"), "without a certificate: {text}");
    let (good, text) = sealgate_echo(port, &[]);
    assert!(!good && text.contains("TLS only"), "in clear: {text}");
    let (good, text) = sealgate_echo(port, &[&own[..], &["--tls-server-name", "pacs.example"]].concat());
    assert!(!good && text.contains("pacs.example"), "{text}");

    let (port, _plain) = storescp(&[]);
    sealgate_echo_soon(port, &[]);
    let (good, text) = sealgate_echo(port, &own);
    assert!(!good && text.contains("plain DICOM"), "through TLS to a plain port: {text}");
}

#[test]
fn we_call_pynetdicom_through_tls() {
    let pki = pki();
    let own = own(&pki);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut child = pynetdicom("serve", 0, &pki)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the virtual environment is there: run tests/run install");
    let mut port = String::new();
    BufReader::new(child.stdout.take().expect("it was piped")).read_line(&mut port).expect("a port");
    let _running = Running(child);
    let port = port.trim().parse().expect("a port");
    sealgate_echo_soon(port, &own);
    let (good, text) = sealgate_echo(port, &own[..2]);
    assert!(!good && text.contains("wants a certificate from us"), "{text}");
}

#[test]
fn orthanc_and_we_echo_each_other_through_tls() {
    let pki = pki();
    let own = own(&pki);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let config = clinic(&pki, "").replace("\"CT\"", "\"PACS\"");
    let gateway = Gateway::start(&config);
    let (dicom, http) = (free_port(), free_port());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let orthanc = serde_json::json!({
        "StorageDirectory": folder.path(), "IndexDirectory": folder.path(),
        "DicomAet": "PACS", "DicomPort": dicom, "HttpPort": http, "RemoteAccessAllowed": false,
        "AuthenticationEnabled": false, "DicomAlwaysAllowEcho": true, "DicomCheckCalledAet": false,
        "DicomTlsEnabled": true, "DicomTlsCertificate": pki.path("ct.pem"),
        "DicomTlsPrivateKey": pki.path("ct.key"), "DicomTlsTrustedCertificates": pki.path("ca.pem"),
        "DicomTlsRemoteCertificateRequired": true,
        "DicomModalities": { "gateway": {
            "AET": "SEALGATE", "Host": "localhost", "Port": gateway.address.port(), "UseDicomTls": true
        } },
    });
    let file = folder.path().join("orthanc.json");
    fs::write(&file, orthanc.to_string()).expect("written");
    let child = Command::new("Orthanc").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _running = Running(child.expect("Orthanc is installed: run tests/run install"));
    sealgate_echo_soon(dicom, &own);
    let (good, text) = sealgate_echo(dicom, &own[..2]);
    assert!(!good, "without a certificate: {text}");
    let url = format!("http://127.0.0.1:{http}/modalities/gateway/echo");
    let output = Command::new("curl").args(["-sf", "-X", "POST", "-d", "{}", &url]).output();
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "{}\n{}", said(&output), gateway.log());
}
