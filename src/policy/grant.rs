//! Emergency access: an operator opens images for a peer, for a reason and for a time, whatever the rules would say.

use serde::{Deserialize, Serialize};

use super::peer::Right;

/// What a peer may do while an emergency access is open, beside what it may anyway.
pub const EMERGENCY: [Right; 4] = [Right::Find, Right::Move, Right::Get, Right::Open];

/// One emergency access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// By what it is named.
    pub id: String,
    /// The name of the peer.
    pub peer: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who opened it.
    pub by: String,
    /// When it began, in seconds since 1970.
    pub from: u64,
    /// When it ends by itself, in seconds since 1970.
    pub until: u64,
    /// When somebody ended it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
}

impl Grant {
    /// Whether it is open at this time, in seconds since 1970. One that begins later is not: a clock was set back.
    #[must_use]
    pub fn is_open(&self, now: u64) -> bool {
        (self.from..self.until).contains(&now) && self.ended.is_none_or(|ended| now < ended)
    }
}

/// Every emergency access that is known, open or over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// These.
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn all(&self) -> &[Grant] {
        &self.0
    }

    /// Those that are open at this time.
    pub fn open(&self, now: u64) -> impl Iterator<Item = &Grant> {
        self.0.iter().filter(move |grant| grant.is_open(now))
    }

    /// The one that is open for a peer; of several the one that lasts longest.
    #[must_use]
    pub fn of(&self, peer: &str, now: u64) -> Option<&Grant> {
        self.open(now).filter(|grant| grant.peer == peer).max_by_key(|grant| grant.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(peer: &str, from: u64, until: u64, ended: Option<u64>) -> Grant {
        let text = |text: &str| text.to_owned();
        Grant {
            id: text("1"),
            peer: text(peer),
            reason: text("trauma"),
            by: text("root"),
            from,
            until,
            ended,
        }
    }

    #[test]
    fn a_grant_is_open_from_its_beginning_to_its_end() {
        let grants = Grants::new(vec![grant("er", 100, 200, None), grant("er", 150, 300, Some(160))]);
        for (now, open) in [(99, false), (100, true), (199, true), (200, false), (250, false)] {
            assert_eq!(grants.of("er", now).is_some(), open, "{now}");
        }
        assert_eq!(grants.of("er", 155).unwrap().until, 300);
        assert!(grants.of("ward", 150).is_none());
    }
}
