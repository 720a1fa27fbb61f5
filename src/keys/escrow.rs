//! An escrow key in shares: so many persons of a set open it together, fewer learn nothing at all.
//!
//! The private key lies in a package, sealed under 32 random bytes that exist nowhere; these are what is shared (Shamir over
//! GF(256)). So a share is short enough to be printed, and the package needs no hiding.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::hex;
use crate::keys::keyring::{EscrowedKey, KekInfo, Keyring, RecipientName, SealingSecret};
use crate::keys::secret::Credential;

const PACKAGE_FORMAT: &str = "sealgate-escrow-package";
const SHARE_FORMAT: &str = "sealgate-escrow-share";
const VERSION: u8 = 1;
/// Before a share when its digest is made.
const SHARE_LABEL: &[u8] = b"sealgate escrow share v1";
/// Bytes of the secret that is shared.
const SECRET_BYTES: usize = 32;
/// Shares of one set.
const SHARES_MAX: u8 = 32;
/// Longest share or package that is read.
const FILE_BYTES_MAX: u64 = 1 << 17;

/// How many shares there are, and how many of them open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// So many are needed; two at least, so that nobody opens alone.
    pub needed: u8,
    /// So many there are.
    pub shares: u8,
}

impl Quorum {
    /// Refuses one that a single person fulfils, or nobody can.
    pub fn check(self) -> Result<(), KeysError> {
        if self.needed < 2 || self.needed > self.shares || self.shares > SHARES_MAX {
            return Err(KeysError::Escrow(format!(
                "{} of {} shares: at least 2 have to be needed, of at most {SHARES_MAX}",
                self.needed, self.shares
            )));
        }
        Ok(())
    }
}

/// The sealed private key, and what each share is recognised by.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    format: String,
    version: u8,
    /// The name of the set, random.
    pub set: String,
    /// How many shares there are, and how many of them open.
    pub quorum: Quorum,
    /// The key file with the private half, sealed under what is shared.
    key: EscrowedKey,
    /// The digest of each share, by its number.
    shares: Vec<String>,
}

/// One share, as a file or a sheet has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    format: String,
    version: u8,
    /// The set it belongs to.
    pub set: String,
    /// The key encryption key that it helps to open.
    pub kek: String,
    /// Its number, from 1.
    pub number: u8,
    /// How many shares there are, and how many of them open.
    pub quorum: Quorum,
    /// Where the polynomials are evaluated, and their values, as hexadecimal: the secret part.
    value: Zeroizing<String>,
    /// The first 8 bytes of the digest of the value, against mistakes in copying.
    checksum: String,
}

/// Random bytes of the operating system, as `vsss-rs` takes them.
struct SystemRandom;

impl rand_core::TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        // A share that is not random gives the secret away; there is no way to go on, and none to say so by a value.
        aws_lc_rs::rand::fill(bytes).expect("the system gave random bytes a moment ago");
        Ok(())
    }
}

impl rand_core::TryCryptoRng for SystemRandom {}

/// Makes a new escrow key for `recipient`, in shares. The keyring gets its public half; the private half is nowhere but in
/// what is given back.
pub fn split(
    keyring: &mut Keyring,
    recipient: &RecipientName,
    quorum: Quorum,
    now_unix_seconds: u64,
) -> Result<(KekInfo, Package, Vec<Share>), KeysError> {
    quorum.check()?;
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    let mut set = [0; 16];
    for bytes in [secret.as_mut_slice(), set.as_mut_slice()] {
        aws_lc_rs::rand::fill(bytes).map_err(|_| KeysError::Crypto("the random generator"))?;
    }
    let sealing = SealingSecret::Credential(Credential::new(*secret));
    let (info, key) = keyring.generate_escrowed(recipient, Algorithm::XWing, &sealing, now_unix_seconds)?;
    let set = hex::encode(&set);
    let values = Gf256::split_bytes(quorum.needed.into(), quorum.shares.into(), *secret, SystemRandom)
        .map_err(|_| KeysError::Crypto("sharing a secret"))?;
    let mut shares = Vec::new();
    let mut digests = Vec::new();
    for (number, value) in (1..).zip(values.into_iter().map(Zeroizing::new)) {
        let sum = sum(&set, &value);
        shares.push(Share {
            format: SHARE_FORMAT.to_owned(),
            version: VERSION,
            set: set.clone(),
            kek: info.id.clone(),
            number,
            quorum,
            value: Zeroizing::new(hex::encode(&value)),
            checksum: sum.chars().take(16).collect(),
        });
        digests.push(sum);
    }
    let package =
        Package { format: PACKAGE_FORMAT.to_owned(), version: VERSION, set, quorum, key, shares: digests };
    // What cannot be put together again must not be handed out.
    let opened = combine(&package, shares.get(..quorum.needed.into()).unwrap_or_default())?;
    drop(opened);
    Ok((info, package, shares))
}

/// What opens the package, out of its shares: verified one by one, and then together.
pub fn combine(package: &Package, shares: &[Share]) -> Result<Credential, KeysError> {
    let refuse = |problem: String| Err(KeysError::Escrow(problem));
    let mut numbers = BTreeSet::new();
    let mut values = Zeroizing::new(Vec::new());
    for share in shares {
        let value = share.verified(package)?;
        if numbers.insert(share.number) {
            values.push(value.to_vec());
        }
    }
    let (have, need) = (numbers.len(), usize::from(package.quorum.needed));
    if have < need {
        return refuse(format!("{have} of the {need} shares that are needed are there"));
    }
    values.truncate(need);
    let secret = Gf256::combine_bytes(&*values).map(Zeroizing::new);
    let secret = secret.map_err(|_| KeysError::Crypto("combining shares"))?;
    let Ok(bytes) = <[u8; SECRET_BYTES]>::try_from(secret.as_slice()) else {
        return refuse("the shares do not have the length of a secret".to_owned());
    };
    let credential = Credential::new(bytes);
    package.key.verify(&credential)?;
    Ok(credential)
}

fn sum(set: &str, value: &[u8]) -> String {
    // The value is as long as the secret and as random, so that its digest says nothing about it.
    hex::encode(digest(&SHA256, &[SHARE_LABEL, set.as_bytes(), value].concat()).as_ref())
}

impl Share {
    /// Its value, if it belongs to this package and nobody has altered it.
    fn verified(&self, package: &Package) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let number = self.number;
        let refuse = |problem: &str| Err(KeysError::Escrow(format!("share {number} {problem}")));
        if self.set != package.set {
            return refuse("is of another set than the package");
        }
        let expected = usize::from(number).checked_sub(1).and_then(|at| package.shares.get(at));
        let (Some(expected), Some(value)) = (expected, hex::decode(&self.value)) else {
            return refuse("is not one of the package, or its value is not hexadecimal");
        };
        let sum = sum(&self.set, &value);
        if !sum.starts_with(&self.checksum) || self.checksum.len() != 16 {
            return refuse("has a mistake in it: its checksum does not fit, look at how it was copied");
        }
        if sum != *expected {
            return refuse("is not the one that was handed out: the package knows another one");
        }
        Ok(value)
    }

    /// The text of its file: what a sheet shows as well.
    pub fn to_text(&self) -> Result<Zeroizing<String>, KeysError> {
        let text = serde_json::to_string_pretty(self).map_err(|_| KeysError::Crypto("writing JSON"))?;
        Ok(Zeroizing::new(text))
    }

    /// Reads the text of a share, from wherever it came.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let share: Self = serde_json::from_str(text)
            .map_err(|error| KeysError::Escrow(format!("this is no share of an escrow key: {error}")))?;
        if share.format != SHARE_FORMAT || share.version != VERSION {
            let problem = format!("a share of format {:?} version {}", share.format, share.version);
            return Err(KeysError::Escrow(format!(
                "{problem}, only {SHARE_FORMAT} version {VERSION} is known"
            )));
        }
        Ok(share)
    }

    /// Reads the file of a share.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let bytes = file::read_private(path, FILE_BYTES_MAX)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| KeysError::malformed(path, &error))?;
        Self::parse(text)
    }

    /// Writes it to a new file for its owner alone.
    pub fn save(&self, path: &Path) -> Result<(), KeysError> {
        file::create_private(path, self.to_text()?.as_bytes())
    }
}

impl Package {
    /// Reads the file of a package.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let source = fs::File::open(path).map_err(KeysError::file("opening", path))?;
        let bytes = file::read_limited(source, path, FILE_BYTES_MAX)?;
        let package: Self =
            serde_json::from_slice(&bytes).map_err(|error| KeysError::malformed(path, &error))?;
        if package.format != PACKAGE_FORMAT || package.version != VERSION {
            let problem = format!("it is {:?} version {}", package.format, package.version);
            return Err(KeysError::malformed(path, &problem));
        }
        package.quorum.check()?;
        Ok(package)
    }

    /// Writes it to a new file.
    pub fn save(&self, path: &Path) -> Result<(), KeysError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|_| KeysError::Crypto("writing JSON"))?;
        file::create_private(path, &bytes)
    }

    /// Whose key it is, and its id.
    #[must_use]
    pub fn of(&self) -> (&RecipientName, &str) {
        (self.key.recipient(), self.key.kek())
    }

    /// Puts the private half into the keyring, sealed as this site seals its keys, so that what is wrapped for it opens.
    pub fn release(
        &self,
        credential: &Credential,
        keyring: &mut Keyring,
        sealing: &SealingSecret,
    ) -> Result<KekInfo, KeysError> {
        keyring.adopt_escrowed(&self.key, credential, sealing)
    }
}
