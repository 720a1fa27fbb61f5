//! A patient's images destroyed for good: by the studies that the archive names, with a shred key for each, under viewers' eyes.

use std::process::Command;

use dicom_core::Tag;
use dicom_object::open_file;
use serde_json::Value;

use super::site::{Front, needs_of, one_study};
use crate::peers::{Dcmqrscp, Sample, free_port};

/// A command as another person runs it.
pub(super) fn run_as(front: &Front, uid: &str, arguments: &[&str]) -> (bool, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(arguments)
        .arg("--config")
        .arg(front.site.path("gateway.toml"))
        .env("SUDO_UID", uid)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

fn patient_of(archive: &Dcmqrscp) -> String {
    let file = open_file(&archive.files()[0]).unwrap();
    file.element(Tag(0x0010, 0x0020)).unwrap().to_str().unwrap().trim().to_owned()
}

async fn opens(front: &Front, study: &str, samples: &[Sample]) -> usize {
    front.get("VIEWER", study, &needs_of(samples)).await.0.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patients_images_are_destroyed_by_what_the_archive_names_and_stay_closed() {
    let archive = Dcmqrscp::start(&[]);
    let (name, at) = ("pacs", archive.address());
    let front = Front::begin(free_port(), &[(name, &at, "get")], free_port(), |config| {
        config.replacen("[keys]\n", "[keys]\nshred_key = true\narchive = \"tag\"\n", 1)
    });
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    assert_eq!(opens(&front, &study, samples).await, 2, "\n{}", front.gateway.log());

    let patient = patient_of(&archive);
    let shred = |patient: &str| {
        let what = [
            "keys",
            "shred",
            "--json",
            "--reason",
            "asked by the patient",
            "--at",
            name,
            "--patient",
            patient,
        ];
        run_as(&front, "70002", &what)
    };
    for (wrong, why) in [("*", "name one patient"), ("NOBODY AT ALL", "no study of that patient")] {
        let (done, _, said) = shred(wrong);
        assert!(!done && said.contains(why), "{said}");
    }
    let (done, asked, said) = shred(&patient);
    assert!(done, "{said}");
    assert_eq!(asked["reach"]["studies"], serde_json::json!([study]), "{asked}");
    assert!(!asked.to_string().contains(&patient), "the patient is named nowhere: {asked}");
    let (done, _, said) = run_as(&front, "70003", &["approve", "--json", asked["request"].as_str().unwrap()]);
    assert!(done, "{said}");
    assert_eq!(opens(&front, &study, samples).await, 0, "the running gateway knows at once");
    front.gateway.wait_for_log("was destroyed on");
}
