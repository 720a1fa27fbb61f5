//! How another node is reached: the connection under an association.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::Failure;
use crate::association::{Config, Transport, reach};
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
    /// Connects to `target`, within these limits for everything before the association.
    fn dial<'a>(&'a self, target: &'a AeAddress, limits: &'a Config) -> Dialing<'a>;
}

impl Dialer for Transport {
    fn dial<'a>(&'a self, target: &'a AeAddress, limits: &'a Config) -> Dialing<'a> {
        Box::pin(async move { Ok(Box::new(reach(self, target, limits).await?) as Wire) })
    }
}

/// Connections without TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dialer for Tcp {
    fn dial<'a>(&'a self, target: &'a AeAddress, limits: &'a Config) -> Dialing<'a> {
        Transport::Plain.dial(target, limits)
    }
}

/// Reaches each node the way that is configured for it, and no other node. A reload gives it other ways.
#[derive(Debug, Default)]
pub struct Switchboard(RwLock<Arc<HashMap<AeAddress, Transport>>>);

impl Switchboard {
    /// What is to hold from now on. Connections that are there stay.
    pub fn replace(&self, ways: HashMap<AeAddress, Transport>) {
        // A panic elsewhere cannot leave the pointer half written.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ways);
    }
}

impl Dialer for Switchboard {
    fn dial<'a>(&'a self, target: &'a AeAddress, limits: &'a Config) -> Dialing<'a> {
        let ways = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            // Never in clear because nobody has said how: that would be a downgrade by a misspelling.
            let way = ways.get(target).ok_or_else(|| {
                Failure::Tls(format!("nothing says whether {target} is called in clear or through TLS"))
            })?;
            way.dial(target, limits).await
        })
    }
}
