//! A node on the gateway's own acceptor that takes what is stored to it, keeps a record, and misbehaves as planned.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sealgate::association::{
    Abort, Acceptor, Admission, Association, Command, Config, Ending, Error, Gatekeeper, Knock, Offer,
    Rejection, Roles, element,
};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid};
use sealgate::tls::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An instance that came in.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) instance: Uid,
    pub(crate) transfer_syntax: TransferSyntax,
    pub(crate) originator: Option<(AeTitle, u16)>,
    pub(crate) data_set: Vec<u8>,
}

/// An association that was there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Class and transfer syntax of every accepted context, sorted.
    pub(crate) contexts: Vec<(String, &'static str)>,
    pub(crate) stores: usize,
    /// How it ended: "released", or the error.
    pub(crate) ended: Option<String>,
}

/// What it does other than take everything at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Every association is refused.
    pub(crate) refuse: Option<Rejection>,
    /// Classes it does not know.
    pub(crate) without: Vec<&'static str>,
    /// Time before each answer.
    pub(crate) delay: Duration,
    /// The store, counted from 1 over all associations, at which it aborts.
    pub(crate) abort_at: Option<usize>,
    /// The store, counted in the same way, in the middle of which it stops reading for good.
    pub(crate) stuck_at: Option<usize>,
    /// Stores, counted in the same way, that are answered otherwise than with success.
    pub(crate) answers: Vec<(usize, Status)>,
    /// Limits of its own.
    pub(crate) limits: Config,
}

#[derive(Debug, Default)]
struct Record {
    taken: Vec<Taken>,
    begun: usize,
    seen: Vec<Seen>,
    at_once: usize,
    at_once_max: usize,
}

/// A listening node; it ends when this is dropped.
pub(crate) struct Taker {
    pub(crate) address: SocketAddr,
    record: Arc<Mutex<Record>>,
    listening: JoinHandle<()>,
}

struct Door(Plan);
struct Classes(Vec<&'static str>);

impl Gatekeeper for Door {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        match self.0.refuse {
            Some(rejection) => Err(rejection),
            None => Ok(Admission {
                peer: "peer".into(),
                associations_max: None,
                offer: Box::new(Classes(self.0.without.clone())),
                pass: Arc::new(()),
            }),
        }
    }
}

impl Offer for Classes {
    fn roles(&self, class: &Uid) -> Option<Roles> {
        (!self.0.contains(&class.as_str())).then_some(Roles { scu: true, scp: true })
    }
}

impl Taker {
    /// Starts one that takes everything from everybody.
    pub(crate) async fn start() -> Self {
        Self::start_with(Plan::default()).await
    }

    /// Starts one with a plan.
    pub(crate) async fn start_with(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let record = Arc::new(Mutex::new(Record::default()));
        let acceptor = Acceptor::new(Arc::new(Door(plan.clone())), Ending::never());
        let list = Arc::clone(&record);
        let listening = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(host(acceptor.clone(), stream, from, Arc::clone(&list), plan.clone()));
            }
        });
        Self { address, record, listening }
    }

    /// How it is called.
    pub(crate) fn peer(&self) -> AeAddress {
        AeAddress::parse(&format!("TAKER@{}", self.address)).expect("an address")
    }

    /// What has come so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        lock(&self.record).taken.clone()
    }

    /// The associations so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.record).seen.clone()
    }

    /// The most associations there were at once.
    pub(crate) fn at_once_max(&self) -> usize {
        lock(&self.record).at_once_max
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().expect("no panic holds it")
}

async fn host(
    acceptor: Acceptor,
    stream: TcpStream,
    from: SocketAddr,
    record: Arc<Mutex<Record>>,
    plan: Plan,
) {
    if let Some(association) = acceptor.accept(stream, from, Arc::new(plan.limits.clone())).await {
        serve(association, &record, &plan).await;
    }
}

async fn serve(mut association: Association<Connection<TcpStream>>, record: &Mutex<Record>, plan: &Plan) {
    let mut contexts: Vec<_> = association
        .contexts()
        .iter()
        .map(|context| (context.abstract_syntax.to_string(), context.transfer_syntax.keyword))
        .collect();
    contexts.sort();
    let number = {
        let mut record = lock(record);
        record.seen.push(Seen { contexts, ..Seen::default() });
        record.at_once += 1;
        record.at_once_max = record.at_once_max.max(record.at_once);
        record.seen.len() - 1
    };
    let ended = take(&mut association, record, number, plan).await;
    {
        let mut record = lock(record);
        record.at_once -= 1;
        record.seen[number].ended =
            Some(ended.as_ref().map_or_else(Error::to_string, |()| "released".to_owned()));
    }
    match ended {
        Ok(()) => association.close().await,
        Err(Error::Ending) => association.abort(Abort::User).await,
        Err(error) => association.end(&error).await,
    }
}

async fn take(
    association: &mut Association<Connection<TcpStream>>,
    record: &Mutex<Record>,
    number: usize,
    plan: &Plan,
) -> Result<(), Error> {
    while let Some(message) = association.receive().await? {
        let begun = {
            let mut record = lock(record);
            record.begun += 1;
            record.begun
        };
        if plan.stuck_at == Some(begun) {
            std::future::pending::<()>().await;
        }
        let mut data_set = Vec::new();
        while let Some(piece) = association.next_data().await? {
            data_set.extend_from_slice(&piece);
        }
        let instance = message.command.uid(element::AFFECTED_SOP_INSTANCE).expect("a UID").expect("a UID");
        let (transfer_syntax, originator) =
            (message.context.transfer_syntax, message.command.move_originator());
        tokio::time::sleep(plan.delay).await;
        let count = {
            let mut record = lock(record);
            record.taken.push(Taken { instance, transfer_syntax, originator, data_set });
            record.seen[number].stores += 1;
            record.taken.len()
        };
        if plan.abort_at == Some(count) {
            return Err(Error::Ending);
        }
        let other = plan.answers.iter().find(|(at, _)| *at == count).map(|(_, status)| *status);
        let response = Command::response_to(&message.command, other.unwrap_or(Status::SUCCESS));
        association.send(message.context.id, &response).await?;
    }
    Ok(())
}
