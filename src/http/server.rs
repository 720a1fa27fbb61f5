//! The web server: a listener whose connections are few, short and small, in clear or through TLS, until the end begins.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info};

use super::config::Config;
use crate::tls::Server;

/// Seconds that a handshake may take.
const HANDSHAKE_SECONDS: u64 = 10;
/// Seconds that requests in hand may take once the end has begun.
const CLOSE_SECONDS: u64 = 2;

/// Gives what callers are answered by at the moment; nothing where they are answered in clear.
pub type Secured = Arc<dyn Fn() -> Option<Server> + Send + Sync>;

/// A web server at work.
pub struct WebServer {
    /// Where it listens.
    pub address: SocketAddr,
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl WebServer {
    /// Listens at the address, and answers by this router.
    pub async fn open(
        address: SocketAddr,
        config: &Config,
        secured: Secured,
        router: Router,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        info!(%address, tls = config.tls, "the web server listens");
        let (ending, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let places = Arc::new(Semaphore::new(config.connections_max));
        let door = Door { config: config.clone(), secured, router, ended };
        tasks.spawn(keep(listener, door, places));
        Ok(Self { address, ending, tasks })
    }

    /// Takes no more calls, and ends those that are there.
    pub async fn close(mut self) {
        self.ending.send_replace(true);
        let _late = timeout(Duration::from_secs(CLOSE_SECONDS), async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
    }
}

#[derive(Clone)]
struct Door {
    config: Config,
    secured: Secured,
    router: Router,
    ended: watch::Receiver<bool>,
}

async fn keep(listener: TcpListener, mut door: Door, places: Arc<Semaphore>) {
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = door.ended.changed() => break,
            Some(_) = calls.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    calls.spawn(door.clone().take(stream, from, place));
                } else {
                    debug!(%from, "a connection to the web server is closed, there are connections_max");
                },
                Err(error) => {
                    error!(%error, "the web server can take no call now; trying again in a second");
                    sleep(Duration::from_secs(1)).await;
                }
            },
        }
    }
    while calls.join_next().await.is_some() {}
}

impl Door {
    async fn take(self, stream: TcpStream, from: SocketAddr, _place: OwnedSemaphorePermit) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(server) = (self.secured)() else { return self.serve(stream, from).await };
        match timeout(Duration::from_secs(HANDSHAKE_SECONDS), server.accept(stream)).await {
            Ok(Ok(connection)) => self.serve(connection, from).await,
            Ok(Err(refused)) => debug!(%from, error = %refused.error, "no TLS with a browser"),
            Err(_) => debug!(%from, "a TLS handshake with a browser took too long"),
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        stream: S,
        from: SocketAddr,
    ) {
        let router = self.router.layer(axum::Extension(ConnectInfo(from)));
        let service = TowerToHyperService::new(router);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(self.config.header_seconds))
            .max_buf_size(self.config.header_bytes_max)
            .max_headers(64);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            _ = self.ended.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%from, %error, "a connection to the web server ended badly");
        }
    }
}
