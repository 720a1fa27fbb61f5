//! One instance on its way to one destination: whose fault a failure is, and what becomes of the delivery.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::backoff;
use super::places::Place;
use super::way::Way;
use crate::audit::{self, Alert, Kind, Party, Transfer, What};
use crate::dicom::{Encoding, Status, TransferSyntax};
use crate::flow::commitment;
use crate::flow::gateway::Gateway;
use crate::flow::now_unix_millis;
use crate::flow::steps::{Step, reached};
use crate::flow::ticket::{Protection, Ticket};
use crate::flow::waiting::Settled;
use crate::policy::Destination;
use crate::scu::{Answer, Destination as Target, Failure, Instance, Meaning, Source, store};
use crate::seal::{Peek, random};
use crate::spool::{Content, EntryId, Job, SpoolError};
use crate::telemetry::metrics::{ByDestination, DestinationOutcome, metrics};

/// What to do where a destination keeps what it had.
const CHOOSE_A_VERSION: &str =
    "Look which version it has. Delete that one there and retry, or drop this one: `sealgate spool`.";

/// How often a destination has refused which instance since the start. Failures of the way to it do not count.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<EntryId, u32>>);

impl Refusals {
    /// Counts one more.
    fn count(&self, entry: EntryId) -> u32 {
        let mut refusals = self.lock();
        let count = refusals.entry(entry).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn forget(&self, entry: EntryId) {
        self.lock().remove(&entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EntryId, u32>> {
        // The map is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an instance was not delivered, by what is to be done.
enum Undelivered {
    /// Our side is damaged: it will never be delivered.
    Damaged(String),
    /// Our disk does not give it now.
    Unread(String),
    /// The destination does not want this instance.
    Refused(Failure),
    /// The destination has an earlier version of it, and keeps that.
    KeepsEarlier(Failure),
    /// Nothing goes there at the moment, or this instance does not.
    Down(Failure),
    /// There was no association to send it on: that has nothing to do with the instance.
    Unreached(Failure),
    /// We are ending.
    Ending,
}

/// What becomes of a job, once it is durable.
enum Verdict {
    Done,
    Later {
        at_unix_millis: u64,
        why: String,
    },
    /// Our side is damaged.
    Aside(String),
    /// The destination does not want it, and what to do about that.
    Refused(String, &'static str),
    /// The job is dropped, and waits as before.
    None,
}

impl Verdict {
    /// What there is to say once it is set aside for good.
    fn refused(&self) -> Option<(String, &'static str)> {
        match self {
            Self::Refused(why, advice) => Some((why.clone(), advice)),
            _ => None,
        }
    }

    /// Returns when it is durable, without holding up what else goes on.
    async fn settle(self, job: Job) -> Result<(), SpoolError> {
        let settled = spawn_blocking(move || match self {
            Self::Done => job.done(now_unix_millis()),
            Self::Later { at_unix_millis, why } => job.later(at_unix_millis, &why, now_unix_millis()),
            Self::Aside(why) | Self::Refused(why, _) => job.aside(&why, now_unix_millis()),
            Self::None => Ok(()),
        });
        settled.await.unwrap_or_else(|broken| Err(SpoolError::Failed(broken.to_string())))
    }
}

/// Brings one instance to one destination, and ends the job with what came of it. `place` is free for the next one as soon
/// as the destination has this one.
pub(super) async fn deliver(
    gateway: &Arc<Gateway>,
    destination: &Destination,
    job: Job,
    refusals: &Refusals,
    place: Place,
) {
    let (entry, name) = (job.id(), destination.name.as_str());
    let instance = String::from_utf8_lossy(job.key()).into_owned();
    let begun = Instant::now();
    reached(Step::BeforeForward);
    let sent = send(gateway, destination, &job).await;
    reached(Step::BeforeVerdict);
    let settled = heard(&sent);
    let (outcome, verdict) = match sent {
        Ok((answer, ticket, patient)) => {
            metrics().forward.seconds.took(&ByDestination::of(name), begun.elapsed());
            gateway.trail.moved(|| forwarded(destination, ticket, patient));
            gateway.ways.change(name, Way::worked);
            refusals.forget(entry);
            let _settling = place.leave().await;
            let done = Verdict::Done.settle(job).await;
            if answer.status == Status::SUCCESS {
                info!(%entry, instance, destination = name, "forwarded");
            } else {
                warn!(%entry, instance, destination = name, status = %answer.status, "forwarded with a warning");
            }
            ("forwarded", done)
        }
        Err(undelivered) => {
            let (outcome, verdict) = put_off(gateway, name, &job, undelivered, refusals);
            let refused = verdict.refused();
            let settled = verdict.settle(job).await;
            if let Some((problem, advice)) = refused {
                say_set_aside(gateway, name, entry, &instance, &problem, advice);
            }
            (outcome, settled)
        }
    };
    reached(Step::VerdictDurable);
    // When the verdict is durable: who waited for it may be told.
    gateway.waiting.settle(entry, name, &settled);
    if verdict.is_ok() {
        metrics().forward.instances.count(&DestinationOutcome::of(name, outcome));
    }
    if let Err(problem) = verdict {
        error!(%entry, destination = name, error = %problem, "the spool does not take what became of a delivery");
    }
}

/// What whoever waits for the delivery is told.
fn heard(sent: &Result<(Answer, Ticket, Option<String>), Undelivered>) -> Settled {
    match sent {
        Ok((answer, ..)) if Meaning::of(answer.status) == Meaning::Warning => Settled::Taken(answer.status),
        // It has the instance, from an earlier try, or it will be found out.
        Ok(_) => Settled::Taken(Status::SUCCESS),
        Err(
            Undelivered::Refused(failure) | Undelivered::KeepsEarlier(failure) | Undelivered::Down(failure),
        ) => failure.answer().map_or(Settled::Failed, |answer| Settled::Answered(answer.status)),
        Err(_) => Settled::Failed,
    }
}

/// An instance that a destination has now, as the audit trail has it.
fn forwarded(destination: &Destination, ticket: Ticket, patient: Option<String>) -> Transfer {
    let address = &destination.address;
    Transfer {
        kind: Kind::Forwarded,
        source: Party::named("sealgate"),
        destination: Party::named(&destination.name).titled(address.title.as_str()).at(&address.host),
        requestor: None,
        study: ticket.study,
        patient,
        instances: vec![audit::Instance { class: ticket.sop_class, uid: ticket.sop_instance, key_id: None }],
        sealed: ticket.seal != Protection::Clear,
        grant: None,
        failure: None,
        ticket: 0,
    }
}

/// What becomes of a delivery that failed, in a word and for the spool.
fn put_off(
    gateway: &Gateway,
    name: &str,
    job: &Job,
    undelivered: Undelivered,
    refusals: &Refusals,
) -> (&'static str, Verdict) {
    let (entry, now) = (job.id(), now_unix_millis());
    let random = random().map_or(0, u16::from_be_bytes);
    let own = backoff::millis(&gateway.config, job.attempts().saturating_add(1), random);
    let (why, advice, wait) = match undelivered {
        Undelivered::Ending => return ("ending", Verdict::None),
        Undelivered::Damaged(problem) => {
            error!(%entry, destination = name, error = problem, "what is in the spool cannot be read");
            return ("aside", Verdict::Aside(problem));
        }
        Undelivered::Unread(problem) => {
            error!(%entry, destination = name, error = problem, "the disk does not give what is in the spool");
            (problem, "Look at the disk.", own)
        }
        Undelivered::KeepsEarlier(failure) => {
            refusals.forget(entry);
            let why = format!("the destination keeps an earlier version of this instance: {failure}");
            return ("aside", Verdict::Refused(why, CHOOSE_A_VERSION));
        }
        Undelivered::Refused(failure) if refusals.count(entry) >= gateway.config.refusals_max => {
            refusals.forget(entry);
            return ("aside", Verdict::Refused(failure.to_string(), failure.advice()));
        }
        Undelivered::Refused(failure) => (failure.to_string(), failure.advice(), own),
        // Others go first when the rest is over: one that is answered so for ever must not be what tries the way each time.
        // Its own wait grows with its own failures.
        Undelivered::Down(failure) => {
            (failure.to_string(), failure.advice(), rest_of(gateway, name, random).saturating_add(own))
        }
        // It goes as soon as there is a way, however long there was none.
        Undelivered::Unreached(failure) => {
            (failure.to_string(), failure.advice(), rest_of(gateway, name, random))
        }
    };
    info!(%entry, destination = name, error = why, advice, seconds = wait / 1000, "not forwarded, trying again");
    ("later", Verdict::Later { at_unix_millis: now.saturating_add(wait), why })
}

/// A delivery has failed, not for the instance's sake: for how many milliseconds the way is left alone.
fn rest_of(gateway: &Gateway, name: &str, random: u16) -> u64 {
    let at = Instant::now();
    gateway.ways.change(name, |way| way.failed(&gateway.config, random, at));
    let rest = gateway.ways.of(name).rest(at).unwrap_or_default();
    u64::try_from(rest.as_millis()).unwrap_or(u64::MAX)
}

/// An instance waits for somebody to decide, and that is on the disk.
fn say_set_aside(
    gateway: &Gateway,
    name: &str,
    entry: EntryId,
    instance: &str,
    problem: &str,
    advice: &'static str,
) {
    let text = format!("{name}: {problem}");
    gateway.trail.alert(Alert::failed(What::SetAside, text).about(instance));
    error!(
        %entry, instance, destination = name, error = problem, advice,
        "set aside: the destination refuses this instance; see `sealgate spool list`"
    );
}

/// The answer of a destination that has the instance now, and the patient that it says it is of.
async fn send(
    gateway: &Arc<Gateway>,
    destination: &Destination,
    job: &Job,
) -> Result<(Answer, Ticket, Option<String>), Undelivered> {
    let content = job.open().map_err(|problem| match problem {
        problem @ SpoolError::Disk { .. } => Undelivered::Unread(problem.to_string()),
        problem => Undelivered::Damaged(problem.to_string()),
    })?;
    let damaged = Undelivered::Damaged;
    let ticket = Ticket::read(&content.meta().bytes).map_err(|problem| damaged(problem.to_string()))?;
    let syntax = TransferSyntax::by_uid(ticket.transfer_syntax.as_str())
        .ok_or_else(|| damaged(format!("transfer syntax {} is unknown", ticket.transfer_syntax)))?;
    let target = gateway
        .target(destination)
        .ok_or_else(|| damaged("the gateway has no AE title of its own".into()))?;
    let mut instance = Instance::new(ticket.sop_class.clone(), ticket.sop_instance.clone(), syntax);
    instance.length = Some(content.len());
    let looks_on = gateway.trail.is_on().then_some(syntax.encoding);
    let mut source = FromSpool::new(content, looks_on);
    let stored = store_on_pool(gateway, &target, &instance, job, &mut source).await;
    match stored.map_err(Undelivered::without_association)? {
        Ok(answer) => Ok((answer, ticket, source.patient())),
        Err(Failure::Status(answer)) if answer.status == Status::DUPLICATE_SOP_INSTANCE => {
            if may_keep_earlier(gateway, destination, job, &ticket).await {
                return Err(Undelivered::KeepsEarlier(Failure::Status(answer)));
            }
            Ok((*answer, ticket, source.patient()))
        }
        Err(failure) => Err(Undelivered::of(failure)),
    }
}

/// Sends it on an association of the pool; an error where there is none. One that was idle may be dead, and nobody has told
/// us: that is no failure of the way, and the instance goes out at once on a new one.
async fn store_on_pool(
    gateway: &Gateway,
    target: &Target,
    instance: &Instance,
    job: &Job,
    source: &mut FromSpool,
) -> Result<Result<Answer, Failure>, Failure> {
    let mut lease = gateway.pool.lease(target, &instance.need()).await?;
    let stored = store(&mut lease, instance, source).await;
    match stored {
        Err(failure) if lease.was_idle() && failure.may_be_of_the_association() => {
            drop(lease);
            let (entry, peer) = (job.id(), &target.address);
            info!(%entry, %peer, error = %failure, "an association that was idle is dead, sending on a new one");
            gateway.pool.distrust(target);
            let again = job.open().map_err(|problem| Failure::Source(io::Error::other(problem)))?;
            *source = FromSpool::new(again, source.encoding);
            let mut lease = gateway.pool.lease(target, &instance.need()).await?;
            Ok(store(&mut lease, instance, source).await)
        }
        stored => Ok(stored),
    }
}

/// Whether a destination that says that it has the instance may mean an earlier version of it. Else it is the one of an
/// earlier try, whose answer was lost; or reading it back will tell.
async fn may_keep_earlier(
    gateway: &Arc<Gateway>,
    destination: &Destination,
    job: &Job,
    ticket: &Ticket,
) -> bool {
    if commitment::is_read_back(gateway, job.id(), destination) {
        return false;
    }
    let (gateway, sequence, ticket) = (Arc::clone(gateway), job.sequence(), ticket.clone());
    spawn_blocking(move || commitment::came_before(&gateway, sequence, &ticket)).await.unwrap_or(true)
}

impl Undelivered {
    /// Sorts a failure: is it this instance that the destination does not want, or everything at the moment?
    fn of(failure: Failure) -> Self {
        match failure {
            Failure::Ending => Self::Ending,
            Failure::Source(problem) => Self::Unread(problem.to_string()),
            Failure::NoContext { .. } => Self::Refused(failure),
            Failure::Status(ref answer) => match Meaning::of(answer.status) {
                Meaning::OutOfResources | Meaning::Cancelled => Self::Down(failure),
                _ => Self::Refused(failure),
            },
            failure => Self::Down(failure),
        }
    }

    /// The same where no association came about.
    fn without_association(failure: Failure) -> Self {
        match Self::of(failure) {
            Self::Down(failure) => Self::Unreached(failure),
            other => other,
        }
    }
}

/// The content of an entry as the data set of a message, looked at on its way: the spool itself keeps nothing of the patient.
struct FromSpool {
    content: Content,
    /// For the audit trail, where there is one.
    peek: Option<Peek>,
    encoding: Option<Encoding>,
    looks_on: bool,
}

impl FromSpool {
    /// Looked at where its encoding is told.
    fn new(content: Content, encoding: Option<Encoding>) -> Self {
        Self { content, peek: encoding.map(Peek::up_to_study), encoding, looks_on: true }
    }

    fn patient(self) -> Option<String> {
        self.peek?.found.patient
    }
}

impl Source for FromSpool {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let block = self.content.next_block().map_err(|problem: SpoolError| io::Error::other(problem))?;
        if let (true, Some(peek)) = (self.looks_on, &mut self.peek) {
            // What it cannot read is the destination's to refuse.
            self.looks_on = peek.push(block).unwrap_or(false) && !block.is_empty();
        }
        Ok((!block.is_empty()).then(|| Bytes::copy_from_slice(block)))
    }
}
