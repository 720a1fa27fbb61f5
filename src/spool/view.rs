//! What an operator sees: every entry with its deliveries, and the same from a second process while the gateway runs.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::spool::changes;
use crate::spool::content::Checked;
use crate::spool::damage::{self, Damaged};
use crate::spool::disk::{Disk, RealDisk};
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::index::{Entry, Index};
use crate::spool::journal;
use crate::spool::record::{Meta, Unreadable};
use crate::spool::recover::{file_names, read_journal};
use crate::spool::shared::Paths;
use crate::spool::state::Delivery;

/// An entry at one of its destinations, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliverySummary {
    /// The name of the destination.
    pub destination: String,
    /// How far it is.
    #[serde(flatten)]
    pub delivery: Delivery,
}

/// An entry, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its name.
    pub id: EntryId,
    /// Its place in the order of commits; a list goes on behind it.
    pub sequence: u64,
    /// When it was committed, in milliseconds since 1970.
    pub committed_unix_millis: u64,
    /// Bytes of its content.
    pub content_bytes: u64,
    /// What it is found by.
    pub key: Vec<u8>,
    /// What keeps its order.
    pub group: Vec<u8>,
    /// The caller's flags that keep it.
    pub holds: u32,
    /// Every destination.
    pub deliveries: Vec<DeliverySummary>,
}

impl Summary {
    pub(crate) fn of(entry: &Entry) -> Self {
        let of = |(destination, delivery): &(Arc<str>, Delivery)| DeliverySummary {
            destination: destination.to_string(),
            delivery: delivery.clone(),
        };
        Self {
            id: entry.id,
            sequence: entry.sequence,
            committed_unix_millis: entry.committed_unix_millis,
            content_bytes: entry.content_bytes,
            key: entry.key.to_vec(),
            group: entry.group.to_vec(),
            holds: entry.holds,
            deliveries: entry.deliveries.iter().map(of).collect(),
        }
    }

    /// Whether something is still to be delivered without anybody's doing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.deliveries.iter().any(|delivery| delivery.delivery.state.is_open())
    }

    /// Milliseconds since its commit.
    #[must_use]
    pub const fn age_millis(&self, now_unix_millis: u64) -> u64 {
        now_unix_millis.saturating_sub(self.committed_unix_millis)
    }
}

/// What a second process sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Entries, the oldest first. What is in hand shows as waiting or put off: only the running gateway knows.
    pub entries: Vec<Summary>,
    /// Damaged entries that have been set aside.
    pub damaged: Vec<Damaged>,
    /// Entries that do not read now, and why; the next start will set them aside.
    pub unreadable: Vec<Damaged>,
}

/// Looks into a spool without opening it, whether or not a gateway has it open; nothing is changed or locked.
///
/// Contents are not verified. It shows the state of one moment only roughly: what changes meanwhile may show or not.
pub fn look(folder: &Path) -> Result<Listing, SpoolError> {
    let (disk, paths) = (RealDisk, Paths::new(folder));
    // The journal first: an entry that goes meanwhile is then not shown, rather than shown as untouched.
    let parsed = read_journal(&disk, &journal::path(folder))?;
    let parsed = match parsed {
        Some(bytes) => changes::parse(&bytes).map_err(|found| version(folder, found))?,
        None => changes::Parsed::default(),
    };
    let (mut index, mut unreadable) = (Index::default(), Vec::new());
    for id in file_names(&disk, &paths)?.entries {
        match Checked::open(&disk, paths.entry(id)) {
            Ok(checked) => index.insert(&checked.record, checked.file_bytes()?),
            Err(Unreadable::Damaged(reason)) => unreadable.push(Damaged { id, reason, key: None }),
            // It has been delivered just now.
            Err(Unreadable::Error(SpoolError::Disk { source, .. })) if is_gone(&source) => {}
            Err(Unreadable::Error(error)) => return Err(error),
        }
    }
    parsed.changes.iter().for_each(|change| index.apply(change));
    let entries = index.after(0).map(Summary::of).collect();
    Ok(Listing { entries, damaged: damage::list(&disk, &paths)?, unreadable })
}

/// What a caller said about an entry at its commit, read without opening the spool.
pub fn look_at(folder: &Path, id: EntryId) -> Result<Meta, SpoolError> {
    let disk: &dyn Disk = &RealDisk;
    match Checked::open(disk, Paths::new(folder).entry(id)) {
        Ok(checked) => Ok(checked.record.meta),
        Err(Unreadable::Damaged(reason)) => Err(SpoolError::Damaged { id, reason }),
        Err(Unreadable::Error(SpoolError::Disk { source, .. })) if is_gone(&source) => {
            Err(SpoolError::Unknown(id))
        }
        Err(Unreadable::Error(error)) => Err(error),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

fn version(folder: &Path, found: u16) -> SpoolError {
    SpoolError::Version { path: journal::path(folder), found, known: changes::VERSION }
}
