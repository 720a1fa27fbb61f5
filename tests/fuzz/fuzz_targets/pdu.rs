//! Any bytes as what a peer sends: the door answers in whole PDUs or not at all, and neither side panics.
#![no_main]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use sealgate::association::{
    Acceptor, Admission, Command, Config, Ending, Gatekeeper, Knock, Offer, Proposal, Rejection, Roles, request_over,
};
use sealgate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid, VERIFICATION};
use sealgate::scp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// A peer that sends its bytes in steps, then closes, and takes everything.
struct Peer {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Peer {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let end = self.bytes.len().min(self.at + self.step.min(to.remaining()));
        to.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<std::io::Result<usize>> {
        self.answer.lock().expect("one thread").extend_from_slice(from);
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Lets everybody in, to everything.
struct Open;

impl Gatekeeper for Open {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        Ok(Admission { peer: "peer".into(), associations_max: None, offer: Box::new(Self), pass: Arc::new(()) })
    }
}

impl Offer for Open {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(Roles { scu: true, scp: true })
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(Config::default()));

fn peer(data: &[u8]) -> (Peer, Arc<Mutex<Vec<u8>>>) {
    let answer = Arc::new(Mutex::new(Vec::new()));
    let step = [1, 5, 64, 1 << 20][data.len() % 4];
    (Peer { bytes: data.to_vec(), at: 0, step, answer: Arc::clone(&answer) }, answer)
}

/// What went out is whole PDUs of known types, and nothing behind an A-ABORT, A-ASSOCIATE-RJ or A-RELEASE-RP.
fn check(mut answer: &[u8]) {
    let mut ended = false;
    while !answer.is_empty() {
        assert!(!ended, "something was sent behind the end");
        assert!(answer.len() >= 6 && matches!(answer[0], 1..=7), "no PDU: {answer:02X?}");
        let length = u32::from_be_bytes([answer[2], answer[3], answer[4], answer[5]]) as usize;
        assert!(answer.len() >= 6 + length, "a PDU that is cut: {answer:02X?}");
        ended = matches!(answer[0], 3 | 6 | 7);
        answer = &answer[6 + length..];
    }
}

fn knock(data: &[u8]) {
    let (stream, answer) = peer(data);
    RUNTIME.block_on(async {
        let acceptor = Acceptor::new(Arc::new(Open), Ending::never());
        let from = SocketAddr::from(([127, 0, 0, 1], 1));
        if let Some(association) = acceptor.accept(stream, from, Arc::clone(&CONFIG)).await {
            scp::serve(association, None).await;
        }
        assert_eq!(acceptor.slots.total(), 0, "the place was given back");
    });
    check(&answer.lock().expect("one thread"));
}

fn call(data: &[u8]) {
    let (stream, answer) = peer(data);
    let proposal = Proposal {
        abstract_syntax: Uid::parse(VERIFICATION).expect("a UID"),
        transfer_syntaxes: TransferSyntax::all().collect(),
        roles: Some(Roles { scu: true, scp: true }),
        extended: Vec::new(),
    };
    let target = AeAddress::parse("PEER@127.0.0.1:104").expect("an address");
    let calling = AeTitle::parse("SEALGATE").expect("a title");
    RUNTIME.block_on(async {
        let proposals = [proposal];
        let called = request_over(stream, &target, &calling, &proposals, &CONFIG, Ending::never());
        let Ok(mut association) = called.await else { return };
        loop {
            match association.receive().await {
                Ok(Some(_)) => {}
                Ok(None) => return association.close().await,
                Err(error) => return association.end(&error).await,
            }
        }
    });
    check(&answer.lock().expect("one thread"));
}

fuzz_target!(|data: &[u8]| {
    match data.first() {
        // PS3.8 9.3: an answer to our own request.
        Some(2 | 3) => call(data),
        _ => knock(data),
    }
    if let Ok(command) = Command::read(data) {
        let again = Command::read(&command.write()).expect("what we write can be read");
        assert!(again == command, "what we write is what we read");
    }
});
