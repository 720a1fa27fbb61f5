//! Where an application entity listens, written `AE@host:port`.

use std::fmt;

use super::text::checked_text;
use super::{AeTitle, AeTitleError};

/// An AE title with the host and port at which it answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AeAddress {
    /// Whom to call.
    pub title: AeTitle,
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The TCP port, never 0.
    pub port: u16,
}

/// Why a text is not `AE@host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AeAddressError {
    /// No `@`.
    #[error("no AE title: write it as AE@host:port")]
    NoTitle,
    /// What stands before the `@`.
    #[error(transparent)]
    Title(#[from] AeTitleError),
    /// Nothing between `@` and `:`.
    #[error("no host: write it as AE@host:port")]
    NoHost,
    /// No port, 0, or not a number up to 65535.
    #[error("no usable port: write it as AE@host:port, port 1 to 65535")]
    BadPort,
}

impl AeAddress {
    /// Reads `AE@host:port`; an IPv6 address stands in brackets.
    ///
    /// ```
    /// use sealgate::dicom::AeAddress;
    ///
    /// let pacs = AeAddress::parse("ARCHIVE@[2001:db8::7]:104")?;
    /// assert_eq!((pacs.title.as_str(), pacs.host.as_str(), pacs.port), ("ARCHIVE", "2001:db8::7", 104));
    /// # Ok::<(), sealgate::dicom::AeAddressError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, AeAddressError> {
        let (title, rest) = text.rsplit_once('@').ok_or(AeAddressError::NoTitle)?;
        let title = AeTitle::parse(title)?;
        let (host, port) = rest.rsplit_once(':').ok_or(AeAddressError::BadPort)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(AeAddressError::NoHost);
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(AeAddressError::BadPort),
            Ok(port) => Ok(Self { title, host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for AeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}@[{}]:{}", self.title, self.host, self.port)
        } else {
            write!(f, "{}@{}:{}", self.title, self.host, self.port)
        }
    }
}

checked_text!(AeAddress, AeAddressError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for text in ["PACS@archive.example:104", "MY PACS@[::1]:11112", "A@B@10.0.0.1:104"] {
            assert_eq!(AeAddress::parse(text).map(|a| a.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn says_which_part_is_missing() {
        assert_eq!(AeAddress::parse("host:104"), Err(AeAddressError::NoTitle));
        assert_eq!(AeAddress::parse("@host:104"), Err(AeAddressError::Title(AeTitleError::Empty)));
        assert_eq!(AeAddress::parse("AE@:104"), Err(AeAddressError::NoHost));
        for text in ["AE@host", "AE@host:", "AE@host:0", "AE@host:65536"] {
            assert_eq!(AeAddress::parse(text), Err(AeAddressError::BadPort), "{text}");
        }
    }
}
