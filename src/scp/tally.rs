//! What C-GET and C-MOVE tell their caller: how many sub-operations came to what, now and then and at the end (PS3.4 C.4.2).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::association::{Association, Command, Error, Message, SubOperations};
use crate::dicom::{Status, Uid};
use crate::flow::release::{Missing, Refused, failed_list};
use crate::policy::Refusal;
use crate::scu::{Failure, Meaning, Retrieved};

/// Failed instances that are kept by name; all are counted.
const FAILED_MAX: usize = 10_000;

/// The counts of one retrieval.
pub(super) struct Tally {
    completed: u16,
    failed: u16,
    warning: u16,
    /// Of the failed ones, those that the rules refused.
    forbidden: u16,
    /// Of these, those that were too many for the time.
    limited: u16,
    /// Of the failed ones, those whose keys were destroyed.
    destroyed: u16,
    /// Sub-operations there are in all, as far as the PACS has said.
    total: u16,
    failed_instances: Vec<Uid>,
    /// What a PACS that answered nothing useful said; kept from the first.
    refused: Option<Status>,
    /// A PACS that did not answer in full.
    broken: Option<String>,
    pub(super) cancelled: bool,
    told: Option<Instant>,
    every: Duration,
}

impl Tally {
    pub(super) fn new(pending_milliseconds: u64) -> Self {
        Self {
            completed: 0,
            failed: 0,
            warning: 0,
            forbidden: 0,
            limited: 0,
            destroyed: 0,
            total: 0,
            failed_instances: Vec::new(),
            refused: None,
            broken: None,
            cancelled: false,
            told: None,
            every: Duration::from_millis(pending_milliseconds),
        }
    }

    pub(super) fn set_total(&mut self, total: u16) {
        self.total = total;
    }

    pub(super) fn completed(&mut self) {
        self.completed = self.completed.saturating_add(1);
    }

    pub(super) fn warned(&mut self) {
        self.warning = self.warning.saturating_add(1);
    }

    pub(super) fn failed(&mut self, instance: &Uid) {
        self.failed = self.failed.saturating_add(1);
        if self.failed_instances.len() < FAILED_MAX {
            self.failed_instances.push(instance.clone());
        }
    }

    /// An instance that does not go out, and why.
    pub(super) fn refused(&mut self, instance: &Uid, why: &Refused) {
        if matches!(why, Refused::Policy(_)) {
            self.forbidden = self.forbidden.saturating_add(1);
        }
        if matches!(why, Refused::Policy(Refusal::TooMany { .. })) {
            self.limited = self.limited.saturating_add(1);
        }
        if matches!(why, Refused::Destroyed(_)) {
            self.destroyed = self.destroyed.saturating_add(1);
        }
        self.failed(instance);
    }

    /// One PACS is done: what it could not send counts as failed here too.
    pub(super) fn pacs_done(&mut self, name: &str, result: Result<Retrieved, Failure>, missing: &Missing) {
        match result {
            Ok(retrieved) => {
                let SubOperations { remaining, failed, warning, .. } = retrieved.counts;
                let named = u16::try_from(retrieved.failed.len()).unwrap_or(u16::MAX);
                let failed = failed.unwrap_or_default().max(named);
                // What was left when nobody here had cancelled will not come.
                let left = if self.cancelled { 0 } else { remaining.unwrap_or_default() };
                self.failed_there(failed.saturating_add(left), &retrieved.failed);
                let in_full = match Meaning::of(retrieved.answer.status) {
                    Meaning::Success => true,
                    // Without a count it says that something is missing, and not what.
                    Meaning::Warning => failed > 0 || warning.is_some_and(|count| count > 0),
                    Meaning::Cancelled => self.cancelled,
                    _ => false,
                };
                if !in_full {
                    self.refused.get_or_insert(retrieved.answer.status);
                    self.broken.get_or_insert_with(|| name.to_owned());
                }
            }
            Err(failure) => {
                if !self.cancelled {
                    self.failed_there(missing.count, &missing.instances);
                }
                if let Failure::Status(answer) = &failure {
                    self.refused.get_or_insert(answer.status);
                }
                self.broken.get_or_insert_with(|| name.to_owned());
            }
        }
    }

    /// Sub-operations that the PACS could not do.
    fn failed_there(&mut self, count: u16, instances: &[Uid]) {
        self.failed = self.failed.saturating_add(count);
        let room = FAILED_MAX.saturating_sub(self.failed_instances.len());
        self.failed_instances.extend(instances.iter().take(room).cloned());
    }

    pub(super) fn counts(&self) -> (u16, u16, u16) {
        (self.completed, self.failed, self.warning)
    }

    fn remaining(&self) -> u16 {
        [self.completed, self.failed, self.warning].into_iter().fold(self.total, u16::saturating_sub)
    }

    /// A pending response, if it is time for one.
    pub(super) async fn pending<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &mut self,
        association: &mut Association<S>,
        message: &Message,
    ) -> Result<(), Error> {
        let due = self.told.is_none_or(|told| told.elapsed() >= self.every);
        if self.cancelled || !due {
            return Ok(());
        }
        self.told = Some(Instant::now());
        let counts = SubOperations { remaining: Some(self.remaining()), ..self.sub_operations() };
        let response = Command::response_to(&message.command, Status::PENDING).with_sub_operations(counts);
        association.send(message.context.id, &response).await
    }

    fn sub_operations(&self) -> SubOperations {
        SubOperations {
            remaining: None,
            completed: Some(self.completed),
            failed: Some(self.failed),
            warning: Some(self.warning),
        }
    }

    /// The status of the last response (PS3.4 C.4.2.1.5).
    pub(super) fn status(&self) -> Status {
        let done = self.completed.saturating_add(self.warning);
        if self.cancelled {
            return Status::CANCEL;
        }
        match (self.failed > 0 || self.broken.is_some(), done > 0) {
            (false, _) if self.warning > 0 => Status::INCOMPLETE,
            (false, _) => Status::SUCCESS,
            (true, true) => Status::INCOMPLETE,
            (true, false) if self.failed == 0 => self.refused.unwrap_or(Status::SUB_OPERATIONS_REFUSED),
            (true, false) if self.limited == self.failed => Status::RESOURCE_LIMITATION,
            (true, false) if self.forbidden == self.failed => Status::NOT_AUTHORIZED,
            (true, false) => Status::SUB_OPERATIONS_REFUSED,
        }
    }

    /// The last response, with the list of what failed.
    pub(super) async fn end<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        association: &mut Association<S>,
        message: &Message,
    ) -> Result<(), Error> {
        let status = self.status();
        // PS3.7 9.1.3.1.6: remaining ones are told of where it was cancelled.
        let remaining = self.cancelled.then(|| self.remaining());
        let counts = SubOperations { remaining, ..self.sub_operations() };
        let response = Command::response_to(&message.command, status).with_sub_operations(counts);
        let response = match &self.broken {
            Some(name) if !self.cancelled => {
                response.with_comment(&format!("{name} has not answered in full"))
            }
            // PS3.7 annex C: an Error Comment has 64 characters at most.
            _ if self.destroyed > 0 => {
                response.with_comment("keys of images were destroyed for good, see the gateway's log")
            }
            _ if self.limited > 0 => response.with_comment("more images than may be opened in this time"),
            _ => response,
        };
        if self.failed_instances.is_empty() {
            return association.send(message.context.id, &response).await;
        }
        let list = failed_list(&self.failed_instances, message.context.transfer_syntax.encoding);
        association.send_with_data(message.context.id, &response, &list).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scu::Answer;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    #[test]
    fn what_failed_is_never_told_as_success() {
        let mut tally = Tally::new(0);
        assert_eq!(tally.status(), Status::SUCCESS, "nothing matched");
        tally.failed(&uid("1.2"));
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED);
        tally.completed();
        assert_eq!(tally.status(), Status::INCOMPLETE);
        tally.cancelled = true;
        assert_eq!(tally.status(), Status::CANCEL);
    }

    #[test]
    fn a_pacs_that_ends_of_itself_is_never_told_as_success() {
        let retrieved = |status, counts| {
            let answer = Answer { status, comment: None, offending: Vec::new(), instance: None };
            Ok(Retrieved { answer, counts, failed: Vec::new() })
        };
        let cancelled = SubOperations { remaining: Some(3), completed: Some(2), ..SubOperations::default() };
        let mut tally = Tally::new(0);
        tally.completed();
        tally.pacs_done("pacs", retrieved(Status::CANCEL, cancelled), &Missing::default());
        assert_eq!((tally.status(), tally.counts()), (Status::INCOMPLETE, (1, 3, 0)));
        let mut tally = Tally::new(0);
        tally.completed();
        tally.pacs_done("pacs", retrieved(Status::INCOMPLETE, SubOperations::default()), &Missing::default());
        assert_eq!(tally.status(), Status::INCOMPLETE, "it warns and does not say of what");
        let mut tally = Tally::new(0);
        tally.cancelled = true;
        tally.pacs_done("pacs", retrieved(Status::CANCEL, cancelled), &Missing::default());
        assert_eq!((tally.status(), tally.counts()), (Status::CANCEL, (0, 0, 0)));
    }

    #[test]
    fn a_study_that_the_rules_refuse_as_a_whole_is_not_authorised() {
        let mut tally = Tally::new(0);
        let refusal = Refusal::NotThese { peer: "ws".to_owned() };
        tally.refused(&uid("1.2"), &refusal.clone().into());
        assert_eq!(tally.status(), Status::NOT_AUTHORIZED);
        tally.refused(&uid("1.3"), &Refused::BrokenOff);
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED);
        tally.completed();
        assert_eq!(tally.status(), Status::INCOMPLETE);
    }

    #[test]
    fn what_was_too_many_for_the_time_has_a_status_of_its_own() {
        let mut tally = Tally::new(0);
        let rate = crate::policy::OpeningRate { per_minute: 1, burst: 1 };
        let refusal = Refusal::TooMany { peer: "ws".to_owned(), rate };
        tally.refused(&uid("1.2"), &refusal.into());
        assert_eq!(tally.status(), Status::RESOURCE_LIMITATION);
        tally.refused(&uid("1.3"), &Refusal::NotThese { peer: "ws".to_owned() }.into());
        assert_eq!(tally.status(), Status::NOT_AUTHORIZED);
        tally.completed();
        assert_eq!(tally.status(), Status::INCOMPLETE);
    }

    #[test]
    fn a_pacs_that_breaks_off_makes_the_end_a_warning_or_a_failure() {
        let mut tally = Tally::new(0);
        tally.pacs_done("archive", Err(Failure::Ending), &Missing::default());
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED);
        tally.completed();
        assert_eq!(tally.status(), Status::INCOMPLETE);
        let missing = Missing { count: 2, instances: vec![uid("1.2"), uid("1.3")] };
        tally.pacs_done("archive", Err(Failure::Ending), &missing);
        assert_eq!((tally.counts(), tally.failed_instances.len()), ((1, 2, 0), 2));
    }

    #[test]
    fn what_remains_is_what_nothing_is_known_of() {
        let mut tally = Tally::new(0);
        tally.completed();
        assert_eq!(tally.remaining(), 0, "the PACS has not said how many there are");
        tally.set_total(5);
        tally.failed(&uid("1.2"));
        assert_eq!(tally.remaining(), 3);
    }
}
