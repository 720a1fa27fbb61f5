//! What C-MOVE and C-GET have in common: counts while they go on, and how they end.

use bytes::Bytes;
use dicom_core::Tag;

use super::answer::{Answer, Meaning};
use super::elements::{Elements, Syntax};
use super::failure::Failure;
use crate::association::{Context, SubOperations};
use crate::dicom::Uid;

/// Failed SOP Instance UID List.
const FAILED_INSTANCES: Tag = Tag(0x0008, 0x0058);

/// How a retrieval ended. Whatever its status, what was sub-operated stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieved {
    /// The last response: success, warning, cancelled, or a failure.
    pub answer: Answer,
    /// How many sub-operations came to what.
    pub counts: SubOperations,
    /// Failed SOP Instance UID List, as far as the peer gave one.
    pub failed: Vec<Uid>,
}

impl Retrieved {
    /// Whether every instance came, without a warning.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        // A peer that counts nothing has nothing to be held to but its status.
        self.answer.status == crate::dicom::Status::SUCCESS && self.counts.failed.unwrap_or_default() == 0
    }

    /// The same as a result, for whoever has no use for a part.
    pub fn complete(self) -> Result<Self, Failure> {
        if self.is_complete() { Ok(self) } else { Err(self.answer.into()) }
    }

    /// Whether it ended because it was cancelled.
    #[must_use]
    pub fn was_cancelled(&self) -> bool {
        Meaning::of(self.answer.status) == Meaning::Cancelled
    }

    /// Reads the last response. A list that cannot be read is no list: it must not hide the status.
    pub(super) fn read(context: &Context, answer: Answer, counts: SubOperations, identifier: &Bytes) -> Self {
        let found = Syntax::of(context.transfer_syntax.encoding)
            .and_then(|syntax| Elements::new(identifier, syntax).find(FAILED_INSTANCES));
        let failed = found.ok().flatten().map(|element| element.uids()).unwrap_or_default();
        Self { answer, counts, failed }
    }
}
