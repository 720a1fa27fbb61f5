//! Storage commitment (PS3.4 annex J): the request, the report, and both as data sets.

use dicom_core::Tag;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::caller::{Caller, Report};
use super::elements::{Element, Elements, ElementsError, Syntax, Writer};
use super::failure::Failure;
use crate::association::{Command, Context, element};
use crate::dicom::{AeTitle, Encoding, Uid};

/// Storage Commitment Push Model SOP Instance, the one there is (PS3.4 J.3.5).
pub const STORAGE_COMMITMENT_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
/// Action Type ID: request storage commitment (PS3.4 table J.3.2-1).
const REQUEST_COMMITMENT: u16 = 1;
/// Event Type IDs (PS3.4 table J.3.3-1): all are committed; some failures exist.
const ALL_COMMITTED: u16 = 1;
const FAILURES_EXIST: u16 = 2;

const RETRIEVE_AE_TITLE: Tag = Tag(0x0008, 0x0054);
const REFERENCED_CLASS: Tag = Tag(0x0008, 0x1150);
const REFERENCED_INSTANCE: Tag = Tag(0x0008, 0x1155);
const TRANSACTION: Tag = Tag(0x0008, 0x1195);
const FAILURE_REASON: Tag = Tag(0x0008, 0x1197);
const FAILED_SEQUENCE: Tag = Tag(0x0008, 0x1198);
const REFERENCED_SEQUENCE: Tag = Tag(0x0008, 0x1199);

/// An instance that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// SOP Class UID.
    pub class: Uid,
    /// SOP Instance UID.
    pub instance: Uid,
}

/// What N-ACTION asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRequest {
    /// Transaction UID, which the report repeats.
    pub transaction: Uid,
    /// What is to be kept, at least one.
    pub references: Vec<Reference>,
}

/// What N-EVENT-REPORT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentReport {
    /// Transaction UID of the request.
    pub transaction: Uid,
    /// Retrieve AE Title, where all can be retrieved from, if it was said.
    pub retrieve_from: Option<AeTitle>,
    /// What the peer has taken the responsibility for.
    pub committed: Vec<Reference>,
    /// What it has not, each with its Failure Reason (PS3.3 C.14.1.1).
    pub failed: Vec<(Reference, u16)>,
}

impl CommitmentRequest {
    /// The action information of an N-ACTION-RQ.
    pub fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, ElementsError> {
        let mut writer = Writer::new(Syntax::of(encoding)?);
        writer.uid(TRANSACTION, &self.transaction);
        writer.sequence(REFERENCED_SEQUENCE, &self.references, put_reference);
        Ok(writer.finish())
    }

    /// Reads it. The bytes are held to `scu.identifier_bytes_max`, or what is that of the door.
    pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Self, ElementsError> {
        let elements = Elements::new(bytes, Syntax::of(encoding)?);
        let transaction = required(elements, TRANSACTION)?.uid()?;
        let references = references(elements, REFERENCED_SEQUENCE)?;
        if references.is_empty() {
            return Err(ElementsError::Missing(REFERENCED_SEQUENCE));
        }
        Ok(Self { transaction, references })
    }
}

impl CommitmentReport {
    /// The Event Type ID that goes with it.
    #[must_use]
    pub fn event_type(&self) -> u16 {
        if self.failed.is_empty() { ALL_COMMITTED } else { FAILURES_EXIST }
    }

    /// The event information of an N-EVENT-REPORT-RQ.
    pub fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, ElementsError> {
        let mut writer = Writer::new(Syntax::of(encoding)?);
        if let Some(title) = &self.retrieve_from {
            writer.text(RETRIEVE_AE_TITLE, *b"AE", title.as_str());
        }
        writer.uid(TRANSACTION, &self.transaction);
        // PS3.4 table J.3.3-1: each sequence is there only with items.
        if !self.failed.is_empty() {
            writer.sequence(FAILED_SEQUENCE, &self.failed, |item, (reference, reason)| {
                put_reference(item, reference);
                item.u16(FAILURE_REASON, *reason);
            });
        }
        if !self.committed.is_empty() {
            writer.sequence(REFERENCED_SEQUENCE, &self.committed, put_reference);
        }
        Ok(writer.finish())
    }

    /// Reads it. The Event Type ID is not asked: the sequences say the same, one by one.
    pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Self, ElementsError> {
        let elements = Elements::new(bytes, Syntax::of(encoding)?);
        let transaction = required(elements, TRANSACTION)?.uid()?;
        let retrieve_from = elements
            .find(RETRIEVE_AE_TITLE)?
            .and_then(|element| std::str::from_utf8(element.value).ok())
            .and_then(|text| AeTitle::parse(text).ok());
        let committed = references(elements, REFERENCED_SEQUENCE)?;
        let mut failed = Vec::new();
        if let Some(sequence) = elements.find(FAILED_SEQUENCE)? {
            for item in sequence.items()? {
                failed.push((reference(item)?, required(item, FAILURE_REASON)?.u16()?));
            }
        }
        Ok(Self { transaction, retrieve_from, committed, failed })
    }
}

fn put_reference(item: &mut Writer, reference: &Reference) {
    item.uid(REFERENCED_CLASS, &reference.class);
    item.uid(REFERENCED_INSTANCE, &reference.instance);
}

fn required(elements: Elements<'_>, tag: Tag) -> Result<Element<'_>, ElementsError> {
    elements.find(tag)?.ok_or(ElementsError::Missing(tag))
}

fn reference(item: Elements<'_>) -> Result<Reference, ElementsError> {
    let class = required(item, REFERENCED_CLASS)?.uid()?;
    let instance = required(item, REFERENCED_INSTANCE)?.uid()?;
    Ok(Reference { class, instance })
}

fn references(elements: Elements<'_>, tag: Tag) -> Result<Vec<Reference>, ElementsError> {
    match elements.find(tag)? {
        Some(sequence) => sequence.items()?.into_iter().map(reference).collect(),
        None => Ok(Vec::new()),
    }
}

fn instance() -> Uid {
    Uid::parse(STORAGE_COMMITMENT_INSTANCE).expect("a literal of digits and dots")
}

/// Asks a peer to take the responsibility. Its report comes later: on this association, where [`Caller::next_report`]
/// waits for it, or on one that the peer asks for.
pub async fn commit(
    caller: &mut Caller,
    context: &Context,
    request: &CommitmentRequest,
) -> Result<Answer, Failure> {
    let data = encoded(request.encode(context.transfer_syntax.encoding))?;
    let class = &context.abstract_syntax;
    let action = |id| Command::action(id, class, &instance(), REQUEST_COMMITMENT);
    let response = caller.ask(context, action, Some(&data)).await?;
    if response.answer.is_done() { Ok(response.answer) } else { Err(response.answer.into()) }
}

/// Reports to whoever asked, on an association with us as the SCP.
pub async fn report(
    caller: &mut Caller,
    context: &Context,
    report: &CommitmentReport,
) -> Result<Answer, Failure> {
    let data = encoded(report.encode(context.transfer_syntax.encoding))?;
    let class = &context.abstract_syntax;
    let event = |id| Command::event_report(id, class, &instance(), report.event_type());
    let response = caller.ask(context, event, Some(&data)).await?;
    if response.answer.is_done() { Ok(response.answer) } else { Err(response.answer.into()) }
}

fn encoded(bytes: Result<Vec<u8>, ElementsError>) -> Result<Vec<u8>, Failure> {
    bytes.map_err(|error| Failure::source(&error.to_string()))
}

impl Report {
    /// Reads it as one of storage commitment.
    pub fn commitment(&self) -> Result<CommitmentReport, ElementsError> {
        CommitmentReport::decode(&self.data, self.context.transfer_syntax.encoding)
    }

    /// Event Type ID.
    #[must_use]
    pub fn event_type(&self) -> Option<u16> {
        self.command.u16(element::EVENT_TYPE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::ImplicitLittle, Encoding::ExplicitLittle];

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    fn references(numbers: std::ops::Range<u32>) -> Vec<Reference> {
        let one = |number| Reference {
            class: uid("1.2.840.10008.5.1.4.1.1.2"),
            instance: uid(&format!("1.9.{number}")),
        };
        numbers.map(one).collect()
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for encoding in BOTH {
            let request = CommitmentRequest { transaction: uid("1.2.3"), references: references(0..3) };
            let bytes = request.encode(encoding).unwrap();
            assert_eq!(CommitmentRequest::decode(&bytes, encoding), Ok(request));
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for encoding in BOTH {
            for (committed, failed) in [(0..2, 0..0), (0..2, 2..5), (0..0, 0..1)] {
                let report = CommitmentReport {
                    transaction: uid("1.2.3"),
                    retrieve_from: Some(AeTitle::parse("PACS").unwrap()),
                    committed: references(committed),
                    failed: references(failed).into_iter().map(|one| (one, 0x0112)).collect(),
                };
                assert_eq!(report.event_type() == 1, report.failed.is_empty());
                let bytes = report.encode(encoding).unwrap();
                assert_eq!(CommitmentReport::decode(&bytes, encoding), Ok(report));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_standard() {
        let request = CommitmentRequest { transaction: uid("1.2"), references: references(7..8) };
        let bytes = request.encode(Encoding::ExplicitLittle).unwrap();
        let expected = [
            &b"\x08\0\x95\x11UI\x04\x001.2\0"[..],
            b"\x08\0\x99\x11SQ\0\0\x38\0\0\0\xFE\xFF\x00\xE0\x30\0\0\0",
            b"\x08\0\x50\x11UI\x1A\x001.2.840.10008.5.1.4.1.1.2\0",
            b"\x08\0\x55\x11UI\x06\x001.9.7\0",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let encoding = Encoding::ImplicitLittle;
        let none =
            CommitmentRequest { transaction: uid("1.2"), references: Vec::new() }.encode(encoding).unwrap();
        let missing = CommitmentRequest::decode(&none, encoding).unwrap_err();
        assert_eq!(missing, ElementsError::Missing(REFERENCED_SEQUENCE));
        assert_eq!(CommitmentReport::decode(&[], encoding), Err(ElementsError::Missing(TRANSACTION)));
        let mut bad = none;
        bad[8] = b'/';
        assert_eq!(CommitmentReport::decode(&bad, encoding), Err(ElementsError::Value(TRANSACTION)));
        assert_eq!(CommitmentReport::decode(&[], Encoding::Deflated), Err(ElementsError::Encoding));
    }
}
