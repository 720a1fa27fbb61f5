//! What C-MOVE and C-GET have in common: counts while they go on, and how they end.

use bytes::Bytes;
use dicom_core::Tag;

use super::answer::{Answer, Meaning};
use super::elements::{Elements, Syntax};
use super::failure::Failure;
use crate::association::{Command, Context, SubOperations};
use crate::dicom::{Encoding, Uid};

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

    /// Whether it says of every sub-operation what came of it: one that ends unasked, or with a warning about nothing, does not.
    #[must_use]
    pub fn is_in_full(&self) -> bool {
        let SubOperations { failed, warning, .. } = self.counts;
        let has_told =
            failed.unwrap_or_default() > 0 || warning.unwrap_or_default() > 0 || !self.failed.is_empty();
        match Meaning::of(self.answer.status) {
            Meaning::Success => true,
            Meaning::Warning => has_told,
            _ => false,
        }
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
    pub(super) fn read(context: &Context, last: Last, identifier: &Bytes) -> Self {
        let read = |bytes: &[u8], encoding: Encoding| {
            let elements = Elements::new(bytes, Syntax::of(encoding).ok()?);
            elements.find(FAILED_INSTANCES).ok().flatten().map(|element| element.uids())
        };
        let Last { answer, counts, detail } = last;
        let failed = read(identifier, context.transfer_syntax.encoding)
            .or_else(|| read(&detail, Encoding::ImplicitLittle))
            .unwrap_or_default();
        Self { answer, counts, failed }
    }
}

/// A response whose data set may still be coming in.
pub(super) struct Last {
    pub(super) answer: Answer,
    pub(super) counts: SubOperations,
    /// What Orthanc has in its command set instead of its data set.
    detail: Vec<u8>,
}

impl Last {
    pub(super) fn read(command: &Command) -> Option<Self> {
        let (counts, detail) = (command.sub_operations(), command.status_detail().to_vec());
        Some(Self { answer: Answer::read(command)?, counts, detail })
    }
}
