//! A study fetched from the archive: every instance sealed or opened while it arrives.

use tokio::sync::mpsc;

use super::coming::{Coming, Step};
use super::instance::{Body, Job, Piece, Prepared};
use super::{Failures, MigrateError, Migration};
use crate::dicom::{Status, TransferSyntax, Uid, common_storage};

/// Pieces that wait for the thread.
const PIECES_MAX: usize = 16;

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
        let mut caller = self.call(&from, &classes(expected)).await?;
        let mut coming = self.ask(&mut caller, &from, study).await?;
        let mut fetched = Fetched::default();
        let ended = loop {
            match coming.next().await? {
                Step::Ended(ended) => break ended,
                Step::Store { class, instance, syntax } => {
                    self.take(study, &mut coming, (&class, &instance, syntax), &mut fetched).await?;
                }
            }
        };
        drop(coming);
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
        study: &Uid,
        coming: &mut Coming<'_>,
        (class, instance, syntax): (&Uid, &Uid, TransferSyntax),
        fetched: &mut Fetched,
    ) -> Result<(), MigrateError> {
        if fetched.prepared.iter().any(|one| one.instance == *instance) {
            return coming.answer(Status::SUCCESS).await;
        }
        let job = Job::new(self, study, (class, instance), syntax);
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let working = tokio::task::spawn_blocking(move || job.run(pieces));
        while let Some(piece) = coming.next_data().await? {
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
            Ok(mut prepared) if matches!(prepared.body, Body::Memory(_)) => {
                match self.store(&mut prepared).await {
                    Ok(()) => fetched.prepared.push(prepared),
                    Err(failure) => fetched.failures.add(instance, failure),
                }
            }
            Ok(prepared) => fetched.prepared.push(prepared),
            Err(error) => fetched.failures.add(instance, error),
        }
        coming.answer(Status::SUCCESS).await
    }
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
