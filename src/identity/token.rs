//! JSON Web Tokens (RFC 7519), signed by the one issuer whose key is configured.

use std::collections::BTreeSet;
use std::fs;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::config::JwtConfig;
use super::error::{IdentityError, Unverified};
use crate::dicom::{IdentityKind, User};

/// Words of the claim `scope` (RFC 8693 4.2) that speak of rights here begin with this.
const SCOPE: &str = "sealgate:";
/// Longest token that is looked at; real ones have some kilobytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What verifies tokens.
pub(super) struct Issuer {
    key: DecodingKey,
    validation: Validation,
}

/// The claims that are read. RFC 7519 4.1: times and audience are verified before.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    scope: Option<String>,
}

impl Issuer {
    /// The issuer of the configuration, if there is one.
    pub(super) fn load(config: &JwtConfig) -> Result<Option<Self>, IdentityError> {
        let Some(path) = &config.key else { return Ok(None) };
        let pem = fs::read(path).map_err(IdentityError::file(path))?;
        // The key says which algorithms there are, never the token: an HMAC under a public key would be anybody's.
        let (key, algorithms) = if let Ok(key) = DecodingKey::from_ed_pem(&pem) {
            (key, vec![Algorithm::EdDSA])
        } else if let Ok(key) = DecodingKey::from_ec_pem(&pem) {
            (key, vec![Algorithm::ES256, Algorithm::ES384])
        } else if let Ok(key) = DecodingKey::from_rsa_pem(&pem) {
            let rsa = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
            let pss = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
            (key, [rsa, pss].concat())
        } else {
            return Err(IdentityError::Key(path.clone()));
        };
        let mut validation = Validation::new(algorithms[0]);
        validation.algorithms = algorithms;
        validation.leeway = config.leeway_seconds;
        validation.validate_nbf = true;
        validation.required_spec_claims = ["exp", "sub", "aud"].map(str::to_owned).into();
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
        }
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        Ok(Some(Self { key, validation }))
    }

    /// The user that the token is about.
    pub(super) fn verify(&self, token: &[u8]) -> Result<User, Unverified> {
        let refused = |words: &str| Unverified::Token(words.to_owned());
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        // PS3.7 D.3.3.7: fields may be padded to an even length.
        let text = std::str::from_utf8(token).map_err(|_| refused("it is no text"))?;
        let text = text.trim_end_matches(['\0', ' ']);
        let claims = decode::<Claims>(text, &self.key, &self.validation)
            .map_err(|error| refused(words(error.kind())))?
            .claims;
        let only = claims.scope.and_then(|scope| {
            let words: BTreeSet<String> =
                scope.split(' ').filter_map(|word| word.strip_prefix(SCOPE)).map(str::to_owned).collect();
            (!words.is_empty()).then_some(words)
        });
        Ok(User::new(&claims.sub, IdentityKind::Jwt, only))
    }
}

fn words(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidSignature => "its signature is not the issuer's",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidIssuer => "it is from another issuer",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm is not one of the issuer's key"
        }
        ErrorKind::MissingRequiredClaim(_) => "exp, sub, aud or iss is missing",
        _ => "it cannot be read",
    }
}
