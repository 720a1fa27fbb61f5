//! Migration: an existing archive sealed study by study, or opened again; nothing is called done before it was read back.
//!
//! A study is asked for instance by instance, fetched by C-GET, or by C-MOVE to a door of our own, sealed or opened while it
//! arrives, stored, and read back from where it went. Then, and only then, it is written to the journal, which is what a second run goes by.

mod coming;
mod content;
mod identify;
mod instance;
mod journal;
mod landing;
mod settle;
mod study;
mod workplace;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::workplace::Workplace;
use crate::dicom::Uid;
use crate::flow::Generators;
use crate::keys::Archive;
use crate::policy::Fetch;
use crate::scu::{Destination, Failure, Pool};
use crate::seal::Suite;

pub use identify::{Found, studies_of_patient};
pub use journal::{Entry, Journal, JournalError};
pub use landing::Landing;

/// What is to become of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Clear ones are sealed.
    Seal,
    /// Sealed ones are opened.
    Open,
}

/// An archive, and how images are fetched from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whom we call, and as whom.
    pub node: Destination,
    /// By C-GET, or by C-MOVE to our own door.
    pub fetch: Fetch,
}

/// Where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To an archive, perhaps the one that they come from.
    Archive(Place),
    /// Into a folder, a file for each.
    Folder(PathBuf),
}

/// What a migration is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The archive that they come from.
    pub from: Place,
    /// Where they go.
    pub to: Target,
    /// What becomes of them.
    pub direction: Direction,
    /// Sealed how.
    pub suite: Suite,
    /// Instances stored in a second, at most.
    pub per_second: Option<f64>,
    /// Where sealed instances wait until their study has come; they are sealed there too.
    pub scratch: PathBuf,
    /// Bytes of an opened instance on its way to an archive, which is held in memory.
    pub held_bytes_max: usize,
    /// Whether an archive may change attributes of what is copied there.
    pub accept_changes: bool,
}

/// Why a study is not done. What is there already stays; nothing is deleted anywhere.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A peer.
    #[error("{what}: {failure}")]
    Peer {
        /// What was asked.
        what: &'static str,
        /// What came of it.
        failure: Failure,
    },
    /// The archive has not answered with a list that can be read.
    #[error("the archive's answer cannot be read: {0}")]
    Answer(String),
    /// Some of its instances.
    #[error("{failed} of {of} instances failed, the first is {first}: {why}")]
    Instances {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
        /// One of them.
        first: Uid,
        /// Why that one.
        why: String,
    },
    /// The file system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What became of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Instances that were sealed or opened.
    pub changed: u64,
    /// Instances that were as they should be, sealed already or never sealed.
    pub unchanged: u64,
    /// Instances without pixels, which go as they are.
    pub without_pixels: u64,
    /// Bytes that went out.
    pub bytes: u64,
    /// Copies of which the archive has changed attributes, where it may.
    pub accepted: u64,
}

/// A migration under way.
pub struct Migration {
    plan: Plan,
    archive: Arc<Archive>,
    generators: Generators,
    pool: Pool,
    /// Where a C-MOVE leads to, if one is needed.
    landing: Option<Landing>,
    workplace: Workplace,
    next: Instant,
}

impl Migration {
    /// Nothing is asked yet; what a run that was killed has left is cleared away.
    pub fn new(
        plan: Plan,
        archive: Arc<Archive>,
        generators: Generators,
        pool: Pool,
    ) -> std::io::Result<Self> {
        let within = match &plan.to {
            Target::Folder(folder) => folder,
            Target::Archive(_) => &plan.scratch,
        };
        let workplace = Workplace::open(within)?;
        Ok(Self { plan, archive, generators, pool, landing: None, workplace, next: Instant::now() })
    }

    /// The same with a door that a C-MOVE leads to.
    #[must_use]
    pub fn with_landing(self, landing: Landing) -> Self {
        Self { landing: Some(landing), ..self }
    }

    /// The studies of the archive, in the order of their UIDs; `dates` as a query has them, such as `20200101-20201231`.
    pub async fn studies(&self, dates: &str) -> Result<Vec<Found>, MigrateError> {
        identify::studies(&self.pool, &self.plan.from.node, dates).await
    }

    /// The instances of a study, each with its class where the archive says so.
    pub async fn instances(&self, study: &Uid) -> Result<Vec<(Uid, Option<Uid>)>, MigrateError> {
        identify::instances(&self.pool, &self.plan.from.node, study).await
    }

    /// Fetches a study, stores what it is to become, and reads it back.
    pub async fn migrate(&mut self, study: &Uid) -> Result<Summary, MigrateError> {
        let expected = self.instances(study).await?;
        let fetched = self.fetch(study, &expected).await?;
        let settled = self.settle(fetched).await?;
        self.read_back(study, &expected, settled).await
    }

    /// Waits until the next instance may be stored.
    async fn pace(&mut self) {
        let Some(per_second) = self.plan.per_second.filter(|rate| *rate > 0.0) else { return };
        // One in a quarter of an hour is as slow as it gets.
        let per_second = per_second.max(0.001);
        let now = Instant::now();
        if self.next > now {
            tokio::time::sleep(self.next - now).await;
        }
        self.next = self.next.max(now) + Duration::from_secs_f64(1.0 / per_second);
    }

    fn is_back(&self) -> bool {
        matches!(&self.plan.to, Target::Archive(to) if *to == self.plan.from)
    }
}

/// Instances that failed, and why.
#[derive(Debug, Default)]
struct Failures {
    first: Option<(Uid, String)>,
    instances: BTreeSet<Uid>,
}

impl Failures {
    fn add(&mut self, instance: &Uid, why: impl std::fmt::Display) {
        tracing::warn!(%instance, reason = %why, "an instance is not migrated");
        self.first.get_or_insert_with(|| (instance.clone(), why.to_string()));
        self.instances.insert(instance.clone());
    }

    fn check(self, of: usize) -> Result<(), MigrateError> {
        match self.first {
            Some((first, why)) => {
                Err(MigrateError::Instances { failed: self.instances.len(), of, first, why })
            }
            None => Ok(()),
        }
    }
}
