//! The keys of `[[tls]]`: where a profile's certificate, key and trust are.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One entry of `[[tls]]`: what we show and whom we believe, under a name that listeners and destinations use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name; unique.
    pub name: String,
    /// Our certificate with its chain, as PEM.
    #[serde(default)]
    pub certificate: Option<Place>,
    /// Its private key, as PEM without a passphrase.
    #[serde(default)]
    pub key: Option<Place>,
    /// The certificates that peers' certificates must descend from.
    #[serde(default)]
    pub ca: Option<Place>,
    /// Revocation lists, as PEM or DER. With any, every certificate in a peer's chain must be covered by one.
    #[serde(default)]
    pub crls: Vec<Place>,
}

/// Whether a listener asks callers for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Without one there is no connection.
    Required,
    /// One that is shown must be good.
    Optional,
    /// None is asked for.
    None,
}

/// A file, or a credential that systemd hands over: `credential:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A path.
    File(PathBuf),
    /// A name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a path nor credential:NAME with the name of a systemd credential")]
pub struct PlaceError(String);

const CREDENTIAL: &str = "credential:";

impl Place {
    /// Reads either form.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let bad = || PlaceError(text.to_owned());
        match text.strip_prefix(CREDENTIAL) {
            // A credential is one file in one folder, and its name must not lead out of it.
            Some(name) if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) => {
                Err(bad())
            }
            Some(name) => Ok(Self::Credential(name.to_owned())),
            None if text.is_empty() || text.contains('\0') => Err(bad()),
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "{CREDENTIAL}{name}"),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        Self::parse(text)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What is wrong with the profiles before any file is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two under one name.
    #[error("tls profile {0:?} is there twice: give each a name of its own")]
    NameTwice(String),
    /// No name.
    #[error("a tls profile has an empty name: give it one that listeners and destinations can refer to")]
    NoName,
    /// Half of a pair.
    #[error("tls profile {profile:?} has {has} without {lacks}: give both, or neither")]
    Half {
        /// The profile.
        profile: String,
        /// What is there.
        has: &'static str,
        /// What is not.
        lacks: &'static str,
    },
    /// Revocation lists for nobody.
    #[error("tls profile {0:?} has crls without ca: name the CA whose certificates they revoke")]
    CrlsWithoutCa(String),
    /// A profile that is not there.
    #[error("{user} names the tls profile {name:?}, which is not there{hint}")]
    Unknown {
        /// Which listener or destination.
        user: String,
        /// The name it gives.
        name: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
    /// A profile that lacks what its use takes.
    #[error(
        "{user} uses the tls profile {profile:?}, which has no {lacks}: add it to the profile, or name another one"
    )]
    Lacks {
        /// Which listener or destination.
        user: String,
        /// The profile.
        profile: String,
        /// The key that is missing, and what for.
        lacks: &'static str,
    },
}

impl Profile {
    /// Whether the profiles can stand side by side.
    pub fn check_all(profiles: &[Self]) -> Result<(), ConfigError> {
        for (index, profile) in profiles.iter().enumerate() {
            let Self { name, certificate, key, ca, crls } = profile;
            if name.is_empty() {
                return Err(ConfigError::NoName);
            }
            if profiles.iter().take(index).any(|earlier| earlier.name == *name) {
                return Err(ConfigError::NameTwice(name.clone()));
            }
            let half = |has, lacks| Err(ConfigError::Half { profile: name.clone(), has, lacks });
            match (certificate, key) {
                (Some(_), None) => return half("a certificate", "its key"),
                (None, Some(_)) => return half("a key", "its certificate"),
                _ => {}
            }
            if !crls.is_empty() && ca.is_none() {
                return Err(ConfigError::CrlsWithoutCa(name.clone()));
            }
        }
        Ok(())
    }

    /// The profile of this name, for `user`.
    pub fn find<'a>(profiles: &'a [Self], name: &str, user: &str) -> Result<&'a Self, ConfigError> {
        let near = || {
            let near = profiles.iter().map(|p| (strsim::damerau_levenshtein(&p.name, name), &p.name)).min();
            near.filter(|(distance, _)| *distance <= 3)
                .map(|(_, near)| format!("; did you mean {near:?}?"))
                .unwrap_or_default()
        };
        profiles.iter().find(|profile| profile.name == name).ok_or_else(|| ConfigError::Unknown {
            user: user.to_owned(),
            name: name.to_owned(),
            hint: near(),
        })
    }

    /// Whether a listener can stand on it.
    pub fn check_for_listener(&self, user: &str, asks: ClientCertificates) -> Result<(), ConfigError> {
        if self.certificate.is_none() {
            return Err(self.lacks(user, "certificate and key to show to callers"));
        }
        if asks != ClientCertificates::None && self.ca.is_none() {
            return Err(self.lacks(
                user,
                "ca to verify callers' certificates with (or set client_certificates = \"none\")",
            ));
        }
        Ok(())
    }

    /// Whether calls can be made with it.
    pub fn check_for_calls(&self, user: &str) -> Result<(), ConfigError> {
        if self.ca.is_none() {
            return Err(self.lacks(user, "ca to verify the other node's certificate with"));
        }
        Ok(())
    }

    fn lacks(&self, user: &str, lacks: &'static str) -> ConfigError {
        ConfigError::Lacks { user: user.to_owned(), profile: self.name.clone(), lacks }
    }

    /// Every place it reads.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.certificate.iter().chain(&self.key).chain(&self.ca).chain(&self.crls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_a_credential() {
        for text in ["/etc/sealgate/tls/key.pem", "credential:gateway-key"] {
            assert_eq!(Place::parse(text).map(|place| place.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "credential:", "credential:../shadow", "credential:..", "credential:a/b"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_profile_that_could_not_work_is_refused() {
        let place = |text: &str| Some(Place::parse(text).unwrap());
        let whole = Profile {
            name: "a".into(),
            certificate: place("/c"),
            key: place("/k"),
            ca: None,
            crls: Vec::new(),
        };
        assert_eq!(Profile::check_all(std::slice::from_ref(&whole)), Ok(()));
        let twice = [whole.clone(), whole.clone()];
        assert!(matches!(Profile::check_all(&twice), Err(ConfigError::NameTwice(_))));
        let half = Profile { key: None, ..whole.clone() };
        assert!(matches!(Profile::check_all(&[half]), Err(ConfigError::Half { lacks: "its key", .. })));
        let crls = Profile { crls: vec![Place::parse("/crl").unwrap()], ..whole.clone() };
        assert!(matches!(Profile::check_all(&[crls]), Err(ConfigError::CrlsWithoutCa(_))));
        assert!(whole.check_for_listener("l", ClientCertificates::None).is_ok());
        assert!(whole.check_for_listener("l", ClientCertificates::Optional).is_err());
        assert!(whole.check_for_calls("d").is_err());
        let near = Profile::find(std::slice::from_ref(&whole), "b", "listener").unwrap_err();
        assert!(near.to_string().contains("did you mean \"a\"?"), "{near}");
    }
}
