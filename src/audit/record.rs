//! One record of the log: a line that carries the hash of the one before and its own.
//!
//! `number TAB milliseconds since 1970 TAB kind TAB previous hash TAB body TAB hash LF`
//!
//! Numbers are decimal without leading zeros and go up by one. Hashes are SHA-256 as 64 lower-case digits; a record's own
//! is that of a label and of everything before its last tab. The first record of a trail has a previous hash of zeros. A
//! body is UTF-8 without control characters. One thing has one encoding: what parses encodes to the same bytes.

use std::fmt::Write;

use aws_lc_rs::digest;

use super::key::{hex, unhex};

/// Bytes that a body may have.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a line may have, its end included.
pub(super) const LINE_BYTES_MAX: usize = BODY_BYTES_MAX + 256;
/// Keeps hashes of records apart from any others.
const LABEL: &[u8] = b"sealgate audit record 1\n";

/// A SHA-256 value.
pub(super) type Hash = [u8; 32];

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The beginning of a file: `1`, the public key, and why the file was begun.
    Begin,
    /// An audit message.
    Event,
    /// A signature over everything before.
    Sign,
    /// Bytes that a crash left behind the last record were cut off: how many, and their hash.
    Torn,
    /// The oldest files were removed: first and last number, and the hash of the last.
    Removed,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number; the first is 1.
    pub number: u64,
    /// When it was made.
    pub unix_millis: u64,
    /// What it is.
    pub kind: RecordKind,
    /// The hash of the record before.
    pub previous: [u8; 32],
    /// What it says.
    pub body: String,
}

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too long.
    #[error("the line has more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Not the fields of a record.
    #[error("the line is no record")]
    Form,
    /// Its hash is that of something else.
    #[error("the record was changed: its hash does not fit")]
    Hash,
}

impl RecordKind {
    const ALL: [Self; 5] = [Self::Begin, Self::Event, Self::Sign, Self::Torn, Self::Removed];

    /// As it stands in the line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Event => "event",
            Self::Sign => "sign",
            Self::Torn => "torn",
            Self::Removed => "removed",
        }
    }
}

impl Record {
    /// Reads a line without its end, and checks its hash; says that hash too.
    pub fn parse(line: &[u8]) -> Result<(Self, [u8; 32]), RecordError> {
        if line.len() >= LINE_BYTES_MAX {
            return Err(RecordError::TooLong);
        }
        let line = std::str::from_utf8(line).map_err(|_| RecordError::Form)?;
        let (covered, hash) = line.rsplit_once('\t').ok_or(RecordError::Form)?;
        let hash = unhex(hash).ok_or(RecordError::Form)?;
        let fields: Vec<&str> = covered.split('\t').collect();
        let [number, unix_millis, kind, previous, body] = fields[..] else { return Err(RecordError::Form) };
        let kind = RecordKind::ALL.into_iter().find(|known| known.word() == kind);
        if body.len() > BODY_BYTES_MAX || body.chars().any(char::is_control) {
            return Err(RecordError::Form);
        }
        let record = Self {
            number: decimal(number).filter(|number| *number > 0).ok_or(RecordError::Form)?,
            unix_millis: decimal(unix_millis).ok_or(RecordError::Form)?,
            kind: kind.ok_or(RecordError::Form)?,
            previous: unhex(previous).ok_or(RecordError::Form)?,
            body: body.to_owned(),
        };
        if hash_of(covered) != hash {
            return Err(RecordError::Hash);
        }
        Ok((record, hash))
    }

    /// Writes the line with its end, and says the hash. Control characters in the body become spaces, and what is too
    /// long is cut: a record that could not be read again would break the chain.
    pub fn encode(&self, out: &mut Vec<u8>) -> [u8; 32] {
        let mut covered = String::with_capacity(self.body.len() + 128);
        let Self { number, unix_millis, kind, previous, .. } = self;
        // Writing to a String does not fail.
        let _ = write!(covered, "{number}\t{unix_millis}\t{}\t{}\t", kind.word(), hex(previous));
        let start = covered.len();
        for c in self.body.chars() {
            if covered.len() - start + c.len_utf8() > BODY_BYTES_MAX {
                break;
            }
            covered.push(if c.is_control() { ' ' } else { c });
        }
        let hash = hash_of(&covered);
        out.extend_from_slice(covered.as_bytes());
        out.push(b'\t');
        out.extend_from_slice(hex(&hash).as_bytes());
        out.push(b'\n');
        hash
    }
}

fn hash_of(covered: &str) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(LABEL);
    context.update(covered.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A number as we write it: no sign, no leading zero.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            number: 7,
            unix_millis: 1_769_841_000_000,
            kind: RecordKind::Event,
            previous: [0xAB; 32],
            body: "<AuditMessage x=\"Müller\"/>".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut line = Vec::new();
        let hash = record().encode(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert_eq!(Record::parse(&line), Ok((record(), hash)));
    }

    #[test]
    fn every_changed_bit_is_found() {
        let mut line = Vec::new();
        record().encode(&mut line);
        line.pop();
        for at in 0..line.len() * 8 {
            let mut changed = line.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(Record::parse(&changed).is_err(), "bit {at}");
        }
        for cut in 0..line.len() {
            assert!(Record::parse(&line[..cut]).is_err(), "cut to {cut}");
        }
    }

    #[test]
    fn no_body_can_break_the_line() {
        let odd = Record { body: format!("a\nb\tc\u{85}{}", "ü".repeat(BODY_BYTES_MAX)), ..record() };
        let mut line = Vec::new();
        odd.encode(&mut line);
        line.pop();
        let (read, _) = Record::parse(&line).unwrap();
        assert!(read.body.starts_with("a b c ü") && read.body.len() <= BODY_BYTES_MAX);
    }

    /// The files of `testdata/audit/records`, which the fuzz target starts from: written by another program.
    #[test]
    fn records_of_another_program_are_read_and_bad_ones_refused() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/audit/records");
        let read = |name: &str| Record::parse(&std::fs::read(format!("{folder}/{name}.txt")).unwrap());
        for (name, kind) in ["begin", "sign", "torn", "removed", "event"].into_iter().zip([
            RecordKind::Begin,
            RecordKind::Sign,
            RecordKind::Torn,
            RecordKind::Removed,
            RecordKind::Event,
        ]) {
            assert_eq!(read(name).unwrap().0.kind, kind, "{name}");
        }
        assert_eq!(read("begin").unwrap().1, read("sign").unwrap().0.previous);
        assert_eq!(read("hash-of-another"), Err(RecordError::Hash));
        for name in ["leading-zero", "unknown-kind", "body.message"] {
            assert_eq!(read(name), Err(RecordError::Form), "{name}");
        }
    }

    #[test]
    fn a_number_has_one_form() {
        for text in ["", "01", "+1", "-1", " 1", "18446744073709551616"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
        assert_eq!((decimal("0"), decimal("10")), (Some(0), Some(10)));
    }
}
