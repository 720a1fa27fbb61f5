//! Emergency accesses as they begin and end: told at least once each, whoever opened them, however they ended, and however
//! short they were.

use std::path::Path;

use tracing::error;

use crate::audit::Trail;
use crate::flow::audit::{grant_began, grant_over};
use crate::grants::{GrantFile, News, Told};

/// Seconds between two looks.
pub(super) const SECONDS: u64 = 2;

/// What was told, and whether that is written down.
pub(super) struct Emergencies {
    told: Told,
    is_kept: bool,
}

impl Emergencies {
    /// Goes on with what was told before, which stands in the folder of the spool.
    pub(super) fn open(spool_folder: &Path) -> Self {
        Self { told: Told::open(spool_folder.join("emergencies.json")), is_kept: false }
    }

    /// Looks once more, and tells what has changed.
    pub(super) fn look(&mut self, file: &GrantFile, trail: &Trail) {
        // What was told at the last look is in the trail by now: a crash in between tells it twice, and not never.
        self.keep();
        for news in self.told.news(&file.now(), crate::flow::now_unix_millis() / 1000) {
            match news {
                News::Began(grant) => grant_began(trail, &grant),
                News::Over(grant) => grant_over(trail, &grant),
            }
            self.is_kept = false;
        }
    }

    /// Writes down what was told.
    pub(super) fn keep(&mut self) {
        if std::mem::replace(&mut self.is_kept, true) {
            return;
        }
        if let Err(problem) = self.told.keep() {
            error!(error = %problem, alarm = true, "which emergency accesses were told of is not written down");
        }
    }
}
