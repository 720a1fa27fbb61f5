//! What has become of an entry at one of its destinations.

use serde::Serialize;

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not been tried, or shall be tried again at once.
    Waiting,
    /// A worker has it. After a restart it waits again.
    InHand,
    /// It failed, and is tried again at its time.
    Later,
    /// The destination has it.
    Done,
    /// It failed for good, until somebody decides.
    Aside,
    /// Somebody decided that it shall not go there.
    Dropped,
}

impl State {
    /// Whether nothing more happens to it here.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Dropped)
    }

    /// Whether it is on its way, or will be without anybody's doing.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::InHand | Self::Later)
    }

    /// In hand is not among them: it is never written.
    const TAGS: [(u8, Self); 5] =
        [(0, Self::Waiting), (1, Self::Later), (2, Self::Done), (3, Self::Aside), (4, Self::Dropped)];

    pub(crate) fn tag(self) -> u8 {
        Self::TAGS.iter().find(|(_, state)| *state == self).map_or(0, |(tag, _)| *tag)
    }

    pub(crate) fn from_tag(wanted: u8) -> Option<Self> {
        Self::TAGS.iter().find(|(tag, _)| *tag == wanted).map(|(_, state)| *state)
    }
}

/// An entry at one of its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// How far it is.
    pub state: State,
    /// How often it was tried and failed.
    pub attempts: u32,
    /// When it is tried again, if [`State::Later`]; milliseconds since 1970.
    pub not_before_unix_millis: u64,
    /// When it came into this state; milliseconds since 1970.
    pub changed_unix_millis: u64,
    /// Why, in words; of the last failure or decision.
    pub reason: Box<str>,
}

impl Delivery {
    /// Most bytes of a reason; a longer one is cut.
    pub const REASON_BYTES_MAX: usize = 1000;

    /// That of a new entry.
    pub(crate) fn waiting(since_unix_millis: u64) -> Self {
        Self {
            state: State::Waiting,
            attempts: 0,
            not_before_unix_millis: 0,
            changed_unix_millis: since_unix_millis,
            reason: "".into(),
        }
    }

    /// Whether it is as it was when the entry was committed.
    pub(crate) fn is_untouched(&self) -> bool {
        matches!(self.state, State::Waiting | State::InHand) && self.attempts == 0 && self.reason.is_empty()
    }
}

/// The reason, cut where it is too long.
pub(crate) fn reason(text: &str) -> Box<str> {
    let fits = (0..=text.len().min(Delivery::REASON_BYTES_MAX)).rev().find_map(|end| text.get(..end));
    fits.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_but_in_hand_has_a_tag_of_its_own() {
        for state in [State::Waiting, State::Later, State::Done, State::Aside, State::Dropped] {
            assert_eq!(State::from_tag(state.tag()), Some(state));
        }
        assert_eq!(State::from_tag(State::InHand.tag()), Some(State::Waiting));
        assert_eq!(State::from_tag(5), None);
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        assert_eq!(reason(&"ä".repeat(700)).len(), 1000);
        assert_eq!(reason(&format!("x{}", "ä".repeat(700))).len(), 999);
        assert_eq!(&*reason("short"), "short");
    }
}
