//! The keys of `[identity]`: against what user identities are verified.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::IdentityError;

/// The keys of `[identity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// File with users' names and Argon2id records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// Passwords that are verified at once; each costs memory and a core while it lasts.
    pub verifications_max: usize,
    /// JSON Web Tokens.
    pub jwt: JwtConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self { users: None, verifications_max: 2, jwt: JwtConfig::default() }
    }
}

/// The keys of `[identity.jwt]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtConfig {
    /// PEM file with the issuer's public key: RSA, ECDSA P-256 or P-384, or Ed25519.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// What tokens have to have as `iss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What tokens have to have as `aud`: a token for another service is none for us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How far the issuer's clock may be off.
    pub leeway_seconds: u64,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self { key: None, issuer: None, audience: None, leeway_seconds: 60 }
    }
}

impl Config {
    /// Whether identities could be verified by it.
    pub fn check(&self) -> Result<(), IdentityError> {
        if self.verifications_max == 0 || self.verifications_max > 64 {
            return Err(IdentityError::Config("identity.verifications_max must be from 1 to 64".to_owned()));
        }
        if self.jwt.leeway_seconds > 3600 {
            return Err(IdentityError::Config("identity.jwt.leeway_seconds must be at most 3600".to_owned()));
        }
        if self.jwt.key.is_some() && self.jwt.audience.is_none() {
            let words =
                "identity.jwt.key is set without audience: a token made for any other service would do";
            return Err(IdentityError::Config(words.to_owned()));
        }
        Ok(())
    }
}
