//! What somebody may have to account for later: every opening, refusal, failure and decision, with UIDs and names alone.
//!
//! All events of the target [`AUDIT`] are made here, each by a function of its own, so that one name means one thing; those
//! of people who look after keys in `audit_custody`.

use std::fmt::Display;
use std::sync::Arc;

use tracing::{error, info, warn};

use super::refusal;
use super::release::Refused;
use crate::dicom::{Status, Uid};
use crate::keys::Source;
use crate::policy::{Grant, Refusal, Right};
use crate::seal::{OpenError, OpenedInstance};
use crate::spool::{EntryId, Request};

/// The target of these events in the log.
pub(crate) const AUDIT: &str = "sealgate::audit";

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
pub(crate) fn limited(parties: &Parties, refusal: &Refusal) {
    let Parties { caller, receiver, pacs } = parties;
    error!(target: AUDIT, %caller, %receiver, %pacs, reason = %refusal, alarm = true, "openings limited");
}

/// An instance was ready, and its receiver has not got it.
pub(crate) fn undelivered(caller: &str, receiver: &str, instance: &Uid, reason: &dyn Display) {
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

/// An association is refused by the rules. Why is told here alone: the caller hears no more than a code.
pub(crate) fn association_refused(address: &dyn Display, calling: &str, called: &str, reason: &dyn Display) {
    info!(target: AUDIT, %address, calling, called, %reason, "association refused");
}

/// A user's identity has not verified.
pub(crate) fn identity_refused(peer: &str, address: &dyn Display, reason: &dyn Display) {
    info!(target: AUDIT, peer, %address, %reason, "user identity not verified");
}

/// A request is refused as a whole, by the rules.
pub(crate) fn refused(caller: &str, receiver: &str, operation: &'static str, reason: &str) {
    warn!(target: AUDIT, %caller, %receiver, operation, reason, "request refused");
}

/// A peer asks for what it has no right to.
pub(crate) fn forbidden(caller: &str, operation: &'static str, right: Right) {
    refused(caller, caller, operation, &format!("{caller} may not {right}"));
}

/// A query has ended.
pub(crate) fn query_ended(caller: &str, matches: u64, status: Status) {
    info!(target: AUDIT, caller, operation = "C-FIND", matches, %status, "query ended");
}

/// A retrieval has ended.
pub(crate) fn retrieval_ended(
    caller: &str,
    receiver: &str,
    operation: &'static str,
    counts: (u16, u16, u16),
    status: Status,
) {
    let (completed, failed, warning) = counts;
    info!(target: AUDIT, %caller, %receiver, operation, completed, failed, warning, %status, "retrieval ended");
}

/// An instance that was offered is not taken in.
pub(crate) fn not_taken_in(peer: &str, instance: &Uid, refused: &refusal::Refused) {
    let status = refused.status();
    if refused.is_ours() {
        error!(target: AUDIT, peer, %instance, %status, reason = %refused, alarm = true, "instance not taken in");
    } else {
        info!(target: AUDIT, peer, %instance, %status, reason = %refused, "instance not taken in");
    }
}

/// An instance was sealed once more.
pub(super) fn came_again(peer: &str, instance: &Uid, entry: EntryId) {
    info!(
        target: AUDIT, peer, %instance, %entry,
        "the instance came before, with other bytes or until it was forwarded: sealed under a further key"
    );
}

/// A destination takes over for one that is down.
pub(super) fn taken_over(entry: EntryId, instance: &str, destination: &str, fallback: &str) {
    warn!(
        target: AUDIT, %entry, instance, destination, fallback,
        "the destination is down, another takes the instance"
    );
}

/// An operator has decided about the spool.
pub(super) fn decided(request: &Request, changed: usize, problems: usize) {
    let Request { wish, entries, destination, reason, by } = request;
    warn!(
        target: AUDIT, ?wish, entries = entries.len(), ?destination, reason, by, changed, problems,
        "an operator has decided about the spool"
    );
}

/// Deliveries of an entry were given up.
pub(super) fn given_up(request: &Request, entry: EntryId, instance: &str, dropped: usize) {
    let Request { destination, reason, by, .. } = request;
    warn!(target: AUDIT, %entry, instance, ?destination, reason, by, dropped, "deliveries were given up");
}
