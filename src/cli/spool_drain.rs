//! `sealgate spool drain`: waits until nothing is on its way any more, and says what is left.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::time::now_unix_millis;
use crate::spool::{Listing, SpoolError, State, Summary, look};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Waits, for so many seconds at most; what is left then.
pub(super) fn drain(folder: &Path, timeout_seconds: Option<u64>) -> Result<Left, SpoolError> {
    let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("waiting for the PACS [{wide_bar}] {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let now = || u64::try_from(now_unix_millis()).unwrap_or(0);
    let end = timeout_seconds.map(|seconds| now().saturating_add(seconds.saturating_mul(1000)));
    let mut most = 0;
    loop {
        let left = Left::of(&look(folder)?);
        most = most.max(left.waiting);
        bar.set_length(most);
        bar.set_position(most - left.waiting);
        if left.waiting == 0 || end.is_some_and(|end| now() >= end) {
            bar.finish_and_clear();
            return Ok(left);
        }
        thread::sleep(LOOK);
    }
}

/// What is left in a spool.
pub(super) struct Left {
    /// On its way without anybody's doing.
    pub(super) waiting: u64,
    /// Set aside at a destination.
    aside: u64,
    /// Delivered everywhere, and kept.
    held: u64,
    /// Damaged, set aside already or not.
    damaged: u64,
}

impl Left {
    fn of(listing: &Listing) -> Self {
        let is_aside = |entry: &&Summary| {
            entry.deliveries.iter().any(|delivery| delivery.delivery.state == State::Aside)
        };
        let waiting = listing.entries.iter().filter(|entry| entry.is_open()).count();
        let aside = listing.entries.iter().filter(is_aside).count();
        // What nothing holds is just being removed.
        let is_held = |entry: &&Summary| !entry.is_open() && !is_aside(entry) && entry.holds != 0;
        let held = listing.entries.iter().filter(is_held).count();
        Self {
            waiting: waiting as u64,
            aside: aside as u64,
            held: held as u64,
            damaged: (listing.damaged.len() + listing.unreadable.len()) as u64,
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({ "waiting": self.waiting, "aside": self.aside, "held": self.held, "damaged": self.damaged })
    }

    pub(super) fn in_words(&self) -> String {
        let Self { waiting, aside, held, damaged } = self;
        let mut text = match (waiting, aside) {
            (0, 0) => "Nothing waits.".to_owned(),
            (0, _) => "Nothing is on its way.".to_owned(),
            (waiting, _) => format!("{waiting} instances still wait."),
        };
        let rows = [
            (aside, "were set aside: see `sealgate spool list --aside`."),
            (held, "are delivered, and kept until the PACS is known to have them."),
            (damaged, "are damaged and cannot be delivered: see `sealgate spool list`."),
        ];
        for (count, words) in rows.into_iter().filter(|(count, _)| **count > 0) {
            let _ = write!(text, " {count} {words}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Delivery, DeliverySummary, EntryId};

    fn entry(state: State, holds: u32) -> Summary {
        let delivery = Delivery {
            state,
            attempts: 0,
            not_before_unix_millis: 0,
            changed_unix_millis: 1,
            reason: Box::default(),
        };
        Summary {
            id: EntryId::from_bytes([1; 16]),
            sequence: 1,
            committed_unix_millis: 1,
            content_bytes: 1,
            key: Vec::new(),
            group: Vec::new(),
            holds,
            deliveries: vec![DeliverySummary { destination: "pacs".to_owned(), delivery }],
        }
    }

    #[test]
    fn what_is_delivered_counts_only_while_something_holds_it() {
        let of = |state, holds| {
            let listing =
                Listing { entries: vec![entry(state, holds)], damaged: Vec::new(), unreadable: Vec::new() };
            Left::of(&listing).in_words()
        };
        assert_eq!(of(State::Waiting, 0), "1 instances still wait.");
        assert_eq!(of(State::Done, 0), "Nothing waits.");
        let kept = "Nothing waits. 1 are delivered, and kept until the PACS is known to have them.";
        assert_eq!(of(State::Done, 1), kept);
    }
}
