//! Resolves the host names in the peers' addresses; a name that cannot be resolved keeps what it had.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::policy::{HostTable, Rules};

const LOOKUP_SECONDS_MAX: u64 = 5;

/// The addresses of every host name in `rules`; `before` is what they were. Takes no longer than one look-up.
pub(super) async fn resolve(rules: &Rules, before: &HostTable) -> HostTable {
    let mut lookups = JoinSet::new();
    for name in rules.host_names() {
        lookups.spawn(look_up(name.to_owned()));
    }
    let mut table = HostTable::new();
    while let Some(done) = lookups.join_next().await {
        let (name, found) = done.expect("a look-up neither panics nor is cancelled");
        let addresses = found.unwrap_or_else(|| before.get(&name).cloned().unwrap_or_default());
        table.insert(name, addresses);
    }
    table
}

async fn look_up(name: String) -> (String, Option<BTreeSet<IpAddr>>) {
    let found = timeout(Duration::from_secs(LOOKUP_SECONDS_MAX), lookup_host((name.as_str(), 0))).await;
    // Collected at once: the answer borrows the name.
    let found = found.map(|answer| answer.map(|all| all.map(|at| at.ip().to_canonical()).collect()));
    let addresses = match found {
        Ok(Ok(addresses)) => Some(addresses),
        Ok(Err(error)) => {
            warn!(host = name, %error, "a peer's host name cannot be resolved, its last addresses stay");
            None
        }
        Err(_) => {
            warn!(host = name, "a peer's host name is not resolved in time, its last addresses stay");
            None
        }
    };
    (name, addresses)
}
