//! Reports that are expected of PACS, by the transactions we asked under, on whichever association they come.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::dicom::{AeTitle, Status, Uid};
use crate::scu::CommitmentReport;
use crate::spool::SpoolError;

/// Transactions that are over and still recognised, so that a report that is repeated is not refused.
const OVER_MAX: usize = 4096;

/// Makes a report durable where that is needed, and tells whoever waits.
pub(super) type OnReport = Arc<dyn Fn(&CommitmentReport) -> Result<(), SpoolError> + Send + Sync>;

/// What is expected.
#[derive(Default)]
pub(super) struct Reports(Mutex<List>);

#[derive(Default)]
struct List {
    expected: HashMap<Uid, Expected>,
    over: VecDeque<Uid>,
}

struct Expected {
    /// The AE title of the PACS: PS3.4 J.3.3, its report comes from the title that was asked.
    from: AeTitle,
    on_report: OnReport,
}

impl Reports {
    pub(super) fn expect(&self, transaction: Uid, from: AeTitle, on_report: OnReport) {
        self.list().expected.insert(transaction, Expected { from, on_report });
    }

    /// Nobody waits for these any more.
    pub(super) fn forget<'a>(&self, transactions: impl IntoIterator<Item = &'a Uid>) {
        let mut list = self.list();
        for transaction in transactions {
            if list.expected.remove(transaction).is_some() {
                list.over.push_back(transaction.clone());
            }
        }
        let surplus = list.over.len().saturating_sub(OVER_MAX);
        list.over.drain(..surplus);
    }

    /// Takes a report, and says what it is to be answered with: 0000H only once it cannot be lost.
    pub(super) fn take(&self, from: &AeTitle, report: &CommitmentReport) -> Status {
        let transaction = &report.transaction;
        let on_report = {
            let list = self.list();
            match list.expected.get(transaction) {
                Some(expected) if expected.from == *from => Arc::clone(&expected.on_report),
                Some(expected) => {
                    warn!(%transaction, %from, expected = %expected.from, "a commitment is reported by another node than was asked");
                    return Status::NOT_AUTHORIZED;
                }
                None if list.over.contains(transaction) => {
                    info!(%transaction, %from, "a commitment is reported once more");
                    return Status::SUCCESS;
                }
                None => {
                    warn!(%transaction, %from, "a commitment is reported that nobody asked for");
                    return Status::INVALID_ARGUMENT;
                }
            }
        };
        match on_report(report) {
            Ok(()) => Status::SUCCESS,
            Err(error) => {
                tracing::error!(%transaction, %from, %error, "a report of a PACS cannot be kept");
                Status::PROCESSING_FAILURE
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // The list is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn title(text: &str) -> AeTitle {
        AeTitle::parse(text).unwrap()
    }

    fn report(transaction: &str) -> CommitmentReport {
        let transaction = Uid::parse(transaction).unwrap();
        CommitmentReport { transaction, retrieve_from: None, committed: Vec::new(), failed: Vec::new() }
    }

    #[test]
    fn only_who_was_asked_reports_and_may_do_so_twice() {
        let (reports, taken) = (Reports::default(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&taken);
        let on_report: OnReport = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let asked = report("1.2");
        reports.expect(asked.transaction.clone(), title("PACS"), on_report);
        assert_eq!(reports.take(&title("OTHER"), &asked), Status::NOT_AUTHORIZED);
        assert_eq!(reports.take(&title("PACS"), &report("1.3")), Status::INVALID_ARGUMENT);
        assert_eq!(reports.take(&title("PACS"), &asked), Status::SUCCESS);
        reports.forget([&asked.transaction]);
        assert_eq!(reports.take(&title("PACS"), &asked), Status::SUCCESS);
        assert_eq!(taken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_report_that_cannot_be_kept_is_not_acknowledged() {
        let reports = Reports::default();
        let broken: OnReport = Arc::new(|_| Err(SpoolError::Failed("the disk".into())));
        let asked = report("1.2");
        reports.expect(asked.transaction.clone(), title("PACS"), broken);
        assert_eq!(reports.take(&title("PACS"), &asked), Status::PROCESSING_FAILURE);
    }
}
