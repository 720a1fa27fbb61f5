//! The flags by which commands call other nodes through TLS.

use clap::Args;

use crate::association::Transport;
use crate::tls::{HandshakeError, LoadError, Place, Profile, Profiles};

/// How to call another node through TLS; without `--tls-ca` it is called in clear.
#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// Call through TLS; the other node's certificate has to come from a CA in this PEM file
    #[arg(long = "tls-ca", id = "tls_ca", value_name = "FILE")]
    ca: Option<Place>,
    /// Certificate to show, a PEM file
    #[arg(long = "tls-certificate", id = "tls_certificate", value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    certificate: Option<Place>,
    /// Its private key, a PEM file or credential:NAME
    #[arg(long = "tls-key", id = "tls_key", value_name = "FILE", requires = "tls_certificate")]
    key: Option<Place>,
    /// Revocation list, PEM or DER; may be given more than once
    #[arg(long = "tls-crl", id = "tls_crl", value_name = "FILE", requires = "tls_ca")]
    crl: Vec<Place>,
    /// Name that the other node's certificate has to be for, if not the host called
    #[arg(long = "tls-server-name", id = "tls_server_name", value_name = "NAME", requires = "tls_ca")]
    server_name: Option<String>,
}

/// Why the flags make no transport.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsArgsError {
    /// A file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The name.
    #[error(transparent)]
    Name(#[from] HandshakeError),
}

impl TlsArgs {
    /// What the flags ask for.
    pub(super) fn transport(&self) -> Result<Transport, TlsArgsError> {
        let Some(ca) = &self.ca else { return Ok(Transport::Plain) };
        let name = "flags";
        let profile = Profile {
            name: name.to_owned(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            ca: Some(ca.clone()),
            crls: self.crl.clone(),
        };
        let profiles = Profiles::load(&[profile], &Profiles::default())?;
        let client = profiles.client(name, self.server_name.as_deref());
        Ok(Transport::Tls(client.expect("a profile with a CA makes a client")?))
    }
}
