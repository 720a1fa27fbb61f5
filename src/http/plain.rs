//! What machines ask: `/metrics`, `/healthz` and `/readyz`. They name nobody but what the configuration names.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tracing::error;

use super::house::House;
use super::web::Web;
use crate::telemetry::metrics::{Form, encode};
use crate::telemetry::snapshot::Snapshot;

/// The gateway's state could not be read: it panicked on the way, or the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway's state cannot be read: see its log, and restart it if this goes on")]
pub struct Unreadable;

impl Unreadable {
    /// A snapshot for who shows one: not ready, an alarm, and nothing else, rather than numbers that nobody took.
    #[must_use]
    pub fn snapshot(self) -> Snapshot {
        let why = vec![self.to_string()];
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Snapshot { version, not_ready: why.clone(), alarms: why, ..Snapshot::default() }
    }
}

/// How the gateway is now; asked on a thread that may wait for a disk.
pub async fn snapshot(house: &Arc<dyn House>) -> Result<Snapshot, Unreadable> {
    let house = Arc::clone(house);
    tokio::task::spawn_blocking(move || house.snapshot()).await.map_err(|problem| {
        error!(%problem, "the gateway's state cannot be read, it says that it is not ready");
        Unreadable
    })
}

/// `/metrics`: in `OpenMetrics` for those who ask for it, else in Prometheus' older form.
pub(super) async fn metrics(State(web): State<Web>, headers: HeaderMap) -> Response {
    let form = Form::asked_for(headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default());
    let no_store = (CACHE_CONTROL, "no-store");
    match snapshot(&web.house).await {
        Ok(snapshot) => {
            ([(CONTENT_TYPE, form.content_type()), no_store], encode(&snapshot, form)).into_response()
        }
        // Gauges at zero would be a lie; to Prometheus a scrape that failed is a target that is down.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [no_store], format!("{error}\n")).into_response(),
    }
}

/// `/healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// `/readyz`: it takes what it is there for; if not, why.
pub(super) async fn readyz(State(web): State<Web>) -> Response {
    let snapshot = snapshot(&web.house).await.unwrap_or_else(Unreadable::snapshot);
    let no_store = [(CACHE_CONTROL, "no-store")];
    if snapshot.not_ready.is_empty() {
        return (no_store, "ready\n").into_response();
    }
    let reasons = format!("{}\n", snapshot.not_ready.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, no_store, reasons).into_response()
}
