//! PACS without storage commitment: asked by queries, read back, or trusted; and what of ours they may report.

use sealgate::dicom::{STORAGE_COMMITMENT, Status};
use sealgate::scu::{CommitmentReport, Failure, for_reporting, report};

use super::NO_SUCH_INSTANCE;
use super::site::{Front, few, references, request, stranger, until};
use crate::peers::archive::uid;
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample, free_port};

/// Stores, waits until the spool is empty, does something to the PACS, and asks.
async fn asked(front: &Front, samples: &[Sample], damage: impl FnOnce()) -> CommitmentReport {
    front.store(samples).await;
    until("everything is forwarded", front, || front.entries() == 0);
    damage();
    let all = [references(samples), vec![stranger("1.2.3.4.6")]].concat();
    let (caller, status) = front.ask("CT", &request("1.2.826.0.2.1", all)).await;
    assert_eq!(status, Status::SUCCESS);
    caller.release().await;
    front.heard().await
}

fn instances(report: &CommitmentReport) -> (Vec<String>, Vec<(String, u16)>) {
    let committed = report.committed.iter().map(|one| one.instance.to_string()).collect();
    let failed = report.failed.iter().map(|(one, reason)| (one.instance.to_string(), *reason)).collect();
    (committed, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_query_what_is_gone_is_found_out() {
    let (samples, pacs) = (few(), Orthanc::start());
    let front = Front::start(&[("pacs", pacs.address(), "commitment = \"find\"")]).await;
    let gone = samples[2].instance.instance.to_string();
    let report = asked(&front, &samples, || pacs.delete(&gone)).await;
    let (committed, mut failed) = instances(&report);
    failed.sort();
    let mut expected = vec![("1.2.3.4.6".to_owned(), NO_SUCH_INSTANCE), (gone, NO_SUCH_INSTANCE)];
    expected.sort();
    assert_eq!((committed.len(), failed), (3, expected), "{}", front.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_query_dcmqrscp_is_asked_as_well() {
    let (samples, pacs) = (few(), Dcmqrscp::start(&[]));
    let front = Front::start(&[("pacs", pacs.address(), "commitment = \"find\"")]).await;
    let report = asked(&front, &samples, || {}).await;
    assert_eq!(instances(&report).0.len(), 4, "{}", front.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_finds_an_instance_only_later_has_it() {
    let (samples, pacs) = (few(), Orthanc::start());
    let front =
        Front::on(free_port(), &[("pacs", pacs.address(), "commitment = \"find\"")], "settle_seconds = 60")
            .await;
    front.store(&samples).await;
    until("everything is forwarded", &front, || front.entries() == 0);
    let late = samples[2].instance.instance.to_string();
    let file = pacs.file(&late).expect("it is kept");
    pacs.delete(&late);
    let (caller, status) = front.ask("CT", &request("1.2.826.0.2.1", references(&samples))).await;
    assert_eq!(status, Status::SUCCESS);
    caller.release().await;
    front.wait_for_log("asking again");
    pacs.post("/instances", &file);
    let (committed, failed) = instances(&front.heard().await);
    assert_eq!((committed.len(), failed), (4, Vec::new()), "{}", front.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_reading_back_what_was_altered_is_found_out() {
    let (samples, pacs) = (few(), Dcmqrscp::start(&[]));
    let front = Front::start(&[("pacs", pacs.address(), "commitment = \"read-back\"")]).await;
    let altered = samples[1].instance.instance.to_string();
    let damage = || {
        let path = pacs.file(&altered).expect("it is kept");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() * 3 / 4;
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
    };
    let report = asked(&front, &samples, damage).await;
    let (committed, failed) = instances(&report);
    assert_eq!(committed.len(), 3, "{}", front.log());
    assert!(failed.contains(&(altered, NO_SUCH_INSTANCE)), "{failed:?}");
    front.wait_for_log("what was read back does not open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_is_trusted_is_not_asked() {
    let (samples, pacs) = (few(), Pynetdicom::start(&["--commit=none"]));
    let front = Front::start(&[("pacs", pacs.address(), "commitment = \"trust\"")]).await;
    let report = asked(&front, &samples, || {}).await;
    let (committed, failed) = instances(&report);
    assert_eq!((committed.len(), failed), (4, vec![("1.2.3.4.6".to_owned(), NO_SUCH_INSTANCE)]));
    assert!(!pacs.process.log().contains("action"), "{}", pacs.process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_nobody_asked_for_changes_nothing() {
    let pacs = Pynetdicom::start(&[]);
    let front = Front::start(&[("pacs", pacs.address(), "")]).await;
    let class = uid(STORAGE_COMMITMENT);
    let forged = CommitmentReport {
        transaction: uid("2.25.77"),
        retrieve_from: None,
        committed: vec![stranger("1.2.3")],
        failed: Vec::new(),
    };
    let mut caller = front.call("PYNETDICOM", &for_reporting(&class)).await;
    let context = caller.context_as_provider(&class).expect("a PACS may report");
    match report(&mut caller, &context, &forged).await {
        Err(Failure::Status(answer)) => assert_eq!(answer.status, Status::INVALID_ARGUMENT),
        other => panic!("{other:?}"),
    }
    caller.release().await;
    // A modality may ask, and reports nothing.
    let caller = front.call("CT", &for_reporting(&class)).await;
    assert!(caller.context_as_provider(&class).is_err());
    caller.release().await;
}
