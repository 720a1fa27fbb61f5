//! What an operator can set about storage commitment, and about making sure that a PACS has what it took.

use serde::{Deserialize, Serialize};

use crate::bounds::{self, OutOfBounds};

/// The keys of `[commitment]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds that an association on which a PACS was asked is kept open for its report.
    pub linger_seconds: u64,
    /// Seconds to wait for a report, on whichever association, before a PACS is asked again.
    pub report_seconds_max: u64,
    /// Seconds after which a modality is told, whatever has not been forwarded or committed by then counting as failed.
    pub answer_seconds_max: u64,
    /// Seconds for which a PACS may not find or bring an instance yet that it took, before a modality is told so.
    pub settle_seconds: u64,
    /// Seconds for which it is tried to tell a modality.
    pub tell_seconds_max: u64,
    /// Seconds before something that failed is tried again; doubled with each failure.
    pub retry_seconds_min: u64,
    /// Seconds between two tries at most.
    pub retry_seconds_max: u64,
    /// Seconds for which instances are gathered before a PACS is asked for them on our own account.
    pub gather_seconds: u64,
    /// Requests of modalities that are kept at once.
    pub transactions_max: usize,
    /// Instances in one request.
    pub references_max: usize,
    /// Days for which it is remembered what was forwarded where.
    pub remember_days: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            linger_seconds: 10,
            report_seconds_max: 600,
            answer_seconds_max: 86_400,
            settle_seconds: 30,
            tell_seconds_max: 604_800,
            retry_seconds_min: 5,
            retry_seconds_max: 900,
            gather_seconds: 10,
            transactions_max: 1000,
            references_max: 10_000,
            remember_days: 30,
        }
    }
}

impl Config {
    /// Whether commitments could work by it.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let (day, month) = (86_400, 31 * 86_400);
        let rows = [
            ("linger_seconds", self.linger_seconds, 0, 3600),
            ("report_seconds_max", self.report_seconds_max, 1, month),
            ("answer_seconds_max", self.answer_seconds_max, 1, month),
            ("settle_seconds", self.settle_seconds, 0, 3600),
            ("tell_seconds_max", self.tell_seconds_max, 1, month),
            ("retry_seconds_min", self.retry_seconds_min, 1, day),
            ("retry_seconds_max", self.retry_seconds_max, self.retry_seconds_min, day),
            ("gather_seconds", self.gather_seconds, 0, 3600),
            ("transactions_max", self.transactions_max as u64, 1, 100_000),
            ("references_max", self.references_max as u64, 1, 100_000),
            ("remember_days", self.remember_days, 1, 3650),
        ];
        bounds::check("commitment", rows)
    }

    /// Milliseconds until the try after `failures` failures.
    pub(super) fn pause_millis(&self, failures: u32) -> u64 {
        let doubled = 1_u64.checked_shl(failures.saturating_sub(1).min(32)).unwrap_or(u64::MAX);
        let seconds = self.retry_seconds_min.saturating_mul(doubled).min(self.retry_seconds_max);
        seconds.saturating_mul(1000)
    }
}
