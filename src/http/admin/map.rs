//! Who talks to whom, as a picture and as tables that say the same.

use maud::{Markup, html};

use super::texts;
use crate::telemetry::snapshot::{Destination, Peer, Snapshot};
use crate::telemetry::words::span;

/// Nodes on either side that are drawn; the tables have all.
const DRAWN_MAX: usize = 12;
const WIDE: usize = 720;
const BOX: usize = 190;
const STEP: usize = 56;
const HIGH: usize = 40;

pub(super) fn map(snapshot: &Snapshot) -> Markup {
    html! {
        (picture(snapshot))
        h2 { (texts::PEERS) }
        (peers(snapshot))
        h2 { (texts::ROUTES) }
        (routes(snapshot))
        h2 { (texts::DESTINATIONS) }
        (destinations(snapshot))
    }
}

fn picture(snapshot: &Snapshot) -> Markup {
    let peers: Vec<&Peer> = snapshot.peers.iter().take(DRAWN_MAX).collect();
    let destinations: Vec<&Destination> = snapshot.destinations.iter().take(DRAWN_MAX).collect();
    let rows = peers.len().max(destinations.len()).max(1);
    let high = rows * STEP + 16;
    let middle = high / 2;
    let at = |index: usize, count: usize| middle + index * STEP + STEP / 2 - count * STEP / 2;
    let down = snapshot.destinations.iter().filter(|one| one.down_seconds.is_some()).count();
    let label = format!(
        "{} peers call the gateway, which forwards to {} destinations, {down} of them down. The tables below say the same.",
        snapshot.peers.len(),
        snapshot.destinations.len()
    );
    let right = WIDE - BOX;
    html! {
        figure {
            div.scroll tabindex="0" role="region" aria-label=(texts::PICTURE) {
                svg.map viewBox=(format!("0 0 {WIDE} {high}")) role="img" aria-label=(label) {
                    @for (index, peer) in peers.iter().enumerate() {
                        @let y = at(index, peers.len());
                        line.way x1=(BOX) y1=(y) x2=(WIDE / 2 - 60) y2=(middle) {}
                        (node(0, y, &peer.title, &peer.may.join(" "), "peer"))
                    }
                    @for (index, one) in destinations.iter().enumerate() {
                        @let y = at(index, destinations.len());
                        @let is_down = one.down_seconds.is_some();
                        line class=(if is_down { "way down" } else { "way" }) x1=(WIDE / 2 + 60) y1=(middle) x2=(right) y2=(y) {}
                        (node(right, y, &one.name, &state(one), if is_down { "place down" } else { "place" }))
                    }
                    rect.gate x=(WIDE / 2 - 60) y=(middle - 24) width="120" height="48" rx="6" {}
                    text.gate x=(WIDE / 2) y=(middle + 5) { (texts::NAME) }
                }
            }
            figcaption { (texts::PICTURE) }
        }
    }
}

fn node(x: usize, y: usize, name: &str, below: &str, class: &str) -> Markup {
    html! {
        g class=(class) {
            rect x=(x + 1) y=(y - HIGH / 2) width=(BOX - 2) height=(HIGH) rx="6" {}
            text x=(x + 10) y=(y - 3) { (short(name, 24)) }
            text.below x=(x + 10) y=(y + 13) { (short(below, 32)) }
        }
    }
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['\u{2026}']).collect()
}

fn state(one: &Destination) -> String {
    let way = one
        .down_seconds
        .map_or_else(|| texts::UP.to_owned(), |seconds| format!("{} {}", texts::DOWN, span(seconds)));
    format!("{way}, {} waiting", one.waiting)
}

fn peers(snapshot: &Snapshot) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts::PEERS) { table {
            thead { tr { th scope="col" { "Name" } th scope="col" { "AE title" } th scope="col" { "May" } } }
            tbody { @for one in &snapshot.peers {
                tr { th scope="row" { (one.name) } td { code { (one.title) } } td { (one.may.join(", ")) } }
            } }
        } }
    }
}

fn routes(snapshot: &Snapshot) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts::ROUTES) { table {
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Suite" }
            } }
            tbody { @for one in &snapshot.routes {
                tr {
                    th scope="row" { (one.name) }
                    td { @if one.calling.is_empty() { "everybody who may store" } @else { (one.calling.join(", ")) } }
                    td { (one.destinations.join(", ")) }
                    td { code { (one.suite) } }
                }
            } }
        } }
    }
}

fn destinations(snapshot: &Snapshot) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts::DESTINATIONS) { table {
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "Address" } th scope="col" { "State" }
                th.count scope="col" { "Waiting" } th.count scope="col" { "Set aside" } th.count scope="col" { "Oldest" }
            } }
            tbody { @for one in &snapshot.destinations {
                tr {
                    th scope="row" { (one.name) }
                    td { code { (one.address) } }
                    td {
                        @match one.down_seconds {
                            None => span.badge.good { (texts::UP) },
                            Some(seconds) => span.badge.bad { (texts::DOWN) " " (span(seconds)) },
                        }
                    }
                    td.count { (one.waiting) }
                    td.count { (one.aside) }
                    td.count { @if one.waiting > 0 { (span(one.oldest_seconds)) } @else { "-" } }
                }
            } }
        } }
    }
}
