//! The sources keep to the table of rooms in `docs/ARCHITECTURE.md`, and every file says what it owns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the table: what a room may import, and the crates only it may name.
#[derive(Debug, Default, PartialEq)]
struct Room {
    imports: BTreeSet<String>,
    crates: BTreeSet<String>,
}

type Table = BTreeMap<String, Room>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the rows `| room | owns | may import | crates |` that follow the heading `## Rooms`.
fn read_table(document: &str) -> Table {
    let rows = document.lines().skip_while(|line| *line != "## Rooms").filter(|line| line.starts_with("| `"));
    let words = |cell: &str| -> BTreeSet<String> {
        let cell = cell.split('(').next().unwrap_or_default();
        cell.split(',').map(|w| w.trim().trim_matches('`').to_owned()).filter(|w| !w.is_empty()).collect()
    };
    let mut table = Table::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [names, _, imports, crates] = cells[..] else { panic!("a row of four cells: {row}") };
        for name in words(names) {
            table.insert(name, Room { imports: words(imports), crates: words(crates) });
        }
    }
    table
}

/// The room a source file belongs to: its first folder, or its own name at the top.
fn room_of(path: &str) -> String {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The first path segments behind every `keyword::` in the code, comments left out; a `{…}` list counts in full.
fn names_after(code: &str, keyword: &str) -> BTreeSet<String> {
    let code: String =
        code.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(keyword) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let rest = &code[at + keyword.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_start = true;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => at_start = true,
                    c if is_word(c) && depth == 0 && at_start => word.push(c),
                    _ => at_start = at_start && c.is_whitespace(),
                }
                if !is_word(c) && !word.is_empty() {
                    names.insert(std::mem::take(&mut word));
                }
            }
            names.extend(Some(word).filter(|w| !w.is_empty()));
        } else {
            names.insert(rest.chars().take_while(|c| is_word(*c)).collect());
        }
    }
    names
}

/// Everything in one file that the table does not allow.
fn complaints(file: &str, code: &str, table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let first = code.lines().next().unwrap_or_default();
    if !(first.starts_with("//! ") && first.len() > 20) {
        found.push(format!("{file}: the first line is not a `//!` sentence"));
    }
    let room = room_of(file);
    if matches!(room.as_str(), "lib" | "main") {
        return found;
    }
    let Some(allowed) = table.get(&room) else {
        found.push(format!("{file}: the room `{room}` is not in the table"));
        return found;
    };
    if code.contains("super::super::") {
        found.push(format!("{file}: `super::super` hides what it imports"));
    }
    // `cli` and `app` build the house: the table says "everything".
    if !allowed.imports.contains("everything") {
        for name in names_after(code, "crate::") {
            if name != room && table.contains_key(&name) && !allowed.imports.contains(&name) {
                found.push(format!("{file}: `{room}` may not import `{name}`"));
            }
        }
    }
    for (owner, other) in table {
        for name in other.crates.iter().filter(|c| *owner != room && !allowed.crates.contains(*c)) {
            let ident = name.replace('-', "_");
            // A module of that name next to the file is not the crate.
            if code.contains(&format!("mod {ident};")) {
                continue;
            }
            let path = format!("{ident}::");
            let is_path = |l: &str| {
                l.match_indices(&path)
                    .any(|(at, _)| !l[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)))
            };
            if code.lines().map(|l| l.split("//").next().unwrap_or_default()).any(is_path) {
                found.push(format!("{file}: the crate `{name}` lives only in `{owner}`"));
            }
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder src is there") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

fn table() -> Table {
    read_table(
        &fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md is there"),
    )
}

#[test]
fn every_source_keeps_to_the_table_of_rooms() {
    let (table, src) = (table(), root().join("src"));
    let files = sources(&src);
    assert!(files.len() > 5, "the sources were found");
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path =
                file.strip_prefix(&src).expect("it came from there").to_string_lossy().replace('\\', "/");
            complaints(&path, &fs::read_to_string(file).expect("a source can be read"), &table)
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_room_in_the_table_has_code() {
    for room in table().keys() {
        let src = root().join("src");
        assert!(
            src.join(room).is_dir() || src.join(format!("{room}.rs")).is_file(),
            "{room} has no code yet"
        );
    }
}

#[test]
fn a_violation_is_caught() {
    let table = read_table(
        "## Rooms\n| room | owns | may import | crates |\n|---|---|---|---|\n| `dicom` | words | | |\n\
         | `seal` | form | dicom | blake3 |\n| `keys` | keys | seal | rusqlite |\n",
    );
    let head = "//! A sentence that says what this file owns.\n";
    let check = |path: &str, body: &str| complaints(path, &format!("{head}{body}"), &table);

    assert!(check("seal/a.rs", "use crate::dicom::Uid;").is_empty());
    assert!(check("seal/a.rs", "// use crate::keys::Store;").is_empty());
    assert_eq!(check("seal/a.rs", "use crate::keys::Store;"), ["seal/a.rs: `seal` may not import `keys`"]);
    assert_eq!(
        check("seal/a.rs", "use crate::{dicom::{Uid, X}, keys};"),
        ["seal/a.rs: `seal` may not import `keys`"]
    );
    assert_eq!(
        check("dicom/a.rs", "fn f() { crate::seal::g() }"),
        ["dicom/a.rs: `dicom` may not import `seal`"]
    );
    assert_eq!(
        check("keys/a.rs", "use blake3::Hasher;"),
        ["keys/a.rs: the crate `blake3` lives only in `seal`"]
    );
    assert_eq!(
        check("seal/a.rs", "use super::super::keys::X;"),
        ["seal/a.rs: `super::super` hides what it imports"]
    );
    assert_eq!(check("attic/a.rs", ""), ["attic/a.rs: the room `attic` is not in the table"]);
    assert_eq!(
        complaints("seal/a.rs", "use std::fmt;\n", &table),
        ["seal/a.rs: the first line is not a `//!` sentence"]
    );
}
