//! Stores that come through our own door because we asked a PACS for a C-MOVE: which retrieval each belongs to.
//!
//! PS3.7 9.1.1.1: a store carries the Move Originator's AE title and Message ID. Where a PACS sends them, they decide.
//! Where it sends none, a store is expected when one retrieval alone is under way from that PACS, or one alone of the study
//! that the instance was sealed in; a store that could be of two is of none. From then on such a PACS is asked for one
//! retrieval at a time, and one whose stores did not all come is told as incomplete.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::fetch::Fetching;
use super::open::Feed;
use crate::dicom::{AeTitle, Status, TransferSyntax, Uid};

/// A C-STORE that came through our door, before its data set.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The AE title that its sender calls itself.
    pub calling: AeTitle,
    /// The AE title of ours that it called.
    pub called: AeTitle,
    /// Move Originator AE Title and Message ID, if it says so.
    pub originator: Option<(AeTitle, u16)>,
    /// Affected SOP Class UID.
    pub class: Uid,
    /// Affected SOP Instance UID.
    pub instance: Uid,
    /// The transfer syntax of its context.
    pub transfer_syntax: TransferSyntax,
}

/// What is expected at our own door.
#[derive(Debug, Default)]
pub struct Expectations {
    list: Mutex<Vec<Arc<Expectation>>>,
    message_id: AtomicU16,
    /// PACS whose stores have not said which C-MOVE they belong to: these are asked for one retrieval at a time.
    silent: Mutex<HashMap<AeTitle, Turns>>,
}

type Turns = Arc<tokio::sync::Mutex<()>>;

/// One retrieval by C-MOVE to ourselves.
pub(super) struct Expectation {
    /// The AE title of the PACS.
    pub(super) pacs: AeTitle,
    /// Ours, as which it was asked, and to which it sends.
    pub(super) own: AeTitle,
    pub(super) message_id: u16,
    /// The study that was asked for, if it was one.
    pub(super) study: Option<Uid>,
    /// Stores that have come of it.
    pub(super) came: AtomicU16,
    pub(super) fetching: Fetching,
}

impl std::fmt::Debug for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expectation(from {}, message {})", self.pacs, self.message_id)
    }
}

/// A store that was expected: its data set goes in here.
pub struct Expected {
    /// Nothing where the same instance has come already.
    feed: Option<Feed>,
}

/// Keeps an expectation for as long as the retrieval goes on.
pub(super) struct Expecting {
    expectation: Arc<Expectation>,
}

impl Expectations {
    /// A Message ID that no other retrieval of ours has now, or had lately.
    pub(super) fn message_id(&self) -> u16 {
        // PS3.7 gives 0 no special meaning; some nodes do.
        self.message_id.fetch_add(1, Ordering::Relaxed).checked_add(1).unwrap_or(1)
    }

    /// Waits until a PACS that does not say which retrieval its stores belong to has no other one.
    pub(super) async fn turn(&self, pacs: &AeTitle) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let turns = self.silent().get(pacs).cloned()?;
        Some(turns.lock_owned().await)
    }

    fn silent(&self) -> MutexGuard<'_, HashMap<AeTitle, Turns>> {
        // The map is whole between any two statements.
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expect(expectation: Expectation) -> Expecting {
        let expectation = Arc::new(expectation);
        expectation.fetching.gateway.release.expectations.list().push(Arc::clone(&expectation));
        Expecting { expectation }
    }

    /// The retrieval that a store belongs to, which then takes it; nothing for a store that is none of ours.
    pub async fn take(&self, offer: &Offer) -> Option<Expected> {
        let expectation = self.find(offer)?;
        if offer.originator.is_none() {
            self.silent().entry(offer.calling.clone()).or_default();
        }
        expectation.came.fetch_add(1, Ordering::Relaxed);
        let Some(copy) = expectation.fetching.ledger.take(&offer.instance).await else {
            return Some(Expected { feed: None });
        };
        let (class, instance) = (offer.class.clone(), offer.instance.clone());
        // Where the viewer has gone, what comes is thrown away.
        let feed = expectation.fetching.begin(class, instance, offer.transfer_syntax, copy).await;
        Some(Expected { feed })
    }

    /// Whether a store names a C-MOVE of ours, and belongs to none that is under way: what a PACS still sends of one that
    /// is over, or sends under another AE title than it was asked under. To take it in as new would seal and store again
    /// what the PACS has.
    #[must_use]
    pub fn is_stray(&self, offer: &Offer, own: &[AeTitle]) -> bool {
        let names_us = offer.originator.as_ref().is_some_and(|(title, _)| own.contains(title));
        names_us && self.find(offer).is_none()
    }

    /// The PACS that was asked for the C-MOVE that a store names, where another node brings the store.
    #[must_use]
    pub fn asked_of(&self, offer: &Offer) -> Option<AeTitle> {
        let (title, message_id) = offer.originator.as_ref()?;
        let list = self.list();
        let asked = list.iter().find(|one| one.own == *title && one.message_id == *message_id);
        asked.map(|one| one.pacs.clone()).filter(|pacs| *pacs != offer.calling)
    }

    /// Whether a store belongs to a retrieval.
    #[must_use]
    pub fn expects(&self, offer: &Offer) -> bool {
        self.find(offer).is_some()
    }

    fn find(&self, offer: &Offer) -> Option<Arc<Expectation>> {
        let candidates: Vec<Arc<Expectation>> = {
            let list = self.list();
            let ours = list.iter().filter(|one| one.pacs == offer.calling && one.own == offer.called);
            ours.cloned().collect()
        };
        let archive = Arc::clone(&candidates.first()?.fetching.gateway.archive);
        let keys: Vec<Asked<'_>> = candidates
            .iter()
            .map(|one| Asked {
                titles: [&one.own, &one.pacs],
                message_id: one.message_id,
                study: one.study.as_ref(),
            })
            .collect();
        let study_of = || archive.study_of(&offer.instance).ok().flatten();
        let found = belongs(&keys, offer.originator.as_ref(), study_of)?;
        candidates.get(found).cloned()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Expectation>>> {
        // The list is whole between any two statements.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a retrieval under way is recognised by.
struct Asked<'a> {
    /// Ours, and that of the PACS: pynetdicom names itself as the Move Originator.
    titles: [&'a AeTitle; 2],
    message_id: u16,
    study: Option<&'a Uid>,
}

/// The retrieval, of those from one PACS, that a store belongs to; see the top of the file.
fn belongs(
    asked: &[Asked<'_>],
    originator: Option<&(AeTitle, u16)>,
    study_of: impl FnOnce() -> Option<Uid>,
) -> Option<usize> {
    if let Some((title, message_id)) = originator {
        let names = |one: &Asked<'_>| one.titles.contains(&title) && one.message_id == *message_id;
        return asked.iter().position(names);
    }
    if asked.len() <= 1 {
        return asked.first().map(|_| 0);
    }
    let study = study_of()?;
    let mut fitting = asked.iter().enumerate().filter(|(_, one)| one.study == Some(&study));
    let (found, _) = fitting.next()?;
    fitting.next().is_none().then_some(found)
}

impl Expecting {
    /// Stores that have come so far.
    pub(super) fn came(&self) -> u16 {
        self.expectation.came.load(Ordering::Relaxed)
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        let list = &self.expectation.fetching.gateway.release.expectations;
        list.list().retain(|one| !Arc::ptr_eq(one, &self.expectation));
    }
}

impl Expected {
    /// Takes the next piece of the data set; waits where the receiver is slower than the PACS.
    pub async fn push(&mut self, piece: Bytes) {
        if let Some(feed) = &mut self.feed
            && feed.push(piece).await.is_err()
        {
            // The rest is skipped.
            self.feed = None;
        }
    }

    /// The data set is complete. The PACS has done its part, whatever the receiver makes of it.
    pub async fn finish(self) -> Status {
        if let Some(feed) = self.feed {
            feed.finish().await;
        }
        Status::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> AeTitle {
        AeTitle::parse(text).unwrap()
    }

    #[test]
    fn a_store_belongs_to_the_move_that_it_names() {
        let titles = [&title("SEALGATE"), &title("PACS")];
        let asked = [7, 8].map(|message_id| Asked { titles, message_id, study: None });
        let find = |name: &str, id| belongs(&asked, Some(&(title(name), id)), || None);
        assert_eq!(find("SEALGATE", 8), Some(1));
        assert_eq!(find("SEALGATE", 9), None, "a store of a move that is over");
        assert_eq!(find("OTHER", 8), None, "somebody else's move");
        assert_eq!(find("PACS", 7), Some(0), "a PACS that names itself");
        assert_eq!(find("PACS", 9), None);
    }

    #[test]
    fn a_store_that_names_no_move_belongs_to_the_only_one_or_to_the_only_one_of_its_study() {
        let titles = [&title("SEALGATE"), &title("PACS")];
        let (one, other) = (Uid::parse("1.2").unwrap(), Uid::parse("1.3").unwrap());
        let asked = |message_id, study| Asked { titles, message_id, study };
        let only = [asked(7, Some(&one))];
        assert_eq!(belongs(&only, None, || panic!("nobody has to ask")), Some(0));
        assert_eq!(belongs(&[], None, || None), None);
        let two = [asked(7, Some(&one)), asked(8, Some(&other))];
        assert_eq!(belongs(&two, None, || Some(other.clone())), Some(1));
        assert_eq!(belongs(&two, None, || None), None, "nobody knows its study");
        let same = [asked(7, Some(&one)), asked(8, Some(&one))];
        assert_eq!(belongs(&same, None, || Some(one.clone())), None, "it could be of two");
    }

    #[test]
    fn message_ids_differ_and_none_is_zero() {
        let expectations = Expectations::default();
        let ids: std::collections::HashSet<u16> = (0..1000).map(|_| expectations.message_id()).collect();
        assert!(ids.len() == 1000 && !ids.contains(&0));
        expectations.message_id.store(u16::MAX, Ordering::Relaxed);
        assert_eq!(expectations.message_id(), 1);
    }
}
