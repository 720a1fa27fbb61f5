//! What an operator can set about the spool.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::spool::error::SpoolError;

const GIB: u64 = 1 << 30;

/// The keys of `[spool]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the spool; mode 0700. Default `/var/lib/sealgate/spool`.
    pub folder: PathBuf,
    /// Most bytes in the spool. Default 100 GiB.
    pub bytes_max: u64,
    /// Most entries in the spool; each takes about 500 bytes of memory. Default 250000.
    pub entries_max: u64,
    /// Percent of `bytes_max` and `entries_max` from which new associations are refused. Default 90.
    pub refuse_associations_percent: u8,
    /// Free bytes of the file system under which new associations are refused. Default 4 GiB.
    pub refuse_associations_free_bytes: u64,
    /// Free bytes of the file system under which stores are refused. Default 1 GiB.
    pub refuse_stores_free_bytes: u64,
    /// Most entries being written at once. Default 2000.
    pub drafts_max: u64,
    /// Bytes set apart for an entry whose size is not known yet, again and again as it grows. Default 1 MiB.
    pub draft_step_bytes: u64,
    /// Seconds that the start may spend on reading contents; the rest is read afterwards. Default 10.
    pub verify_seconds_max: u64,
    /// Bytes of the journal from which it is written anew without what is outdated. Default 8 MiB.
    pub journal_bytes_max: u64,
    /// Most seconds that a delivery is put off; a later time is a clock that has jumped. Default 86400.
    pub later_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: "/var/lib/sealgate/spool".into(),
            bytes_max: 100 * GIB,
            entries_max: 250_000,
            refuse_associations_percent: 90,
            refuse_associations_free_bytes: 4 * GIB,
            refuse_stores_free_bytes: GIB,
            drafts_max: 2000,
            draft_step_bytes: 1 << 20,
            verify_seconds_max: 10,
            journal_bytes_max: 8 << 20,
            later_seconds_max: 86_400,
        }
    }
}

impl Config {
    /// Refuses limits that nothing could work under, or that contradict each other.
    pub fn check(&self) -> Result<(), SpoolError> {
        let rows = [
            ("bytes_max", self.bytes_max, 1, u64::MAX),
            ("entries_max", self.entries_max, 1, 10_000_000),
            ("refuse_associations_percent", u64::from(self.refuse_associations_percent), 1, 100),
            ("drafts_max", self.drafts_max, 1, 100_000),
            ("draft_step_bytes", self.draft_step_bytes, 4096, GIB),
            ("verify_seconds_max", self.verify_seconds_max, 0, 86_400),
            ("journal_bytes_max", self.journal_bytes_max, 4096, GIB),
            ("later_seconds_max", self.later_seconds_max, 1, 366 * 86_400),
        ];
        bounds::check("spool", rows).map_err(|error| SpoolError::Config(error.to_string()))?;
        if self.refuse_associations_free_bytes < self.refuse_stores_free_bytes {
            return Err(SpoolError::Config(format!(
                "spool.refuse_associations_free_bytes is {}, less than spool.refuse_stores_free_bytes with {}: \
                 associations have to be refused first",
                self.refuse_associations_free_bytes, self.refuse_stores_free_bytes
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        assert!(Config::default().check().is_ok());
        assert!(serde_json::from_str::<Config>(r#"{"bytes_max":5}"#).unwrap().check().is_ok());
        assert!(serde_json::from_str::<Config>(r#"{"byts_max":5}"#).is_err());
    }

    #[test]
    fn refuses_limits_that_nothing_works_under() {
        let cases: [fn(&mut Config); 6] = [
            |c| c.bytes_max = 0,
            |c| c.entries_max = 0,
            |c| c.refuse_associations_percent = 101,
            |c| c.drafts_max = 0,
            |c| c.draft_step_bytes = 1,
            |c| c.refuse_associations_free_bytes = c.refuse_stores_free_bytes - 1,
        ];
        for spoil in cases {
            let mut config = Config::default();
            spoil(&mut config);
            assert!(matches!(config.check(), Err(SpoolError::Config(_))), "{config:?}");
        }
    }
}
