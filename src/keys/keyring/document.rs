//! A key file: one key encryption key with its public half, and where its private half is.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dicom::Uid;
use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::hex;
use crate::keys::kdf;
use crate::keys::kek::{KekId, PrivateKek, PublicKek};
use crate::keys::keyring::sealed::SealedKey;
use crate::keys::record::KeyRecord;
use crate::keys::wrap::{self, Binding};
use crate::seal::{ContentKey, KeyId};

const FORMAT: &str = "sealgate-kek";
const VERSION: u8 = 1;
const HEADER_LABEL: &[u8] = b"sealgate key file v1 header";
const CHECK_LABEL: &[u8] = b"sealgate kek check v1";

/// Longest key file read, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 65_536;

/// Who a key encryption key belongs to: 1 to 32 of `a-z`, `0-9` and `-`, such as `site` or `escrow`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientName(String);

impl RecipientName {
    /// The usual name of this site's own key.
    #[must_use]
    pub fn site() -> Self {
        Self("site".into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RecipientName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') {
            Ok(Self(text.into()))
        } else {
            Err(format!("{text:?} is not a recipient's name: 1 to 32 of a-z, 0-9 and -, not starting with -"))
        }
    }
}

impl fmt::Display for RecipientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RecipientName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RecipientName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the private half is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Custody {
    /// Elsewhere: this file only lets us wrap.
    PublicOnly,
    /// In this file, sealed.
    File(SealedKey),
    /// In a PKCS#11 token, under this `CKA_ID` (hexadecimal).
    Token(String),
}

/// The key file, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    format: String,
    version: u8,
    pub(crate) recipient: RecipientName,
    pub(crate) generation: u32,
    pub(crate) algorithm: Algorithm,
    kek: String,
    pub(crate) created_unix_seconds: u64,
    public_key: String,
    pub(crate) custody: Custody,
    /// A key record that only the right private key opens, made when the key was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    check: Option<String>,
}

impl Document {
    /// A file about `public`, without a private half yet.
    pub(crate) fn new(recipient: RecipientName, generation: u32, created: u64, public: &PublicKek) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            recipient,
            generation,
            algorithm: public.algorithm(),
            kek: public.id().to_string(),
            created_unix_seconds: created,
            public_key: hex::encode(public.as_bytes()),
            custody: Custody::PublicOnly,
            check: None,
        }
    }

    /// Reads a key file and its public half.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<(Self, PublicKek), KeysError> {
        let document: Self =
            serde_json::from_slice(bytes).map_err(|error| KeysError::malformed(path, &error))?;
        if document.format != FORMAT {
            let problem = format!("its format is {:?}, a key file says {FORMAT:?}", document.format);
            return Err(KeysError::malformed(path, &problem));
        }
        if document.version != VERSION {
            let problem = format!("version {}, only version {VERSION} is known", document.version);
            return Err(KeysError::malformed(path, &problem));
        }
        let public = hex::decode(&document.public_key)
            .and_then(|bytes| PublicKek::parse(document.algorithm, &bytes))
            .ok_or_else(|| {
                KeysError::malformed(path, &format!("`public_key` is not one for {}", document.algorithm))
            })?;
        if KekId::parse(&document.kek) != Some(public.id()) {
            let problem = format!("`kek` is {}, the public key's id is {}", document.kek, public.id());
            return Err(KeysError::malformed(path, &problem));
        }
        Ok((document, public))
    }

    /// The id that it says it has.
    pub(crate) fn kek(&self) -> &str {
        &self.kek
    }

    /// The bytes of the file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, KeysError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|_| KeysError::Crypto("writing JSON"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Everything beside the sealed key, as one string of bytes, so that none of it can be swapped.
    pub(crate) fn header(&self, public: &PublicKek) -> Vec<u8> {
        let name = self.recipient.as_str();
        let length = u8::try_from(name.len()).expect("a name has 32 characters at most");
        let parts: [&[u8]; 8] = [
            HEADER_LABEL,
            &[VERSION],
            &self.algorithm.number().to_be_bytes(),
            public.digest(),
            &self.generation.to_be_bytes(),
            &self.created_unix_seconds.to_be_bytes(),
            &[length],
            name.as_bytes(),
        ];
        parts.concat()
    }

    /// Stores a record that only the private half of `public` opens.
    pub(crate) fn add_check(&mut self, public: &PublicKek) -> Result<(), KeysError> {
        let record = wrap::wrap(&check_key(public)?, &check_binding(public), [public])?;
        self.check = Some(hex::encode(&record));
        Ok(())
    }

    /// Whether `private` is the private half: it has to open the stored record.
    pub(crate) fn verify_check(
        &self,
        path: &Path,
        public: &PublicKek,
        private: &dyn PrivateKek,
    ) -> Result<(), KeysError> {
        let absent = || KeysError::malformed(path, "`check` is missing or is not a key record");
        let bytes = self.check.as_deref().and_then(hex::decode).ok_or_else(absent)?;
        let record = KeyRecord::parse(&bytes)?;
        let [recipient] = record.recipients.as_slice() else { return Err(absent()) };
        match wrap::unwrap(&record, recipient, &check_binding(public), public, private) {
            Ok(key) if key.expose_secret() == check_key(public)?.expose_secret() => Ok(()),
            Ok(_) | Err(KeysError::Tampered { .. }) => Err(KeysError::WrongPrivateKey(public.id())),
            Err(error) => Err(error),
        }
    }

    /// The same without anything secret, for another site.
    pub(crate) fn public_only(&self) -> Self {
        Self { custody: Custody::PublicOnly, check: None, ..self.clone() }
    }

    /// A public key under the name and number it has at this site.
    pub(crate) fn renamed(&self, recipient: RecipientName, generation: u32) -> Self {
        Self { recipient, generation, ..self.public_only() }
    }
}

/// The content key in the check record is a known one: what is checked is that it can be reached.
fn check_key(public: &PublicKek) -> Result<ContentKey, KeysError> {
    kdf::extract_expand::<32>(CHECK_LABEL, public.digest(), &[]).map(|key| ContentKey::new(*key))
}

fn check_binding(public: &PublicKek) -> Binding {
    let nowhere = Uid::parse("2.25.0").expect("a valid UID");
    Binding {
        key_id: KeyId::new(*public.id().as_bytes()),
        suite: 0,
        sop_class: nowhere.clone(),
        sop_instance: nowhere,
    }
}
