//! What of the way back somebody may have to account for later: openings, refusals, failures; UIDs and names alone.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::delivery::Refused;
use super::facts::Subject;
use super::open::Job;
use crate::audit::{Alert, Instance, Kind, Party, Trail, Transfer, What};
use crate::dicom::Uid;
use crate::flow::AUDIT;
use crate::keys::Source;
use crate::policy::Grant;
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

    fn alert(&self, instance: &Uid, reason: &dyn std::fmt::Display) -> Alert {
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
    info!(target: AUDIT, %caller, %receiver, %pacs, %instance, sealed, grant, "instance passed on as the archive has it");
    trail.moved(|| Transfer {
        grant: grant.map(ToOwned::to_owned),
        ..parties.transfer(subject, class, instance, sealed)
    });
}

/// An instance does not go out.
pub(super) fn failed(trail: &Trail, parties: &Parties, instance: &Uid, refused: &Refused) {
    let Parties { caller, receiver, pacs, .. } = parties;
    trail.alert(parties.alert(instance, refused));
    match refused {
        // Altered, truncated or mixed up, or a key that is gone: somebody has to look.
        Refused::Open { error: OpenError::Sink(_), .. }
        | Refused::BrokenOff
        | Refused::Unsealed
        | Refused::Policy(_) => {
            warn!(target: AUDIT, %caller, %receiver, %pacs, %instance, reason = %refused, "instance not released");
        }
        _ => {
            error!(target: AUDIT, %caller, %receiver, %pacs, %instance, reason = %refused, alarm = true, "instance not released");
        }
    }
}

/// An instance was ready, and its receiver has not got it.
pub(crate) fn undelivered(
    trail: &Trail,
    caller: &str,
    receiver: &str,
    instance: &Uid,
    reason: &dyn std::fmt::Display,
) {
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

/// A request is refused as a whole.
pub(crate) fn refused(trail: &Trail, caller: &Party, receiver: &str, operation: &'static str, reason: &str) {
    let text = format!("{operation}: {reason}");
    trail.alert(Alert::failed(What::RequestRefused, text).by(caller.clone()).about(if receiver.is_empty() {
        "unknown"
    } else {
        receiver
    }));
    let caller = &caller.name;
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
