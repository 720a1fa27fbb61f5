//! The key record: one content key, wrapped for every recipient (`docs/FORMAT.md`, "Key record").

use crate::keys::algorithm::Algorithm;
use crate::keys::kek::KekId;
use crate::seal::KeyId;

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"SGKR";
/// The version of a record that wraps the content key itself.
const VERSION: u8 = 1;
/// The version of a record that wraps it masked: nothing without the study's shred key.
const VERSION_MASKED: u8 = 2;
/// Most recipients in one record.
pub const RECIPIENTS_MAX: usize = 8;
/// Longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 16_384;
/// Length of a wrapped content key: 32 bytes and the tag of 16.
pub(crate) const WRAPPED_LENGTH: usize = 48;
/// Length of the seal over the whole record, at its end.
pub(crate) const SEAL_LENGTH: usize = 32;
/// Magic, version, number of recipients, suite, key id.
const HEADER_LENGTH: usize = 24;
/// Of a shred key's id.
const KEY_ID_LENGTH: usize = 16;
/// KEK id, algorithm, length of the body.
const RECIPIENT_HEADER_LENGTH: usize = 20;

/// A parsed record: well-formed, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The content key this is about.
    pub key_id: KeyId,
    /// The suite the instance is sealed with.
    pub suite: u16,
    /// The shred key that the wrapped key is masked with; where there is none it is the content key itself.
    pub shred_key: Option<KeyId>,
    /// Whom the key is wrapped for; 1 to [`RECIPIENTS_MAX`], each once.
    pub recipients: Vec<Recipient>,
    /// HMAC over everything before it, under a key that only the content key gives.
    pub seal: [u8; SEAL_LENGTH],
}

/// One recipient's part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The key encryption key it is for.
    pub kek: KekId,
    /// The number of the algorithm; one that is not known here is carried, and skipped on opening.
    pub algorithm: u16,
    /// Encapsulated key, then wrapped content key.
    pub body: Vec<u8>,
}

impl Recipient {
    /// Algorithm, encapsulated key and wrapped key, when the algorithm is known here.
    #[must_use]
    pub fn known(&self) -> Option<(Algorithm, &[u8], &[u8])> {
        let algorithm = Algorithm::from_number(self.algorithm)?;
        let (encapsulated, wrapped) = self.body.split_at_checked(algorithm.encapsulated_length())?;
        Some((algorithm, encapsulated, wrapped))
    }
}

/// Why bytes are not a key record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than any record may be.
    #[error("{0} bytes, the limit is {RECORD_BYTES_MAX}")]
    TooLong(usize),
    /// Ends in the middle of a field.
    #[error("it ends after {length} bytes, byte {needed} is still part of it")]
    Truncated {
        /// How many bytes there are.
        length: usize,
        /// Where the field that is cut off would end.
        needed: usize,
    },
    /// Another kind of data.
    #[error("it starts with {0:02X?}, a key record starts with {MAGIC:02X?}")]
    Magic([u8; 4]),
    /// Written by a newer program.
    #[error("version {0}, only versions {VERSION} and {VERSION_MASKED} are known")]
    Version(u8),
    /// No recipient, or too many.
    #[error("{0} recipients, there must be 1 to {RECIPIENTS_MAX}")]
    RecipientCount(u8),
    /// A body that does not fit its algorithm.
    #[error("{found} bytes for a recipient of {algorithm}, it takes {expected}")]
    BodyLength {
        /// The algorithm.
        algorithm: Algorithm,
        /// The length stated.
        found: usize,
        /// The length it has to have.
        expected: usize,
    },
    /// The same recipient twice.
    #[error("key encryption key {0} appears twice")]
    Duplicate(KekId),
    /// Nobody can open it with this program.
    #[error("none of its algorithms is known here (the first is {0})")]
    NoKnownAlgorithm(u16),
    /// Something after the end.
    #[error("{0} bytes follow its end")]
    Trailing(usize),
}

impl KeyRecord {
    /// Reads a record; every byte has to be accounted for.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong(bytes.len()));
        }
        let mut reader = Reader { bytes, at: 0 };
        let magic = reader.array()?;
        if magic != MAGIC {
            return Err(RecordError::Magic(magic));
        }
        let [version] = reader.array()?;
        if version != VERSION && version != VERSION_MASKED {
            return Err(RecordError::Version(version));
        }
        let [count] = reader.array()?;
        if count == 0 || usize::from(count) > RECIPIENTS_MAX {
            return Err(RecordError::RecipientCount(count));
        }
        let suite = u16::from_be_bytes(reader.array()?);
        let key_id = KeyId::new(reader.array()?);
        let is_masked = version == VERSION_MASKED;
        let shred_key = if is_masked { Some(KeyId::new(reader.array()?)) } else { None };
        let recipients = read_recipients(&mut reader, count)?;
        let seal = reader.array()?;
        match reader.left() {
            0 => Ok(Self { key_id, suite, shred_key, recipients, seal }),
            left => Err(RecordError::Trailing(left)),
        }
    }

    /// The bytes of the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.sealed_part();
        bytes.extend_from_slice(&self.seal);
        bytes
    }

    /// Everything the seal covers.
    pub(crate) fn sealed_part(&self) -> Vec<u8> {
        let count = u8::try_from(self.recipients.len()).expect("both makers keep to RECIPIENTS_MAX");
        let mut bytes = Vec::with_capacity(self.length());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[self.version(), count]);
        bytes.extend_from_slice(&self.suite.to_be_bytes());
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes.extend(self.shred_key.iter().flat_map(KeyId::as_bytes));
        for recipient in &self.recipients {
            let length = u16::try_from(recipient.body.len()).expect("both makers keep to RECORD_BYTES_MAX");
            bytes.extend_from_slice(recipient.kek.as_bytes());
            bytes.extend_from_slice(&recipient.algorithm.to_be_bytes());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&recipient.body);
        }
        bytes
    }

    /// The version that it is written as.
    pub(crate) const fn version(&self) -> u8 {
        if self.shred_key.is_some() { VERSION_MASKED } else { VERSION }
    }

    /// The KEK ids, sorted and joined: what tells whether a record is for the present recipients.
    #[must_use]
    pub fn kek_set(&self) -> Vec<u8> {
        kek_set(self.recipients.iter().map(|recipient| recipient.kek))
    }

    fn length(&self) -> usize {
        let bodies = self.recipients.iter().map(|r| r.body.len().saturating_add(RECIPIENT_HEADER_LENGTH));
        let shred_key = if self.shred_key.is_some() { KEY_ID_LENGTH } else { 0 };
        bodies.fold(HEADER_LENGTH + SEAL_LENGTH, usize::saturating_add).saturating_add(shred_key)
    }
}

/// KEK ids, sorted and joined.
pub(crate) fn kek_set(keks: impl Iterator<Item = KekId>) -> Vec<u8> {
    let mut keks: Vec<_> = keks.collect();
    keks.sort_unstable();
    keks.iter().flat_map(|kek| *kek.as_bytes()).collect()
}

fn read_recipients(reader: &mut Reader<'_>, count: u8) -> Result<Vec<Recipient>, RecordError> {
    let mut recipients: Vec<Recipient> = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let kek = KekId::new(reader.array()?);
        let algorithm = u16::from_be_bytes(reader.array()?);
        let length = usize::from(u16::from_be_bytes(reader.array()?));
        if let Some(known) = Algorithm::from_number(algorithm) {
            let expected = known.encapsulated_length().saturating_add(WRAPPED_LENGTH);
            if length != expected {
                return Err(RecordError::BodyLength { algorithm: known, found: length, expected });
            }
        }
        if recipients.iter().any(|earlier| earlier.kek == kek) {
            return Err(RecordError::Duplicate(kek));
        }
        recipients.push(Recipient { kek, algorithm, body: reader.take(length)?.to_vec() });
    }
    match recipients.first() {
        Some(first) if recipients.iter().all(|r| r.known().is_none()) => {
            Err(RecordError::NoKnownAlgorithm(first.algorithm))
        }
        _ => Ok(recipients),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let end = self.at.saturating_add(length);
        let field = self
            .bytes
            .get(self.at..end)
            .ok_or(RecordError::Truncated { length: self.bytes.len(), needed: end })?;
        self.at = end;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let field = self.take(N)?;
        Ok(field.try_into().expect("take gives exactly N bytes"))
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }
}
