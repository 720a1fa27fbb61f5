//! How many images a peer may be given opened in a time: a bucket of openings for each, filled by the clock; time is an argument.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A limit on openings: so many at once, and then so many a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningRate {
    /// Images a minute, in the long run.
    pub per_minute: u32,
    /// Images at once, after a quiet time: a large study or two.
    pub burst: u32,
}

impl OpeningRate {
    /// Whether anything could be opened under it.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        self.per_minute > 0 && self.burst > 0
    }
}

impl fmt::Display for OpeningRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} a minute, {} at once", self.per_minute, self.burst)
    }
}

/// Parts of an opening that are counted: in a millisecond a minute's rate fills in whole numbers.
const PARTS: u64 = 60_000;

/// What is left for one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    rate: OpeningRate,
    parts: u64,
    at_millis: u64,
    is_empty: bool,
}

/// What became of the wish to open one image more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metered {
    /// It may.
    Allowed,
    /// It may not, and is the first that may not since the last that might: the moment for an alarm.
    FirstRefused,
    /// It may not either.
    Refused,
}

/// What is left for each peer that has a limit.
#[derive(Debug, Default)]
pub struct Openings(BTreeMap<String, Bucket>);

impl Openings {
    /// Takes one opening of this peer, `now` in milliseconds of a clock that never goes back.
    pub fn take(&mut self, peer: &str, rate: OpeningRate, now_millis: u64) -> Metered {
        let full = u64::from(rate.burst) * PARTS;
        let fresh = Bucket { rate, parts: full, at_millis: now_millis, is_empty: false };
        let bucket = self.0.entry(peer.to_owned()).or_insert(fresh);
        // A limit that was changed counts at once; what was used up stays used up.
        bucket.rate = rate;
        let passed = now_millis.saturating_sub(bucket.at_millis);
        let gained = passed.saturating_mul(u64::from(rate.per_minute));
        bucket.parts = bucket.parts.saturating_add(gained).min(full);
        bucket.at_millis = bucket.at_millis.max(now_millis);
        match (bucket.parts.checked_sub(PARTS), bucket.is_empty) {
            (Some(left), _) => {
                bucket.parts = left;
                bucket.is_empty = false;
                Metered::Allowed
            }
            (None, false) => {
                bucket.is_empty = true;
                Metered::FirstRefused
            }
            (None, true) => Metered::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: OpeningRate = OpeningRate { per_minute: 60, burst: 3 };

    #[test]
    fn a_burst_is_given_then_one_a_second_and_the_alarm_is_raised_once() {
        let mut openings = Openings::default();
        let mut at = |millis| openings.take("ws", RATE, millis);
        assert_eq!([at(0), at(0), at(0)], [Metered::Allowed; 3]);
        assert_eq!([at(0), at(10), at(999)], [Metered::FirstRefused, Metered::Refused, Metered::Refused]);
        assert_eq!([at(1000), at(1000)], [Metered::Allowed, Metered::FirstRefused]);
        // A quiet hour fills it up to the burst, and no further.
        assert_eq!(
            [(); 4].map(|()| at(3_600_000)),
            [Metered::Allowed, Metered::Allowed, Metered::Allowed, Metered::FirstRefused]
        );
        assert_eq!(at(0), Metered::Refused, "a clock that goes back gives nothing");
    }

    #[test]
    fn peers_do_not_use_up_each_others() {
        let mut openings = Openings::default();
        let one = OpeningRate { per_minute: 1, burst: 1 };
        assert_eq!(openings.take("a", one, 0), Metered::Allowed);
        assert_eq!(openings.take("b", one, 0), Metered::Allowed);
        assert_eq!(openings.take("a", one, 59_999), Metered::FirstRefused);
        assert_eq!(openings.take("a", one, 60_000), Metered::Allowed);
    }

    #[test]
    fn a_limit_that_is_lowered_counts_at_once_and_never_overflows() {
        let mut openings = Openings::default();
        let wide = OpeningRate { per_minute: u32::MAX, burst: u32::MAX };
        assert_eq!(openings.take("a", wide, 0), Metered::Allowed);
        assert_eq!(openings.take("a", wide, u64::MAX), Metered::Allowed);
        let narrow = OpeningRate { per_minute: 1, burst: 1 };
        assert_eq!(openings.take("a", narrow, u64::MAX), Metered::Allowed);
        assert_eq!(openings.take("a", narrow, u64::MAX), Metered::FirstRefused);
    }
}
