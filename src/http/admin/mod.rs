//! The admin page: who may see it, which page is where, and what its forms do. All it knows comes through `House`.

mod door;
mod lists;
mod map;
mod overview;
mod page;
mod ring;
mod session;
mod texts;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_FRAME_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use maud::html;
use serde::Deserialize;

use self::door::{Entered, Watching};
use self::ring::Ring;
use self::session::{Failures, Session, Sessions};
use super::config::Config;
use super::house::{Admin, House, Sample, Wanted};
use super::plain::{Unreadable, snapshot};
use super::web::{POLICY, Web};
use crate::custody::Role;
use crate::dicom::Uid;
use crate::identity::{self, IdentityError, Verifier};

/// Instances of the queue, and records, on one page.
const SHOWN_MAX: usize = 100;
/// Largest report that is shown.
const REPORT_BYTES_MAX: u64 = 16 << 20;
/// A report brings its styles and pictures in itself, and runs nothing.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'; base-uri 'none'";

/// What the admin page works with.
pub(super) struct Office {
    verifier: Verifier,
    sessions: Sessions,
    failures: Failures,
    ring: Arc<Ring>,
    sample: std::sync::OnceLock<Sample>,
}

impl Office {
    /// Reads the users file; everybody in it has to have a role.
    pub(super) fn open(users: &Path, config: &Config) -> Result<Self, IdentityError> {
        let identity = identity::Config { users: Some(users.to_owned()), ..identity::Config::default() };
        let verifier = Verifier::load(&identity)?;
        for (user, word) in verifier.limits() {
            Role::from_word(word)
                .map_err(|error| IdentityError::Config(format!("user {user} in http.users: {error}")))?;
        }
        Ok(Self {
            verifier,
            sessions: Sessions::new(config.session_minutes),
            failures: Failures::default(),
            ring: Arc::default(),
            sample: std::sync::OnceLock::new(),
        })
    }

    /// Begins to look how the gateway goes, for as long as the office is there.
    pub(super) fn watch(&self, house: &Arc<dyn House>) {
        tokio::spawn(ring::fill(Arc::downgrade(&self.ring), Arc::clone(house)));
    }
}

/// The paths of the admin page.
pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/", get(overview))
        .route("/live", get(live))
        .route("/routes", get(map))
        .route("/queue", get(queue))
        .route("/queue/retry", post(retry))
        .route("/studies", get(studies))
        .route("/emergency", get(emergencies))
        .route("/emergency/open", post(open_emergency))
        .route("/emergency/end", post(end_emergency))
        .route("/audit", get(audit))
        .route("/sample", get(sample))
        .route("/sample/before.png", get(before))
        .route("/sample/after.png", get(after))
        .route("/report", get(report))
        .route("/report/document", get(report_document))
        .route("/login", get(door::form).post(door::log_in))
        .route("/logout", post(door::log_out))
        .route("/static/style.css", asset("text/css; charset=utf-8", include_str!("style.css")))
        .route("/static/script.js", asset("text/javascript; charset=utf-8", include_str!("script.js")))
        .route("/static/icon.svg", asset("image/svg+xml", include_str!("icon.svg")))
}

fn asset(kind: &'static str, text: &'static str) -> MethodRouter<Web> {
    get(([(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")], text))
}

/// Asks the house on a thread that may wait for a disk.
async fn ask<T: Send + 'static>(
    web: &Web,
    question: impl FnOnce(&dyn House) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let house = Arc::clone(&web.house);
    let asked = tokio::task::spawn_blocking(move || question(&*house)).await;
    asked.unwrap_or_else(|_| Err("the gateway could not answer".to_owned()))
}

async fn overview(State(web): State<Web>, Entered(session): Entered) -> Response {
    let snapshot = snapshot(&web.house).await.unwrap_or_else(Unreadable::snapshot);
    let Some(office) = &web.office else { return StatusCode::NOT_FOUND.into_response() };
    let content = html! { div data-live="/live" { (overview::live(&snapshot, &office.ring)) } };
    page::page(&session, "/", texts::OVERVIEW, &content)
}

/// The part of the overview that the script fetches again.
async fn live(State(web): State<Web>, _: Watching) -> Response {
    let snapshot = snapshot(&web.house).await.unwrap_or_else(Unreadable::snapshot);
    let Some(office) = &web.office else { return StatusCode::NOT_FOUND.into_response() };
    page::part(&overview::live(&snapshot, &office.ring))
}

async fn map(State(web): State<Web>, Entered(session): Entered) -> Response {
    let content = match snapshot(&web.house).await {
        Ok(snapshot) => map::map(&snapshot),
        Err(problem) => html! { p.alarm role="alert" { (problem) } },
    };
    page::page(&session, "/routes", texts::ROUTES, &content)
}

async fn queue(State(web): State<Web>, Entered(session): Entered) -> Response {
    show_queue(&web, &session, None).await
}

async fn show_queue(web: &Web, session: &Session, done: Option<Result<String, String>>) -> Response {
    let queued = ask(web, |house| Ok(house.queue(SHOWN_MAX))).await;
    let content = html! {
        (page::notice(done.as_ref()))
        @match &queued {
            Ok(queued) => (lists::queue(session, queued, SHOWN_MAX)),
            Err(problem) => p.alarm role="alert" { (problem) },
        }
    };
    page::page(session, "/queue", texts::QUEUE, &content)
}

/// What every form has.
trait Filled {
    fn token(&self) -> &str;
}

macro_rules! filled {
    ($($form:ident),*) => {$(
        impl Filled for $form {
            fn token(&self) -> &str {
                &self.token
            }
        }
    )*};
}

#[derive(Deserialize)]
struct Retry {
    token: String,
    entry: Option<String>,
}

#[derive(Deserialize)]
struct Opening {
    token: String,
    peer: String,
    minutes: u64,
    reason: String,
}

#[derive(Deserialize)]
struct Ending {
    token: String,
    id: String,
}

filled!(Retry, Opening, Ending);

/// Nothing where a form came from one of our pages, and from somebody who may; the refusal if not.
fn refused(session: &Session, form: &impl Filled, roles: &[Role]) -> Option<Response> {
    if !session.fits(form.token()) {
        return Some(page::refusal(StatusCode::FORBIDDEN, texts::LOG_IN, texts::FOREIGN));
    }
    let may = session.admin.has(roles);
    (!may).then(|| page::refusal(StatusCode::FORBIDDEN, texts::OVERVIEW, texts::NOT_YOURS))
}

async fn retry(State(web): State<Web>, Entered(session): Entered, Form(form): Form<Retry>) -> Response {
    if let Some(refusal) = refused(&session, &form, lists::RETRIES) {
        return refusal;
    }
    let by: Admin = session.admin.clone();
    let retried = ask(&web, move |house| house.retry(form.entry.as_deref(), &by)).await;
    let done = retried.map(|count| format!("{count} deliveries are tried again now."));
    show_queue(&web, &session, Some(done)).await
}

#[derive(Deserialize)]
struct Searched {
    #[serde(default)]
    uid: String,
}

async fn studies(
    State(web): State<Web>,
    Entered(session): Entered,
    Query(asked): Query<Searched>,
) -> Response {
    let text = asked.uid.trim().to_owned();
    let found = match Uid::parse(&text) {
        _ if text.is_empty() => None,
        Ok(uid) => Some(ask(&web, move |house| house.study(&uid)).await),
        Err(error) => Some(Err(format!("{text:?} is no UID: {error}"))),
    };
    let problem = found.as_ref().and_then(|found| found.as_ref().err().cloned()).map(Err);
    let content = html! {
        (page::notice(problem.as_ref()))
        (lists::studies(&session, &text, found.as_ref().and_then(|found| found.as_ref().ok())))
    };
    page::page(&session, "/studies", texts::STUDIES, &content)
}

async fn emergencies(State(web): State<Web>, Entered(session): Entered) -> Response {
    show_emergencies(&web, &session, None).await
}

async fn show_emergencies(web: &Web, session: &Session, done: Option<Result<String, String>>) -> Response {
    let found = ask(web, |house| Ok((house.emergencies()?, house.snapshot().peers))).await;
    let content = html! {
        (page::notice(done.as_ref()))
        @match &found {
            Ok((found, peers)) => (lists::emergencies(session, found, peers)),
            Err(problem) => p.alarm role="alert" { (problem) },
        }
    };
    page::page(session, "/emergency", texts::EMERGENCY, &content)
}

async fn open_emergency(
    State(web): State<Web>,
    Entered(session): Entered,
    Form(form): Form<Opening>,
) -> Response {
    if let Some(refusal) = refused(&session, &form, lists::OPENS) {
        return refusal;
    }
    let by = session.admin.clone();
    let opened =
        ask(&web, move |house| house.open_emergency(&form.peer, form.minutes, &form.reason, &by)).await;
    show_emergencies(&web, &session, Some(opened.map(|()| "The emergency access is open.".to_owned()))).await
}

async fn end_emergency(
    State(web): State<Web>,
    Entered(session): Entered,
    Form(form): Form<Ending>,
) -> Response {
    if let Some(refusal) = refused(&session, &form, lists::OPENS) {
        return refusal;
    }
    let by = session.admin.clone();
    let ended = ask(&web, move |house| house.end_emergency(&form.id, &by)).await;
    show_emergencies(&web, &session, Some(ended.map(|()| "The emergency access has ended.".to_owned()))).await
}

#[derive(Deserialize, Default)]
struct Filtered {
    #[serde(default)]
    event: String,
    #[serde(default)]
    party: String,
    failed: Option<String>,
}

async fn audit(State(web): State<Web>, Entered(session): Entered, Query(asked): Query<Filtered>) -> Response {
    if !session.admin.has(lists::READS) {
        return page::refusal(StatusCode::FORBIDDEN, texts::AUDIT, texts::NOT_YOURS);
    }
    let wanted = Wanted {
        event: asked.event.trim().to_owned(),
        party: asked.party.trim().to_owned(),
        failed: asked.failed.is_some(),
    };
    let asked = wanted.clone();
    let found = ask(&web, move |house| house.records(&asked, SHOWN_MAX)).await;
    let content = html! {
        @match &found {
            Ok(found) => (lists::audit(&wanted, found)),
            Err(problem) => p.alarm role="alert" { (problem) },
        }
    };
    page::page(&session, "/audit", texts::AUDIT, &content)
}

async fn sample(Entered(session): Entered) -> Response {
    page::page(&session, "/sample", texts::SAMPLE, &lists::sample())
}

async fn before(State(web): State<Web>, Entered(_): Entered) -> Response {
    picture(&web, |sample| &sample.before).await
}

async fn after(State(web): State<Web>, Entered(_): Entered) -> Response {
    picture(&web, |sample| &sample.after).await
}

/// One of the two pictures, which are made when the first of them is asked for.
async fn picture(web: &Web, which: fn(&Sample) -> &Vec<u8>) -> Response {
    let Some(office) = &web.office else { return StatusCode::NOT_FOUND.into_response() };
    if office.sample.get().is_none() {
        match ask(web, House::sample).await {
            Ok(made) => _ = office.sample.set(made),
            Err(problem) => return (StatusCode::INTERNAL_SERVER_ERROR, problem).into_response(),
        }
    }
    let png = office.sample.get().map(|sample| which(sample).clone()).unwrap_or_default();
    ([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "private, max-age=3600")], png).into_response()
}

/// The report in a frame, so that the navigation stays.
async fn report(State(web): State<Web>, Entered(session): Entered) -> Response {
    if read_report(&web).await.is_none() {
        return page::page(&session, "/report", texts::REPORT, &html! { p { (texts::NO_REPORT) } });
    }
    let content = html! { iframe.report src="/report/document" title=(texts::REPORT) sandbox {} };
    let mut response = page::page(&session, "/report", texts::REPORT, &content);
    let policy = HeaderValue::from_str(&format!("{POLICY}; frame-src 'self'")).expect("visible characters");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

async fn report_document(State(web): State<Web>, Entered(_): Entered) -> Response {
    let Some(bytes) = read_report(&web).await else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, REPORT_POLICY),
        (X_FRAME_OPTIONS, "SAMEORIGIN"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, bytes).into_response()
}

/// The file; nothing where none is set, or it cannot be read.
async fn read_report(web: &Web) -> Option<Vec<u8>> {
    let path = web.config.report.clone()?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(REPORT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    });
    read.await.ok().flatten()
}

/// Where somebody goes who is not logged in.
fn to_login() -> Response {
    Redirect::to("/login").into_response()
}
