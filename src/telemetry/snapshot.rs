//! How the gateway is at one moment: what `sealgate status`, the gauges and the admin page show alike. It names no patient.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::metrics::{
    Build, ByDestination, ByEngine, ByRepository, Counter, Each, Labels, Level, Metrics, ProfileKey,
};

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The version of Sealgate.
    pub version: String,
    /// When this was seen, in milliseconds since 1970.
    pub now_unix_millis: u64,
    /// When the process began, in seconds since 1970.
    pub started_unix: u64,
    /// Why the gateway is not ready; nothing where it is.
    pub not_ready: Vec<String>,
    /// What somebody should look at, in words.
    pub alarms: Vec<String>,
    /// Where calls are taken.
    pub listeners: Vec<Listener>,
    /// Connections and associations that are there now.
    pub associations: u64,
    /// Who may call.
    pub peers: Vec<Peer>,
    /// Which instances go where.
    pub routes: Vec<Route>,
    /// The PACS.
    pub destinations: Vec<Destination>,
    /// What waits for them; nothing where there is neither a route nor a RIS.
    pub spool: Option<Spool>,
    /// The keys; nothing without a route.
    pub keys: Option<Keys>,
    /// The generator; nothing where none could be started.
    pub generator: Option<Generator>,
    /// Certificates and revocation lists in use, the first to end first.
    pub certificates: Vec<Certificate>,
    /// The audit trail; nothing where it is off.
    pub audit: Option<Audit>,
    /// Emergency accesses that are open.
    pub grants_open: u64,
    /// What was done since the start.
    pub totals: Totals,
    /// The process.
    pub process: Process,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listener {
    /// Address and port.
    pub address: String,
    /// Its TLS profile.
    pub tls: Option<String>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its AE title.
    pub title: String,
    /// What it may do.
    pub may: Vec<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Calling AE titles; none for all.
    pub calling: Vec<String>,
    /// Its destinations' names.
    pub destinations: Vec<String>,
    /// How it seals.
    pub suite: String,
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// AE title, host and port.
    pub address: String,
    /// Seconds for which nothing has got through to it; nothing while it works.
    pub down_seconds: Option<u64>,
    /// Instances that wait for it or are on their way.
    pub waiting: u64,
    /// Instances that were set aside.
    pub aside: u64,
    /// Age of the oldest that waits, in seconds.
    pub oldest_seconds: u64,
}

/// The spool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spool {
    /// Instances in it.
    pub entries: u64,
    /// Instances it may hold.
    pub entries_max: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes it may hold.
    pub bytes_max: u64,
    /// Bytes that its file system has free.
    pub free_bytes: u64,
    /// 0 takes everything, 1 refuses associations, 2 refuses stores.
    pub pressure: u8,
    /// Why it has stopped, if it has.
    pub failed: Option<String>,
}

/// The keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keys {
    /// Whether images can be opened here.
    pub unlocked: bool,
    /// Whom new content keys are wrapped for.
    pub recipients: Vec<String>,
    /// Why the key store takes nothing any more, if so.
    pub stopped: Option<String>,
}

/// The generator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Generator {
    /// Its id.
    pub generator: String,
    /// What runs it.
    pub engine: String,
    /// Digests that are ready.
    pub ready: u64,
    /// Digests that are kept ready.
    pub ready_max: u64,
    /// Key images made.
    pub made: u64,
    /// Keys that found none.
    pub missed: u64,
    /// Batches that failed.
    pub failures: u64,
    /// `failing` or `stuck`.
    pub alarm: Option<String>,
}

/// A certificate or revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Certificate {
    /// The TLS profile.
    pub profile: String,
    /// `certificate`, `ca` or `crls`.
    pub key: String,
    /// Whose.
    pub name: String,
    /// When it ends, in seconds since 1970.
    pub not_after_unix: u64,
}

/// The audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audit {
    /// Whether the disk takes it.
    pub recording: bool,
    /// Events that wait to be written.
    pub waiting: u64,
    /// Events lost since the start.
    pub lost: u64,
    /// The last record that is durable.
    pub durable: u64,
    /// Records that each repository does not have yet.
    pub behind: Vec<(String, u64)>,
}

/// What was done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Associations granted.
    pub associations: u64,
    /// Associations refused.
    pub associations_refused: u64,
    /// Instances taken in.
    pub stored: u64,
    /// Instances refused.
    pub store_refused: u64,
    /// Instances delivered.
    pub forwarded: u64,
    /// Deliveries set aside.
    pub set_aside: u64,
    /// Instances opened.
    pub opened: u64,
    /// Instances not released.
    pub not_opened: u64,
}

/// The process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// Bytes of memory.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl Totals {
    /// As the counters have them now.
    #[must_use]
    pub fn now(metrics: &Metrics) -> Self {
        let stores = |wanted: fn(&str) -> bool| {
            metrics
                .store
                .instances
                .sum(|labels, counter: &Counter| if wanted(labels.outcome) { counter.get() } else { 0 })
        };
        let forwards = |word: &str| {
            metrics
                .forward
                .instances
                .sum(|labels, counter| if labels.outcome == word { counter.get() } else { 0 })
        };
        let opens = |word: &str| {
            metrics
                .open
                .instances
                .sum(|labels, counter| if labels.outcome == word { counter.get() } else { 0 })
        };
        Self {
            associations: metrics.association.accepted.sum(|_, counter| counter.get()),
            associations_refused: metrics.association.refused.sum(|_, counter| counter.get()),
            stored: stores(|word| word == "new" || word == "repeated"),
            store_refused: stores(|word| word != "new" && word != "repeated"),
            forwarded: forwards("forwarded"),
            set_aside: forwards("aside"),
            opened: opens("opened"),
            not_opened: opens("failed"),
        }
    }
}

fn level(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn set<S: Labels>(each: &Each<S, Level>, labels: &S, value: u64) {
    each.with(labels, |gauge| gauge.set(level(value)));
}

impl Snapshot {
    /// Instances that wait for any destination.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.destinations.iter().map(|one| one.waiting).sum()
    }

    /// Instances that were set aside at any destination.
    #[must_use]
    pub fn aside(&self) -> u64 {
        self.destinations.iter().map(|one| one.aside).sum()
    }

    /// Sets the gauges of the metrics to what is seen here.
    pub(super) fn set_gauges(&self, metrics: &Metrics) {
        metrics.association.open.set(level(self.associations));
        self.set_spool(metrics);
        for one in &self.destinations {
            let labels = ByDestination::of(&one.name);
            set(&metrics.spool.waiting, &labels, one.waiting);
            set(&metrics.spool.aside, &labels, one.aside);
            set(&metrics.spool.oldest, &labels, one.oldest_seconds);
            set(&metrics.forward.up, &labels, u64::from(one.down_seconds.is_none()));
        }
        if let Some(generator) = &self.generator {
            generator.set_gauges(metrics);
        }
        for one in self.certificates.iter().rev() {
            // The first to end comes last, and stays.
            let key = match one.key.as_str() {
                "certificate" => "certificate",
                "ca" => "ca",
                _ => "crls",
            };
            set(&metrics.tls.not_after, &ProfileKey::of(&one.profile, key), one.not_after_unix);
        }
        if let Some(audit) = &self.audit {
            metrics.audit.recording.set(i64::from(audit.recording));
            metrics.audit.waiting.set(level(audit.waiting));
            for (repository, behind) in &audit.behind {
                set(&metrics.audit.behind, &ByRepository::of(repository), *behind);
            }
        }
        let process = &metrics.process;
        process.grants.set(level(self.grants_open));
        process.ready.set(i64::from(self.not_ready.is_empty()));
        set(&process.build, &Build { version: env!("CARGO_PKG_VERSION") }, 1);
        process.started.set(level(self.started_unix));
        process.resident.set(level(self.process.resident_bytes));
        process.descriptors.set(level(self.process.descriptors));
    }

    fn set_spool(&self, metrics: &Metrics) {
        let Some(spool) = &self.spool else { return };
        let gauges = &metrics.spool;
        gauges.entries.set(level(spool.entries));
        gauges.entries_max.set(level(spool.entries_max));
        gauges.bytes.set(level(spool.bytes));
        gauges.bytes_max.set(level(spool.bytes_max));
        gauges.free_bytes.set(level(spool.free_bytes));
        gauges.pressure.set(i64::from(spool.pressure));
        gauges.failed.set(i64::from(spool.failed.is_some()));
    }
}

impl Generator {
    fn set_gauges(&self, metrics: &Metrics) {
        let (generator, pool) = (self, &metrics.pool);
        pool.ready.set(level(generator.ready));
        pool.ready_max.set(level(generator.ready_max));
        // The pool counts for itself.
        pool.made.inner().store(generator.made, Ordering::Relaxed);
        pool.missed.inner().store(generator.missed, Ordering::Relaxed);
        metrics.engine.failures.inner().store(generator.failures, Ordering::Relaxed);
        pool.alarm.set(match generator.alarm.as_deref() {
            None => 0,
            Some("failing") => 1,
            Some(_) => 2,
        });
        set(&metrics.engine.info, &ByEngine::of(&generator.generator, &generator.engine), 1);
    }
}
