//! What the spool keeps beside a sealed instance: enough to forward it, and nothing of the patient.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dicom::{AeTitle, Uid};

/// Facts of one instance in the spool, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Study Instance UID, if there is a good one.
    pub study: Option<Uid>,
    /// Series Instance UID, if there is a good one.
    #[serde(default)]
    pub series: Option<Uid>,
    /// The transfer syntax it is stored in.
    pub transfer_syntax: Uid,
    /// Who sent it.
    pub calling: AeTitle,
    /// To which of our titles.
    pub called: AeTitle,
    /// The route it takes.
    pub route: String,
    /// How it was protected.
    pub seal: Protection,
}

/// How an instance in the spool is protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Sealed here, under this key.
    Sealed(String),
    /// It came sealed.
    CameSealed(String),
    /// It has no pixels, and passes in clear.
    Clear,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(key) => write!(f, "sealed under {key}"),
            Self::CameSealed(key) => write!(f, "came sealed under {key}"),
            Self::Clear => f.write_str("in clear, without pixels"),
        }
    }
}

impl Ticket {
    /// As the spool keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has nothing that JSON lacks")
    }

    /// What the spool kept.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
