//! Emergency accesses as they begin and end: told once each, whoever opened them and however they ended.

use std::collections::BTreeMap;

use crate::audit::Trail;
use crate::flow::audit::{grant_began, grant_over};
use crate::grants::GrantFile;
use crate::policy::Grant;

/// Seconds between two looks.
pub(super) const SECONDS: u64 = 2;

/// Those that were open at the last look.
#[derive(Default)]
pub(super) struct Emergencies(BTreeMap<String, Grant>);

impl Emergencies {
    /// Looks once more, and tells what has changed.
    pub(super) fn look(&mut self, file: &GrantFile, trail: &Trail) {
        let now = crate::flow::now_unix_millis() / 1000;
        let grants = file.now();
        let open: BTreeMap<String, Grant> =
            grants.open(now).map(|grant| (grant.id.clone(), grant.clone())).collect();
        for grant in open.values().filter(|grant| !self.0.contains_key(&grant.id)) {
            grant_began(trail, grant);
        }
        for before in self.0.values().filter(|grant| !open.contains_key(&grant.id)) {
            let ended = grants.all().iter().find(|grant| grant.id == before.id);
            grant_over(trail, ended.unwrap_or(before));
        }
        self.0 = open;
    }
}
