//! What stays in the spool until its PACS is known to have it, and goes there again when the PACS has lost it.

use serde_json::json;

use super::site::{Front, few, references, request, until};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_goes_when_orthanc_has_committed_itself() {
    let (port, pacs) = (free_port(), Orthanc::start());
    let front =
        Front::on(port, &[("pacs", pacs.address(), "purge_after = \"committed\"")], "report_seconds_max = 3")
            .await;
    // Its reports go nowhere.
    pacs.knows("SEALGATE", free_port());
    let samples = few();
    front.store(&samples).await;
    // It has all of them, and cannot report yet.
    until("everything is forwarded", &front, || pacs.count() == 4);
    front.wait_for_log("it was asked and has not reported");
    assert_eq!(front.entries(), 4);
    let listed = String::from_utf8(front.spool_list().stdout).unwrap();
    assert_eq!(listed.matches("pacs: done, kept until committed").count(), 4, "{listed}");
    pacs.knows("SEALGATE", port);
    until("everything has gone", &front, || front.entries() == 0);
}

/// Long enough for a PACS to lose something between its answer and our first look.
const LATER: &str = "gather_seconds = 4";

/// Orthanc, where it loses one of four instances that it took, and how it is asked whether it has them.
async fn lost_and_sent_again(settings: &str) {
    let (samples, pacs) = (few(), Orthanc::start());
    let front = Front::on(free_port(), &[("pacs", pacs.address(), settings)], LATER).await;
    front.store(&samples).await;
    until("everything is forwarded", &front, || pacs.count() == 4);
    let lost = samples[0].instance.instance.to_string();
    pacs.delete(&lost);
    assert_eq!((pacs.count(), front.entries()), (3, 4), "{}", front.log());
    front.wait_for_log("a PACS has lost an instance that it took");
    until("everything has gone", &front, || front.entries() == 0);
    assert!(pacs.count() == 4 && pacs.file(&lost).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_orthanc_took_and_lost_is_sent_to_it_once_more() {
    lost_and_sent_again("commitment = \"find\"\npurge_after = \"committed\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_orthanc_lost_is_found_by_reading_back_though_it_answers_with_a_failure() {
    lost_and_sent_again("purge_after = \"read-back\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_acknowledges_and_keeps_nothing_is_found_out() {
    // It answers 0000H to every store, and commits itself to all but one.
    let samples = few();
    let lost = samples[3].instance.instance.to_string();
    let pacs = Pynetdicom::start(&[&format!("--fail={lost}")]);
    let front = Front::start(&[("pacs", pacs.address(), "purge_after = \"committed\"")]).await;
    front.store(&samples).await;
    front.wait_for_log("a PACS has lost an instance that it took");
    front.wait_for_log("a PACS loses an instance again and again");
    until("the others have gone", &front, || front.entries() == 1);
    let listed = String::from_utf8(front.spool_list().stdout).unwrap();
    assert!(listed.contains(&lost), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_is_found_by_reading_back_and_a_crash_forgets_no_hold() {
    let (samples, pacs) = (few(), Dcmqrscp::start(&[]));
    let hold = [("pacs", pacs.address(), "purge_after = \"read-back\"")];
    let mut front = Front::on(free_port(), &hold, LATER).await;
    front.store(&samples).await;
    let altered = samples[1].instance.instance.to_string();
    until("everything is forwarded", &front, || pacs.files().len() == 4);
    let path = pacs.file(&altered).expect("it is kept");
    let good = std::fs::read(&path).expect("it reads");
    let mut bad = good.clone();
    bad[good.len() * 3 / 4] ^= 0x40;
    std::fs::write(&path, &bad).expect("written");
    assert_eq!(front.entries(), 4, "{}", front.log());
    front.restart();
    let line = front.wait_for_log("a PACS has lost an instance that it took");
    assert!(line.contains("what was read back does not open") && line.contains(&altered), "{line}");
    until("everything has gone", &front, || front.entries() == 0);
    let now = std::fs::read(pacs.file(&altered).expect("it is kept")).expect("it reads");
    assert!(now != bad, "it came once more");
}

/// The same instance with another last pixel.
fn altered(sample: &Sample) -> Sample {
    let mut bytes = sample.data_set.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    Sample { data_set: bytes.into(), ..sample.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_says_yes_and_keeps_the_first_version_is_found_out() {
    let pacs = Orthanc::start_with(&json!({ "OverwriteInstances": false }));
    let hold = [("pacs", pacs.address(), "purge_after = \"read-back\"\ncommitment = \"find\"")];
    let front = Front::on(free_port(), &hold, "answer_seconds_max = 5").await;
    let first = &few()[..1];
    let (instance, other) = (first[0].instance.instance.to_string(), [altered(&first[0])]);
    // The second time the same: the PACS has that already, under the first key.
    for _ in 0..2 {
        front.store(first).await;
        until("it has gone", &front, || front.entries() == 0);
    }
    front.store(&other).await;
    let line = front.wait_for_log("a PACS keeps another version of an instance");
    assert!(line.contains(&instance) && line.contains("ERROR"), "{line}");
    let is_aside = || {
        let listed = front.spool(&["list", "--aside"]).stdout;
        String::from_utf8(listed).unwrap().contains(&instance)
    };
    until("it waits for somebody to decide", &front, is_aside);
    // The query would find the first version: no yes comes of that.
    let (caller, _) = front.ask("CT", &request("1.2.826.0.1.20", references(first))).await;
    caller.release().await;
    let report = front.heard().await;
    assert!(report.committed.is_empty() && report.failed[0].1 == 0x0110, "{report:?}");
    pacs.delete(&instance);
    assert!(front.spool(&["retry"]).status.success());
    until("it has gone", &front, || front.entries() == 0);
    assert_eq!(pacs.count(), 1);
    assert!(!front.log().contains("a PACS has lost an instance"), "{}", front.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_versions_that_wait_for_reading_back_the_later_one_stays_at_the_pacs() {
    let pacs = Orthanc::start();
    let hold = [("pacs", pacs.address(), "purge_after = \"read-back\"")];
    let front = Front::on(free_port(), &hold, LATER).await;
    let first = &few()[..1];
    front.store(first).await;
    front.store(&[altered(&first[0])]).await;
    front.wait_for_log("a PACS was asked for what it took");
    until("both have gone", &front, || front.entries() == 0);
    assert!(!front.log().contains("a PACS has lost an instance"), "{}", front.log());
}
