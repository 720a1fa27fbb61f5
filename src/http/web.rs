//! The router: which path leads where, and what every answer has in common.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::admin::{self, Office};
use super::config::Config;
use super::house::House;
use super::plain;
use crate::identity::IdentityError;
use crate::telemetry::metrics::{ByOutcome, metrics};

/// What pages are made of: nothing from elsewhere, nothing in a line, in no frame.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every request can use.
#[derive(Clone)]
pub(super) struct Web {
    pub(super) house: Arc<dyn House>,
    pub(super) config: Arc<Config>,
    /// Nothing where nobody may log in.
    pub(super) office: Option<Arc<Office>>,
}

/// Everything that can be asked for.
pub fn router(config: &Config, house: Arc<dyn House>) -> Result<Router, IdentityError> {
    let office = config.users.as_deref().map(|users| Office::open(users, config)).transpose()?.map(Arc::new);
    if let Some(office) = &office {
        office.watch(&house);
    }
    let web = Web { house, config: Arc::new(config.clone()), office };
    let machines = Router::new()
        .route("/metrics", get(plain::metrics))
        .route("/healthz", get(plain::healthz))
        .route("/readyz", get(plain::readyz));
    let all = if web.office.is_some() { machines.merge(admin::routes()) } else { machines };
    let all = all
        .layer(DefaultBodyLimit::max(config.body_bytes_max))
        .layer(from_fn_with_state(web.clone(), around))
        .with_state(web);
    Ok(all)
}

/// Around every request: a limit of time, headers that keep browsers from being too helpful, and a count.
async fn around(State(web): State<Web>, request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(web.config.request_seconds);
    let mut response = match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "this took too long, try again\n").into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        // With no-referrer, browsers say "null" for the origin of a form.
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    let outcome = match response.status().as_u16() {
        0..300 => "done",
        300..400 => "redirected",
        400..500 => "refused",
        _ => "failed",
    };
    metrics().process.requests.count(&ByOutcome { outcome });
    response
}
