//! What the log says at `error` has a row in the operating manual that says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MANUAL: &str = include_str!("../../docs/OPERATING.md");

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && path.file_name().unwrap() != "tests.rs" {
            found.push(path);
        }
    }
}

/// The fixed sentence of each `error!` of a source: the last text between its brackets.
fn sentences(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, word) in source.match_indices("error!(") {
        let is_other = source[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        if !is_other {
            found.extend(last_text(&source[at + word.len()..]));
        }
    }
    found
}

/// The last text up to the bracket that closes.
fn last_text(rest: &str) -> Option<String> {
    let (mut depth, mut text, mut last) = (1, None::<String>, None);
    let mut letters = rest.chars();
    while let (Some(letter), true) = (letters.next(), depth > 0) {
        match (&mut text, letter) {
            (Some(open), '\\') => open.extend(letters.next()),
            (Some(_), '"') => last = text.take(),
            (Some(open), letter) => open.push(letter),
            (None, '"') => text = Some(String::new()),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    last
}

#[test]
fn every_alarm_has_a_row_that_says_what_to_do() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let said: BTreeSet<String> =
        files.iter().flat_map(|file| sentences(&fs::read_to_string(file).unwrap())).collect();
    assert!(said.len() > 40, "only {} were found", said.len());
    let (_, table) = MANUAL.split_once("\n## Alarms\n").expect("the manual has a part on alarms");
    let rows: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(said, advice)| !said.starts_with("**") && *said != "the log says" && advice.len() > 4)
        .map(|(said, _)| said.to_owned())
        .collect();
    let missing: Vec<_> = said.difference(&rows).collect();
    let gone: Vec<_> = rows.difference(&said).collect();
    assert!(missing.is_empty(), "docs/OPERATING.md says nothing of {missing:#?}");
    assert!(gone.is_empty(), "docs/OPERATING.md speaks of what the log never says: {gone:#?}");
}

#[test]
fn the_search_finds_the_last_text_of_an_error_and_nothing_in_tests() {
    let source = "warn!(\"no\");\nerror!(\n  target: \"t\", x = f(\"(\"),\n  \"the \\\"disk\\\" fails\"\n);\ntrace_error!(\"no\");\n\
                  #[cfg(test)]\nmod tests {\n error!(\"no\"); }";
    assert_eq!(sentences(source), ["the \"disk\" fails"]);
}
