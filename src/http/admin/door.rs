//! The door of the admin page: logging in and out, and who is behind a request.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Extension;
use axum::extract::{ConnectInfo, Form, FromRequestParts, State};
use axum::http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::session::Session;
use super::{Filled, page, texts, to_login};
use crate::custody::Role;
use crate::dicom::{Identity, IdentityKind};
use crate::http::house::Admin;
use crate::http::web::Web;
use crate::telemetry::metrics::{ByOutcome, metrics};

/// The cookie. Browsers take `Secure` for this machine's own addresses too, where there is no TLS.
const NAME: &str = "sealgate";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";
/// Bytes of a password.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Somebody who is logged in and has done something; everybody else is sent to the login.
pub(super) struct Entered(pub(super) Session);

/// Somebody whose page asks by itself.
pub(super) struct Watching;

impl FromRequestParts<Web> for Entered {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        find(&parts.headers, web, true).map(Self).ok_or_else(to_login)
    }
}

impl FromRequestParts<Web> for Watching {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        find(&parts.headers, web, false).map(|_| Self).ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())
    }
}

fn find(headers: &HeaderMap, web: &Web, by_hand: bool) -> Option<Session> {
    web.office.as_ref()?.sessions.find(secret(headers)?, by_hand, Instant::now())
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    })
}

/// Whether a form was sent from a page of this server, as far as the browser says: all of today do.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let host = text(HOST.as_str()).unwrap_or_default();
    let origin = text(ORIGIN.as_str())
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, named)| named == host));
    site && origin
}

/// The login page.
pub(super) async fn form(State(web): State<Web>, headers: HeaderMap) -> Response {
    if find(&headers, &web, true).is_some() {
        return Redirect::to("/").into_response();
    }
    show(StatusCode::OK, "", None)
}

fn show(status: StatusCode, name: &str, problem: Option<&str>) -> Response {
    let content = html! {
        @if let Some(problem) = problem { p.alarm role="alert" { (problem) } }
        form.fields method="post" action="/login" {
            label for="name" { (texts::USER) }
            input id="name" name="name" value=(name) required maxlength="64" autocomplete="username" autocapitalize="none" spellcheck="false";
            label for="password" { (texts::PASSWORD) }
            input id="password" name="password" type="password" required maxlength=(PASSWORD_BYTES_MAX) autocomplete="current-password";
            button type="submit" { (texts::LOG_IN) }
        }
    };
    (status, page::document(texts::LOG_IN, None, &content)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    name: String,
    password: Zeroizing<String>,
}

/// Logs somebody in, or says that it does not fit.
pub(super) async fn log_in(
    State(web): State<Web>,
    Extension(ConnectInfo(from)): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    let Some(office) = &web.office else { return StatusCode::NOT_FOUND.into_response() };
    if !is_own(&headers) {
        return page::refusal(StatusCode::FORBIDDEN, texts::LOG_IN, texts::FOREIGN);
    }
    let (from, now) = (from.ip(), Instant::now());
    let name: String = given.name.chars().filter(|c| !c.is_control()).take(64).collect();
    let refuse = |status, words: &str, outcome: &'static str| {
        metrics().process.logins.count(&ByOutcome { outcome });
        show(status, &name, Some(words))
    };
    if office.failures.is_closed(&name, from, now) {
        return refuse(StatusCode::TOO_MANY_REQUESTS, texts::TOO_MANY, "limited");
    }
    office.failures.count(&name, from, now);
    let identity = Identity {
        kind: IdentityKind::NameAndPasscode,
        primary: Zeroizing::new(name.as_bytes().to_vec()),
        secondary: Zeroizing::new(
            given.password.as_bytes().iter().copied().take(PASSWORD_BYTES_MAX).collect(),
        ),
        wants_answer: false,
    };
    let Ok(user) = office.verifier.verify(&identity).await else {
        web.house.logged_in(&name, from, Some("wrong name or password"));
        return refuse(StatusCode::UNAUTHORIZED, texts::WRONG, "wrong");
    };
    let roles: Vec<Role> = user.only.iter().flatten().filter_map(|word| Role::from_word(word).ok()).collect();
    if roles.is_empty() {
        web.house.logged_in(&name, from, Some("no role"));
        return refuse(StatusCode::FORBIDDEN, texts::NO_ROLE, "no-role");
    }
    office.failures.forget(&name, from);
    let admin = Admin { name: user.name, roles, address: from };
    let Some(secret) = office.sessions.begin(admin, Instant::now()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    web.house.logged_in(&name, from, None);
    metrics().process.logins.count(&ByOutcome { outcome: "done" });
    ([(SET_COOKIE, format!("{NAME}={secret}; {ATTRIBUTES}"))], Redirect::to("/")).into_response()
}

#[derive(Deserialize)]
pub(super) struct Leaving {
    token: String,
}

impl Filled for Leaving {
    fn token(&self) -> &str {
        &self.token
    }
}

/// Ends a session.
pub(super) async fn log_out(
    State(web): State<Web>,
    Entered(session): Entered,
    headers: HeaderMap,
    Form(form): Form<Leaving>,
) -> Response {
    if let Some(refusal) = super::refused(&session, &form, &Role::ALL) {
        return refusal;
    }
    if let (Some(office), Some(secret)) = (&web.office, secret(&headers)) {
        office.sessions.end(secret);
    }
    ([(SET_COOKIE, format!("{NAME}=; Max-Age=0; {ATTRIBUTES}"))], Redirect::to("/login")).into_response()
}
