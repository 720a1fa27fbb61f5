//! The course of one request: wait until everything is forwarded, ask each PACS, tell the modality. Every step is on the
//! disk before the next begins, so that a restart goes on where it was.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::ask::{Item, Said, by_find, by_read_back, by_request};
use super::keep::keeps_other;
use super::known::{Place, places, reason};
use super::patience;
use super::reports::OnReport;
use super::tell;
use super::transaction::{Ask, Live, Reasons, Transaction};
use crate::dicom::Uid;
use crate::flow::gateway::Gateway;
use crate::flow::now_unix_millis;
use crate::policy::{Commitment, Destination};
use crate::scu::{CommitmentRequest, Failure};
use crate::seal::random;
use crate::spool::{SpoolError, State};

/// How often it is looked whether instances have been forwarded, whatever else is heard.
const LOOK_SECONDS: u64 = 5;
/// Transactions of ours that are remembered for one PACS.
const TRANSACTIONS_MAX: usize = 16;

/// Why work on a request ends early.
enum Stopped {
    /// Nothing can be kept; the next start goes on with it.
    Disk(SpoolError),
    Task,
}

impl From<SpoolError> for Stopped {
    fn from(error: SpoolError) -> Self {
        Self::Disk(error)
    }
}

/// Works on a request until the modality has been told.
pub(super) async fn work(gateway: Arc<Gateway>, live: Arc<Live>) {
    let transaction = live.now().transaction;
    match run(&gateway, &live).await {
        Ok(()) => gateway.commitments.end(&live),
        Err(Stopped::Disk(error)) => {
            error!(%transaction, %error, "a storage commitment cannot be worked on before the next start");
        }
        Err(Stopped::Task) => error!(%transaction, "a task of a storage commitment died"),
    }
}

async fn run(gateway: &Arc<Gateway>, live: &Arc<Live>) -> Result<(), Stopped> {
    let seconds = gateway.commitments.config.answer_seconds_max;
    let end = patience::end(live.now().received_unix_millis, seconds, now_unix_millis(), Instant::now());
    if live.now().asks.is_none() {
        gather(gateway, live, end).await?;
    }
    let mut asking = JoinSet::new();
    for index in 0..live.now().asks.map_or(0, |asks| asks.len()) {
        let (gateway, live) = (Arc::clone(gateway), Arc::clone(live));
        asking.spawn(async move { ask(&gateway, &live, index, end).await });
    }
    while let Some(asked) = asking.join_next().await {
        asked.map_err(|_| Stopped::Task)??;
    }
    if live.now().decided_unix_millis.is_none() {
        keep(gateway, live, |transaction| transaction.decided_unix_millis = Some(now_unix_millis())).await?;
    }
    tell::tell(gateway, live).await;
    Ok(())
}

async fn keep(
    gateway: &Arc<Gateway>,
    live: &Arc<Live>,
    change: impl FnOnce(&mut Transaction) + Send + 'static,
) -> Result<(), Stopped> {
    let (gateway, live) = (Arc::clone(gateway), Arc::clone(live));
    let kept = spawn_blocking(move || live.update(gateway.commitments.papers()?, change)).await;
    Ok(kept.map_err(|_| Stopped::Task)??)
}

async fn keep_ask(
    gateway: &Arc<Gateway>,
    live: &Arc<Live>,
    index: usize,
    change: impl FnOnce(&mut Ask) + Send + 'static,
) -> Result<(), Stopped> {
    keep(gateway, live, move |transaction| {
        if let Some(ask) = transaction.asks.as_mut().and_then(|asks| asks.get_mut(index)) {
            change(ask);
        }
    })
    .await
}

/// Waits until nothing of it is on its way any more, and decides who is to be asked for what.
async fn gather(gateway: &Arc<Gateway>, live: &Arc<Live>, end: Instant) -> Result<(), Stopped> {
    let transaction = live.now();
    while Instant::now() < end
        && transaction.references.iter().any(|one| is_on_its_way(gateway, &one.instance))
    {
        let news = gateway.commitments.news.notified();
        let _heard_or_not = timeout(Duration::from_secs(LOOK_SECONDS), news).await;
    }
    let (asked_of, references) = (Arc::clone(gateway), transaction.references.clone());
    let found = spawn_blocking(move || places(&asked_of, &references)).await.map_err(|_| Stopped::Task)??;
    let mut failed = Reasons::new();
    let mut asks: BTreeMap<String, Ask> = BTreeMap::new();
    for (number, (reference, place)) in transaction.references.iter().zip(found).enumerate() {
        let known = match place {
            Place::Unknown => Err(reason::NO_SUCH_INSTANCE),
            Place::Waiting => Err(reason::PROCESSING_FAILURE),
            Place::Settled(known) if known.class != reference.class => Err(reason::CLASS_CONFLICT),
            // An operator has given it up for one of its places.
            Place::Settled(known) if !known.dropped.is_empty() || known.at.is_empty() => {
                Err(reason::PROCESSING_FAILURE)
            }
            Place::Settled(known) => Ok(known),
        };
        let known = match known {
            Ok(known) => known,
            Err(reason) => {
                failed.insert(number, reason);
                continue;
            }
        };
        for destination in &known.at {
            let ask = asks.entry(destination.clone()).or_insert_with(|| Ask {
                destination: destination.clone(),
                items: Vec::new(),
                transactions: Vec::new(),
                asked_unix_millis: 0,
                reasons: None,
            });
            ask.items.push((number, (*known).clone()));
        }
    }
    info!(
        transaction = %transaction.transaction, instances = transaction.references.len(), failed = failed.len(),
        pacs = asks.len(), "everything is forwarded, the PACS are asked to commit themselves"
    );
    keep(gateway, live, move |transaction| {
        transaction.failed = failed;
        transaction.asks = Some(asks.into_values().collect());
    })
    .await
}

fn is_on_its_way(gateway: &Gateway, instance: &Uid) -> bool {
    let entries = gateway.spool.find(instance.as_str().as_bytes());
    entries.iter().any(|entry| entry.deliveries.iter().any(|one| !one.delivery.state.is_final()))
}

/// Asks one PACS until it has answered, or until there is no time left.
async fn ask(gateway: &Arc<Gateway>, live: &Arc<Live>, index: usize, end: Instant) -> Result<(), Stopped> {
    let transaction = live.now();
    expect(gateway, live, index);
    let (mut failures, mut again) = (0_u32, HashSet::new());
    let mut since = Instant::now();
    loop {
        let Some(asked) = live.ask(index) else { return Ok(()) };
        if let Some(reasons) = &asked.reasons {
            if !send_again(gateway, (&transaction, end), &asked, reasons, &mut again).await {
                return Ok(());
            }
            keep_ask(gateway, live, index, |ask| (ask.reasons, ask.asked_unix_millis) = (None, 0)).await?;
            since = Instant::now();
            continue;
        }
        let now = Instant::now();
        let destination =
            (gateway.rules)().destinations().iter().find(|one| one.name == asked.destination).cloned();
        let Some(destination) = destination.filter(|_| now < end) else {
            let name = asked.destination.as_str();
            warn!(transaction = %transaction.transaction, destination = name, "a PACS has not committed itself in time");
            keep_ask(gateway, live, index, |ask| ask.reasons = Some(ask.all_failed())).await?;
            return Ok(());
        };
        let settle = Duration::from_secs(gateway.commitments.config.settle_seconds);
        let settles = settle.saturating_sub(since.elapsed());
        let problem = match try_once(gateway, live, index, (&destination, &asked), !settles.is_zero()).await?
        {
            Ok(()) => continue,
            Err(problem) => problem,
        };
        failures = failures.saturating_add(1);
        let left = end.saturating_duration_since(now).max(Duration::from_millis(1));
        // A PACS that only needs a moment has its last chance when that is over.
        let left = if settles.is_zero() { left } else { left.min(settles) };
        let wait = Duration::from_millis(gateway.commitments.config.pause_millis(failures)).min(left);
        info!(
            transaction = %transaction.transaction, destination = destination.name, problem, seconds = wait.as_secs(),
            "a PACS is not known to have committed itself, asking again"
        );
        let mut changed = live.changed.subscribe();
        let reported = async {
            let _ = changed.wait_for(|_| live.ask(index).is_none_or(|ask| ask.reasons.is_some())).await;
        };
        let _reported_or_not = timeout(wait, reported).await;
    }
}

/// Expects the reports of everything that this PACS was asked under, also before a restart.
fn expect(gateway: &Arc<Gateway>, live: &Arc<Live>, index: usize) {
    let Some(ask) = live.ask(index) else { return };
    for transaction in &ask.transactions {
        expect_one(gateway, live, index, &ask.destination, transaction);
    }
}

fn expect_one(gateway: &Arc<Gateway>, live: &Arc<Live>, index: usize, destination: &str, transaction: &Uid) {
    let rules = (gateway.rules)();
    let Some(from) = rules.destinations().iter().find(|one| one.name == destination) else { return };
    let (weak, live) = (Arc::downgrade(gateway), Arc::clone(live));
    let on_report: OnReport = Arc::new(move |report| {
        let Some(gateway) = weak.upgrade() else { return Err(SpoolError::Failed("the gateway ends".into())) };
        let references = live.now().references;
        live.update_ask(gateway.commitments.papers()?, index, |ask| {
            // The first word counts: a second one comes from a PACS that was asked twice.
            if ask.reasons.is_none() {
                let said = Said::by_report(report, &ask.references(&references));
                ask.reasons = Some(ask.reasons_of(&said));
            }
        })
    });
    gateway.commitments.reports.expect(transaction.clone(), from.address.title.clone(), on_report);
}

/// One try; says in words why it came to nothing. While the PACS `settles` it may not have an instance yet.
async fn try_once(
    gateway: &Arc<Gateway>,
    live: &Arc<Live>,
    index: usize,
    (destination, asked): (&Destination, &Ask),
    settles: bool,
) -> Result<Result<(), String>, Stopped> {
    let Some(to) = gateway.target(destination) else {
        return Ok(Err("the gateway has no AE title of its own".to_owned()));
    };
    let references = live.now().references;
    let items = || -> Vec<Item> {
        let item = |(number, known): &(usize, _)| {
            let reference = references.get(*number)?.clone();
            Some(Item { reference, known: Clone::clone(known) })
        };
        asked.items.iter().filter_map(item).collect()
    };
    let said = match destination.commitment {
        Commitment::Request => return request(gateway, live, index, destination, asked).await,
        Commitment::Trust => vec![Said::Has; asked.items.len()],
        Commitment::Find => match by_find(gateway, &to, &items()).await {
            Ok(said) => said,
            Err(failure) => return Ok(Err(in_words(&failure))),
        },
        Commitment::ReadBack => match by_read_back(gateway, &to, &items()).await {
            Ok(said) => said,
            Err(failure) => return Ok(Err(in_words(&failure))),
        },
    };
    let is_absent = |said: &&Said| matches!(said, Said::Lost(_));
    if let Some(Said::Lost(why)) = said.iter().find(is_absent).filter(|_| settles) {
        return Ok(Err(why.clone()));
    }
    for (number, said) in asked.items.iter().map(|(number, _)| number).zip(&said) {
        let (Some(reference), name) = (references.get(*number), &destination.name) else { continue };
        let instance = &reference.instance;
        match said {
            Said::Lost(why) | Said::Unclear(why) => {
                warn!(destination = name, %instance, why, "a PACS does not have an instance it took");
            }
            Said::OtherVersion(why) => keeps_other(gateway, name, instance, why),
            Said::Has | Said::Refuses(_) => {}
        }
    }
    if let Some(Said::Unclear(why)) = said.iter().find(|said| matches!(said, Said::Unclear(_))) {
        return Ok(Err(why.clone()));
    }
    let reasons = asked.reasons_of(&said);
    keep_ask(gateway, live, index, |ask| ask.reasons = Some(reasons)).await?;
    Ok(Ok(()))
}

fn in_words(failure: &Failure) -> String {
    format!("{failure}. {}", failure.advice())
}

/// Asks for a commitment, or goes on waiting for the report of one that was asked for before a restart.
async fn request(
    gateway: &Arc<Gateway>,
    live: &Arc<Live>,
    index: usize,
    destination: &Destination,
    asked: &Ask,
) -> Result<Result<(), String>, Stopped> {
    let patience = gateway.commitments.config.report_seconds_max.saturating_mul(1000);
    let mut until = asked.asked_unix_millis.saturating_add(patience);
    let mut changed = live.changed.subscribe();
    let mut reported = async || {
        let _ = changed.wait_for(|_| live.ask(index).is_none_or(|ask| ask.reasons.is_some())).await;
    };
    if asked.transactions.is_empty() || now_unix_millis() >= until {
        let Some(to) = gateway.target(destination) else {
            return Ok(Err("the gateway has no AE title of its own".to_owned()));
        };
        let transaction = match own_transaction() {
            Ok(transaction) => transaction,
            Err(problem) => return Ok(Err(problem)),
        };
        let (now, own) = (now_unix_millis(), transaction.clone());
        keep_ask(gateway, live, index, move |ask| {
            ask.transactions.push(own);
            let surplus = ask.transactions.len().saturating_sub(TRANSACTIONS_MAX);
            ask.transactions.drain(..surplus);
            ask.asked_unix_millis = now;
        })
        .await?;
        expect_one(gateway, live, index, &destination.name, &transaction);
        let request = CommitmentRequest { transaction, references: asked.references(&live.now().references) };
        let place = gateway.commitments.places.acquire().await;
        let sent = by_request(gateway, &to, &request, &gateway.commitments.reports, reported()).await;
        drop(place);
        if let Err(failure) = sent {
            // It was not asked: nothing is to be waited for.
            keep_ask(gateway, live, index, |ask| ask.asked_unix_millis = 0).await?;
            return Ok(Err(in_words(&failure)));
        }
        info!(destination = destination.name, transaction = %request.transaction, "a PACS was asked to commit itself");
        until = now.saturating_add(patience);
    }
    // No longer than that, should the clock be set back.
    let left = until.saturating_sub(now_unix_millis()).min(patience);
    let in_time = timeout(Duration::from_millis(left), reported()).await;
    Ok(in_time.map_err(|_| "it was asked and has not reported".to_owned()))
}

/// A transaction of our own.
pub(super) fn own_transaction() -> Result<Uid, String> {
    random().map(Uid::of_bits).map_err(|error| error.to_string())
}

/// Sends what a PACS has lost once more where the spool still has it; whether there was any, and it has been delivered.
async fn send_again(
    gateway: &Arc<Gateway>,
    (transaction, end): (&Transaction, Instant),
    ask: &Ask,
    reasons: &Reasons,
    sent: &mut HashSet<usize>,
) -> bool {
    let mut any = false;
    for (number, reason) in reasons {
        let Some(reference) = transaction.references.get(*number) else { continue };
        if *reason != reason::NO_SUCH_INSTANCE || !sent.insert(*number) {
            continue;
        }
        let is_done = |one: &crate::spool::DeliverySummary| {
            one.destination == ask.destination && one.delivery.state == State::Done
        };
        let entries = gateway.spool.find(reference.instance.as_str().as_bytes());
        // Of several versions the last one: an earlier one would take its place.
        let newest = entries.into_iter().rfind(|entry| entry.deliveries.iter().any(is_done));
        if let Some(entry) = newest {
            let (gateway, destination) = (Arc::clone(gateway), ask.destination.clone());
            let again = spawn_blocking(move || {
                let why = "the PACS does not have it any more";
                gateway.spool.send_again(entry.id, &destination, why, now_unix_millis())
            });
            any |= matches!(again.await, Ok(Ok(true)));
        }
    }
    if any {
        warn!(destination = ask.destination, "instances that a PACS has lost are sent once more");
        let waits = || transaction.references.iter().any(|one| is_on_its_way(gateway, &one.instance));
        while waits() && Instant::now() < end {
            sleep(Duration::from_millis(500)).await;
        }
    }
    any
}
