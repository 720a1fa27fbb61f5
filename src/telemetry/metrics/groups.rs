//! Every metric there is, by the part of the gateway that it is about: its name, its help and its type stand here alone.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    Build, ByDestination, ByEngine, ByOutcome, ByPeer, ByReason, ByRepository, ByRoute, BySuite,
    DestinationOutcome, Each, PeerOperation, PeerOutcome, PeerRoute, ProfileKey, ProfileOutcome,
};

/// Whole numbers that go up and down.
pub type Level = Gauge;

/// From half a millisecond, which is what a slice costs here, to ten minutes, which is when something hangs.
fn durations() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        600.0,
    ])
}

/// A struct of metrics that registers itself: `field: Type = make, "name", unit, "help"`.
macro_rules! group {
    ($(#[$about:meta])* $name:ident { $($field:ident: $type:ty = $make:expr, $metric:literal $(($unit:ident))?, $help:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name {
            $(
                #[doc = concat!($help, ".")]
                pub $field: $type,
            )*
        }

        impl $name {
            /// Each metric's name and type.
            pub(super) const NAMES: &[(&str, MetricType)] = &[
                $((concat!("sealgate_", $metric, group!(@unit $($unit)?)), <$type as TypedMetric>::TYPE),)*
            ];

            pub(super) fn new(registry: &mut Registry) -> Self {
                let group = Self { $($field: $make,)* };
                $(group!(@register registry, $metric, $help, group.$field.clone() $(, $unit)?);)*
                group
            }
        }
    };
    (@unit Seconds) => { "_seconds" };
    (@unit Bytes) => { "_bytes" };
    (@unit) => { "" };
    (@register $registry:ident, $metric:literal, $help:literal, $value:expr, $unit:ident) => {
        $registry.register_with_unit($metric, $help, Unit::$unit, $value);
    };
    (@register $registry:ident, $metric:literal, $help:literal, $value:expr) => {
        $registry.register($metric, $help, $value);
    };
}

group! {
    /// Associations.
    Association {
        accepted: Each<ByPeer, Counter> = Each::default(), "associations_accepted",
            "Associations that peers were granted";
        refused: Each<ByReason, Counter> = Each::default(), "associations_refused",
            "Associations that were refused or came to nothing, from whomever";
        open: Level = Level::default(), "associations_open",
            "Connections and associations that are there now";
    }
}

group! {
    /// C-STORE on the way in.
    Store {
        instances: Each<PeerRoute, Counter> = Each::default(), "store_instances",
            "Instances that peers offered, by what came of them; counted once they are durable or refused";
        bytes: Each<ByPeer, Counter> = Each::default(), "store_received" (Bytes),
            "Bytes of instances in the form in which they are kept";
        seconds: Each<ByRoute, Histogram> = Each::histograms(durations), "store_duration" (Seconds),
            "From the first byte of a data set until the instance is durable";
    }
}

group! {
    /// Sealing.
    Seal {
        instances: Each<BySuite, Counter> = Each::default(), "seal_instances",
            "Instances sealed";
        seconds: Each<BySuite, Histogram> = Each::histograms(durations), "seal_duration" (Seconds),
            "Time of the processor and the spool's writes for sealing one instance";
    }
}

group! {
    /// The spool.
    Spool {
        entries: Level = Level::default(), "spool_entries",
            "Instances in the spool";
        entries_max: Level = Level::default(), "spool_entries_max",
            "Instances that it may hold";
        bytes: Level = Level::default(), "spool_size" (Bytes),
            "Bytes of the instances in the spool";
        bytes_max: Level = Level::default(), "spool_size_max" (Bytes),
            "Bytes that it may hold";
        free_bytes: Level = Level::default(), "spool_disk_free" (Bytes),
            "Bytes that its file system has free";
        pressure: Level = Level::default(), "spool_pressure",
            "0 takes everything, 1 refuses associations, 2 refuses stores";
        failed: Level = Level::default(), "spool_failed",
            "1 after a failed fsync: the spool takes nothing until a restart";
        waiting: Each<ByDestination, Level> = Each::default(), "spool_waiting",
            "Instances that wait for a destination, or are on their way to it";
        aside: Each<ByDestination, Level> = Each::default(), "spool_set_aside",
            "Instances that a destination refused, and that wait for an operator";
        oldest: Each<ByDestination, Level> = Each::default(), "spool_oldest" (Seconds),
            "Age of the oldest instance that waits for a destination";
        commit_seconds: Histogram = durations(), "spool_commit_duration" (Seconds),
            "Time until instance, record and name are on the disk, with the key before them";
    }
}

group! {
    /// Forwarding.
    Forward {
        instances: Each<DestinationOutcome, Counter> = Each::default(), "forward_instances",
            "Deliveries tried, by what came of them; counted once that is durable";
        seconds: Each<ByDestination, Histogram> = Each::histograms(durations), "forward_duration" (Seconds),
            "Time until a destination answered for an instance that it has now";
        up: Each<ByDestination, Level> = Each::default(), "forward_destination_up",
            "0 while nothing gets through to a destination";
    }
}

group! {
    /// Queries and retrievals.
    Retrieve {
        requests: Each<PeerOperation, Counter> = Each::default(), "retrieve_requests",
            "Queries and retrievals that ended, by their final status";
        instances: Each<PeerOutcome, Counter> = Each::default(), "retrieve_instances",
            "Sub-operations of retrievals, by what came of them";
    }
}

group! {
    /// Opening.
    Open {
        instances: Each<PeerOutcome, Counter> = Each::default(), "open_instances",
            "Instances on their way out: opened, passed as they are, or failed; opened counts once the end has verified";
        seconds: Histogram = durations(), "open_duration" (Seconds),
            "From the first byte of a sealed instance until its end has verified";
    }
}

group! {
    /// Content keys and the key store.
    Keys {
        drawn: Each<ByReason, Counter> = Each::default(), "keys_drawn",
            "Content keys drawn; reason says whether a key image conditioned them (generator) or none was ready (system)";
        kept: Each<ByOutcome, Counter> = Each::default(), "keys_kept",
            "Wrapped keys given to the key store; counted once they are durable, or have failed";
        commit_seconds: Histogram = durations(), "keys_commit_duration" (Seconds),
            "Time until a wrapped key is durable in the key store";
        missing: Each<ByReason, Counter> = Each::default(), "keys_not_found",
            "Content keys that could not be had on opening";
    }
}

group! {
    /// Key images made ahead.
    Pool {
        ready: Level = Level::default(), "pool_ready",
            "Digests of key images that are ready";
        ready_max: Level = Level::default(), "pool_ready_max",
            "Digests that are kept ready";
        made: Counter = Counter::default(), "pool_made",
            "Key images made";
        missed: Counter = Counter::default(), "pool_missed",
            "Keys that found no digest ready, and rest on the operating system alone";
        alarm: Level = Level::default(), "pool_alarm",
            "0 works, 1 fails, 2 is stuck";
    }
}

group! {
    /// The engine behind the pool.
    Engine {
        info: Each<ByEngine, Level> = Each::default(), "engine_info",
            "1 for the generator and engine at work";
        batch_seconds: Histogram = durations(), "engine_batch_duration" (Seconds),
            "Time for one batch of key images";
        failures: Counter = Counter::default(), "engine_failures",
            "Batches that failed";
    }
}

group! {
    /// TLS.
    Tls {
        handshakes: Each<ProfileOutcome, Counter> = Each::default(), "tls_handshakes",
            "Handshakes with callers";
        not_after: Each<ProfileKey, Level> = Each::default(), "tls_not_after" (Seconds),
            "When the first certificate or revocation list of a profile ends, in seconds since 1970";
    }
}

group! {
    /// The audit trail.
    Audit {
        records: Counter = Counter::default(), "audit_records",
            "Records written to the audit trail and durable";
        lost: Counter = Counter::default(), "audit_lost",
            "Events that could not be recorded";
        recording: Level = Level::default(), "audit_recording",
            "1 while the disk takes the audit trail, 0 while it does not";
        waiting: Level = Level::default(), "audit_waiting",
            "Events that wait to be written";
        behind: Each<ByRepository, Level> = Each::default(), "audit_behind",
            "Records that a repository does not have yet";
        commit_seconds: Histogram = durations(), "audit_commit_duration" (Seconds),
            "Time for one sync of the audit trail";
    }
}

group! {
    /// The web server and the process.
    Process {
        requests: Each<ByOutcome, Counter> = Each::default(), "http_requests",
            "Requests that the web server answered, by class of status";
        logins: Each<ByOutcome, Counter> = Each::default(), "http_logins",
            "Logins to the admin page";
        grants: Level = Level::default(), "emergency_accesses_open",
            "Emergency accesses that are open";
        ready: Level = Level::default(), "ready",
            "1 while the gateway takes what it is there for";
        build: Each<Build, Level> = Each::default(), "build_info",
            "1, with the version as a label";
        started: Level = Level::default(), "process_start_time" (Seconds),
            "When the process began, in seconds since 1970";
        resident: Level = Level::default(), "process_resident_memory" (Bytes),
            "Memory of the process";
        descriptors: Level = Level::default(), "process_open_fds",
            "File descriptors that are open";
    }
}
