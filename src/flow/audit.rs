//! What somebody may have to account for later: every opening, refusal, failure and decision, with UIDs and names alone.
//!
//! All events of the target [`AUDIT`] are made here, each by a function of its own, so that one name means one thing; those
//! of people who look after keys in `audit_custody`.

use std::fmt::Display;
use std::sync::Arc;

use tracing::{error, info, warn};

use super::gateway::Visitor;
use super::refusal;
use super::release::{Job, Refused, Subject};
use crate::association::Context;
use crate::audit::{Alert, Event, Instance, Kind, Party, Query, Trail, Transfer, What};
use crate::dicom::{Status, Uid};
use crate::keys::Source;
use crate::policy::{Grant, Refusal, Right};
use crate::seal::{OpenError, OpenedInstance};
use crate::spool::{EntryId, Request, Wish};
use crate::telemetry::metrics::{PeerOperation, PeerOutcome, PeerRoute, metrics};

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
    /// As the audit trail names those who receive, and whoever else wanted it.
    pub(crate) named: Arc<(Party, Option<Party>)>,
    /// The retrieval.
    pub(crate) ticket: u64,
}

impl Parties {
    /// One instance on its way between them.
    pub(super) fn transfer(&self, subject: &Subject, class: &Uid, uid: &Uid, sealed: bool) -> Transfer {
        let (destination, requestor) = (*self.named).clone();
        Transfer {
            kind: Kind::Released,
            source: Party::named(&self.pacs),
            destination,
            requestor,
            study: subject.study.clone(),
            patient: subject.patient.clone(),
            instances: vec![Instance { class: class.clone(), uid: uid.clone(), key_id: None }],
            sealed,
            grant: None,
            failure: None,
            ticket: self.ticket,
        }
    }

    fn alert(&self, instance: &Uid, reason: &dyn Display) -> Alert {
        Alert::failed(What::NotReleased, reason).by(self.named.0.clone()).about(instance)
    }
}

/// The record that has to be durable before these people get the first byte of a study in clear.
pub(super) struct Begin {
    trail: Trail,
    parties: Parties,
    class: Uid,
    instance: Uid,
}

impl Begin {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            trail: job.gateway.trail.clone(),
            parties: job.parties.clone(),
            class: job.class.clone(),
            instance: job.instance.clone(),
        }
    }

    /// Returns when it is durable; an error is a refusal.
    pub(super) fn record(&self, subject: &Subject, grant: Option<&str>) -> Result<(), String> {
        self.trail.begin(|| Transfer {
            grant: grant.map(ToOwned::to_owned),
            ..self.parties.transfer(subject, &self.class, &self.instance, false)
        })
    }
}

/// A sealed instance was opened and its end has verified.
pub(super) fn opened(
    trail: &Trail,
    parties: &Parties,
    subject: &Subject,
    (opened, key_from): (&OpenedInstance, Option<Source>),
    grant: Option<&str>,
) {
    let Parties { caller, receiver, pacs, .. } = parties;
    metrics().open.instances.count(&PeerOutcome::of(caller, "opened"));
    let (binding, changes) = (&opened.binding, &opened.changes);
    info!(
        target: AUDIT, %caller, %receiver, %pacs,
        instance = %binding.sop_instance, key_id = %binding.key_id, key_from = key_from.map(Source::name), grant,
        changed = changes.changed.len(), added = changes.added.len(), removed = changes.removed.len(),
        "instance opened"
    );
    trail.moved(|| {
        let mut transfer = parties.transfer(subject, &binding.sop_class, &binding.sop_instance, false);
        transfer.grant = grant.map(ToOwned::to_owned);
        transfer.instances.iter_mut().for_each(|one| one.key_id = Some(binding.key_id.to_string()));
        transfer
    });
}

/// An instance is passed on as the PACS has it.
pub(super) fn passed(
    trail: &Trail,
    parties: &Parties,
    subject: &Subject,
    (class, instance): (&Uid, &Uid),
    (sealed, grant): (bool, Option<&str>),
) {
    let Parties { caller, receiver, pacs, .. } = parties;
    let outcome = if sealed { "passed-sealed" } else { "passed-clear" };
    metrics().open.instances.count(&PeerOutcome::of(caller, outcome));
    info!(target: AUDIT, %caller, %receiver, %pacs, %instance, sealed, grant, "instance passed on as the archive has it");
    trail.moved(|| Transfer {
        grant: grant.map(ToOwned::to_owned),
        ..parties.transfer(subject, class, instance, sealed)
    });
}

/// An instance does not go out.
pub(super) fn failed(trail: &Trail, parties: &Parties, instance: &Uid, refused: &Refused) {
    let Parties { caller, receiver, pacs, .. } = parties;
    // The end of the retrieval tells of it once.
    if matches!(refused, Refused::Cancelled | Refused::Left) {
        info!(target: AUDIT, %caller, %receiver, %pacs, %instance, reason = %refused, "instance not released");
        return;
    }
    metrics().open.instances.count(&PeerOutcome::of(caller, "failed"));
    trail.alert(parties.alert(instance, refused));
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
pub(crate) fn limited(trail: &Trail, parties: &Parties, refusal: &Refusal) {
    let Parties { caller, receiver, pacs, .. } = parties;
    let text = format!("openings limited: {refusal}");
    trail.alert(Alert::failed(What::NotReleased, text).by(parties.named.0.clone()));
    error!(target: AUDIT, %caller, %receiver, %pacs, reason = %refusal, alarm = true, "openings limited");
}

/// An instance was ready, and its receiver has not got it.
pub(crate) fn undelivered(trail: &Trail, caller: &str, receiver: &str, instance: &Uid, reason: &dyn Display) {
    let text = format!("not delivered to {receiver}: {reason}");
    trail.alert(Alert::failed(What::NotReleased, text).by(Party::named(caller)).about(instance));
    warn!(target: AUDIT, %caller, %receiver, %instance, %reason, "instance not delivered");
}

/// An emergency access is open.
pub(crate) fn grant_began(trail: &Trail, grant: &Grant) {
    let Grant { id, peer, by, reason, until, .. } = grant;
    let text = format!("emergency access {id} of {peer}: {reason}");
    trail.alert(Alert::done(What::EmergencyBegan, text).by(Party::named(by)).about(peer));
    warn!(target: AUDIT, grant = %id, %peer, %by, %reason, until, alarm = true, "emergency access opened");
}

/// An emergency access is over.
pub(crate) fn grant_over(trail: &Trail, grant: &Grant) {
    let Grant { id, peer, by, ended, .. } = grant;
    let how = if ended.is_some() { "ended before its time" } else { "its time is over" };
    let text = format!("emergency access {id} of {peer}: {how}");
    trail.alert(Alert::done(What::EmergencyEnded, text).by(Party::named(by)).about(peer));
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
pub(crate) fn refused(
    trail: &Trail,
    visitor: &Visitor,
    receiver: &str,
    operation: &'static str,
    reason: &str,
) {
    let caller = &visitor.permit.peer().name;
    let alert =
        Alert::failed(What::RequestRefused, format_args!("{operation}: {reason}")).by(visitor.party());
    trail.alert(alert.about(if receiver.is_empty() { "unknown" } else { receiver }));
    warn!(target: AUDIT, %caller, %receiver, operation, reason, "request refused");
}

/// A peer asks for what it has no right to.
pub(crate) fn forbidden(trail: &Trail, visitor: &Visitor, operation: &'static str, right: Right) {
    let caller = &visitor.permit.peer().name;
    refused(trail, visitor, caller, operation, &format!("{caller} may not {right}"));
}

/// Counts an operation by its final status.
fn ended(caller: &str, operation: &'static str, status: Status) {
    let outcome = match status {
        Status::SUCCESS => "success",
        Status::CANCEL => "cancelled",
        // PS3.7 C: warnings of the services have the form BxxxH.
        Status(0xB000..=0xBFFF) => "warning",
        _ => "failure",
    };
    metrics().retrieve.requests.count(&PeerOperation::of(caller, operation, outcome));
}

/// A query has ended.
pub(crate) fn query_ended(caller: &str, matches: u64, status: Status) {
    ended(caller, "C-FIND", status);
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
    ended(caller, operation, status);
    count_instances(caller, counts);
    info!(target: AUDIT, %caller, %receiver, operation, completed, failed, warning, %status, "retrieval ended");
}

/// A retrieval ends before its end, because the association that it was asked on does.
pub(crate) fn retrieval_broken_off(
    trail: &Trail,
    caller: &str,
    receiver: &str,
    operation: &'static str,
    (counts, reason): ((u16, u16, u16), &dyn Display),
) {
    let (completed, failed, warning) = counts;
    let outcome = "broken-off";
    metrics().retrieve.requests.count(&PeerOperation::of(caller, operation, outcome));
    count_instances(caller, counts);
    let text = format!("{operation} broken off on the side of {caller}: {reason}");
    trail.alert(Alert::failed(What::NotReleased, text).by(Party::named(caller)).about(receiver));
    warn!(
        target: AUDIT, %caller, %receiver, operation, completed, failed, warning, %reason,
        "retrieval broken off on the caller's side"
    );
}

fn count_instances(caller: &str, (completed, failed, warning): (u16, u16, u16)) {
    for (outcome, count) in [("completed", completed), ("failed", failed), ("warning", warning)] {
        metrics()
            .retrieve
            .instances
            .with(&PeerOutcome::of(caller, outcome), |counter| counter.inc_by(u64::from(count)));
    }
}

/// An instance that a node stores with us, as the audit trail has it; the study and the patient are not known yet.
pub(super) fn received(visitor: &Visitor, class: &Uid, instance: &Uid) -> Transfer {
    Transfer {
        kind: Kind::Received,
        source: visitor.party(),
        destination: visitor.ourselves(),
        requestor: visitor.user(),
        study: None,
        patient: None,
        instances: vec![Instance { class: class.clone(), uid: instance.clone(), key_id: None }],
        sealed: false,
        grant: None,
        failure: None,
        ticket: 0,
    }
}

/// A query is asked.
pub(crate) fn query_began(trail: &Trail, visitor: &Visitor, context: &Context, identifier: &[u8]) {
    if !trail.is_on() {
        return;
    }
    trail.record(Event::Query(Box::new(Query {
        caller: visitor.party(),
        called: visitor.ourselves(),
        user: visitor.user().map(|user| user.name),
        class: context.abstract_syntax.clone(),
        transfer_syntax: context.transfer_syntax.uid.to_owned(),
        identifier: identifier.to_vec(),
    })));
}

/// An instance that was offered is not taken in.
pub(crate) fn not_taken_in(
    trail: &Trail,
    visitor: &Visitor,
    (class, instance): (&Uid, &Uid),
    refused: &refusal::Refused,
) {
    trail.moved(|| Transfer { failure: Some(refused.to_string()), ..received(visitor, class, instance) });
    let peer = &visitor.permit.peer().name;
    // Which route it would have taken is often not known.
    metrics().store.instances.count(&PeerRoute::of(peer, "", refused.word()));
    let status = refused.status();
    if refused.is_ours() {
        error!(target: AUDIT, peer, %instance, %status, reason = %refused, alarm = true, "instance not taken in");
    } else {
        info!(target: AUDIT, peer, %instance, %status, reason = %refused, "instance not taken in");
    }
}

/// A store is refused for what its command says, or for whoever sends it, before its data set is looked at.
pub(crate) fn store_refused(visitor: &Visitor, status: Status) {
    let word = if status == Status::NOT_AUTHORIZED { "no-right" } else { "command" };
    metrics().store.instances.count(&PeerRoute::of(&visitor.permit.peer().name, "", word));
}

/// An instance was sealed once more.
pub(super) fn came_again(trail: &Trail, visitor: &Visitor, instance: &Uid, entry: EntryId) {
    let alert = Alert::done(What::CameAgain, "sealed under a further key").by(visitor.party());
    trail.alert(alert.about(instance));
    let peer = &visitor.permit.peer().name;
    info!(
        target: AUDIT, peer, %instance, %entry,
        "the instance came before, with other bytes or until it was forwarded: sealed under a further key"
    );
}

/// A destination takes over for one that is down.
pub(super) fn taken_over(trail: &Trail, entry: EntryId, instance: &str, destination: &str, fallback: &str) {
    let text = format!("{destination} is down, {fallback} takes it");
    trail.alert(Alert::done(What::TakenOver, text).about(instance));
    warn!(
        target: AUDIT, %entry, instance, destination, fallback,
        "the destination is down, another takes the instance"
    );
}

/// An operator has decided about the spool.
pub(super) fn decided(trail: &Trail, request: &Request, changed: usize, problems: usize) {
    let Request { wish, entries, destination, reason, by } = request;
    let what = match wish {
        Wish::Retry => What::DeliveriesRetried,
        Wish::Drop => What::DeliveriesDropped,
    };
    let text = format!("{changed} deliveries, {problems} problems: {reason}");
    trail.alert(Alert::done(what, text).by(Party::named(by)));
    warn!(
        target: AUDIT, ?wish, entries = entries.len(), ?destination, reason, by, changed, problems,
        "an operator has decided about the spool"
    );
}

/// Deliveries of an entry were given up.
pub(super) fn given_up(trail: &Trail, request: &Request, entry: EntryId, instance: &str, dropped: usize) {
    let Request { destination, reason, by, .. } = request;
    let text = format!("{dropped} deliveries of entry {entry} given up: {reason}");
    trail.alert(Alert::done(What::DeliveriesDropped, text).by(Party::named(by)).about(instance));
    warn!(target: AUDIT, %entry, instance, ?destination, reason, by, dropped, "deliveries were given up");
}
