//! How another node is reached: the connection under an association.

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::Failure;
use crate::association::Error;
use crate::dicom::AeAddress;

/// A connection of any kind.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection whose kind no longer matters.
pub type Wire = Box<dyn Duplex>;

/// The future that a [`Dialer`] returns.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Wire, Failure>> + Send + 'a>>;

/// Reaches other nodes. What secures a connection implements it, and says [`Failure::Tls`] where that fails.
pub trait Dialer: Send + Sync {
    /// Connects to `target`; it has so many seconds for everything before the association.
    fn dial<'a>(&'a self, target: &'a AeAddress, seconds: u64) -> Dialing<'a>;
}

/// Connections without TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dialer for Tcp {
    fn dial<'a>(&'a self, target: &'a AeAddress, seconds: u64) -> Dialing<'a> {
        Box::pin(async move {
            let slow = |_| Failure::TimedOut { what: "to reach the peer", seconds };
            let reached = TcpStream::connect((target.host.as_str(), target.port));
            let reached = timeout(Duration::from_secs(seconds), reached).await.map_err(slow)?;
            let stream = reached.map_err(Error::Io)?;
            // Or every message waits 40 ms for a delayed acknowledgement.
            stream.set_nodelay(true).map_err(Error::Io)?;
            Ok(Box::new(stream) as Wire)
        })
    }
}
