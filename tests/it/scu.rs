//! Our requests against a peer in the same process that does what no real one does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealgate::association::{Acceptor, Association, Command, Error, Proposal, Roles, element, field};
use sealgate::dicom::{STORAGE_COMMITMENT, Status, TransferSyntax, Uid};
use sealgate::scu::{
    Answer, Caller, CommitmentReport, CommitmentRequest, Config, Failure, FromPieces, FromReader, Got,
    Instance, Meaning, Need, Reference, Wire, commit, find, for_getting, for_service, for_storing, get,
    store,
};
use sealgate::tls::Connection;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::association::{BOTH, CT, call, config, door, read_data, some_bytes};

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

fn explicit() -> TransferSyntax {
    TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).expect("a syntax")
}

fn instance() -> Instance {
    Instance::new(uid(CT), uid("1.2.3"), explicit())
}

fn storing() -> Vec<Proposal> {
    for_storing([&instance().need()])
}

/// Patient enough for a loaded machine, but for what is to be waited for.
fn quick() -> Config {
    Config { answer_seconds: 1, pending_seconds: 1, source_seconds: 1, ..Config::default() }
}

/// We, and the peer's end of the association.
async fn both(proposals: &[Proposal], limits: Config) -> (Caller, Association<Connection<DuplexStream>>) {
    let (near, far) = duplex(1 << 14);
    let acceptor: Acceptor = door(BOTH).0;
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let own = config(16_384);
    let (caller, host) =
        tokio::join!(call(Box::new(near) as Wire, proposals, &own), acceptor.accept(far, from, config(4096)));
    (Caller::over(caller.expect("accepted"), Arc::new(limits)), host.expect("accepted"))
}

/// Stores these bytes.
async fn send(caller: &mut Caller, data: Vec<u8>) -> Result<Answer, Failure> {
    store(caller, &instance(), &mut Bytes::from(data)).await
}

/// Takes one request with its data set and answers it.
async fn answer_one(host: &mut Association<Connection<DuplexStream>>, status: Status) -> (Command, Vec<u8>) {
    let message = host.receive().await.expect("a message").expect("not the end");
    let data = read_data(host).await.0;
    let response = Command::response_to(&message.command, status);
    host.send(message.context.id, &response).await.expect("sent");
    (message.command, data)
}

/// Reads until the association ends; how many whole data sets came before that.
async fn hear_out(mut host: Association<Connection<DuplexStream>>) -> (usize, Error) {
    let mut whole = 0;
    loop {
        match host.receive().await {
            Err(error) => return (whole, error),
            Ok(None) => return (whole, Error::Released("nothing")),
            Ok(Some(_)) => loop {
                match host.next_data().await {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        whole += 1;
                        break;
                    }
                    Err(error) => return (whole, error),
                }
            },
        }
    }
}

#[tokio::test]
async fn every_source_arrives_byte_for_byte() {
    let data = some_bytes(200_001);
    for kind in ["bytes", "reader", "pieces", "channel"] {
        let (mut caller, mut host) = both(&storing(), quick()).await;
        let (answer, (request, came)) =
            tokio::join!(send_as(kind, &mut caller, &data), answer_one(&mut host, Status::SUCCESS));
        assert_eq!(answer.expect("stored").status, Status::SUCCESS);
        assert!(came == data, "{kind}");
        assert_eq!(request.uid(element::AFFECTED_SOP_INSTANCE), Some(Ok(uid("1.2.3"))));
        assert!(caller.is_free());
    }
}

/// Stores these bytes out of this kind of source.
async fn send_as(kind: &str, caller: &mut Caller, data: &[u8]) -> Result<Answer, Failure> {
    let mut what = instance();
    what.length = Some(data.len() as u64);
    match kind {
        "bytes" => store(caller, &what, &mut Bytes::copy_from_slice(data)).await,
        "reader" => store(caller, &what, &mut FromReader::new(data)).await,
        "pieces" => store(caller, &what, &mut FromPieces(data.chunks(777).map(Bytes::copy_from_slice))).await,
        _ => {
            let (maker, mut source) = mpsc::channel::<io::Result<Option<Bytes>>>(2);
            let making = async {
                for piece in data.chunks(5000) {
                    maker.send(Ok(Some(Bytes::copy_from_slice(piece)))).await.expect("taken");
                }
                maker.send(Ok(None)).await.expect("taken");
            };
            tokio::join!(store(caller, &what, &mut source), making).0
        }
    }
}

#[tokio::test]
async fn a_source_that_fails_in_the_middle_never_completes_a_data_set() {
    for (fault, length) in [
        ("error", None),
        ("stall", None),
        ("dead maker", None),
        ("short", Some(100_001)),
        ("long", Some(99_999)),
    ] {
        let (mut caller, host) = both(&storing(), quick()).await;
        let mut what = instance();
        what.length = length;
        let (maker, mut source) = mpsc::channel::<io::Result<Option<Bytes>>>(9);
        let sending = async {
            maker.send(Ok(Some(Bytes::from(some_bytes(100_000))))).await.expect("taken");
            match fault {
                "error" => maker.send(Err(io::Error::other("the disk is gone"))).await.expect("taken"),
                "short" | "long" => maker.send(Ok(None)).await.expect("taken"),
                _ => {}
            }
            let held = (fault != "dead maker").then_some(maker);
            let failure = store(&mut caller, &what, &mut source).await.expect_err(fault);
            drop(held);
            assert!(matches!(failure, Failure::Source(_)), "{fault}: {failure:?}");
            let went_out = fault != "long";
            assert_eq!(caller.is_free(), !went_out, "{fault}");
            // Which ends it by an A-ABORT where nothing else is left.
            caller.release().await;
        };
        let ((), (whole, heard)) = tokio::join!(sending, hear_out(host));
        assert_eq!(whole, 0, "{fault}");
        let fits = matches!(heard, Error::Aborted { by: 0, .. })
            || (fault == "long" && matches!(heard, Error::Released(_)));
        assert!(fits, "{fault}: {heard}");
    }
}

#[tokio::test]
async fn a_source_that_fails_before_anything_went_out_costs_nothing() {
    let (mut caller, mut host) = both(&storing(), quick()).await;
    let (maker, mut source) = mpsc::channel(1);
    maker.send(Err(io::Error::other("the disk is gone"))).await.expect("taken");
    let failure = store(&mut caller, &instance(), &mut source).await.expect_err("no source");
    assert!(matches!(failure, Failure::Source(_)) && caller.is_free(), "{failure:?}");
    let (answer, (request, came)) =
        tokio::join!(send(&mut caller, some_bytes(10)), answer_one(&mut host, Status::SUCCESS));
    assert!(answer.is_ok() && came == some_bytes(10));
    assert_eq!(request.message_id(), Some(2));
}

#[tokio::test]
async fn an_operation_that_is_dropped_leaves_nothing_that_could_be_mistaken() {
    let (mut caller, mut host) = both(&storing(), quick()).await;
    let waiting = timeout(Duration::from_millis(200), send(&mut caller, some_bytes(100)));
    let (dropped, message) = tokio::join!(waiting, host.receive());
    assert!(dropped.is_err());
    let message = message.expect("a message").expect("not the end");
    read_data(&mut host).await;
    assert!(!caller.is_free());
    let again = store(&mut caller, &instance(), &mut Bytes::from(some_bytes(100))).await;
    assert!(matches!(again, Err(Failure::Unfinished)), "the answer to the first would be taken for its own");
    host.send(1, &Command::response_to(&message.command, Status::SUCCESS)).await.expect("sent");
    let ((), (_, heard)) = tokio::join!(caller.release(), hear_out(host));
    assert!(matches!(heard, Error::Aborted { by: 0, .. }), "{heard}");
}

#[tokio::test]
async fn answers_that_are_none_break_the_association() {
    for fault in ["other message", "other kind", "no status", "a request"] {
        let (mut caller, mut host) = both(&storing(), quick()).await;
        let answering = async {
            let message = host.receive().await.expect("a message").expect("not the end");
            read_data(&mut host).await;
            let mut response = Command::response_to(&message.command, Status::SUCCESS);
            match fault {
                "other message" => response.set_u16(element::RESPONDED_TO, 77),
                "other kind" => response.set_u16(element::COMMAND_FIELD, field::C_FIND | field::RESPONSE),
                "no status" => response.remove(element::STATUS),
                _ => response = Command::echo(1),
            }
            host.send(1, &response).await.expect("sent");
            hear_out(host).await.1
        };
        let sending = async {
            let failure =
                store(&mut caller, &instance(), &mut Bytes::from_static(b"ab")).await.expect_err(fault);
            assert!(matches!(failure, Failure::Protocol(_)), "{fault}: {failure:?}");
            assert!(!failure.may_pass() && !caller.is_free());
            caller.abort().await;
        };
        let ((), heard) = tokio::join!(sending, answering);
        assert!(matches!(heard, Error::Aborted { by: 2, reason: 5 }), "{fault}: {heard}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_not_waited_for() {
    let (mut caller, mut host) = both(&storing(), quick()).await;
    let silent = async {
        host.receive().await.expect("a message").expect("not the end");
        read_data(&mut host).await;
        hear_out(host).await.1
    };
    let sending = async {
        let failure =
            store(&mut caller, &instance(), &mut Bytes::from_static(b"ab")).await.expect_err("no answer");
        assert!(matches!(failure, Failure::TimedOut { seconds: 1, .. }), "{failure:?}");
        assert!(failure.may_pass());
        caller.abort().await;
    };
    let ((), heard) = tokio::join!(sending, silent);
    assert!(matches!(heard, Error::Aborted { by: 0, .. }), "{heard}");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_end_of_the_data_is_the_answer() {
    let (mut caller, mut host) = both(&storing(), quick()).await;
    let answering = async {
        let message = host.receive().await.expect("a message").expect("not the end");
        host.send(1, &Command::response_to(&message.command, Status::OUT_OF_RESOURCES)).await.expect("sent");
        read_data(&mut host).await.0.len()
    };
    let (answer, length) = tokio::join!(send(&mut caller, some_bytes(300_000)), answering);
    let failure = answer.expect_err("A700H");
    assert_eq!(failure.answer().map(|answer| Meaning::of(answer.status)), Some(Meaning::OutOfResources));
    assert!(failure.may_pass() && caller.is_free() && length == 300_000);
}

#[tokio::test]
async fn a_data_set_that_should_be_small_has_a_limit() {
    let limits = Config { identifier_bytes_max: 10_000, ..quick() };
    let (mut caller, mut host) = both(&for_service(&uid(FIND)), limits).await;
    let answering = async {
        let message = host.receive().await.expect("a message").expect("not the end");
        read_data(&mut host).await;
        let pending = Command::response_to(&message.command, Status::PENDING);
        host.send_with_data(1, &pending, &some_bytes(10_000)).await.expect("sent");
        let _ = host.send_with_data(1, &pending, &some_bytes(10_001)).await;
        hear_out(host).await.1
    };
    let asking = async {
        let context = caller.context(&uid(FIND), explicit()).expect("accepted");
        let mut finding = find(&mut caller, &context, b"").await.expect("asked");
        assert_eq!(finding.next().await.expect("a match").expect("one").identifier.len(), 10_000);
        let failure = finding.next().await.expect_err("too large");
        assert!(failure.to_string().contains("more than 10000 bytes"), "{failure}");
        caller.abort().await;
    };
    let ((), heard) = tokio::join!(asking, answering);
    assert!(matches!(heard, Error::Aborted { .. }), "{heard}");
}

#[tokio::test]
async fn a_wait_for_a_match_can_be_dropped_at_any_time() {
    let (mut caller, mut host) = both(&for_service(&uid(FIND)), Config::default()).await;
    let answering = async {
        let message = host.receive().await.expect("a message").expect("not the end");
        read_data(&mut host).await;
        let pending = Command::response_to(&message.command, Status::PENDING);
        for number in 0..20 {
            let mut outgoing = host.begin(1, &pending).expect("nothing half sent");
            for piece in some_bytes(20_000 + number).chunks(5000) {
                outgoing.write(piece).await.expect("sent");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            outgoing.finish().await.expect("sent");
        }
        host.send(1, &Command::response_to(&message.command, Status::SUCCESS)).await.expect("sent");
        host
    };
    let asking = async {
        let context = caller.context(&uid(FIND), explicit()).expect("accepted");
        let mut finding = find(&mut caller, &context, b"").await.expect("asked");
        let (mut came, mut dropped) = (Vec::new(), 0);
        loop {
            match timeout(Duration::from_micros(300), finding.next()).await {
                Err(_) => dropped += 1,
                Ok(found) => match found.expect("a match") {
                    Some(found) => came.push(found.identifier),
                    None => break,
                },
            }
        }
        assert!(dropped > 20, "{dropped}");
        came
    };
    let (came, _host) = tokio::join!(asking, answering);
    assert_eq!(came.len(), 20);
    assert!(came.iter().enumerate().all(|(number, identifier)| *identifier == some_bytes(20_000 + number)));
}

#[tokio::test]
async fn a_query_that_is_dropped_leaves_an_association_that_is_aborted() {
    let (mut caller, mut host) = both(&for_service(&uid(FIND)), quick()).await;
    let context = caller.context(&uid(FIND), explicit()).expect("accepted");
    let (finding, message) = tokio::join!(find(&mut caller, &context, b""), host.receive());
    drop(finding.expect("asked"));
    assert!(message.expect("a message").is_some() && !caller.is_free());
    let ((), (_, heard)) = tokio::join!(caller.release(), hear_out(host));
    assert!(matches!(heard, Error::Aborted { by: 0, .. }), "{heard}");
}

/// The peer's side of a C-GET: sends stores and gives their statuses.
async fn sub_operations(
    host: &mut Association<Connection<DuplexStream>>,
    stores: &[Command],
    context: u8,
) -> Vec<Option<Status>> {
    let mut statuses = Vec::new();
    for request in stores {
        host.send_with_data(context, request, &some_bytes(50_000)).await.expect("sent");
        let answer = host.receive().await.expect("a message").expect("not the end").command;
        assert_eq!(answer.responded_to(), request.message_id());
        statuses.push(answer.status());
    }
    statuses
}

#[tokio::test]
async fn what_is_not_answered_in_a_get_has_failed_and_what_is_no_store_is_refused() {
    let needs = [Need::new(uid(CT), explicit())];
    let (mut caller, mut host) = both(&for_getting(&uid(GET), &needs), quick()).await;
    let storage = caller.context_as_provider(&uid(CT)).expect("accepted").id;
    let answering = async {
        let message = host.receive().await.expect("a message").expect("not the end");
        read_data(&mut host).await;
        let store = |id, class: &str| Command::store(id, &uid(class), &uid("1.2.3"));
        let mut bad_instance = store(4, CT);
        bad_instance.set(element::AFFECTED_SOP_INSTANCE, b"../../x\0");
        let stores = [store(1, CT), store(2, CT), store(3, FIND), bad_instance];
        let statuses = sub_operations(&mut host, &stores, storage).await;
        host.send(1, &Command::response_to(&message.command, Status::SUCCESS)).await.expect("sent");
        (statuses, host)
    };
    let asking = async {
        let context = caller.context(&uid(GET), explicit()).expect("accepted");
        let mut getting = get(&mut caller, &context, b"").await.expect("asked");
        // The first is read in part and answered, the second is not answered at all.
        let Got::Store(first) = getting.next().await.expect("a step") else { panic!("no store") };
        assert_eq!((first.class, first.instance), (uid(CT), uid("1.2.3")));
        assert!(getting.next_data().await.expect("a piece").is_some());
        getting.answer(Status::SUCCESS).await.expect("answered");
        assert!(matches!(getting.next().await.expect("a step"), Got::Store(_)));
        assert!(matches!(getting.next().await.expect("a step"), Got::Ended(_)));
    };
    let ((), (statuses, _host)) = tokio::join!(asking, answering);
    let expected = [
        Status::SUCCESS,
        Status::PROCESSING_FAILURE,
        Status::SOP_CLASS_NOT_SUPPORTED,
        Status::INVALID_SOP_INSTANCE,
    ];
    assert_eq!(statuses, expected.map(Some));
}

#[tokio::test]
async fn a_report_that_overtakes_the_answer_is_kept() {
    let commitment = uid(STORAGE_COMMITMENT);
    let both_roles: Vec<Proposal> = for_service(&commitment)
        .into_iter()
        .map(|proposal| proposal.with_roles(Roles { scu: true, scp: true }))
        .collect();
    let (mut caller, mut host) = both(&both_roles, quick()).await;
    let reference = Reference { class: uid(CT), instance: uid("1.2.3") };
    let request = CommitmentRequest { transaction: uid("1.2.9"), references: vec![reference.clone()] };
    let report = CommitmentReport {
        transaction: uid("1.2.9"),
        retrieve_from: None,
        committed: vec![reference],
        failed: Vec::new(),
    };
    let answering = async {
        let action = host.receive().await.expect("a message").expect("not the end");
        let (data, _) = read_data(&mut host).await;
        let encoding = action.context.transfer_syntax.encoding;
        assert_eq!(CommitmentRequest::decode(&data, encoding).as_ref(), Ok(&request));
        let event = Command::event_report(1, &commitment, &uid("1.2.840.10008.1.20.1.1"), 1);
        let data = report.encode(encoding).expect("encoded");
        host.send_with_data(action.context.id, &event, &data).await.expect("sent");
        host.send(action.context.id, &Command::response_to(&action.command, Status::SUCCESS))
            .await
            .expect("sent");
        host.receive().await.expect("a message").expect("not the end").command.status()
    };
    let asking = async {
        let context = caller.context_of(&commitment).expect("accepted");
        commit(&mut caller, &context, &request).await.expect("taken");
        let came = caller.next_report(1).await.expect("a report");
        assert_eq!((came.event_type(), came.commitment()), (Some(1), Ok(report.clone())));
        caller.answer_report(&came, Status::SUCCESS).await.expect("answered");
        assert!(caller.is_free());
    };
    let ((), status) = tokio::join!(asking, answering);
    assert_eq!(status, Some(Status::SUCCESS));
}
