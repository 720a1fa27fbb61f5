//! The metrics as text: in `OpenMetrics` for those who ask for it, in Prometheus' own older form for all others.

use std::fmt::Write;

use super::metrics;
use crate::telemetry::snapshot::Snapshot;

/// In which form metrics are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

impl Form {
    /// The one that an Accept header asks for.
    #[must_use]
    pub fn asked_for(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its Content-Type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics as they are now, with the gauges as this snapshot has them.
#[must_use]
pub fn encode(snapshot: &Snapshot, form: Form) -> String {
    // Two who ask at once would clear each other's gauges.
    static ENCODING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let metrics = metrics();
    let _one_at_a_time = ENCODING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    metrics.forget_names();
    snapshot.set_gauges(metrics);
    let mut text = String::with_capacity(64 * 1024);
    prometheus_client::encoding::text::encode(&mut text, &metrics.registry)
        .expect("a string takes all that is written to it");
    match form {
        Form::OpenMetrics => text,
        Form::Prometheus => older(&text),
    }
}

/// In the older form a counter is called as its samples are, and there are neither units nor an end.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = line;
            continue;
        }
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let line = match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            Some((name, kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                let words = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
                let words = words.map_or("", |(_, words)| words);
                let _ = writeln!(older, "# HELP {name}{suffix} {words}");
                format!("# TYPE {name}{suffix} {kind}")
            }
            None => line.to_owned(),
        };
        let _ = writeln!(older, "{line}");
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_calls_counters_as_their_samples_are_called() {
        let text = "# HELP a_b Words of it.\n# TYPE a_b counter\na_b_total{x=\"y\"} 1\n\
            # HELP c_seconds How long.\n# TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 2\n# EOF\n";
        assert_eq!(
            older(text),
            "# HELP a_b_total Words of it.\n# TYPE a_b_total counter\na_b_total{x=\"y\"} 1\n\
            # HELP c_seconds How long.\n# TYPE c_seconds gauge\nc_seconds 2\n"
        );
    }
}
