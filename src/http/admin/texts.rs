//! What the admin page says, in one place.

pub(super) const NAME: &str = "Sealgate";
pub(super) const SKIP: &str = "Skip to content";
pub(super) const OVERVIEW: &str = "Overview";
pub(super) const ROUTES: &str = "Routes";
pub(super) const QUEUE: &str = "Queue";
pub(super) const STUDIES: &str = "Studies";
pub(super) const EMERGENCY: &str = "Emergency access";
pub(super) const AUDIT: &str = "Audit trail";
pub(super) const SAMPLE: &str = "Before and after";
pub(super) const REPORT: &str = "Evaluation";

pub(super) const LOG_IN: &str = "Log in";
pub(super) const LOG_OUT: &str = "Log out";
pub(super) const USER: &str = "Name";
pub(super) const PASSWORD: &str = "Password";
pub(super) const WRONG: &str = "Name and password do not fit.";
pub(super) const TOO_MANY: &str = "Too many wrong passwords. Try again in five minutes.";
pub(super) const NO_ROLE: &str = "This user has no role on this page: see http.users.";
pub(super) const FOREIGN: &str =
    "This did not come from a page of this gateway. Go back, reload the page and try again.";
pub(super) const NOT_YOURS: &str = "Your role does not allow this.";

pub(super) const READY: &str = "Ready";
pub(super) const NOT_READY: &str = "Not ready";
pub(super) const TO_LOOK_AT: &str = "To look at";
pub(super) const NOTHING: &str = "Nothing to look at.";
pub(super) const TAKEN_IN: &str = "Taken in";
pub(super) const FORWARDED: &str = "Forwarded";
pub(super) const OPENED: &str = "Opened";
pub(super) const WAITING: &str = "Waiting";
pub(super) const ROOMS: &str = "The gateway";

pub(super) const PICTURE: &str = "Who talks to whom";
pub(super) const PEERS: &str = "Peers";
pub(super) const DESTINATIONS: &str = "Destinations";
pub(super) const UP: &str = "up";
pub(super) const DOWN: &str = "down";

pub(super) const RETRY: &str = "Retry";
pub(super) const RETRY_ALL: &str = "Retry all";
pub(super) const QUEUE_EMPTY: &str = "Nothing waits.";
pub(super) const QUEUE_HELP: &str = "Instances that are not at their destination yet. What a destination refuses again and again is set aside, and waits here for a \
     decision; `sealgate spool drop` gives one up.";

pub(super) const SEARCH: &str = "Search";
pub(super) const UID: &str = "Study or SOP Instance UID";
pub(super) const STUDY_HELP: &str =
    "Shows what was sealed of a study, and what the audit trail says about it.";
pub(super) const NO_SEALS: &str = "The key store knows nothing of it.";
pub(super) const SEALS: &str = "Seals";
pub(super) const RECORDS: &str = "Records";
pub(super) const NO_RECORDS: &str = "There is no such record.";
pub(super) const RECORDS_HIDDEN: &str = "Records name patients: they are for auditors and custodians.";

pub(super) const EMERGENCY_HELP: &str = "For its time an emergency access lets one peer open every image. Its beginning, its end and every opening are recorded.";
pub(super) const OPEN_ONE: &str = "Open an emergency access";
pub(super) const PEER: &str = "Peer";
pub(super) const MINUTES: &str = "Minutes";
pub(super) const REASON: &str = "Reason, without naming a patient";
pub(super) const OPEN: &str = "Open";
pub(super) const END: &str = "End now";
pub(super) const NONE_OPEN: &str = "There was none.";

pub(super) const EVENT: &str = "Event, such as opened or set-aside";
pub(super) const PARTY: &str = "Who took part: a name, an AE title or an address";
pub(super) const FAILED_ONLY: &str = "Only what failed or was refused";

pub(super) const SAMPLE_HELP: &str = "A slice of a CT, sealed just now under a key that nobody keeps: what a modality sends, and what the PACS holds.";
pub(super) const BEFORE: &str = "What the modality sends";
pub(super) const AFTER: &str = "What the PACS holds";
pub(super) const BEFORE_ALT: &str =
    "Cross-section of a back: a bright vertebra, dark lungs on both sides of it";
pub(super) const AFTER_ALT: &str = "Grey noise without any structure";

pub(super) const NO_REPORT: &str = "There is no report at http.report. `sealgate evaluate` writes one.";
