//! `sealgate probe` against archives that are good, and archives that are not; and what `serve` makes of it.

use std::fs;
use std::process::{Command, Output};

use sealgate::dicom::AeAddress;
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::keys::command::Site;
use super::peers::{Dcmqrscp, Orthanc, Process, address, free_port};

const PROBED: usize = 8;

/// A site with a destination.
struct Probing {
    site: Site,
    archive: AeAddress,
}

impl Probing {
    fn new(archive: AeAddress) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let probing = Self { site, archive };
        probing.configure("");
        probing
    }

    fn config(&self, destination: &str) -> String {
        let keys = fs::read_to_string(self.site.path("keys.toml"));
        let keys = keys.unwrap_or_else(|_| {
            let keys = fs::read_to_string(self.site.path("gateway.toml")).unwrap();
            fs::write(self.site.path("keys.toml"), &keys).unwrap();
            keys
        });
        format!(
            "{keys}\n[probe]\nfolder = \"{}\"\nwait_seconds_max = 5\n[spool]\nfolder = \"{}\"\n\
             refuse_stores_free_bytes = 1048576\nrefuse_associations_free_bytes = 1048576\n\
             [[peers]]\nname = \"modality\"\ntitle = \"MODALITY\"\naddresses = [\"127.0.0.1\"]\nmay = [\"store\"]\n\
             [[destinations]]\nname = \"archive\"\naddress = \"{}\"\n{destination}\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"archive\"]\n",
            self.site.path("probes").display(),
            self.site.path("spool").display(),
            self.archive,
        )
    }

    /// What stands in the destination besides its name and address.
    fn configure(&self, destination: &str) {
        fs::write(self.site.path("gateway.toml"), self.config(destination)).unwrap();
    }

    fn probe(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.site.sealgate(&[&["probe", "archive", "--json"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let result = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), result)
    }

    /// Whether `check` and `serve` take the configuration; if not, what they say.
    fn serves(&self, destination: &str) -> Result<Vec<String>, String> {
        self.configure(destination);
        let checked = self.site.sealgate(&["check", "--json"]);
        let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
        if checked["ok"] == false {
            let output = self.serve();
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let why = checked["error"].as_str().unwrap();
            assert!(said.contains(why), "{said} and not {why}");
            return Err(why.to_owned());
        }
        let gateway = Gateway::start(&self.config(destination));
        let warnings = checked["warnings"].as_array().unwrap();
        let warnings: Vec<_> = warnings.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
        for warning in warnings.iter().filter(|one| one.contains("probe")) {
            let log = gateway.log();
            assert!(log.contains(warning.as_str()), "{warning} is in {log}");
        }
        Ok(warnings)
    }

    fn serve(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.site.path("gateway.toml"))
            .output()
            .unwrap()
    }
}

/// `tests/peers/keeper.py`, which does this to what it keeps.
fn keeper(what: &str) -> (Process, tempfile::TempDir, Probing) {
    let root = env!("CARGO_MANIFEST_DIR");
    let python =
        std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| format!("{root}/tests/.venv/bin/python"));
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = Command::new(python);
    command.arg("-B").arg(format!("{root}/tests/peers/keeper.py"));
    command.arg(format!("--port={port}")).arg(format!("--do={what}"));
    let process = Process::start(&mut command, folder.path().join("log"), port);
    (process, folder, Probing::new(address("KEEPER", port)))
}

/// The kinds with this outcome, in their order.
fn kinds(result: &Value, outcome: &str) -> Vec<String> {
    let findings = result["profile"]["findings"].as_array().unwrap_or_else(|| panic!("{result:#}"));
    let found = findings.iter().filter(|one| one["outcome"] == outcome);
    found.map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

fn all_intact(what: &str, (code, result): (Option<i32>, Value)) -> Value {
    assert_eq!(kinds(&result, "intact").len(), PROBED, "{what}: {result:#}");
    assert_eq!((code, &result["ok"]), (Some(0), &json!(true)), "{what}: {result:#}");
    result
}

fn said(result: &Value, what: &str) -> String {
    let lines = result["verdict"][what].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_orthanc_passes_and_is_served_without_a_word() {
    let orthanc = Orthanc::start();
    let probing = Probing::new(orthanc.address());
    let before = probing.serves("").unwrap();
    assert!(before.iter().any(|note| note.contains("was never probed")), "{before:?}");
    let error = probing.serves("unprobed = \"refuse\"").unwrap_err();
    assert!(error.contains("sealgate probe archive"), "{error}");
    probing.configure("");
    let result = all_intact("C-GET", probing.probe(&[]));
    assert_eq!(said(&result, "failures"), "");
    assert_eq!(orthanc.count(), PROBED, "what it left is there");
    let after = probing.serves("unprobed = \"refuse\"").unwrap();
    assert!(!after.iter().any(|note| note.contains("probe")), "{after:?}");

    let port = free_port();
    orthanc.knows("SEALGATE", port);
    probing.configure("retrieve = \"move\"");
    all_intact("C-MOVE", probing.probe(&["--listen", &format!("127.0.0.1:{port}")]));
}

#[test]
fn a_dcmqrscp_passes_by_get_and_by_move() {
    let port = free_port();
    let archive = Dcmqrscp::start(&[("SEALGATE", port)]);
    let probing = Probing::new(archive.address());
    all_intact("C-GET", probing.probe(&[]));
    probing.configure("retrieve = \"move\"");
    all_intact("C-MOVE", probing.probe(&["--listen", &format!("127.0.0.1:{port}")]));
    let in_use = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (code, result) = probing.probe(&["--listen", &in_use.local_addr().unwrap().to_string()]);
    let error = result["error"].as_str().unwrap();
    assert!(code == Some(1) && error.contains("--listen"), "{error}");
}

#[test]
fn an_orthanc_behind_tls_is_probed_by_move_to_a_tls_door_of_ours() {
    let (pki, port) = (crate::peers_tls::pki(), free_port());
    let orthanc = Orthanc::start_with(&json!({
        "DicomTlsEnabled": true, "DicomTlsCertificate": pki.path("ct.pem"),
        "DicomTlsPrivateKey": pki.path("ct.key"), "DicomTlsTrustedCertificates": pki.path("ca.pem"),
        "DicomTlsRemoteCertificateRequired": true,
        "DicomModalities": { "gateway": {
            "AET": "SEALGATE", "Host": "localhost", "Port": port, "UseDicomTls": true
        } },
    }));
    let address = AeAddress::parse(&format!("ORTHANC@localhost:{}", orthanc.address().port)).unwrap();
    let probing = Probing::new(address);
    let listener =
        format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\ntls = \"clinic\"\n{}", pki.profile(""));
    probing.configure(&format!("tls = \"clinic\"\nretrieve = \"move\"\n{listener}"));
    all_intact("C-MOVE through TLS", probing.probe(&[]));
    // A door in clear is none for it, and nothing comes.
    let clear = listener.replacen("\ntls = \"clinic\"", "", 1);
    probing.configure(&format!("tls = \"clinic\"\nretrieve = \"move\"\n{clear}"));
    let (code, result) = probing.probe(&["--wait", "0"]);
    assert_ne!(code, Some(0), "{result:#}");
    // Nor is it reached in clear.
    probing.configure(&format!("retrieve = \"move\"\n{listener}"));
    assert_eq!(probing.probe(&[]).0, Some(4));
}

#[test]
fn an_orthanc_that_compresses_with_loss_fails_and_is_not_served() {
    let orthanc = Orthanc::start_with(&json!({ "IngestTranscoding": "1.2.840.10008.1.2.4.50" }));
    let probing = Probing::new(orthanc.address());
    let (code, result) = probing.probe(&[]);
    // An image that was compressed with loss gets a new UID there.
    let lost = kinds(&result, "lost");
    assert_eq!(lost, ["grey-8", "colour", "compressed"], "{result:#}");
    assert_eq!(code, Some(1));
    assert!(said(&result, "failures").contains("with loss"), "{result:#}");
    let error = probing.serves("").unwrap_err();
    assert!(error.contains("failed its probe") && error.contains("allow_failed_probe"), "{error}");
    let notes = probing.serves("allow_failed_probe = true").unwrap();
    assert!(notes.iter().any(|note| note.contains("failed its probe")), "{notes:?}");
}

#[test]
fn an_archive_without_private_tags_is_good_unless_the_keys_are_nowhere_else() {
    let (_keeper, _folder, probing) = keeper("strip");
    let result = all_intact("strip", probing.probe(&[]));
    assert!(said(&result, "notes").contains("private tags"), "{result:#}");
    assert!(probing.serves("").is_ok());
    let (code, result) = probing.probe(&["--set", "keys.archive=tag"]);
    assert_eq!(code, Some(1));
    assert!(said(&result, "failures").contains("keeps it nowhere else"), "{result:#}");
}

#[test]
fn an_archive_that_coerces_passes_and_what_it_changes_is_said() {
    let (_keeper, _folder, probing) = keeper("coerce");
    let result = all_intact("coerce", probing.probe(&[]));
    let notes = said(&result, "notes");
    for tag in ["0008,0050", "0010,0010", "0010,0020"] {
        assert!(notes.contains(tag), "{tag} in {notes}");
    }
}

#[test]
fn what_an_archive_cuts_loses_or_refuses_is_told_apart() {
    let (_keeper, _folder, probing) = keeper("cut");
    let (code, result) = probing.probe(&[]);
    assert_eq!(kinds(&result, "altered"), ["grey-16", "grey-16-sidecar", "implicit", "frames"], "{result:#}");
    assert!(code == Some(1) && said(&result, "failures").contains("bytes of pixels"), "{result:#}");

    let (_keeper, _folder, probing) = keeper("lossy");
    let (code, result) = probing.probe(&[]);
    assert_eq!((code, kinds(&result, "altered").len()), (Some(1), 3), "{result:#}");

    let (_keeper, _folder, probing) = keeper("lose");
    let (code, result) = probing.probe(&["--wait", "0"]);
    assert_eq!((code, kinds(&result, "lost")), (Some(1), vec!["one-bit".to_owned(), "frames".to_owned()]));
    assert!(probing.serves("").is_err());

    let (_keeper, _folder, probing) = keeper("refuse");
    let (code, result) = probing.probe(&[]);
    assert_eq!((code, kinds(&result, "refused")), (Some(0), vec!["one-bit".to_owned()]), "{result:#}");
    assert!(said(&result, "notes").contains("one-bit"), "{result:#}");
}

#[test]
fn an_archive_that_takes_its_time_is_waited_for() {
    let (_keeper, _folder, probing) = keeper("late");
    all_intact("late", probing.probe(&["--wait", "20"]));
    let (_keeper, _folder, hasty) = keeper("late");
    let (code, result) = hasty.probe(&["--wait", "0"]);
    assert_eq!((code, kinds(&result, "lost").len()), (Some(1), PROBED), "{result:#}");
}

#[test]
fn without_an_archive_there_is_no_profile() {
    let probing = Probing::new(address("NOBODY", free_port()));
    let (code, result) = probing.probe(&[]);
    assert_eq!(code, Some(4), "{result:#}");
    assert!(!probing.site.path("probes").exists());
    let output = probing.site.sealgate(&["probe", "archives"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("the destinations are archive"), "{said}");
}
