//! Peers that vanish without a word: a modality in the middle of a store, a PACS in the middle of a delivery and between two.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use sealgate::dicom::Status;
use sealgate::spool::State;

use super::hospital::Hospital;
use super::image::Image;
use super::middle::Middle;
use super::pacs::Pacs;
use crate::gateway::SOON;
use crate::peers::{Sample, StoreScp, free_port, samples};

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);
/// A peer has one place, which is free again once the connection was closed, or that has taken too long as well.
const ONE_PLACE: &str =
    "[association]\npdu_seconds = 1\nidle_seconds = 1\nartim_seconds = 1\nassociations_per_peer_max = 1";

fn config(address: &str, more: &str) -> String {
    format!(
        "{more}\n[[destinations]]\nname = \"pacs\"\naddress = \"{address}\"\n[[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n"
    )
}

/// A real image in a form that every program knows, larger than what systems hold back for a connection.
fn large() -> Sample {
    let fits = |sample: &Sample| {
        sample.instance.transfer_syntax.keyword == "ExplicitVRLittleEndian" && sample.data_set.len() > 300_000
    };
    samples().into_iter().find(fits).expect("a larger one")
}

/// DCMTK's `storescu` as the modality.
fn storescu(port: u16, file: &PathBuf) -> Command {
    let mut command = Command::new("storescu");
    command.args(["-v", "-aet", "MODALITY", "-aec", "SEALGATE", "127.0.0.1"]).arg(port.to_string()).arg(file);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modality_that_vanishes_in_the_middle_of_a_store_leaves_nothing_and_frees_its_place() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs.peer(), ONE_PLACE));
    let gateway = hospital.start("");
    let sample = large();
    let middle = Middle::before(hospital.address).await;
    middle.go_silent_after(200_000);
    let mut sender = storescu(middle.address.port(), &sample.path);
    let mut sender = sender.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    gateway.until("it is in the middle of it", || middle.is_silent()).await;
    let line = gateway.wait_for_log("association ended");
    assert!(line.contains("took more than 1 s"), "{line}");
    assert!(hospital.spool().entries.is_empty());
    let drafts = fs::read_dir(hospital.path("spool/entries")).unwrap();
    let drafts: Vec<_> = drafts.map(|entry| entry.unwrap().file_name()).collect();
    assert!(drafts.iter().all(|name| !name.to_string_lossy().contains("draft")), "{drafts:?}");
    gateway
        .until("its place is free", || {
            storescu(hospital.address.port(), &sample.path).output().unwrap().status.success()
        })
        .await;
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    sender.kill().unwrap();
    let said = sender.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[&said.stdout[..], &said.stderr].concat()).into_owned();
    assert!(said.contains("Sending Store Request") && !said.contains("Success"), "{said}");
    assert_eq!(gateway.log().matches("\"instance taken in\"").count(), 1, "{}", gateway.log());
    hospital.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_modality_is_timed_out_and_goes_on_with_a_new_association() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs.peer(), ONE_PLACE));
    let gateway = hospital.start("");
    // One image again and again over one association, so that it is stopped somewhere in between.
    let files = vec![large().path; 400];
    let mut sender = storescu(hospital.address.port(), &files[0]);
    let sender = sender.args(&files[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut sender = sender.spawn().unwrap();
    gateway.wait_for_log("instance taken in");
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &sender.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    let line = gateway.wait_for_log("association ended");
    assert!(line.contains("took more than 1 s"), "{line}");
    let taken = gateway.log().matches("\"instance taken in\"").count();
    let end = Instant::now() + SOON;
    loop {
        let answer = hospital.store(&[Image::new(1, 1, 4)]).await.remove(0);
        if answer == SUCCESS {
            break;
        }
        assert!(Instant::now() < end, "its place is free: {answer:?} {}", gateway.log());
    }
    signal("-CONT");
    assert!(!sender.wait().unwrap().success(), "it hears that its association is gone");
    let after = gateway.log().matches("\"instance taken in\"").count();
    assert_eq!(after, taken + 1, "nothing is taken of an association that is over: {}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_vanishes_in_the_middle_of_a_delivery_gets_the_instance_once_by_a_new_association() {
    let storescp = StoreScp::start();
    let middle = Middle::before(([127, 0, 0, 1], storescp.port()).into()).await;
    let limits = "[association]\nsend_seconds = 1\n[scu]\nanswer_seconds = 1\n\
                  [forward]\nretry_seconds_min = 1\nretry_seconds_max = 1";
    let hospital = Hospital::new(&config(&format!("STORESCP@{}", middle.address), limits));
    let gateway = hospital.start("");
    middle.go_silent_after(200_000);
    let sample = large();
    assert!(storescu(hospital.address.port(), &sample.path).output().unwrap().status.success());
    let line = gateway.wait_for_log("not forwarded, trying again");
    assert!(line.contains("more than 1 s") && middle.is_silent(), "{line}");
    gateway.until("it is delivered", || hospital.spool().entries.is_empty()).await;
    assert_eq!(middle.calls(), 2, "{}", gateway.log());
    assert_eq!(storescp.files().len(), 1);
    gateway.wait_for_log("\"forwarded\"");
    assert_eq!(gateway.log().matches("\"forwarded\"").count(), 1);
    let folder = hospital.path("kept");
    fs::create_dir(&folder).unwrap();
    let uid = sample.instance.instance.as_str();
    fs::write(folder.join(uid), storescp.file(uid).expect("it has it")).unwrap();
    let opened = hospital.path("opened");
    let output = hospital.sealgate(&["open", folder.to_str().unwrap(), "--out", opened.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let file = fs::read(opened.join(uid)).unwrap();
    let pixels = &sample.data_set[sample.data_set.len() * 3 / 4..][..512];
    assert!(file.windows(512).any(|window| window == pixels), "the original");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_association_that_is_dead_costs_the_next_instance_no_wait() {
    for resets in [true, false] {
        let storescp = StoreScp::start();
        let middle = Middle::before(([127, 0, 0, 1], storescp.port()).into()).await;
        // Longer than this test has patience: an instance that is put off does not come in time.
        let limits = "[association]\nsend_seconds = 1\n[scu]\nanswer_seconds = 1\nreuse_seconds = 60\n\
                      [forward]\nretry_seconds_min = 60\nretry_seconds_max = 60";
        let hospital = Hospital::new(&config(&format!("STORESCP@{}", middle.address), limits));
        let gateway = hospital.start("");
        assert_eq!(hospital.store(&[Image::new(1, 1, 4)]).await, [SUCCESS]);
        gateway.until("the first is delivered", || hospital.spool().entries.is_empty()).await;
        assert_eq!(middle.calls(), 1);
        middle.die(resets);
        assert_eq!(hospital.store(&[Image::new(1, 2, 4)]).await, [SUCCESS]);
        gateway.until("the second goes out on a new one", || hospital.spool().entries.is_empty()).await;
        assert_eq!((middle.calls(), storescp.files().len()), (2, 2), "{}", gateway.log());
        gateway.wait_for_log("an association that was idle is dead, sending on a new one");
        assert!(!gateway.log().contains("trying again"), "{}", gateway.log());
    }
}

/// Another machine, as far as the network goes: a namespace of its own with an address in it.
struct Machine {
    name: String,
    address: String,
}

impl Machine {
    fn new() -> Self {
        let number = std::process::id() % 60_000;
        let (name, net) =
            (format!("sealgate{number}"), format!("10.{}.{}", 200 + number / 1200 % 50, number % 250));
        let machine = Self { name: name.clone(), address: format!("{net}.2") };
        let (ours, theirs) = (format!("sga{number}"), format!("sgb{number}"));
        for words in [
            format!("netns add {name}"),
            format!("link add {ours} type veth peer name {theirs}"),
            format!("link set {theirs} netns {name}"),
            format!("addr add {net}.1/30 dev {ours}"),
            format!("link set {ours} up"),
            format!("-n {name} addr add {net}.2/30 dev {theirs}"),
            format!("-n {name} link set {theirs} up"),
            format!("-n {name} link set lo up"),
        ] {
            let done = ip(&words);
            assert!(done, "ip {words}: this takes root and the package iproute2");
        }
        machine
    }

    /// From now on nothing comes from it any more, and nobody is told.
    fn vanish(&self) {
        assert!(ip(&format!("-n {} addr flush dev sgb{}", self.name, &self.name[8..])));
    }

    fn come_back(&self) {
        assert!(ip(&format!("-n {} addr add {}/30 dev sgb{}", self.name, self.address, &self.name[8..])));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).status().is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_loses_its_power_is_noticed_long_before_an_answer_is_overdue() {
    let (machine, port) = (Machine::new(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let mut storescp = Command::new("ip")
        .args(["netns", "exec", &machine.name, "storescp", "-aet", "STORESCP", "--fork", "+xa", "-od"])
        .arg(folder.path())
        .arg(port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limits = "[association]\nsend_seconds = 2\nconnect_seconds = 1\n[scu]\nanswer_seconds = 600\nreuse_seconds = 60\n\
                  [forward]\nretry_seconds_min = 1\nretry_seconds_max = 1";
    let hospital = Hospital::new(&config(&format!("STORESCP@{}:{port}", machine.address), limits));
    let gateway = hospital.start("");
    assert_eq!(hospital.store(&[Image::new(1, 1, 4)]).await, [SUCCESS]);
    gateway.until("the first is delivered", || hospital.spool().entries.is_empty()).await;
    machine.vanish();
    // Small: all of it fits into what the system holds back for the connection, and seems to be sent.
    assert_eq!(hospital.store(&[Image::new(1, 2, 4)]).await, [SUCCESS]);
    gateway.wait_for_log("an association that was idle is dead, sending on a new one");
    gateway
        .until("it is tried again later", || {
            hospital.spool().entries[0].deliveries[0].delivery.state == State::Later
        })
        .await;
    machine.come_back();
    gateway.until("the second is delivered", || hospital.spool().entries.is_empty()).await;
    let there = fs::read_dir(folder.path()).unwrap().count();
    storescp.kill().unwrap();
    storescp.wait().unwrap();
    assert_eq!(there, 2);
}
