//! The algorithms a content key can be wrapped with, and their sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a key encryption key makes and recovers the secret that a content key is wrapped under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// X-Wing: X25519 and ML-KEM-768 together (draft-connolly-cfrg-xwing-kem); the default.
    #[serde(rename = "x-wing")]
    XWing,
    /// RSA-OAEP with SHA-256 and a modulus of 3072 bits (RFC 8017 7.1).
    #[serde(rename = "rsa-oaep-3072")]
    RsaOaep3072,
    /// Ephemeral-static ECDH on P-256 (SP 800-56A).
    #[serde(rename = "ecdh-p256")]
    EcdhP256,
    /// Ephemeral-static ECDH on P-384.
    #[serde(rename = "ecdh-p384")]
    EcdhP384,
}

impl Algorithm {
    /// Every algorithm, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::XWing, Self::RsaOaep3072, Self::EcdhP256, Self::EcdhP384];

    /// The number in key records.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::XWing => 1,
            Self::RsaOaep3072 => 2,
            Self::EcdhP256 => 3,
            Self::EcdhP384 => 4,
        }
    }

    /// The algorithm with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// Length of the encapsulated key in a record, in bytes; even, so that records are.
    #[must_use]
    pub const fn encapsulated_length(self) -> usize {
        match self {
            Self::XWing => 1120,
            Self::RsaOaep3072 => 384,
            Self::EcdhP256 => 64,
            Self::EcdhP384 => 96,
        }
    }

    /// The name on the command line and in key files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XWing => "x-wing",
            Self::RsaOaep3072 => "rsa-oaep-3072",
            Self::EcdhP256 => "ecdh-p256",
            Self::EcdhP384 => "ecdh-p384",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|algorithm| algorithm.name()).collect();
            format!("{text:?} is not an algorithm, there are {}", names.join(", "))
        })
    }
}
