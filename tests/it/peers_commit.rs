//! Storage commitment and procedure steps with other people's software, the report on either association.

use std::sync::Arc;
use std::time::Duration;

use dicom_dictionary_std::uids;
use sealgate::association::{Acceptor, Association, Command, Config, Ending, Message, field};
use sealgate::dicom::{STORAGE_COMMITMENT, Status};
use sealgate::scu::{
    Caller, CommitmentReport, CommitmentRequest, Failure, Reference, commit, create_step, for_reporting,
    for_service, report, set_step,
};
use sealgate::tls::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::faults::strays::Anybody;
use crate::peers::archive::{Kept, call, fill, uid};
use crate::peers::{Orthanc, Pynetdicom};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fn reference(instance: &str) -> Reference {
    Reference { class: uid(CT), instance: uid(instance) }
}

fn request(references: Vec<Reference>) -> CommitmentRequest {
    CommitmentRequest { transaction: uid("1.2.826.0.1.7"), references }
}

async fn caller_to(peer: &Pynetdicom) -> Caller {
    call(peer.address(), &for_service(&uid(STORAGE_COMMITMENT))).await
}

#[tokio::test]
async fn a_report_comes_on_the_same_association() {
    let peer = Pynetdicom::start(&["--fail=1.2.5"]);
    let mut caller = caller_to(&peer).await;
    let context = caller.context_of(&uid(STORAGE_COMMITMENT)).expect("accepted");
    let asked = request(vec![reference("1.2.4"), reference("1.2.5"), reference("1.2.6")]);
    commit(&mut caller, &context, &asked).await.expect("taken");
    let came = caller.next_report(20).await.expect("a report");
    let said = came.commitment().expect("a report of storage commitment");
    assert_eq!((came.event_type(), said.event_type()), (Some(2), 2));
    assert_eq!(said.transaction, asked.transaction);
    assert_eq!(said.committed, [reference("1.2.4"), reference("1.2.6")]);
    assert_eq!(said.failed, [(reference("1.2.5"), 0x0112)]);
    assert_eq!(said.retrieve_from.map(|title| title.to_string()).as_deref(), Some("PYNETDICOM"));
    caller.answer_report(&came, Status::SUCCESS).await.expect("answered");
    // The association is good for more.
    commit(&mut caller, &context, &request(vec![reference("1.2.4")])).await.expect("taken");
    let came = caller.next_report(20).await.expect("a report");
    assert_eq!(came.event_type(), Some(1));
    caller.answer_report(&came, Status::SUCCESS).await.expect("answered");
    caller.release().await;
    for _ in 0..200 {
        if peer.process.log().matches("report answered 0").count() == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", peer.process.log());
}

#[tokio::test]
async fn a_report_that_does_not_come_is_not_waited_for() {
    let peer = Pynetdicom::start(&["--commit=none"]);
    let mut caller = caller_to(&peer).await;
    let context = caller.context_of(&uid(STORAGE_COMMITMENT)).expect("accepted");
    commit(&mut caller, &context, &request(vec![reference("1.2.4")])).await.expect("taken");
    let failure = caller.next_report(1).await.expect_err("none comes");
    assert!(matches!(failure, Failure::TimedOut { seconds: 1, .. }), "{failure:?}");
    caller.abort().await;
}

/// The report that comes to `listener` on an association of its own.
pub(crate) async fn reported(listener: &TcpListener) -> CommitmentReport {
    let (stream, from) = listener.accept().await.expect("a connection");
    let acceptor = Acceptor::new(Arc::new(Anybody), Ending::never());
    let association = acceptor.accept(stream, from, Arc::new(Config::default())).await;
    let mut association: Association<Connection<TcpStream>> = association.expect("an association");
    let Message { context, command } = association.receive().await.expect("a message").expect("not the end");
    assert_eq!(command.field(), field::N_EVENT_REPORT);
    let mut data = Vec::new();
    while let Some(piece) = association.next_data().await.expect("data") {
        data.extend_from_slice(&piece);
    }
    association.send(context.id, &Command::response_to(&command, Status::SUCCESS)).await.expect("sent");
    assert!(association.receive().await.expect("the end").is_none());
    association.close().await;
    CommitmentReport::decode(&data, context.transfer_syntax.encoding).expect("a report")
}

#[tokio::test]
async fn orthanc_reports_on_an_association_of_its_own() {
    let (peer, listener) = (Orthanc::start(), TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    peer.knows("SEALGATE", listener.local_addr().expect("its address").port());
    let kept: Vec<Kept> = fill(peer.address()).await;
    let there: Vec<Reference> = kept
        .iter()
        .map(|one| &one.sample.instance)
        .map(|one| Reference { class: one.class.clone(), instance: one.instance.clone() })
        .collect();
    let mut caller = call(peer.address(), &for_service(&uid(STORAGE_COMMITMENT))).await;
    let context = caller.context_of(&uid(STORAGE_COMMITMENT)).expect("accepted");
    let asked = request([there.clone(), vec![reference("1.2.3.4.5")]].concat());
    commit(&mut caller, &context, &asked).await.expect("taken");
    let said = timeout(Duration::from_secs(60), reported(&listener)).await.expect("a report");
    assert_eq!(said.transaction, asked.transaction);
    let sorted = |mut references: Vec<Reference>| {
        references.sort();
        references
    };
    assert_eq!(sorted(said.committed), sorted(there));
    // No such object instance.
    assert_eq!(said.failed, [(reference("1.2.3.4.5"), 0x0112)]);
    caller.release().await;
}

#[tokio::test]
async fn we_report_to_whoever_asked() {
    let peer = Pynetdicom::start(&[]);
    let mut caller = call(peer.address(), &for_reporting(&uid(STORAGE_COMMITMENT))).await;
    let context = caller.context_as_provider(&uid(STORAGE_COMMITMENT)).expect("accepted");
    assert!(caller.context_of(&uid(STORAGE_COMMITMENT)).is_err(), "we may not ask here");
    let said = CommitmentReport {
        transaction: uid("1.2.826.0.1.8"),
        retrieve_from: None,
        committed: vec![reference("1.2.4")],
        failed: vec![(reference("1.2.5"), 0x0110)],
    };
    report(&mut caller, &context, &said).await.expect("taken");
    caller.release().await;
    peer.process.says("event 2 1.2.826.0.1.8", 1);
}

#[tokio::test]
async fn a_procedure_step_is_passed_through() {
    let peer = Pynetdicom::start(&[]);
    let class = uid(uids::MODALITY_PERFORMED_PROCEDURE_STEP);
    let mut caller = call(peer.address(), &for_service(&class)).await;
    let context = caller.context_of(&class).expect("accepted");
    let step = |status: &str| {
        [&b"\x40\0\x52\x02CS"[..], &[u8::try_from(status.len()).expect("short"), 0], status.as_bytes()]
            .concat()
    };
    let instance = uid("1.2.826.0.1.9");
    let begun = step("IN PROGRESS ");
    let response = create_step(&mut caller, &context, Some(&instance), &begun).await.expect("a response");
    assert_eq!(response.answer.status, Status::SUCCESS);
    assert_eq!(response.answer.instance, Some(instance.clone()));
    assert_eq!(response.data, begun, "the attribute list comes back as the peer sent it");
    let response = set_step(&mut caller, &context, &instance, &step("COMPLETED ")).await.expect("a response");
    assert_eq!(response.answer.status, Status::SUCCESS);
    // A refusal is a response like any other: the modality is to hear it.
    let response =
        create_step(&mut caller, &context, Some(&instance), &step("DONE")).await.expect("a response");
    assert_eq!(response.answer.status, Status(0x0106));
    caller.release().await;
    let log = peer.process.log();
    assert!(
        log.contains("create 1.2.826.0.1.9 IN PROGRESS") && log.contains("set 1.2.826.0.1.9 COMPLETED"),
        "{log}"
    );
}
