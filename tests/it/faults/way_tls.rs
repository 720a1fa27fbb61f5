//! A PACS whose certificate is wrong: retried as a failure of TLS for as long as it takes, seen by the operator, and delivered
//! once it is mended.

use sealgate::dicom::Status;
use sealgate::spool::State;

use super::hospital::Hospital;
use super::image::Image;
use crate::gateway::Gateway;
use crate::peers::{StoreScp, free_port};
use crate::peers_tls_way::pki_of;
use crate::tls::pki::Pki;

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);

/// DCMTK's `storescp` that speaks TLS alone, with the certificate `pacs` of this CA.
fn storescp(pki: &Pki, port: u16) -> StoreScp {
    let path = |name: &str| pki.path(name).display().to_string();
    let (key, certificate, ca) = (path("pacs.key"), path("pacs.pem"), path("ca.pem"));
    let tls = ["--enable-tls", &key, &certificate, "--add-cert-file", &ca, "--ignore-peer-cert"];
    StoreScp::start_at(port, &[&["--fork", "+xa", "-pm"], &tls[..]].concat())
}

/// A refusal would be set aside the second time.
fn config(pki: &Pki, port: u16, more: &str) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nrefusals_max = 2\n{}\
         [[destinations]]\nname = \"pacs\"\naddress = \"STORESCP@localhost:{port}\"\ntls = \"clinic\"\n{more}\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
        pki.profile("")
    )
}

/// Stores an image, waits until it was tried so often, and checks how an operator sees it.
async fn put_off(hospital: &Hospital, gateway: &Gateway, reason: &str) -> Image {
    let image = Image::new(1, 1, 40);
    assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
    let found = || hospital.spool().entries[0].deliveries[0].clone();
    gateway.until("it is tried", || found().delivery.attempts >= 3).await;
    let found = found();
    assert_eq!(found.delivery.state, State::Later, "{found:?}");
    let listed = String::from_utf8(hospital.sealgate(&["spool", "list"]).stdout).unwrap();
    let says = |words: &str| listed.to_lowercase().contains(&words.to_lowercase());
    assert!(says(image.uid()) && says("tls failed") && says(reason), "{listed}");
    let status = hospital.sealgate(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let pacs = &status["destinations"][0];
    assert!(pacs["name"] == "pacs" && pacs["down_seconds"].is_u64(), "{status:#}");
    let line = gateway.wait_for_log("not forwarded, trying again");
    assert!(line.contains("Check that the port speaks TLS, the certificates"), "{line}");
    image
}

async fn delivered(hospital: &Hospital, gateway: &Gateway, pacs: &StoreScp, image: &Image) {
    gateway.until("it is delivered", || hospital.spool().entries.is_empty()).await;
    assert!(pacs.file(image.uid()).is_some(), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_with_the_certificate_of_a_stranger_gets_everything_once_it_has_its_own() {
    let (pki, strange, port) = (pki_of(&["pacs"]), pki_of(&["pacs"]), free_port());
    let hospital = Hospital::new(&config(&pki, port, ""));
    let impostor = storescp(&strange, port);
    let gateway = hospital.start("");
    let image = put_off(&hospital, &gateway, "certificate").await;
    assert!(impostor.files().is_empty());
    drop(impostor);
    let pacs = storescp(&pki, port);
    delivered(&hospital, &gateway, &pacs, &image).await;
    let status = hospital.sealgate(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert!(status["destinations"][0]["down_seconds"].is_null(), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_with_a_certificate_for_another_name_gets_everything_once_the_name_is_corrected() {
    let (pki, port) = (pki_of(&["pacs"]), free_port());
    let wrong = "server_name = \"archive.elsewhere.example\"";
    let hospital = Hospital::new(&config(&pki, port, wrong));
    let pacs = storescp(&pki, port);
    let gateway = hospital.start("");
    let image = put_off(&hospital, &gateway, "archive.elsewhere.example").await;
    assert!(pacs.files().is_empty());
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), text.replace(wrong, "server_name = \"pacs.clinic.example\"")).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("configuration reloaded");
    delivered(&hospital, &gateway, &pacs, &image).await;
}
