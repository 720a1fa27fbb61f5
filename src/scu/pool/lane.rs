//! The associations to one destination: which are idle, what waits for one, what has been sent there before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Caller, Config, Need, Semaphore};
use crate::association::CONTEXTS_MAX;

/// How long a refused context is believed to stay refused while its association goes on.
const REFUSED_SECONDS: u64 = 60;

/// An association that nobody uses.
pub(super) struct Idle {
    pub(super) caller: Caller,
    /// What its contexts were proposed for.
    asked: HashSet<Need>,
    opened: Instant,
    since: Instant,
}

impl Idle {
    pub(super) fn new(caller: Caller, asked: Vec<Need>) -> Self {
        let now = Instant::now();
        Self { caller, asked: asked.into_iter().collect(), opened: now, since: now }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    fn fits(&self, need: &Need) -> bool {
        self.caller.context(&need.class, need.transfer_syntax).is_ok()
    }

    fn has_refused(&self, need: &Need) -> bool {
        self.opened.elapsed().as_secs() < REFUSED_SECONDS && self.asked.contains(need)
    }
}

/// What whoever has a permit does with it.
pub(super) enum Next {
    /// This association fits.
    Use(Idle),
    /// The peer has just said that it does not take this.
    Refused,
    /// A new one is to be opened for these, after this one is released.
    Open { needs: Vec<Need>, surplus: Option<Idle> },
}

/// See the top of the file.
pub(super) struct Lane {
    permits: Arc<Semaphore>,
    associations_max: usize,
    operations_max: u64,
    reuse: Duration,
    state: Mutex<State>,
    /// For the task that releases what is idle.
    itself: Weak<Lane>,
}

#[derive(Default)]
struct State {
    /// The one used last is at the end, and is used first: the others grow old and are released.
    idle: Vec<Idle>,
    waiting: HashMap<Need, usize>,
    /// What was sent or announced, the newest first.
    recent: VecDeque<Need>,
    reaping: bool,
    closed: bool,
}

impl Lane {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let associations_max = config.associations_per_destination_max;
        Arc::new_cyclic(|itself| Self {
            permits: Arc::new(Semaphore::new(associations_max.min(Semaphore::MAX_PERMITS))),
            associations_max,
            operations_max: config.operations_per_association_max,
            reuse: Duration::from_secs(config.reuse_seconds),
            state: Mutex::default(),
            itself: Weak::clone(itself),
        })
    }

    pub(super) fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    pub(super) fn idle(&self) -> usize {
        self.state().idle.len()
    }

    /// Counts `need` as waiting until the guard is dropped.
    pub(super) fn wait_for(self: &Arc<Self>, need: &Need) -> Waiting {
        let mut state = self.state();
        let count = state.waiting.entry(need.clone()).or_default();
        *count = count.saturating_add(1);
        drop(state);
        Waiting { lane: Arc::clone(self), need: need.clone() }
    }

    pub(super) fn remember<'a>(&self, needs: impl IntoIterator<Item = &'a Need>) {
        let mut state = self.state();
        for need in needs {
            state.remember(need);
        }
    }

    /// Takes everything away that is idle.
    pub(super) fn take_idle(&self) -> Vec<Idle> {
        std::mem::take(&mut self.state().idle)
    }

    pub(super) fn next_for(&self, need: &Need) -> Next {
        let mut state = self.state();
        state.remember(need);
        if let Some(at) = state.idle.iter().rposition(|idle| idle.fits(need)) {
            return Next::Use(state.idle.remove(at));
        }
        if state.idle.iter().any(|idle| idle.has_refused(need)) {
            return Next::Refused;
        }
        // Permits that are out, ours among them, may each open one.
        let in_use = self.associations_max.saturating_sub(self.permits.available_permits());
        let is_full = in_use.saturating_add(state.idle.len()) > self.associations_max;
        let surplus = (is_full && !state.idle.is_empty()).then(|| state.idle.remove(0));
        Next::Open { needs: state.needs(need), surplus }
    }

    pub(super) fn give_back(&self, mut idle: Idle) {
        let mut state = self.state();
        let worn = idle.caller.operations() >= self.operations_max || idle.caller.contexts().is_empty();
        if state.closed || worn || self.reuse.is_zero() || !idle.caller.is_free() {
            drop(state);
            return end_later(idle.caller);
        }
        idle.since = Instant::now();
        state.idle.push(idle);
        if !state.reaping
            && let Ok(runtime) = Handle::try_current()
        {
            state.reaping = true;
            runtime.spawn(reap(Weak::clone(&self.itself), self.reuse));
        }
    }

    pub(super) fn close(&self) -> Vec<Idle> {
        self.permits.close();
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.idle)
    }

    /// What has been idle for too long, and when to look again; nothing when there is nothing to look for.
    fn expired(&self) -> (Vec<Idle>, Option<Instant>) {
        let mut state = self.state();
        let now = Instant::now();
        let expires = |idle: &Idle| idle.since.checked_add(self.reuse).unwrap_or(now);
        let (old, young) = std::mem::take(&mut state.idle).into_iter().partition(|idle| expires(idle) <= now);
        state.idle = young;
        let next = state.idle.iter().map(expires).min();
        state.reaping = next.is_some();
        (old, next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases what has been idle for too long, until nothing is idle or the lane is gone.
async fn reap(lane: Weak<Lane>, reuse: Duration) {
    tokio::time::sleep(reuse).await;
    loop {
        let Some((old, next)) = lane.upgrade().map(|lane| lane.expired()) else { return };
        for idle in old {
            idle.caller.release().await;
        }
        let Some(next) = next else { return };
        tokio::time::sleep_until(next).await;
    }
}

/// Ends an association without making anybody wait for it.
pub(super) fn end_later(caller: Caller) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(caller.release());
    }
}

impl State {
    fn remember(&mut self, need: &Need) {
        self.recent.retain(|other| other != need);
        self.recent.push_front(need.clone());
        self.recent.truncate(CONTEXTS_MAX);
    }

    /// What a new association is asked for: this, then what waits, then what was sent before; as much as there is room for.
    fn needs(&self, need: &Need) -> Vec<Need> {
        let mut seen = HashSet::new();
        let waiting = self.waiting.keys();
        std::iter::once(need)
            .chain(waiting)
            .chain(&self.recent)
            .filter(|need| seen.insert(*need))
            .take(CONTEXTS_MAX)
            .cloned()
            .collect()
    }
}

/// Something waits for an association.
pub(super) struct Waiting {
    lane: Arc<Lane>,
    need: Need,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        if let Some(count) = state.waiting.get_mut(&self.need) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.waiting.remove(&self.need);
            }
        }
    }
}
