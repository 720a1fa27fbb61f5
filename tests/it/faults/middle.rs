//! A node in the middle of a connection, which may stop passing anything on without a word to either side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// See the top of the file.
pub(crate) struct Middle {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

struct State {
    calls: AtomicUsize,
    /// Bytes of the caller after which one connection goes silent.
    silent_after: AtomicU64,
    /// Goes up when all connections go silent that are there.
    deaths: AtomicUsize,
    /// Whether what is said to a dead connection is answered with a reset, as a machine does that was started anew.
    resets: AtomicUsize,
}

impl Middle {
    /// One in front of this node.
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            calls: AtomicUsize::new(0),
            silent_after: AtomicU64::new(u64::MAX),
            deaths: AtomicUsize::new(0),
            resets: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                shared.calls.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Ok(called) = TcpStream::connect(target).await {
                        pass_on(caller, called, &state).await;
                    }
                });
            }
        });
        Self { address, state, listening }
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// The next connection goes silent once the caller has sent so many bytes.
    pub(crate) fn go_silent_after(&self, bytes: u64) {
        self.state.silent_after.store(bytes, Ordering::SeqCst);
    }

    /// Whether a connection has gone silent since that was asked for.
    pub(crate) fn is_silent(&self) -> bool {
        self.state.silent_after.load(Ordering::SeqCst) == u64::MAX
    }

    /// All connections that are there are dead from now on, and neither end hears of it.
    pub(crate) fn die(&self, resets: bool) {
        self.state.resets.store(usize::from(resets), Ordering::SeqCst);
        self.state.deaths.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn pass_on(mut caller: TcpStream, mut called: TcpStream, state: &State) {
    let born = state.deaths.load(Ordering::SeqCst);
    let (mut there, mut back) = (vec![0; 16_384], vec![0; 16_384]);
    let mut sent = 0_u64;
    loop {
        let (ended, bytes, is_back) = tokio::select! {
            read = caller.read(&mut there) => (read.is_err(), read.unwrap_or(0), false),
            read = called.read(&mut back) => (read.is_err(), read.unwrap_or(0), true),
        };
        if state.deaths.load(Ordering::SeqCst) > born {
            if state.resets.load(Ordering::SeqCst) == 1 {
                caller.set_zero_linger().unwrap();
                return;
            }
            return silence(caller, called).await;
        }
        if ended || bytes == 0 {
            return;
        }
        let passed = if is_back {
            caller.write_all(&back[..bytes]).await
        } else {
            sent += bytes as u64;
            if sent > state.silent_after.load(Ordering::SeqCst) {
                // One connection alone.
                state.silent_after.store(u64::MAX, Ordering::SeqCst);
                return silence(caller, called).await;
            }
            called.write_all(&there[..bytes]).await
        };
        if passed.is_err() {
            return;
        }
    }
}

/// Both ends stay open, and hear nothing more.
async fn silence(_caller: TcpStream, _called: TcpStream) {
    std::future::pending::<()>().await;
}
