//! An association from both ends: messages in pieces, cancels, roles, limits, and what a calling node may be told.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use sealgate::association::{
    Acceptor, Admission, Association, Command, Config, Ending, Error, Gatekeeper, Knock, Offer, Proposal,
    Rejection, Roles, element, field, request_over,
};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid, VERIFICATION};
use sealgate::tls::Connection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;

use crate::gateway::SOON;
use crate::wire;

pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// Lets everybody in; the peer may take these roles.
pub(crate) struct Door {
    roles: Roles,
    /// What the knock said of its user, as a log would have it, and the passcode.
    identity: Mutex<Option<(String, Vec<u8>)>>,
}

struct Everything(Roles);

impl Gatekeeper for Door {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        let identity = knock.identity.as_ref().map(|i| (format!("{knock:?}"), i.secondary.to_vec()));
        *self.identity.lock().expect("no panic holds it") = identity;
        Ok(Admission {
            peer: "peer".into(),
            associations_max: None,
            offer: Box::new(Everything(self.roles)),
            pass: Arc::new(()),
        })
    }
}

impl Offer for Everything {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(self.0)
    }

    /// Grants what is asked for in the first byte, and nothing else.
    fn extended(&self, _: &Uid, asked: &[u8]) -> Option<Vec<u8>> {
        (asked != [9]).then(|| asked.iter().enumerate().map(|(at, byte)| *byte & u8::from(at == 0)).collect())
    }
}

pub(crate) const BOTH: Roles = Roles { scu: true, scp: true };

pub(crate) fn door(roles: Roles) -> (Acceptor, Arc<Door>) {
    let door = Arc::new(Door { roles, identity: Mutex::default() });
    (Acceptor::new(Arc::clone(&door) as Arc<dyn Gatekeeper>, Ending::never()), door)
}

pub(crate) fn config(pdu_bytes_max: u32) -> Arc<Config> {
    Arc::new(Config { pdu_bytes_max, artim_seconds: 2, connect_seconds: 1, ..Config::default() })
}

pub(crate) fn proposal(class: &str, roles: Option<Roles>) -> Proposal {
    Proposal {
        abstract_syntax: Uid::parse(class).expect("a UID"),
        transfer_syntaxes: TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).into_iter().collect(),
        roles,
        extended: Vec::new(),
    }
}

pub(crate) async fn call<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    proposals: &[Proposal],
    config: &Arc<Config>,
) -> Result<Association<S>, Error> {
    let target = AeAddress::parse("SEALGATE@localhost:104").expect("an address");
    let calling = AeTitle::parse("TESTER").expect("a title");
    request_over(stream, &target, &calling, proposals, config, Ending::never()).await
}

/// What both ends speak over.
pub(crate) type Wire = Connection<DuplexStream>;

/// Both ends of an association; the acceptor takes PDUs of `pdu_bytes_max`.
pub(crate) async fn pair(
    proposals: &[Proposal],
    offered: Roles,
    pdu_bytes_max: u32,
) -> (Association<Wire>, Association<Wire>) {
    let (near, far) = duplex(1 << 16);
    let near = Connection::Plain(near);
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let acceptor = door(offered).0;
    let limits = config(16_384);
    let (caller, host) =
        tokio::join!(call(near, proposals, &limits), acceptor.accept(far, from, config(pdu_bytes_max)));
    (caller.expect("accepted"), host.expect("accepted"))
}

/// A request of this kind for CT images.
pub(crate) fn request(kind: u16, message_id: u16, has_data: bool) -> Command {
    let mut command = Command::default();
    command.set_text(element::AFFECTED_SOP_CLASS, CT, 0);
    command.set_u16(element::COMMAND_FIELD, kind);
    command.set_u16(element::MESSAGE_ID, message_id);
    command.set_u16(element::DATA_SET_TYPE, if has_data { 0 } else { 0x0101 });
    command
}

pub(crate) fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 7 % 251).expect("below 251")).collect()
}

pub(crate) async fn read_data(association: &mut Association<Wire>) -> (Vec<u8>, usize) {
    let (mut data, mut largest) = (Vec::new(), 0);
    while let Some(piece) = association.next_data().await.expect("data") {
        largest = largest.max(piece.len());
        data.extend_from_slice(&piece);
    }
    (data, largest)
}

#[tokio::test]
async fn a_data_set_arrives_whole_in_pieces_that_the_peer_takes() {
    for pdu in [4096_u32, 16_384, 100_000] {
        // PS3.8 annex D.1: the maximum counts the 6 bytes in front of the fragment.
        let fragment = usize::try_from(pdu).expect("small") - 6;
        for length in [0, 1, fragment, fragment + 1, 8 * fragment, 8 * fragment + 1, 500_000] {
            for piece in [1000, fragment, 70_000, 131_072, 500_000] {
                let (came, largest) = send_in_pieces(pdu, length, piece).await;
                assert!(came == some_bytes(length), "{length} bytes in pieces of {piece}, PDUs of {pdu}");
                assert!(largest <= fragment && (length < fragment || largest == fragment), "{largest}");
            }
        }
    }
}

/// What comes of a data set of so many bytes that is written in pieces, and its largest fragment.
async fn send_in_pieces(pdu_bytes_max: u32, length: usize, piece_bytes: usize) -> (Vec<u8>, usize) {
    let (mut caller, mut host) = pair(&[proposal(CT, None)], BOTH, pdu_bytes_max).await;
    let sending = async {
        let mut outgoing = caller.begin(1, &request(field::C_STORE, 1, true)).expect("nothing is half sent");
        for piece in some_bytes(length).chunks(piece_bytes) {
            outgoing.write(piece).await.expect("sent");
        }
        outgoing.finish().await.expect("sent");
    };
    let receiving = async {
        let message = host.receive().await.expect("a message").expect("not the end");
        assert_eq!(message.command.field(), field::C_STORE);
        read_data(&mut host).await
    };
    tokio::join!(sending, receiving).1
}

#[tokio::test]
async fn a_data_set_that_nobody_reads_is_skipped() {
    let (mut caller, mut host) = pair(&[proposal(CT, None)], BOTH, 4096).await;
    let sending = async {
        caller
            .send_with_data(1, &request(field::C_STORE, 1, true), &some_bytes(300_000))
            .await
            .expect("sent");
        caller.send(1, &request(field::C_STORE, 2, false)).await.expect("sent");
    };
    let receiving = async {
        for id in [1, 2] {
            let message = host.receive().await.expect("a message").expect("not the end");
            assert_eq!(message.command.message_id(), Some(id));
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn a_peer_is_not_blamed_for_the_time_we_take() {
    let (near, mut far) = duplex(1 << 16);
    let acceptor = door(BOTH).0;
    let limits = Config { pdu_seconds: 1, ..(*config(16_384)).clone() };
    let asking = async {
        far.write_all(&wire::associate_request("TESTER", "SEALGATE")).await.expect("sent");
        let request = wire::echo_request();
        let (first, rest) = request.split_at(30);
        // An echo, and with it the beginning of the next.
        far.write_all(&[&wire::echo_request(), first].concat()).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(2200)).await;
        far.write_all(rest).await.expect("sent");
        far
    };
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let serving = async {
        let mut host = acceptor.accept(near, from, Arc::new(limits)).await.expect("accepted");
        host.receive().await.expect("a message").expect("not the end");
        tokio::time::sleep(Duration::from_secs(2)).await;
        host.receive().await.map(|message| message.is_some())
    };
    let (_far, second) = tokio::join!(asking, serving);
    assert!(matches!(second, Ok(true)), "{second:?}");
}

/// A stream that notes how large each write to it was.
struct Noting(DuplexStream, Arc<Mutex<Vec<usize>>>);

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.1.lock().expect("no panic holds it").push(from.len());
        Pin::new(&mut self.0).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test]
async fn a_command_and_its_data_go_out_in_one_write() {
    let (near, far) = duplex(1 << 16);
    let writes = Arc::new(Mutex::new(Vec::new()));
    let acceptor = door(BOTH).0;
    let (proposals, limits) = ([proposal(CT, None)], config(16_384));
    let (caller, _host) = tokio::join!(
        call(Noting(near, Arc::clone(&writes)), &proposals, &limits),
        acceptor.accept(far, SocketAddr::from(([127, 0, 0, 1], 1)), config(16_384))
    );
    let mut caller = caller.expect("accepted");
    writes.lock().expect("no panic holds it").clear();
    caller.send_with_data(1, &request(field::C_STORE, 1, true), &some_bytes(500)).await.expect("sent");
    let writes = writes.lock().expect("no panic holds it");
    assert!(writes.len() == 1 && writes[0] > 500, "{writes:?}");
}

#[tokio::test]
async fn a_message_left_half_sent_cannot_be_continued_by_another() {
    let (mut caller, mut host) = pair(&[proposal(CT, None)], BOTH, 4096).await;
    let telling = async {
        let request_with_data = request(field::C_STORE, 1, true);
        let mut outgoing = caller.begin(1, &request_with_data).expect("nothing is half sent");
        // More than is sent at once.
        outgoing.write(&some_bytes(100_000)).await.expect("sent");
        drop(outgoing);
        let error = caller.send(1, &request(field::C_STORE, 2, false)).await.expect_err("refused");
        assert!(matches!(error, Error::HalfSent), "{error}");
        caller.end(&error).await;
    };
    let hearing = async {
        host.receive().await.expect("the command came").expect("not the end");
        let heard = loop {
            match host.next_data().await {
                Ok(piece) => assert!(piece.is_some(), "the data set came to an end"),
                Err(error) => break error,
            }
        };
        drop(host);
        heard
    };
    let ((), heard) = tokio::join!(telling, hearing);
    assert!(matches!(heard, Error::Aborted { by: 0, .. }), "{heard}");
}

#[tokio::test]
async fn a_message_that_was_begun_but_not_sent_leaves_no_trace() {
    let (mut caller, mut host) = pair(&[proposal(CT, None)], BOTH, 4096).await;
    let mut outgoing = caller.begin(1, &request(field::C_STORE, 1, true)).expect("nothing is half sent");
    outgoing.write(&some_bytes(100)).await.expect("kept");
    drop(outgoing);
    caller.send(1, &request(field::C_STORE, 2, false)).await.expect("sent");
    let message = host.receive().await.expect("a message").expect("not the end");
    assert_eq!(message.command.message_id(), Some(2));
}

#[tokio::test]
async fn a_cancel_reaches_the_operation_and_the_association_goes_on() {
    let (mut caller, mut host) = pair(&[proposal(CT, None)], BOTH, 4096).await;
    caller.send(1, &request(0x0020, 7, false)).await.expect("sent");
    host.receive().await.expect("a message").expect("not the end");
    // An operation beside which nothing is cancelled yet.
    assert!(timeout(Duration::from_millis(50), host.cancelled(7)).await.is_err());
    caller.send(1, &Command::cancel(6)).await.expect("sent");
    assert!(
        timeout(Duration::from_millis(50), host.cancelled(7)).await.is_err(),
        "it was for another operation"
    );
    caller.send(1, &Command::cancel(7)).await.expect("sent");
    host.cancelled(7).await.expect("cancelled");
    caller.send(1, &request(field::C_STORE, 8, false)).await.expect("sent");
    let next = host.receive().await.expect("a message").expect("not the end");
    assert_eq!(next.command.message_id(), Some(8));
    assert!(!host.was_cancelled(7), "the next request begins anew");
}

#[tokio::test]
async fn a_cancel_in_two_fragments_survives_that_nobody_waits_for_it() {
    let (near, mut far) = duplex(1 << 16);
    let acceptor = door(BOTH).0;
    let asking = async {
        far.write_all(&wire::associate_request("TESTER", "SEALGATE")).await.expect("sent");
        let mut answer = [0; 6];
        far.read_exact(&mut answer).await.expect("an answer");
        far
    };
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let (mut far, host) = tokio::join!(asking, acceptor.accept(near, from, config(16_384)));
    let mut host = host.expect("accepted");
    let bytes = Command::cancel(7).write();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for (piece, control) in [(first, 1), (second, 3)] {
        let length = u8::try_from(piece.len()).expect("a short command");
        let pdu = [&[4, 0, 0, 0, 0, length + 6, 0, 0, 0, length + 2, 1, control][..], piece].concat();
        for byte in pdu {
            far.write_all(&[byte]).await.expect("sent");
            // Dropped after every byte, as a select! does when the operation beside it makes progress.
            let waiting = timeout(Duration::from_millis(1), host.cancelled(7)).await;
            assert!(!matches!(waiting, Ok(Err(_))), "{waiting:?}");
        }
    }
    host.cancelled(7).await.expect("cancelled");
}

#[tokio::test]
async fn a_cancel_among_responses_is_remembered() {
    let (mut caller, mut host) = pair(&[proposal(CT, Some(BOTH))], BOTH, 4096).await;
    caller.send(1, &request(0x0010, 7, false)).await.expect("sent");
    let get = host.receive().await.expect("a message").expect("not the end");
    // A sub-operation of C-GET: we ask, and the peer cancels before it answers.
    host.send(get.context.id, &request(field::C_STORE, 1, false)).await.expect("sent");
    let store = caller.receive().await.expect("a message").expect("not the end");
    caller.send(1, &Command::cancel(7)).await.expect("sent");
    caller.send(1, &Command::response_to(&store.command, Status::SUCCESS)).await.expect("sent");
    let answer = host.receive().await.expect("a message").expect("not the end");
    assert_eq!(answer.command.status(), Some(Status::SUCCESS));
    assert!(host.was_cancelled(7) && !host.was_cancelled(1));
}

#[tokio::test]
async fn who_waits_for_a_cancel_hears_of_every_end() {
    for end in ["abort", "release", "close", "another request"] {
        let (mut caller, mut host) = pair(&[proposal(CT, None)], BOTH, 4096).await;
        let ending = async {
            match end {
                "abort" => caller.end(&Error::Ending).await,
                "release" => drop(timeout(Duration::from_millis(100), caller.release()).await),
                "close" => drop(caller),
                _ => caller.send(1, &request(field::C_STORE, 9, false)).await.expect("sent"),
            }
        };
        let waiting = async {
            let heard = host.cancelled(7).await.expect_err("it has ended");
            drop(host);
            heard
        };
        let ((), heard) = tokio::join!(ending, waiting);
        match end {
            "abort" => assert!(matches!(heard, Error::Aborted { .. }), "{heard}"),
            "release" => assert!(matches!(heard, Error::Released(_)), "{heard}"),
            "close" => assert!(matches!(heard, Error::Closed(_)), "{heard}"),
            _ => assert!(matches!(heard, Error::UnexpectedPdu { .. }), "{heard}"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_may_only_receive_cannot_take_the_other_role() {
    let only_scp = Roles { scu: false, scp: true };
    // Without a word about roles the requestor would be the SCU (PS3.7 D.3.3.4).
    let (caller, host) = pair(&[proposal(CT, None)], only_scp, 4096).await;
    assert!(caller.contexts().is_empty() && host.contexts().is_empty());
    let (caller, host) = pair(&[proposal(CT, Some(BOTH))], only_scp, 4096).await;
    assert_eq!(caller.contexts()[0].roles, only_scp);
    assert_eq!(host.contexts()[0].roles, only_scp);
}

#[tokio::test]
async fn both_titles_go_back_as_they_came() {
    let (near, mut far) = duplex(1 << 16);
    let acceptor = door(BOTH).0;
    let mut asked = wire::associate_request("TESTER", "SEALGATE");
    asked[10..26].copy_from_slice(b"  SEALGATE      ");
    asked[42..74].copy_from_slice(&[0xA5; 32]);
    let asking = async {
        far.write_all(&asked).await.expect("sent");
        let mut answer = [0; 74];
        far.read_exact(&mut answer).await.expect("an answer");
        answer
    };
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let (answer, _host) = tokio::join!(asking, acceptor.accept(near, from, config(16_384)));
    assert_eq!(answer[10..74], asked[10..74]);
}

#[tokio::test]
async fn a_passcode_reaches_the_gatekeeper_and_no_log() {
    let (near, mut far) = duplex(1 << 16);
    let (acceptor, door) = door(BOTH);
    let mut asked = wire::associate_request("TESTER", "SEALGATE");
    let item = b"\x58\0\0\x11\x02\0\0\x03bob\0\x08s3cr3t!!";
    // The user information is the last item: it and the PDU grow by the identity.
    let at = asked.len() - 23;
    assert_eq!(asked[at], 0x50);
    asked[at + 3] += u8::try_from(item.len()).expect("a short item");
    asked.extend_from_slice(item);
    let length = u32::try_from(asked.len() - 6).expect("a short PDU");
    asked[2..6].copy_from_slice(&length.to_be_bytes());
    far.write_all(&asked).await.expect("sent");
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    assert!(acceptor.accept(near, from, config(16_384)).await.is_some());
    let (shown, passcode) = door.identity.lock().expect("no panic holds it").take().expect("an identity");
    assert_eq!(passcode, b"s3cr3t!!");
    assert!(shown.contains("NameAndPasscode"), "{shown}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("bob"), "{shown}");
    assert!(!shown.contains("115, 51, 99"), "not as numbers either: {shown}");
}

/// What a calling node makes of these bytes as the answer, and what it says last.
async fn answered_with(answer: &[u8]) -> (Result<Vec<u8>, Error>, Vec<u8>) {
    let (near, mut far) = duplex(1 << 16);
    let answering = async {
        let mut header = [0; 6];
        far.read_exact(&mut header).await.expect("a request");
        let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
        let mut request = vec![0; length as usize];
        far.read_exact(&mut request).await.expect("a request");
        far.write_all(answer).await.expect("sent");
        let mut last = Vec::new();
        let _ = timeout(SOON, far.read_to_end(&mut last)).await.expect("it ends");
        last
    };
    let proposals = [proposal(VERIFICATION, None), proposal(CT, None)];
    let calling = async {
        let association = call(near, &proposals, &config(16_384)).await;
        association.map(|association| association.contexts().iter().map(|context| context.id).collect())
    };
    tokio::join!(calling, answering)
}

fn acceptance(items: &[u8]) -> Vec<u8> {
    let fixed = [&[0, 1][..], &[0; 66]].concat();
    let application = b"\x10\0\0\x151.2.840.10008.3.1.1.1";
    let user = b"\x50\0\0\x08\x51\0\0\x04\0\0\x40\0";
    let body = [&fixed[..], application, items, user].concat();
    [&[2, 0][..], &u32::try_from(body.len()).expect("a short PDU").to_be_bytes(), &body].concat()
}

/// An item with the answer to a context: its id, its result, and a transfer syntax or none.
fn context_result(id: u8, result: u8, syntax: Option<&str>) -> Vec<u8> {
    let syntax = syntax.map_or(Vec::new(), |uid| {
        [&[0x40, 0, 0, u8::try_from(uid.len()).expect("a UID")][..], uid.as_bytes()].concat()
    });
    [&[0x21, 0, 0, u8::try_from(syntax.len() + 4).expect("a short item"), id, 0, result, 0][..], &syntax]
        .concat()
}

/// Accepts context 1.
pub(crate) fn acceptance_of_one() -> Vec<u8> {
    acceptance(&context_result(1, 0, EXPLICIT))
}

const EXPLICIT: Option<&str> = Some(TransferSyntax::EXPLICIT_LITTLE);

#[tokio::test]
async fn a_calling_node_takes_what_was_accepted_and_nothing_else() {
    let good = context_result(1, 0, EXPLICIT);
    for (case, items, ids) in [
        ("both", [good.clone(), context_result(3, 0, EXPLICIT)].concat(), vec![1, 3]),
        ("a refusal without a transfer syntax", [good.clone(), context_result(3, 3, None)].concat(), vec![1]),
        ("an empty transfer syntax", [good.clone(), context_result(3, 4, Some(""))].concat(), vec![1]),
        ("an answer that is missing", good.clone(), vec![1]),
        ("one that nobody proposed", [good.clone(), context_result(99, 0, EXPLICIT)].concat(), vec![1]),
        ("another syntax than proposed", context_result(1, 0, Some("1.2.840.10008.1.2.4.50")), vec![]),
        ("a syntax padded with NUL", context_result(1, 0, Some("1.2.840.10008.1.2.1\0")), vec![1]),
        ("an unknown item", [&b"\x99\0\0\x02ab"[..], &good].concat(), vec![1]),
    ] {
        let (heard, _) = answered_with(&acceptance(&items)).await;
        assert_eq!(heard.expect(case), ids, "{case}");
    }
}

#[tokio::test]
async fn a_calling_node_aborts_what_it_cannot_read() {
    let good = context_result(1, 0, EXPLICIT);
    for (case, answer, abort) in [
        ("the same context twice", acceptance(&good.repeat(2)), [2, 6]),
        ("an item beyond the PDU", acceptance(b"\x21\0\xFF\xFF\x01\0\0\0"), [2, 6]),
        ("no answer of DICOM", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), [2, 1]),
        ("data before the association", wire::echo_request(), [2, 2]),
        ("a rejection of 2 bytes", vec![3, 0, 0, 0, 0, 2, 0, 1], [2, 6]),
        ("nothing", vec![], [0, 0]),
    ] {
        let (heard, last) = answered_with(&answer).await;
        assert!(heard.is_err(), "{case}");
        assert_eq!(last, [7, 0, 0, 0, 0, 4, 0, 0, abort[0], abort[1]], "{case}");
    }
}

#[tokio::test]
async fn a_calling_node_says_in_words_why_it_was_refused() {
    let (heard, last) = answered_with(&wire::rejected(1, 1, 7)).await;
    let error = heard.expect_err("rejected");
    assert!(error.to_string().contains("called AE title not recognized"), "{error}");
    assert!(last.is_empty(), "a rejection is not answered: {last:02X?}");
    let (heard, last) = answered_with(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 1]).await;
    assert!(matches!(heard, Err(Error::Aborted { by: 2, reason: 1 })), "{heard:?}");
    assert!(last.is_empty(), "an abort is not answered: {last:02X?}");
}
