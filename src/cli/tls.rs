//! The flags by which commands call other nodes through TLS.

use clap::Args;

use crate::association::Transport;
use crate::tls::{HandshakeError, LoadError, Place, Profile, Profiles};

/// How to call another node through TLS; without `--tls-ca` it is called in clear.
#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// Call through TLS; the other node's certificate has to come from a CA in this PEM file
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<Place>,
    /// Certificate to show, a PEM file
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    tls_certificate: Option<Place>,
    /// Its private key, a PEM file or credential:NAME
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<Place>,
    /// Revocation list, PEM or DER; may be given more than once
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_crl: Vec<Place>,
    /// Name that the other node's certificate has to be for, if not the host called
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_server_name: Option<String>,
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
        let Some(ca) = &self.tls_ca else { return Ok(Transport::Plain) };
        let name = "flags";
        let profile = Profile {
            name: name.to_owned(),
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
            ca: Some(ca.clone()),
            crls: self.tls_crl.clone(),
        };
        let profiles = Profiles::load(&[profile], &Profiles::default())?;
        let client = profiles.client(name, self.tls_server_name.as_deref());
        Ok(Transport::Tls(client.expect("a profile with a CA makes a client")?))
    }
}
