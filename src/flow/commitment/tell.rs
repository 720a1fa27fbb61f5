//! Telling a modality what was committed: on the association it asked on, or on one that we ask for, until it has heard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Letter;
use super::patience;
use super::transaction::{Live, Transaction};
use crate::dicom::{STORAGE_COMMITMENT, Uid};
use crate::flow::gateway::Gateway;
use crate::flow::now_unix_millis;
use crate::scu::{self, CommitmentReport, Failure, Meaning, for_reporting};

/// How long an association may take to tell, while it may be in the middle of something else.
const ANSWER_SECONDS: u64 = 30;

/// Why a modality has not heard.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("peer {0} has no address for reports: set reports, or receives")]
    NoAddress(String),
    #[error("{0}")]
    Failure(#[from] Failure),
}

/// Tells until it is heard, or until it is no use any more.
pub(super) async fn tell(gateway: &Arc<Gateway>, live: &Arc<Live>) {
    let transaction = live.now();
    let report = transaction.report();
    let config = &gateway.commitments.config;
    let decided = transaction.decided_unix_millis.unwrap_or(transaction.received_unix_millis);
    let end = patience::end(decided, config.tell_seconds_max, now_unix_millis(), Instant::now());
    let (committed, failed) = (report.committed.len(), report.failed.len());
    let (id, peer) = (&transaction.transaction, transaction.peer.as_str());
    if on_the_same(live, &report).await {
        return info!(transaction = %id, peer, committed, failed, "the modality was told on its own association");
    }
    let mut failures = 0_u32;
    loop {
        let untold = match on_our_own(gateway, &transaction, &report).await {
            Ok(()) => return info!(transaction = %id, peer, committed, failed, "the modality was told"),
            Err(untold) => untold,
        };
        failures = failures.saturating_add(1);
        if Instant::now() >= end {
            return error!(
                transaction = %id, peer, committed, failed, error = %untold, alarm = true,
                "a modality could not be told what was committed, and is not told any more"
            );
        }
        let wait = config.pause_millis(failures);
        warn!(transaction = %id, peer, error = %untold, seconds = wait / 1000, "a modality could not be told what was committed");
        sleep(Duration::from_millis(wait)).await;
    }
}

/// On the association of the request, if it is still there.
async fn on_the_same(live: &Live, report: &CommitmentReport) -> bool {
    let mailbox = live.mailbox.lock().ok().and_then(|mut mailbox| mailbox.take());
    let Some(mailbox) = mailbox else { return false };
    let (sender, heard) = oneshot::channel();
    if mailbox.send(Letter { report: report.clone(), heard: sender }).await.is_err() {
        return false;
    }
    match timeout(Duration::from_secs(ANSWER_SECONDS), heard).await {
        Ok(Ok(status)) => matches!(Meaning::of(status), Meaning::Success | Meaning::Warning),
        _ => false,
    }
}

/// PS3.4 J.3.3: the report comes from the title that was asked, and goes to the one that asked.
async fn on_our_own(
    gateway: &Gateway,
    transaction: &Transaction,
    report: &CommitmentReport,
) -> Result<(), Untold> {
    let rules = (gateway.rules)();
    let peer = rules.peers().find(|peer| peer.name == transaction.peer);
    let address = peer.and_then(|peer| peer.hears_at()).cloned();
    let address = address.ok_or_else(|| Untold::NoAddress(transaction.peer.clone()))?;
    let to = scu::Destination { address, calling: transaction.called.clone() };
    let class = Uid::parse(STORAGE_COMMITMENT).expect("a UID of the standard's registry");
    let mut caller = gateway.pool.associate(&to, &for_reporting(&class)).await?;
    let told = async {
        let context = caller.context_as_provider(&class)?;
        scu::report(&mut caller, &context, report).await
    };
    let told = told.await;
    caller.release().await;
    told.map(|_| ()).map_err(Untold::Failure)
}
