//! Where a PACS that only knows C-MOVE brings the images to: a listener that is there for the time of the probe.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::exchange::{Back, CAME_BYTES_MAX, Came, keep};
use crate::association::{self, Config, Error, Host, Message, Visit};
use crate::dicom::{AeTitle, Status, Uid};
use crate::tls::Server;

/// An open door, and what came to it; it closes when this is dropped.
pub struct Door {
    door: association::Door,
    back: Basket,
}

impl Door {
    /// Takes what is stored to `title` at this address, in clear, or through TLS where there is a `server`.
    pub async fn open(
        address: SocketAddr,
        server: Option<Server>,
        title: AeTitle,
        limits: Config,
    ) -> io::Result<Self> {
        let back = Basket::default();
        let door = association::Door::open(address, server, title, limits, back.clone()).await?;
        Ok(Self { door, back })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// What has come since this was asked last.
    pub(super) fn take(&self) -> Back {
        self.back.with(std::mem::take)
    }
}

/// Keeps what comes, whoever brings it: a PACS may call itself otherwise here than there.
#[derive(Clone, Default)]
struct Basket(Arc<Mutex<Back>>);

impl Basket {
    fn with<T>(&self, act: impl FnOnce(&mut Back) -> T) -> T {
        // An insertion is whole or not there.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host for Basket {
    fn expects(&self, _: &AeTitle) -> bool {
        true
    }

    async fn store(&self, visit: &mut Visit, message: &Message, instance: Uid) -> Result<Status, Error> {
        let mut data_set = Vec::new();
        while let Some(piece) = visit.next_data().await? {
            let room = CAME_BYTES_MAX.saturating_sub(data_set.len());
            data_set.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        }
        let transfer_syntax = message.context.transfer_syntax;
        self.with(|back| keep(back, instance, Came { transfer_syntax, data_set }));
        Ok(Status::SUCCESS)
    }
}
