//! A small door of our own, for the time that somebody brings what we asked for: it takes stores and echoes, nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::debug;

use super::acceptor::Acceptor;
use super::codes::Rejection;
use super::command::{Command, element, field};
use super::config::Config;
use super::ending::Ending;
use super::error::Error;
use super::established::{Association, Message};
use super::negotiate::{Admission, Gatekeeper, Knock, Offer, Roles};
use crate::dicom::{AeTitle, Status, Uid, VERIFICATION, is_storage};
use crate::tls::{Connection, Server};

/// An association with a visitor of a door.
pub type Visit = Association<Connection<TcpStream>>;

/// Who is let in by a door, and what becomes of what they bring.
pub trait Host: Clone + Send + Sync + 'static {
    /// Whether whoever calls by this title may come in.
    fn expects(&self, calling: &AeTitle) -> bool;

    /// Takes an instance, whose data set is read from `visit`; what is left of it is skipped.
    fn store(
        &self,
        visit: &mut Visit,
        message: &Message,
        instance: Uid,
    ) -> impl Future<Output = Result<Status, Error>> + Send;
}

/// An open door; it closes when this is dropped.
pub struct Door {
    address: SocketAddr,
    _listening: JoinSet<()>,
}

impl Door {
    /// Takes what is stored to `title` at this address, in clear, or through TLS where there is a `server`.
    pub async fn open(
        address: SocketAddr,
        server: Option<Server>,
        title: AeTitle,
        limits: Config,
        host: impl Host,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let gate = Gate { own: title, host: host.clone() };
        let hall = Hall {
            acceptor: Acceptor::new(Arc::new(gate), Ending::never()),
            server,
            limits: Arc::new(limits),
            host,
        };
        let mut listening = JoinSet::new();
        listening.spawn(hall.listen(listener));
        Ok(Self { address, _listening: listening })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Lets in whom the host expects, by the name that they were told.
struct Gate<H> {
    own: AeTitle,
    host: H,
}

impl<H: Host> Gatekeeper for Gate<H> {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        if knock.called != self.own {
            return Err(Rejection::CalledAeTitle);
        }
        if !self.host.expects(&knock.calling) {
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
struct Hall<H> {
    acceptor: Acceptor,
    server: Option<Server>,
    limits: Arc<Config>,
    host: H,
}

impl<H: Host> Hall<H> {
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
        let visit = match &self.server {
            Some(server) => self.acceptor.accept_tls(stream, server, from, limits).await,
            None => self.acceptor.accept(stream, from, limits).await,
        };
        let Some(mut visit) = visit else { return };
        match self.serve(&mut visit).await {
            Ok(()) => visit.close().await,
            Err(error) => {
                debug!(%error, "an association with a door of our own failed");
                visit.end(&error).await;
            }
        }
    }

    async fn serve(&self, visit: &mut Visit) -> Result<(), Error> {
        while let Some(message) = visit.receive().await? {
            let status = match message.command.field() {
                field::C_ECHO => Status::SUCCESS,
                field::C_STORE => self.store(visit, &message).await?,
                _ => Status::UNRECOGNIZED_OPERATION,
            };
            while visit.next_data().await?.is_some() {}
            let response = Command::response_to(&message.command, status);
            visit.send(message.context.id, &response).await?;
        }
        Ok(())
    }

    async fn store(&self, visit: &mut Visit, message: &Message) -> Result<Status, Error> {
        match message.command.uid(element::AFFECTED_SOP_INSTANCE).and_then(Result::ok) {
            Some(instance) => self.host.store(visit, message, instance).await,
            None => Ok(Status::INVALID_SOP_INSTANCE),
        }
    }
}
