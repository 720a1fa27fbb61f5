//! The name of an entry: sixteen random bytes, so that nothing from a peer ever becomes a file name.

use std::fmt;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spool::error::SpoolError;

/// The name of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId([u8; EntryId::BYTES]);

impl EntryId {
    /// How many bytes it has.
    pub const BYTES: usize = 16;

    /// A new one from the operating system's randomness.
    pub(crate) fn random() -> Result<Self, SpoolError> {
        let mut bytes = [0; Self::BYTES];
        let read = getrandom(&mut bytes[..], GetRandomFlags::empty())
            .map_err(|error| SpoolError::Randomness(error.into()))?;
        // getrandom(2): up to 256 bytes are never cut short.
        if read == Self::BYTES {
            Ok(Self(bytes))
        } else {
            Err(SpoolError::Randomness(std::io::ErrorKind::UnexpectedEof.into()))
        }
    }

    /// The one with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for EntryId {
    type Err = SpoolError;

    fn from_str(text: &str) -> Result<Self, SpoolError> {
        let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let refused = || SpoolError::NotAnId(text.chars().take(64).collect());
        if text.len() != 2 * Self::BYTES || !text.as_bytes().iter().all(lower) {
            return Err(refused());
        }
        u128::from_str_radix(text, 16).map(|value| Self(value.to_be_bytes())).map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_read_back_and_no_other_text_is() {
        let id = EntryId::random().unwrap();
        assert_eq!(id.to_string().parse::<EntryId>().unwrap(), id);
        assert_ne!(id, EntryId::random().unwrap());
        let low = EntryId::from_bytes([0; 16]);
        assert_eq!(low.to_string(), "0".repeat(32));
        for bad in
            ["", "0", "../../etc/passwd", &"g".repeat(32), &"A".repeat(32), &format!("+{}", "0".repeat(31))]
        {
            assert!(bad.parse::<EntryId>().is_err(), "{bad}");
        }
    }
}
