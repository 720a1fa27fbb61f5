//! The overview: what comes in, what goes out, what waits, what is wrong, at a glance and alive.

use maud::{Markup, html};

use super::ring::{EVERY, Ring, SAMPLES_MAX};
use super::texts;
use crate::telemetry::snapshot::Snapshot;
use crate::telemetry::words::{bytes, span};

/// Size of a graph, in its own units.
const WIDE: u64 = 180;
const HIGH: u64 = 40;

/// Everything on the page that changes.
pub(super) fn live(snapshot: &Snapshot, ring: &Ring) -> Markup {
    let is_ready = snapshot.not_ready.is_empty();
    let up = span((snapshot.now_unix_millis / 1000).saturating_sub(snapshot.started_unix));
    html! {
        p.state {
            @if is_ready { span.badge.good { (texts::READY) } } @else { span.badge.bad { (texts::NOT_READY) } }
            " Version " (snapshot.version) ", up " (up) ", " (snapshot.associations) " associations, "
            (bytes(snapshot.process.resident_bytes)) " of memory"
        }
        (alarms(snapshot))
        (numbers(snapshot, ring))
        h2 { (texts::ROOMS) }
        (rooms(snapshot))
    }
}

fn alarms(snapshot: &Snapshot) -> Markup {
    html! {
        @if snapshot.alarms.is_empty() {
            p.done { (texts::NOTHING) }
        } @else {
            section.alarm aria-label=(texts::TO_LOOK_AT) {
                h2 { (texts::TO_LOOK_AT) }
                ul { @for alarm in &snapshot.alarms { li { (alarm) } } }
            }
        }
    }
}

fn numbers(snapshot: &Snapshot, ring: &Ring) -> Markup {
    let totals = &snapshot.totals;
    let refused = |count: u64, word: &str| (count > 0).then(|| format!("{count} {word}"));
    html! {
        div.cards {
            (card(texts::TAKEN_IN, totals.stored, refused(totals.store_refused, "refused"), &ring.growth(|one| one.stored)))
            (card(texts::FORWARDED, totals.forwarded, refused(totals.set_aside, "set aside"), &ring.growth(|one| one.forwarded)))
            (card(texts::OPENED, totals.opened, refused(totals.not_opened, "not released"), &ring.growth(|one| one.opened)))
            (card(texts::WAITING, snapshot.waiting(), refused(snapshot.aside(), "set aside"), &ring.levels(|one| one.waiting)))
        }
    }
}

fn card(title: &str, count: u64, beside: Option<String>, samples: &[u64]) -> Markup {
    html! {
        section.card aria-label=(title) {
            h2 { (title) }
            p.number { (count) @if let Some(beside) = beside { " " small.warn { (beside) } } }
            (graph(title, samples))
        }
    }
}

/// A line through the samples, the newest at the right, and the same in words for who does not see it.
fn graph(title: &str, samples: &[u64]) -> Markup {
    let most = samples.iter().copied().max().unwrap_or(0);
    let minutes = EVERY.as_secs() * SAMPLES_MAX as u64 / 60;
    let now = samples.last().copied().unwrap_or(0);
    let label = format!(
        "{title} in the last {minutes} minutes: now {now}, at most {most}, in {} seconds",
        EVERY.as_secs()
    );
    let points: Vec<String> = samples
        .iter()
        .rev()
        .zip(0u64..)
        .map(|(sample, back)| {
            let y = HIGH - 2 - sample.saturating_mul(HIGH - 4) / most.max(1);
            format!("{},{y}", WIDE.saturating_sub(back * WIDE / (SAMPLES_MAX as u64 - 1)))
        })
        .collect();
    html! {
        svg.graph viewBox=(format!("0 0 {WIDE} {HIGH}")) preserveAspectRatio="none" role="img" aria-label=(label) {
            line x1="0" x2=(WIDE) y1=(HIGH - 1) y2=(HIGH - 1) {}
            polyline points=(points.join(" ")) {}
        }
        p.axis { "last " (minutes) " min, at most " (most) }
    }
}

/// Spool, keys, generator, audit trail, certificates.
fn rooms(snapshot: &Snapshot) -> Markup {
    html! {
        dl.rooms {
            @if let Some(spool) = &snapshot.spool {
                dt { "Spool" }
                dd {
                    (spool.entries) " of " (spool.entries_max) " instances, " (bytes(spool.bytes)) " of "
                    (bytes(spool.bytes_max))
                    " " (share(spool.bytes, spool.bytes_max, "Spool in use"))
                }
                dt { "Disk" }
                dd { (bytes(spool.free_bytes)) " free" }
            }
            @if let Some(keys) = &snapshot.keys {
                dt { "Keys" }
                dd {
                    "for " (keys.recipients.join(", ")) ", "
                    @if keys.unlocked { "unlocked" } @else { "locked: images are sealed, and cannot be opened here" }
                }
            }
            dt { "Generator" }
            dd { (generator(snapshot)) }
            dt { (texts::AUDIT) }
            dd {
                @match &snapshot.audit {
                    None => "off",
                    Some(audit) => {
                        @if audit.recording { "recording" } @else { strong { "not recording" } }
                        ", " (audit.durable) " records"
                        @for (name, behind) in &audit.behind { ", " (name) " lacks " (behind) }
                    },
                }
            }
            dt { "Certificates" }
            dd {
                @match snapshot.certificates.first() {
                    None => "none in use",
                    Some(first) => {
                        "the first to end: " (first.name) " in "
                        (first.not_after_unix.saturating_sub(snapshot.now_unix_millis / 1000) / 86_400) " days"
                    },
                }
            }
        }
    }
}

fn generator(snapshot: &Snapshot) -> Markup {
    html! {
        @match &snapshot.generator {
            None => "none, keys rest on system entropy alone",
            Some(one) => {
                code { (one.generator.get(..12).unwrap_or(&one.generator)) } " on " (one.engine) ", "
                (one.ready) " of " (one.ready_max) " key images ready"
                @if let Some(alarm) = &one.alarm { ", " strong { (alarm) } }
                " " (share(one.ready, one.ready_max, "Key images ready"))
            },
        }
    }
}

fn share(part: u64, whole: u64, label: &str) -> Markup {
    html! { progress value=(part) max=(whole.max(1)) aria-label=(label) {} }
}
