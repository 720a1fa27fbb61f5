//! From the files of one profile to what rustls works with.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};

use super::config::{ClientCertificates, Place, Profile};
use super::error::LoadError;
use super::expiry::{self, Expiry};
use super::{facts, files, suites};

/// Certificates in one file; real chains have two or three, bundles of a country's CAs some hundred.
const CERTIFICATES_MAX: usize = 1024;

/// The contents of a profile's files, each checked.
pub(super) struct Material {
    identity: Option<Arc<CertifiedKey>>,
    roots: Arc<RootCertStore>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) expiries: Vec<Expiry>,
}

impl Material {
    /// Reads everything that the profile names.
    pub(super) fn load(profile: &Profile) -> Result<Self, LoadError> {
        let mut expiries = Vec::new();
        let mut note = |key, place: &Place, name, not_after| {
            let profile = profile.name.clone();
            expiries.push(Expiry {
                profile,
                key,
                place: place.clone(),
                name,
                not_after: expiry::at(not_after),
            });
        };
        let identity = match (&profile.certificate, &profile.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                for der in &chain {
                    let facts = readable(certificate, der)?;
                    note("certificate", certificate, facts.certificate.subject, facts.not_after);
                }
                Some(Arc::new(identity(certificate, chain, key)?))
            }
            _ => None,
        };
        let mut roots = RootCertStore::empty();
        if let Some(place) = &profile.ca {
            for der in certificates(place)? {
                let facts = readable(place, &der)?;
                note("ca", place, facts.certificate.subject, facts.not_after);
                roots.add(der).map_err(|error| bad(place, error))?;
            }
        }
        let mut crls = Vec::new();
        for place in &profile.crls {
            for der in revocation_lists(place)? {
                let (issuer, next) = facts::of_revocation_list(&der)
                    .ok_or_else(|| bad(place, "it has a revocation list that cannot be read"))?;
                note("crls", place, issuer, next.unwrap_or(i64::MAX));
                crls.push(der);
            }
        }
        Ok(Self { identity, roots: Arc::new(roots), crls, expiries })
    }

    /// For listeners that ask callers like this; nothing where the profile lacks what that takes.
    pub(super) fn server(&self, asks: ClientCertificates) -> Result<Option<Arc<ServerConfig>>, LoadError> {
        let Some(identity) = &self.identity else { return Ok(None) };
        let builder = ServerConfig::builder_with_provider(suites::provider())
            .with_protocol_versions(suites::VERSIONS)
            .map_err(LoadError::setup)?;
        let builder = match asks {
            ClientCertificates::None => builder.with_no_client_auth(),
            _ if self.roots.is_empty() => return Ok(None),
            asks => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), suites::provider())
                        .with_crls(self.crls.clone())
                        .enforce_revocation_expiration();
                let verifier = match asks {
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(LoadError::setup)?)
            }
        };
        let resolver = SingleCertAndKey::from(Arc::clone(identity));
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        // Tickets hold the session on the caller's side, so that no number of callers costs memory. Their key is this
        // configuration's own: a session of a listener that asks for less, or from before a reload, is not resumed.
        config.ticketer = Ticketer::new().map_err(LoadError::setup)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Some(Arc::new(config)))
    }

    /// For calls; nothing where the profile has nobody to believe.
    pub(super) fn client(&self) -> Result<Option<Arc<ClientConfig>>, LoadError> {
        if self.roots.is_empty() {
            return Ok(None);
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), suites::provider())
                .with_crls(self.crls.clone())
                .enforce_revocation_expiration()
                .build()
                .map_err(LoadError::setup)?;
        let builder = ClientConfig::builder_with_provider(suites::provider())
            .with_protocol_versions(suites::VERSIONS)
            .map_err(LoadError::setup)?
            .with_webpki_verifier(verifier);
        let config = match &self.identity {
            Some(identity) => {
                let resolver = SingleCertAndKey::from(Arc::clone(identity));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Some(Arc::new(config)))
    }
}

fn bad(place: &Place, reason: impl std::fmt::Display) -> LoadError {
    LoadError::Bad { place: place.clone(), reason: reason.to_string() }
}

fn readable(place: &Place, der: &CertificateDer<'_>) -> Result<facts::Facts, LoadError> {
    facts::of_certificate(der).ok_or_else(|| bad(place, "it has a certificate that cannot be read"))
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn certificates(place: &Place) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let bytes = files::read(place)?;
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&bytes).take(CERTIFICATES_MAX.saturating_add(1)).collect();
    let found = found.map_err(|error| bad(place, error))?;
    if found.len() > CERTIFICATES_MAX {
        return Err(bad(place, format!("more than {CERTIFICATES_MAX} certificates")));
    }
    if found.is_empty() {
        let hint = if is_pem(&bytes) {
            ""
        } else {
            "; it is no PEM: convert it with `openssl x509 -inform der -outform pem`"
        };
        return Err(LoadError::Nothing { place: place.clone(), wanted: "certificate", hint });
    }
    Ok(found)
}

fn revocation_lists(place: &Place) -> Result<Vec<CertificateRevocationListDer<'static>>, LoadError> {
    let bytes = files::read(place)?;
    if !is_pem(&bytes) {
        // Issuers publish them as DER.
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| bad(place, error))?;
    if found.is_empty() {
        return Err(LoadError::Nothing { place: place.clone(), wanted: "revocation list", hint: "" });
    }
    Ok(found)
}

/// The certificate with its key. rustls erases the bytes once aws-lc has taken them in.
fn identity(
    certificate: &Place,
    chain: Vec<CertificateDer<'static>>,
    place: &Place,
) -> Result<CertifiedKey, LoadError> {
    let bytes = files::read(place)?;
    let found = PrivateKeyDer::from_pem_slice(&bytes);
    let key = match found {
        Ok(key) => key,
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            let hint = if bytes.windows(9).any(|window| window == b"ENCRYPTED") {
                "; the key is behind a passphrase: take it off, and hand the file over as a systemd credential"
            } else {
                ""
            };
            return Err(LoadError::Nothing { place: place.clone(), wanted: "private key", hint });
        }
        Err(error) => return Err(bad(place, error)),
    };
    let signing = suites::provider().key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, signing.map_err(|error| bad(place, error))?);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(LoadError::Mismatch { certificate: certificate.clone(), key: place.clone() })
        }
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) | Ok(()) => Ok(certified),
        Err(error) => Err(bad(certificate, error)),
    }
}
