//! Retrievals: the instances of an identifier, fetched from every PACS that may have them, one PACS after the other.
//!
//! An instance that a second PACS has too is told once, and taken from there if the first one's copy was no good; what one
//! owes and another brings has come ([`super::ledger`]). What arrives is opened on its way ([`super::open`]); the fetch goes
//! on with the next while one goes out, as far as `release.waiting_max` and `release.held_bytes_max` let it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::backlog::{Backlog, Load};
use super::delivery::{Delivery, Refused};
use super::expect::{Expectation, Expectations};
use super::ledger::{Candidate, Ledger};
use super::missing::{self, Missing, missing};
use super::open::{self, Feed, Job};
use super::{Source, identifier, sources, until};
use crate::association::{CONTEXTS_MAX, Context, Proposal, Roles, SubOperations};
use crate::audit::Party;
use crate::dicom::tags::STUDY;
use crate::dicom::{
    Encoding, Model, Retrieve, Status, TransferSyntax, Uid, common_storage, query_retrieve,
    query_retrieve_class,
};
use crate::flow::audit::Parties;
use crate::flow::{Gateway, Visitor};
use crate::policy::{Access, Fetch};
use crate::scu::{Caller, Failure, Getting, Got, Incoming, Moved, Retrieved, get, move_};
use crate::seal::scan::ScanError;

/// How long a PACS may go on sending what nobody wants any more, after it was asked to stop.
const STOPPING_SECONDS_MAX: u64 = 60;
/// Contexts for the service itself: one for each of two syntaxes.
const SERVICE_CONTEXTS: usize = 2;

/// A C-GET or C-MOVE as a caller asks it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its context: the SOP class and the encoding.
    pub context: Context,
    /// The identifier as it came.
    pub identifier: Bytes,
    /// In which form images are given.
    pub access: Access,
    /// Who receives them, for the log.
    pub receiver: Arc<str>,
    /// The receiver as the audit trail names it, where it is not the caller.
    pub destination: Option<Party>,
    /// What the receiver takes, where that is known: classes, each with its transfer syntaxes.
    pub takes: Vec<(Uid, Vec<TransferSyntax>)>,
}

/// What a retrieval comes to, step by step.
#[derive(Debug)]
pub enum Event {
    /// An instance arrives.
    Arrived(Arrival),
    /// So many instances there are at least.
    Total(u16),
    /// One PACS is done.
    Done {
        /// Its name.
        pacs: Arc<str>,
        /// How it ended.
        result: Result<Retrieved, Failure>,
    },
    /// All are: what none of them brought.
    Missing(Missing),
    /// Nothing follows.
    Ended,
}

/// An instance on its way in.
#[derive(Debug)]
pub struct Arrival {
    /// SOP Class UID.
    pub class: Uid,
    /// SOP Instance UID.
    pub instance: Uid,
    outcome: oneshot::Receiver<Result<Delivery, Refused>>,
    _load: Arc<Load>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delivery({} in {})", self.instance, self.transfer_syntax.keyword)
    }
}

impl Arrival {
    /// Waits until it is ready to go out, or is known not to be.
    pub async fn ready(&mut self) -> Result<Delivery, Refused> {
        (&mut self.outcome).await.unwrap_or(Err(Refused::Task))
    }
}

/// A retrieval under way. Dropped before its end, it breaks off what it asked.
pub struct Retrieval {
    events: mpsc::Receiver<Event>,
    cancel: watch::Sender<bool>,
    ledger: Arc<Ledger>,
    /// By which the audit trail knows it.
    pub ticket: u64,
    _task: JoinSet<()>,
}

/// What the task works by.
struct Work {
    gateway: Arc<Gateway>,
    request: Request,
    model: Model,
    study: Option<Uid>,
    caller: Arc<str>,
    named: Arc<(Party, Option<Party>)>,
    ticket: u64,
    events: mpsc::Sender<Event>,
    backlog: Arc<Backlog>,
    ledger: Arc<Ledger>,
}

/// What the instances that one PACS brings in a retrieval have in common.
pub(super) struct Fetching {
    pub(super) gateway: Arc<Gateway>,
    access: Access,
    parties: Parties,
    cancelled: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
    backlog: Arc<Backlog>,
    /// What has come already, of any PACS.
    pub(super) ledger: Arc<Ledger>,
}

impl Fetching {
    /// Tells of an instance, as soon as there is room for it, and begins to open it; nothing where the viewer has gone.
    pub(super) async fn begin(
        &self,
        class: Uid,
        instance: Uid,
        transfer_syntax: TransferSyntax,
        copy: Candidate,
    ) -> Option<Feed> {
        let (reply, outcome) = oneshot::channel();
        let load = self.backlog.next(self.gateway.release.config.held_bytes_max).await;
        let arrival =
            Arrival { class: class.clone(), instance: instance.clone(), outcome, _load: Arc::clone(&load) };
        self.events.send(Event::Arrived(arrival)).await.ok()?;
        let job = Job {
            gateway: Arc::clone(&self.gateway),
            access: self.access.clone(),
            parties: self.parties.clone(),
            class,
            instance,
            transfer_syntax,
            cancelled: self.cancelled.clone(),
        };
        Some(open::prepare(job, copy, load, reply))
    }
}

impl Retrieval {
    /// Asks the PACS that this visitor's title leads to, one after the other.
    pub fn begin(gateway: &Arc<Gateway>, visitor: &Visitor, request: Request) -> Result<Self, ScanError> {
        let encoding = request.context.transfer_syntax.encoding;
        let values = identifier::values(&request.identifier, encoding, &[STUDY])?;
        let class = request.context.abstract_syntax.as_str();
        let model = query_retrieve(class).map_or(Model::StudyRoot, |(model, _)| model);
        let (sender, events) = mpsc::channel(gateway.release.config.waiting_max);
        let (cancel, cancelled) = watch::channel(false);
        let ticket = gateway.trail.ticket();
        let named = match &request.destination {
            Some(destination) => {
                (destination.clone(), Some(visitor.user().unwrap_or_else(|| visitor.party())))
            }
            None => (visitor.party(), visitor.user()),
        };
        let work = Work {
            gateway: Arc::clone(gateway),
            request,
            model,
            study: identifier::uid(&values, STUDY),
            caller: visitor.permit.peer().name.as_str().into(),
            named: Arc::new(named),
            ticket,
            events: sender,
            backlog: Arc::default(),
            ledger: Arc::default(),
        };
        let (ledger, mut task) = (Arc::clone(&work.ledger), JoinSet::new());
        task.spawn(work.run(sources(gateway, visitor), cancelled));
        Ok(Self { events, cancel, ledger, ticket, _task: task })
    }

    /// What comes next; nothing but the end behind the end. May be dropped and called again.
    pub async fn next(&mut self) -> Event {
        self.events.recv().await.unwrap_or(Event::Ended)
    }

    /// Whether an instance of which so many copies did not go out may still come from another PACS.
    #[must_use]
    pub fn may_still_come(&self, instance: &Uid, failures: u16) -> bool {
        !*self.cancel.borrow() && self.ledger.may_still_come(instance, failures)
    }

    /// Asks the PACS to stop; what still comes is to be thrown away.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Leaves a cancelled retrieval to itself: the caller need not wait until the PACS has stopped. One that has not
    /// stopped by `STOPPING_SECONDS_MAX` is broken off.
    pub fn leave(mut self) {
        self.cancel();
        tokio::spawn(async move {
            let ended = async { while !matches!(self.next().await, Event::Ended) {} };
            let _ = tokio::time::timeout(Duration::from_secs(STOPPING_SECONDS_MAX), ended).await;
        });
    }
}

impl Work {
    async fn run(self, sources: Vec<Source>, cancelled: watch::Receiver<bool>) {
        if sources.is_empty() {
            // An empty success would say that there is nothing.
            let result = Err(Failure::Protocol("no route leads to an archive".to_owned()));
            let _ = self.events.send(Event::Done { pacs: "no archive".into(), result }).await;
        }
        let mut left = sources.len();
        for source in sources {
            if *cancelled.borrow() {
                break;
            }
            left -= 1;
            self.ledger.begin(left > 0);
            let pacs = Arc::clone(&source.name);
            let result = self.fetch(&source, cancelled.clone()).await;
            // One that is broken off because the caller is gone is no fault of the PACS.
            if cancelled.has_changed().is_err() {
                return;
            }
            if let Err(failure) = &result {
                warn!(%pacs, %failure, "a retrieval was not answered in full");
            }
            self.ledger.end(&result, *cancelled.borrow());
            if self.events.send(Event::Done { pacs, result }).await.is_err() {
                return;
            }
        }
        let _ = self.events.send(Event::Missing(self.missing().await)).await;
        let _ = self.events.send(Event::Ended).await;
    }

    /// What is owed and came from nowhere.
    async fn missing(&self) -> Missing {
        let (debts, came) = self.ledger.debts();
        if debts.is_empty() {
            return Missing::default();
        }
        let (request, archive) = (self.request.clone(), Arc::clone(&self.gateway.archive));
        let looking =
            tokio::task::spawn_blocking(move || missing(&debts, &came, &missing::asked(&request, &archive)));
        looking.await.unwrap_or_default()
    }

    async fn fetch(
        &self,
        source: &Source,
        mut cancelled: watch::Receiver<bool>,
    ) -> Result<Retrieved, Failure> {
        let service = match source.fetch {
            Fetch::Get => Retrieve::Get,
            Fetch::Move => Retrieve::Move,
        };
        let class = query_retrieve_class(self.model, service)
            .ok_or_else(|| Failure::Protocol("no such service in this information model".to_owned()))?;
        let mut proposals = self.service_proposals(&class);
        if source.fetch == Fetch::Get {
            proposals.extend(self.storage_proposals().await);
        }
        let opening = self.gateway.pool.associate(&source.to, &proposals);
        let mut caller = tokio::select! {
            biased;
            () = until(&mut cancelled) => return Err(Failure::Ending),
            caller = opening => caller?,
        };
        let result = match source.fetch {
            Fetch::Get => self.by_get(source, &mut caller, &class, cancelled).await,
            Fetch::Move => self.by_move(source, &mut caller, &class, cancelled).await,
        };
        tokio::spawn(caller.release());
        result
    }

    /// The syntax of the request first, so that its bytes go on as they are.
    fn service_proposals(&self, class: &Uid) -> Vec<Proposal> {
        let own = self.request.context.transfer_syntax;
        let all = [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE];
        let others = all.into_iter().filter_map(TransferSyntax::by_uid).filter(|other| *other != own);
        let syntaxes = std::iter::once(own).chain(others).take(SERVICE_CONTEXTS);
        syntaxes.map(|syntax| Proposal::new(class.clone(), vec![syntax])).collect()
    }

    /// What may come back on the same association: every class first in the syntaxes that a sealed image can be in, then,
    /// for images that were never sealed, in those that the receiver takes besides.
    async fn storage_proposals(&self) -> Vec<Proposal> {
        let receiving = Roles { scu: false, scp: true };
        let plain: Vec<TransferSyntax> = [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE]
            .into_iter()
            .filter_map(TransferSyntax::by_uid)
            .collect();
        let takes =
            if self.request.takes.is_empty() { self.likely().await } else { self.request.takes.clone() };
        let first =
            takes.iter().map(|(class, _)| Proposal::new(class.clone(), plain.clone()).with_roles(receiving));
        let compressed = takes.iter().flat_map(|(class, syntaxes)| {
            let others = syntaxes.iter().filter(|syntax| syntax.encoding == Encoding::Encapsulated);
            others.map(|syntax| Proposal::new(class.clone(), vec![*syntax]).with_roles(receiving))
        });
        first.chain(compressed).take(CONTEXTS_MAX - SERVICE_CONTEXTS).collect()
    }

    /// Where the receiver has not said what it takes: what of the study is in the key store, then the common classes.
    async fn likely(&self) -> Vec<(Uid, Vec<TransferSyntax>)> {
        let (archive, study) = (Arc::clone(&self.gateway.archive), self.study.clone());
        let known = tokio::task::spawn_blocking(move || archive.classes_of(&study?).ok()).await;
        let known = known.ok().flatten().unwrap_or_default();
        let others = common_storage().filter(|class| !known.contains(class));
        known.iter().cloned().chain(others).map(|class| (class, Vec::new())).collect()
    }

    async fn by_get(
        &self,
        source: &Source,
        caller: &mut Caller,
        class: &Uid,
        mut cancelled: watch::Receiver<bool>,
    ) -> Result<Retrieved, Failure> {
        let (context, request) = self.request_on(caller, class)?;
        let fetching = self.fetching(source, &cancelled);
        let mut getting = get(caller, &context, &request).await?;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = until(&mut cancelled), if !stopping => {
                    stopping = true;
                    getting.cancel().await?;
                }
                got = getting.next() => match got? {
                    Got::Store(incoming) if !stopping => {
                        stopping = Self::take(&fetching, &mut getting, incoming, &mut cancelled).await?;
                    }
                    Got::Store(_) => getting.answer(Status::SUCCESS).await?,
                    Got::Pending(counts) => self.count(counts).await,
                    Got::Ended(retrieved) => {
                        self.ledger.said(retrieved.counts);
                        return Ok(retrieved);
                    }
                },
            }
        }
    }

    /// Takes an instance in, if no good copy of it has come; says whether the retrieval was cancelled meanwhile.
    async fn take(
        fetching: &Fetching,
        getting: &mut Getting<'_>,
        incoming: Incoming,
        cancelled: &mut watch::Receiver<bool>,
    ) -> Result<bool, Failure> {
        let taken = tokio::select! {
            biased;
            () = until(cancelled) => None,
            taken = fetching.ledger.take(&incoming.instance) => Some(taken),
        };
        match taken {
            Some(Some(copy)) => Self::open(fetching, getting, (incoming, copy), cancelled).await,
            Some(None) => getting.answer(Status::SUCCESS).await.map(|()| false),
            None => {
                getting.cancel().await?;
                getting.answer(Status::SUCCESS).await.map(|()| true)
            }
        }
    }

    /// Opens an instance while it comes in; says whether the retrieval was cancelled meanwhile.
    async fn open(
        fetching: &Fetching,
        getting: &mut Getting<'_>,
        (incoming, copy): (Incoming, Candidate),
        cancelled: &mut watch::Receiver<bool>,
    ) -> Result<bool, Failure> {
        let Incoming { class, instance, context } = incoming;
        let feed = fetching.begin(class, instance, context.transfer_syntax, copy).await;
        let mut feed = feed.ok_or(Failure::Ending)?;
        loop {
            tokio::select! {
                biased;
                () = until(cancelled) => {
                    getting.cancel().await?;
                    getting.answer(Status::SUCCESS).await?;
                    return Ok(true);
                }
                piece = getting.next_data() => {
                    let Some(piece) = piece? else {
                        feed.finish().await;
                        break;
                    };
                    if feed.push(piece).await.is_err() {
                        // The answer skips the rest.
                        break;
                    }
                }
            }
        }
        getting.answer(Status::SUCCESS).await?;
        Ok(false)
    }

    async fn by_move(
        &self,
        source: &Source,
        caller: &mut Caller,
        class: &Uid,
        mut cancelled: watch::Receiver<bool>,
    ) -> Result<Retrieved, Failure> {
        let (context, request) = self.request_on(caller, class)?;
        let own = source.to.calling.clone();
        let expectations = &self.gateway.release.expectations;
        let message_id = expectations.message_id();
        let _turn = expectations.turn(&source.to.address.title).await;
        let expecting = Expectations::expect(Expectation {
            pacs: source.to.address.title.clone(),
            own: own.clone(),
            message_id,
            study: self.study.clone(),
            came: std::sync::atomic::AtomicU16::new(0),
            fetching: self.fetching(source, &cancelled),
        });
        caller.next_message_is(message_id);
        let mut moving = move_(caller, &context, &request, &own).await?;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = until(&mut cancelled), if !stopping => {
                    stopping = true;
                    moving.cancel().await?;
                }
                moved = moving.next() => match moved? {
                    Moved::Pending(counts) => self.count(counts).await,
                    Moved::Ended(retrieved) => {
                        self.ledger.said(retrieved.counts);
                        let SubOperations { completed, warning, .. } = retrieved.counts;
                        let sent = completed.unwrap_or_default().saturating_add(warning.unwrap_or_default());
                        let came = expecting.came();
                        if came < sent {
                            let what = format!("it says that it has sent {sent} instances, {came} came to our door");
                            return Err(Failure::Protocol(what));
                        }
                        return Ok(retrieved);
                    }
                },
            }
        }
    }

    /// The context to ask on, and the identifier in its encoding.
    fn request_on(&self, caller: &Caller, class: &Uid) -> Result<(Context, Bytes), Failure> {
        let own = self.request.context.transfer_syntax;
        let context = match caller.context(class, own) {
            Ok(context) => context,
            Err(_) => caller.context_of(class)?,
        };
        let there = context.transfer_syntax.encoding;
        let request = identifier::convert(&self.request.identifier, own.encoding, there)
            .map_err(|error| Failure::Protocol(format!("an identifier: {error}")))?;
        Ok((context, request))
    }

    fn fetching(&self, source: &Source, cancelled: &watch::Receiver<bool>) -> Fetching {
        Fetching {
            gateway: Arc::clone(&self.gateway),
            access: self.request.access.clone(),
            parties: Parties {
                caller: Arc::clone(&self.caller),
                receiver: Arc::clone(&self.request.receiver),
                pacs: Arc::clone(&source.name),
                named: Arc::clone(&self.named),
                ticket: self.ticket,
            },
            cancelled: cancelled.clone(),
            events: self.events.clone(),
            backlog: Arc::clone(&self.backlog),
            ledger: Arc::clone(&self.ledger),
        }
    }

    async fn count(&self, counts: SubOperations) {
        let _ = self.events.send(Event::Total(self.ledger.said(counts))).await;
    }
}
