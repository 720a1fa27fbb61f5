//! What every page has: head, navigation, landmarks, and small parts that several pages use.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::session::Session;
use super::texts;
use crate::custody::Role;

/// The pages, in the order of the navigation: path, title, and for whom.
const PAGES: [(&str, &str, &[Role]); 8] = [
    ("/", texts::OVERVIEW, &Role::ALL),
    ("/routes", texts::ROUTES, &Role::ALL),
    ("/queue", texts::QUEUE, &Role::ALL),
    ("/studies", texts::STUDIES, &Role::ALL),
    ("/emergency", texts::EMERGENCY, &Role::ALL),
    ("/audit", texts::AUDIT, &[Role::Auditor, Role::Custodian]),
    ("/sample", texts::SAMPLE, &Role::ALL),
    ("/report", texts::REPORT, &Role::ALL),
];

/// A whole page for somebody who is logged in.
pub(super) fn page(session: &Session, path: &str, title: &str, content: &Markup) -> Response {
    let navigation = html! {
        nav aria-label="Pages" {
            ul {
                @for (to, name, _) in PAGES.iter().filter(|(_, _, roles)| session.admin.has(roles)) {
                    li { a href=(to) aria-current=[(*to == path).then_some("page")] { (name) } }
                }
            }
        }
        form.out method="post" action="/logout" {
            input type="hidden" name="token" value=(session.token);
            span { (session.admin.name) }
            button type="submit" { (texts::LOG_OUT) }
        }
    };
    document(title, Some(&navigation), content)
}

/// A whole page for anybody.
pub(super) fn document(title: &str, navigation: Option<&Markup>, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - " (texts::NAME) }
                link rel="stylesheet" href="/static/style.css";
                link rel="icon" href="/static/icon.svg" type="image/svg+xml";
                script src="/static/script.js" defer {}
            }
            body {
                a.skip href="#content" { (texts::SKIP) }
                header {
                    span.name { (texts::NAME) }
                    @if let Some(navigation) = navigation { (navigation) }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")], page.into_string())
        .into_response()
}

/// A part of a page, for the script.
pub(super) fn part(content: &Markup) -> Response {
    let body = content.0.clone();
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// A refusal in words, as a page.
pub(super) fn refusal(status: StatusCode, title: &str, words: &str) -> Response {
    let content = html! {
        p.alarm role="alert" { (words) }
        p { a href="/" { (texts::OVERVIEW) } }
    };
    (status, document(title, None, &content)).into_response()
}

/// What came of a deed, above the content.
pub(super) fn notice(words: Option<&Result<String, String>>) -> Markup {
    html! {
        @match words {
            Some(Ok(words)) => p.done role="status" { (words) },
            Some(Err(words)) => p.alarm role="alert" { (words) },
            None => {},
        }
    }
}
