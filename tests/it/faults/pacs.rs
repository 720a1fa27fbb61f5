//! A PACS in the test's own process: it outlives every gateway, keeps what it gets, and misbehaves when told to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sealgate::association::{
    Abort, Acceptor, Admission, Association, Command, Config, Ending, Error, Gatekeeper, Knock, Offer,
    Rejection, Roles, element,
};
use sealgate::dicom::{Status, TransferSyntax, Uid};
use sealgate::keys::{Archive, Binding};
use sealgate::seal::{Claim, HeaderMode, Opened, Opener};
use sealgate::tls::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::ports::free_port;

/// What it does to whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It takes and keeps everything.
    Good,
    /// It opens what comes while it comes, and keeps the digest of the original instead.
    Digest,
    /// It takes and keeps everything, after so many milliseconds.
    Slow(u64),
    /// It refuses every association.
    Refuse(Rejection),
    /// It accepts no presentation context.
    NoContext,
    /// It keeps the first version of each instance, and answers this to every later one.
    KeepFirst(u16),
    /// It answers this to every instance; it keeps what it answers success or a warning to.
    Answer(u16),
    /// It answers this to instances with numbers below this one, and takes all others.
    AnswerBelow(u16, u32),
    /// It never answers an instance.
    Silent,
    /// It takes the connection, and says nothing more, ever.
    HalfOpen,
    /// It aborts in the middle of the data set.
    AbortMidway,
    /// It closes the connection in the middle of the data set.
    CloseMidway,
    /// It keeps the instance, and the connection breaks before its answer.
    CloseAnswering,
}

/// An instance that it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) instance: String,
    pub(crate) transfer_syntax: TransferSyntax,
    pub(crate) data_set: Arc<[u8]>,
}

struct State {
    behaviour: Behaviour,
    kept: Vec<Kept>,
    /// Whose keys open what comes, for `Digest`.
    archive: Option<Arc<Archive>>,
    /// When each association or connection was asked for.
    knocks: Vec<Instant>,
    /// Connections that are there.
    connected: usize,
    /// Instances in hand, and the most there were.
    in_hand: usize,
    at_once_max: usize,
    /// The places of copies in what it keeps that it closed the connection over.
    unanswered: BTreeSet<usize>,
}

/// A listening PACS.
pub(crate) struct Pacs {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    listening: Option<JoinHandle<()>>,
}

struct Door(Arc<Mutex<State>>);
struct Classes(bool);

impl Gatekeeper for Door {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        let behaviour = lock(&self.0).behaviour;
        if let Behaviour::Refuse(rejection) = behaviour {
            return Err(rejection);
        }
        let offer = Box::new(Classes(behaviour != Behaviour::NoContext));
        Ok(Admission { peer: "peer".into(), associations_max: None, offer, pass: Arc::new(()) })
    }
}

impl Offer for Classes {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        self.0.then_some(Roles { scu: true, scp: true })
    }
}

impl Pacs {
    /// Starts a good one.
    pub(crate) async fn start() -> Self {
        let state = State {
            behaviour: Behaviour::Good,
            kept: Vec::new(),
            archive: None,
            knocks: Vec::new(),
            connected: 0,
            in_hand: 0,
            at_once_max: 0,
            unanswered: BTreeSet::new(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut pacs = Self { address, state: Arc::new(Mutex::new(state)), listening: None };
        pacs.listen().await;
        pacs
    }

    /// Listens again, where it was before.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("a port");
        self.address = listener.local_addr().expect("its address");
        let state = Arc::clone(&self.state);
        let acceptor = Acceptor::new(Arc::new(Door(Arc::clone(&state))), Ending::never());
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                {
                    let mut state = lock(&state);
                    state.knocks.push(Instant::now());
                    state.connected += 1;
                }
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
                tokio::spawn(async move {
                    host(acceptor, stream, from, Arc::clone(&state)).await;
                    lock(&state).connected -= 1;
                });
            }
        }));
    }

    /// Goes away: nobody listens there any more.
    pub(crate) fn leave(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// Opens what comes from now on, and keeps digests.
    pub(crate) fn digest(&self, archive: Archive) {
        let mut state = lock(&self.state);
        (state.behaviour, state.archive) = (Behaviour::Digest, Some(Arc::new(archive)));
    }

    /// Waits until nobody is connected: what was on its way is there then.
    pub(crate) async fn is_alone(&self) {
        while lock(&self.state).connected > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The places, in what it keeps, of copies that it has not answered.
    pub(crate) fn unanswered(&self) -> BTreeSet<usize> {
        lock(&self.state).unanswered.clone()
    }

    /// Loses all that it keeps.
    pub(crate) fn forget(&self) {
        lock(&self.state).kept.clear();
    }

    /// How the gateway calls it.
    pub(crate) fn peer(&self) -> String {
        format!("PACS@{}", self.address)
    }

    /// What it keeps, in the order of arrival.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        lock(&self.state).kept.clone()
    }

    /// The instances it keeps, in the order of arrival.
    pub(crate) fn instances(&self) -> Vec<String> {
        lock(&self.state).kept.iter().map(|kept| kept.instance.clone()).collect()
    }

    /// When it was called.
    pub(crate) fn knocks(&self) -> Vec<Instant> {
        lock(&self.state).knocks.clone()
    }

    /// The most instances that it had in hand at once.
    pub(crate) fn at_once_max(&self) -> usize {
        lock(&self.state).at_once_max
    }

    /// Waits until it keeps so many instances.
    pub(crate) async fn keeps(&self, count: usize, within: Duration) -> bool {
        let end = Instant::now() + within;
        while lock(&self.state).kept.len() < count {
            if Instant::now() > end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

impl Drop for Pacs {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic holds it")
}

async fn host(acceptor: Acceptor, stream: TcpStream, from: SocketAddr, state: Arc<Mutex<State>>) {
    if lock(&state).behaviour == Behaviour::HalfOpen {
        std::future::pending::<()>().await;
    }
    if let Some(mut association) = acceptor.accept(stream, from, Arc::new(Config::default())).await {
        match take(&mut association, &state).await {
            Ok(()) => association.close().await,
            Err(Stop::Abort) => association.abort(Abort::User).await,
            Err(Stop::Close) => drop(association),
            Err(Stop::Error(error)) => association.end(&error).await,
        }
    }
}

/// An instance on its way in, until it is answered.
struct InHand<'a>(&'a Mutex<State>);

impl<'a> InHand<'a> {
    fn of(state: &'a Mutex<State>) -> Self {
        let mut now = lock(state);
        now.in_hand += 1;
        now.at_once_max = now.at_once_max.max(now.in_hand);
        drop(now);
        Self(state)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        lock(self.0).in_hand -= 1;
    }
}

enum Stop {
    Abort,
    Close,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

async fn take(
    association: &mut Association<Connection<TcpStream>>,
    state: &Mutex<State>,
) -> Result<(), Stop> {
    while let Some(message) = association.receive().await? {
        let behaviour = lock(state).behaviour;
        let _in_hand = InHand::of(state);
        let mut data_set = Vec::new();
        if behaviour == Behaviour::Digest {
            data_set = digest(association, message.context.transfer_syntax, state).await?;
        }
        while let Some(piece) = association.next_data().await? {
            data_set.extend_from_slice(&piece);
            match behaviour {
                Behaviour::AbortMidway => return Err(Stop::Abort),
                Behaviour::CloseMidway => return Err(Stop::Close),
                _ => {}
            }
        }
        let status = match behaviour {
            Behaviour::Answer(code) => Status(code),
            Behaviour::AnswerBelow(code, end) if number(&message.command) < end => Status(code),
            Behaviour::KeepFirst(code) if has(state, &message.command) => Status(code),
            Behaviour::Silent => std::future::pending().await,
            Behaviour::Slow(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Status::SUCCESS
            }
            _ => Status::SUCCESS,
        };
        let is_kept = matches!(behaviour, Behaviour::KeepFirst(_)) && has(state, &message.command);
        if (status == Status::SUCCESS || status.0 >> 12 == 0xB) && !is_kept {
            let instance =
                message.command.uid(element::AFFECTED_SOP_INSTANCE).expect("a UID").expect("a UID");
            let (instance, transfer_syntax) = (instance.to_string(), message.context.transfer_syntax);
            let mut state = lock(state);
            if behaviour == Behaviour::CloseAnswering {
                let place = state.kept.len();
                state.unanswered.insert(place);
            }
            state.kept.push(Kept { instance, transfer_syntax, data_set: data_set.into() });
        }
        if behaviour == Behaviour::CloseAnswering {
            return Err(Stop::Close);
        }
        association.send(message.context.id, &Command::response_to(&message.command, status)).await?;
    }
    Ok(())
}

/// Whether it keeps this instance already.
fn number(command: &Command) -> u32 {
    let instance = command.uid(element::AFFECTED_SOP_INSTANCE).expect("a UID").expect("a UID");
    instance.as_str().rsplit('.').next().and_then(|number| number.parse().ok()).expect("a number")
}

fn has(state: &Mutex<State>, command: &Command) -> bool {
    let instance = command.uid(element::AFFECTED_SOP_INSTANCE).expect("a UID").expect("a UID").to_string();
    lock(state).kept.iter().any(|kept| kept.instance == instance)
}

/// Opens a data set while it comes; the digest of the original, and nothing where it does not open.
async fn digest(
    association: &mut Association<Connection<TcpStream>>,
    syntax: TransferSyntax,
    state: &Mutex<State>,
) -> Result<Vec<u8>, Stop> {
    let archive = lock(state).archive.clone().expect("it was told whose keys");
    let find = move |claim: &Claim| {
        let binding = Binding::from(&claim.binding);
        let record = claim.key_record.as_deref();
        archive.find(binding.key_id, record, &binding).ok().map(|found| found.content_key)
    };
    let syntax = syntax.uid.parse().expect("a UID");
    let mut opener =
        Opener::new(&syntax, HeaderMode::Original, &sealgate::cipher::Layers::none(), None, find)
            .expect("a native syntax");
    let mut hasher = blake3::Hasher::new();
    let mut on = |opened: Opened<'_>| {
        if let Opened::Data(bytes) = opened {
            hasher.update(bytes);
        }
        Ok(())
    };
    while let Some(piece) = association.next_data().await? {
        opener.push(&piece, &mut on).map_err(|_| Stop::Abort)?;
    }
    opener.finish(&mut on).map_err(|_| Stop::Abort)?;
    Ok(hasher.finalize().as_bytes().to_vec())
}
