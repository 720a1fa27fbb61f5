//! The fixed header: the first bytes of sealed pixels, by which a sealed image is recognised and its key found.

use super::key::KeyId;
use super::suite::{Suite, UnknownSuite};

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 36;
/// What it begins with. Not ASCII, so that no text is mistaken for it; CR LF and NUL, so that a conversion of text shows.
pub const MAGIC: [u8; 8] = *b"\x93SGATE\r\0";
/// The version of the sealed form that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// Where the length stands, for a sealer that learns it last.
pub const LENGTH_AT: usize = 28;

/// What the fixed header says. It is a claim until the key commitment is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How the instance is sealed.
    pub suite: Suite,
    /// The name of its content key.
    pub key_id: KeyId,
    /// Whether a signer stands before the stream, and its signature behind it.
    pub signed: bool,
    /// Bytes of the stream that follows, without what stands behind it.
    pub stream_bytes: u64,
}

/// Why the first bytes of some pixels are no fixed header, or none that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The image is not sealed.
    #[error("the pixels do not begin like a sealed image")]
    NotSealed,
    /// A version that this program does not know.
    #[error(
        "version {0} of the sealed form is unknown, this program reads version {VERSION}: open it with a newer one"
    )]
    UnknownVersion(u8),
    /// The byte behind the version says what this program does not know.
    #[error("the flags of the header are {0}, this program knows 0 and 1")]
    Reserved(u8),
    /// A suite that this program does not know.
    #[error(transparent)]
    UnknownSuite(#[from] UnknownSuite),
}

impl Header {
    /// The bytes of it.
    #[must_use]
    pub fn write(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let fields: [&[u8]; 5] = [
            &MAGIC,
            &[VERSION, u8::from(self.signed)],
            &self.suite.id().to_be_bytes(),
            self.key_id.as_bytes(),
            &self.stream_bytes.to_be_bytes(),
        ];
        for (place, byte) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        out
    }

    /// Reads the first bytes of some pixels.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let (magic, rest) = bytes.split_first_chunk().ok_or(HeaderError::NotSealed)?;
        if *magic != MAGIC {
            return Err(HeaderError::NotSealed);
        }
        let (&[version, reserved], rest) = rest.split_first_chunk().ok_or(HeaderError::NotSealed)?;
        if version != VERSION {
            return Err(HeaderError::UnknownVersion(version));
        }
        let signed = match reserved {
            0 => false,
            1 => true,
            other => return Err(HeaderError::Reserved(other)),
        };
        let (suite, rest) = rest.split_first_chunk().ok_or(HeaderError::NotSealed)?;
        let (key_id, rest) = rest.split_first_chunk().ok_or(HeaderError::NotSealed)?;
        let length = rest.first_chunk().ok_or(HeaderError::NotSealed)?;
        Ok(Self {
            suite: Suite::from_id(u16::from_be_bytes(*suite))?,
            key_id: KeyId::new(*key_id),
            signed,
            stream_bytes: u64::from_be_bytes(*length),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            suite: Suite::DeepKeyGen,
            key_id: KeyId::new([5; 16]),
            signed: false,
            stream_bytes: 0x0102_0304_0506_0708,
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let bytes = header().write();
        assert_eq!(Header::read(&bytes), Ok(header()));
        assert_eq!(bytes[LENGTH_AT..], 0x0102_0304_0506_0708_u64.to_be_bytes());
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let with = |at: usize, byte: u8| {
            let mut bytes = header().write();
            bytes[at] = byte;
            Header::read(&bytes)
        };
        assert_eq!(with(0, 0), Err(HeaderError::NotSealed));
        assert_eq!(with(8, 255), Err(HeaderError::UnknownVersion(255)));
        assert_eq!(with(9, 1), Ok(Header { signed: true, ..header() }));
        assert_eq!(with(9, 2), Err(HeaderError::Reserved(2)));
        assert_eq!(with(10, 255), Err(HeaderError::UnknownSuite(UnknownSuite(0xFF01))));
    }
}
