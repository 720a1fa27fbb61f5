//! What a verified certificate says of its owner: the facts that rules may rest on.

use std::fmt;

use super::text::checked_text;

/// A SHA-256 digest by which a certificate or its key is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a fingerprint is the SHA-256 as 64 hexadecimal digits, with or without colons (`openssl x509 -fingerprint -sha256`)"
)]
pub struct FingerprintError;

impl Fingerprint {
    /// The fingerprint with these bytes.
    #[must_use]
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Reads hexadecimal digits of either case, with a colon between every two of them or without.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let digits = match text.len() {
            64 => text.to_owned(),
            95 if text.bytes().skip(2).step_by(3).all(|byte| byte == b':') => text.replace(':', ""),
            _ => return Err(FingerprintError),
        };
        let digits: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(FingerprintError)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            *byte = u8::try_from(value).expect("two hexadecimal digits are a byte");
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

checked_text!(Fingerprint, FingerprintError);

/// A certificate whose chain, dates and key were verified, as the one who verified it describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Of the whole certificate.
    pub fingerprint: Fingerprint,
    /// Of its public key (the `SubjectPublicKeyInfo`), which a renewed certificate may keep.
    pub key_fingerprint: Fingerprint,
    /// The subject's distinguished name as RFC 4514 writes it: the most specific part first.
    pub subject: String,
    /// The subject's common names.
    pub common_names: Vec<String>,
    /// DNS names, IP addresses, mail addresses and URIs among the subject's alternative names.
    pub alternative_names: Vec<String>,
}

/// Enough of it to be found again, on one line of a log.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (fingerprint {})", self.subject, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_both_spellings_and_prints_one() {
        let plain = "0123456789abcdef".repeat(4);
        let pairs: Vec<String> =
            plain.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
        assert_eq!(Fingerprint::parse(&plain).unwrap().to_string(), plain);
        assert_eq!(Fingerprint::parse(&pairs.join(":")).unwrap().to_string(), plain);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let plain = "0123456789abcdef".repeat(4);
        for text in ["", "12", &plain[1..], &plain.replace('0', "g"), &"1:".repeat(48)[1..], &"é".repeat(32)]
        {
            assert!(Fingerprint::parse(text).is_err(), "{text}");
        }
    }
}
