//! Associations that are used again: several at once to a destination, each for one instance after the other.
//!
//! Whoever has something to send takes a [`Lease`] for its class and transfer syntax. What others wait to send at that
//! moment, or have sent before, is negotiated with it, so that a mixed study needs one association and not one for each
//! class. A lease that is dropped gives its association back if it is still good; what is not used for a while, or was used
//! often enough, is released.

mod lane;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::debug;

use self::lane::{Idle, Lane, Next};
use super::answer::Answer;
use super::caller::{Caller, Destination};
use super::config::Config;
use super::dial::Dialer;
use super::failure::Failure;
use super::proposals::{Need, for_storing};
use super::source::Source;
use super::store::{Instance, store};
use crate::association::{self, Proposal};

/// The associations to every destination.
pub struct Pool {
    dialer: Arc<dyn Dialer>,
    door: Arc<association::Config>,
    config: Arc<Config>,
    lanes: Mutex<HashMap<Destination, Arc<Lane>>>,
    closed: AtomicBool,
}

/// An association for one user at a time, given back when it is dropped.
pub struct Lease {
    /// There until the lease is dropped.
    idle: Option<Idle>,
    lane: Arc<Lane>,
    /// Since when nobody had used its association.
    idle_since: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool with no association yet.
    #[must_use]
    pub fn new(dialer: Arc<dyn Dialer>, door: Arc<association::Config>, config: Arc<Config>) -> Self {
        Self { dialer, door, config, lanes: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// Stores one instance on an association of the pool.
    pub async fn store(
        &self,
        to: &Destination,
        instance: &Instance,
        source: &mut impl Source,
    ) -> Result<Answer, Failure> {
        let mut lease = self.lease(to, &instance.need()).await?;
        store(&mut lease, instance, source).await
    }

    /// An association with a context for `need`; waits where all that there may be are in use.
    pub async fn lease(&self, to: &Destination, need: &Need) -> Result<Lease, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Ending);
        }
        let lane = self.lane(to);
        let _waiting = lane.wait_for(need);
        let seconds = self.config.lease_seconds;
        let permit = timeout(Duration::from_secs(seconds), Arc::clone(lane.permits()).acquire_owned()).await;
        let slow = |_| Failure::TimedOut { what: "for an association to the peer to be free", seconds };
        let permit = permit.map_err(slow)?.map_err(|_| Failure::Ending)?;
        loop {
            match lane.next_for(need) {
                Next::Use(mut idle) => {
                    if idle.caller.is_still_there().await {
                        let idle_since = Some(idle.since());
                        return Ok(Lease { idle: Some(idle), lane, idle_since, _permit: permit });
                    }
                    debug!(peer = %to.address, "an idle association was ended by the peer");
                    lane::end_later(idle.caller);
                }
                Next::Refused => return Err(no_context(need)),
                Next::Open { needs, surplus } => {
                    if let Some(surplus) = surplus {
                        surplus.caller.release().await;
                    }
                    let idle = Some(self.open(to, needs).await?);
                    let lease = Lease { idle, lane, idle_since: None, _permit: permit };
                    // Dropped otherwise, and so kept for what it was accepted for.
                    return lease.context(&need.class, need.transfer_syntax).map(|_| lease);
                }
            }
        }
    }

    /// Forgets what is idle, where one of them has turned out to be dead: the others are as old.
    pub fn distrust(&self, to: &Destination) {
        self.lane(to).take_idle().into_iter().for_each(|idle| lane::end_later(idle.caller));
    }

    async fn open(&self, to: &Destination, needs: Vec<Need>) -> Result<Idle, Failure> {
        let caller =
            Caller::associate(&*self.dialer, to, &for_storing(&needs), &self.door, &self.config).await?;
        debug!(peer = %to.address, asked = needs.len(), accepted = caller.contexts().len(), "association opened");
        Ok(Idle::new(caller, needs))
    }

    /// An association outside the pool, for a service that is no store, such as a query.
    pub async fn associate(&self, to: &Destination, proposals: &[Proposal]) -> Result<Caller, Failure> {
        Caller::associate(&*self.dialer, to, proposals, &self.door, &self.config).await
    }

    /// Says what is waiting for a destination, so that the next association is good for it.
    pub fn expect<'a>(&self, to: &Destination, needs: impl IntoIterator<Item = &'a Need>) {
        self.lane(to).remember(needs);
    }

    /// Associations to one destination that there may be at once.
    #[must_use]
    pub fn associations_max(&self) -> usize {
        self.config.associations_per_destination_max
    }

    /// Associations to a destination that nobody uses now.
    #[must_use]
    pub fn idle(&self, to: &Destination) -> usize {
        self.lanes().get(to).map_or(0, |lane| lane.idle())
    }

    /// Releases what is idle, and from now on what is given back; nothing new is opened.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let lanes: Vec<_> = self.lanes().drain().map(|(_, lane)| lane).collect();
        for lane in lanes {
            for idle in lane.close() {
                idle.caller.release().await;
            }
        }
    }

    fn lane(&self, to: &Destination) -> Arc<Lane> {
        let new = || Lane::new(&self.config);
        Arc::clone(self.lanes().entry(to.clone()).or_insert_with(new))
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Destination, Arc<Lane>>> {
        // The map is whole between any two statements.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (_, lane) in self.lanes().drain() {
            lane.close().into_iter().for_each(|idle| lane::end_later(idle.caller));
        }
    }
}

fn no_context(need: &Need) -> Failure {
    Failure::NoContext { class: need.class.clone(), how: format!("in {}", need.transfer_syntax.keyword) }
}

impl Lease {
    /// Whether its association was there before, and so may have died since without a word.
    #[must_use]
    pub fn was_idle(&self) -> bool {
        self.idle_since.is_some()
    }

    /// Whether its association was idle at this moment already.
    #[must_use]
    pub fn was_idle_at(&self, moment: Instant) -> bool {
        self.idle_since.is_some_and(|since| since <= moment)
    }
}

impl Deref for Lease {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.idle.as_ref().expect("it is taken out only when the lease is dropped").caller
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Caller {
        &mut self.idle.as_mut().expect("it is taken out only when the lease is dropped").caller
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.take() {
            // Before the permit goes: whoever gets it finds the association.
            self.lane.give_back(idle);
        }
    }
}
