//! Forwarding: what waits in the spool goes to its destinations, the oldest first, until each has it or somebody decides.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::backoff;
use super::gateway::Gateway;
use super::now_unix_millis;
use super::ticket::Ticket;
use super::waiting::Settled;
use crate::dicom::{Status, TransferSyntax};
use crate::policy::Destination;
use crate::scu::{Answer, Failure, Instance, Meaning, Source};
use crate::seal::random;
use crate::spool::{Content, Job, Order, SpoolError};

/// How often it is looked whether there is something to do, whatever else is heard.
const LOOK_SECONDS: u64 = 30;
/// Instances on their way to one destination at once; the pool limits the associations.
const LANES_MAX: usize = 4;

/// The workers of every destination.
pub struct Forwarder {
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Forwarder {
    /// Lets what is in hand finish.
    pub async fn close(mut self) {
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Starts to forward, for as long as the forwarder is not closed.
#[must_use]
pub fn forward(gateway: &Arc<Gateway>) -> Forwarder {
    let (ending, ended) = watch::channel(false);
    let news = Arc::new(Notify::new());
    let told = Arc::clone(&news);
    gateway.spool.on_work(move |_| told.notify_one());
    let mut tasks = JoinSet::new();
    tasks.spawn(supervise(Arc::clone(gateway), news, ended));
    Forwarder { ending, tasks }
}

/// One lane for each destination of the rules in force.
async fn supervise(gateway: Arc<Gateway>, news: Arc<Notify>, mut ended: watch::Receiver<bool>) {
    let mut lanes: HashMap<String, Arc<Notify>> = HashMap::new();
    let mut running = JoinSet::new();
    while !*ended.borrow() {
        for destination in (gateway.rules)().destinations() {
            let lane = lanes.entry(destination.name.clone()).or_insert_with(|| {
                let wake = Arc::new(Notify::new());
                let lane = Lane::new(
                    Arc::clone(&gateway),
                    destination.name.clone(),
                    Arc::clone(&wake),
                    ended.clone(),
                );
                running.spawn(lane.run());
                wake
            });
            lane.notify_one();
        }
        tokio::select! {
            () = news.notified() => {}
            _ = ended.changed() => {}
            () = sleep(Duration::from_secs(LOOK_SECONDS)) => {}
        }
    }
    lanes.values().for_each(|lane| lane.notify_one());
    while running.join_next().await.is_some() {}
}

/// The worker of one destination.
struct Lane {
    gateway: Arc<Gateway>,
    name: String,
    wake: Arc<Notify>,
    ended: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    /// Failures of the way to the destination since it last worked: then everything waits, not one instance after the other.
    down: Arc<std::sync::atomic::AtomicU32>,
}

impl Lane {
    fn new(gateway: Arc<Gateway>, name: String, wake: Arc<Notify>, ended: watch::Receiver<bool>) -> Self {
        let places = Arc::new(Semaphore::new(LANES_MAX));
        Self { gateway, name, wake, ended, places, down: Arc::default() }
    }

    async fn run(mut self) {
        let mut deliveries = JoinSet::new();
        while !*self.ended.borrow() {
            let now = now_unix_millis();
            let destination =
                (self.gateway.rules)().destinations().iter().find(|d| d.name == self.name).cloned();
            let free = if self.is_down() {
                self.places.available_permits().min(1)
            } else {
                self.places.available_permits()
            };
            let jobs = match &destination {
                Some(_) if free > 0 => self.gateway.spool.take(&self.name, now, free, Order::Any),
                _ => Ok(Vec::new()),
            };
            let jobs = jobs.unwrap_or_else(|problem| {
                error!(destination = self.name, error = %problem, "the spool gives nothing to forward");
                Vec::new()
            });
            let none = jobs.is_empty();
            for job in jobs {
                let Some(destination) = destination.clone() else { break };
                let place = Arc::clone(&self.places).acquire_owned().await;
                let (gateway, down, wake) =
                    (Arc::clone(&self.gateway), Arc::clone(&self.down), Arc::clone(&self.wake));
                deliveries.spawn(async move {
                    deliver(&gateway, &destination, job, &down).await;
                    drop(place);
                    wake.notify_one();
                });
            }
            while deliveries.try_join_next().is_some() {}
            if none || self.places.available_permits() == 0 {
                self.pause(now).await;
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    fn is_down(&self) -> bool {
        self.down.load(std::sync::atomic::Ordering::Relaxed) > 0
    }

    /// Until something happens, or the next delivery is due.
    async fn pause(&mut self, now: u64) {
        let due = self.gateway.spool.next_due_unix_millis(&self.name);
        let until =
            due.map_or(LOOK_SECONDS * 1000, |due| due.saturating_sub(now).clamp(50, LOOK_SECONDS * 1000));
        tokio::select! {
            _ended = timeout(Duration::from_millis(until), self.wake.notified()) => {}
            _ = self.ended.changed() => {}
        }
    }
}

/// Brings one instance to one destination, and ends the job with what came of it.
async fn deliver(
    gateway: &Gateway,
    destination: &Destination,
    job: Job,
    down: &std::sync::atomic::AtomicU32,
) {
    use std::sync::atomic::Ordering::Relaxed;
    let (entry, attempts) = (job.id(), job.attempts());
    let outcome = send(gateway, destination, &job).await;
    let now = now_unix_millis();
    let name = destination.name.as_str();
    let verdict = match outcome {
        Ok(answer) => {
            down.store(0, Relaxed);
            let warning = answer.filter(|answer| answer.status != Status::SUCCESS);
            match warning {
                Some(answer) => {
                    warn!(%entry, destination = name, status = %answer.status, "forwarded with a warning")
                }
                None => debug!(%entry, destination = name, "forwarded"),
            }
            let done = job.done(now);
            gateway.waiting.settle(entry, name, Settled::Taken);
            done
        }
        Err(Undelivered::Unreadable(problem)) => {
            error!(%entry, destination = name, error = %problem, "what is in the spool cannot be read");
            gateway.waiting.settle(entry, name, Settled::Failed);
            job.aside(&problem, now)
        }
        Err(Undelivered::Failure(failure)) => {
            let settled = failure.answer().map_or(Settled::Failed, |answer| Settled::Answered(answer.status));
            gateway.waiting.settle(entry, name, settled);
            let refused = is_refusal(&failure);
            if !refused {
                down.fetch_add(1, Relaxed);
            }
            let failures = attempts.saturating_add(1);
            if refused && failures >= gateway.config.refusals_max {
                error!(
                    %entry, destination = name, error = %failure, advice = failure.advice(),
                    "set aside: the destination refuses this instance; see `sealgate spool list`"
                );
                job.aside(&failure.to_string(), now)
            } else {
                let wait = backoff::millis(&gateway.config, failures, random().map_or(0, u16::from_be_bytes));
                info!(
                    %entry, destination = name, error = %failure, advice = failure.advice(), seconds = wait / 1000,
                    "not forwarded, trying again"
                );
                job.later(now.saturating_add(wait), &failure.to_string(), now)
            }
        }
    };
    if let Err(problem) = verdict {
        error!(%entry, destination = name, error = %problem, "the spool does not take what became of a delivery");
    }
}

enum Undelivered {
    /// It will never be delivered: our side is damaged.
    Unreadable(String),
    Failure(Failure),
}

/// The answer of the destination; none where it has the instance already.
async fn send(
    gateway: &Gateway,
    destination: &Destination,
    job: &Job,
) -> Result<Option<Answer>, Undelivered> {
    let unreadable = |problem: String| Undelivered::Unreadable(problem);
    let content = job.open().map_err(|problem| unreadable(problem.to_string()))?;
    let ticket = Ticket::read(&content.meta().bytes).map_err(|problem| unreadable(problem.to_string()))?;
    let syntax = TransferSyntax::by_uid(ticket.transfer_syntax.as_str())
        .ok_or_else(|| unreadable(format!("transfer syntax {} is unknown", ticket.transfer_syntax)))?;
    let target = gateway
        .target(destination)
        .ok_or_else(|| unreadable("the gateway has no AE title of its own".into()))?;
    let mut instance = Instance::new(ticket.sop_class, ticket.sop_instance, syntax);
    instance.length = Some(content.len());
    match gateway.pool.store(&target, &instance, &mut FromSpool(content)).await {
        Ok(answer) => Ok(Some(answer)),
        // It has the instance: from an earlier try whose answer was lost.
        Err(Failure::Status(answer)) if answer.status == Status::DUPLICATE_SOP_INSTANCE => Ok(None),
        Err(failure) => Err(Undelivered::Failure(failure)),
    }
}

/// Whether it is this instance that the destination does not want, rather than everything at the moment.
fn is_refusal(failure: &Failure) -> bool {
    match failure {
        Failure::NoContext { .. } => true,
        Failure::Status(answer) => {
            !matches!(Meaning::of(answer.status), Meaning::OutOfResources | Meaning::Cancelled)
        }
        _ => false,
    }
}

/// The content of an entry as the data set of a message.
struct FromSpool(Content);

impl Source for FromSpool {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let block = self.0.next_block().map_err(|problem: SpoolError| io::Error::other(problem))?;
        Ok((!block.is_empty()).then(|| Bytes::copy_from_slice(block)))
    }
}
