//! What people do with keys and may have to account for later: commands refused, requests, approvals, destruction, escrow.

use tracing::{error, info, warn};

use super::audit::AUDIT;
use crate::keys::destroy::{Certificate, Hold};

/// Somebody ran a command that is not their work.
pub(crate) fn command_refused(by: &str, uid: u32, reason: &str) {
    warn!(target: AUDIT, by, uid, reason, "command refused");
}

/// The first of two persons asked for something.
pub(crate) fn requested(request: &str, by: &str, uid: u32, what: &str) {
    warn!(target: AUDIT, request, by, uid, what, "request made");
}

/// A request was taken back.
pub(crate) fn withdrawn(request: &str, by: &str, what: &str) {
    info!(target: AUDIT, request, by, what, "request withdrawn");
}

/// Somebody may not approve a request, or nobody may any more.
pub(crate) fn approval_refused(request: &str, by: &str, uid: u32, reason: &str) {
    warn!(target: AUDIT, request, by, uid, reason, "approval refused");
}

/// The second person approved, and it is done.
pub(crate) fn approved(request: &str, asked_by: &str, by: &str, what: &str) {
    warn!(target: AUDIT, request, asked_by, by, what, "request approved and done");
}

/// The second person approved, and it could not be done.
pub(crate) fn approved_in_vain(request: &str, by: &str, what: &str, problem: &str) {
    error!(target: AUDIT, request, by, what, problem, "request approved and failed");
}

/// Keys are gone for good.
pub(crate) fn destroyed(certificate: &Certificate) {
    let statement = &certificate.statement;
    warn!(
        target: AUDIT, request = statement.request, keys = statement.keys.len(), studies = ?statement.studies,
        requested_by = statement.requested_by, approved_by = statement.approved_by, reason = statement.reason,
        signature = certificate.signature, "keys destroyed"
    );
}

/// Something must not be destroyed from now on.
pub(crate) fn held(hold: &Hold) {
    let Hold { id, studies, keys, reason, by, .. } = hold;
    warn!(target: AUDIT, hold = id, by, reason, ?studies, ?keys, "legal hold set");
}

/// An escrow key exists in shares.
pub(crate) fn escrow_split(by: &str, kek: &str, set: &str, needed: u8, shares: u8) {
    warn!(target: AUDIT, by, kek, set, needed, shares, "escrow key made in shares");
}

/// Shares were put together and do not open.
pub(crate) fn escrow_refused(by: &str, kek: &str, numbers: &[u8], problem: &str) {
    warn!(target: AUDIT, by, kek, ?numbers, problem, "shares of an escrow key refused");
}

/// Shares were tried out.
pub(crate) fn escrow_drilled(by: &str, kek: &str, numbers: &[u8]) {
    warn!(target: AUDIT, by, kek, ?numbers, "escrow key drilled");
}

/// The site can open with the escrow key.
pub(crate) fn escrow_released(by: &str, kek: &str, numbers: &[u8]) {
    error!(target: AUDIT, by, kek, ?numbers, alarm = true, "escrow key released");
}
