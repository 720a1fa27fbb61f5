//! Builds the rooms behind the doors: keys, spool, associations to the PACS, and the gateway that joins them.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::live::Live;
use super::serve::ServeError;
use crate::association;
use crate::audit::{Clients, Trail};
use crate::cipher::Layers;
use crate::dicom::AeAddress;
use crate::flow::commitment::Commitments;
use crate::flow::release::Release;
use crate::flow::{Gateway, Generators};
use crate::grants::GrantFile;
use crate::keys::Archive;
use crate::policy::Route;
use crate::scu::{Dialer, Dialing, Failure, Pool};
use crate::seal::Suite;
use crate::settings::Settings;
#[cfg(not(debug_assertions))]
use crate::spool::RealDisk;
use crate::spool::{Disk, Recovery, Spool};

/// Bytes of contents that are verified at once in the background.
const VERIFY_BYTES: u64 = 256 * 1024 * 1024;

/// Everything that storing needs; nothing where neither a route nor a RIS is configured. Worklists and procedure steps alone
/// need no keys.
pub(super) fn gateway(settings: &Settings, live: &Live) -> Result<Option<Arc<Gateway>>, ServeError> {
    let archive = match (settings.routes.is_empty(), settings.ris.is_empty()) {
        (true, true) => return Ok(None),
        (true, false) => Archive::none(),
        (false, _) => settings.keys.open_archive()?,
    };
    let archive = Arc::new(archive);
    let titles: Vec<String> = settings.titles.iter().map(ToString::to_string).collect();
    let trail = Trail::open(&settings.audit, &titles)?;
    let (spool, recovery) = Spool::open_on(disk(), &settings.spool)?;
    tell(&recovery);
    let scu = Arc::new(settings.scu.clone());
    let door = Arc::new(scu.limits(&settings.association));
    let pool = Pool::new(Arc::new(Dials(live.clone())), door, scu);
    let rules = live.clone();
    let rules = Box::new(move || Arc::clone(&rules.now().rules));
    let release = Release::new(settings.release.clone(), GrantFile::new(settings.grants.clone()));
    let forward = settings.forward.clone();
    let generators = Generators::start(&settings.keygen, archive.keyring());
    prepare(settings, &generators.layers);
    let gateway = Gateway::new(archive, generators, spool, pool, forward, rules, release);
    let commitments = Commitments::open(&settings.commitment, &settings.spool.folder)?;
    Ok(Some(Arc::new(gateway.with_commitments(commitments).with_trail(trail))))
}

/// What the spool is kept on. Tests have it fail.
#[cfg(debug_assertions)]
fn disk() -> Arc<dyn Disk> {
    super::failpoints::disk()
}

/// What the spool is kept on.
#[cfg(not(debug_assertions))]
fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Starts, beside everything else, what the suites of the routes need; one that cannot be had stops the other routes in
/// nothing.
fn prepare(settings: &Settings, layers: &Layers) {
    let suite = |route: &Route| Suite::from_name(&route.suite).and_then(Suite::inner);
    for (route, kind) in settings.routes.iter().filter_map(|route| Some((route.name.clone(), suite(route)?)))
    {
        let layers = layers.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(problem) = layers.prepare(kind) {
                error!(route, error = %problem, "the inner layer of a route cannot be made; what it takes is refused");
            }
        });
    }
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

/// How audit repositories are called, as the configuration in force has it.
pub(super) fn repositories(live: &Live) -> Clients {
    let live = live.clone();
    Arc::new(move |repository| {
        let profile = repository.tls.as_deref().unwrap_or_default();
        let client = live.now().tls.client(profile, repository.server_name.as_deref());
        let client = client.ok_or_else(|| format!("no tls profile {profile:?} can call it any more"))?;
        client.map_err(|error| error.to_string())
    })
}

/// Connections as the configuration in force wants them: in clear, or through the TLS profile of the destination.
struct Dials(Live);

impl Dialer for Dials {
    fn dial<'a>(&'a self, target: &'a AeAddress, limits: &'a association::Config) -> Dialing<'a> {
        Box::pin(async move {
            let way = self.0.now().ways.get(target).cloned();
            let way =
                way.ok_or_else(|| Failure::Tls(format!("no destination has the address {target} any more")))?;
            way.dial(target, limits).await
        })
    }
}
