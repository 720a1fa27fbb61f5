//! An application entity title (PS3.5 table 6.2-1, VR AE): 1 to 16 printable characters.

use std::sync::Arc;

use super::text::wrapped_text;

/// A checked AE title without its padding. Cheap to clone; upper and lower case differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AeTitle(Arc<str>);

/// Why a text is not an AE title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AeTitleError {
    /// Nothing but spaces.
    #[error("the AE title is empty")]
    Empty,
    /// More than 16 characters.
    #[error("the AE title has {0} characters, the limit is 16")]
    TooLong(usize),
    /// A control character, a backslash, or something beyond ASCII.
    #[error("the AE title has the byte 0x{0:02X}, only printable ASCII without backslash is allowed")]
    BadCharacter(u8),
}

impl AeTitle {
    /// Checks `text`; leading and trailing spaces do not count.
    pub fn parse(text: &str) -> Result<Self, AeTitleError> {
        let text = text.trim_matches(' ');
        if let Some(byte) = text.bytes().find(|b| !matches!(b, 0x20..=0x7E) || *b == b'\\') {
            return Err(AeTitleError::BadCharacter(byte));
        }
        match text.len() {
            0 => Err(AeTitleError::Empty),
            1..=16 => Ok(Self(text.into())),
            length => Err(AeTitleError::TooLong(length)),
        }
    }
}

wrapped_text!(AeTitle, AeTitleError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_around_do_not_count() {
        assert_eq!(AeTitle::parse(" CT 1  ").map(|t| t.to_string()), Ok("CT 1".into()));
    }

    #[test]
    fn refuses_what_the_standard_does_not_allow() {
        assert_eq!(AeTitle::parse("   "), Err(AeTitleError::Empty));
        assert_eq!(AeTitle::parse("ABCDEFGHIJKLMNOPQ"), Err(AeTitleError::TooLong(17)));
        assert_eq!(AeTitle::parse("A\\B"), Err(AeTitleError::BadCharacter(b'\\')));
        assert_eq!(AeTitle::parse("A\0B"), Err(AeTitleError::BadCharacter(0)));
        assert_eq!(AeTitle::parse("Ä"), Err(AeTitleError::BadCharacter(0xC3)));
    }
}
