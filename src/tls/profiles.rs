//! All profiles of a configuration, loaded together; what has changed on disk is read again, and the rest kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

use super::config::{ClientCertificates, Place, Profile};
use super::error::{HandshakeError, LoadError};
use super::expiry::Expiry;
use super::files::{self, Stamp};
use super::handshake::{Client, Server};
use super::material::Material;

/// The profiles of `[[tls]]`, ready for use.
#[derive(Debug, Clone, Default)]
pub struct Profiles(BTreeMap<String, Arc<Loaded>>);

/// One profile with everything that can be made of it, made once: sessions are resumed only within one configuration.
struct Loaded {
    profile: Profile,
    stamps: Vec<Option<Stamp>>,
    /// The files are not those that it was made of: they have changed since, and cannot be used.
    is_stale: bool,
    servers: BTreeMap<ClientCertificates, Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    expiries: Vec<Expiry>,
}

/// What a look at the files found.
#[derive(Debug)]
pub struct Refreshed {
    /// The profiles as they are now.
    pub profiles: Profiles,
    /// The names of those that were read again.
    pub changed: Vec<String>,
    /// Those that changed and cannot be used as they are: they stay as they were.
    pub failed: Vec<(String, LoadError)>,
}

impl Profiles {
    /// Reads every profile, or says which one cannot be used. What `before` has of the same files is kept, with its
    /// sessions.
    pub fn load(profiles: &[Profile], before: &Self) -> Result<Self, LoadError> {
        let mut loaded = BTreeMap::new();
        for profile in profiles {
            let stamps = stamps(profile);
            let kept = before.0.get(&profile.name).filter(|had| had.is(profile, &stamps));
            let fresh = match kept {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(Loaded::load(profile, stamps)?),
            };
            loaded.insert(profile.name.clone(), fresh);
        }
        Ok(Self(loaded))
    }

    /// Looks whether files have changed, and reads those profiles again. Nothing if all are as they were.
    #[must_use]
    pub fn refresh(&self) -> Option<Refreshed> {
        let mut found = Refreshed { profiles: self.clone(), changed: Vec::new(), failed: Vec::new() };
        for (name, had) in &self.0 {
            let stamps = stamps(&had.profile);
            if had.stamps == stamps {
                continue;
            }
            let fresh = match Loaded::load(&had.profile, stamps.clone()) {
                Ok(fresh) => {
                    found.changed.push(name.clone());
                    fresh
                }
                Err(error) => {
                    found.failed.push((name.clone(), error));
                    // As it was, but with the new stamps: the same mistake is said once.
                    had.with_stamps(stamps)
                }
            };
            found.profiles.0.insert(name.clone(), Arc::new(fresh));
        }
        (!found.changed.is_empty() || !found.failed.is_empty()).then_some(found)
    }

    /// For a listener; nothing if the profile is not there or lacks what that takes.
    #[must_use]
    pub fn server(&self, name: &str, asks: ClientCertificates) -> Option<Server> {
        let loaded = self.0.get(name)?;
        let config = loaded.servers.get(&asks)?;
        Some(Server::new(Arc::clone(config), name.into()))
    }

    /// For calls; nothing if the profile is not there or has no `ca`.
    #[must_use]
    pub fn client(&self, name: &str, server_name: Option<&str>) -> Option<Result<Client, HandshakeError>> {
        let config = self.0.get(name)?.client.as_ref()?;
        Some(Client::new(Arc::clone(config), name.into(), server_name))
    }

    /// When everything that is in use ends.
    pub fn expiries(&self) -> impl Iterator<Item = &Expiry> {
        self.0.values().flat_map(|loaded| &loaded.expiries)
    }

    /// Private keys that everybody on the machine may read.
    pub fn open_keys(&self) -> impl Iterator<Item = &Place> {
        let keys = self.0.values().filter_map(|loaded| loaded.profile.key.as_ref());
        keys.filter(|key| files::is_open_to_all(key))
    }
}

fn stamps(profile: &Profile) -> Vec<Option<Stamp>> {
    profile.places().map(files::stamp).collect()
}

impl Loaded {
    fn load(profile: &Profile, stamps: Vec<Option<Stamp>>) -> Result<Self, LoadError> {
        let material = Material::load(profile)?;
        let mut servers = BTreeMap::new();
        for asks in [ClientCertificates::Required, ClientCertificates::Optional, ClientCertificates::None] {
            if let Some(server) = material.server(asks)? {
                servers.insert(asks, server);
            }
        }
        let client = material.client()?;
        Ok(Self {
            profile: profile.clone(),
            stamps,
            is_stale: false,
            servers,
            client,
            expiries: material.expiries,
        })
    }

    fn is(&self, profile: &Profile, stamps: &[Option<Stamp>]) -> bool {
        !self.is_stale && self.profile == *profile && self.stamps == stamps
    }

    fn with_stamps(&self, stamps: Vec<Option<Stamp>>) -> Self {
        Self {
            profile: self.profile.clone(),
            stamps,
            is_stale: true,
            servers: self.servers.clone(),
            client: self.client.clone(),
            expiries: self.expiries.clone(),
        }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded({})", self.profile.name)
    }
}
