//! What stays in the spool after it was delivered: until it is in the history, and until its PACS is known to have it.
//!
//! Flags of an entry say what it waits for. Bit 0: its line in the history, without which nobody could say later that it
//! was ever here. Bit `1 + n`: the confirmation of its `n`th destination, by `purge_after`. A confirmation that fails puts
//! the delivery back to the start: the PACS has lost the instance, and gets it once more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error, info, warn};

use super::ask::{Item, Said, by_find, by_read_back, by_request};
use super::known::Known;
use super::reports::OnReport;
use super::work::own_transaction;
use crate::audit::{Alert, What};
use crate::dicom::Uid;
use crate::flow::gateway::Gateway;
use crate::flow::now_unix_millis;
use crate::policy::{Commitment, Destination, PurgeAfter, Right, Rules};
use crate::scu::{CommitmentRequest, Reference};
use crate::spool::{EntryId, SpoolError, State, Summary};

/// Waits for its line in the history.
const NOTE: u32 = 1;
/// Entries whose lines are written in one go.
const NOTES_MAX: usize = 256;
/// Instances that a PACS is asked for in one go.
const ASKED_MAX: usize = 200;
/// Times that a PACS may lose an instance before that is an alarm.
const LOST_MAX: u32 = 3;

/// Waits for the confirmation of this destination.
fn confirmation(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 2_u32.checked_shl(index)).unwrap_or_default()
}

/// The flags that an entry for these destinations begins with.
#[must_use]
pub fn holds(rules: &Rules, destinations: &[String]) -> u32 {
    let indices = destinations.iter().enumerate();
    let confirmations = indices.fold(0, |flags, (index, name)| flags | holds_at(rules, name, index));
    let commits = rules.peers().any(|peer| peer.may.contains(&Right::Commit));
    if commits { confirmations | NOTE } else { confirmations }
}

/// The flags that an entry gets for a destination that is its so manieth, counted from 0.
#[must_use]
pub fn holds_at(rules: &Rules, destination: &str, index: usize) -> u32 {
    let mut named = rules.destinations().iter().filter(|one| one.name == destination);
    if named.any(|one| one.confirmation().is_some()) { confirmation(index) | NOTE } else { 0 }
}

/// What an entry waits for at its `index`th destination after it was delivered there, in the words of the configuration.
#[must_use]
pub fn kept_until(holds: u32, index: usize, destination: Option<&Destination>) -> Option<&'static str> {
    if holds & confirmation(index) == 0 {
        return None;
    }
    match destination.map(|one| one.purge_after) {
        Some(PurgeAfter::Committed) => Some("committed"),
        Some(PurgeAfter::ReadBack) => Some("read-back"),
        // The configuration has changed since; the service looks after it at its next start.
        Some(PurgeAfter::Stored) | None => Some("stored"),
    }
}

/// Whether an entry stays until it was read back from this destination.
pub(in crate::flow) fn is_read_back(gateway: &Gateway, id: EntryId, destination: &Destination) -> bool {
    let index_in = |summary: &Summary| {
        summary.deliveries.iter().position(|one| one.destination == destination.name).unwrap_or(usize::MAX)
    };
    let summary = gateway.spool.show(id);
    destination.confirmation() == Some(Commitment::ReadBack)
        && summary.is_ok_and(|summary| summary.holds & confirmation(index_in(&summary)) != 0)
}

/// Says that a PACS has another version of an instance than the one that was taken in last.
pub(super) fn keeps_other(gateway: &Gateway, destination: &str, instance: &Uid, why: &str) {
    let text = format!("{destination} keeps another version: {why}");
    gateway.trail.alert(Alert::failed(What::SetAside, text).about(instance));
    error!(
        destination, %instance, why, alarm = true,
        "a PACS keeps another version of an instance than the one that it was sent last"
    );
}

/// What waits to be asked of one PACS.
struct Batch {
    entries: BTreeSet<EntryId>,
    due: Instant,
    is_running: bool,
    failures: u32,
}

/// What came of asking: what each entry waits for again, if it does.
struct Asked {
    destination: String,
    /// To be asked about once more.
    again: Vec<EntryId>,
    /// The PACS has lost these, and gets them once more.
    lost: Vec<EntryId>,
    failed: bool,
}

struct Care {
    gateway: Arc<Gateway>,
    batches: HashMap<String, Batch>,
    asking: JoinSet<Asked>,
    lost: HashMap<EntryId, u32>,
    unnoted: Unnoted,
}

/// Delivered entries whose history the disk did not take, and when it is tried again.
struct Unnoted {
    entries: BTreeSet<EntryId>,
    due: Instant,
    failures: u32,
}

/// Takes care of what is held, for as long as entries come.
pub(super) async fn care(gateway: Arc<Gateway>, mut held: mpsc::UnboundedReceiver<EntryId>) {
    let unnoted = Unnoted { entries: BTreeSet::new(), due: Instant::now(), failures: 0 };
    let (batches, lost) = (HashMap::new(), HashMap::new());
    let mut care = Care { gateway, batches, asking: JoinSet::new(), lost, unnoted };
    let mut clock = interval(Duration::from_millis(500));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            id = held.recv() => {
                let Some(id) = id else { return };
                let mut ids = vec![id];
                while let (true, Ok(id)) = (ids.len() < NOTES_MAX, held.try_recv()) {
                    ids.push(id);
                }
                care.take(&ids).await;
            }
            Some(asked) = care.asking.join_next() => match asked {
                Ok(asked) => care.asked(&asked),
                Err(problem) => error!(error = %problem, "a task that takes care of the spool died"),
            },
            _ = clock.tick() => {
                care.note_again().await;
                care.ask();
            }
        }
    }
}

impl Care {
    /// Looks what each of these waits for.
    async fn take(&mut self, ids: &[EntryId]) {
        let rules = (self.gateway.rules)();
        let (mut notes, mut cleared) = (Vec::new(), Vec::new());
        let summaries: Vec<Summary> = ids.iter().filter_map(|id| self.gateway.spool.show(*id).ok()).collect();
        for summary in summaries {
            if summary.deliveries.iter().any(|one| !one.delivery.state.is_final()) {
                continue;
            }
            let (mut over, mut waits) = (0, false);
            for (index, delivery) in summary.deliveries.iter().enumerate() {
                let flag = confirmation(index) & summary.holds;
                let destination = rules.destinations().iter().find(|one| one.name == delivery.destination);
                let is_confirmed = destination.is_some_and(|one| one.confirmation().is_some());
                if flag != 0 && is_confirmed && delivery.delivery.state == State::Done {
                    waits = true;
                    self.put(&delivery.destination, summary.id);
                } else {
                    over |= flag;
                }
            }
            if !waits {
                notes.push(summary);
            } else if over != 0 {
                cleared.push((summary.id, over));
            }
        }
        let touched: Vec<EntryId> =
            notes.iter().map(|one| one.id).chain(cleared.iter().map(|one| one.0)).collect();
        let gateway = Arc::clone(&self.gateway);
        let noted = spawn_blocking(move || {
            gateway.spool.release_all(&cleared)?;
            note(&gateway, &mut notes)
        });
        match noted.await {
            Ok(Ok(())) => self.unnoted.failures = 0,
            Ok(Err(error)) => self.not_noted(touched, &error),
            Err(error) => error!(%error, "a task that takes care of the spool died"),
        }
    }

    /// A disk that is full has room again some day. After a failed fsync only a restart finds out what it holds.
    fn not_noted(&mut self, entries: Vec<EntryId>, error: &SpoolError) {
        error!(%error, "entries that are delivered stay in the spool, their history cannot be written");
        if matches!(error, SpoolError::Failed(_)) {
            return;
        }
        let Unnoted { entries: waiting, due, failures } = &mut self.unnoted;
        waiting.extend(entries);
        *failures = failures.saturating_add(1);
        *due =
            Instant::now() + Duration::from_millis(self.gateway.commitments.config.pause_millis(*failures));
    }

    /// Tries what could not be written once more, when it is time to.
    async fn note_again(&mut self) {
        while self.unnoted.due <= Instant::now() && !self.unnoted.entries.is_empty() {
            let waiting = &mut self.unnoted.entries;
            let ids: Vec<EntryId> = std::iter::from_fn(|| waiting.pop_first()).take(NOTES_MAX).collect();
            self.take(&ids).await;
        }
    }

    fn put(&mut self, destination: &str, id: EntryId) {
        let gather = Duration::from_secs(self.gateway.commitments.config.gather_seconds);
        let batch = self.batches.entry(destination.to_owned()).or_insert_with(|| Batch {
            entries: BTreeSet::new(),
            due: Instant::now() + gather,
            is_running: false,
            failures: 0,
        });
        if batch.entries.is_empty() && batch.failures == 0 {
            batch.due = Instant::now() + gather;
        }
        batch.entries.insert(id);
    }

    /// Asks every PACS that it is time to ask.
    fn ask(&mut self) {
        let rules = (self.gateway.rules)();
        for (name, batch) in &mut self.batches {
            if batch.is_running || batch.entries.is_empty() || batch.due > Instant::now() {
                continue;
            }
            let Some(destination) = rules.destinations().iter().find(|one| one.name == *name) else {
                continue;
            };
            let mut ids = Vec::new();
            while let (true, Some(id)) = (ids.len() < ASKED_MAX, batch.entries.pop_first()) {
                ids.push(id);
            }
            batch.is_running = true;
            self.asking.spawn(confirm(Arc::clone(&self.gateway), destination.clone(), ids));
        }
    }

    fn asked(&mut self, asked: &Asked) {
        let config = &self.gateway.commitments.config;
        let Some(batch) = self.batches.get_mut(&asked.destination) else { return };
        batch.is_running = false;
        batch.entries.extend(&asked.again);
        let mut stays_lost = false;
        for id in &asked.lost {
            let times = self.lost.entry(*id).or_default();
            *times = times.saturating_add(1);
            if *times >= LOST_MAX {
                stays_lost = true;
                error!(entry = %id, destination = asked.destination, times, alarm = true, "a PACS loses an instance again and again");
            }
        }
        if asked.failed || stays_lost {
            batch.failures = batch.failures.saturating_add(1);
            batch.due = Instant::now() + Duration::from_millis(config.pause_millis(batch.failures));
        } else {
            batch.failures = 0;
        }
        if self.lost.len() > NOTES_MAX * NOTES_MAX {
            self.lost.clear();
        }
    }
}

/// Writes the history of entries, and lets them go. Blocks on the disk.
fn note(gateway: &Gateway, summaries: &mut [Summary]) -> Result<(), SpoolError> {
    let mut lines = Vec::new();
    // Of two versions the later one has the last word.
    summaries.sort_unstable_by_key(|summary| summary.sequence);
    for summary in &*summaries {
        let content = gateway.spool.read(summary.id)?;
        let known = Known::of(summary, content.meta());
        if let Some(known) = known.filter(|known| !known.at.is_empty()) {
            let line = serde_json::to_string(&known).expect("it has nothing that JSON lacks");
            lines.push((String::from_utf8_lossy(&summary.key).into_owned(), line));
        }
    }
    if let (Some(history), false) = (&gateway.commitments.history, lines.is_empty()) {
        let lines = lines.iter().map(|(key, line)| (key.as_str(), line.as_str()));
        history.add(lines, now_unix_millis())?;
    }
    let all: Vec<(EntryId, u32)> = summaries.iter().map(|one| (one.id, u32::MAX)).collect();
    gateway.spool.release_all(&all)
}

/// Asks one PACS about entries that it was sent, and does what follows from the answer.
async fn confirm(gateway: Arc<Gateway>, destination: Destination, ids: Vec<EntryId>) -> Asked {
    let name = destination.name.clone();
    let asked = |again, lost, failed| Asked { destination: name.clone(), again, lost, failed };
    let (reader, wanted) = (Arc::clone(&gateway), ids.clone());
    let of = name.clone();
    let read = spawn_blocking(move || turns(&reader, &of, wanted));
    let Turns { items, superseded, postponed } = read.await.unwrap_or_default();
    let only: Vec<Item> = items.iter().map(|(_, item)| item.clone()).collect();
    let said = match find_out(&gateway, &destination, &only).await {
        Ok(said) => said,
        Err(problem) => {
            warn!(
                destination = name,
                problem,
                entries = ids.len(),
                "a PACS is not known to have what it took, asking again"
            );
            return asked(ids, Vec::new(), true);
        }
    };
    let (mut again, mut lost, mut confirmed) = (postponed, Vec::new(), superseded);
    let mut aside = Vec::new();
    for ((id, item), said) in items.into_iter().zip(said) {
        let instance = item.reference.instance;
        match said {
            Said::Has => confirmed.push(id),
            Said::Lost(why) => {
                error!(entry = %id, destination = name, %instance, why, "a PACS has lost an instance that it took; it is sent once more");
                lost.push((id, why));
            }
            Said::OtherVersion(why) => {
                keeps_other(&gateway, &name, &instance, &why);
                aside.push((id, why));
            }
            Said::Refuses(_) | Said::Unclear(_) => {
                warn!(entry = %id, destination = name, %instance, said = ?said, "a PACS does not commit itself to an instance, asking again");
                again.push(id);
            }
        }
    }
    info!(
        destination = name,
        confirmed = confirmed.len(),
        lost = lost.len(),
        aside = aside.len(),
        open = again.len(),
        "a PACS was asked for what it took"
    );
    let failed = !again.is_empty();
    let gone = lost.iter().map(|(id, _)| *id).collect();
    let of = name.clone();
    let settled = spawn_blocking(move || settle(&gateway, &of, &confirmed, &lost, &aside)).await;
    if let Ok(Err(error)) = settled {
        error!(destination = name, %error, "the spool does not take what a PACS said");
    }
    asked(again, gone, failed)
}

fn settle(
    gateway: &Gateway,
    destination: &str,
    confirmed: &[EntryId],
    lost: &[(EntryId, String)],
    aside: &[(EntryId, String)],
) -> Result<(), SpoolError> {
    let mut flags = Vec::new();
    for id in confirmed {
        let Ok(summary) = gateway.spool.show(*id) else { continue };
        let index = summary.deliveries.iter().position(|one| one.destination == destination);
        flags.extend(index.map(|index| (*id, confirmation(index))));
    }
    gateway.spool.release_all(&flags)?;
    for (id, why) in lost {
        gateway.spool.send_again(*id, destination, why, now_unix_millis())?;
    }
    for (id, why) in aside {
        gateway.spool.set_aside(*id, destination, why, now_unix_millis())?;
    }
    Ok(())
}

/// What is to be done with entries that wait for the word of one PACS.
#[derive(Default)]
struct Turns {
    /// To be asked about.
    items: Vec<(EntryId, Item)>,
    /// The PACS has been sent a later version since: it shall not have this one any more.
    superseded: Vec<EntryId>,
    /// A later version is on its way there: what the PACS has now is not what it will have.
    postponed: Vec<EntryId>,
}

fn turns(gateway: &Gateway, destination: &str, ids: Vec<EntryId>) -> Turns {
    let mut turns = Turns::default();
    for id in ids {
        let Ok(summary) = gateway.spool.show(id) else { continue };
        let later =
            gateway.spool.find(&summary.key).into_iter().filter(|one| one.sequence > summary.sequence);
        let states: Vec<State> = later
            .flat_map(|one| one.deliveries)
            .filter(|one| one.destination == destination)
            .map(|one| one.delivery.state)
            .collect();
        if states.iter().any(|state| state.is_open()) {
            turns.postponed.push(id);
        } else if states.contains(&State::Done) {
            turns.superseded.push(id);
        } else {
            turns.items.extend(item(gateway, id));
        }
    }
    turns
}

/// What a PACS is asked about an entry.
fn item(gateway: &Gateway, id: EntryId) -> Option<(EntryId, Item)> {
    let summary = gateway.spool.show(id).ok()?;
    let content = gateway.spool.read(id).ok()?;
    let known = Known::of(&summary, content.meta())?;
    let instance = Uid::parse(std::str::from_utf8(&summary.key).ok()?).ok()?;
    Some((id, Item { reference: Reference { class: known.class.clone(), instance }, known }))
}

async fn find_out(
    gateway: &Arc<Gateway>,
    destination: &Destination,
    items: &[Item],
) -> Result<Vec<Said>, String> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let to = gateway.target(destination).ok_or("the gateway has no AE title of its own")?;
    let place = gateway.commitments.places.acquire().await;
    let in_words = |failure: crate::scu::Failure| format!("{failure}. {}", failure.advice());
    match destination.confirmation() {
        None | Some(Commitment::Trust) => Ok(vec![Said::Has; items.len()]),
        Some(Commitment::Find) => by_find(gateway, &to, items).await.map_err(in_words),
        Some(Commitment::ReadBack) => by_read_back(gateway, &to, items).await.map_err(in_words),
        Some(Commitment::Request) => {
            let references: Vec<Reference> = items.iter().map(|item| item.reference.clone()).collect();
            let (sender, mut receiver) = watch::channel(None);
            let on_report: OnReport = Arc::new(move |report| {
                sender.send_replace(Some(report.clone()));
                Ok(())
            });
            let request = CommitmentRequest { transaction: own_transaction()?, references };
            let reports = &gateway.commitments.reports;
            reports.expect(request.transaction.clone(), to.address.title.clone(), on_report);
            let mut heard = receiver.clone();
            let reported = async move { _ = heard.wait_for(Option::is_some).await };
            let sent = by_request(gateway, &to, &request, reports, reported).await;
            // Waiting for a report takes nobody's place.
            drop(place);
            let patience = Duration::from_secs(gateway.commitments.config.report_seconds_max);
            let came = match sent {
                Ok(()) => timeout(patience, receiver.wait_for(Option::is_some)).await.is_ok(),
                Err(_) => false,
            };
            reports.forget([&request.transaction]);
            sent.map_err(in_words)?;
            debug!(
                destination = destination.name,
                came, "a PACS was asked to commit itself on our own account"
            );
            let report = receiver.borrow().clone();
            let report = report.ok_or("it was asked and has not reported")?;
            Ok(Said::by_report(&report, &request.references))
        }
    }
}
