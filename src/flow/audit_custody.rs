//! What people do with keys and may have to account for later: commands, requests, approvals, destruction, escrow.
//!
//! Commands run beside the service, which alone writes the chained log: they leave a note in the trail's inbox, durable
//! before this returns, and the service takes it into its chain.

use std::path::PathBuf;

use tracing::{error, info, warn};

use super::audit::AUDIT;
use crate::audit::{self, Access, Alert, AuditError, Instance, Party, What, note, note_access, note_use};
use crate::dicom::Uid;
use crate::keys::destroy::{Certificate, Hold};
use crate::spool::EntryId;

/// Subjects of one record; the rest is in the certificate, or the file of the hold.
const SUBJECTS_MAX: usize = 50;

/// Where it is recorded what one person does at a terminal: a line in the command's log, a note for the audit trail.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    folder: Option<PathBuf>,
    by: String,
    uid: u32,
}

/// An error means that there is no record of it: what is not done yet must not be done.
pub(crate) type Noted = Result<(), AuditError>;

impl Ledger {
    /// For this person, in the trail of this configuration.
    pub(crate) fn new(config: &audit::Config, by: &str, uid: u32) -> Self {
        Self { folder: config.on.then(|| config.folder.clone()), by: by.to_owned(), uid }
    }

    fn note(&self, alert: Alert) -> Noted {
        let Some(folder) = &self.folder else { return Ok(()) };
        note(folder, &alert.by(Party::named(&self.by)))
    }

    /// Somebody is about to use keys, or to change what they do; said before it is done.
    pub(crate) fn uses(&self, command: &str) -> Noted {
        warn!(target: AUDIT, by = self.by, uid = self.uid, command, "keys used");
        self.note(Alert::done(What::KeyUsed, command))
    }

    /// The same, about one thing: an instance that was opened at a terminal, a study that was handed over.
    pub(crate) fn uses_about(&self, command: &str, subject: &str) -> Noted {
        warn!(target: AUDIT, by = self.by, uid = self.uid, command, subject, "keys used");
        self.note(Alert::done(What::KeyUsed, command).about(subject))
    }

    /// Which images of a study were opened at a terminal.
    pub(crate) fn opened(&self, study: Option<&Uid>, instances: &[Instance]) -> Noted {
        let Some(folder) = &self.folder else { return Ok(()) };
        instances.chunks(SUBJECTS_MAX).try_for_each(|part| {
            let (by, study) = (Party::named(&self.by), study.cloned());
            note_access(folder, &Access { by, study, instances: part.to_vec() })
        })
    }

    /// An operator is about to give up what waits in the spool, while no service runs.
    pub(crate) fn gives_up(&self, entry: EntryId, instance: &str, to: Option<&str>, reason: &str) -> Noted {
        warn!(target: AUDIT, %entry, instance, destination = to, reason, by = self.by, "deliveries are given up");
        let text =
            format!("deliveries of entry {entry} to {} given up: {reason}", to.unwrap_or("everywhere"));
        self.note(Alert::done(What::DeliveriesDropped, text).about(instance))
    }

    /// An operator has what was put off or set aside tried again, while no service runs.
    pub(crate) fn retries(&self, entries: usize, to: Option<&str>) -> Noted {
        warn!(target: AUDIT, entries, destination = to, by = self.by, "deliveries are tried again");
        let text = format!("deliveries of {entries} entries to {}", to.unwrap_or("everywhere"));
        self.note(Alert::done(What::DeliveriesRetried, text))
    }

    /// What was about to be done has failed.
    pub(crate) fn failed(&self, command: &str, problem: &str) -> Noted {
        warn!(target: AUDIT, by = self.by, uid = self.uid, command, problem, "use of keys failed");
        self.note(Alert::failed(What::KeyUsed, format_args!("{command}: {problem}")))
    }

    /// Somebody ran a command that is not their work.
    pub(crate) fn command_refused(&self, reason: &str) -> Noted {
        warn!(target: AUDIT, by = self.by, uid = self.uid, reason, "command refused");
        self.note(Alert::failed(What::CommandRefused, reason))
    }

    /// The first of two persons asked for something.
    pub(crate) fn requested(&self, request: &str, what: &str) -> Noted {
        warn!(target: AUDIT, request, by = self.by, uid = self.uid, what, "request made");
        self.request(request, format!("asked: {what}"), false)
    }

    /// A request was taken back.
    pub(crate) fn withdrawn(&self, request: &str, what: &str) -> Noted {
        info!(target: AUDIT, request, by = self.by, what, "request withdrawn");
        self.request(request, format!("withdrawn: {what}"), false)
    }

    /// Somebody may not approve a request, or nobody may any more.
    pub(crate) fn approval_refused(&self, request: &str, reason: &str) -> Noted {
        warn!(target: AUDIT, request, by = self.by, uid = self.uid, reason, "approval refused");
        self.request(request, format!("approval refused: {reason}"), true)
    }

    /// The second person approves, and it is about to be done.
    pub(crate) fn approves(&self, request: &str, asked_by: &str, what: &str) -> Noted {
        warn!(target: AUDIT, request, asked_by, by = self.by, what, "request approved");
        self.request(request, format!("approved, asked by {asked_by}: {what}"), false)
    }

    /// What was approved is done.
    pub(crate) fn carried_out(&self, request: &str, what: &str) -> Noted {
        warn!(target: AUDIT, request, by = self.by, what, "request approved and done");
        self.request(request, format!("done: {what}"), false)
    }

    /// The second person approved, and it could not be done.
    pub(crate) fn approved_in_vain(&self, request: &str, what: &str, problem: &str) -> Noted {
        error!(target: AUDIT, request, by = self.by, what, problem, "request approved and failed");
        self.request(request, format!("failed: {what}: {problem}"), true)
    }

    fn request(&self, request: &str, text: String, failed: bool) -> Noted {
        let alert = Alert { failed, ..Alert::done(What::CustodyRequest, text) };
        self.note(alert.about(format_args!("request {request}")))
    }

    /// Keys are gone for good.
    pub(crate) fn destroyed(&self, certificate: &Certificate) -> Noted {
        let statement = &certificate.statement;
        warn!(
            target: AUDIT, request = statement.request, keys = statement.keys.len(), studies = ?statement.studies,
            requested_by = statement.requested_by, approved_by = statement.approved_by, reason = statement.reason,
            signature = certificate.signature, "keys destroyed"
        );
        // The certificate is told by its signature, which covers all the rest; a list of a million keys is no message.
        let text = format!(
            "{} keys destroyed, asked by {}, approved by {}: {}; certificate {}, signature {}",
            statement.keys.len(),
            statement.requested_by,
            statement.approved_by,
            statement.reason,
            statement.request,
            certificate.signature
        );
        let shown = statement.studies.iter().take(SUBJECTS_MAX);
        self.note(shown.fold(Alert::done(What::KeysDestroyed, text), Alert::about))
    }

    /// Something must not be destroyed from now on.
    pub(crate) fn held(&self, hold: &Hold) -> Noted {
        let Hold { id, studies, keys, reason, by, .. } = hold;
        warn!(target: AUDIT, hold = id, by, reason, ?studies, ?keys, "legal hold set");
        let alert = Alert::done(What::LegalHold, format_args!("legal hold {id} set: {reason}"));
        let subjects = studies.iter().map(ToString::to_string).chain(keys.iter().cloned());
        self.note(subjects.take(SUBJECTS_MAX).fold(alert, Alert::about))
    }

    /// An escrow key exists in shares.
    pub(crate) fn escrow_split(&self, kek: &str, set: &str, needed: u8, shares: u8) -> Noted {
        warn!(target: AUDIT, by = self.by, kek, set, needed, shares, "escrow key made in shares");
        self.escrow(kek, format!("made in {shares} shares, {needed} of which open; set {set}"), false)
    }

    /// Shares were put together and do not open.
    pub(crate) fn escrow_refused(&self, kek: &str, numbers: &[u8], problem: &str) -> Noted {
        warn!(target: AUDIT, by = self.by, kek, ?numbers, problem, "shares of an escrow key refused");
        self.escrow(kek, format!("shares {numbers:?} refused: {problem}"), true)
    }

    /// Shares were tried out.
    pub(crate) fn escrow_drilled(&self, kek: &str, numbers: &[u8]) -> Noted {
        warn!(target: AUDIT, by = self.by, kek, ?numbers, "escrow key drilled");
        self.escrow(kek, format!("drilled with the shares {numbers:?}"), false)
    }

    /// The site can open with the escrow key; said before it can.
    pub(crate) fn escrow_released(&self, kek: &str, numbers: &[u8]) -> Noted {
        error!(target: AUDIT, by = self.by, kek, ?numbers, alarm = true, "escrow key released");
        self.escrow(kek, format!("released into the keyring with the shares {numbers:?}"), false)
    }

    fn escrow(&self, kek: &str, text: String, failed: bool) -> Noted {
        let alert = Alert { failed, ..Alert::done(What::EscrowUsed, text) };
        self.note(alert.about(format_args!("escrow key {kek}")))
    }

    /// Somebody reads the audit trail itself.
    pub(crate) fn reads_the_trail(&self, how: &str) -> Noted {
        info!(target: AUDIT, by = self.by, uid = self.uid, how, "audit trail read");
        let Some(folder) = &self.folder else { return Ok(()) };
        note_use(folder, &self.by, how)
    }
}
