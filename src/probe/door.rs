//! Where a PACS that only knows C-MOVE brings the images to: a listener that is there for the time of the probe.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::debug;

use super::exchange::{Back, CAME_BYTES_MAX, Came, keep};
use crate::association::{
    Acceptor, Admission, Association, Command, Config, Ending, Error, Gatekeeper, Knock, Message, Offer,
    Rejection, Roles, element, field,
};
use crate::dicom::{AeTitle, Status, Uid, VERIFICATION, is_storage};
use crate::tls::{Connection, Server};

/// An open door; it closes when this is dropped.
pub struct Door {
    address: SocketAddr,
    back: Arc<Mutex<Back>>,
    _listening: JoinSet<()>,
}

impl Door {
    /// Takes what is stored to `title` at this address, in clear, or through TLS where there is a `server`.
    pub async fn open(
        address: SocketAddr,
        server: Option<Server>,
        title: AeTitle,
        limits: Config,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (address, back) = (listener.local_addr()?, Arc::new(Mutex::new(Back::new())));
        let host = Host {
            acceptor: Acceptor::new(Arc::new(Gate(title)), Ending::never()),
            server,
            limits: Arc::new(limits),
            back: Arc::clone(&back),
        };
        let mut listening = JoinSet::new();
        listening.spawn(host.listen(listener));
        Ok(Self { address, back, _listening: listening })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come since this was asked last.
    pub(super) fn take(&self) -> Back {
        std::mem::take(&mut *lock(&self.back))
    }
}

fn lock(back: &Mutex<Back>) -> std::sync::MutexGuard<'_, Back> {
    // An insertion is whole or not there.
    back.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets in whoever calls us by the name that the PACS was told.
struct Gate(AeTitle);

impl Gatekeeper for Gate {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        if knock.called != self.0 {
            return Err(Rejection::CalledAeTitle);
        }
        Ok(Admission {
            peer: knock.calling.to_string().into(),
            associations_max: None,
            offer: Box::new(Storage),
            pass: Arc::new(()),
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
    back: Arc<Mutex<Back>>,
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
                debug!(%error, "an association with the probe's door failed");
                association.end(&error).await;
            }
        }
    }

    async fn serve(&self, association: &mut Association<Connection<TcpStream>>) -> Result<(), Error> {
        while let Some(message) = association.receive().await? {
            let mut data_set = Vec::new();
            while let Some(piece) = association.next_data().await? {
                let room = CAME_BYTES_MAX.saturating_sub(data_set.len());
                data_set.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
            }
            let status = self.take(&message, data_set);
            let response = Command::response_to(&message.command, status);
            association.send(message.context.id, &response).await?;
        }
        Ok(())
    }

    fn take(&self, message: &Message, data_set: Vec<u8>) -> Status {
        match message.command.field() {
            field::C_ECHO => Status::SUCCESS,
            field::C_STORE => {
                let uid = message.command.uid(element::AFFECTED_SOP_INSTANCE).and_then(Result::ok);
                let Some(instance) = uid else { return Status::INVALID_SOP_INSTANCE };
                let transfer_syntax = message.context.transfer_syntax;
                keep(&mut lock(&self.back), instance, Came { transfer_syntax, data_set });
                Status::SUCCESS
            }
            _ => Status::UNRECOGNIZED_OPERATION,
        }
    }
}
