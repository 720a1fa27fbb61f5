//! Verifies what a peer claims about its user, a few at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::config::Config;
use super::error::{IdentityError, Unverified};
use super::token::Issuer;
use super::users::{self, Record};
use crate::dicom::{Identity, IdentityKind, User};

/// Whoever guesses waits this long for each answer.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// Everything that identities are verified against.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    users: Option<BTreeMap<String, Record>>,
    nobody: Option<Record>,
    issuer: Option<Issuer>,
    places: Arc<Semaphore>,
}

impl Verifier {
    /// Reads the files of the configuration.
    pub fn load(config: &Config) -> Result<Self, IdentityError> {
        let users = config.users.as_deref().map(users::read).transpose()?;
        let nobody = users.is_some().then(Record::nobody);
        let issuer = Issuer::load(&config.jwt)?;
        let places = Arc::new(Semaphore::new(config.verifications_max));
        Ok(Self(Arc::new(Inner { users, nobody, issuer, places })))
    }

    /// The words for rights that users are limited to, with each user's name: for a check that there are such rights.
    pub fn limits(&self) -> impl Iterator<Item = (&str, &str)> {
        let users = self.0.users.iter().flatten();
        users.flat_map(|(name, record)| {
            record.only.iter().flatten().map(move |word| (name.as_str(), word.as_str()))
        })
    }

    /// The user, if what the peer claims is true. A wrong claim is answered late.
    pub async fn verify(&self, identity: &Identity) -> Result<User, Unverified> {
        let verified = match identity.kind {
            IdentityKind::NameAndPasscode => self.password(identity).await,
            IdentityKind::Jwt => match &self.0.issuer {
                Some(issuer) => issuer.verify(&identity.primary),
                None => Err(Unverified::NotConfigured("identity.jwt.key")),
            },
            IdentityKind::Name => Err(Unverified::Unsupported("user name without password")),
            IdentityKind::Kerberos => Err(Unverified::Unsupported("Kerberos")),
            IdentityKind::Saml => Err(Unverified::Unsupported("SAML")),
        };
        if matches!(verified, Err(Unverified::Password | Unverified::Token(_))) {
            sleep(REFUSED_AFTER).await;
        }
        verified
    }

    async fn password(&self, identity: &Identity) -> Result<User, Unverified> {
        let (Some(users), Some(nobody)) = (&self.0.users, &self.0.nobody) else {
            return Err(Unverified::NotConfigured("identity.users"));
        };
        // PS3.7 D.3.3.7: fields may be padded to an even length.
        let name = String::from_utf8_lossy(&identity.primary);
        let name = name.trim_end_matches(['\0', ' ']);
        let known = users.get(name);
        let record = known.unwrap_or(nobody).clone();
        let password = Zeroizing::new(identity.secondary.to_vec());
        // Closed by nobody, so it is always given in the end.
        let place = Arc::clone(&self.0.places).acquire_owned().await;
        let fits = spawn_blocking(move || {
            let _place = place;
            record.fits(&password)
        });
        let fits = fits.await.unwrap_or(false);
        match known.filter(|_| fits) {
            Some(record) => Ok(User::new(name, IdentityKind::NameAndPasscode, record.only.clone())),
            None => Err(Unverified::Password),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}
