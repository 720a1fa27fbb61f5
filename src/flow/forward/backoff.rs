//! How long to wait before trying again: twice as long each time, up to a limit, and never all at the same moment.

use crate::flow::config::Config;

/// Milliseconds until the try after `failures` failures. `random` spreads it by a fifth either way.
pub(super) fn millis(config: &Config, failures: u32, random: u16) -> u64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1).min(32)).unwrap_or(u64::MAX);
    let seconds = config.retry_seconds_min.saturating_mul(doubled).min(config.retry_seconds_max);
    let millis = seconds.saturating_mul(1000);
    let spread = (millis / 5).saturating_mul(2).saturating_mul(u64::from(random)) / u64::from(u16::MAX);
    (millis - millis / 5).saturating_add(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit_and_spreads() {
        let config = Config { retry_seconds_min: 5, retry_seconds_max: 60, ..Config::default() };
        let middle = u16::MAX / 2;
        let seconds: Vec<u64> =
            (1..=6).map(|failures| (millis(&config, failures, middle) + 500) / 1000).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
        assert_eq!((millis(&config, 1, 0), millis(&config, 1, u16::MAX)), (4000, 6000));
        assert_eq!(millis(&config, u32::MAX, middle) / 1000, 59);
    }
}
