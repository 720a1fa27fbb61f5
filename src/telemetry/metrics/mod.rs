//! Metrics in Prometheus' format: one place that names them all, atomics that anybody may count on at any time.
//!
//! Whoever counts does it after the fact: when a thing is durable, verified or refused. Labels are names of the
//! configuration and fixed words; a metric cannot say anything of a patient.

mod groups;
mod labels;
mod text;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use prometheus_client::metrics::MetricType;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use groups::{
    Association, Audit, Engine, Forward, Keys, Level, Open, Pool, Process, Retrieve, Seal, Spool, Store, Tls,
};
pub use labels::{
    Build, ByDestination, ByEngine, ByOutcome, ByPeer, ByReason, ByRepository, ByRoute, BySuite,
    DestinationOutcome, Each, LABEL_SETS_MAX, Labels, OTHERS, PeerOperation, PeerOutcome, PeerRoute,
    ProfileKey, ProfileOutcome,
};
pub use text::{Form, encode};

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// Associations.
    pub association: Association,
    /// C-STORE on the way in.
    pub store: Store,
    /// Sealing.
    pub seal: Seal,
    /// The spool.
    pub spool: Spool,
    /// Forwarding.
    pub forward: Forward,
    /// Queries and retrievals.
    pub retrieve: Retrieve,
    /// Opening.
    pub open: Open,
    /// Content keys and the key store.
    pub keys: Keys,
    /// Key images made ahead.
    pub pool: Pool,
    /// The engine behind the pool.
    pub engine: Engine,
    /// TLS.
    pub tls: Tls,
    /// The audit trail.
    pub audit: Audit,
    /// The web server and the process.
    pub process: Process,
    registry: Registry,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("sealgate");
        Self {
            association: Association::new(&mut registry),
            store: Store::new(&mut registry),
            seal: Seal::new(&mut registry),
            spool: Spool::new(&mut registry),
            forward: Forward::new(&mut registry),
            retrieve: Retrieve::new(&mut registry),
            open: Open::new(&mut registry),
            keys: Keys::new(&mut registry),
            pool: Pool::new(&mut registry),
            engine: Engine::new(&mut registry),
            tls: Tls::new(&mut registry),
            audit: Audit::new(&mut registry),
            process: Process::new(&mut registry),
            registry,
        }
    }

    /// Forgets what gauges said by name, before they are set anew.
    fn forget_names(&self) {
        self.spool.waiting.clear();
        self.spool.aside.clear();
        self.spool.oldest.clear();
        self.forward.up.clear();
        self.tls.not_after.clear();
        self.audit.behind.clear();
        self.engine.info.clear();
    }
}

/// The names of all samples that there can be, as rules and dashboards use them.
#[must_use]
pub fn sample_names() -> BTreeSet<String> {
    let groups = [
        Association::NAMES,
        Store::NAMES,
        Seal::NAMES,
        Spool::NAMES,
        Forward::NAMES,
        Retrieve::NAMES,
        Open::NAMES,
        Keys::NAMES,
        Pool::NAMES,
        Engine::NAMES,
        Tls::NAMES,
        Audit::NAMES,
        Process::NAMES,
    ];
    let samples = |(name, kind): &(&str, MetricType)| -> Vec<String> {
        let suffixes: &[&str] = match kind {
            MetricType::Counter => &["_total"],
            MetricType::Histogram => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
    };
    groups.into_iter().flatten().flat_map(samples).collect()
}

/// The metrics of this process. Like the log there is one set of them, whoever counts.
#[must_use]
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}
