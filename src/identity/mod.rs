//! Verifies user identities (PS3.7 D.3.3.7): passwords against Argon2id records, JSON Web Tokens against an issuer's key.

mod config;
mod error;
mod token;
mod users;
mod verifier;

pub use config::{Config, JwtConfig};
pub use error::{IdentityError, Unverified};
pub use users::{Record, hash};
pub use verifier::Verifier;
