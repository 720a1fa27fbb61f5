//! How the gateway is, told over a Unix socket in the spool's folder, which is the service's user's and root's alone.

use std::fs::{DirBuilder, remove_file};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::time::timeout;
use tracing::{debug, error};

use crate::http::{self, House, Unreadable};
use crate::telemetry::snapshot::Snapshot;

/// Seconds that an answer may take on either side.
const SECONDS: u64 = 10;
/// Largest answer that is read.
const BYTES_MAX: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error(
        "no gateway runs with the spool {}: start it (`sealgate serve`, `systemctl start sealgate`), or name its \
         configuration with --config. A gateway without routes tells nothing here", .0.display()
    )]
    NotRunning(PathBuf),
    /// It is another user's.
    #[error("{} is not for this user: run it as root, or as the service's user", .0.display())]
    NotAllowed(PathBuf),
    /// Something else.
    #[error("the gateway does not answer: {0}; try again, and see its log")]
    Io(io::Error),
}

/// Where it is told: beside the requests, in a folder of its own mode.
fn socket(spool: &Path) -> PathBuf {
    spool.join("requests").join("status.socket")
}

/// Tells everybody who connects, for as long as it is polled.
pub(super) async fn tell(spool: PathBuf, house: Arc<dyn House>) {
    let path = socket(&spool);
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(problem) => {
            error!(path = %path.display(), %problem, "`sealgate status` will hear nothing");
            return;
        }
    };
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let snapshot = http::snapshot(&house).await.unwrap_or_else(Unreadable::snapshot);
        let text = serde_json::to_vec(&snapshot).unwrap_or_default();
        let sent = timeout(Duration::from_secs(SECONDS), async {
            stream.write_all(&text).await?;
            stream.shutdown().await
        });
        if !matches!(sent.await, Ok(Ok(()))) {
            debug!("somebody asked for the status and did not listen");
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Of an earlier process: this one holds the lock of the spool.
    match remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Asks the gateway whose spool is in this folder.
pub fn ask(spool: &Path) -> Result<Snapshot, StatusError> {
    let path = socket(spool);
    let mut stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            StatusError::NotRunning(spool.to_owned())
        }
        io::ErrorKind::PermissionDenied => StatusError::NotAllowed(spool.to_owned()),
        _ => StatusError::Io(error),
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(SECONDS))).map_err(StatusError::Io)?;
    let mut text = Vec::new();
    stream.by_ref().take(BYTES_MAX).read_to_end(&mut text).map_err(StatusError::Io)?;
    serde_json::from_slice(&text).map_err(|error| StatusError::Io(error.into()))
}
