//! Sends what is durable in the log to the repositories: syslog over TLS (RFC 5425) or UDP (RFC 5426).
//!
//! Each repository has a task and a place up to which it has everything, kept on the disk. RFC 5425 has no answer to a
//! message, so one counts as arrived when its connection has gone on for `audit.confirm_seconds` after it, longer than the
//! system lets unacknowledged bytes wait, or was closed in good order. What does not count yet is sent again: a repository
//! may get a message twice, and loses none while it takes what it is sent. UDP has no such knowledge: sent is sent.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::config::{Config, Repository, Transport};
use super::cursor::{Cursor, Message};
use super::file::write_sent;
use super::syslog::{framed, host_name};
use super::trail::{Shared, Trail};
use crate::tls::{Client, Connection};

/// How long a call, a write and a close may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a repository may take to close its side at our end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Gives the TLS client of a repository, as the configuration in force has it.
pub type Clients = Arc<dyn Fn(&Repository) -> Result<Client, String> + Send + Sync>;

/// The tasks that ship; what they have in hand they finish when it is closed.
pub struct Shipper {
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Shipper {
    /// Sends what is left where the repositories can be reached now, and ends.
    pub async fn close(mut self) {
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Begins to ship, a task for each repository.
#[must_use]
pub fn ship(trail: &Trail, clients: &Clients) -> Shipper {
    let (ending, ended) = watch::channel(false);
    let mut tasks = JoinSet::new();
    if let (Some((config, shared)), Some(durable)) = (trail.parts(), trail.durable()) {
        for repository in &config.repositories {
            let sent = shared.sent().get(&repository.name).copied().unwrap_or(0);
            let task = Task {
                config: config.clone(),
                shared: Arc::clone(shared),
                repository: repository.clone(),
                clients: Arc::clone(clients),
                durable: durable.clone(),
                ended: ended.clone(),
                host: host_name(),
                sent,
            };
            tasks.spawn(task.run());
        }
    }
    Shipper { ending, tasks }
}

/// One repository.
struct Task {
    config: Config,
    shared: Arc<Shared>,
    repository: Repository,
    clients: Clients,
    durable: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    host: String,
    /// The last record that it has.
    sent: u64,
}

impl Task {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            if !self.wait_for_news().await {
                return;
            }
            let before = self.sent;
            let result: Result<(), String> = match self.repository.transport {
                Transport::Tls => self.over_tls().await,
                Transport::Udp => self.over_udp().await,
            };
            let name = &self.repository.name;
            match result {
                Ok(()) => return,
                Err(problem) if *self.ended.borrow() => {
                    warn!(repository = name, %problem, "the repository will get the rest after the next start");
                    return;
                }
                Err(problem) => {
                    failures = if self.sent > before { 1 } else { failures.saturating_add(1) };
                    warn!(repository = name, %problem, failures, "the audit repository cannot be reached; messages wait");
                }
            }
            let doubled =
                self.config.retry_seconds_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
            let rest = Duration::from_secs(doubled.min(self.config.retry_seconds_max));
            tokio::select! {
                () = sleep(rest) => {}
                () = ends(&mut self.ended) => {}
            }
        }
    }

    /// False at the end, when nothing is left.
    async fn wait_for_news(&mut self) -> bool {
        let sent = self.sent;
        tokio::select! {
            biased;
            is_news = beyond(&mut self.durable, sent) => is_news,
            () = ends(&mut self.ended) => false,
        }
    }

    /// Sends until the connection breaks, which is an error, or the end has come and everything is there.
    async fn over_tls(&mut self) -> Result<(), String> {
        let client = (self.clients)(&self.repository)?;
        let connecting = connect(&client, &self.repository);
        let connection =
            timeout(PATIENCE, connecting).await.map_err(|_| "it does not answer".to_owned())??;
        let (reader, mut writer) = split(connection);
        info!(repository = self.repository.name, "connected to the audit repository");
        let mut heard = Hearing { reader, byte: [0; 64] };
        let mut cursor = Cursor::behind(&self.config.folder, self.sent);
        let mut flying: VecDeque<(u64, Instant)> = VecDeque::new();
        let confirm = Duration::from_secs(self.config.confirm_seconds);
        loop {
            let sent = self.send_batch(&mut cursor, &mut writer).await?;
            self.confirm(&mut flying, confirm)?;
            if let Some(number) = sent {
                flying.push_back((number, Instant::now()));
                continue;
            }
            if *self.ended.borrow() {
                return self.finish(&mut heard, &mut writer, cursor.last).await;
            }
            let last = cursor.last;
            let next = flying.front().map_or(confirm, |(_, at)| confirm.saturating_sub(at.elapsed()));
            tokio::select! {
                closed = heard.end() => return Err(closed),
                // Where nobody writes any more, the end is near.
                is_news = beyond(&mut self.durable, last) => if !is_news { sleep(CLOSE_PATIENCE / 50).await; },
                () = ends(&mut self.ended) => {}
                () = sleep(next) => {}
            }
        }
    }

    /// Sends what there is, up to some bytes; says the last record of it.
    async fn send_batch(
        &mut self,
        cursor: &mut Cursor,
        writer: &mut WriteHalf<Connection<TcpStream>>,
    ) -> Result<Option<u64>, String> {
        let messages = self.next(cursor).await?;
        if messages.is_empty() {
            return Ok(None);
        }
        let bytes: Vec<u8> =
            messages.iter().flat_map(|message| framed(&message.syslog(&self.host))).collect();
        let writing = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        let written = timeout(PATIENCE, writing).await;
        written.map_err(|_| "it takes no more".to_owned())?.map_err(|error| error.to_string())?;
        Ok(Some(cursor.last))
    }

    async fn next(&mut self, cursor: &mut Cursor) -> Result<Vec<Message>, String> {
        let durable = *self.durable.borrow_and_update();
        let mut moved = cursor.clone();
        let read = spawn_blocking(move || moved.batch(durable).map(|messages| (messages, moved))).await;
        let (messages, moved) =
            read.map_err(|_| "a task ended".to_owned())?.map_err(|error| format!("the log: {error}"))?;
        *cursor = moved;
        Ok(messages)
    }

    /// Keeps how far the repository is, by what has been on its way for long enough.
    fn confirm(&mut self, flying: &mut VecDeque<(u64, Instant)>, after: Duration) -> Result<(), String> {
        let mut arrived = None;
        while let Some((number, _)) = flying.front().filter(|(_, at)| at.elapsed() >= after) {
            arrived = Some(*number);
            flying.pop_front();
        }
        arrived.map_or(Ok(()), |number| self.keep(number))
    }

    fn keep(&mut self, number: u64) -> Result<(), String> {
        self.sent = number;
        self.shared.sent().insert(self.repository.name.clone(), number);
        let kept = write_sent(&self.config.folder, &self.repository.name, number);
        kept.map_err(|error| error.to_string())
    }

    /// Closes in good order: when the other side has closed too, it has read everything.
    async fn finish(
        &mut self,
        heard: &mut Hearing,
        writer: &mut WriteHalf<Connection<TcpStream>>,
        last: u64,
    ) -> Result<(), String> {
        let closing = async {
            writer.shutdown().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(heard.end().await)
        };
        match timeout(CLOSE_PATIENCE, closing).await {
            Ok(Ok(_)) => self.keep(last),
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err("it has not closed its side".to_owned()),
        }
    }

    async fn over_udp(&mut self) -> Result<(), String> {
        let found = lookup_host(&self.repository.address).await.map_err(|error| error.to_string())?;
        let target = found.into_iter().next().ok_or("its name has no address")?;
        let any = if target.is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let socket = UdpSocket::bind(any).await.map_err(|error| error.to_string())?;
        socket.connect(target).await.map_err(|error| error.to_string())?;
        let mut cursor = Cursor::behind(&self.config.folder, self.sent);
        loop {
            let messages = self.next(&mut cursor).await?;
            for message in &messages {
                socket.send(&message.syslog(&self.host)).await.map_err(|error| error.to_string())?;
            }
            if cursor.last > self.sent {
                self.keep(cursor.last)?;
            }
            if messages.is_empty() && (*self.ended.borrow() || !self.wait_for_news().await) {
                return Ok(());
            }
        }
    }
}

/// Returns when more than this is durable; false when nothing more will be.
async fn beyond(durable: &mut watch::Receiver<u64>, number: u64) -> bool {
    durable.wait_for(|durable| *durable > number).await.is_ok()
}

/// Returns when the end has come.
async fn ends(ended: &mut watch::Receiver<bool>) {
    drop(ended.wait_for(|ended| *ended).await);
}

/// What a repository says, which is nothing but that it closes.
struct Hearing {
    reader: ReadHalf<Connection<TcpStream>>,
    byte: [u8; 64],
}

impl Hearing {
    /// Returns when the connection is over, with why.
    async fn end(&mut self) -> String {
        loop {
            match self.reader.read(&mut self.byte).await {
                Ok(0) => return "it has closed the connection".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    }
}

async fn connect(client: &Client, repository: &Repository) -> Result<Connection<TcpStream>, String> {
    let stream = TcpStream::connect(&repository.address).await.map_err(|error| error.to_string())?;
    prepare(&stream).map_err(|error| error.to_string())?;
    client.connect(repository.host(), stream).await.map_err(|error| error.to_string())
}

/// Bytes that the other side does not acknowledge end the connection, before they would count as arrived.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let millis = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?;
    Ok(())
}
