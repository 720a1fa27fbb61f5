//! Queries: one task for each PACS, their matches merged, counted once, and told with our own title.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dicom_core::Tag;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::identifier::{self, Edit, trimmed};
use super::originals::Wanted;
use super::{Source, sources, until, worklists};
use crate::association::{Context, Proposal};
use crate::dicom::tags::{LEVEL, PATIENT_ID, SERIES, SOP_INSTANCE, STUDY};
use crate::dicom::{Encoding, Model, Status, query_retrieve};
use crate::flow::procedure::proposals;
use crate::flow::{Gateway, Visitor, moment};
use crate::scu::{Caller, Failure, Match, find};
use crate::seal::scan::ScanError;

/// Matches that wait to be sent; the PACS waits when there are more.
const WAITING_MAX: usize = 32;
/// How long a PACS may go on with a query that was cancelled.
const STOPPING_MAX: Duration = Duration::from_secs(5);
/// Cancelled queries that may be left to themselves at once.
pub(super) const LEFT_MAX: usize = 64;
/// Matches that are remembered to tell each once; what comes behind that many may come twice.
const REMEMBERED_MAX: usize = 1_000_000;

/// A C-FIND as a caller asks it.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its context: the SOP class and the encoding.
    pub context: Context,
    /// The identifier as it came.
    pub identifier: Bytes,
    /// What was agreed on in extended negotiation.
    pub extended: Option<Vec<u8>>,
}

/// What a query comes to, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A match, in the encoding of the query.
    Match(Match),
    /// The end: the status of the last response, and why, in the PACS's name.
    Ended(Status, Option<String>),
}

/// A query under way. Dropped before its end, it breaks off what it asked.
pub struct Search {
    events: mpsc::Receiver<Step>,
    cancel: watch::Sender<bool>,
    _tasks: JoinSet<()>,
    /// PACS that have not ended yet.
    open: usize,
    sources: usize,
    failed: Vec<(Arc<str>, Failure)>,
    /// Digests of what was told, and whose match it was; none where there is but one PACS.
    seen: Option<HashMap<u128, Arc<str>>>,
    key: &'static [Tag],
    is_worklist: bool,
    /// Two, under keys of their own: 64 bits are few where a million matches must not be taken for each other.
    hashers: [RandomState; 2],
    encoding: Encoding,
}

enum Step {
    Match(Arc<str>, Match),
    Ended(Arc<str>, Result<(), Failure>),
}

/// What every task needs.
struct Work {
    gateway: Arc<Gateway>,
    query: Query,
    /// What goes to the PACS, in the encoding of the query.
    request: Bytes,
    wanted: Wanted,
    edit: Edit,
}

impl Search {
    /// Asks every PACS that this visitor's title leads to.
    pub fn begin(gateway: &Arc<Gateway>, visitor: &Visitor, query: Query) -> Result<Self, ScanError> {
        let encoding = query.context.transfer_syntax.encoding;
        let is_worklist = is_worklist(&query);
        let access = visitor.permit.access(&(gateway.rules)());
        let may_open = !is_worklist && access.may_open(moment(), &gateway.release.grants.now());
        let wanted = if may_open { Wanted::read(&query.identifier, encoding)? } else { Wanted::default() };
        let mut request = wanted.request(&query.identifier, encoding)?;
        let key = merge_key(&query)?;
        let (sources, edit) = if is_worklist {
            // What the RIS says of its own items is no business of ours.
            (worklists(gateway, visitor), Edit::default())
        } else {
            request = identifier::without_our_title(&request, encoding, visitor.called.as_str())?;
            (sources(gateway, visitor), Edit::retrieve_ae(visitor.called.as_str()))
        };
        let work = Arc::new(Work { gateway: Arc::clone(gateway), query, request, wanted, edit });
        let (sender, events) = mpsc::channel(WAITING_MAX);
        let (cancel, cancelled) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (open, seen) = (sources.len(), (sources.len() > 1).then(HashMap::new));
        for source in sources {
            tasks.spawn(ask(Arc::clone(&work), source, sender.clone(), cancelled.clone()));
        }
        Ok(Self {
            events,
            cancel,
            _tasks: tasks,
            open,
            sources: open,
            failed: Vec::new(),
            seen,
            key,
            is_worklist,
            hashers: [RandomState::new(), RandomState::new()],
            encoding,
        })
    }

    /// The next match, or the end. May be dropped and called again.
    pub async fn next(&mut self) -> Found {
        while self.open > 0 {
            match self.events.recv().await {
                Some(Step::Match(name, found)) if self.is_new(&name, &found) => return Found::Match(found),
                Some(Step::Match(..)) => {}
                Some(Step::Ended(name, result)) => {
                    self.open -= 1;
                    if let Err(failure) = result {
                        warn!(pacs = %name, %failure, "a query was not answered in full");
                        self.failed.push((name, failure));
                    }
                }
                // A task that died without a word.
                None => {
                    self.open = 0;
                    return Found::Ended(Status::UNABLE_TO_PROCESS, None);
                }
            }
        }
        let (status, comment) = self.ended();
        Found::Ended(status, comment)
    }

    /// Asks every PACS to stop. The caller need not wait until they have, and may ask for something else; where too many
    /// queries are left so already, this one is broken off.
    pub fn leave(self, gateway: &Gateway) {
        if let Ok(place) = Arc::clone(&gateway.release.leaving).try_acquire_owned() {
            tokio::spawn(async move {
                self.stop().await;
                drop(place);
            });
        }
    }

    /// Throws away what still comes, and breaks off with those that do not end soon.
    async fn stop(mut self) {
        self.cancel.send_replace(true);
        let ending = async { while !matches!(self.next().await, Found::Ended(..)) {} };
        if tokio::time::timeout(STOPPING_MAX, ending).await.is_err() {
            info!("a cancelled query was broken off where a PACS went on with it");
        }
    }

    /// Whether a match is not the same as one of another PACS. What one PACS tells apart stays apart.
    fn is_new(&mut self, name: &Arc<str>, found: &Match) -> bool {
        let Some(value) = self.value(found) else { return true };
        let Some(seen) = &mut self.seen else { return true };
        if let Some(before) = seen.get(&value) {
            return before == name;
        }
        if seen.len() < REMEMBERED_MAX {
            seen.insert(value, Arc::clone(name));
        }
        true
    }

    /// What a match is known by, if it is to be told once.
    fn value(&self, found: &Match) -> Option<u128> {
        self.seen.as_ref()?;
        if self.is_worklist {
            // An item that two systems share is told once; where they differ in a byte, both are.
            return Some(self.digest(&found.identifier));
        }
        let values = identifier::values(&found.identifier, self.encoding, self.key).ok()?;
        let unique = self.key.first().and_then(|key| values.get(key)).map(|value| trimmed(value));
        unique.filter(|value| !value.is_empty())?;
        let mut known = Vec::new();
        for tag in self.key {
            let value = values.get(tag).map(|value| trimmed(value)).unwrap_or_default();
            known.extend_from_slice(&(value.len() as u64).to_le_bytes());
            known.extend_from_slice(value);
        }
        Some(self.digest(&known))
    }

    fn digest(&self, known: &[u8]) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(known)));
        (high << 64) | low
    }

    fn ended(&self) -> (Status, Option<String>) {
        let Some((name, failure)) = self.failed.first() else {
            return match self.sources {
                0 if self.is_worklist => {
                    let comment = "no worklist server is configured for this title";
                    (Status::UNABLE_TO_PROCESS, Some(comment.to_owned()))
                }
                0 => (Status::UNABLE_TO_PROCESS, Some("no route leads to an archive".to_owned())),
                _ => (Status::SUCCESS, None),
            };
        };
        let comment = format!("{name} has not answered in full");
        if self.failed.len() < self.sources {
            return (Status::INCOMPLETE, Some(comment));
        }
        match failure {
            // What the PACS says of the query is what the caller has to hear.
            Failure::Status(answer) => (answer.status, Some(format!("refused by {name}"))),
            _ => (Status::UNABLE_TO_PROCESS, Some(comment)),
        }
    }
}

fn is_worklist(query: &Query) -> bool {
    matches!(query_retrieve(query.context.abstract_syntax.as_str()), Some((Model::Worklist, _)))
}

/// A Patient ID is unique under its issuer alone, which few PACS know: whoever has another name or another day of birth
/// under the same ID is another patient, and must not be hidden behind the first one.
const PATIENT: &[Tag] =
    &[PATIENT_ID, Tag(0x0010, 0x0021), Tag(0x0010, 0x0024), Tag(0x0010, 0x0010), Tag(0x0010, 0x0030)];

/// By what two PACS' matches are the same: the unique key of the level (PS3.4 C.6), and where that is not unique in the
/// world, what stands beside it.
fn merge_key(query: &Query) -> Result<&'static [Tag], ScanError> {
    if is_worklist(query) {
        return Ok(&[]);
    }
    let encoding = query.context.transfer_syntax.encoding;
    let level = identifier::values(&query.identifier, encoding, &[LEVEL])?;
    Ok(match level.get(&LEVEL).map(|level| trimmed(level)) {
        Some(b"PATIENT") => PATIENT,
        Some(b"STUDY") => &[STUDY],
        Some(b"SERIES") => &[SERIES],
        Some(b"IMAGE") => &[SOP_INSTANCE],
        _ => &[],
    })
}

async fn ask(work: Arc<Work>, source: Source, steps: mpsc::Sender<Step>, cancelled: watch::Receiver<bool>) {
    let mut cancelled = cancelled;
    let proposals = work.proposals();
    let opening = tokio::select! {
        biased;
        () = until(&mut cancelled) => None,
        caller = work.gateway.pool.associate(&source.to, &proposals) => Some(caller),
    };
    let result = match opening {
        None => Ok(()),
        Some(Err(failure)) => Err(failure),
        Some(Ok(mut caller)) => {
            let result = work.ask((&source.name, &mut caller), &steps, cancelled).await;
            tokio::spawn(caller.release());
            result
        }
    };
    // Nobody waits any more where the caller has gone.
    let _ = steps.send(Step::Ended(Arc::clone(&source.name), result)).await;
}

impl Work {
    fn proposals(&self) -> Vec<Proposal> {
        let proposals = proposals(&self.query.context).into_iter();
        proposals
            .map(|proposal| match &self.query.extended {
                Some(extended) => proposal.with_extended(extended.clone()),
                None => proposal,
            })
            .collect()
    }

    async fn ask(
        &self,
        (name, caller): (&Arc<str>, &mut Caller),
        steps: &mpsc::Sender<Step>,
        mut cancelled: watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let own = &self.query.context;
        let context = match caller.context(&own.abstract_syntax, own.transfer_syntax) {
            Ok(context) => context,
            Err(_) => caller.context_of(&own.abstract_syntax)?,
        };
        let (here, there) = (own.transfer_syntax.encoding, context.transfer_syntax.encoding);
        let request = identifier::convert(&self.request, here, there).map_err(|error| damaged(&error))?;
        let mut finding = find(caller, &context, &request).await?;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                // A caller that is gone wants no more either.
                () = until(&mut cancelled), if !stopping => {
                    stopping = true;
                    finding.cancel().await?;
                }
                found = finding.next() => {
                    let Some(found) = found? else { return Ok(()) };
                    if let Some(found) = self.edited(found, there).await?
                        && steps.send(Step::Match(Arc::clone(name), found)).await.is_err()
                    {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A match as the caller is told it; nothing if the original does not match.
    async fn edited(&self, found: Match, there: Encoding) -> Result<Option<Match>, Failure> {
        let here = self.query.context.transfer_syntax.encoding;
        let edited = identifier::convert(&found.identifier, there, here)
            .and_then(|identifier| self.edit.apply(&identifier, here));
        let identifier = match edited {
            Ok(identifier) => identifier,
            // What only the caller can read is passed on as it is, as the PACS alone would have.
            Err(error) if here == there => {
                debug!(%error, "a match that cannot be read is passed on as it is");
                return Ok(Some(found));
            }
            Err(error) => return Err(damaged(&error)),
        };
        if self.wanted.is_empty() {
            return Ok(Some(Match { identifier, ..found }));
        }
        let (wanted, archive) = (self.wanted.clone(), Arc::clone(&self.gateway.archive));
        let answering = tokio::task::spawn_blocking(move || wanted.answer(&identifier, here, &archive)).await;
        let answered = answering.map_err(|_| Failure::Ending)?.map_err(|error| damaged(&error))?;
        Ok(answered.map(|identifier| Match { identifier, ..found }))
    }
}

fn damaged(error: &ScanError) -> Failure {
    Failure::Protocol(format!("an identifier: {error}"))
}
