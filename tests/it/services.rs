//! What services need of an association, from both ends: extensions, cancels between responses, counts, last words.

use std::time::Duration;

use sealgate::association::{Command, Error, Proposal, Roles, SubOperations, element, field};
use sealgate::dicom::{Status, TransferSyntax, Uid};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};

use crate::association::{BOTH, CT, call, config, pair, proposal, read_data, some_bytes};

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

#[tokio::test]
async fn an_extended_negotiation_is_answered_for_the_classes_that_have_a_context() {
    let other = "1.2.840.10008.5.1.4.1.2.1.1";
    let asked = [
        proposal(FIND, None).with_extended(vec![1, 1, 1]),
        proposal(other, None).with_extended(vec![9]),
        proposal(CT, None),
    ];
    let (caller, host) = pair(&asked, Roles::DEFAULT, 4096).await;
    for end in [&caller, &host] {
        assert_eq!(end.extended(&uid(FIND)), Some(&[1, 0, 0][..]));
        assert_eq!(end.extended(&uid(other)), None, "no answer is a refusal");
        assert_eq!(end.extended(&uid(CT)), None);
    }
    let only_scp = Roles { scu: false, scp: true };
    let (caller, _host) = pair(&[proposal(FIND, None).with_extended(vec![1])], only_scp, 4096).await;
    assert_eq!(caller.extended(&uid(FIND)), None, "its context was refused");
}

#[tokio::test]
async fn roles_and_extensions_are_asked_for_once_however_many_contexts_a_class_has() {
    let (near, mut far) = duplex(1 << 16);
    let hearing = async {
        let mut header = [0; 6];
        far.read_exact(&mut header).await.expect("a request");
        let mut body = vec![0; u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize];
        far.read_exact(&mut body).await.expect("a request");
        drop(far);
        body
    };
    let syntaxes = [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE];
    let asked: Vec<Proposal> = syntaxes
        .into_iter()
        .map(|syntax| Proposal::new(uid(CT), TransferSyntax::by_uid(syntax).into_iter().collect()))
        .map(|proposal| proposal.with_roles(BOTH).with_extended(vec![0xA5, 0x5A]))
        .collect();
    let limits = config(16_384);
    let (refused, body) = tokio::join!(call(near, &asked, &limits), hearing);
    assert!(refused.is_err());
    let count = |wanted: &[u8]| body.windows(wanted.len()).filter(|window| *window == wanted).count();
    let length = u8::try_from(CT.len()).expect("a short UID");
    assert_eq!(count(&[0x54, 0, 0, length + 4, 0, length]), 1, "role selection");
    assert_eq!(count(&[0x56, 0, 0, length + 4, 0, length]), 1, "extended negotiation");
    assert_eq!(count(&[0xA5, 0x5A]), 1);
}

#[tokio::test]
async fn a_service_hears_a_cancel_between_two_of_its_responses() {
    let (mut caller, mut host) = pair(&[proposal(FIND, None)], BOTH, 4096).await;
    let serving = async {
        let find = host.receive().await.expect("a message").expect("not the end");
        assert_eq!(read_data(&mut host).await.0, some_bytes(100));
        let mut sent = 0;
        while !host.cancel_has_come(7).await.expect("it goes on") {
            let pending = Command::response_to(&find.command, Status::PENDING);
            host.send_with_data(1, &pending, &some_bytes(300)).await.expect("sent");
            sent += 1;
            assert!(sent < 1_000_000, "the cancel does not come");
        }
        host.send(1, &Command::response_to(&find.command, Status::CANCEL)).await.expect("sent");
        sent
    };
    let asking = async {
        caller.send_with_data(1, &Command::find(7, &uid(FIND)), &some_bytes(100)).await.expect("sent");
        let mut came = 0;
        loop {
            let answer = caller.receive().await.expect("a message").expect("not the end").command;
            if answer.status() == Some(Status::CANCEL) {
                break came;
            }
            assert_eq!((answer.status(), answer.responded_to()), (Some(Status::PENDING), Some(7)));
            assert_eq!(read_data(&mut caller).await.0, some_bytes(300));
            came += 1;
            if came == 20 {
                caller.send(1, &Command::cancel(7)).await.expect("sent");
            }
        }
    };
    let (sent, came) = tokio::join!(serving, asking);
    assert_eq!(sent, came);
    assert!(came >= 20);
}

#[tokio::test]
async fn sub_operations_are_counted_in_every_response() {
    let (mut caller, mut host) = pair(&[proposal(FIND, None)], BOTH, 4096).await;
    let title = sealgate::dicom::AeTitle::parse("VIEWER").expect("a title");
    caller.send_with_data(1, &Command::move_to(3, &uid(FIND), &title), b"").await.expect("sent");
    let request = host.receive().await.expect("a message").expect("not the end").command;
    assert_eq!(request.move_destination(), Some(title));
    read_data(&mut host).await;
    for remaining in (0..3).rev() {
        let counts = SubOperations {
            remaining: (remaining > 0).then_some(remaining),
            completed: Some(3 - remaining),
            failed: Some(0),
            warning: Some(0),
        };
        let status = if remaining > 0 { Status::PENDING } else { Status::SUCCESS };
        let response = Command::response_to(&request, status).with_sub_operations(counts);
        host.send(1, &response).await.expect("sent");
        let came = caller.receive().await.expect("a message").expect("not the end").command;
        assert_eq!((came.status(), came.sub_operations()), (Some(status), counts));
    }
}

#[tokio::test]
async fn the_services_of_dimse_n_go_both_ways_on_one_association() {
    let (mut caller, mut host) = pair(&[proposal(FIND, Some(BOTH))], BOTH, 4096).await;
    let (class, instance) = (uid(FIND), uid("1.2.3"));
    caller.send_with_data(1, &Command::action(1, &class, &instance, 1), b"ab").await.expect("sent");
    let action = host.receive().await.expect("a message").expect("not the end").command;
    assert_eq!((action.field(), action.u16(element::ACTION_TYPE)), (field::N_ACTION, Some(1)));
    assert_eq!(action.uid(element::REQUESTED_SOP_INSTANCE), Some(Ok(instance.clone())));
    host.send(1, &Command::response_to(&action, Status::SUCCESS)).await.expect("sent");
    // The report comes on the same association, from the other end (PS3.4 J.3.3).
    host.send_with_data(1, &Command::event_report(1, &class, &instance, 2), b"cd").await.expect("sent");
    let answer = caller.receive().await.expect("a message").expect("not the end").command;
    assert_eq!(answer.field(), field::N_ACTION | field::RESPONSE);
    let report = caller.receive().await.expect("a message").expect("not the end").command;
    assert_eq!((report.field(), report.u16(element::EVENT_TYPE)), (field::N_EVENT_REPORT, Some(2)));
    assert_eq!(read_data(&mut caller).await.0, b"cd");
    caller.send(1, &Command::response_to(&report, Status::SUCCESS)).await.expect("sent");
    let answer = host.receive().await.expect("a message").expect("not the end").command;
    assert_eq!((answer.field(), answer.u16(element::EVENT_TYPE)), (0x8100, Some(2)));
}

/// Both ends of an association over TCP, which has buffers and resets that a pipe in memory has not.
async fn over_tcp() -> (sealgate::association::Association<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let answering = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut header = [0; 6];
        stream.read_exact(&mut header).await.expect("a request");
        let mut body = vec![0; u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize];
        stream.read_exact(&mut body).await.expect("a request");
        stream.write_all(&crate::association::acceptance_of_one()).await.expect("sent");
        stream
    };
    let calling = async {
        let stream = TcpStream::connect(address).await.expect("connected");
        call(stream, &[proposal(CT, None)], &config(16_384)).await.expect("accepted")
    };
    tokio::join!(calling, answering)
}

#[tokio::test]
async fn a_peer_that_aborts_in_the_middle_of_a_data_set_is_heard() {
    let (mut caller, mut far) = over_tcp().await;
    let mut outgoing = caller.begin(1, &Command::store(1, &uid(CT), &uid("1.2.3"))).expect("nothing sent");
    outgoing.write(&some_bytes(100_000)).await.expect("sent");
    far.write_all(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 6]).await.expect("sent");
    // What was sent is not read: the connection is reset, with the abort in front of it.
    drop(far);
    let piece = some_bytes(100_000);
    let error = loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Err(error) = outgoing.write(&piece).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Aborted { by: 2, reason: 6 }), "{error}");
}

#[tokio::test]
async fn whether_an_idle_association_is_still_there_can_be_asked() {
    for end in ["", "release", "abort", "close"] {
        let (mut caller, mut far) = over_tcp().await;
        assert!(caller.is_still_there().await);
        match end {
            "release" => far.write_all(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await.expect("sent"),
            "abort" => far.write_all(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await.expect("sent"),
            "close" => far.shutdown().await.expect("closed"),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(caller.is_still_there().await, end.is_empty(), "{end}");
    }
}
