//! Builds the rooms behind the doors: keys, spool, associations to the PACS, and the gateway that joins them.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use tracing::{error, info, warn};

use super::live::Live;
use super::serve::ServeError;
use crate::association::Error;
use crate::dicom::AeAddress;
use crate::flow::Gateway;
use crate::scu::{Dialer, Dialing, Failure, Pool, Wire};
use crate::seal::SystemEntropy;
use crate::settings::Settings;
use crate::spool::{Recovery, Spool};

/// Bytes of contents that are verified at once in the background.
const VERIFY_BYTES: u64 = 256 * 1024 * 1024;

/// Everything that storing needs; nothing where no route is configured.
pub(super) fn gateway(settings: &Settings, live: &Live) -> Result<Option<Arc<Gateway>>, ServeError> {
    if settings.routes.is_empty() {
        return Ok(None);
    }
    let archive = Arc::new(settings.keys.open_archive()?);
    let (spool, recovery) = Spool::open(&settings.spool)?;
    tell(&recovery);
    let scu = Arc::new(settings.scu.clone());
    let door = Arc::new(scu.limits(&settings.association));
    let pool = Pool::new(Arc::new(Dials(live.clone())), door, scu);
    let rules = live.clone();
    let rules = Box::new(move || Arc::clone(&rules.now().rules));
    let gateway =
        Gateway::new(archive, Arc::new(SystemEntropy), spool, pool, settings.forward.clone(), rules);
    Ok(Some(Arc::new(gateway)))
}

fn tell(recovery: &Recovery) {
    let Recovery { entries, bytes, drafts_removed, purged, damaged, .. } = recovery;
    info!(entries, bytes, drafts_removed, purged, journal = ?recovery.journal, "the spool is open");
    for damaged in damaged {
        error!(entry = %damaged.id, reason = damaged.reason, "an instance in the spool is damaged; it was set aside and must be sent again");
    }
    for name in &recovery.foreign {
        warn!(name, "the spool's folder has a file that is not the spool's");
    }
}

/// Verifies, in the background, what the start had no time for.
pub(super) async fn verify(gateway: Arc<Gateway>) {
    loop {
        let gateway = Arc::clone(&gateway);
        let verified = tokio::task::spawn_blocking(move || gateway.spool.verify(VERIFY_BYTES)).await;
        match verified {
            Ok(Ok(0)) | Err(_) => return,
            Ok(Ok(_)) => tokio::task::yield_now().await,
            Ok(Err(problem)) => {
                error!(error = %problem, "the spool cannot be verified");
                return;
            }
        }
    }
}

/// Connections as the configuration in force wants them: in clear, or through the TLS profile of the destination.
struct Dials(Live);

impl Dialer for Dials {
    fn dial<'a>(&'a self, target: &'a AeAddress, seconds: u64) -> Dialing<'a> {
        Box::pin(async move {
            let state = self.0.now();
            let destination = state.rules.destinations().iter().find(|known| known.address == *target);
            let profile = destination.and_then(|known| Some((known.tls.clone()?, known.server_name.clone())));
            let client = match profile {
                None => None,
                Some((profile, server_name)) => {
                    let client = state.tls.client(&profile, server_name.as_deref());
                    let client =
                        client.ok_or_else(|| Failure::Tls(format!("there is no TLS profile {profile:?}")))?;
                    Some(client.map_err(|error| Failure::Tls(error.to_string()))?)
                }
            };
            let reached = async {
                let stream =
                    TcpStream::connect((target.host.as_str(), target.port)).await.map_err(Error::Io)?;
                // Or every message waits 40 ms for a delayed acknowledgement.
                stream.set_nodelay(true).map_err(Error::Io)?;
                match client {
                    None => Ok(Box::new(stream) as Wire),
                    Some(client) => {
                        let secured = client.connect(&target.host, stream).await;
                        Ok(Box::new(secured.map_err(|error| Failure::Tls(error.to_string()))?) as Wire)
                    }
                }
            };
            let slow = |_| Failure::TimedOut { what: "to reach the peer", seconds };
            timeout(Duration::from_secs(seconds), reached).await.map_err(slow)?
        })
    }
}
