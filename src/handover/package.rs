//! The package: what is handed over, sealed for one key encryption key and, where wished, under a password on top.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Salt};
use zeroize::Zeroizing;

use super::error::HandoverError;
use crate::keys::{Argon2Cost, Binding, Keyring, KeysError, Passphrase, PublicKek, wrap};
use crate::seal::{ContentKey, KeyId, random};

/// Longest package read or written.
pub const PACKAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

const MAGIC: &[u8; 4] = b"SGHO";
const VERSION: u8 = 1;
const WITH_PASSWORD: u8 = 1;
const LABEL: &[u8] = b"sealgate handover v1";
const SALT_BYTES: usize = 16;

/// What a package holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Content keys of a study.
    Keys,
    /// A text embedded in an image.
    Text,
}

impl Contents {
    const fn number(self) -> u8 {
        match self {
            Self::Keys => 1,
            Self::Text => 2,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Text => "a text",
        }
    }
}

struct Key;

impl KeyType for Key {
    fn len(&self) -> usize {
        32
    }
}

/// Seals `plain` for the holder of `kek`, who has to know the password too, if there is one.
pub fn seal(
    contents: Contents,
    plain: &[u8],
    kek: &PublicKek,
    password: Option<(&Passphrase, Argon2Cost)>,
) -> Result<Vec<u8>, HandoverError> {
    let id = KeyId::new(random()?);
    let package_key = ContentKey::new(random()?);
    let mut out = [&MAGIC[..], &[VERSION, contents.number(), u8::from(password.is_some()), 0]].concat();
    out.extend_from_slice(id.as_bytes());
    let mut root = Zeroizing::new(Vec::new());
    if let Some((password, cost)) = password {
        let salt: [u8; SALT_BYTES] = random()?;
        out.extend_from_slice(&salt);
        for number in [cost.memory_mebibytes, cost.passes, cost.lanes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        root.extend_from_slice(&*cost.root(password, &salt)?);
    }
    let record = wrap(&package_key, &binding(id), [kek])?;
    out.extend_from_slice(&u16::try_from(record.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(&record);
    let mut sealed = Zeroizing::new(plain.to_vec());
    key_of(&package_key, &root)?
        .seal_in_place_append_tag(once(), Aad::from(&out), &mut *sealed)
        .map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
    out.extend_from_slice(&sealed);
    let needed = out.len() as u64;
    if out.len() > PACKAGE_BYTES_MAX {
        let limit = PACKAGE_BYTES_MAX as u64;
        let advice = "hand the study over in parts";
        return Err(HandoverError::TooLarge { what: "a handover", needed, limit, advice });
    }
    Ok(out)
}

/// Opens a package with the keyring's private keys and the password, if it takes one.
pub fn open(
    wanted: Contents,
    package: &[u8],
    keyring: &Keyring,
    password: Option<&Passphrase>,
) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
    let mut reader = Reader { bytes: package, at: 0 };
    if reader.array()? != *MAGIC {
        return Err(HandoverError::Malformed("it does not begin like one"));
    }
    let [version, contents, flags, reserved] = reader.array()?;
    if version != VERSION {
        return Err(HandoverError::Version(version));
    }
    let known = [Contents::Keys, Contents::Text].into_iter().find(|known| known.number() == contents);
    let found = known.ok_or(HandoverError::Malformed("what it holds is unknown"))?;
    if found != wanted {
        return Err(HandoverError::Contents { found: found.name(), wanted: wanted.name() });
    }
    if flags > WITH_PASSWORD || reserved != 0 {
        return Err(HandoverError::Malformed("its flags are unknown"));
    }
    let id = KeyId::new(reader.array()?);
    let root = match (flags == WITH_PASSWORD, password) {
        (false, None) => Zeroizing::new(Vec::new()),
        (true, Some(password)) => reader.root(password)?,
        (true, None) => return Err(HandoverError::PasswordWanted),
        (false, Some(_)) => return Err(HandoverError::PasswordUnwanted),
    };
    let length = usize::from(u16::from_be_bytes(reader.array()?));
    let record = reader.take(length)?;
    let package_key = keyring.unwrap(record, &binding(id))?;
    let (header, sealed) = package.split_at_checked(reader.at).unwrap_or_default();
    let mut plain = Zeroizing::new(sealed.to_vec());
    let opened = key_of(&package_key, &root)?.open_in_place(once(), Aad::from(header), &mut plain);
    let length = opened.map_err(|_| HandoverError::Sealed)?.len();
    plain.truncate(length);
    Ok(plain)
}

/// SHA-256.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// Whether these bytes begin like a package.
pub(super) fn is_package(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The package key is wrapped like a content key, bound to the package's id.
fn binding(id: KeyId) -> Binding {
    Binding::of_no_instance(id, 0)
}

/// The key of the payload: the package key, and what the password gives.
fn key_of(package_key: &ContentKey, root: &[u8]) -> Result<LessSafeKey, HandoverError> {
    let failed = || KeysError::Crypto("HKDF-SHA-512");
    let input = Zeroizing::new([package_key.expose_secret(), root].concat());
    let mut key = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA512, LABEL)
        .extract(&input)
        .expand(&[LABEL, b" key"], Key)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(|_| failed())?;
    let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| KeysError::Crypto("AES-256-GCM"))?;
    Ok(LessSafeKey::new(key))
}

/// Every package key seals one payload, so the nonce can be constant.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Reads fields one after the other.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], HandoverError> {
        let end = self.at.saturating_add(length);
        let field = self.bytes.get(self.at..end).ok_or(HandoverError::Malformed("it ends too early"))?;
        self.at = end;
        Ok(field)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], HandoverError> {
        self.take(N)?.try_into().map_err(|_| HandoverError::Malformed("it ends too early"))
    }

    /// A text with its length, one byte, before it.
    pub(super) fn text(&mut self) -> Result<&'a str, HandoverError> {
        let [length] = self.array()?;
        std::str::from_utf8(self.take(length.into())?).map_err(|_| HandoverError::Malformed("a text is none"))
    }

    fn root(&mut self, password: &Passphrase) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
        let salt: [u8; SALT_BYTES] = self.array()?;
        let mut number = || self.array().map(u32::from_be_bytes);
        let cost = Argon2Cost { memory_mebibytes: number()?, passes: number()?, lanes: number()? };
        // What a hostile file asks for must not take the machine down.
        cost.check().map_err(|_| HandoverError::Malformed("the cost of its password is out of bounds"))?;
        Ok(Zeroizing::new(cost.root(password, &salt)?.to_vec()))
    }
}
