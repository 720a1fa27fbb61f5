//! How long a request is waited for: by a clock that never jumps, and across a restart as far as the other one can be trusted.

use std::time::{Duration, Instant};

/// What a request has left after a start at least, however far the clock says that its time is over.
const LEAST_MILLIS: u64 = 10 * 60 * 1000;

/// When the time is over of what began then and may take so long. A clock that was set back gives no more than all of it.
pub(super) fn end(began_unix_millis: u64, seconds_max: u64, now_unix_millis: u64, now: Instant) -> Instant {
    let whole = seconds_max.saturating_mul(1000);
    let spent = now_unix_millis.saturating_sub(began_unix_millis);
    let left = whole.saturating_sub(spent).max(whole.min(LEAST_MILLIS));
    now + Duration::from_millis(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const BEGAN: u64 = 1_700_000_000_000;

    fn left(seconds_max: u64, now_unix_millis: u64) -> u64 {
        let now = Instant::now();
        end(BEGAN, seconds_max, now_unix_millis, now).duration_since(now).as_secs()
    }

    #[test]
    fn what_was_spent_counts_and_a_clock_that_jumps_neither_ends_it_nor_makes_it_endless() {
        assert_eq!(left(DAY, BEGAN), DAY);
        assert_eq!(left(DAY, BEGAN + 3_600_000), DAY - 3600);
        assert_eq!(left(DAY, BEGAN + 3650 * 1000 * DAY), 600, "years later, or a clock that is wrong");
        assert_eq!(left(DAY, 0), DAY, "a clock that was not set at the start");
        assert_eq!(left(6, BEGAN + 1000 * DAY), 6);
    }
}
