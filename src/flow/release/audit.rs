//! What of the way back somebody may have to account for later: openings, refusals, failures; UIDs and names alone.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::delivery::Refused;
use crate::dicom::Uid;
use crate::flow::AUDIT;
use crate::keys::Source;
use crate::policy::{Grant, Refusal};
use crate::seal::{OpenError, OpenedInstance};

/// Between whom something goes on.
#[derive(Debug, Clone)]
pub(crate) struct Parties {
    /// Who asked.
    pub(crate) caller: Arc<str>,
    /// Who receives.
    pub(crate) receiver: Arc<str>,
    /// Which PACS it comes from.
    pub(crate) pacs: Arc<str>,
}

/// A sealed instance was opened and its end has verified.
pub(super) fn opened(
    parties: &Parties,
    opened: &OpenedInstance,
    key_from: Option<Source>,
    grant: Option<&str>,
) {
    let Parties { caller, receiver, pacs } = parties;
    let (binding, changes) = (&opened.binding, &opened.changes);
    info!(
        target: AUDIT, %caller, %receiver, %pacs,
        instance = %binding.sop_instance, key_id = %binding.key_id, key_from = key_from.map(Source::name), grant,
        changed = changes.changed.len(), added = changes.added.len(), removed = changes.removed.len(),
        "instance opened"
    );
}

/// An instance is passed on as the PACS has it.
pub(super) fn passed(parties: &Parties, instance: &Uid, sealed: bool, grant: Option<&str>) {
    let Parties { caller, receiver, pacs } = parties;
    info!(target: AUDIT, %caller, %receiver, %pacs, %instance, sealed, grant, "instance passed on as the archive has it");
}

/// An instance does not go out.
pub(super) fn failed(parties: &Parties, instance: &Uid, refused: &Refused) {
    let Parties { caller, receiver, pacs } = parties;
    match refused {
        // Altered, truncated or mixed up, or a key that is gone: somebody has to look.
        Refused::Open { error: OpenError::Sink(_), .. }
        | Refused::BrokenOff
        | Refused::Unsealed
        | Refused::Destroyed(_)
        | Refused::Policy(_) => {
            warn!(target: AUDIT, %caller, %receiver, %pacs, %instance, reason = %refused, "instance not released");
        }
        _ => {
            error!(target: AUDIT, %caller, %receiver, %pacs, %instance, reason = %refused, alarm = true, "instance not released");
        }
    }
}

/// A peer has used up its openings: either the limit is too low for its work, or somebody empties the archive through it.
pub(super) fn limited(parties: &Parties, refusal: &Refusal) {
    let Parties { caller, receiver, pacs } = parties;
    error!(target: AUDIT, %caller, %receiver, %pacs, reason = %refusal, alarm = true, "openings limited");
}

/// An instance was ready, and its receiver has not got it.
pub(crate) fn undelivered(caller: &str, receiver: &str, instance: &Uid, reason: &dyn std::fmt::Display) {
    warn!(target: AUDIT, %caller, %receiver, %instance, %reason, "instance not delivered");
}

/// An emergency access is open.
pub(crate) fn grant_began(grant: &Grant) {
    let Grant { id, peer, by, reason, until, .. } = grant;
    warn!(target: AUDIT, grant = %id, %peer, %by, %reason, until, alarm = true, "emergency access opened");
}

/// An emergency access is over.
pub(crate) fn grant_over(grant: &Grant) {
    let Grant { id, peer, by, ended, .. } = grant;
    warn!(target: AUDIT, grant = %id, %peer, %by, ended_early = ended.is_some(), "emergency access over");
}

/// A request is refused as a whole.
pub(crate) fn refused(caller: &str, receiver: &str, operation: &'static str, reason: &str) {
    warn!(target: AUDIT, %caller, %receiver, operation, reason, "retrieval refused");
}

/// A retrieval has ended.
pub(crate) fn ended(
    caller: &str,
    receiver: &str,
    operation: &'static str,
    counts: (u16, u16, u16),
    status: crate::dicom::Status,
) {
    let (completed, failed, warning) = counts;
    info!(target: AUDIT, %caller, %receiver, operation, completed, failed, warning, %status, "retrieval ended");
}
