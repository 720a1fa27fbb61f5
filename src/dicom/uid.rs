//! A unique identifier (PS3.5 section 9): digits and dots, 64 characters at most.

use std::sync::Arc;

use super::text::wrapped_text;

/// A checked UID. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Arc<str>);

/// Why a text is not a UID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// Nothing but padding.
    #[error("the UID is empty")]
    Empty,
    /// PS3.5 9.1: no more than 64 characters.
    #[error("the UID has {0} characters, the limit is 64")]
    TooLong(usize),
    /// A character other than a digit or a dot.
    #[error("the UID has the byte 0x{byte:02X} at position {position}, only digits and dots are allowed")]
    BadCharacter {
        /// The byte found.
        byte: u8,
        /// Where, counted from 0.
        position: usize,
    },
    /// Two dots in a row, or a dot at an end.
    #[error("the UID has an empty component")]
    EmptyComponent,
}

impl Uid {
    /// Checks `text`, which carries no padding.
    ///
    /// Components with a leading zero break PS3.5 9.1 but are in many archives; they are let through, since refusing
    /// them would lose images.
    pub fn parse(text: &str) -> Result<Self, UidError> {
        if text.is_empty() {
            return Err(UidError::Empty);
        }
        if text.len() > 64 {
            return Err(UidError::TooLong(text.len()));
        }
        if let Some((position, byte)) =
            text.bytes().enumerate().find(|(_, b)| !b.is_ascii_digit() && *b != b'.')
        {
            return Err(UidError::BadCharacter { byte, position });
        }
        if text.split('.').any(str::is_empty) {
            return Err(UidError::EmptyComponent);
        }
        Ok(Self(text.into()))
    }

    /// The one of these bits (PS3.5 B.2): where they are random, one that nobody else has.
    #[must_use]
    pub fn of_bits(bits: [u8; 16]) -> Self {
        Self(format!("2.25.{}", u128::from_be_bytes(bits)).into())
    }

    /// Checks a value from the wire, which may end in NUL (PS3.5 9.1) or, against the standard, in spaces.
    pub fn from_wire(value: &[u8]) -> Result<Self, UidError> {
        let end = value.iter().rposition(|b| *b != 0 && *b != b' ').map_or(0, |last| last + 1);
        let text = value.get(..end).unwrap_or_default();
        match std::str::from_utf8(text) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let position = error.valid_up_to();
                Err(UidError::BadCharacter {
                    byte: text.get(position).copied().unwrap_or_default(),
                    position,
                })
            }
        }
    }
}

wrapped_text!(Uid, UidError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_uid_with_and_without_padding() {
        for wire in [&b"1.2.840.10008.1.1"[..], b"1.2.840.10008.1.1\0", b"1.2.840.10008.1.1 "] {
            assert_eq!(Uid::from_wire(wire).map(|u| u.to_string()), Ok("1.2.840.10008.1.1".into()));
        }
    }

    #[test]
    fn refuses_what_could_be_a_path() {
        assert_eq!(Uid::parse("1.2/../3"), Err(UidError::BadCharacter { byte: b'/', position: 3 }));
        assert_eq!(Uid::parse("1..2"), Err(UidError::EmptyComponent));
        assert_eq!(Uid::from_wire(b"1.2\x003"), Err(UidError::BadCharacter { byte: 0, position: 3 }));
        assert_eq!(Uid::from_wire(b"1.\xFF"), Err(UidError::BadCharacter { byte: 0xFF, position: 2 }));
    }

    #[test]
    fn whatever_the_bits_are_they_make_a_uid() {
        for (bits, text) in [([0; 16], "2.25.0"), ([255; 16], "2.25.340282366920938463463374607431768211455")]
        {
            assert_eq!(Uid::parse(text), Ok(Uid::of_bits(bits)));
        }
    }

    #[test]
    fn refuses_nothing_and_too_much() {
        assert_eq!(Uid::from_wire(b"\0\0"), Err(UidError::Empty));
        assert_eq!(Uid::parse(&"1".repeat(65)), Err(UidError::TooLong(65)));
        assert!(Uid::parse(&"1".repeat(64)).is_ok());
    }
}
