//! What a command set says, in types: priorities, originators, counts, comments.

use dicom_core::Tag;

use super::command::{Command, element};
use crate::dicom::AeTitle;

/// How urgent an operation is (PS3.7 table E.1-1, Priority).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// 0002H.
    Low,
    /// 0000H.
    #[default]
    Medium,
    /// 0001H.
    High,
}

/// The counts in the responses of C-GET and C-MOVE (PS3.7 9.1.3.1 and 9.1.4.1); what is absent was not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubOperations {
    /// Still to come; only in pending and cancelled responses.
    pub remaining: Option<u16>,
    /// Done.
    pub completed: Option<u16>,
    /// Failed.
    pub failed: Option<u16>,
    /// Done with a warning.
    pub warning: Option<u16>,
}

impl Command {
    /// Priority; medium where it is missing or unknown.
    #[must_use]
    pub fn priority(&self) -> Priority {
        match self.u16(element::PRIORITY) {
            Some(1) => Priority::High,
            Some(2) => Priority::Low,
            _ => Priority::Medium,
        }
    }

    /// Where a C-MOVE is to send to.
    #[must_use]
    pub fn move_destination(&self) -> Option<AeTitle> {
        self.ae_title(element::MOVE_DESTINATION)
    }

    /// The C-MOVE that a C-STORE belongs to: who asked for it, in which message (PS3.7 9.1.1.1).
    #[must_use]
    pub fn move_originator(&self) -> Option<(AeTitle, u16)> {
        Some((self.ae_title(element::MOVE_ORIGINATOR)?, self.u16(element::MOVE_ORIGINATOR_MESSAGE)?))
    }

    /// The counts of sub-operations.
    #[must_use]
    pub fn sub_operations(&self) -> SubOperations {
        SubOperations {
            remaining: self.u16(element::REMAINING),
            completed: self.u16(element::COMPLETED),
            failed: self.u16(element::FAILED),
            warning: self.u16(element::WARNING),
        }
    }

    /// The same with these counts of sub-operations.
    #[must_use]
    pub fn with_sub_operations(mut self, counts: SubOperations) -> Self {
        let SubOperations { remaining, completed, failed, warning } = counts;
        let values = [
            (element::REMAINING, remaining),
            (element::COMPLETED, completed),
            (element::FAILED, failed),
            (element::WARNING, warning),
        ];
        for (number, value) in values {
            match value {
                Some(value) => self.set_u16(number, value),
                None => self.remove(number),
            }
        }
        self
    }

    /// Error Comment as printable ASCII of at most 64 characters. A peer wrote it: it may quote a data set.
    #[must_use]
    pub fn error_comment(&self) -> Option<String> {
        let mut value = self.value(element::ERROR_COMMENT)?;
        while let Some((0 | b' ', rest)) = value.split_last() {
            value = rest;
        }
        let printable = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
        Some(value.iter().take(64).map(printable).collect())
    }

    /// Offending Element: the tags that a refusal is about, 64 at most.
    #[must_use]
    pub fn offending_elements(&self) -> Vec<Tag> {
        let tag = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => Some(Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))),
            _ => None,
        };
        self.value(element::OFFENDING_ELEMENT)
            .unwrap_or_default()
            .chunks(4)
            .take(64)
            .filter_map(tag)
            .collect()
    }

    /// The same with the tags that a refusal is about.
    #[must_use]
    pub fn with_offending_elements(mut self, tags: &[Tag]) -> Self {
        let bytes: Vec<u8> = tags
            .iter()
            .flat_map(|tag| [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat())
            .collect();
        self.set(element::OFFENDING_ELEMENT, &bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::field;
    use crate::dicom::Status;

    fn read_again(command: &Command) -> Command {
        Command::read(&command.write()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let echo = Command::echo(7);
        assert_eq!(read_again(&echo), echo);
        let counts = SubOperations { remaining: Some(3), failed: Some(0), ..SubOperations::default() };
        let tags = [Tag(0x0008, 0x0018), Tag(0x0008, 0x0016)];
        let answer = Command::response_to(&echo, Status::CANCEL)
            .with_comment("odd")
            .with_sub_operations(counts)
            .with_offending_elements(&tags);
        let answer = read_again(&answer);
        assert_eq!((answer.field(), answer.responded_to()), (0x8030, Some(7)));
        assert_eq!(answer.status(), Some(Status::CANCEL));
        assert_eq!(answer.error_comment().as_deref(), Some("odd"));
        assert_eq!(answer.sub_operations(), counts);
        assert_eq!(answer.offending_elements(), tags);
        assert!(!answer.has_data_set());
    }

    #[test]
    fn the_length_of_the_group_comes_first_and_is_right() {
        let bytes = Command::echo(7).write();
        assert_eq!(bytes[..8], [0, 0, 0, 0, 4, 0, 0, 0]);
        let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), bytes.len() - 12);
        assert!(bytes.windows(8).filter(|w| w[..2] == [0, 0] && w[4..] == [2, 0, 0, 0]).count() >= 3);
    }

    #[test]
    fn elements_of_another_group_are_kept_apart_in_a_response_and_refused_in_a_request() {
        let echo = Command::echo(7);
        let foreign = [8, 0, 0x58, 0, 4, 0, 0, 0, b'1', b'.', b'2', 0];
        let with = |command: &Command| Command::read(&[&command.write()[..], &foreign].concat());
        let error = with(&echo).unwrap_err();
        assert!(error.to_string().contains("(0008,0058) of another group"), "{error}");
        let answer = with(&Command::response_to(&echo, Status::SUCCESS)).unwrap();
        assert_eq!((answer.status(), answer.status_detail()), (Some(Status::SUCCESS), &foreign[..]));
        assert!(!answer.write().ends_with(&foreign), "and it goes no further");
    }

    #[test]
    fn who_moves_what_where_is_read() {
        let mut store = Command::default();
        store.set_u16(element::COMMAND_FIELD, field::C_STORE);
        store.set_u16(element::PRIORITY, 1);
        assert_eq!(store.move_originator(), None);
        store.set_text(element::MOVE_ORIGINATOR, "VIEWER", b' ');
        assert_eq!(store.move_originator(), None, "without the message it says nothing");
        store.set_u16(element::MOVE_ORIGINATOR_MESSAGE, 9);
        store.set_text(element::MOVE_DESTINATION, "ODD", b' ');
        let store = read_again(&store);
        assert_eq!(store.move_originator(), Some((AeTitle::parse("VIEWER").unwrap(), 9)));
        assert_eq!(store.move_destination(), Some(AeTitle::parse("ODD").unwrap()));
        assert_eq!(store.priority(), Priority::High);
    }

    #[test]
    fn values_of_another_length_are_none() {
        let mut command = Command::default();
        command.set(element::MESSAGE_ID, &[7, 0, 0, 0]);
        command.set(element::OFFENDING_ELEMENT, &[8, 0, 0x18, 0, 8, 0]);
        command.set(element::ERROR_COMMENT, b"no\x1B[2J\r\nnewline\0");
        assert_eq!(command.message_id(), None);
        assert_eq!(command.offending_elements(), [Tag(0x0008, 0x0018)]);
        assert_eq!(
            command.error_comment().as_deref(),
            Some("no?[2J??newline"),
            "nothing that steers a terminal"
        );
    }
}
