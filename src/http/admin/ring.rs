//! What the small graphs show: a sample every few seconds, as many as fit, and nothing of it on a disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::http::house::House;
use crate::telemetry::snapshot::Snapshot;

/// How often a sample is taken.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept: a quarter of an hour.
pub(super) const SAMPLES_MAX: usize = 180;

/// What was done by a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    pub(super) stored: u64,
    pub(super) forwarded: u64,
    pub(super) opened: u64,
    pub(super) waiting: u64,
}

impl Sample {
    fn of(snapshot: &Snapshot) -> Self {
        let totals = &snapshot.totals;
        Self {
            stored: totals.stored,
            forwarded: totals.forwarded,
            opened: totals.opened,
            waiting: snapshot.waiting(),
        }
    }
}

/// The samples, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<VecDeque<Sample>>);

impl Ring {
    fn push(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The numbers that `of` reads off each sample.
    pub(super) fn levels(&self, of: fn(&Sample) -> u64) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(of).collect()
    }

    /// By how much they grew from one sample to the next.
    pub(super) fn growth(&self, of: fn(&Sample) -> u64) -> Vec<u64> {
        let levels = self.levels(of);
        let pairs = levels.iter().zip(levels.iter().skip(1));
        pairs.map(|(before, after)| after.saturating_sub(*before)).collect()
    }
}

/// Takes samples for as long as somebody holds the ring.
pub(super) async fn fill(ring: Weak<Ring>, house: Arc<dyn House>) {
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let snapshot = crate::http::plain::snapshot(&house).await;
        let Some(ring) = ring.upgrade() else { return };
        if let Ok(snapshot) = snapshot {
            ring.push(Sample::of(&snapshot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_samples_and_says_how_they_grew() {
        let ring = Ring::default();
        for stored in 0..SAMPLES_MAX as u64 + 5 {
            ring.push(Sample { stored: stored * stored, ..Sample::default() });
        }
        let growth = ring.growth(|sample| sample.stored);
        assert_eq!(growth.len(), SAMPLES_MAX - 1);
        assert_eq!((growth[0], growth[1]), (11, 13));
        assert_eq!(ring.levels(|sample| sample.stored)[0], 25);
    }
}
