//! Storage commitment (PS3.4 annex J) between modalities and PACS, and making sure that a PACS has what it took.
//!
//! A request of a modality is a paper in the spool's folder before it is acknowledged (`transaction`). It waits until its
//! instances are forwarded, then every PACS that got one is asked, each in its own way (`ask`), the answers are combined,
//! and the modality is told (`tell`). What is known of an instance comes from the spool, or from the history of what has
//! left it (`known`); entries stay in the spool until they are in that history, and, where their destination says
//! `purge_after`, until it is known to have them (`keep`).

mod ask;
mod check;
mod config;
mod keep;
mod known;
mod patience;
mod pending;
mod reports;
mod tell;
mod transaction;
mod work;

pub use config::Config;
pub(super) use keep::is_read_back;
pub use keep::{holds, holds_at, kept_until};
pub(super) use known::came_before;
pub use pending::{AskedOf, Pending, Stage, pending};

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{error, info};

use self::reports::Reports;
use self::transaction::{Live, Reasons, Transaction};
use super::gateway::{Gateway, Visitor};
use super::now_unix_millis;
use crate::dicom::{AeTitle, Status};
use crate::scu::{CommitmentReport, CommitmentRequest};
use crate::spool::{EntryId, History, Papers, SpoolError};

/// PACS that are being asked at once.
const PLACES: usize = 8;

/// A report on its way to a modality that may still be on its association.
#[derive(Debug)]
pub struct Letter {
    /// What it is told.
    pub report: CommitmentReport,
    /// What it answers; dropped when the association ends before.
    pub heard: oneshot::Sender<Status>,
}

/// Where an association takes letters.
pub type Mailbox = mpsc::Sender<Letter>;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The transaction is under way already, and is about something else.
    #[error("the transaction UID is in use for another request")]
    Duplicate,
    /// As many requests wait as may.
    #[error("{0} requests wait, which is commitment.transactions_max")]
    Full(usize),
    /// More instances than one request may have.
    #[error("the request has {0} instances, commitment.references_max is {1}")]
    TooMany(usize, usize),
    /// It cannot be kept.
    #[error("{0}")]
    Spool(#[from] SpoolError),
    /// A task of ours died.
    #[error("a task of the gateway ended before it was done")]
    Task,
}

impl Refused {
    /// What the modality is answered (PS3.4 J.3.2.1.4).
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Duplicate => Status::DUPLICATE_TRANSACTION,
            Self::Full(_) | Self::TooMany(..) => Status::RESOURCE_LIMITATION,
            Self::Spool(_) | Self::Task => Status::PROCESSING_FAILURE,
        }
    }
}

/// What all requests share.
pub struct Commitments {
    config: Config,
    papers: Option<Papers>,
    history: Option<History>,
    reports: Reports,
    live: Mutex<HashMap<EntryId, Arc<Live>>>,
    /// Something has been forwarded everywhere.
    news: Notify,
    places: Semaphore,
    begun: mpsc::UnboundedSender<Arc<Live>>,
    beginning: Mutex<Option<mpsc::UnboundedReceiver<Arc<Live>>>>,
}

impl Commitments {
    /// Those of a gateway that keeps none.
    #[must_use]
    pub fn none() -> Self {
        Self::with(Config::default(), None, None)
    }

    /// Opens what an earlier process left in the folder of the spool, which the caller has open.
    pub fn open(config: &Config, spool_folder: &Path) -> Result<Self, SpoolError> {
        let history = History::open(spool_folder, config.remember_days)?;
        let (papers, found) = Papers::open(spool_folder)?;
        for id in &found.damaged {
            error!(paper = %id, "a storage commitment that was kept is damaged; it was set aside, its modality will not be told");
        }
        let commitments = Self::with(config.clone(), Some(papers), Some(history));
        for (id, content) in found.papers {
            match serde_json::from_slice::<Transaction>(&content) {
                Ok(transaction) => {
                    info!(transaction = %transaction.transaction, peer = transaction.peer, "a storage commitment goes on after the start");
                    commitments.begin(Arc::new(Live::new(id, transaction, None)));
                }
                Err(problem) => {
                    error!(paper = %id, error = %problem, "a storage commitment that was kept cannot be read");
                }
            }
        }
        Ok(commitments)
    }

    fn with(config: Config, papers: Option<Papers>, history: Option<History>) -> Self {
        let (begun, beginning) = mpsc::unbounded_channel();
        Self {
            config,
            papers,
            history,
            reports: Reports::default(),
            live: Mutex::default(),
            news: Notify::new(),
            places: Semaphore::new(PLACES),
            begun,
            beginning: Mutex::new(Some(beginning)),
        }
    }

    /// Bytes that a request or a report may have.
    #[must_use]
    pub fn request_bytes_max(&self) -> usize {
        // An item has two UIDs of up to 64 characters, a reason, and headers.
        self.config.references_max.saturating_mul(256).saturating_add(4096)
    }

    fn papers(&self) -> Result<&Papers, SpoolError> {
        self.papers.as_ref().ok_or_else(|| SpoolError::Failed("this gateway keeps no commitments".into()))
    }

    fn begin(&self, live: Arc<Live>) {
        self.live().insert(live.id, Arc::clone(&live));
        // Whoever works takes it; before anybody does it waits.
        let _taken = self.begun.send(live);
    }

    /// A request has come to its end.
    fn end(&self, live: &Live) {
        let transaction = live.now();
        let own = transaction.asks.iter().flatten().flat_map(|ask| &ask.transactions);
        self.reports.forget(own);
        if let Err(error) = self.papers().and_then(|papers| papers.discard(live.id)) {
            error!(transaction = %transaction.transaction, %error, "a storage commitment that is over cannot be taken away");
        }
        self.live().remove(&live.id);
    }

    fn live(&self) -> MutexGuard<'_, HashMap<EntryId, Arc<Live>>> {
        // The map is whole between any two statements.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request under the same transaction, from the same node.
    fn find(&self, transaction: &Transaction) -> Option<Arc<Live>> {
        let live = self.live();
        let same = |one: &&Arc<Live>| {
            let one = one.now();
            one.transaction == transaction.transaction && one.calling == transaction.calling
        };
        live.values().find(same).cloned()
    }

    /// Keeps a request. Blocks on the disk; when it returns the request is on it.
    fn take(&self, transaction: Transaction, mailbox: Mailbox) -> Result<(), Refused> {
        let count = transaction.references.len();
        if count > self.config.references_max {
            return Err(Refused::TooMany(count, self.config.references_max));
        }
        if let Some(same) = self.find(&transaction) {
            if same.now().references != transaction.references {
                return Err(Refused::Duplicate);
            }
            // It asks again because it has not heard that it was taken.
            *same.mailbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(mailbox);
            return Ok(());
        }
        if self.live().len() >= self.config.transactions_max {
            return Err(Refused::Full(self.config.transactions_max));
        }
        let id = Papers::name()?;
        self.papers()?.keep(id, &transaction.to_bytes())?;
        self.begin(Arc::new(Live::new(id, transaction, Some(mailbox))));
        Ok(())
    }
}

/// Takes a request of a modality. When this returns it cannot be lost, and only then may it be acknowledged.
pub async fn take(
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    request: CommitmentRequest,
    mailbox: Mailbox,
) -> Result<(), Refused> {
    let transaction = Transaction {
        transaction: request.transaction,
        peer: visitor.permit.peer().name.clone(),
        calling: visitor.calling.clone(),
        called: visitor.called.clone(),
        references: request.references,
        received_unix_millis: now_unix_millis(),
        asks: None,
        failed: Reasons::new(),
        decided_unix_millis: None,
    };
    let gateway = Arc::clone(gateway);
    let taken = spawn_blocking(move || gateway.commitments.take(transaction, mailbox)).await;
    taken.map_err(|_| Refused::Task)?
}

/// Takes a report that a PACS brings to our door, and says what it is to be answered with.
pub async fn reported(gateway: &Arc<Gateway>, from: &AeTitle, report: CommitmentReport) -> Status {
    let (gateway, from) = (Arc::clone(gateway), from.clone());
    let taken = spawn_blocking(move || gateway.commitments.reports.take(&from, &report)).await;
    taken.unwrap_or(Status::PROCESSING_FAILURE)
}

/// Works on every request, and takes care of what is held in the spool, until it is dropped.
///
/// Whatever it is in the middle of goes on at the next start: each step was on the disk before the next began.
#[must_use]
pub fn work(gateway: &Arc<Gateway>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (sender, held) = mpsc::unbounded_channel();
    let weak = Arc::downgrade(gateway);
    let hear = sender.clone();
    gateway.spool.on_held(move |id| {
        // Who has gone takes no more entries; the next start looks for itself.
        let _gone = hear.send(id);
        if let Some(gateway) = weak.upgrade() {
            gateway.commitments.news.notify_waiters();
        }
    });
    gateway.spool.held().into_iter().for_each(|id| _ = sender.send(id));
    tasks.spawn(keep::care(Arc::clone(gateway), held));
    let beginning = gateway.commitments.beginning.lock().ok().and_then(|mut beginning| beginning.take());
    if let Some(mut beginning) = beginning {
        let gateway = Arc::clone(gateway);
        tasks.spawn(async move {
            let mut works = JoinSet::new();
            loop {
                tokio::select! {
                    Some(_) = works.join_next() => {}
                    live = beginning.recv() => match live {
                        Some(live) => _ = works.spawn(work::work(Arc::clone(&gateway), live)),
                        None => return,
                    },
                }
            }
        });
    }
    tasks
}
