//! What commands share that ask who runs them: roles, requests, and the line in the audit trail.

use std::os::unix::fs::MetadataExt;

use super::{Exit, complain};
use crate::audit::AuditError;
use crate::custody::{Person, Requests, Role};
use crate::flow::audit_custody::Ledger;
use crate::keys::KeysError;
use crate::settings::Settings;
use crate::telemetry;

/// Who runs the command, where requests are, and where it is recorded.
pub(super) struct Office {
    pub(super) person: Person,
    pub(super) requests: Requests,
    pub(super) ledger: Ledger,
}

impl Office {
    /// Whoever is here. The log goes to standard error in the format of the service, for what has to stand in the audit trail.
    pub(super) fn of(settings: &Settings) -> Self {
        // A command that logs already keeps the log it has.
        let _ = telemetry::init(&settings.log);
        let owner = settings.keys.folder.metadata().ok().map(|metadata| metadata.uid());
        let requests = Requests::new(settings.keys.folder.join("requests"), settings.roles.clone());
        let person = Person::here(owner);
        let ledger = Ledger::new(&settings.audit, &person.name, person.uid);
        Self { person, requests, ledger }
    }
}

/// Stops a command that this person may not run.
pub(super) fn require(settings: &Settings, wanted: &[Role]) -> Result<(), Exit> {
    if !settings.roles.separates() {
        return Ok(());
    }
    let office = Office::of(settings);
    office.person.require(wanted, &settings.roles).map_err(|error| {
        let noted = office.ledger.command_refused(&error.to_string());
        complain(error);
        noted.unwrap_or_else(complain);
        Exit::Failed
    })
}

/// No record, no deed.
impl From<AuditError> for KeysError {
    fn from(error: AuditError) -> Self {
        Self::Custody(format!("this cannot be recorded in the audit trail: {error}"))
    }
}

impl From<crate::custody::CustodyError> for KeysError {
    fn from(error: crate::custody::CustodyError) -> Self {
        Self::Custody(error.to_string())
    }
}
