//! What C-GET and C-MOVE tell their caller: how many sub-operations came to what, now and then and at the end (PS3.4 C.4.2).

use std::collections::BTreeMap;
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
    warning: u16,
    /// Instances that arrived and did not go out.
    failures: BTreeMap<Uid, Failed>,
    /// Those that were too many to be kept.
    unnamed: u16,
    /// What never arrived; known at the end.
    missing: Missing,
    /// Instances there are at least, as far as the PACS have said.
    total: u16,
    /// What a PACS that answered nothing useful said; kept from the first.
    refused: Option<Status>,
    /// A PACS that did not answer in full.
    broken: Option<String>,
    pub(super) cancelled: bool,
    told: Option<Instant>,
    every: Duration,
}

/// An instance that has not gone out so far.
#[derive(Debug, Clone, Copy)]
struct Failed {
    why: Why,
    /// Of its copies.
    times: u16,
    /// Whether another PACS may bring it.
    may_come: bool,
}

/// Why an instance has not gone out, as far as the end says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The rules.
    Forbidden,
    /// It was too many for the time.
    Limited,
    /// Its key was destroyed.
    Destroyed,
    Other,
}

impl Why {
    fn of(refused: &Refused) -> Self {
        match refused {
            Refused::Policy(Refusal::TooMany { .. }) => Self::Limited,
            Refused::Policy(_) => Self::Forbidden,
            Refused::Destroyed(_) => Self::Destroyed,
            _ => Self::Other,
        }
    }
}

impl Tally {
    pub(super) fn new(pending_milliseconds: u64) -> Self {
        Self {
            completed: 0,
            warning: 0,
            failures: BTreeMap::new(),
            unnamed: 0,
            missing: Missing::default(),
            total: 0,
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

    pub(super) fn completed(&mut self, instance: &Uid) {
        self.failures.remove(instance);
        self.completed = self.completed.saturating_add(1);
    }

    pub(super) fn warned(&mut self, instance: &Uid) {
        self.failures.remove(instance);
        self.warning = self.warning.saturating_add(1);
    }

    /// An instance has not reached its receiver; `may_come` says whether another copy may after so many.
    pub(super) fn failed(&mut self, instance: &Uid, may_come: impl FnOnce(u16) -> bool) {
        self.fail(instance, Why::Other, may_come);
    }

    /// An instance that does not go out, and why.
    pub(super) fn refused(&mut self, instance: &Uid, why: &Refused, may_come: impl FnOnce(u16) -> bool) {
        self.fail(instance, Why::of(why), may_come);
    }

    fn fail(&mut self, instance: &Uid, why: Why, may_come: impl FnOnce(u16) -> bool) {
        let before = self.failures.get(instance);
        if before.is_none() && self.failures.len() >= FAILED_MAX {
            self.unnamed = self.unnamed.saturating_add(1);
            return;
        }
        let times = before.map_or(0, |failed| failed.times).saturating_add(1);
        self.failures.insert(instance.clone(), Failed { why, times, may_come: may_come(times) });
    }

    /// Nothing more goes out: no other copy of what failed comes.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
        self.failures.values_mut().for_each(|failed| failed.may_come = false);
    }

    /// One PACS is done.
    pub(super) fn pacs_done(&mut self, name: &str, result: &Result<Retrieved, Failure>) {
        let is_in_full = result.as_ref().is_ok_and(Retrieved::is_in_full);
        if is_in_full || self.cancelled {
            return;
        }
        self.broken.get_or_insert_with(|| name.to_owned());
        let status = match result {
            Ok(retrieved) => retrieved.answer.status,
            Err(Failure::Status(answer)) => answer.status,
            Err(_) => return,
        };
        if !matches!(Meaning::of(status), Meaning::Success | Meaning::Warning | Meaning::Cancelled) {
            self.refused.get_or_insert(status);
        }
    }

    /// All are: what nobody brought has failed.
    pub(super) fn all_done(&mut self, missing: Missing) {
        self.failures.values_mut().for_each(|failed| failed.may_come = false);
        if missing.is_settled {
            // What one of them owed has come from another.
            (self.broken, self.refused) = (None, None);
        }
        self.missing = missing;
    }

    /// Completed, failed, with a warning.
    pub(super) fn counts(&self) -> (u16, u16, u16) {
        (self.completed, self.failed_count(), self.warning)
    }

    fn failed_count(&self) -> u16 {
        let failed = self.failures.values().filter(|failed| !failed.may_come).count();
        let failed = u16::try_from(failed).unwrap_or(u16::MAX);
        failed.saturating_add(self.unnamed).saturating_add(self.missing.count)
    }

    /// Failed ones of this kind.
    fn count_of(&self, why: &[Why]) -> u16 {
        let count = self.failures.values().filter(|failed| why.contains(&failed.why)).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    fn remaining(&self) -> u16 {
        let (completed, failed, warning) = self.counts();
        [completed, failed, warning].into_iter().fold(self.total, u16::saturating_sub)
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
        let (completed, failed, warning) = self.counts();
        SubOperations {
            remaining: None,
            completed: Some(completed),
            failed: Some(failed),
            warning: Some(warning),
        }
    }

    /// The status of the last response (PS3.4 C.4.2.1.5).
    pub(super) fn status(&self) -> Status {
        let (done, failed) = (self.completed.saturating_add(self.warning), self.failed_count());
        if self.cancelled {
            return Status::CANCEL;
        }
        match (failed > 0 || self.broken.is_some(), done > 0) {
            (false, _) if self.warning > 0 => Status::INCOMPLETE,
            (false, _) => Status::SUCCESS,
            (true, true) => Status::INCOMPLETE,
            (true, false) if failed == self.missing.count => {
                self.refused.unwrap_or(Status::SUB_OPERATIONS_REFUSED)
            }
            (true, false) if self.count_of(&[Why::Limited]) == failed => Status::RESOURCE_LIMITATION,
            (true, false) if self.count_of(&[Why::Limited, Why::Forbidden]) == failed => {
                Status::NOT_AUTHORIZED
            }
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
            _ if self.count_of(&[Why::Destroyed]) > 0 => {
                response.with_comment("keys of images were destroyed for good, see the gateway's log")
            }
            _ if self.count_of(&[Why::Limited]) > 0 => {
                response.with_comment("more images than may be opened in this time")
            }
            _ => response,
        };
        let failed: Vec<Uid> = self.failures.keys().chain(&self.missing.instances).cloned().collect();
        if failed.is_empty() {
            return association.send(message.context.id, &response).await;
        }
        let list = failed_list(&failed, message.context.transfer_syntax.encoding);
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

    fn never(_: u16) -> bool {
        false
    }

    #[test]
    fn what_failed_is_never_told_as_success() {
        let mut tally = Tally::new(0);
        assert_eq!(tally.status(), Status::SUCCESS, "nothing matched");
        tally.failed(&uid("1.2"), never);
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED);
        tally.completed(&uid("1.3"));
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
        tally.pacs_done("pacs", &retrieved(Status::CANCEL, cancelled));
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED, "nobody here has cancelled");
        tally.completed(&uid("1.2"));
        assert_eq!(tally.status(), Status::INCOMPLETE);
        let mut tally = Tally::new(0);
        tally.completed(&uid("1.2"));
        tally.pacs_done("pacs", &retrieved(Status::INCOMPLETE, SubOperations::default()));
        assert_eq!(tally.status(), Status::INCOMPLETE, "it warns and does not say of what");
        let mut tally = Tally::new(0);
        tally.cancelled = true;
        tally.pacs_done("pacs", &retrieved(Status::CANCEL, cancelled));
        assert_eq!((tally.status(), tally.counts()), (Status::CANCEL, (0, 0, 0)));
    }

    #[test]
    fn a_study_that_the_rules_refuse_as_a_whole_is_not_authorised() {
        let mut tally = Tally::new(0);
        let refusal = Refusal::NotThese { peer: "ws".to_owned() };
        tally.refused(&uid("1.2"), &refusal.clone().into(), never);
        assert_eq!(tally.status(), Status::NOT_AUTHORIZED);
        tally.refused(&uid("1.3"), &Refused::BrokenOff, never);
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED);
        tally.completed(&uid("1.4"));
        assert_eq!(tally.status(), Status::INCOMPLETE);
    }

    #[test]
    fn what_was_too_many_for_the_time_has_a_status_of_its_own() {
        let mut tally = Tally::new(0);
        let rate = crate::policy::OpeningRate { per_minute: 1, burst: 1 };
        let refusal = Refusal::TooMany { peer: "ws".to_owned(), rate };
        tally.refused(&uid("1.2"), &refusal.into(), never);
        assert_eq!(tally.status(), Status::RESOURCE_LIMITATION);
        tally.refused(&uid("1.3"), &Refusal::NotThese { peer: "ws".to_owned() }.into(), never);
        assert_eq!(tally.status(), Status::NOT_AUTHORIZED);
        tally.completed(&uid("1.4"));
        assert_eq!(tally.status(), Status::INCOMPLETE);
    }

    #[test]
    fn a_pacs_that_breaks_off_makes_the_end_a_warning_or_a_failure() {
        let mut tally = Tally::new(0);
        tally.pacs_done("archive", &Err(Failure::Ending));
        assert_eq!(tally.status(), Status::SUB_OPERATIONS_REFUSED);
        tally.completed(&uid("1.1"));
        assert_eq!(tally.status(), Status::INCOMPLETE);
        tally.all_done(Missing { count: 2, instances: vec![uid("1.2"), uid("1.3")], is_settled: false });
        assert_eq!((tally.counts(), tally.status()), ((1, 2, 0), Status::INCOMPLETE));
    }

    #[test]
    fn what_one_pacs_owes_and_another_brings_is_a_success() {
        let mut tally = Tally::new(0);
        tally.pacs_done("archive", &Err(Failure::Ending));
        tally.completed(&uid("1.2"));
        tally.all_done(Missing { is_settled: true, ..Missing::default() });
        assert_eq!((tally.counts(), tally.status()), ((1, 0, 0), Status::SUCCESS));
    }

    #[test]
    fn a_copy_that_was_no_good_is_no_failure_while_another_one_may_come() {
        let mut tally = Tally::new(0);
        tally.set_total(2);
        for instance in ["1.2", "1.3"] {
            tally.refused(&uid(instance), &Refused::BrokenOff, |times| times == 1);
        }
        assert_eq!((tally.counts(), tally.remaining()), ((0, 0, 0), 2));
        tally.completed(&uid("1.2"));
        tally.refused(&uid("1.3"), &Refused::BrokenOff, |times| times == 1);
        assert_eq!((tally.counts(), tally.remaining()), ((1, 1, 0), 0));
        tally.all_done(Missing::default());
        assert_eq!((tally.counts(), tally.status()), ((1, 1, 0), Status::INCOMPLETE));
    }

    #[test]
    fn what_remains_is_what_nothing_is_known_of() {
        let mut tally = Tally::new(0);
        tally.completed(&uid("1.1"));
        assert_eq!(tally.remaining(), 0, "the PACS has not said how many there are");
        tally.set_total(5);
        tally.failed(&uid("1.2"), never);
        assert_eq!(tally.remaining(), 3);
    }
}
