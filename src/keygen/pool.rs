//! Key images made ahead of need, each reduced to a digest at once, so that whoever seals never waits for a generator.
//!
//! The pool may be empty, its engine stuck or dead: then there is nothing to take, an alarm says why, and keys rest on the
//! operating system's entropy alone, which they do in any case.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::config::PoolConfig;
use super::engine::Engine;
use super::error::KeygenError;
use super::id::GeneratorId;
use super::image::KeyImage;
use super::seed::Seed;
use crate::telemetry::metrics::metrics;

/// The first wait after a failure; it doubles up to `retry_seconds_max`.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Holds what key images were reduced to: `T`, which erases itself.
pub struct Pool<T: Send + 'static> {
    shared: Arc<Shared<T>>,
}

/// What is wrong with the engine behind a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// It returns errors or panics.
    Failing,
    /// It has not finished a batch in time.
    Stuck,
}

/// What a pool has done, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Ready to be taken.
    pub ready: usize,
    /// Key images made.
    pub made: u64,
    /// Digests taken.
    pub taken: u64,
    /// Requests that found nothing.
    pub missed: u64,
    /// Batches that failed.
    pub failures: u64,
    /// What is wrong now.
    pub alarm: Option<Alarm>,
}

struct Shared<T> {
    config: PoolConfig,
    /// Boxed, so that taking one moves a pointer and leaves no copy of the digest behind.
    #[allow(clippy::vec_box, reason = "see above")]
    ready: Mutex<VecDeque<Box<T>>>,
    wanted: Condvar,
    stop: AtomicBool,
    started: Instant,
    /// Milliseconds after `started` at which the batch in hand began, plus one; 0 when there is none.
    busy: AtomicU64,
    failing: AtomicBool,
    stuck_said: AtomicBool,
    made: AtomicU64,
    taken: AtomicU64,
    missed: AtomicU64,
    failures: AtomicU64,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts to fill a pool. `reduce` turns each key image into what is kept of it; the image is erased right after.
    pub fn start(
        engine: Arc<dyn Engine>,
        config: &PoolConfig,
        reduce: impl Fn(&GeneratorId, &Seed, &KeyImage) -> T + Send + 'static,
    ) -> Result<Self, KeygenError> {
        let shared = Arc::new(Shared {
            config: config.clone(),
            ready: Mutex::new(VecDeque::with_capacity(config.ready_max)),
            wanted: Condvar::new(),
            stop: AtomicBool::new(false),
            started: Instant::now(),
            busy: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            stuck_said: AtomicBool::new(false),
            made: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let filler = Arc::clone(&shared);
        // Not joined when the pool is dropped: an engine that is stuck must not hold up the end of the process.
        thread::Builder::new()
            .name("keygen-pool".into())
            .spawn(move || filler.fill(&*engine, &reduce))
            .map_err(|error| KeygenError::Engine(format!("no thread for the pool: {error}")))?;
        Ok(Self { shared })
    }

    /// One of those that are ready, at once; none if there is none.
    #[must_use]
    pub fn take(&self) -> Option<Box<T>> {
        let shared = &self.shared;
        // The lock is only ever held for the length of a push or a pop.
        let (found, left) = {
            let mut ready = shared.lock();
            (ready.pop_front(), ready.len())
        };
        if found.is_some() {
            shared.taken.fetch_add(1, Ordering::Relaxed);
        } else {
            shared.missed.fetch_add(1, Ordering::Relaxed);
            shared.say_if_stuck();
        }
        if left + shared.config.batch_max <= shared.config.ready_max || left == 0 {
            shared.wanted.notify_one();
        }
        found
    }

    /// What it has done and what is wrong.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let shared = &self.shared;
        shared.say_if_stuck();
        // Before the alarm: whoever sees a failure counted, or what was made after it, sees the alarm as it left it.
        let failures = shared.failures.load(Ordering::Acquire);
        let ready = shared.lock().len();
        let alarm = if shared.stuck() {
            Some(Alarm::Stuck)
        } else {
            shared.failing.load(Ordering::Relaxed).then_some(Alarm::Failing)
        };
        PoolStatus {
            ready,
            made: shared.made.load(Ordering::Relaxed),
            taken: shared.taken.load(Ordering::Relaxed),
            missed: shared.missed.load(Ordering::Relaxed),
            failures,
            alarm,
        }
    }
}

impl<T: Send + 'static> Drop for Pool<T> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.lock().clear();
        self.shared.wanted.notify_one();
    }
}

impl<T: Send> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<T>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fills the pool until it is dropped.
    fn fill(&self, engine: &dyn Engine, reduce: &(impl Fn(&GeneratorId, &Seed, &KeyImage) -> T + Send)) {
        let mut retry = RETRY_FIRST;
        // One at first, then twice as many each time: what begins to seal at once soon has something to take.
        let mut batch = 1;
        while let Some(room) = self.wait_for_room() {
            let count = room.min(batch);
            batch = (batch * 2).min(self.config.batch_max);
            let begun = Instant::now();
            match self.batch(engine, reduce, count) {
                Ok(made) => {
                    retry = RETRY_FIRST;
                    metrics().engine.batch_seconds.observe(begun.elapsed().as_secs_f64());
                    self.put(made);
                    let share = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                    let least = Duration::from_secs_f64(share / f64::from(self.config.images_per_second_max));
                    self.rest(least.saturating_sub(begun.elapsed()));
                }
                Err(reason) => {
                    if !self.failing.swap(true, Ordering::Relaxed) {
                        error!(
                            engine = engine.name(),
                            reason, "the generator fails; keys rest on system entropy alone"
                        );
                    }
                    self.failures.fetch_add(1, Ordering::Release);
                    self.rest(retry);
                    retry = (retry * 2).min(Duration::from_secs(self.config.retry_seconds_max));
                }
            }
        }
    }

    /// Waits until something was taken; how many to make, or none at the end.
    fn wait_for_room(&self) -> Option<usize> {
        let mut ready = self.lock();
        loop {
            if self.stopped() {
                return None;
            }
            let room = self.config.ready_max.saturating_sub(ready.len());
            if room > 0 {
                return Some(room.min(self.config.batch_max));
            }
            ready = self.wanted.wait(ready).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps, unless the pool is dropped.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut ready = self.lock();
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.stopped() {
                return;
            }
            ready = self.wanted.wait_timeout(ready, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn batch(
        &self,
        engine: &dyn Engine,
        reduce: &impl Fn(&GeneratorId, &Seed, &KeyImage) -> T,
        count: usize,
    ) -> Result<Vec<Box<T>>, String> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy.store(now + 1, Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let seeds = (0..count).map(|_| Seed::draw()).collect::<Result<Vec<_>, _>>()?;
            let images = engine.generate(&seeds)?;
            if images.len() != seeds.len() {
                let reason = format!("{} key images for {} seeds", images.len(), seeds.len());
                return Err(KeygenError::Engine(reason));
            }
            let id = engine.id();
            Ok(seeds.iter().zip(&images).map(|(seed, image)| Box::new(reduce(&id, seed, image))).collect())
        }));
        self.busy.store(0, Ordering::Relaxed);
        self.stuck_said.store(false, Ordering::Relaxed);
        match result {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it panicked".into()),
        }
    }

    fn put(&self, made: Vec<Box<T>>) {
        self.made.fetch_add(made.len() as u64, Ordering::Relaxed);
        if self.failing.swap(false, Ordering::Relaxed) {
            info!("the generator works again");
        }
        let mut ready = self.lock();
        if !self.stopped() {
            ready.extend(made);
        }
    }

    fn stuck(&self) -> bool {
        let begun = self.busy.load(Ordering::Relaxed);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        begun > 0 && now.saturating_sub(begun) > self.config.batch_seconds_max.saturating_mul(1000)
    }

    fn say_if_stuck(&self) {
        if self.stuck() && !self.stuck_said.swap(true, Ordering::Relaxed) {
            let seconds = self.config.batch_seconds_max;
            error!(seconds, "the generator is stuck; keys rest on system entropy alone");
        }
    }
}

#[cfg(test)]
mod tests;
