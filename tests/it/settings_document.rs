//! `docs/CONFIG.md` is made from the shipped configuration: written where `SEALGATE_WRITE_DOCS` is set, else compared.

use std::fmt::Write as _;
use std::path::Path;

const SHIPPED: &str = include_str!("../../conf/gateway.toml");
const HEAD: &str = "\
# Every setting

Made from `conf/gateway.toml` by a test (`SEALGATE_WRITE_DOCS=1 cargo test --test it settings_document`): change that file, not
this one. A key is set in the file, over that in the environment (`SEALGATE__ROOM__KEY`, for example
`SEALGATE__LOG__LEVEL=debug`), over that by `--set room.key=value`. `sealgate check` says in words what a configuration means,
and what is wrong with it. SIGHUP takes changes in, but for what needs a restart.

## At the top

";

/// Keys that one comment is about, with their defaults and that comment.
#[derive(Default)]
struct Row {
    keys: Vec<String>,
    defaults: Vec<String>,
    text: String,
}

/// `key = value`, also where it is commented out for want of a default.
fn setting(line: &str) -> Option<(&str, String)> {
    let (line, is_set) = line.strip_prefix('#').map_or((line, true), |rest| (rest, false));
    let (key, value) = line.split_once(" = ")?;
    let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_key.then(|| (key, if is_set { format!("`{value}`") } else { format!("none; such as `{value}`") }))
}

fn comment(line: &str) -> Option<&str> {
    line.strip_prefix("# ").or_else(|| (line == "#").then_some(""))
}

/// A comment speaks of the keys behind it, up to the next comment.
fn rows(lines: &[&str]) -> Vec<Row> {
    let mut rows = vec![Row::default()];
    for line in lines {
        if let Some(text) = comment(line) {
            if rows.last().is_some_and(|row| !row.keys.is_empty()) {
                rows.push(Row::default());
            }
            let row = rows.last_mut().unwrap();
            if !row.text.is_empty() {
                row.text.push(' ');
            }
            row.text.push_str(text);
        } else {
            let (key, default) = setting(line).unwrap_or_else(|| panic!("neither key nor comment: {line}"));
            let row = rows.last_mut().unwrap();
            row.keys.push(format!("`{key}`"));
            row.defaults.push(default);
        }
    }
    rows
}

fn section(title: &str, about: &[&str], lines: &[&str], out: &mut String) {
    if !title.is_empty() {
        let _ = write!(out, "## {title}\n\n");
    }
    if !about.is_empty() {
        let _ = write!(out, "{}\n\n", about.join("\n"));
    }
    if !out.ends_with("|\n\n") || !title.is_empty() {
        out.push_str("| key | default | |\n|---|---|---|\n");
    } else {
        // The table of the part before goes on.
        out.pop();
    }
    for row in rows(lines) {
        let text = row.text.replace('|', "\\|");
        let _ = writeln!(out, "| {} | {} | {text} |", row.keys.join("<br>"), row.defaults.join("<br>"));
    }
    out.push('\n');
}

/// What the comments in front of a list of tables say: sentences, and lines of `key   what it is` that may go on below.
fn described(comments: &[&str], out: &mut String) {
    let mut in_table = false;
    for line in comments {
        let key = line.split_once("  ").filter(|(key, _)| {
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        match key {
            Some((key, text)) => {
                if !in_table {
                    out.push_str("| key | |\n|---|---|\n");
                }
                in_table = true;
                let _ = writeln!(out, "| `{key}` | {} |", text.trim().replace('|', "\\|"));
            }
            None if in_table && line.starts_with(' ') => {
                out.truncate(out.len() - " |\n".len());
                let _ = writeln!(out, " {} |", line.trim().replace('|', "\\|"));
            }
            None => {
                in_table = false;
                let _ = writeln!(out, "{line}");
            }
        }
    }
    while out.ends_with('\n') {
        out.pop();
    }
    out.push_str("\n\n");
}

fn example(lines: &[&str], out: &mut String) {
    let _ = write!(out, "```toml\n{}\n```\n\n", lines.join("\n"));
}

fn list(about: &[&str], lines: &[&str], out: &mut String) {
    let name = lines.first().map_or("", |line| line.trim_matches(['[', ']']));
    let _ = write!(out, "## `[[{name}]]`\n\n");
    described(about, out);
    example(lines, out);
}

fn document() -> String {
    let mut out = HEAD.to_owned();
    for part in SHIPPED.split("\n\n").skip(1) {
        let lines: Vec<_> = part.lines().collect();
        let about = lines.iter().take_while(|line| comment(line).is_some()).count();
        let (before, rest) = lines.split_at(about);
        let before: Vec<_> = before.iter().filter_map(|line| comment(line)).collect();
        let in_comment = before.iter().position(|line| line.starts_with("[["));
        match (in_comment, rest.first().copied().unwrap_or_default()) {
            (Some(0), _) => example(&before, &mut out),
            (Some(at), _) => list(&before[..at], &before[at..], &mut out),
            (None, head) if head.starts_with("[[") => list(&before, rest, &mut out),
            (None, head) if head.starts_with('[') => {
                let title = format!("`{head}`");
                section(&title, &before, &rest[1..], &mut out);
            }
            (None, _) => section("", &[], &lines, &mut out),
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[test]
fn the_document_of_the_settings_is_that_of_the_shipped_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIG.md");
    let made = document();
    if std::env::var_os("SEALGATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(
        made == there,
        "docs/CONFIG.md is out of date, at {differs:?}: SEALGATE_WRITE_DOCS=1 writes it anew"
    );
}

#[test]
fn the_document_has_every_key_of_the_shipped_file() {
    let made = document();
    let is_key = |line: &&str| setting(line).is_some();
    let missing: Vec<_> = SHIPPED
        .lines()
        .filter(is_key)
        .filter_map(setting)
        .filter(|(key, default)| !made.contains(&format!("`{key}`")) || !made.contains(default.as_str()))
        .filter(|(key, _)| !made.contains(&format!("\n{key} = ")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(SHIPPED.lines().filter(is_key).count() > 100, "the keys were not found");
}
