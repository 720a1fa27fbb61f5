//! The trail as everybody else sees it: something that takes events, at once or until they are durable.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{oneshot, watch};
use tracing::error;

use super::alert::{Alert, What};
use super::clock::now_unix_millis;
use super::config::{Config, WhenFull};
use super::error::AuditError;
use super::event::{Event, Transfer};
use super::file::read_sent;
use super::group::{BEGUN_MAX, Way};
use super::log::Log;
use super::message::Source;
use super::writer::{Order, Reply, Writer};
use crate::telemetry::metrics::metrics;
use crate::telemetry::snapshot;

/// The audit trail; a cheap handle. One that is off takes everything and keeps nothing.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Handle>>);

struct Handle {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    config: Config,
    thread: Mutex<Option<JoinHandle<()>>>,
    tickets: AtomicU64,
    /// Transfers of which it is durable that they have begun: the writing thread is not asked again for each instance.
    begun: Mutex<HashSet<Way>>,
}

/// What the writing thread, those who record and those who ship have in common.
pub(super) struct Shared {
    /// What stands in every message.
    pub(super) source: Source,
    /// Events that wait for the thread.
    pub(super) waiting: AtomicUsize,
    /// Events that could not be kept.
    pub(super) lost: AtomicU64,
    /// Whether the disk took the last round.
    pub(super) recording: AtomicBool,
    durable: watch::Sender<u64>,
    /// How far each repository is.
    sent: Mutex<HashMap<String, u64>>,
}

impl Handle {
    fn begun(&self) -> MutexGuard<'_, HashSet<Way>> {
        // The set is whole between any two statements.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, way: Way) {
        let mut begun = self.begun();
        if begun.len() >= BEGUN_MAX {
            begun.clear();
        }
        begun.insert(way);
    }
}

impl Shared {
    pub(super) fn tell_durable(&self, number: u64) {
        self.durable.send_if_modified(|before| std::mem::replace(before, number) != number);
    }

    /// The last record that every repository has; all, where there is none.
    pub(super) fn sent_by_all(&self) -> u64 {
        self.sent().values().copied().min().unwrap_or(u64::MAX)
    }

    pub(super) fn sent(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        // The map is whole between any two statements.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trail {
    /// No trail.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the trail of this configuration, and records that the application starts.
    pub fn open(config: &Config, titles: &[String]) -> Result<Self, AuditError> {
        if !config.on {
            return Ok(Self::off());
        }
        let (log, complaints) = Log::open(config)?;
        let repositories = config.repositories.iter();
        let sent = repositories.map(|one| (one.name.clone(), read_sent(&config.folder, &one.name)));
        let shared = Arc::new(Shared {
            source: source(config, titles),
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            recording: AtomicBool::new(true),
            durable: watch::Sender::new(log.durable()),
            sent: Mutex::new(sent.collect()),
        });
        let (orders, taken) = mpsc::channel();
        let writer = Writer::new(log, config.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(|error| AuditError::Stopped(format!("no thread: {error}")))?;
        let handle = Handle {
            orders,
            shared,
            config: config.clone(),
            thread: Mutex::new(Some(thread)),
            tickets: AtomicU64::new(0),
            begun: Mutex::default(),
        };
        let trail = Self(Some(Arc::new(handle)));
        trail.record(Event::Started);
        for complaint in complaints {
            error!(problem = complaint, alarm = true, "the audit trail is not as it was left");
            trail.alert(Alert::failed(What::TrailDamaged, complaint));
        }
        Ok(trail)
    }

    /// Records an event; it is durable within `audit.sync_milliseconds`.
    pub fn record(&self, event: Event) {
        self.send(|| Order::Event(event, now_unix_millis()));
    }

    /// Records a Security Alert.
    pub fn alert(&self, alert: Alert) {
        self.record(Event::Alert(Box::new(alert)));
    }

    /// Records that instances have moved, or have not, together with others that went the same way.
    pub fn moved(&self, transfer: impl FnOnce() -> Transfer) {
        self.send(|| Order::Moved(Box::new(transfer())));
    }

    /// Whether anything is recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A number for a retrieval, by which its transfers belong together.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.0.as_ref().map_or(0, |handle| handle.tickets.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Returns when it is durable that this transfer begins: before that, nothing of it may go out. An error is a refusal.
    /// It blocks.
    pub fn begin(&self, transfer: impl FnOnce() -> Transfer) -> Result<(), String> {
        let Some(handle) = &self.0 else { return Ok(()) };
        let transfer = transfer();
        let way = Way::of(&transfer);
        // A disk that has failed since is asked again.
        if handle.shared.recording.load(Ordering::Relaxed) && handle.begun().contains(&way) {
            return Ok(());
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let reply: Reply = Box::new(move |result| drop(sender.send(result)));
        let sent = handle.orders.send(Order::Begin(Box::new(transfer), reply));
        let gone = || Err("the audit trail has ended".to_owned());
        let result = if sent.is_ok() { receiver.recv().unwrap_or_else(|_| gone()) } else { gone() };
        match (result, handle.config.when_full) {
            (Ok(()), _) => {
                handle.remember(way);
                Ok(())
            }
            (Err(problem), WhenFull::Continue) => {
                error!(problem, alarm = true, "an opening goes on without a record, as audit.when_full says");
                Ok(())
            }
            (refused, _) => refused,
        }
    }

    /// Returns when everything of this retrieval is durable, or cannot be, which is told.
    pub async fn settle(&self, ticket: u64) {
        let Some(handle) = &self.0 else { return };
        handle.begun().retain(|way| way.ticket != ticket);
        let (sender, receiver) = oneshot::channel();
        let reply: Reply = Box::new(move |result| drop(sender.send(result)));
        let settled = match handle.orders.send(Order::Settle(ticket, reply)) {
            Ok(()) => receiver.await.unwrap_or_else(|_| Err("the audit trail has ended".to_owned())),
            Err(_) => Err("the audit trail has ended".to_owned()),
        };
        if let Err(problem) = settled {
            error!(problem, alarm = true, "the end of a retrieval is not recorded; its beginning is");
        }
    }

    /// Records that the application stops, signs everything and ends. It blocks, and does nothing the second time.
    pub fn close(&self) {
        let Some(handle) = &self.0 else { return };
        let thread = handle.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && handle.orders.send(Order::Stop(Box::new(drop))).is_ok()
        {
            let _ = thread.join();
        }
    }

    /// What was asked for it, and what it shares with who ships it; nothing where it is off.
    pub(super) fn parts(&self) -> Option<(&Config, &Arc<Shared>)> {
        self.0.as_ref().map(|handle| (&handle.config, &handle.shared))
    }

    /// The last record that is durable, as it changes; nothing where the trail is off.
    #[must_use]
    pub fn durable(&self) -> Option<watch::Receiver<u64>> {
        self.0.as_ref().map(|handle| handle.shared.durable.subscribe())
    }

    /// How it is; nothing where it is off.
    #[must_use]
    pub fn status(&self) -> Option<snapshot::Audit> {
        let shared = &self.0.as_ref()?.shared;
        let durable = *shared.durable.borrow();
        let behind = |(name, sent): (&String, &u64)| (name.clone(), durable.saturating_sub(*sent));
        Some(snapshot::Audit {
            recording: shared.recording.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Relaxed) as u64,
            lost: metrics().audit.lost.get(),
            durable,
            behind: shared.sent().iter().map(behind).collect(),
        })
    }

    fn send(&self, order: impl FnOnce() -> Order) {
        let Some(handle) = &self.0 else { return };
        let shared = &handle.shared;
        if shared.waiting.fetch_add(1, Ordering::Relaxed) < handle.config.waiting_max
            && handle.orders.send(order()).is_ok()
        {
            return;
        }
        shared.waiting.fetch_sub(1, Ordering::Relaxed);
        // The thread tells it, loudly, when it comes to it.
        shared.lost.fetch_add(1, Ordering::Relaxed);
        metrics().audit.lost.inc();
    }
}

/// What stands in every message.
fn source(config: &Config, titles: &[String]) -> Source {
    let id = match config.source.as_str() {
        "" => super::syslog::host_name(),
        own => own.to_owned(),
    };
    Source {
        id,
        site: (!config.site.is_empty()).then(|| config.site.clone()),
        titles: titles.to_vec(),
        patient_ids: config.patient_ids,
    }
}
