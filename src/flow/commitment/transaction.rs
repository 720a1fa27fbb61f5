//! A request of a modality as it is kept: what was asked, which PACS were asked under which transaction, what they said.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Mailbox;
use super::ask::Said;
use super::known::{Known, reason};
use crate::dicom::{AeTitle, Uid};
use crate::scu::{CommitmentReport, Reference};
use crate::spool::{EntryId, Papers, SpoolError};

/// Failure Reasons by the number of the reference; what is not in it is committed.
pub(super) type Reasons = BTreeMap<usize, u16>;

/// What is kept, as JSON.
#[expect(clippy::struct_field_names, reason = "the standard calls its UID that")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    /// The modality's.
    pub(super) transaction: Uid,
    /// The name of its peer.
    pub(super) peer: String,
    pub(super) calling: AeTitle,
    pub(super) called: AeTitle,
    pub(super) references: Vec<Reference>,
    pub(super) received_unix_millis: u64,
    /// What is asked of whom; nothing while instances are on their way to a PACS.
    pub(super) asks: Option<Vec<Ask>>,
    /// What failed before anybody was asked.
    pub(super) failed: Reasons,
    /// Since when the modality is to be told.
    pub(super) decided_unix_millis: Option<u64>,
}

/// What is asked of one PACS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) destination: String,
    /// The numbers of the references, and what is known of each.
    pub(super) items: Vec<(usize, Known)>,
    /// Our own transactions, the last one behind.
    pub(super) transactions: Vec<Uid>,
    pub(super) asked_unix_millis: u64,
    /// What it said; nothing while it has not.
    pub(super) reasons: Option<Reasons>,
}

impl Ask {
    pub(super) fn references(&self, of: &[Reference]) -> Vec<Reference> {
        self.items.iter().filter_map(|(number, _)| of.get(*number).cloned()).collect()
    }

    /// What the PACS said of each, as reasons.
    pub(super) fn reasons_of(&self, said: &[Said]) -> Reasons {
        let pairs = self.items.iter().zip(said);
        pairs.filter_map(|((number, _), said)| Some((*number, said.reason()?))).collect()
    }

    /// Everything failed.
    pub(super) fn all_failed(&self) -> Reasons {
        self.items.iter().map(|(number, _)| (*number, reason::PROCESSING_FAILURE)).collect()
    }
}

impl Transaction {
    /// What the modality is told: an instance is committed when every PACS it went to has committed itself to it.
    pub(super) fn report(&self) -> CommitmentReport {
        let mut reasons = self.failed.clone();
        for ask in self.asks.iter().flatten() {
            let said = ask.reasons.clone().unwrap_or_else(|| ask.all_failed());
            for (number, reason) in said {
                reasons.entry(number).or_insert(reason);
            }
        }
        let (mut committed, mut failed) = (Vec::new(), Vec::new());
        for (number, reference) in self.references.iter().enumerate() {
            match reasons.get(&number) {
                Some(reason) => failed.push((reference.clone(), *reason)),
                None => committed.push(reference.clone()),
            }
        }
        let retrieve_from = Some(self.called.clone());
        CommitmentReport { transaction: self.transaction.clone(), retrieve_from, committed, failed }
    }
}

/// A request that is being worked on.
pub(super) struct Live {
    pub(super) id: EntryId,
    state: Mutex<Transaction>,
    /// Counts changes.
    pub(super) changed: watch::Sender<u64>,
    /// The association it came on, while that may still be there.
    pub(super) mailbox: Mutex<Option<Mailbox>>,
}

impl Live {
    pub(super) fn new(id: EntryId, transaction: Transaction, mailbox: Option<Mailbox>) -> Self {
        let (changed, _) = watch::channel(0);
        Self { id, state: Mutex::new(transaction), changed, mailbox: Mutex::new(mailbox) }
    }

    pub(super) fn now(&self) -> Transaction {
        self.state().clone()
    }

    /// What is asked of one PACS.
    pub(super) fn ask(&self, index: usize) -> Option<Ask> {
        self.state().asks.as_ref()?.get(index).cloned()
    }

    /// Changes it, on the disk first. Blocks on the disk.
    pub(super) fn update(
        &self,
        papers: &Papers,
        change: impl FnOnce(&mut Transaction),
    ) -> Result<(), SpoolError> {
        let mut state = self.state();
        let mut next = state.clone();
        change(&mut next);
        if next != *state {
            papers.keep(self.id, &next.to_bytes())?;
            *state = next;
        }
        drop(state);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Changes what is asked of one PACS.
    pub(super) fn update_ask(
        &self,
        papers: &Papers,
        index: usize,
        change: impl FnOnce(&mut Ask),
    ) -> Result<(), SpoolError> {
        self.update(papers, |transaction| {
            if let Some(ask) = transaction.asks.as_mut().and_then(|asks| asks.get_mut(index)) {
                change(ask);
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, Transaction> {
        // It is replaced as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transaction {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has nothing that JSON lacks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::ticket::Protection;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    fn transaction() -> Transaction {
        let reference = |number: usize| Reference {
            class: uid("1.2.840.10008.5.1.4.1.1.2"),
            instance: uid(&format!("1.{number}")),
        };
        let known = Known {
            class: uid("1.2.840.10008.5.1.4.1.1.2"),
            study: None,
            series: None,
            transfer_syntax: None,
            digest: None,
            seal: Protection::Clear,
            at: vec!["one".into(), "other".into()],
            dropped: Vec::new(),
        };
        let ask = |destination: &str| Ask {
            destination: destination.into(),
            items: (1..4).map(|number| (number, known.clone())).collect(),
            transactions: vec![uid("2.25.1")],
            asked_unix_millis: 7,
            reasons: None,
        };
        Transaction {
            transaction: uid("1.2.3"),
            peer: "ct".into(),
            calling: AeTitle::parse("CT").unwrap(),
            called: AeTitle::parse("SEALGATE").unwrap(),
            references: (0..4).map(reference).collect(),
            received_unix_millis: 5,
            asks: Some(vec![ask("one"), ask("other")]),
            failed: Reasons::from([(0, 0x0112)]),
            decided_unix_millis: None,
        }
    }

    #[test]
    fn an_instance_is_committed_when_every_pacs_has_committed_itself() {
        let mut asked = transaction();
        let asks = asked.asks.as_mut().unwrap();
        asks[0].reasons = Some(Reasons::from([(1, 0x0110)]));
        asks[1].reasons = Some(Reasons::from([(1, 0x0213), (2, 0x0112)]));
        let report = asked.report();
        let failed: Vec<(&str, u16)> =
            report.failed.iter().map(|(one, reason)| (one.instance.as_str(), *reason)).collect();
        assert_eq!(failed, [("1.0", 0x0112), ("1.1", 0x0110), ("1.2", 0x0112)]);
        assert_eq!(report.committed.len(), 1);
        assert_eq!(report.committed[0].instance, uid("1.3"));
    }

    #[test]
    fn who_has_not_answered_has_committed_nothing() {
        let mut asked = transaction();
        asked.asks.as_mut().unwrap()[0].reasons = Some(Reasons::new());
        assert!(asked.report().committed.is_empty());
    }

    #[test]
    fn it_is_read_as_it_was_kept_and_without_digests() {
        let asked = transaction();
        assert_eq!(serde_json::from_slice::<Transaction>(&asked.to_bytes()).unwrap(), asked);
        let mut with_digest = asked.clone();
        with_digest.asks.as_mut().unwrap()[0].items[0].1.digest = Some(vec![0xAB; 32]);
        assert_eq!(with_digest.to_bytes(), asked.to_bytes());
    }
}
