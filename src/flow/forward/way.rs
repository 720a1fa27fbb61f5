//! Whether the way to a destination works: how long to leave it alone after failures, and when another takes over.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::backoff;
use crate::flow::config::Config;

/// What is known of the way to one destination. By the clock that never jumps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Way {
    /// Rests since it last worked.
    failures: u32,
    down_since: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Way {
    /// Something went through.
    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    /// A delivery has failed, not for the instance's sake. Deliveries that fail together count once.
    pub(super) fn failed(&mut self, config: &Config, random: u16, now: Instant) {
        self.down_since.get_or_insert(now);
        if self.rest(now).is_none() {
            self.failures = self.failures.saturating_add(1);
            let millis = backoff::millis(config, self.failures, random);
            self.rests_until = now.checked_add(Duration::from_millis(millis));
        }
    }

    /// Whether it has failed since it last worked: then one instance at a time tries it.
    pub(super) fn is_down(&self) -> bool {
        self.down_since.is_some()
    }

    /// How long it has been down.
    pub(super) fn down_for(&self, now: Instant) -> Duration {
        self.down_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How long nothing is tried yet.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let left = self.rests_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

/// The ways to all destinations, by name.
#[derive(Debug, Default)]
pub(in crate::flow) struct Ways(Mutex<HashMap<String, Way>>);

impl Ways {
    /// As it is now.
    pub(super) fn of(&self, destination: &str) -> Way {
        self.lock().get(destination).copied().unwrap_or_default()
    }

    /// Seconds for which nothing has got through to a destination; none while it works.
    pub(in crate::flow) fn down_seconds(&self, destination: &str, now: Instant) -> Option<u64> {
        let way = self.of(destination);
        way.is_down().then(|| way.down_for(now).as_secs())
    }

    pub(super) fn change(&self, destination: &str, change: impl FnOnce(&mut Way)) {
        change(self.lock().entry(destination.to_owned()).or_default());
    }

    /// Nothing rests any more: somebody wants it tried now.
    pub(in crate::flow) fn wake(&self, only: Option<&str>) {
        for (_, way) in
            self.lock().iter_mut().filter(|(name, _)| only.is_none_or(|only| only == name.as_str()))
        {
            way.rests_until = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Way>> {
        // The map is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u16 = u16::MAX / 2;

    #[test]
    fn rests_longer_with_each_failure_and_not_after_a_success() {
        let config = Config { retry_seconds_min: 5, retry_seconds_max: 60, ..Config::default() };
        let (mut way, start) = (Way::default(), Instant::now());
        let mut now = start;
        let mut rests = Vec::new();
        for _ in 0..5 {
            way.failed(&config, MIDDLE, now);
            let rest = way.rest(now).unwrap();
            // Others that were on their way fail with it.
            way.failed(&config, MIDDLE, now + rest / 2);
            rests.push(rest.as_secs_f64().round());
            now += rest;
            assert!(way.rest(now).is_none() && way.is_down());
        }
        assert_eq!(rests, [5.0, 10.0, 20.0, 40.0, 60.0]);
        assert_eq!(way.down_for(now), now - start);
        way.worked();
        assert!(!way.is_down() && way.rest(now).is_none());
        assert_eq!(way.down_for(now), Duration::ZERO);
    }

    #[test]
    fn is_tried_at_once_when_somebody_says_so() {
        let (ways, now) = (Ways::default(), Instant::now());
        for name in ["one", "two"] {
            ways.change(name, |way| way.failed(&Config::default(), MIDDLE, now));
        }
        ways.wake(Some("one"));
        assert!(ways.of("one").rest(now).is_none() && ways.of("one").is_down());
        assert!(ways.of("two").rest(now).is_some());
        assert!(!ways.of("three").is_down());
    }
}
