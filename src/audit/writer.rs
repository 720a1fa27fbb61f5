//! The thread that writes the trail: gathers, makes messages, appends them, and syncs many records at once.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::alert::{Alert, What};
use super::clock::now_unix_millis;
use super::config::Config;
use super::event::{Event, Transfer};
use super::group::Groups;
use super::inbox;
use super::log::Log;
use super::message::message;
use super::trail::Shared;
use crate::telemetry::metrics::metrics;

/// Orders that are taken before the disk is asked again.
const BATCH: usize = 512;
/// How often a failure that goes on is said.
const REMIND: Duration = Duration::from_secs(60);
/// How often a disk that takes nothing is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked for what commands have noted.
const LOOK: Duration = Duration::from_secs(2);

/// Tells whoever waits whether it is durable; if not, why.
pub(super) type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the thread is asked for.
pub(super) enum Order {
    /// Record it.
    Event(Event, u64),
    /// Record it, together with others like it.
    Moved(Box<Transfer>),
    /// Record that a transfer begins, if that is not recorded yet, before anything goes out.
    Begin(Box<Transfer>, Reply),
    /// Record what was gathered of this retrieval.
    Settle(u64, Reply),
    /// Record what there is, sign it, and end.
    Stop(Reply),
}

/// See the top of the file.
pub(super) struct Writer {
    log: Log,
    config: Config,
    shared: Arc<Shared>,
    groups: Groups,
    replies: Vec<Reply>,
    /// Since when records wait for the disk.
    dirty: Option<Instant>,
    failed_at: Option<Instant>,
    complained: Option<Instant>,
    stopping: bool,
    /// Durable records that the metrics know of.
    counted: u64,
    /// When it was looked for what commands have noted, and the files that are taken in and not durable yet.
    looked: Instant,
    noted: Vec<PathBuf>,
}

impl Writer {
    pub(super) fn new(log: Log, config: Config, shared: Arc<Shared>) -> Self {
        Self {
            counted: log.durable(),
            log,
            config,
            shared,
            groups: Groups::default(),
            replies: Vec::new(),
            dirty: Some(Instant::now()),
            failed_at: None,
            complained: None,
            stopping: false,
            looked: Instant::now(),
            noted: Vec::new(),
        }
    }

    /// Works until it is told to stop, or nobody is left who could tell.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        while !self.stopping {
            match orders.recv_timeout(self.patience()) {
                Ok(order) => {
                    self.take(order);
                    orders.try_iter().take(BATCH).for_each(|order| self.take(order));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.stopping = true,
            }
            self.round();
        }
    }

    /// How long nothing has to be done, if nobody asks.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let group = self.groups.next_due(Duration::from_secs(self.config.group_seconds), now);
        let sync = self.dirty.map(|since| self.sync_after().saturating_sub(now - since));
        let idle = LOOK;
        let retry = self.failed_at.map(|_| RETRY);
        [group, sync, retry].into_iter().flatten().min().unwrap_or(idle).max(Duration::from_millis(1))
    }

    fn sync_after(&self) -> Duration {
        Duration::from_millis(self.config.sync_milliseconds)
    }

    fn take(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Event(event, unix_millis) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.append(&event, unix_millis);
            }
            Order::Moved(transfer) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                let begun = if transfer.ticket == 0 { self.groups.begin(&transfer, now) } else { None };
                let full = self.groups.add(*transfer, now);
                begun.iter().chain(&full).for_each(|event| self.append(event, now_unix_millis()));
            }
            Order::Begin(transfer, reply) => match self.groups.begin(&transfer, now) {
                Some(event) => {
                    let lost = self.shared.lost.load(Ordering::Relaxed);
                    self.append(&event, now_unix_millis());
                    if self.shared.lost.load(Ordering::Relaxed) == lost {
                        self.replies.push(reply);
                    } else {
                        self.groups.settle(transfer.ticket);
                        reply(Err("the audit trail takes no records".to_owned()));
                    }
                }
                // Either durable, or in the same round as this.
                None => self.replies.push(reply),
            },
            Order::Settle(ticket, reply) => {
                let events = self.groups.settle(ticket);
                for event in &events {
                    self.append(event, now_unix_millis());
                }
                self.replies.push(reply);
            }
            Order::Stop(reply) => {
                let events = self.groups.all();
                for event in &events {
                    self.append(event, now_unix_millis());
                }
                self.append(&Event::Stopped, now_unix_millis());
                self.stopping = true;
                self.replies.push(reply);
            }
        }
    }

    fn append(&mut self, event: &Event, unix_millis: u64) {
        self.log.prune(self.shared.sent_by_all());
        let message = message(event, unix_millis, &self.shared.source);
        match self.log.append(unix_millis, message) {
            Ok(()) => {
                self.dirty.get_or_insert_with(Instant::now);
            }
            Err(problem) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                metrics().audit.lost.inc();
                self.complain(&problem.to_string());
            }
        }
    }

    /// Takes in what commands have noted.
    fn take_in(&mut self, now: Instant) {
        if self.failed_at.is_some() || now.saturating_duration_since(self.looked) < LOOK && !self.stopping {
            return;
        }
        self.looked = now;
        for (path, unix_millis, event) in inbox::waiting(&self.config.folder) {
            self.append(&event, unix_millis);
            self.noted.push(path);
        }
        if !self.noted.is_empty() {
            self.dirty = Some(now.checked_sub(self.sync_after()).unwrap_or(now));
        }
    }

    /// Brings to the disk what has to be there by now, and tells who waits.
    fn round(&mut self) {
        let now = Instant::now();
        let events = self.groups.due(Duration::from_secs(self.config.group_seconds), now);
        for event in &events {
            self.append(event, now_unix_millis());
        }
        self.take_in(now);
        self.shared.tell_durable(self.log.durable());
        let signs = self.stopping || self.log.sign_in_time();
        let is_time = self.dirty.is_some_and(|since| since.elapsed() >= self.sync_after());
        if self.replies.is_empty() && !signs && !is_time {
            return;
        }
        let begun = Instant::now();
        let done = if self.stopping { self.log.seal() } else { self.log.commit() };
        let result = done.map_err(|error| error.to_string());
        match &result {
            Ok(()) => {
                metrics().audit.commit_seconds.observe(begun.elapsed().as_secs_f64());
                self.committed(signs);
            }
            Err(problem) => {
                self.failed_at = Some(now);
                self.shared.recording.store(false, Ordering::Relaxed);
                let problem = problem.clone();
                self.complain(&problem);
                // Not again before some time has gone by.
                self.dirty = Some(now);
            }
        }
        for reply in self.replies.drain(..) {
            reply(result.clone());
        }
    }

    fn committed(&mut self, signed: bool) {
        self.dirty = None;
        let durable = self.log.durable();
        metrics().audit.records.inc_by(durable.saturating_sub(self.counted));
        self.counted = durable;
        self.shared.recording.store(true, Ordering::Relaxed);
        self.shared.tell_durable(self.log.durable());
        if self.failed_at.take().is_some() {
            info!("the audit trail is written again");
        }
        self.complained = None;
        for path in self.noted.drain(..) {
            if let Err(problem) = fs::remove_file(&path) {
                error!(file = %path.display(), %problem, "what a command noted stays, and will be recorded again");
            }
        }
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} events could not be recorded and are lost");
            let alert = Alert::failed(What::TrailDamaged, text);
            self.append(&Event::Alert(Box::new(alert)), now_unix_millis());
        }
        if signed {
            self.log.keep_head();
            let (records, hash) = self.log.head_in_words();
            info!(records, hash, "audit trail signed");
        }
    }

    fn complain(&mut self, problem: &str) {
        if self.complained.is_none_or(|at| at.elapsed() >= REMIND) {
            let lost = self.shared.lost.load(Ordering::Relaxed);
            error!(problem, lost, alarm = true, "the audit trail cannot be written");
            self.complained = Some(Instant::now());
        }
    }
}
