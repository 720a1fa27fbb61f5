//! The commit: an instance that is all there goes into the spool, once, and its sender hears when it cannot be lost.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use super::commitment;
use super::gateway::{Gateway, Visitor};
use super::intake::{Kept, Offered, Stored};
use super::refusal::Refused;
use super::steps::{Step, reached};
use super::ticket::{Protection, Ticket};
use super::waiting::Settled;
use super::{audit, now_unix_millis};
use crate::audit::Transfer;
use crate::dicom::{Status, Uid};
use crate::keys::KeysError;
use crate::policy::{Acknowledge, Commitment, Destination, Route};
use crate::seal::Suite;
use crate::spool::{Draft, EntryId, Meta, Summary};
use crate::telemetry::metrics::{ByPeer, ByRoute, BySuite, PeerRoute, metrics};

/// Tells when a wrapped key is durable, and how many keys its instance has by then.
pub(super) type KeyKept = oneshot::Receiver<Result<u32, KeysError>>;

/// What there is to wait for, by destination.
type Waits = Vec<(String, oneshot::Receiver<Settled>)>;

/// An instance that is all there, and not yet committed.
pub(super) struct Taken {
    pub(super) draft: Draft,
    pub(super) transfer_syntax: Uid,
    pub(super) study: Option<Uid>,
    pub(super) series: Option<Uid>,
    /// For the audit trail alone.
    pub(super) patient: Option<String>,
    pub(super) protection: Protection,
    /// The suite it was sealed with here, and how long that took.
    pub(super) sealing: Option<(Suite, Duration)>,
    pub(super) digest: [u8; 32],
    /// Resolves when the wrapped key is durable; none where there is no key.
    pub(super) key: Option<KeyKept>,
}

/// What is known when the last byte has come.
pub(super) struct End {
    pub(super) gateway: Arc<Gateway>,
    pub(super) visitor: Arc<Visitor>,
    pub(super) offered: Offered,
    pub(super) route: Route,
    /// When the first byte was there to be taken.
    pub(super) begun: Instant,
}

impl End {
    /// Has the spool keep it, unless it waits there already. Returns when it may be acknowledged.
    pub(super) async fn commit(self, taken: Taken) -> Result<Stored, Refused> {
        let gateway = &self.gateway;
        let turn = gateway.committing.turn(&self.offered.sop_instance).await;
        if let Some((entry, waits)) = self.same_that_waits(&taken.digest) {
            drop(turn);
            let instance = &self.offered.sop_instance;
            self.count("repeated");
            info!(%instance, %entry, "the same instance waits already, it is kept once");
            let status = self.acknowledge(entry, waits).await?;
            return Ok(Stored { kept: Kept::Before, status });
        }
        let (entry, bytes) = (taken.draft.id(), taken.draft.len());
        let meta = self.meta(&taken);
        // Before what it has to outlive.
        let _forgotten = Forget { gateway, entry };
        let waits = match self.route.acknowledge {
            Acknowledge::Spooled => Vec::new(),
            Acknowledge::Forwarded => self.wait_at(entry, self.route.destinations.iter()),
        };
        let Taken { draft, key, protection, sealing, study, patient, .. } = taken;
        let committing = Instant::now();
        let committed = tokio::task::spawn_blocking(move || {
            let mut keys = 0;
            // The key comes first: what is in the spool can be opened.
            let receipt = draft.commit_after(meta, now_unix_millis(), || {
                if let Some(kept) = key {
                    keys = kept.blocking_recv().map_err(|_| Refused::Task)??;
                }
                reached(Step::BeforeName);
                Ok::<_, Refused>(())
            })?;
            Ok::<_, Refused>((receipt, keys > 1))
        });
        let committed = committed.await;
        drop(turn);
        let (receipt, came_before) = committed.map_err(|_| Refused::Task)??;
        reached(Step::BeforeSuccess);
        self.count_new(bytes, sealing, committing);
        let (peer, instance) = (&self.visitor.permit.peer().name, &self.offered.sop_instance);
        info!(
            peer, %instance, %entry, bytes, route = self.route.name, %protection,
            "instance taken in"
        );
        gateway.trail.moved(|| Transfer {
            study,
            patient,
            sealed: protection != Protection::Clear,
            ..audit::received(&self.visitor, &self.offered.sop_class, instance)
        });
        if came_before {
            audit::came_again(&gateway.trail, &self.visitor, instance, entry);
            self.say_where_nobody_looks();
        }
        let status = self.acknowledge(entry, waits).await?;
        Ok(Stored { kept: Kept::New(receipt), status })
    }

    /// A PACS that answers 0000H to a later version and keeps the first is found out by reading back alone.
    fn say_where_nobody_looks(&self) {
        let rules = (self.gateway.rules)();
        let is_named = |one: &&Destination| self.route.destinations.contains(&one.name);
        let is_unread = |one: &&Destination| one.confirmation() != Some(Commitment::ReadBack);
        let unread = rules.destinations().iter().filter(is_named).filter(is_unread);
        let destinations = unread.map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        if !destinations.is_empty() {
            let instance = &self.offered.sop_instance;
            warn!(%instance, destinations, "a later version of an instance goes where nobody reads it back");
        }
    }

    /// Counts what is durable now.
    fn count_new(&self, bytes: u64, sealing: Option<(Suite, Duration)>, committing: Instant) {
        let metrics = metrics();
        metrics.spool.commit_seconds.observe(committing.elapsed().as_secs_f64());
        if let Some((suite, spent)) = sealing {
            let labels = BySuite { suite: suite.name() };
            metrics.seal.instances.count(&labels);
            metrics.seal.seconds.took(&labels, spent);
        }
        let peer = ByPeer::of(&self.visitor.permit.peer().name);
        metrics.store.bytes.with(&peer, |counter| counter.inc_by(bytes));
        self.count("new");
    }

    fn count(&self, outcome: &'static str) {
        let (peer, route) = (&self.visitor.permit.peer().name, &self.route.name);
        metrics().store.instances.count(&PeerRoute::of(peer, route, outcome));
        metrics().store.seconds.took(&ByRoute::of(route), self.begun.elapsed());
    }

    /// What the spool keeps beside the content.
    fn meta(&self, taken: &Taken) -> Meta {
        let Self { visitor, offered, route, .. } = self;
        let bytes_of = |uid: &Uid| uid.as_str().as_bytes().to_vec();
        let ticket = Ticket {
            sop_class: offered.sop_class.clone(),
            sop_instance: offered.sop_instance.clone(),
            study: taken.study.clone(),
            series: taken.series.clone(),
            transfer_syntax: taken.transfer_syntax.clone(),
            calling: visitor.calling.clone(),
            called: visitor.called.clone(),
            route: route.name.clone(),
            seal: taken.protection.clone(),
        };
        Meta {
            bytes: ticket.to_bytes(),
            destinations: route.destinations.clone(),
            key: bytes_of(&offered.sop_instance),
            group: taken.study.as_ref().map(bytes_of).unwrap_or_default(),
            digest: taken.digest.to_vec(),
            holds: commitment::holds(&(self.gateway.rules)(), &route.destinations),
        }
    }

    /// The entry with the same bytes that is still to be delivered, and on a route that waits for the PACS what there is to
    /// wait for.
    fn same_that_waits(&self, digest: &[u8; 32]) -> Option<(EntryId, Waits)> {
        let spool = &self.gateway.spool;
        // One that came by another route may not go where this one has to.
        let goes_to =
            |entry: &Summary, name: &String| entry.deliveries.iter().any(|one| one.destination == *name);
        let is_same = |entry: &Summary| {
            entry.is_open()
                && self.route.destinations.iter().all(|name| goes_to(entry, name))
                && spool.read(entry.id).is_ok_and(|content| content.meta().digest == digest)
        };
        let same = spool.find(self.offered.sop_instance.as_str().as_bytes()).into_iter().find(is_same)?;
        if self.route.acknowledge == Acknowledge::Spooled {
            return Some((same.id, Vec::new()));
        }
        let mut waits = self.wait_at(same.id, same.deliveries.iter().map(|delivery| &delivery.destination));
        // Looked at again, now that nothing can be missed: gone means delivered meanwhile, and then it is kept anew.
        let Ok(now) = spool.show(same.id) else {
            drop(waits);
            self.gateway.waiting.forget(same.id);
            return None;
        };
        let is_final = |name: &str| {
            now.deliveries.iter().any(|found| found.destination == name && found.delivery.state.is_final())
        };
        waits.retain(|(name, _)| !is_final(name));
        Some((same.id, waits))
    }

    fn wait_at<'a>(&self, entry: EntryId, destinations: impl Iterator<Item = &'a String>) -> Waits {
        destinations.map(|name| (name.clone(), self.gateway.waiting.expect(entry, name))).collect()
    }

    /// Waits for the PACS, where the route has it so; the status to acknowledge it with.
    async fn acknowledge(&self, entry: EntryId, waits: Waits) -> Result<Status, Refused> {
        let _forgotten = Forget { gateway: &self.gateway, entry };
        let patience = Duration::from_secs(self.gateway.config.acknowledge_seconds_max);
        let answered = timeout(patience, forwarded(waits)).await;
        answered.map_err(|_| Refused::NotInTime(self.route.destinations.join(", ")))?
    }
}

/// Nobody waits any more when the association is gone.
struct Forget<'a> {
    gateway: &'a Gateway,
    entry: EntryId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.gateway.waiting.forget(self.entry);
    }
}

/// Waits until every destination has it, or until one does not take it, whatever the others do; a warning is passed on.
async fn forwarded(mut waits: Waits) -> Result<Status, Refused> {
    let mut said = Status::SUCCESS;
    poll_fn(|context| {
        let mut index = 0;
        while let Some((_, settled)) = waits.get_mut(index) {
            let Poll::Ready(settled) = Pin::new(settled).poll(context) else {
                index += 1;
                continue;
            };
            let (destination, _) = waits.swap_remove(index);
            match settled {
                Ok(Settled::Taken(status)) if said == Status::SUCCESS => said = status,
                Ok(Settled::Taken(_)) => {}
                Ok(Settled::Answered(status)) => {
                    return Poll::Ready(Err(Refused::Destination { destination, status }));
                }
                Ok(Settled::Failed) | Err(_) => return Poll::Ready(Err(Refused::NotInTime(destination))),
            }
        }
        if waits.is_empty() { Poll::Ready(Ok(said)) } else { Poll::Pending }
    })
    .await
}
