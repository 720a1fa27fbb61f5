//! A command set (PS3.7 section 6.3): elements of group 0000 in Implicit VR Little Endian, read and written.

use std::fmt;

use dicom_core::Tag;

use super::error::Error;
use crate::dicom::{AeTitle, Status, Uid, UidError};

/// Elements of the command set, by the second half of their tag (PS3.7 annex E.1).
pub mod element {
    /// Affected SOP Class UID.
    pub const AFFECTED_SOP_CLASS: u16 = 0x0002;
    /// Requested SOP Class UID.
    pub const REQUESTED_SOP_CLASS: u16 = 0x0003;
    /// Command Field.
    pub const COMMAND_FIELD: u16 = 0x0100;
    /// Message ID.
    pub const MESSAGE_ID: u16 = 0x0110;
    /// Message ID Being Responded To.
    pub const RESPONDED_TO: u16 = 0x0120;
    /// Move Destination.
    pub const MOVE_DESTINATION: u16 = 0x0600;
    /// Priority.
    pub const PRIORITY: u16 = 0x0700;
    /// Command Data Set Type.
    pub const DATA_SET_TYPE: u16 = 0x0800;
    /// Status.
    pub const STATUS: u16 = 0x0900;
    /// Offending Element.
    pub const OFFENDING_ELEMENT: u16 = 0x0901;
    /// Error Comment.
    pub const ERROR_COMMENT: u16 = 0x0902;
    /// Error ID.
    pub const ERROR_ID: u16 = 0x0903;
    /// Affected SOP Instance UID.
    pub const AFFECTED_SOP_INSTANCE: u16 = 0x1000;
    /// Requested SOP Instance UID.
    pub const REQUESTED_SOP_INSTANCE: u16 = 0x1001;
    /// Event Type ID.
    pub const EVENT_TYPE: u16 = 0x1002;
    /// Attribute Identifier List.
    pub const ATTRIBUTE_LIST: u16 = 0x1005;
    /// Action Type ID.
    pub const ACTION_TYPE: u16 = 0x1008;
    /// Number of Remaining Sub-operations.
    pub const REMAINING: u16 = 0x1020;
    /// Number of Completed Sub-operations.
    pub const COMPLETED: u16 = 0x1021;
    /// Number of Failed Sub-operations.
    pub const FAILED: u16 = 0x1022;
    /// Number of Warning Sub-operations.
    pub const WARNING: u16 = 0x1023;
    /// Move Originator Application Entity Title.
    pub const MOVE_ORIGINATOR: u16 = 0x1030;
    /// Move Originator Message ID.
    pub const MOVE_ORIGINATOR_MESSAGE: u16 = 0x1031;
}

/// Values of Command Field (PS3.7 table E.1-1); a response has bit 15 set.
pub mod field {
    /// C-STORE-RQ.
    pub const C_STORE: u16 = 0x0001;
    /// C-GET-RQ.
    pub const C_GET: u16 = 0x0010;
    /// C-FIND-RQ.
    pub const C_FIND: u16 = 0x0020;
    /// C-MOVE-RQ.
    pub const C_MOVE: u16 = 0x0021;
    /// C-ECHO-RQ.
    pub const C_ECHO: u16 = 0x0030;
    /// N-EVENT-REPORT-RQ.
    pub const N_EVENT_REPORT: u16 = 0x0100;
    /// N-GET-RQ.
    pub const N_GET: u16 = 0x0110;
    /// N-SET-RQ.
    pub const N_SET: u16 = 0x0120;
    /// N-ACTION-RQ.
    pub const N_ACTION: u16 = 0x0130;
    /// N-CREATE-RQ.
    pub const N_CREATE: u16 = 0x0140;
    /// N-DELETE-RQ.
    pub const N_DELETE: u16 = 0x0150;
    /// C-CANCEL-RQ, which has no response.
    pub const C_CANCEL: u16 = 0x0FFF;
    /// What makes a request's number its response's.
    pub const RESPONSE: u16 = 0x8000;
}

/// PS3.7 annex E.1: this value of Command Data Set Type says there is none.
pub(super) const NO_DATA_SET: u16 = 0x0101;

/// A command set as its elements. Values are kept as they came.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Sorted by element number, without the group length.
    elements: Vec<(u16, Vec<u8>)>,
    /// Elements of other groups in a response, as they came.
    detail: Vec<u8>,
}

impl Command {
    /// A C-ECHO-RQ (PS3.7 9.3.5.1).
    #[must_use]
    pub fn echo(message_id: u16) -> Self {
        let mut request = Self::default();
        request.set_text(element::AFFECTED_SOP_CLASS, crate::dicom::VERIFICATION, 0);
        request.set_u16(element::COMMAND_FIELD, field::C_ECHO);
        request.set_u16(element::MESSAGE_ID, message_id);
        request.set_u16(element::DATA_SET_TYPE, NO_DATA_SET);
        request
    }

    /// The same with an Error Comment, cut to the 64 characters that its VR has.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        let comment: String = comment.chars().filter(char::is_ascii).take(64).collect();
        self.set_text(element::ERROR_COMMENT, &comment, b' ');
        self
    }

    /// Reads a command set whose fragments were put together.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut command = Self::default();
        let (mut rest, mut foreign) = (bytes, None);
        while !rest.is_empty() {
            let Some((&[g0, g1, e0, e1, a, b, c, d], behind)) = rest.split_first_chunk() else {
                return Err(wrong(format!("{} bytes at the end are no element", rest.len())));
            };
            let (group, number) = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
            let claimed = u32::from_le_bytes([a, b, c, d]);
            let length = usize::try_from(claimed).unwrap_or(usize::MAX);
            let Some((value, behind)) = behind.split_at_checked(length) else {
                let left = behind.len();
                return Err(wrong(format!("{} claims {claimed} bytes, {left} are left", Tag(group, number))));
            };
            if group != 0 {
                foreign.get_or_insert(Tag(group, number));
                command.detail.extend_from_slice(rest.get(..length.saturating_add(8)).unwrap_or_default());
            } else if number != 0 && !command.insert(number, value) {
                return Err(wrong(format!("{} is there twice", Tag(group, number))));
            }
            rest = behind;
        }
        if command.u16(element::COMMAND_FIELD).is_none() {
            return Err(wrong("it has no Command Field (0000,0100)".to_owned()));
        }
        // PS3.7 6.3.1: group 0000 only. But nodes built on DCMTK append to a response what belongs into its data set.
        match foreign.filter(|_| command.field() & field::RESPONSE == 0) {
            Some(tag) => Err(wrong(format!("it has an element {tag} of another group"))),
            None => Ok(command),
        }
    }

    /// The bytes of the command set, group length first.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let length = self.elements.iter().fold(0_u32, |sum, (_, value)| {
            sum.saturating_add(8).saturating_add(u32::try_from(value.len()).unwrap_or(u32::MAX))
        });
        let mut out = Vec::new();
        write_element(&mut out, 0, &length.to_le_bytes());
        for (number, value) in &self.elements {
            write_element(&mut out, *number, value);
        }
        out
    }

    fn insert(&mut self, number: u16, value: &[u8]) -> bool {
        match self.elements.binary_search_by_key(&number, |(n, _)| *n) {
            Ok(_) => false,
            Err(at) => {
                self.elements.insert(at, (number, value.to_vec()));
                true
            }
        }
    }

    /// Sets an element to a value of even length.
    pub fn set(&mut self, number: u16, value: &[u8]) {
        self.remove(number);
        self.insert(number, value);
    }

    /// Takes an element out.
    pub fn remove(&mut self, number: u16) {
        self.elements.retain(|(n, _)| *n != number);
    }

    /// Sets an element of VR US.
    pub fn set_u16(&mut self, number: u16, value: u16) {
        self.set(number, &value.to_le_bytes());
    }

    /// Sets a text, padded to even length.
    pub fn set_text(&mut self, number: u16, text: &str, padding: u8) {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(padding);
        }
        self.set(number, &value);
    }

    /// An element's bytes.
    #[must_use]
    pub fn value(&self, number: u16) -> Option<&[u8]> {
        let at = self.elements.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        self.elements.get(at).map(|(_, value)| value.as_slice())
    }

    /// An element of VR US, if it is there with two bytes.
    #[must_use]
    pub fn u16(&self, number: u16) -> Option<u16> {
        self.value(number)?.try_into().ok().map(u16::from_le_bytes)
    }

    /// A UID, if the element is there.
    #[must_use]
    pub fn uid(&self, number: u16) -> Option<Result<Uid, UidError>> {
        self.value(number).map(Uid::from_wire)
    }

    /// An AE title, if the element is there and is one.
    #[must_use]
    pub fn ae_title(&self, number: u16) -> Option<AeTitle> {
        std::str::from_utf8(self.value(number)?).ok().and_then(|text| AeTitle::parse(text).ok())
    }

    /// What a response holds besides its command set, against the standard: elements in Implicit VR Little Endian, such as
    /// the Failed SOP Instance UID List of Orthanc.
    #[must_use]
    pub fn status_detail(&self) -> &[u8] {
        &self.detail
    }

    /// Command Field.
    #[must_use]
    pub fn field(&self) -> u16 {
        self.u16(element::COMMAND_FIELD).unwrap_or_default()
    }

    /// Message ID.
    #[must_use]
    pub fn message_id(&self) -> Option<u16> {
        self.u16(element::MESSAGE_ID)
    }

    /// Message ID Being Responded To.
    #[must_use]
    pub fn responded_to(&self) -> Option<u16> {
        self.u16(element::RESPONDED_TO)
    }

    /// Status, in a response.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.u16(element::STATUS).map(Status)
    }

    /// Whether a data set follows.
    #[must_use]
    pub fn has_data_set(&self) -> bool {
        // PS3.7 annex E.1: any value but 0101H means there is one; without the element nothing can be expected.
        self.u16(element::DATA_SET_TYPE).is_some_and(|kind| kind != NO_DATA_SET)
    }
}

/// Names only: values may hold what is no business of a log.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({:04X}H, {} elements)", self.field(), self.elements.len())
    }
}

fn wrong(what: String) -> Error {
    Error::Command(what)
}

fn write_element(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(value);
}
