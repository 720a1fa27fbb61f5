//! Whether everybody can use the admin page: names of controls, headings, landmarks, tables, and the contrast of its colours.

use std::collections::BTreeMap;

use super::admin::{PAGES, Staffed};
use super::client::ask;

/// A start tag: its name and its attributes as text.
fn tags(page: &str) -> Vec<(String, String)> {
    let parts = page.split('<').skip(1).filter(|part| !part.starts_with(['/', '!']));
    let tags = parts.filter_map(|part| {
        let tag = part.split('>').next()?;
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        Some((name.to_owned(), attributes.to_owned()))
    });
    tags.collect()
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let begin = format!("{name}=\"");
    let at = attributes.match_indices(&begin).find(|(at, _)| *at == 0 || attributes[..*at].ends_with(' '))?.0;
    attributes[at + begin.len()..].split('"').next().map(ToOwned::to_owned)
}

/// Everything on a page that somebody could not use or find.
pub(super) fn complaints(page: &str) -> Vec<String> {
    let tags = tags(page);
    let count = |wanted: &str| tags.iter().filter(|(name, _)| name == wanted).count();
    let mut found = Vec::new();
    for (landmark, how_many) in [("main", 1), ("header", 1), ("h1", 1), ("title", 1)] {
        if count(landmark) != how_many {
            found.push(format!("{} times {landmark}", count(landmark)));
        }
    }
    if !page.contains("<html lang=\"en\">") {
        found.push("no language".to_owned());
    }
    let headings: Vec<u32> =
        tags.iter().filter_map(|(name, _)| name.strip_prefix('h')?.parse().ok()).collect();
    if headings.windows(2).any(|pair| pair[1] > pair[0] + 1) || headings.first() != Some(&1) {
        found.push(format!("headings in the order {headings:?}"));
    }
    let labels: Vec<String> = tags
        .iter()
        .filter(|(name, _)| name == "label")
        .filter_map(|(_, tag)| attribute(tag, "for"))
        .collect();
    for (name, tag) in &tags {
        let kind = attribute(tag, "type").unwrap_or_default();
        let is_named = attribute(tag, "aria-label").is_some();
        let complaint = match name.as_str() {
            "input" if kind == "hidden" => None,
            // It stands within its label.
            "input" if kind == "checkbox" => None,
            "input" | "select" => {
                let id = attribute(tag, "id").unwrap_or_default();
                (!labels.contains(&id) && !is_named).then_some("has no label")
            }
            "img" => attribute(tag, "alt").is_none_or(|alt| alt.is_empty()).then_some("has no alt"),
            "th" => attribute(tag, "scope").is_none().then_some("has no scope"),
            "nav" | "section" | "progress" => (!is_named).then_some("has no name"),
            "svg" => {
                (!is_named || attribute(tag, "role").as_deref() != Some("img")).then_some("is no named image")
            }
            _ => None,
        };
        found.extend(complaint.map(|words| format!("{name} {tag} {words}")));
        if attribute(tag, "style").is_some() || tag.contains(" onclick") {
            found.push(format!("{name} {tag} has a style or script of its own"));
        }
        if attribute(tag, "tabindex").is_some_and(|index| index.parse::<i32>().is_ok_and(|index| index > 0)) {
            found.push(format!("{name} {tag} changes the order of the keyboard"));
        }
    }
    found
}

#[test]
fn every_page_can_be_used_without_seeing_it_and_without_a_mouse() {
    let staffed = Staffed::start("");
    let cookie = staffed.enter("custodian");
    let login = ask(staffed.web, "GET", "/login", &[], "");
    assert_eq!(complaints(login.text()), Vec::<String>::new(), "/login");
    for path in PAGES {
        let page = ask(staffed.web, "GET", path, &[("cookie", &cookie)], "");
        assert_eq!(complaints(page.text()), Vec::<String>::new(), "{path}\n{}", page.text());
        assert!(page.text().contains("class=\"skip\" href=\"#content\""), "{path}");
    }
}

#[test]
fn a_page_that_cannot_be_used_is_complained_about() {
    let page = "<html lang=\"en\"><title>x</title><header></header><main><h1>x</h1><h3>y</h3>\
        <input name=\"a\"><img src=\"x\"><th>x</th><nav></nav><svg></svg><p style=\"x\"></p></main>";
    let found = complaints(page);
    for wanted in [
        "headings",
        "has no label",
        "has no alt",
        "has no scope",
        "nav  has no name",
        "no named image",
        "style",
    ] {
        assert!(found.iter().any(|complaint| complaint.contains(wanted)), "{wanted}: {found:?}");
    }
}

const STYLE: &str = include_str!("../../../src/http/admin/style.css");

/// The colours of one of the two themes.
fn colours(css: &str) -> BTreeMap<&str, [f64; 3]> {
    let lines = css.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    let colours = lines.map(|(name, hex)| {
        let part = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        (name, [part(0), part(2), part(4)])
    });
    colours.collect()
}

/// WCAG 2.2, relative luminance.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear =
        colour.map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_stands_out_in_light_and_dark() {
    let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = dark.split_once("* { box-sizing").unwrap().0;
    for theme in [light, dark] {
        let colours = colours(theme);
        assert_eq!(colours.len(), 12, "{colours:?}");
        // WCAG 2.2, 1.4.3: text needs 4.5; 1.4.11: borders of controls and lines of graphs need 3.
        for (text, back, least) in [
            ("text", "page", 4.5),
            ("text", "card", 4.5),
            ("soft", "page", 4.5),
            ("soft", "card", 4.5),
            ("accent", "page", 4.5),
            ("accent", "card", 4.5),
            ("on-accent", "accent", 4.5),
            ("good", "good-back", 4.5),
            ("bad", "bad-back", 4.5),
            ("bad", "page", 3.0),
            ("warn", "card", 4.5),
            ("warn", "page", 4.5),
        ] {
            let found = contrast(colours[text], colours[back]);
            assert!(found >= least, "{text} on {back}: {found:.2}, at least {least}");
        }
    }
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 0.01);
}
