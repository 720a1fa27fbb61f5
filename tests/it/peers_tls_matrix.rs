//! Certificates that prove nothing, shown by OpenSSL, pynetdicom and Orthanc: each is refused for its own reason. What DCMTK
//! hears is in `peers_tls.rs`.

use serde_json::json;

use crate::gateway::{ECHO_PEER, Gateway};
use crate::peers::Orthanc;
use crate::peers_tls::{SUSPECTS, path, pynetdicom, s_client_without, said, suspects, wary};
use crate::tls::pki::Pki;

/// A certificate, its key, and what a client hears of it (RFC 8446 section 6.2) and the log says.
struct Shown {
    arguments: Vec<String>,
    alert: &'static str,
    log: &'static str,
}

fn shown(pki: &Pki) -> Vec<Shown> {
    let alerts = ["alert certificate expired", "alert certificate revoked", "alert unknown ca"];
    let suspects = SUSPECTS.iter().zip(alerts).map(|((name, log), alert)| {
        let [pem, key] = ["pem", "key"].map(|kind| path(pki, &format!("{name}.{kind}")));
        Shown { arguments: vec!["-cert".into(), pem, "-key".into(), key], alert, log }
    });
    let nothing = Shown { arguments: Vec::new(), alert: "alert", log: "showed no certificate" };
    suspects.chain([nothing]).collect()
}

#[test]
fn openssl_hears_what_is_wrong_with_each_certificate() {
    let pki = suspects();
    let gateway = wary(&pki);
    let port = gateway.address.port();
    // Each conversation waits for its handshake, so all go on at once.
    std::thread::scope(|scope| {
        for case in shown(&pki) {
            for version in ["-tls1_2", "-tls1_3"] {
                let (pki, arguments, alert) = (&pki, case.arguments.clone(), case.alert);
                scope.spawn(move || {
                    let all: Vec<&str> =
                        std::iter::once(version).chain(arguments.iter().map(String::as_str)).collect();
                    let text = s_client_without(pki, port, &all, "Q\n");
                    assert!(text.contains(alert), "{all:?}: {text}");
                });
            }
        }
    });
    for case in shown(&pki) {
        gateway.wait_for_logs(case.log, 2);
    }
}

#[test]
fn pynetdicom_is_refused_with_each_certificate_and_with_the_wrong_protocol() {
    let pki = suspects();
    let gateway = wary(&pki);
    let run = |case: &str, port: u16| {
        let output = pynetdicom(case, port, &pki).output().expect("the virtual environment is there");
        assert!(output.status.success(), "{case}: {}", said(&output));
    };
    for (certificate, log) in SUSPECTS {
        run(&format!("refused:{certificate}"), gateway.address.port());
        gateway.wait_for_log(log);
    }
    run("plain", gateway.address.port());
    gateway.wait_for_log("the peer speaks DICOM without TLS");
    let plain = Gateway::start(ECHO_PEER);
    run("refused:ct", plain.address.port());
    plain.wait_for_log("the peer began TLS on a plain connection");
}

/// An Orthanc of this title that shows this certificate to a gateway.
fn orthanc(pki: &Pki, title: &str, certificate: &str, gateway: &Gateway) -> Orthanc {
    Orthanc::start_with(&json!({
        "DicomAet": title, "DicomTlsEnabled": true,
        "DicomTlsCertificate": pki.path(&format!("{certificate}.pem")),
        "DicomTlsPrivateKey": pki.path(&format!("{certificate}.key")),
        "DicomTlsTrustedCertificates": pki.path("ca.pem"),
        "DicomModalities": {
            "gateway": {
                "AET": "SEALGATE", "Host": "localhost", "Port": gateway.address.port(), "UseDicomTls": true
            },
            "in-clear": {
                "AET": "SEALGATE", "Host": "localhost", "Port": gateway.address.port(), "UseDicomTls": false
            },
        },
    }))
}

#[test]
fn orthanc_is_refused_with_each_certificate_another_title_and_in_clear() {
    let pki = suspects();
    let gateway = wary(&pki);
    for (certificate, log) in SUSPECTS {
        assert!(!orthanc(&pki, "CT", certificate, &gateway).echoes("gateway"), "{certificate}");
        gateway.wait_for_log(log);
    }
    assert!(!orthanc(&pki, "MR", "ct", &gateway).echoes("gateway"), "the title of another peer");
    gateway.wait_for_log("\"MR\"");
    let good = orthanc(&pki, "CT", "ct", &gateway);
    assert!(good.echoes("gateway"), "the door is still open\n{}", gateway.log());
    assert!(!good.echoes("in-clear"));
    gateway.wait_for_log("the peer speaks DICOM without TLS");
}
