//! The labels of metrics: names of the configuration and fixed words, in a number that is limited.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Label sets that one metric tells apart; those beyond are counted together. Each costs some hundred bytes, in a histogram
/// some more, and stays until the process ends, whatever reloads bring.
pub const LABEL_SETS_MAX: usize = 1024;
/// What those beyond are called.
pub const OTHERS: &str = "others";

/// A set of labels.
pub trait Labels: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static {
    /// The set that stands for all that are not told apart.
    #[must_use]
    fn others(&self) -> Self;
}

macro_rules! label_sets {
    ($($(#[$about:meta])* $name:ident { $($name_key:ident),*; $($word_key:ident),* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name {
            $(
                /// A name of the configuration.
                pub $name_key: String,
            )*
            $(
                /// One of a few fixed words.
                pub $word_key: &'static str,
            )*
        }

        impl $name {
            /// With these values.
            #[must_use]
            pub fn of($($name_key: &str,)* $($word_key: &'static str),*) -> Self {
                Self { $($name_key: $name_key.to_owned(),)* $($word_key),* }
            }
        }

        impl Labels for $name {
            #[allow(clippy::needless_update, reason = "some have words, some have none")]
            fn others(&self) -> Self {
                Self { $($name_key: OTHERS.to_owned(),)* ..self.clone() }
            }
        }
    )*};
}

label_sets! {
    /// By peer.
    ByPeer { peer; }
    /// By peer and what came of it.
    PeerOutcome { peer; outcome }
    /// By peer, operation and what came of it.
    PeerOperation { peer; operation, outcome }
    /// By peer, route and what came of it.
    PeerRoute { peer, route; outcome }
    /// By route.
    ByRoute { route; }
    /// By destination.
    ByDestination { destination; }
    /// By destination and what came of it.
    DestinationOutcome { destination; outcome }
    /// By TLS profile and what came of it.
    ProfileOutcome { profile; outcome }
    /// By TLS profile and its key.
    ProfileKey { profile; key }
    /// By audit record repository.
    ByRepository { repository; }
    /// By generator and engine.
    ByEngine { generator, engine; }
}

/// By a fixed word: why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// The word.
    pub reason: &'static str,
}

/// By a fixed word: what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    /// The word.
    pub outcome: &'static str,
}

/// By suite.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySuite {
    /// Its name.
    pub suite: &'static str,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Build {
    /// The version of Sealgate.
    pub version: &'static str,
}

macro_rules! fixed {
    ($($name:ident),*) => {$(
        impl Labels for $name {
            fn others(&self) -> Self {
                self.clone()
            }
        }
    )*};
}

fixed!(ByReason, ByOutcome, BySuite, Build);

/// One metric for each set of labels, and no more of them than [`LABEL_SETS_MAX`].
#[derive(Debug)]
pub struct Each<S, M> {
    known: Arc<RwLock<HashMap<S, M>>>,
    make: fn() -> M,
}

impl<S, M> Clone for Each<S, M> {
    fn clone(&self) -> Self {
        Self { known: Arc::clone(&self.known), make: self.make }
    }
}

impl<S, M: Default> Default for Each<S, M> {
    fn default() -> Self {
        Self { known: Arc::default(), make: M::default }
    }
}

impl<S: Labels> Each<S, Counter> {
    /// Counts one more.
    pub fn count(&self, labels: &S) {
        self.with(labels, Counter::inc);
    }
}

impl<S: Labels> Each<S, Histogram> {
    /// Histograms, each made by `make`.
    pub(super) fn histograms(make: fn() -> Histogram) -> Self {
        Self { known: Arc::default(), make }
    }

    /// Notes how long something took.
    pub fn took(&self, labels: &S, time: Duration) {
        self.with(labels, |histogram| histogram.observe(time.as_secs_f64()));
    }
}

impl<S: Labels, M: Clone> Each<S, M> {
    /// Does something with the metric of these labels.
    pub fn with<T>(&self, labels: &S, deed: impl FnOnce(&M) -> T) -> T {
        let known = self.read();
        if let Some(metric) = known.get(labels) {
            return deed(metric);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_more = known.len() >= LABEL_SETS_MAX && !known.contains_key(labels);
        let labels = if is_more { labels.others() } else { labels.clone() };
        deed(known.entry(labels).or_insert_with(self.make))
    }

    /// The sum over all of them of what `of` says.
    pub fn sum(&self, of: impl Fn(&S, &M) -> u64) -> u64 {
        self.read().iter().map(|(labels, metric)| of(labels, metric)).sum()
    }

    /// Forgets all, before gauges are set anew: what is no more in the configuration is no more shown.
    pub(super) fn clear(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<S, M>> {
        // The map is whole between any two statements.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Labels, M: Clone + EncodeMetric + TypedMetric> EncodeMetric for Each<S, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.read().iter().try_for_each(|(labels, metric)| metric.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.read().is_empty()
    }
}

impl<S, M: TypedMetric> TypedMetric for Each<S, M> {
    const TYPE: MetricType = M::TYPE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_are_counted_together_and_cost_no_more_memory() {
        let each: Each<ByPeer, Counter> = Each::default();
        for number in 0..LABEL_SETS_MAX + 500 {
            each.count(&ByPeer::of(&format!("peer-{number}")));
        }
        assert_eq!(each.sum(|_, _| 1), LABEL_SETS_MAX as u64 + 1);
        let others = each.with(&ByPeer::of(OTHERS), Counter::get);
        assert_eq!(others, 500);
        assert_eq!(each.with(&ByPeer::of("peer-3"), Counter::get), 1);
    }
}
