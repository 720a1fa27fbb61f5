//! Storage commitment through the gateway, with real PACS and a real modality, and with a gateway that is killed between
//! the steps.

mod hold;
mod site;
mod ways;

use std::process::Command;
use std::time::Duration;

use sealgate::dicom::{AeAddress, STORAGE_COMMITMENT, Status};
use sealgate::scu::{CommitmentReport, Failure, for_service};

use self::site::{Front, few, references, request, sorted, stranger, until};
use crate::peers::archive::uid;
use crate::peers::{Orthanc, Pynetdicom, free_port, python};

const NO_SUCH_INSTANCE: u16 = 0x0112;

/// Asks as pynetdicom does, and gives what it says.
fn modality(
    front: &Front,
    options: &[&str],
    transaction: &str,
    asked: &[sealgate::scu::Reference],
) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(python());
    command.arg("-B").arg(format!("{root}/tests/peers/modality.py"));
    command.arg(format!("--port={}", front.port)).arg(format!("--transaction={transaction}")).args(options);
    command.args(asked.iter().map(|one| format!("{}:{}", one.class, one.instance)));
    let output = command.output().expect("python runs");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}\n{}", front.log());
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn orthanc_commits_itself_and_pynetdicom_hears_of_it_on_either_association() {
    let (port, pacs) = (free_port(), Orthanc::start());
    pacs.knows("SEALGATE", port);
    let mut front = Front::on(port, &[("pacs", pacs.address(), "")], "").await;
    let samples = few();
    front.store(&samples).await;
    let asked = [references(&samples), vec![stranger("1.2.3.4.5")]].concat();
    let ear = free_port();
    let own = front.ear.local_addr().expect("its address").port();
    let said = modality(&front, &[&format!("--listen={ear}")], "1.2.826.0.1.1", &asked);
    assert!(
        said.contains("action 0000") && said.contains("report same 2 1.2.826.0.1.1"),
        "{said}\n{}",
        front.log()
    );
    assert_eq!(said.matches("committed ").count(), 4, "{said}");
    assert!(said.contains("failed 1.2.3.4.5=0112") && said.contains("retrieve from SEALGATE"), "{said}");
    // On an association of the gateway's, which has to find the port free.
    front.ear = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let said = modality(&front, &[&format!("--listen={own}"), "--release"], "1.2.826.0.1.2", &asked[..4]);
    assert!(said.contains("report own 1 1.2.826.0.1.2 from SEALGATE to CT"), "{said}\n{}", front.log());
    assert_eq!((said.matches("committed ").count(), said.matches("failed ").count()), (4, 0), "{said}");
    until("nothing is kept any more", &front, || front.papers() == 0 && front.entries() == 0);
}

fn failed(report: &CommitmentReport) -> Vec<(String, u16)> {
    report.failed.iter().map(|(one, reason)| (one.instance.to_string(), *reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_two_pacs_does_not_commit_itself_to_is_not_committed() {
    let samples = few();
    let lost = samples[1].instance.instance.to_string();
    let (port, one) = (free_port(), Orthanc::start());
    one.knows("SEALGATE", port);
    // It reports on the association of the request, and never has this one.
    let other = Pynetdicom::start(&[&format!("--fail={lost}")]);
    let pacs = [("one", one.address(), ""), ("other", other.address(), "")];
    let front = Front::on(port, &pacs, "").await;
    front.store(&samples).await;
    let (mut caller, status) = front.ask("CT", &request("1.2.826.0.1.3", references(&samples))).await;
    assert_eq!(status, Status::SUCCESS);
    let came = caller.next_report(60).await.unwrap_or_else(|failure| panic!("{failure}\n{}", front.log()));
    let report = came.commitment().expect("a report");
    assert_eq!(came.event_type(), Some(2));
    assert_eq!(failed(&report), [(lost, NO_SUCH_INSTANCE)]);
    assert_eq!(report.committed.len(), 3);
    caller.answer_report(&came, Status::SUCCESS).await.expect("answered");
    // The association is good for more, also while we report.
    let (class, again) = (uid(STORAGE_COMMITMENT), request("1.2.826.0.1.4", references(&samples[..1])));
    let context = caller.context_of(&class).expect("accepted");
    sealgate::scu::commit(&mut caller, &context, &again).await.expect("taken");
    let came = caller.next_report(60).await.expect("a report");
    assert_eq!((came.event_type(), came.commitment().unwrap().transaction), (Some(1), again.transaction));
    caller.answer_report(&came, Status::SUCCESS).await.expect("answered");
    caller.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_outlives_a_crash_at_every_step() {
    let (port, pacs_port) = (free_port(), free_port());
    let address = AeAddress::parse(&format!("ORTHANC@127.0.0.1:{pacs_port}")).unwrap();
    let mut front = Front::on(port, &[("pacs", address, "")], "report_seconds_max = 3").await;
    let samples = few();
    front.store(&samples).await;
    // Nothing is forwarded, for the PACS is not there yet.
    let (caller, status) = front.ask("CT", &request("1.2.826.0.1.5", references(&samples))).await;
    assert_eq!((status, front.papers()), (Status::SUCCESS, 1));
    caller.release().await;
    let seen = front.commitments();
    assert_eq!(seen["commitments"][0]["transaction"], "1.2.826.0.1.5");
    assert_eq!(seen["commitments"][0]["peer"], "CT");
    assert_eq!(
        (&seen["commitments"][0]["stage"], &seen["commitments"][0]["instances"]),
        (&"forwarding".into(), &4.into())
    );
    front.restart();
    front.wait_for_log("a storage commitment goes on after the start");
    // There, and its reports go nowhere: it is asked, and nothing comes.
    let elsewhere = serde_json::json!({ "SEALGATE": ["SEALGATE", "127.0.0.1", free_port()] });
    let pacs =
        Orthanc::start_with(&serde_json::json!({ "DicomPort": pacs_port, "DicomModalities": elsewhere }));
    front.wait_for_log("a PACS was asked to commit itself");
    let asked = &front.commitments()["commitments"][0];
    assert_eq!((&asked["stage"], &asked["asked"][0]["destination"]), (&"asking".into(), &"pacs".into()));
    assert!(asked["asked"][0]["failed"].is_null(), "it has not answered: {asked}");
    front.restart();
    pacs.knows("SEALGATE", port);
    // Asked once more after report_seconds_max; nobody listens for the modality now.
    let ear = front.ear.local_addr().unwrap();
    front.ear = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    front.wait_for_log("a modality could not be told what was committed");
    assert_eq!(front.commitments()["commitments"][0]["stage"], "telling");
    front.restart();
    front.ear = tokio::net::TcpListener::bind(ear).await.expect("the same port");
    let report = front.heard().await;
    assert_eq!(report.transaction, uid("1.2.826.0.1.5"));
    assert_eq!(sorted(&report.committed), sorted(&references(&samples)));
    assert!(report.failed.is_empty(), "{report:?}");
    until("nothing is kept any more", &front, || front.papers() == 0 && front.entries() == 0);
    assert_eq!(front.commitments()["commitments"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_never_reports_has_committed_nothing_when_the_time_is_over() {
    let pacs = Pynetdicom::start(&["--commit=none"]);
    let front = Front::on(
        free_port(),
        &[("pacs", pacs.address(), "")],
        "report_seconds_max = 2\nanswer_seconds_max = 6",
    )
    .await;
    let samples = few();
    front.store(&samples[..2]).await;
    let (caller, _) = front.ask("CT", &request("1.2.826.0.1.6", references(&samples[..2]))).await;
    caller.release().await;
    let report = front.heard().await;
    assert!(report.committed.is_empty());
    assert!(failed(&report).iter().all(|(_, reason)| *reason == 0x0110), "{report:?}");
    pacs.process.says("action 1 ", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_what_is_not_forwarded_and_says_in_the_end_what_was_not() {
    let nowhere = AeAddress::parse(&format!("PACS@127.0.0.1:{}", free_port())).unwrap();
    let front = Front::on(free_port(), &[("pacs", nowhere, "")], "answer_seconds_max = 3").await;
    let samples = few();
    front.store(&samples[..1]).await;
    let (mut caller, _) = front.ask("CT", &request("1.2.826.0.1.7", references(&samples[..1]))).await;
    let early = tokio::time::timeout(Duration::from_secs(1), caller.next_report(60)).await;
    assert!(early.is_err(), "nothing is said while it is on its way");
    let came = caller.next_report(60).await.expect("a report");
    assert_eq!(failed(&came.commitment().unwrap())[0].1, 0x0110);
    caller.answer_report(&came, Status::SUCCESS).await.expect("answered");
    caller.release().await;
    assert_eq!(front.entries(), 1, "the instance stays, and goes on being tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_with_its_status() {
    let nowhere = AeAddress::parse(&format!("PACS@127.0.0.1:{}", free_port())).unwrap();
    let front =
        Front::on(free_port(), &[("pacs", nowhere, "")], "references_max = 2\ntransactions_max = 1").await;
    let samples = few();
    front.store(&samples[..1]).await;
    let first = request("1.2.826.0.1.8", references(&samples[..1]));
    let (caller, status) = front.ask("CT", &first).await;
    assert_eq!(status, Status::SUCCESS);
    caller.release().await;
    // The same once more: the answer was lost. Another one under its transaction, one too many, and one too large.
    for (asked, expected) in [
        (first.clone(), Status::SUCCESS),
        (request("1.2.826.0.1.8", references(&samples[..2])), Status::DUPLICATE_TRANSACTION),
        (request("1.2.826.0.1.9", references(&samples[..1])), Status::RESOURCE_LIMITATION),
        (request("1.2.826.0.1.10", references(&samples[..3])), Status::RESOURCE_LIMITATION),
    ] {
        let (caller, status) = front.ask("CT", &asked).await;
        assert_eq!(status, expected, "{asked:?}");
        caller.release().await;
    }
    assert_eq!(front.papers(), 1);
    let caller = front.call("STORES", &for_service(&uid(STORAGE_COMMITMENT))).await;
    let refused = caller.context_of(&uid(STORAGE_COMMITMENT));
    assert!(matches!(refused, Err(Failure::NoContext { .. })), "without the right it is not even negotiated");
    caller.release().await;
}
