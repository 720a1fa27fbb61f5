//! The certificate of destruction: what was destroyed, by whom, and what that cannot reach; signed by the gateway.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{Order, Reach};
use crate::dicom::Uid;
use crate::keys::config::{ArchiveMode, Config};
use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::hex;

const FORMAT: &str = "sealgate-destruction";
const VERSION: u8 = 1;
/// Before the statement when it is signed, so that the signature counts for nothing else.
const LABEL: &[u8] = b"sealgate destruction v1\n";
/// The key that signs, in the keys' folder.
const KEY_FILE: &str = "destruction.key";

/// What is certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    format: String,
    version: u8,
    /// The request that two persons agreed on.
    pub request: String,
    /// When, in seconds since 1970.
    pub destroyed_unix_seconds: u64,
    /// Who asked.
    pub requested_by: String,
    /// Who approved.
    pub approved_by: String,
    /// Why.
    pub reason: String,
    /// The studies they belonged to.
    pub studies: Vec<Uid>,
    /// The ids of the keys, as hexadecimal.
    pub keys: Vec<String>,
    /// What it cannot reach.
    pub not_reached: Vec<String>,
}

/// A statement with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What is certified.
    pub statement: Statement,
    /// The Ed25519 key that signed, as hexadecimal.
    pub public_key: String,
    /// Over the label and the statement as compact JSON, its members in this order.
    pub signature: String,
}

impl Statement {
    pub(super) fn new(config: &Config, order: &Order, reach: &Reach, now: u64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            request: order.request.clone(),
            destroyed_unix_seconds: now,
            requested_by: order.requested_by.clone(),
            approved_by: order.approved_by.clone(),
            reason: order.reason.clone(),
            studies: reach.studies.clone(),
            keys: reach.keys.iter().map(ToString::to_string).collect(),
            not_reached: not_reached(config, reach),
        }
    }

    fn signed_bytes(&self) -> Result<Vec<u8>, KeysError> {
        let text = serde_json::to_vec(self).map_err(|_| KeysError::Crypto("writing JSON"))?;
        Ok([LABEL, &text].concat())
    }
}

/// Where wrapped keys may still be, that no command here can delete. Said plainly: a certificate that claims more is worth
/// nothing.
fn not_reached(config: &Config, reach: &Reach) -> Vec<String> {
    let mut places = vec![
        "backups of the key store from before: what is restored of them here is destroyed again, elsewhere it is not"
            .to_owned(),
        "copies of the images that were handed out opened".to_owned(),
    ];
    if reach.is_masked() {
        places.push(
            "instances sealed while shred_key was off: they carry their wrapped key; what the others carry is worth \
             nothing without the shred keys of their study, which are among the keys destroyed"
                .to_owned(),
        );
    } else if config.archive == ArchiveMode::Sidecar {
        places.push(
            "instances sealed while the archive mode was tag or both: they carry their wrapped key"
                .to_owned(),
        );
    } else {
        places.push(
            "the wrapped key in the private block of each instance: whoever has the instance and a private key of a \
             recipient can open it with other software; this gateway does not"
                .to_owned(),
        );
    }
    places
}

impl Certificate {
    /// Signs with the key of this site, which is made when the first certificate is.
    pub(super) fn sign(config: &Config, statement: Statement) -> Result<Self, KeysError> {
        let pair = key_pair(config)?;
        let signature = pair.sign(&statement.signed_bytes()?);
        Ok(Self {
            public_key: hex::encode(pair.public_key().as_ref()),
            signature: hex::encode(signature.as_ref()),
            statement,
        })
    }

    /// Whether the signature is that of the key it names, over what it says.
    #[must_use]
    pub fn verifies(&self) -> bool {
        let (Some(key), Some(signature)) = (hex::decode(&self.public_key), hex::decode(&self.signature))
        else {
            return false;
        };
        let Ok(signed) = self.statement.signed_bytes() else { return false };
        let is_known = self.statement.format == FORMAT && self.statement.version == VERSION;
        is_known && UnparsedPublicKey::new(&ED25519, &*key).verify(&signed, &signature).is_ok()
    }
}

fn key_pair(config: &Config) -> Result<Ed25519KeyPair, KeysError> {
    let path = config.folder.join(KEY_FILE);
    let failed = || KeysError::Crypto("Ed25519");
    if !path.exists() {
        let pair = Ed25519KeyPair::generate().map_err(|_| failed())?;
        let document = pair.to_pkcs8v1().map_err(|_| failed())?;
        file::private_folder(&config.folder)?;
        file::create_private(&path, document.as_ref())?;
    }
    let bytes = file::read_private(&path, 1024)?;
    Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| KeysError::malformed(&path, "it is no Ed25519 key"))
}
