//! Mutual TLS all the way: DCMTK stores as a modality, an Orthanc is the PACS, another one retrieves as a viewer.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use serde_json::json;

use crate::gateway::{Gateway, SOON};
use crate::keys::command::Site;
use crate::peers::{Orthanc, Sample, free_port, samples};
use crate::tls::pki::{Pki, TLS_LISTENER, Wanted};

/// A CA with RSA certificates for these, which every product takes.
pub(crate) fn pki_of(names: &[&str]) -> Pki {
    let pki = Pki::new();
    for name in names {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        pki.issue(name, &Wanted { key, ..Wanted::default() });
    }
    pki
}

/// An Orthanc that speaks TLS only, shows the certificate of this name, and knows one node.
pub(crate) fn orthanc(pki: &Pki, name: &str, port: u16, node: u16) -> Orthanc {
    Orthanc::start_with(&json!({
        "DicomAet": name.to_uppercase(), "DicomPort": port,
        "DicomTlsEnabled": true, "DicomTlsCertificate": pki.path(&format!("{name}.pem")),
        "DicomTlsPrivateKey": pki.path(&format!("{name}.key")),
        "DicomTlsTrustedCertificates": pki.path("ca.pem"), "DicomTlsRemoteCertificateRequired": true,
        "DicomModalities": { "gateway": {
            "AET": "SEALGATE", "Host": "localhost", "Port": node, "UseDicomTls": true, "AllowMove": true
        } },
    }))
}

fn config(site: &Site, pki: &Pki, port: u16, pacs: u16, viewer: u16) -> String {
    let keys = fs::read_to_string(site.path("gateway.toml")).unwrap();
    let listener = TLS_LISTENER.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let peer = |title: &str, may: &str, more: &str| {
        let name = title.to_lowercase();
        format!(
            "[[peers]]\nname = \"{name}\"\ntitle = \"{title}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n\
             certificates = [{{ common_name = \"{name}\" }}]\n{more}"
        )
    };
    let receives = format!("receives = \"VIEWER@localhost:{viewer}\"\nreceives_tls = \"clinic\"\n");
    [
        keys,
        format!(
            "[spool]\nfolder = {:?}\nrefuse_stores_free_bytes = 1048576\nrefuse_associations_free_bytes = 1048576\n\
             [forward]\nretry_seconds_min = 1\nretry_seconds_max = 2\n",
            site.path("spool")
        ),
        listener,
        pki.profile(""),
        peer("CT", "\"echo\", \"store\"", ""),
        peer("VIEWER", "\"echo\", \"find\", \"move\", \"open\"", &receives),
        format!(
            "[[destinations]]\nname = \"pacs\"\naddress = \"PACS@localhost:{pacs}\"\ntls = \"clinic\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n"
        ),
    ]
    .concat()
}

/// Stores as DCMTK does, with the certificate of this name under the title CT.
fn storescu(pki: &Pki, port: u16, certificate: &str, sample: &Sample) -> bool {
    let path = |name: &str| pki.path(name).display().to_string();
    let (key, pem) = (path(&format!("{certificate}.key")), path(&format!("{certificate}.pem")));
    Command::new("storescu")
        .args([
            "--enable-tls",
            &key,
            &pem,
            "--add-cert-file",
            &path("ca.pem"),
            "-aet",
            "CT",
            "-aec",
            "SEALGATE",
        ])
        .args(["localhost", &port.to_string()])
        .arg(&sample.path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("DCMTK's storescu is installed: run tests/run install")
        .success()
}

/// Waits until an Orthanc has an instance, and gives its file.
fn arrived(orthanc: &Orthanc, instance: &str, gateway: &Gateway) -> Vec<u8> {
    let end = Instant::now() + 3 * SOON;
    loop {
        if let Some(file) = orthanc.file(instance) {
            return file;
        }
        assert!(Instant::now() < end, "{instance} has not come\n{}", gateway.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_image_goes_from_modality_to_pacs_to_viewer_through_mutual_tls_alone() {
    let (pki, site) = (pki_of(&["gateway", "ct", "pacs", "viewer"]), Site::new());
    assert!(site.sealgate(&["keys", "init", "--algorithm", "ecdh-p256"]).status.success());
    let [port, pacs_port, viewer_port] = [free_port(), free_port(), free_port()];
    let pacs = orthanc(&pki, "pacs", pacs_port, port);
    let viewer = orthanc(&pki, "viewer", viewer_port, port);
    let gateway = Gateway::start(&config(&site, &pki, port, pacs_port, viewer_port));
    let plain = |one: &&Sample| {
        one.instance.transfer_syntax.uid == "1.2.840.10008.1.2.1" && one.data_set.len() > 8192
    };
    let sample = samples().into_iter().find(|one| plain(&one)).expect("a plain image");
    let instance = sample.instance.instance.to_string();
    // In the middle of its pixels; what stands behind them a sender may leave out.
    let pixels = &sample.data_set[sample.data_set.len() * 3 / 4..][..512];
    let has = |file: &[u8]| file.windows(512).any(|window| window == pixels);

    assert!(!storescu(&pki, port, "viewer", &sample), "another peer's certificate stores nothing");
    assert!(storescu(&pki, port, "ct", &sample), "{}", gateway.log());
    assert!(!has(&arrived(&pacs, &instance, &gateway)), "what the PACS has is sealed");

    let query = json!({ "Level": "Study", "Query": { "PatientID": "*" } }).to_string();
    let asked = viewer.post("/modalities/gateway/query", query.as_bytes());
    let query = asked["Path"].as_str().expect("a query").to_owned();
    viewer.post(&format!("{query}/retrieve"), b"VIEWER");
    assert!(has(&arrived(&viewer, &instance, &gateway)), "what the viewer has is the original");
    let log = gateway.log();
    assert!(log.contains("instance opened") && !log.contains("panicked"), "{log}");
}
