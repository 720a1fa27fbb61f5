//! Puts a profile to use: as a server towards callers, as a client towards other nodes.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::buffered::Buffered;
use super::connection::{Connection, TlsConnection};
use super::error::HandshakeError;
use crate::telemetry::metrics::{ProfileOutcome, metrics};

/// RFC 8446 5.1: the record type that a TLS handshake begins with.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What a listener answers callers by.
#[derive(Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    profile: Arc<str>,
}

/// What another node is called by.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    profile: Arc<str>,
    server_name: Option<ServerName<'static>>,
}

/// No TLS connection, and why.
#[derive(Debug)]
pub struct Refused<S> {
    /// What was wrong.
    pub error: HandshakeError,
    /// The connection, to be closed in good order: with a reset the peer might lose the alert that it was sent. A
    /// peer that speaks DICOM without TLS can be answered over it.
    pub stream: S,
}

impl Server {
    pub(super) fn new(config: Arc<ServerConfig>, profile: Arc<str>) -> Self {
        Self { config, profile }
    }

    /// Takes a caller in. It has no limit of its own: the caller of this function sets one.
    pub async fn accept<S>(&self, stream: S) -> Result<Connection<S>, Refused<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let taken = self.take_in(stream).await;
        let outcome = if taken.is_ok() { "done" } else { "failed" };
        metrics().tls.handshakes.count(&ProfileOutcome::of(&self.profile, outcome));
        taken
    }

    async fn take_in<S>(&self, stream: S) -> Result<Connection<S>, Refused<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = Buffered::new(stream);
        let refused = match stream.first().await {
            Ok(Some(HANDSHAKE_RECORD)) => None,
            Ok(None) => Some(HandshakeError::Closed("")),
            // PS3.8 table 9-10 and on: the types of PDU there are.
            Ok(Some(1..=7)) => Some(HandshakeError::PlainDicom),
            Ok(Some(other)) => Some(HandshakeError::NotTls(other)),
            Err(error) => Some(HandshakeError::Failed(error.to_string())),
        };
        if let Some(error) = refused {
            return Err(Refused { error, stream: stream.into_inner() });
        }
        let accepting = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).into_fallible();
        let accepted = accepting.await.map_err(|(error, stream)| {
            let error = HandshakeError::from_io(&error, false);
            Refused { error, stream: stream.into_inner() }
        })?;
        let tls = TlsConnection::new(accepted.into());
        match check_dates(&tls) {
            Ok(()) => Ok(Connection::Tls(tls)),
            Err(error) => Err(Refused { error, stream: tls.into_inner() }),
        }
    }
}

impl Client {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        profile: Arc<str>,
        server_name: Option<&str>,
    ) -> Result<Self, HandshakeError> {
        let server_name = server_name.map(name_of).transpose()?;
        Ok(Self { config, profile, server_name })
    }

    /// Calls `host`, whose certificate has to be for `server_name` if one was set, else for `host`.
    pub async fn connect<S>(&self, host: &str, stream: S) -> Result<Connection<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => name_of(host)?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(name, Buffered::new(stream)).await;
        let connected = connected.map_err(|error| HandshakeError::from_io(&error, true))?;
        Ok(Connection::Tls(TlsConnection::new(connected.into())))
    }
}

fn name_of(text: &str) -> Result<ServerName<'static>, HandshakeError> {
    ServerName::try_from(text.to_owned()).map_err(|_| HandshakeError::BadName(text.to_owned()))
}

/// A resumed session shows the certificate of the handshake it goes back to, which may have expired since.
fn check_dates<S>(tls: &TlsConnection<S>) -> Result<(), HandshakeError> {
    let Some(facts) = tls.facts() else { return Ok(()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now > facts.not_after || now < facts.not_before {
        return Err(HandshakeError::Certificate("has expired since the session began".to_owned()));
    }
    Ok(())
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.profile)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.profile)
    }
}
