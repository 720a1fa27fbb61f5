//! `sealgate spool drain`, and `drop` and `retry` of what is just being sent.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sealgate::dicom::Status;
use serde_json::{Value, json};

use super::hospital::Hospital;
use super::image::Image;
use super::pacs::{Behaviour, Pacs};

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);

fn config(pacs: &Pacs) -> String {
    format!(
        "[scu]\nreuse_seconds = 0\n[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nrefusals_max = 1\n\
         [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n[[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
        pacs.peer()
    )
}

async fn store(hospital: &Hospital, numbers: std::ops::Range<u32>) -> Vec<Image> {
    let images: Vec<Image> = numbers.map(|number| Image::new(1, number, 40)).collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS));
    images
}

fn spool(hospital: &Hospital, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = hospital.sealgate(&[&["spool"], arguments, &["--json"]].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

fn in_words(output: &Output) -> (Option<i32>, &str) {
    (output.status.code(), std::str::from_utf8(&output.stdout).unwrap().trim())
}

/// A drain that goes on beside the test.
fn draining(hospital: &Hospital) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["spool", "drain", "--json", "--config"])
        .arg(hospital.path("gateway.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_waits_as_long_as_it_is_told_and_ends_when_all_is_delivered() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    store(&hospital, 0..2).await;
    let begun = Instant::now();
    let waits = json!({ "waiting": 2, "aside": 0, "held": 0, "damaged": 0 });
    assert_eq!(spool(&hospital, &["drain", "--timeout", "1"]), (Some(5), waits));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let output = hospital.sealgate(&["spool", "drain", "--timeout", "0"]);
    assert_eq!(in_words(&output), (Some(5), "2 instances still wait."));
    let mut drain = draining(&hospital);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(drain.try_wait().unwrap().is_none(), "it waits while something is on its way");
    pacs.listen().await;
    let output = tokio::task::spawn_blocking(move || drain.wait_with_output().unwrap()).await.unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nothing = json!({ "waiting": 0, "aside": 0, "held": 0, "damaged": 0 });
    assert_eq!((output.status.code(), said), (Some(0), nothing), "{}", gateway.log());
    assert_eq!(pacs.instances().len(), 2);
    let output = hospital.sealgate(&["spool", "drain"]);
    assert_eq!(in_words(&output), (Some(0), "Nothing waits."));
    // Without the service too.
    drop(gateway);
    assert_eq!(in_words(&hospital.sealgate(&["spool", "drain"])), (Some(0), "Nothing waits."));
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_says_what_needs_somebody() {
    let mut pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    pacs.behave(Behaviour::Answer(0xC000));
    store(&hospital, 0..1).await;
    gateway.wait_for_log("set aside");
    let aside = json!({ "waiting": 0, "aside": 1, "held": 0, "damaged": 0 });
    assert_eq!(spool(&hospital, &["drain"]), (Some(0), aside));
    let words = "Nothing is on its way. 1 were set aside: see `sealgate spool list --aside`.";
    assert_eq!(in_words(&hospital.sealgate(&["spool", "drain"])), (Some(0), words));
    pacs.leave();
    store(&hospital, 1..3).await;
    drop(gateway);
    // One of those that wait is damaged on the disk.
    let damaged = hospital.spool().entries.pop().unwrap().id;
    let file = hospital.path(&format!("spool/entries/{damaged}.entry"));
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let left = json!({ "waiting": 1, "aside": 1, "held": 0, "damaged": 1 });
    assert_eq!(spool(&hospital, &["drain", "--timeout", "0"]), (Some(5), left.clone()));
    let _gateway = hospital.start("");
    assert_eq!(spool(&hospital, &["drain", "--timeout", "0"]), (Some(5), left), "moved away by the start");
    let output = hospital.sealgate(&["spool", "drain", "--timeout", "0"]);
    assert!(in_words(&output).1.contains("1 are damaged and cannot be delivered"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_how_far_it_is() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs));
    let _gateway = hospital.start("");
    store(&hospital, 0..2).await;
    let command = format!(
        "{} spool drain --timeout 1 --config {}",
        env!("CARGO_BIN_EXE_sealgate"),
        hospital.path("gateway.toml").display()
    );
    // `script` gives it a terminal.
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(5), "{shown}");
    assert!(shown.contains("waiting for the PACS [") && shown.contains(" 0/2 "), "{shown}");
    assert!(shown.contains("2 instances still wait."), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_being_sent_is_not_dropped_and_not_sent_twice() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    pacs.behave(Behaviour::Slow(3000));
    let image = store(&hospital, 0..1).await.remove(0);
    gateway.until("it is on its way", || !pacs.knocks().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let entry = hospital.spool().entries[0].id.to_string();
    let (code, said) = spool(&hospital, &["drop", &entry, "--reason", "a test"]);
    assert_eq!((code, &said["dropped"]), (Some(1), &json!(0)), "{said}");
    let problem = said["problems"][0].as_str().unwrap();
    assert!(problem.contains(&entry) && problem.contains("just being sent to \"pacs\""), "{said}");
    let (code, said) = spool(&hospital, &["retry", &entry]);
    assert_eq!((code, &said["retried"]), (Some(0), &json!(0)), "{said}");
    gateway.until("it is delivered", || hospital.spool().entries.is_empty()).await;
    assert_eq!(pacs.instances(), [image.uid()]);
    let (code, said) = spool(&hospital, &["drop", &entry, "--reason", "a test"]);
    assert!(code == Some(1) && said["problems"][0].as_str().unwrap().contains(&entry), "{said}");
    assert!(!gateway.log().contains("deliveries were given up"), "{}", gateway.log());
}
