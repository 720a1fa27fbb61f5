//! The pages that are lists: queue, studies, emergency accesses, audit trail; and the picture before and after.

use maud::{Markup, html};

use super::session::Session;
use super::texts;
use crate::custody::Role;
use crate::http::house::{Emergency, Queued, Recorded, Sealed, Study, Wanted};
use crate::telemetry::snapshot::Peer;
use crate::telemetry::words::{bytes, span};

/// Who may have deliveries tried again.
pub(super) const RETRIES: &[Role] = &[Role::Operator, Role::Custodian];
/// Who may open and end emergency accesses.
pub(super) const OPENS: &[Role] = &[Role::Operator, Role::Custodian];
/// Who reads the audit trail, which names patients.
pub(super) const READS: &[Role] = &[Role::Auditor, Role::Custodian];

pub(super) fn queue(session: &Session, queued: &[Queued], limit: usize) -> Markup {
    let may_retry = session.admin.has(RETRIES);
    html! {
        p { (texts::QUEUE_HELP) }
        @if queued.is_empty() { p.done { (texts::QUEUE_EMPTY) } } @else {
            @if may_retry {
                form method="post" action="/queue/retry" {
                    input type="hidden" name="token" value=(session.token);
                    button type="submit" { (texts::RETRY_ALL) }
                }
            }
            @if queued.len() >= limit { p.warn { "The first " (limit) " are shown." } }
            div.scroll tabindex="0" role="region" aria-label=(texts::QUEUE) { table {
                thead { tr {
                    th scope="col" { "Instance" } th scope="col" { "To" } th scope="col" { "State" }
                    th scope="col" { "Why" } th.count scope="col" { "Tries" } th.count scope="col" { "Size" }
                    th.count scope="col" { "Age" } th scope="col" { span.hidden { (texts::RETRY) } }
                } }
                tbody { @for one in queued { (row(session, one, may_retry)) } }
            } }
        }
    }
}

fn row(session: &Session, one: &Queued, may_retry: bool) -> Markup {
    let is_stopped = matches!(one.state, "set aside" | "later");
    html! {
        tr {
            th scope="row" { code.uid { (one.instance) } }
            td { (one.destination) }
            td { @if one.state == "set aside" { span.badge.bad { (one.state) } } @else { (one.state) } }
            td { (one.reason) }
            td.count { (one.attempts) }
            td.count { (bytes(one.bytes)) }
            td.count { (span(one.age_seconds)) }
            td { @if may_retry && is_stopped {
                form method="post" action="/queue/retry" {
                    input type="hidden" name="token" value=(session.token);
                    input type="hidden" name="entry" value=(one.entry);
                    button type="submit" aria-label=(format!("{} {}", texts::RETRY, one.instance)) { (texts::RETRY) }
                }
            } }
        }
    }
}

pub(super) fn studies(session: &Session, uid: &str, found: Option<&Study>) -> Markup {
    html! {
        p { (texts::STUDY_HELP) }
        form.fields method="get" action="/studies" role="search" {
            label for="uid" { (texts::UID) }
            input id="uid" name="uid" value=(uid) required maxlength="64" pattern="[0-9.]+" inputmode="decimal" autocomplete="off" spellcheck="false";
            button type="submit" { (texts::SEARCH) }
        }
        @if let Some(study) = found {
            h2 { (texts::SEALS) " (" (study.seals.len()) ")" }
            @if study.seals.is_empty() { p { (texts::NO_SEALS) } } @else { (seals(&study.seals)) }
            h2 { (texts::RECORDS) }
            @if session.admin.has(READS) { (records(&study.records)) } @else { p { (texts::RECORDS_HIDDEN) } }
        }
    }
}

fn seals(seals: &[Sealed]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts::SEALS) { table {
            thead { tr {
                th scope="col" { "Sealed" } th scope="col" { "Instance" } th scope="col" { "From" }
                th scope="col" { "Suite" } th scope="col" { "Key" }
            } }
            tbody { @for one in seals { tr {
                td { time datetime=(one.time) { (one.time) } }
                th scope="row" { code.uid { (one.instance) } }
                td { (one.calling) }
                td { code { (one.suite) } }
                td { code { (one.key_id.get(..12).unwrap_or(&one.key_id)) } }
            } } }
        } }
    }
}

pub(super) fn records(records: &[Recorded]) -> Markup {
    html! {
        @if records.is_empty() { p { (texts::NO_RECORDS) } } @else {
            div.scroll tabindex="0" role="region" aria-label=(texts::RECORDS) { table {
                thead { tr {
                    th.count scope="col" { "No." } th scope="col" { "Time" } th scope="col" { "Event" }
                    th scope="col" { "Outcome" } th scope="col" { "Who" } th scope="col" { "About" }
                    th scope="col" { "Text" }
                } }
                tbody { @for one in records { tr {
                    td.count { (one.number) }
                    td { time datetime=(one.time) { (one.time) } }
                    th scope="row" { (one.event) }
                    td { @if one.ok { "done" } @else { span.badge.bad { "failed" } } }
                    td { (one.parties.join(", ")) }
                    td { @for object in &one.objects { code.uid { (object) } " " } }
                    td { (one.text) }
                } } }
            } }
        }
    }
}

pub(super) fn audit(wanted: &Wanted, found: &[Recorded]) -> Markup {
    html! {
        form.fields method="get" action="/audit" role="search" {
            label for="event" { (texts::EVENT) }
            input id="event" name="event" value=(wanted.event) maxlength="40" autocomplete="off";
            label for="party" { (texts::PARTY) }
            input id="party" name="party" value=(wanted.party) maxlength="64" autocomplete="off";
            label.check { input type="checkbox" name="failed" value="yes" checked[wanted.failed]; " " (texts::FAILED_ONLY) }
            button type="submit" { (texts::SEARCH) }
        }
        (records(found))
    }
}

pub(super) fn emergencies(session: &Session, found: &[Emergency], peers: &[Peer]) -> Markup {
    let may_open = session.admin.has(OPENS);
    html! {
        p { (texts::EMERGENCY_HELP) }
        @if found.is_empty() { p { (texts::NONE_OPEN) } } @else {
            div.scroll tabindex="0" role="region" aria-label=(texts::EMERGENCY) { table {
                thead { tr {
                    th.count scope="col" { "No." } th scope="col" { "Peer" } th scope="col" { "State" }
                    th scope="col" { "From" } th scope="col" { "Until" } th scope="col" { "By" }
                    th scope="col" { "Reason" } th scope="col" { span.hidden { (texts::END) } }
                } }
                tbody { @for one in found { (emergency(session, one, may_open)) } }
            } }
        }
        @if may_open {
            h2 { (texts::OPEN_ONE) }
            form.fields method="post" action="/emergency/open" {
                input type="hidden" name="token" value=(session.token);
                label for="peer" { (texts::PEER) }
                select id="peer" name="peer" required { @for peer in peers { option value=(peer.name) { (peer.name) } } }
                label for="minutes" { (texts::MINUTES) }
                input id="minutes" name="minutes" type="number" min="1" max="720" value="30" required;
                label for="reason" { (texts::REASON) }
                input id="reason" name="reason" required maxlength="200" autocomplete="off";
                button type="submit" { (texts::OPEN) }
            }
        }
    }
}

fn emergency(session: &Session, one: &Emergency, may_end: bool) -> Markup {
    html! {
        tr {
            td.count { (one.id) }
            th scope="row" { (one.peer) }
            td { @if one.open { span.badge.bad { "open" } } @else { "over" } }
            td { time datetime=(one.from) { (one.from) } }
            td { time datetime=(one.until) { (one.until) } }
            td { (one.by) }
            td { (one.reason) }
            td { @if one.open && may_end {
                form method="post" action="/emergency/end" {
                    input type="hidden" name="token" value=(session.token);
                    input type="hidden" name="id" value=(one.id);
                    button type="submit" aria-label=(format!("{}: {}", texts::END, one.id)) { (texts::END) }
                }
            } }
        }
    }
}

pub(super) fn sample() -> Markup {
    html! {
        p { (texts::SAMPLE_HELP) }
        div.pair {
            figure {
                img src="/sample/before.png" alt=(texts::BEFORE_ALT) width="192" height="192";
                figcaption { (texts::BEFORE) }
            }
            figure {
                img src="/sample/after.png" alt=(texts::AFTER_ALT) width="192" height="192";
                figcaption { (texts::AFTER) }
            }
        }
    }
}
