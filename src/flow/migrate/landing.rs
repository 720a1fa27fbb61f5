//! The door that a C-MOVE of ours leads to: what comes is handed on piece by piece, and answered when it is dealt with.
//!
//! It takes nothing but what the archive sends that was just asked, one instance at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::debug;

use super::instance::Piece;
use crate::association::{
    Acceptor, Admission, Association, Command, Config, Ending, Error, Gatekeeper, Knock, Message, Offer,
    Rejection, Roles, element, field,
};
use crate::dicom::{AeTitle, Status, TransferSyntax, Uid, VERIFICATION, is_storage};
use crate::tls::{Connection, Server};

/// Pieces of an instance that wait to be taken.
const PIECES_MAX: usize = 16;

/// An open door; it closes when this is dropped.
pub struct Landing {
    address: SocketAddr,
    asked: Asked,
    parcels: Arc<tokio::sync::Mutex<mpsc::Receiver<Parcel>>>,
    _listening: JoinSet<()>,
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
        let listener = TcpListener::bind(address).await?;
        let (asked, (sender, receiver)) = (Asked::default(), mpsc::channel(1));
        let address = listener.local_addr()?;
        let gate = Gate { own: title, asked: Arc::clone(&asked) };
        let host = Host {
            acceptor: Acceptor::new(Arc::new(gate), Ending::never()),
            server,
            limits: Arc::new(limits),
            asked: Arc::clone(&asked),
            parcels: sender,
        };
        let mut listening = JoinSet::new();
        listening.spawn(host.listen(listener));
        Ok(Self { address, asked, parcels: Arc::new(receiver.into()), _listening: listening })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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

/// Lets in the archive that is asked, by the name that we asked it under.
struct Gate {
    own: AeTitle,
    asked: Asked,
}

impl Gatekeeper for Gate {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        if knock.called != self.own {
            return Err(Rejection::CalledAeTitle);
        }
        if lock(&self.asked).as_ref() != Some(&knock.calling) {
            return Err(Rejection::CallingAeTitle);
        }
        Ok(Admission {
            peer: knock.calling.to_string().into(),
            associations_max: None,
            offer: Box::new(Storage),
            pass: Arc::new(knock.calling.clone()),
        })
    }
}

/// Storing, and the echo that some nodes send before it.
struct Storage;

impl Offer for Storage {
    fn roles(&self, class: &Uid) -> Option<Roles> {
        (is_storage(class.as_str()) || class.as_str() == VERIFICATION).then_some(Roles::DEFAULT)
    }
}

#[derive(Clone)]
struct Host {
    acceptor: Acceptor,
    server: Option<Server>,
    limits: Arc<Config>,
    asked: Asked,
    parcels: mpsc::Sender<Parcel>,
}

impl Host {
    async fn listen(self, listener: TcpListener) {
        let mut calls = JoinSet::new();
        while let Ok((stream, from)) = listener.accept().await {
            calls.spawn(self.clone().answer(stream, from));
            while calls.try_join_next().is_some() {}
        }
    }

    async fn answer(self, stream: TcpStream, from: SocketAddr) {
        // Or every answer waits 40 ms for a delayed acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let limits = Arc::clone(&self.limits);
        let association = match &self.server {
            Some(server) => self.acceptor.accept_tls(stream, server, from, limits).await,
            None => self.acceptor.accept(stream, from, limits).await,
        };
        let Some(mut association) = association else { return };
        match self.serve(&mut association).await {
            Ok(()) => association.close().await,
            Err(error) => {
                debug!(%error, "an association with the door of a migration failed");
                association.end(&error).await;
            }
        }
    }

    async fn serve(&self, association: &mut Association<Connection<TcpStream>>) -> Result<(), Error> {
        while let Some(message) = association.receive().await? {
            let status = match message.command.field() {
                field::C_ECHO => Status::SUCCESS,
                field::C_STORE => self.store(association, &message).await?,
                _ => Status::UNRECOGNIZED_OPERATION,
            };
            let response = Command::response_to(&message.command, status);
            association.send(message.context.id, &response).await?;
        }
        Ok(())
    }

    /// Hands an instance on; reads it to its end whatever becomes of it.
    async fn store(
        &self,
        association: &mut Association<Connection<TcpStream>>,
        message: &Message,
    ) -> Result<Status, Error> {
        let uid = message.command.uid(element::AFFECTED_SOP_INSTANCE).and_then(Result::ok);
        let Some(instance) = uid else { return Ok(Status::INVALID_SOP_INSTANCE) };
        let calling = association.pass::<AeTitle>();
        let is_asked = calling.is_some_and(|calling| lock(&self.asked).as_ref() == Some(&*calling));
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
        while let Some(piece) = association.next_data().await? {
            // Whoever does not want it any more has the rest skipped.
            let _ = sender.send(Piece::Data(piece)).await;
        }
        let _ = sender.send(Piece::End).await;
        Ok(answered.await.unwrap_or(Status::PROCESSING_FAILURE))
    }
}
