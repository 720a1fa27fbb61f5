//! What an operator sees of storage commitments that are under way: who asked, which PACS still owe an answer.

use std::path::Path;

use serde::Serialize;

use super::transaction::Transaction;
use crate::dicom::Uid;
use crate::spool::{EntryId, Papers, SpoolError};

/// A request of a modality that it has not been told the end of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The modality's transaction UID.
    pub transaction: Uid,
    /// The name of its peer.
    pub peer: String,
    /// When it came, in milliseconds since 1970.
    pub received_unix_millis: u64,
    /// Instances it is about.
    pub instances: usize,
    /// How far it is.
    pub stage: Stage,
    /// The PACS that were asked.
    pub asked: Vec<AskedOf>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Some of its instances are on their way to a PACS.
    Forwarding,
    /// PACS are asked.
    Asking,
    /// It is decided, and the modality has not heard it yet.
    Telling,
}

/// What one PACS was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedOf {
    /// Its name.
    pub destination: String,
    /// Instances it was asked about.
    pub instances: usize,
    /// When it was asked last, in milliseconds since 1970; 0 while it was not.
    pub asked_unix_millis: u64,
    /// How many of them it has not committed itself to; nothing while it has not answered.
    pub failed: Option<usize>,
}

/// Every request in the folder of a spool, the oldest first, and those whose papers cannot be read. The gateway may be
/// running meanwhile.
pub fn pending(spool_folder: &Path) -> Result<(Vec<Pending>, Vec<EntryId>), SpoolError> {
    let found = Papers::look(spool_folder)?;
    let (mut requests, mut damaged) = (Vec::new(), found.damaged);
    for (id, content) in found.papers {
        match serde_json::from_slice::<Transaction>(&content) {
            Ok(transaction) => requests.push(Pending::from(transaction)),
            Err(_) => damaged.push(id),
        }
    }
    requests.sort_by_key(|one| one.received_unix_millis);
    Ok((requests, damaged))
}

impl From<Transaction> for Pending {
    fn from(transaction: Transaction) -> Self {
        let stage = match (&transaction.decided_unix_millis, &transaction.asks) {
            (Some(_), _) => Stage::Telling,
            (None, Some(_)) => Stage::Asking,
            (None, None) => Stage::Forwarding,
        };
        let asks = transaction.asks.into_iter().flatten();
        let asked = asks.map(|ask| AskedOf {
            instances: ask.items.len(),
            asked_unix_millis: ask.asked_unix_millis,
            failed: ask.reasons.map(|reasons| reasons.len()),
            destination: ask.destination,
        });
        Self {
            instances: transaction.references.len(),
            stage,
            asked: asked.collect(),
            transaction: transaction.transaction,
            peer: transaction.peer,
            received_unix_millis: transaction.received_unix_millis,
        }
    }
}
