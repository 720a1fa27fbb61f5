//! The door with TLS: versions, suites, certificates bound to AE titles, resumption.

use std::io::Read;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use super::pki::{self, Pki, Wanted};
use super::{BOTH, clinic, peer};
use crate::gateway::Gateway;
use crate::wire;

#[test]
fn a_peer_with_its_certificate_is_served_in_both_versions() {
    let pki = Pki::new();
    pki.client("ct");
    let gateway = Gateway::start(&clinic(&pki, ""));
    for (version, name) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let mut stream = pki::connect(gateway.address, &pki.config(Some("ct"), &[version]));
        wire::associate_on(&mut stream, "CT", "SEALGATE");
        assert_eq!(wire::echo_on(&mut stream), 0);
        assert_eq!(wire::echo_on(&mut stream), 0);
        assert_eq!(stream.conn.protocol_version(), Some(name));
    }
}

#[test]
fn nothing_but_the_suites_of_bcp_195_is_agreed_on() {
    let pki = Pki::new();
    pki.client("ct");
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("an RSA key");
    pki.issue("gateway", &Wanted { key: rsa, ..Wanted::default() });
    let gateway = Gateway::start(&clinic(&pki, ""));
    let base = pki.config(Some("ct"), BOTH);
    let mut agreed = Vec::new();
    for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites = vec![*suite];
        let mut config = (*base).clone();
        let one = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[if suite.tls13().is_some() {
                &rustls::version::TLS13
            } else {
                &rustls::version::TLS12
            }])
            .expect("a version that the suite is for")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.clone_from(&one);
        // Nobody is believed by this client: that the door chose the suite shows in which error comes.
        let mut stream = pki::connect(gateway.address, &Arc::new(config));
        let error = pki::handshake(&mut stream).unwrap_err().to_string();
        if error.contains("UnknownIssuer") {
            agreed.push(suite.suite());
        } else {
            assert!(error.contains("HandshakeFailure"), "{:?}: {error}", suite.suite());
        }
    }
    agreed.sort_by_key(|suite| u16::from(*suite));
    assert_eq!(
        agreed,
        [
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ]
    );
}

#[test]
fn a_good_certificate_with_another_peers_title_is_refused() {
    let pki = Pki::new();
    for name in ["ct", "mr", "nobody"] {
        pki.client(name);
    }
    let gateway = Gateway::start(&clinic(&pki, ""));
    let ask = |certificate: &str, title: &str| {
        let mut stream = pki::connect(gateway.address, &pki.config(Some(certificate), BOTH));
        pki::knock(&mut stream, title).expect("an answer")
    };
    let refused = wire::rejected(1, 1, 3);
    assert_eq!(ask("ct", "CT")[0], 2);
    assert_eq!(ask("mr", "MR")[0], 2);
    assert_eq!(ask("mr", "CT"), refused);
    assert_eq!(ask("ct", "MR"), refused);
    assert_eq!(ask("nobody", "CT"), refused);
    // FREE names no certificate: one that is nobody's is no obstacle, but one of another peer is.
    assert_eq!(ask("nobody", "FREE")[0], 2);
    assert_eq!(ask("ct", "FREE"), refused);
    gateway.wait_for_log("the certificate CN=mr,O=Clinic (fingerprint");
}

#[test]
fn a_peer_held_to_a_certificate_is_refused_on_a_plain_listener_and_without_one() {
    let pki = Pki::new();
    pki.client("ct");
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
        [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = \"clinic\"\nclient_certificates = \"optional\"\n";
    let config = format!(
        "{listeners}{}{}{}",
        pki.profile(""),
        peer("CT", "{ common_name = \"ct\" }"),
        peer("FREE", "")
    );
    let gateway = Gateway::start(&config);
    let [plain, tls] = gateway.addresses[..] else { panic!("two listeners") };
    assert_eq!(wire::knock(plain, "CT", "SEALGATE"), wire::rejected(1, 1, 3));
    assert_eq!(wire::knock(plain, "FREE", "SEALGATE")[0], 2);
    let ask = |certificate, title| {
        let mut stream = pki::connect(tls, &pki.config(certificate, BOTH));
        pki::knock(&mut stream, title).expect("an answer")
    };
    assert_eq!(ask(None, "CT"), wire::rejected(1, 1, 3));
    assert_eq!(ask(None, "FREE")[0], 2);
    assert_eq!(ask(Some("ct"), "CT")[0], 2);
    gateway.wait_for_log("has to show a certificate");
}

/// What the door says in its log about a client with this certificate, whom it must not have served.
fn refused(pki: &Pki, gateway: &Gateway, certificate: Option<&str>, log: &str) {
    let mut stream = pki::connect(gateway.address, &pki.config(certificate, BOTH));
    let answer = pki::knock(&mut stream, "CT");
    assert!(answer.is_err(), "{certificate:?} was served: {answer:02X?}");
    gateway.wait_for_log(log);
}

#[test]
fn certificates_that_prove_nothing_are_refused_with_the_reason_in_the_log() {
    let (pki, other) = (Pki::new(), Pki::empty("Another CA"));
    pki.issue("old", &Wanted { not_before: -30, not_after: -2, ..Wanted::default() });
    pki.issue("early", &Wanted { not_before: 2, ..Wanted::default() });
    pki.issue("stolen", &Wanted { serial: 99, ..Wanted::default() });
    other.client("stranger");
    for kind in ["pem", "key"] {
        std::fs::copy(other.path(&format!("stranger.{kind}")), pki.path(&format!("stranger.{kind}")))
            .expect("copied");
    }
    pki.client("ct");
    pki.revoke(&[99], 10);
    let crls = format!("crls = [\"{}\"]", pki.path("ca.crl").display());
    let gateway = Gateway::start(&clinic(&pki, &crls));
    refused(&pki, &gateway, Some("old"), "certificate has expired");
    refused(&pki, &gateway, Some("early"), "not valid yet");
    refused(&pki, &gateway, Some("stolen"), "has been revoked");
    refused(&pki, &gateway, Some("stranger"), "issued by nobody");
    refused(&pki, &gateway, None, "showed no certificate");
    let mut stream = pki::connect(gateway.address, &pki.config(Some("ct"), BOTH));
    assert_eq!(pki::knock(&mut stream, "CT").expect("an answer")[0], 2, "the door is still open");
}

#[test]
fn a_revocation_list_out_of_date_refuses_those_it_speaks_of() {
    let pki = Pki::new();
    pki.client("ct");
    pki.revoke(&[], -1);
    let crls = format!("crls = [\"{}\"]", pki.path("ca.crl").display());
    let gateway = Gateway::start(&clinic(&pki, &crls));
    gateway.wait_for_log("(`crls`) has expired");
    refused(&pki, &gateway, Some("ct"), "revocation list is out of date");
}

#[test]
fn a_session_is_resumed_and_keeps_its_certificate() {
    let pki = Pki::new();
    pki.client("ct");
    let gateway = Gateway::start(&clinic(&pki, ""));
    for version in BOTH {
        let config = pki.config(Some("ct"), &[version]);
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let mut stream = pki::connect(gateway.address, &config);
            assert_eq!(pki::knock(&mut stream, "CT").expect("an answer")[0], 2);
            assert_eq!(wire::echo_on(&mut stream), 0, "tickets of TLS 1.3 have come by then");
            kinds.push(stream.conn.handshake_kind().expect("done"));
        }
        assert_eq!(
            kinds,
            [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed],
            "{version:?}"
        );
        // The certificate of the session is still one of CT alone.
        let mut stream = pki::connect(gateway.address, &config);
        assert_eq!(pki::knock(&mut stream, "MR").expect("an answer"), wire::rejected(1, 1, 3));
    }
}

#[test]
fn a_session_without_a_certificate_opens_no_listener_that_requires_one() {
    let pki = Pki::new();
    let listener = |asks: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = \"clinic\"\nclient_certificates = \"{asks}\"\n"
        )
    };
    let listeners = [listener("none"), listener("optional"), listener("required")].concat();
    let gateway = Gateway::start(&format!("{listeners}{}{}", pki.profile(""), peer("FREE", "")));
    let config = pki.config(None, BOTH);
    for open in &gateway.addresses[..2] {
        let mut stream = pki::connect(*open, &config);
        assert_eq!(pki::knock(&mut stream, "FREE").expect("an answer")[0], 2);
        assert_eq!(wire::echo_on(&mut stream), 0);
        // All listeners have the same name for the client, so it offers the session at the third.
        let mut stream = pki::connect(gateway.addresses[2], &config);
        assert!(pki::knock(&mut stream, "FREE").is_err());
    }
}

#[test]
fn an_end_is_said_with_close_notify() {
    let pki = Pki::new();
    pki.client("ct");
    let gateway = Gateway::start(&clinic(&pki, ""));
    let mut stream = pki::connect(gateway.address, &pki.config(Some("ct"), BOTH));
    assert_eq!(pki::knock(&mut stream, "NOBODY").expect("an answer"), wire::rejected(1, 1, 3));
    let mut rest = Vec::new();
    // Without it rustls gives UnexpectedEof here.
    assert_eq!(stream.read_to_end(&mut rest).expect("an end in good order"), 0);
}
