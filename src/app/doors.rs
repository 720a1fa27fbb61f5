//! The doors: listeners that turn connections into served associations, until they are closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info};

use super::config::Listener;
use super::gate::Gate;
use super::live::Live;
use super::serve::ServeError;
use crate::association::{Acceptor, Ending, Slots};
use crate::flow::Gateway;
use crate::scp;
use crate::telemetry::snapshot;

/// Every open listener with what came in through it.
pub(super) struct Doors {
    addresses: Vec<SocketAddr>,
    slots: Slots,
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Doors {
    /// Binds every address, then takes calls on all of them; if one cannot be bound, on none.
    pub(super) async fn open(
        configured: &[Listener],
        live: &Live,
        gateway: Option<&Arc<Gateway>>,
    ) -> Result<Self, ServeError> {
        let mut listeners = Vec::new();
        for &Listener { address, .. } in configured {
            let bound = TcpListener::bind(address).await;
            listeners.push(bound.map_err(|error| ServeError::Listen { address, error })?);
        }
        let (ending, ended) = watch::channel(false);
        let ended = Ending::new(ended);
        let acceptor = Acceptor::new(Arc::new(Gate::new(live.clone(), gateway.cloned())), ended.clone());
        let mut doors =
            Self { addresses: Vec::new(), slots: acceptor.slots.clone(), ending, tasks: JoinSet::new() };
        for (index, (listener, configured)) in listeners.into_iter().zip(configured).enumerate() {
            let address =
                listener.local_addr().map_err(|error| ServeError::System { what: "an address", error })?;
            info!(%address, tls = configured.tls, "listening");
            doors.addresses.push(address);
            let door =
                Door { index, acceptor: acceptor.clone(), live: live.clone(), gateway: gateway.cloned() };
            doors.tasks.spawn(keep(listener, door, ended.clone()));
        }
        Ok(doors)
    }

    /// Where calls are taken, for people.
    pub(super) fn status(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("listening on {}", addresses.join(", "))
    }

    /// The same, one by one.
    pub(super) fn listeners(&self, configured: &[Listener]) -> Vec<snapshot::Listener> {
        let one = |(address, configured): (&SocketAddr, &Listener)| snapshot::Listener {
            address: address.to_string(),
            tls: configured.tls.clone(),
        };
        self.addresses.iter().zip(configured).map(one).collect()
    }

    /// Who is there.
    pub(super) fn slots(&self) -> Slots {
        self.slots.clone()
    }

    /// Associations that are there now.
    pub(super) fn associations(&self) -> usize {
        self.slots.total()
    }

    /// Takes no more calls, and returns when every association has ended.
    pub(super) async fn close(mut self) {
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What calls on one listener are taken in by.
#[derive(Clone)]
struct Door {
    /// Its place among the listeners at the start.
    index: usize,
    acceptor: Acceptor,
    live: Live,
    gateway: Option<Arc<Gateway>>,
}

/// Takes calls on one listener until the end begins, then waits for what came in.
async fn keep(listener: TcpListener, door: Door, mut ending: Ending) {
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = ending.begins() => break,
            // Finished calls are taken off the set, or it would grow for as long as the process runs.
            Some(_) = calls.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    calls.spawn(door.clone().take(stream, from));
                }
                Err(error) => rest_after(&error).await,
            },
        }
    }
    drop(listener);
    while calls.join_next().await.is_some() {}
}

impl Door {
    async fn take(self, stream: TcpStream, from: SocketAddr) {
        // Or every answer waits 40 ms for a delayed acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let state = self.live.now();
        let limits = Arc::clone(&state.limits);
        let tls = state.doors.get(self.index).and_then(|door| door.server.clone());
        drop(state);
        let association = match tls {
            Some(server) => self.acceptor.accept_tls(stream, &server, from, limits).await,
            None => self.acceptor.accept(stream, from, limits).await,
        };
        if let Some(association) = association {
            // In a box, so that who has not associated yet costs no more than the door.
            Box::pin(scp::serve(association, self.gateway)).await;
        }
    }
}

/// A connection that vanished before it was taken is nothing; no more descriptors is ours, and passes with time.
async fn rest_after(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    error!(%error, "no call can be taken now; trying again in a second");
    sleep(Duration::from_secs(1)).await;
}
