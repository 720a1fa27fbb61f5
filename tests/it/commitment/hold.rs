//! What stays in the spool until its PACS is known to have it, and goes there again when the PACS has lost it.

use super::site::{Front, few, until};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, free_port};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_orthanc_took_and_lost_is_sent_to_it_once_more() {
    let (samples, pacs) = (few(), Orthanc::start());
    let hold = [("pacs", pacs.address(), "commitment = \"find\"\npurge_after = \"committed\"")];
    let front = Front::on(free_port(), &hold, LATER).await;
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
