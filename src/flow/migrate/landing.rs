//! The door that a C-MOVE of ours leads to: what comes is handed on piece by piece, and answered when it is dealt with.
//!
//! It takes nothing but what the archive sends that was just asked, one instance at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::instance::Piece;
use crate::association::{Config, Door, Error, Host, Message, Visit};
use crate::dicom::{AeTitle, Status, TransferSyntax, Uid};
use crate::tls::Server;

/// Pieces of an instance that wait to be taken.
const PIECES_MAX: usize = 16;

/// An open door; it closes when this is dropped.
pub struct Landing {
    door: Door,
    asked: Asked,
    parcels: Arc<tokio::sync::Mutex<mpsc::Receiver<Parcel>>>,
}

/// The AE title of the archive that was asked, while it is.
type Asked = Arc<Mutex<Option<AeTitle>>>;

/// An instance that comes in.
pub(super) struct Parcel {
    pub(super) class: Uid,
    pub(super) instance: Uid,
    pub(super) syntax: TransferSyntax,
    /// Its data set; without its end it was broken off.
    pub(super) pieces: mpsc::Receiver<Piece>,
    /// What its sender is answered; 0110H where this is dropped.
    pub(super) answer: oneshot::Sender<Status>,
}

/// What one archive sends, for as long as it is asked.
pub(super) struct Expecting {
    asked: Asked,
    parcels: OwnedMutexGuard<mpsc::Receiver<Parcel>>,
}

impl Landing {
    /// Takes what is stored to `title` at this address, in clear, or through TLS where there is a `server`.
    pub async fn open(
        address: SocketAddr,
        server: Option<Server>,
        title: AeTitle,
        limits: Config,
    ) -> io::Result<Self> {
        let (asked, (sender, receiver)) = (Asked::default(), mpsc::channel(1));
        let host = Receiving { asked: Arc::clone(&asked), parcels: sender };
        let door = Door::open(address, server, title, limits, host).await?;
        Ok(Self { door, asked, parcels: Arc::new(receiver.into()) })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// Opens it to this archive alone, until what is given back is dropped.
    pub(super) async fn expect(&self, archive: AeTitle) -> Expecting {
        let parcels = Arc::clone(&self.parcels).lock_owned().await;
        *lock(&self.asked) = Some(archive);
        Expecting { asked: Arc::clone(&self.asked), parcels }
    }
}

impl Expecting {
    /// The next instance. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Parcel> {
        self.parcels.recv().await
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        *lock(&self.asked) = None;
        // What came too late is answered as failed.
        while self.parcels.try_recv().is_ok() {}
    }
}

fn lock(asked: &Mutex<Option<AeTitle>>) -> MutexGuard<'_, Option<AeTitle>> {
    // It is replaced as a whole.
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands on what the archive brings that is asked.
#[derive(Clone)]
struct Receiving {
    asked: Asked,
    parcels: mpsc::Sender<Parcel>,
}

impl Host for Receiving {
    fn expects(&self, calling: &AeTitle) -> bool {
        lock(&self.asked).as_ref() == Some(calling)
    }

    /// Hands an instance on; reads it to its end whatever becomes of it.
    async fn store(&self, visit: &mut Visit, message: &Message, instance: Uid) -> Result<Status, Error> {
        // It may be another's turn since this archive came in.
        let is_asked = visit.pass::<AeTitle>().is_some_and(|calling| self.expects(&calling));
        if !is_asked {
            return Ok(Status::NOT_AUTHORIZED);
        }
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let (answer, answered) = oneshot::channel();
        let class = message.context.abstract_syntax.clone();
        let parcel = Parcel { class, instance, syntax: message.context.transfer_syntax, pieces, answer };
        if self.parcels.send(parcel).await.is_err() {
            return Ok(Status::PROCESSING_FAILURE);
        }
        while let Some(piece) = visit.next_data().await? {
            // Whoever does not want it any more has the rest skipped.
            let _ = sender.send(Piece::Data(piece)).await;
        }
        let _ = sender.send(Piece::End).await;
        Ok(answered.await.unwrap_or(Status::PROCESSING_FAILURE))
    }
}
