//! Wrapping a content key for recipients, and unwrapping it again (`docs/FORMAT.md`, "Wrap").

use std::collections::HashSet;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::dicom::Uid;
use crate::keys::error::KeysError;
use crate::keys::kdf;
use crate::keys::kek::{KekId, PrivateKek, PublicKek};
use crate::keys::record::{KeyRecord, RECIPIENTS_MAX, Recipient, SEAL_LENGTH};
use crate::keys::secret::SharedSecret;
use crate::seal::{ContentKey, KeyId};

const WRAP_SALT: &[u8] = b"sealgate wrap v1";
const WRAP_INFO: &[u8] = b"sealgate wrap v1 info";
const SEAL_INFO: &[u8] = b"sealgate key record v1 seal";

/// What a wrap is bound to: a record moved to another instance, key id or suite does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The content key's name.
    pub key_id: KeyId,
    /// The suite the instance is sealed with.
    pub suite: u16,
    /// The instance's SOP Class UID (0008,0016).
    pub sop_class: Uid,
    /// The instance's SOP Instance UID (0008,0018).
    pub sop_instance: Uid,
}

impl Binding {
    /// What a wrap of something that belongs to no instance is bound to: its own id.
    #[must_use]
    pub fn of_no_instance(id: KeyId, suite: u16) -> Self {
        let nowhere = Uid::parse("2.25.0").expect("a valid UID");
        Self { key_id: id, suite, sop_class: nowhere.clone(), sop_instance: nowhere }
    }
}

impl From<&crate::seal::Binding> for Binding {
    fn from(binding: &crate::seal::Binding) -> Self {
        Self {
            key_id: binding.key_id,
            suite: binding.suite.id(),
            sop_class: binding.sop_class.clone(),
            sop_instance: binding.sop_instance.clone(),
        }
    }
}

/// A content key wrapped for `recipients`, as the bytes of a key record.
pub fn wrap<'a>(
    content_key: &ContentKey,
    binding: &Binding,
    recipients: impl IntoIterator<Item = &'a PublicKek>,
) -> Result<Vec<u8>, KeysError> {
    wrap_as(content_key, binding, None, recipients)
}

/// The same of a content key under the mask that a shred key gives: the record says which one that is.
pub(crate) fn wrap_masked<'a>(
    masked: &ContentKey,
    binding: &Binding,
    shred_key: KeyId,
    recipients: impl IntoIterator<Item = &'a PublicKek>,
) -> Result<Vec<u8>, KeysError> {
    wrap_as(masked, binding, Some(shred_key), recipients)
}

fn wrap_as<'a>(
    content_key: &ContentKey,
    binding: &Binding,
    shred_key: Option<KeyId>,
    recipients: impl IntoIterator<Item = &'a PublicKek>,
) -> Result<Vec<u8>, KeysError> {
    let Binding { key_id, suite, .. } = *binding;
    let mut record = KeyRecord { key_id, suite, shred_key, recipients: Vec::new(), seal: [0; SEAL_LENGTH] };
    let version = record.version();
    let recipients = recipients
        .into_iter()
        .map(|kek| wrap_for(content_key, binding, version, kek))
        .collect::<Result<Vec<_>, KeysError>>()?;
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        let count = recipients.len();
        return Err(KeysError::Recipient(format!(
            "{count} recipients, a key is wrapped for 1 to {RECIPIENTS_MAX}"
        )));
    }
    if let Some(twice) = first_twice(&recipients) {
        return Err(KeysError::Recipient(format!(
            "key encryption key {twice} is named twice as a recipient"
        )));
    }
    record.recipients = recipients;
    record.seal = seal_of(&record, content_key)?;
    Ok(record.to_bytes())
}

/// The content key in `recipient`'s part of `record`, verified against the binding and the record's seal.
pub(crate) fn unwrap(
    record: &KeyRecord,
    recipient: &Recipient,
    binding: &Binding,
    kek: &PublicKek,
    private: &dyn PrivateKek,
) -> Result<ContentKey, KeysError> {
    check_names(record, binding)?;
    let tampered = || KeysError::Tampered { key_id: binding.key_id, kek: recipient.kek };
    let (algorithm, encapsulated, wrapped) = recipient.known().ok_or_else(tampered)?;
    if algorithm != kek.algorithm() {
        return Err(tampered());
    }
    let secret = private.decapsulate(encapsulated)?.ok_or_else(tampered)?;
    let mut plain = Zeroizing::new(wrapped.to_vec());
    let key = wrap_key(&secret, binding, record.version(), kek, encapsulated)?;
    let plain = key.open_in_place(zero_nonce(), Aad::empty(), &mut plain).map_err(|_| tampered())?;
    let content_key = ContentKey::new(plain.try_into().map_err(|_| tampered())?);
    // Covers what no wrap covers: the list of recipients and the other recipients' parts.
    hmac::verify(&seal_key(&content_key)?, &record.sealed_part(), &record.seal).map_err(|_| tampered())?;
    Ok(content_key)
}

/// A KEK id that occurs twice: no reader would take the record.
fn first_twice(recipients: &[Recipient]) -> Option<KekId> {
    let mut seen = HashSet::new();
    recipients.iter().map(|recipient| recipient.kek).find(|kek| !seen.insert(*kek))
}

/// HMAC-SHA-256 over everything before the seal, under a key that only the content key gives.
pub(crate) fn seal_of(record: &KeyRecord, content_key: &ContentKey) -> Result<[u8; SEAL_LENGTH], KeysError> {
    let tag = hmac::sign(&seal_key(content_key)?, &record.sealed_part());
    tag.as_ref().try_into().map_err(|_| KeysError::Crypto("HMAC-SHA-256"))
}

/// Refuses a record whose clear fields already say that it is about something else.
pub(crate) fn check_names(record: &KeyRecord, binding: &Binding) -> Result<(), KeysError> {
    if record.key_id != binding.key_id {
        return Err(KeysError::OtherKey { wanted: binding.key_id, found: record.key_id });
    }
    if record.suite != binding.suite {
        return Err(KeysError::OtherSuite { wanted: binding.suite, found: record.suite });
    }
    Ok(())
}

/// The recipients of a record whose algorithm is known here.
pub(crate) fn known_keks(record: &KeyRecord) -> Vec<KekId> {
    record.recipients.iter().filter(|r| r.known().is_some()).map(|r| r.kek).collect()
}

fn wrap_for(
    content_key: &ContentKey,
    binding: &Binding,
    version: u8,
    kek: &PublicKek,
) -> Result<Recipient, KeysError> {
    let (mut body, secret) = kek.encapsulate()?;
    let mut wrapped = Zeroizing::new(content_key.expose_secret().to_vec());
    wrap_key(&secret, binding, version, kek, &body)?
        .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut *wrapped)
        .map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
    body.extend_from_slice(&wrapped);
    Ok(Recipient { kek: kek.id(), algorithm: kek.algorithm().number(), body })
}

/// `HKDF-SHA-512(salt, ikm = secret, info = version, algorithm, KEK, key id, suite, both UIDs, encapsulated key)`.
fn wrap_key(
    secret: &SharedSecret,
    binding: &Binding,
    version: u8,
    kek: &PublicKek,
    encapsulated: &[u8],
) -> Result<LessSafeKey, KeysError> {
    let (class, instance) = (binding.sop_class.as_str(), binding.sop_instance.as_str());
    let info: [&[u8]; 11] = [
        WRAP_INFO,
        &[version],
        &kek.algorithm().number().to_be_bytes(),
        kek.digest(),
        binding.key_id.as_bytes(),
        &binding.suite.to_be_bytes(),
        &[length_byte(class)],
        class.as_bytes(),
        &[length_byte(instance)],
        instance.as_bytes(),
        encapsulated,
    ];
    let key = kdf::extract_expand::<32>(WRAP_SALT, secret.expose_secret(), &info)?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
    Ok(LessSafeKey::new(key))
}

/// Every wrap key is used for one message, since every secret is fresh; so the nonce can be constant.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn length_byte(uid: &str) -> u8 {
    u8::try_from(uid.len()).expect("a UID has 64 characters at most")
}

fn seal_key(content_key: &ContentKey) -> Result<hmac::Key, KeysError> {
    let key = kdf::expand::<32>(content_key.expose_secret(), &[SEAL_INFO])?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}
