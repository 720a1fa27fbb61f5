//! What the PACS of a retrieval have brought: each instance once, and from the next one where a copy was no good.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::debug;

use super::delivery::Refused;
use super::missing::Debt;
use crate::association::SubOperations;
use crate::dicom::Uid;
use crate::scu::{Failure, Retrieved};

/// What has become of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A copy is being opened.
    Opening,
    /// It goes out, or no other copy would.
    Settled,
    /// The last copy was no good: another one may be.
    Damaged,
}

/// One instance.
#[derive(Debug)]
struct Entry {
    state: State,
    /// Copies that were looked at.
    copies: u16,
}

/// The books of one retrieval, shared by whoever takes instances in.
#[derive(Debug)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    /// Told whenever an instance is judged.
    judged: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<Uid, Entry>,
    /// What the PACS that is asked now has brought.
    here: HashSet<Uid>,
    /// Its stores; some send an instance twice.
    stores: u16,
    /// Sub-operations that it says it has.
    said: u16,
    /// The most that any of them says it has.
    total: u16,
    /// Whether another one is asked behind it.
    others: bool,
    debts: Vec<Debt>,
}

/// A copy that is being opened. Dropped without a word, it was no good.
#[derive(Debug)]
pub(super) struct Candidate {
    ledger: Arc<Ledger>,
    instance: Uid,
    state: State,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { books: Mutex::default(), judged: watch::Sender::new(()) }
    }
}

impl Ledger {
    /// A PACS is asked now, and behind it perhaps others.
    pub(super) fn begin(&self, others: bool) {
        let mut books = self.books();
        books.here.clear();
        (books.stores, books.said, books.others) = (0, 0, others);
    }

    /// A store of the PACS that is asked now: to be opened, if it is of an instance that no good copy has come of. Waits
    /// until that is known of a copy that came before. May be dropped.
    pub(super) async fn take(self: &Arc<Self>, instance: &Uid) -> Option<Candidate> {
        {
            let mut books = self.books();
            books.stores = books.stores.saturating_add(1);
            books.here.insert(instance.clone());
        }
        let mut judged = self.judged.subscribe();
        loop {
            match self.books().claim(instance) {
                State::Damaged => {
                    let (ledger, instance) = (Arc::clone(self), instance.clone());
                    return Some(Candidate { ledger, instance, state: State::Damaged });
                }
                State::Settled => {
                    debug!(%instance, "an instance came a second time, and goes out once");
                    return None;
                }
                State::Opening => {}
            }
            // The sender is ours, so that it is there.
            let _ = judged.changed().await;
        }
    }

    /// What the PACS that is asked now says of its sub-operations. Gives back how many instances there are at least: it
    /// is not known how many of one PACS's are also the other's, but there are as many as any one of them says.
    pub(super) fn said(&self, counts: SubOperations) -> u16 {
        let SubOperations { remaining, completed, failed, warning } = counts;
        let said = [remaining, completed, failed, warning].into_iter().flatten().fold(0, u16::saturating_add);
        let mut books = self.books();
        books.said = books.said.max(said);
        books.total = books.total.max(said);
        let came = u16::try_from(books.entries.len()).unwrap_or(u16::MAX);
        books.total.max(came)
    }

    /// The PACS that is asked now is done: what it owes is written down.
    pub(super) fn end(&self, result: &Result<Retrieved, Failure>, is_cancelled: bool) {
        let mut books = self.books();
        // Sub-operations that have not come to our door, if it has said how many there are.
        let left = (books.said > 0 && !is_cancelled).then(|| books.said.saturating_sub(books.stores));
        let (count, named) = match result {
            Ok(retrieved) => {
                let SubOperations { failed, remaining, .. } = retrieved.counts;
                let listed = u16::try_from(retrieved.failed.len()).unwrap_or(u16::MAX);
                // What remains when nobody here had cancelled will not come.
                let remaining = remaining.filter(|_| !is_cancelled).unwrap_or_default();
                let failed = failed.unwrap_or_default().max(listed).saturating_add(remaining);
                let is_in_full = is_cancelled || retrieved.is_in_full();
                let count = if is_in_full { failed } else { failed.max(left.unwrap_or_default()) };
                if count == 0 && is_in_full {
                    return;
                }
                ((count > 0).then_some(count), retrieved.failed.as_slice())
            }
            Err(_) if is_cancelled => return,
            Err(_) => (left, &[][..]),
        };
        let came = std::mem::take(&mut books.here);
        books.debts.push(Debt { count, named: named.iter().cloned().collect(), came });
    }

    /// What is owed, and all that came.
    pub(super) fn debts(&self) -> (Vec<Debt>, HashSet<Uid>) {
        let mut books = self.books();
        let debts = std::mem::take(&mut books.debts);
        let came = if debts.is_empty() { HashSet::new() } else { books.entries.keys().cloned().collect() };
        (debts, came)
    }

    /// Whether another copy of an instance may come, where so many did not go out.
    pub(super) fn may_still_come(&self, instance: &Uid, failures: u16) -> bool {
        let books = self.books();
        books
            .entries
            .get(instance)
            .is_some_and(|entry| entry.copies > failures || (entry.state == State::Damaged && books.others))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // They are whole between any two statements.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// How an instance was; one that nobody has a good copy of is being opened from then on.
    fn claim(&mut self, instance: &Uid) -> State {
        let new = Entry { state: State::Damaged, copies: 0 };
        let entry = self.entries.entry(instance.clone()).or_insert(new);
        let before = entry.state;
        if before == State::Damaged {
            *entry = Entry { state: State::Opening, copies: entry.copies.saturating_add(1) };
        }
        before
    }
}

impl Candidate {
    /// What came of it. To be told before the caller hears of it.
    pub(super) fn judge(mut self, outcome: Result<(), &Refused>) {
        let is_settled = outcome.is_ok() || outcome.is_err_and(|refused| !refused.may_differ_elsewhere());
        self.state = if is_settled { State::Settled } else { State::Damaged };
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Some(entry) = self.ledger.books().entries.get_mut(&self.instance) {
            entry.state = self.state;
        }
        self.ledger.judged.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Status;
    use crate::scu::Answer;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    fn says(remaining: u16, completed: u16) -> SubOperations {
        SubOperations { remaining: Some(remaining), completed: Some(completed), failed: None, warning: None }
    }

    #[tokio::test]
    async fn an_instance_is_taken_again_when_its_copy_was_no_good_and_not_before() {
        let (ledger, one) = (Arc::new(Ledger::default()), uid("1.2"));
        ledger.begin(true);
        let copy = ledger.take(&one).await.unwrap();
        let second = tokio::spawn({
            let (ledger, one) = (Arc::clone(&ledger), one.clone());
            async move { ledger.take(&one).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "nobody knows yet");
        copy.judge(Err(&Refused::BrokenOff));
        let second = second.await.unwrap().expect("the first was no good");
        assert!(ledger.may_still_come(&one, 1), "it is being opened");
        second.judge(Ok(()));
        assert!(ledger.take(&one).await.is_none());
        assert!(!ledger.may_still_come(&one, 2));
    }

    #[tokio::test]
    async fn a_damaged_instance_may_come_from_another_pacs_and_not_from_none() {
        let (ledger, one) = (Arc::new(Ledger::default()), uid("1.2"));
        ledger.begin(true);
        drop(ledger.take(&one).await.unwrap());
        assert!(ledger.may_still_come(&one, 1));
        ledger.begin(false);
        assert!(!ledger.may_still_come(&one, 1));
        assert!(!ledger.may_still_come(&uid("1.3"), 0), "nobody knows it");
    }

    #[tokio::test]
    async fn there_are_as_many_as_one_pacs_says_and_not_as_many_as_all_of_them() {
        let ledger = Arc::new(Ledger::default());
        ledger.begin(true);
        assert_eq!(ledger.said(says(3, 0)), 3);
        for name in ["1.1", "1.2", "1.3"] {
            ledger.take(&uid(name)).await.unwrap().judge(Ok(()));
        }
        ledger.begin(false);
        assert_eq!(ledger.said(says(3, 0)), 3, "it may be a mirror");
        ledger.take(&uid("1.4")).await.unwrap().judge(Ok(()));
        assert_eq!(ledger.said(says(2, 1)), 4, "it is none");
        ledger.end(&Err(Failure::Ending), false);
        let (debts, came) = ledger.debts();
        assert_eq!((debts[0].count, debts[0].came.len(), came.len()), (Some(2), 1, 4));
    }

    #[test]
    fn a_pacs_owes_what_it_has_not_done_unless_it_was_told_to_stop() {
        let ended = |status, counts, failed: &[&str]| {
            let answer = Answer { status, comment: None, offending: Vec::new(), instance: None };
            Ok(Retrieved { answer, counts, failed: failed.iter().map(|name| uid(name)).collect() })
        };
        let of = |said, result: &Result<Retrieved, Failure>, is_cancelled| {
            let ledger = Ledger::default();
            ledger.begin(false);
            ledger.said(said);
            ledger.end(result, is_cancelled);
            ledger.debts().0.pop().map(|debt| debt.count)
        };
        let none = SubOperations::default();
        let failed = SubOperations { failed: Some(2), ..none };
        assert_eq!(of(none, &ended(Status::SUCCESS, none, &[]), false), None);
        assert_eq!(of(none, &ended(Status::INCOMPLETE, failed, &["1.2"]), false), Some(Some(2)));
        assert_eq!(of(none, &ended(Status::INCOMPLETE, none, &["1.2"]), false), Some(Some(1)));
        assert_eq!(of(none, &ended(Status::INCOMPLETE, none, &[]), false), Some(None), "it warns of nothing");
        assert_eq!(of(says(3, 0), &ended(Status::CANCEL, says(3, 0), &[]), false), Some(Some(3)));
        assert_eq!(of(says(3, 0), &ended(Status::CANCEL, says(3, 0), &[]), true), None);
        assert_eq!(of(says(3, 0), &ended(Status(0xC001), none, &[]), false), Some(Some(3)));
        assert_eq!(of(none, &ended(Status(0xA701), none, &[]), false), Some(None));
        assert_eq!(of(none, &Err(Failure::Ending), false), Some(None));
        assert_eq!(of(says(3, 0), &Err(Failure::Ending), true), None);
    }
}
