//! What machines ask: `/metrics`, `/healthz` and `/readyz`. They name nobody but what the configuration names.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::house::House;
use super::web::Web;
use crate::telemetry::metrics::{Form, encode};
use crate::telemetry::snapshot::Snapshot;

/// How the gateway is now; asked on a thread that may wait for a disk.
pub async fn snapshot(house: &Arc<dyn House>) -> Snapshot {
    let house = Arc::clone(house);
    tokio::task::spawn_blocking(move || house.snapshot()).await.unwrap_or_default()
}

/// `/metrics`: in `OpenMetrics` for those who ask for it, else in Prometheus' older form.
pub(super) async fn metrics(State(web): State<Web>, headers: HeaderMap) -> Response {
    let form = Form::asked_for(headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default());
    let snapshot = snapshot(&web.house).await;
    ([(CONTENT_TYPE, form.content_type()), (CACHE_CONTROL, "no-store")], encode(&snapshot, form))
        .into_response()
}

/// `/healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// `/readyz`: it takes what it is there for; if not, why.
pub(super) async fn readyz(State(web): State<Web>) -> Response {
    let snapshot = snapshot(&web.house).await;
    let no_store = [(CACHE_CONTROL, "no-store")];
    if snapshot.not_ready.is_empty() {
        return (no_store, "ready\n").into_response();
    }
    let reasons = format!("{}\n", snapshot.not_ready.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, no_store, reasons).into_response()
}
