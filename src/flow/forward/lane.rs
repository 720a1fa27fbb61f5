//! The worker of one destination: it takes what is due, leaves a destination alone that is down, and hands over to another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::error;

use super::LOOK_SECONDS;
use super::deliver::{Refusals, deliver};
use super::places::Places;
use crate::flow::audit;
use crate::flow::commitment::holds_at;
use crate::flow::gateway::Gateway;
use crate::flow::now_unix_millis;
use crate::policy::Destination;
use crate::spool::{HandOver, Job, Order, SpoolError, Summary};

/// Instances that are handed over to another destination in one step.
const HANDED_OVER_AT_ONCE: usize = 1000;
/// Instances among which the one is chosen that tries a way which was down.
const TRIES_MAX: usize = 256;

/// See the top of the file.
pub(super) struct Lane {
    gateway: Arc<Gateway>,
    name: String,
    wake: Arc<Notify>,
    ended: watch::Receiver<bool>,
    places: Places,
    refusals: Arc<Refusals>,
}

impl Lane {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        name: String,
        wake: Arc<Notify>,
        ended: watch::Receiver<bool>,
    ) -> Self {
        let places = Places::new(gateway.pool.associations_max(), &wake);
        Self { gateway, name, wake, ended, places, refusals: Arc::default() }
    }

    pub(super) async fn run(mut self) {
        let mut deliveries = JoinSet::new();
        while !*self.ended.borrow() {
            let destination =
                (self.gateway.rules)().destinations().iter().find(|one| one.name == self.name).cloned();
            let jobs = destination.as_ref().map(|destination| self.due(destination)).unwrap_or_default();
            let none = jobs.is_empty();
            for (job, destination) in jobs.into_iter().zip(std::iter::repeat(destination.clone()).flatten()) {
                let place = self.places.take().await;
                let (gateway, refusals, wake) =
                    (Arc::clone(&self.gateway), Arc::clone(&self.refusals), Arc::clone(&self.wake));
                deliveries.spawn(async move {
                    deliver(&gateway, &destination, job, &refusals, place).await;
                    // The next of its group may go.
                    wake.notify_one();
                });
            }
            while deliveries.try_join_next().is_some() {}
            if none || self.places.free() == 0 {
                self.pause(destination.as_ref()).await;
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// What shall be delivered now: as much as there are free places; one at a time while the destination is down, and
    /// nothing while it is left alone.
    fn due(&self, destination: &Destination) -> Vec<Job> {
        let way = self.gateway.ways.of(&self.name);
        let is_resting = way.rest(Instant::now()).is_some();
        if is_resting {
            self.hand_over(destination, way.down_for(Instant::now()));
            return Vec::new();
        }
        let limit = if self.is_busy(destination) {
            0
        } else if way.is_down() {
            1
        } else {
            self.sends_max(destination).saturating_sub(self.in_hand())
        };
        self.take(destination, limit).unwrap_or_else(|problem| {
            error!(destination = self.name, error = %problem, "the spool gives nothing to forward");
            Vec::new()
        })
    }

    /// Whether nothing more can be begun until a delivery ends.
    fn is_busy(&self, destination: &Destination) -> bool {
        let is_down = self.gateway.ways.of(&self.name).is_down();
        self.in_hand() >= if is_down { 1 } else { self.sends_max(destination) }
    }

    fn in_hand(&self) -> usize {
        self.gateway.pool.associations_max().saturating_sub(self.places.free())
    }

    /// How many it may be sent at once.
    fn sends_max(&self, destination: &Destination) -> usize {
        let most = self.gateway.pool.associations_max();
        destination.sends_max.map_or(most, |sends_max| sends_max.get().min(most))
    }

    fn take(&self, destination: &Destination, limit: usize) -> Result<Vec<Job>, SpoolError> {
        let (spool, now) = (&self.gateway.spool, now_unix_millis());
        if !destination.ordered && limit > 0 && self.gateway.ways.of(&self.name).is_down() {
            // Whoever was tried least: what the destination puts off for ever must not keep all others from it.
            let due = spool.take(&self.name, now, TRIES_MAX, Order::Any)?;
            return Ok(due.into_iter().min_by_key(Job::attempts).into_iter().collect());
        }
        if !destination.ordered {
            return spool.take(&self.name, now, limit, Order::Any);
        }
        // One call for each: the places work side by side, so no two of them may have instances of one study.
        let mut jobs = Vec::new();
        while jobs.len() < limit {
            match spool.take(&self.name, now, 1, Order::PerGroup)?.pop() {
                Some(job) => jobs.push(job),
                None => break,
            }
        }
        Ok(jobs)
    }

    /// Gives what waits here to the destination that takes over, once this one has been down for long enough.
    fn hand_over(&self, destination: &Destination, down_for: Duration) {
        let Some(fallback) = &destination.fallback else { return };
        if down_for < Duration::from_secs(destination.fallback_after_seconds) {
            return;
        }
        let why = format!("{} {fallback}", crate::flow::TAKEN_OVER);
        // What the other one confirms on our account is kept until it has.
        let rules = (self.gateway.rules)();
        let holds = |index: usize| holds_at(&rules, fallback, index);
        let over = HandOver { from: &self.name, to: fallback, why: &why, holds: &holds };
        loop {
            let handed = self.gateway.spool.hand_over(&over, HANDED_OVER_AT_ONCE, now_unix_millis());
            let handed = handed.unwrap_or_else(|problem| {
                error!(destination = self.name, error = %problem, "the spool does not hand over to another destination");
                Vec::new()
            });
            for Summary { id: entry, key, .. } in &handed {
                self.gateway.waiting.hand_over(*entry, &self.name, fallback);
                let instance = String::from_utf8_lossy(key);
                audit::taken_over(&self.gateway.trail, *entry, &instance, &self.name, fallback);
            }
            if handed.len() < HANDED_OVER_AT_ONCE {
                return;
            }
        }
    }

    /// Until something happens, or the next delivery is due.
    async fn pause(&mut self, destination: Option<&Destination>) {
        let now = now_unix_millis();
        let is_busy = destination.is_some_and(|destination| self.is_busy(destination));
        let due = if is_busy { None } else { self.gateway.spool.next_due_unix_millis(&self.name) };
        let due = due.map(|due| Duration::from_millis(due.saturating_sub(now)));
        let way = self.gateway.ways.of(&self.name);
        let look = Duration::from_secs(LOOK_SECONDS);
        let until = due.unwrap_or(look).max(way.rest(Instant::now()).unwrap_or_default());
        let until = until.clamp(Duration::from_millis(50), look);
        tokio::select! {
            _ended = timeout(until, self.wake.notified()) => {}
            _ = self.ended.changed() => {}
        }
    }
}
