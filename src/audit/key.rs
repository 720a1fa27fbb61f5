//! The key that signs the log: Ed25519, made at the first start, in the folder of the log for the service's user alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::error::AuditError;
use super::record::Hash;

/// Private, PKCS#8.
const FILE: &str = "signing.key";
/// Public, 64 digits: to be copied to where the log is verified.
const PUBLIC_FILE: &str = "signing.pub";
/// Keeps our signatures apart from any others of such a key.
const LABEL: &[u8] = b"sealgate audit checkpoint 1\n";

/// A key that signs. It is never printed.
pub(super) struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of this folder; a new one only where the trail is new.
    pub(super) fn open(folder: &Path, is_new: bool) -> Result<Self, AuditError> {
        let path = folder.join(FILE);
        let refuse = |why: &str| AuditError::Key { path: path.clone(), why: why.to_owned() };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.mode() & 0o077 != 0 => {
                return Err(refuse("others than its owner can read it: chmod 0600"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_new => {
                return Self::make(folder, &path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse("there is a log, and the key that signs it is gone"));
            }
            Err(error) => return Err(AuditError::disk("reading", &path)(error)),
        }
        let bytes = Zeroizing::new(fs::read(&path).map_err(AuditError::disk("reading", &path))?);
        let pair =
            Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| refuse("it is no Ed25519 key in PKCS#8"))?;
        Ok(Self(pair))
    }

    fn make(folder: &Path, path: &Path) -> Result<Self, AuditError> {
        let refuse = |_| AuditError::Key { path: path.to_owned(), why: "no key could be made".to_owned() };
        let pair = Ed25519KeyPair::generate().map_err(refuse)?;
        let bytes = pair.to_pkcs8().map_err(refuse)?;
        let key = Self(pair);
        write_new(path, bytes.as_ref(), 0o600)?;
        write_new(&folder.join(PUBLIC_FILE), format!("{}\n", hex(&key.public())).as_bytes(), 0o644)?;
        super::file::sync_folder(folder)?;
        Ok(key)
    }

    pub(super) fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    /// Signs that the record with this number has this hash, and with it everything before.
    pub(super) fn sign(&self, number: u64, hash: &Hash) -> String {
        hex(self.0.sign(&signed(number, hash)).as_ref())
    }
}

/// Whether `signature` is that of `public` over this head.
pub(super) fn is_signed(public: &[u8; 32], number: u64, hash: &Hash, signature: &str) -> bool {
    let Some(signature) = unhex_any(signature).filter(|bytes| bytes.len() == 64) else { return false };
    UnparsedPublicKey::new(&ED25519, public).verify(&signed(number, hash), &signature).is_ok()
}

fn signed(number: u64, hash: &Hash) -> Vec<u8> {
    [LABEL, &number.to_be_bytes(), hash].concat()
}

/// The public key of a folder, as it stands beside the log.
pub(super) fn public_of(folder: &Path) -> Option<[u8; 32]> {
    unhex(fs::read_to_string(folder.join(PUBLIC_FILE)).ok()?.trim_end())
}

/// Writes a file whole, or not at all.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuditError> {
    let part = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&part)
        .map_err(AuditError::disk("making", &part))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(AuditError::disk("writing", &part))?;
    fs::rename(&part, path).map_err(AuditError::disk("renaming", &part))
}

/// As lower-case digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// The 32 bytes that 64 lower-case digits stand for.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    unhex_any(text)?.try_into().ok()
}

fn unhex_any(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = SigningKey::open(folder.path(), true).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = SigningKey::open(folder.path(), false).unwrap();
        assert_eq!(again.public(), made.public());
        assert_eq!(public_of(folder.path()), Some(made.public()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::open(folder.path(), false), Err(AuditError::Key { .. })));
    }

    #[test]
    fn a_log_whose_key_is_gone_gets_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(SigningKey::open(folder.path(), false), Err(AuditError::Key { .. })));
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn a_signature_is_over_number_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open(folder.path(), true).unwrap();
        let signature = key.sign(5, &[7; 32]);
        assert!(is_signed(&key.public(), 5, &[7; 32], &signature));
        assert!(!is_signed(&key.public(), 6, &[7; 32], &signature));
        assert!(!is_signed(&key.public(), 5, &[8; 32], &signature));
        assert!(!is_signed(&[0; 32], 5, &[7; 32], &signature));
        assert!(!is_signed(&key.public(), 5, &[7; 32], "00"));
    }

    #[test]
    fn digits_have_one_form() {
        assert_eq!(unhex(&hex(&[0xAF; 32])), Some([0xAF; 32]));
        for text in ["", "AF", "0", &"g".repeat(64), &"AF".repeat(32)] {
            assert_eq!(unhex(text), None);
        }
    }
}
