//! Where examinations are planned and reported: the systems that worklist queries and procedure steps are passed on to.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dicom::{AeAddress, AeTitle};

/// A radiology information system, or a part of one, that modalities reach through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ris {
    /// The name in logs and messages; unique.
    pub name: String,
    /// Where it listens, as `AE@host:port`.
    pub address: AeAddress,
    /// The AE title Sealgate uses towards it; by default the first of the gateway's titles.
    #[serde(default)]
    pub calling: Option<AeTitle>,
    /// The TLS profile to call it with; without one it is called in clear.
    #[serde(default)]
    pub tls: Option<String>,
    /// The name its certificate has to be for, if not the host of the address.
    #[serde(default)]
    pub server_name: Option<String>,
    /// The called AE titles whose modalities it is for; empty means all of the gateway's.
    #[serde(default)]
    pub called: BTreeSet<AeTitle>,
    /// What it is asked for.
    pub serves: BTreeSet<Serves>,
}

/// A service of a RIS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    /// Modality Worklist (PS3.4 annex K).
    Worklist,
    /// Modality Performed Procedure Step (PS3.4 annex F).
    Mpps,
}

impl fmt::Display for Serves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worklist => "worklist",
            Self::Mpps => "mpps",
        })
    }
}

impl Ris {
    /// Whether it is asked for this service on behalf of those who called this title.
    #[must_use]
    pub fn is_for(&self, service: Serves, called: &AeTitle) -> bool {
        self.serves.contains(&service) && (self.called.is_empty() || self.called.contains(called))
    }
}
