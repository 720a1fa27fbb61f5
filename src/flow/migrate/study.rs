//! A study fetched from the archive: every instance sealed or opened while it arrives.

use dicom_dictionary_std::uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;
use tokio::sync::mpsc;

use super::identify::of_study;
use super::instance::{Body, Job, Piece, Prepared};
use super::{Failures, MigrateError, Migration};
use crate::association::{CONTEXTS_MAX, Proposal, Roles};
use crate::dicom::{Status, TransferSyntax, Uid, common_storage};
use crate::scu::{Caller, Failure, Getting, Got, Incoming, for_service, get};

/// Pieces that wait for the thread.
const PIECES_MAX: usize = 16;
/// The transfer syntaxes that archives keep images in, the ones of sealed images first.
const SYNTAXES: [&str; 13] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
];

/// What came of a study.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) prepared: Vec<Prepared>,
    pub(super) failures: Failures,
}

impl Migration {
    pub(super) async fn fetch(
        &mut self,
        study: &Uid,
        expected: &[(Uid, Option<Uid>)],
    ) -> Result<Fetched, MigrateError> {
        let from = self.plan.from.clone();
        let mut caller =
            self.pool.associate(&from, &proposals(&classes(expected))).await.map_err(fetching)?;
        let context = caller.context_of(&model()).map_err(fetching)?;
        let request = of_study(study, context.transfer_syntax.encoding);
        let mut getting = get(&mut caller, &context, &request).await.map_err(fetching)?;
        let mut fetched = Fetched::default();
        let ended = loop {
            match getting.next().await.map_err(fetching)? {
                Got::Pending(_) => {}
                Got::Ended(ended) => break ended,
                Got::Store(incoming) => self.take(&mut getting, incoming, &mut fetched).await?,
            }
        };
        caller.release().await;
        for failed in &ended.failed {
            fetched.failures.add(failed, "the archive has not sent it");
        }
        for (instance, _) in expected {
            let came = fetched.prepared.iter().any(|one| one.instance == *instance);
            if !came && !fetched.failures.instances.contains(instance) {
                fetched.failures.add(
                    instance,
                    format!("it did not come, the archive ended with {}", ended.answer.status),
                );
            }
        }
        Ok(fetched)
    }

    async fn take(
        &mut self,
        getting: &mut Getting<'_>,
        incoming: Incoming,
        fetched: &mut Fetched,
    ) -> Result<(), MigrateError> {
        let Incoming { class, instance, context } = incoming;
        if fetched.prepared.iter().any(|one| one.instance == instance) {
            return getting.answer(Status::SUCCESS).await.map_err(fetching);
        }
        let job = Job::new(self, &class, &instance, context.transfer_syntax);
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let working = tokio::task::spawn_blocking(move || job.run(pieces));
        while let Some(piece) = getting.next_data().await.map_err(fetching)? {
            if sender.send(Piece::Data(piece)).await.is_err() {
                // It is decided already that it fails: the answer skips the rest.
                break;
            }
        }
        let _ = sender.send(Piece::End).await;
        drop(sender);
        let worked = working.await.map_err(|_| std::io::Error::other("a task ended before it was done"))?;
        match worked {
            // What is held in memory goes on at once.
            Ok(prepared) if matches!(prepared.body, Body::Memory(_)) => match self.store(prepared).await {
                Ok(prepared) => fetched.prepared.push(prepared),
                Err(failure) => fetched.failures.add(&instance, failure),
            },
            Ok(prepared) => fetched.prepared.push(prepared),
            Err(error) => fetched.failures.add(&instance, error),
        }
        getting.answer(Status::SUCCESS).await.map_err(fetching)
    }
}

pub(super) fn model() -> Uid {
    Uid::parse(STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET).expect("a UID of the standard")
}

/// The classes of a study, or the common ones where the archive does not say.
fn classes(expected: &[(Uid, Option<Uid>)]) -> Vec<Uid> {
    let said: Option<std::collections::BTreeSet<Uid>> =
        expected.iter().map(|(_, class)| class.clone()).collect();
    match said {
        Some(classes) if !classes.is_empty() => classes.into_iter().collect(),
        _ => common_storage().collect(),
    }
}

/// One context for each class in each syntax, as many as there is room for; the native ones of all classes first.
pub(super) fn proposals(classes: &[Uid]) -> Vec<Proposal> {
    let receiving = Roles { scu: false, scp: true };
    let service = for_service(&model());
    let room = CONTEXTS_MAX - service.len();
    let storage = SYNTAXES.into_iter().filter_map(TransferSyntax::by_uid).flat_map(|syntax| {
        classes.iter().map(move |class| Proposal::new(class.clone(), vec![syntax]).with_roles(receiving))
    });
    service.into_iter().chain(storage.take(room)).collect()
}

pub(super) fn fetching(failure: Failure) -> MigrateError {
    MigrateError::Peer { what: "fetching", failure }
}

/// An association to read back on.
pub(super) async fn reading(
    migration: &Migration,
    to: &crate::scu::Destination,
    classes: &[Uid],
) -> Result<Caller, MigrateError> {
    migration.pool.associate(to, &proposals(classes)).await.map_err(fetching)
}
