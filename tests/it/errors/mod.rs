//! The catalogue of errors: each one of every room shown once, with what to do about it where its reader can do something.
//!
//! A variant without an example does not compile, and an error that no list here names fails the comparison with the sources.
//! `cargo test --test it errors:: -- --nocapture` prints the catalogue.

mod configuration;
mod keeping;
mod sealing;
mod tools;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dicom_core::Tag;
use sealgate::dicom::{AeTitle, Uid};
use sealgate::identity::{Config, Verifier, hash};
use sealgate::seal::KeyId;
use sealgate::seal::scan::Place;

/// The other side made the mistake, and its log or ours is where this is read.
const PEER: &str = "(the other side has to mend it)";
/// It says what another error says, which has its own line here.
const SAME: &str = "(in the words of another error)";
/// Whoever makes it writes what to do into it.
const GIVEN: &str = "(written where it happens)";
/// The sentence itself says all: a limit, what is allowed, or what is wrong with the object.
const PLAIN: &str = "(nothing can be done, or the sentence says it)";

/// An error as somebody reads it.
struct Shown {
    /// Folder and name: `flow/release::Refused`.
    error: &'static str,
    variant: &'static str,
    said: String,
    /// Words of the advice; or, in brackets, why there is none.
    act: &'static str,
}

/// Shows an example of each variant. `+ advice` is for enums that keep their advice apart.
macro_rules! catalogue {
    ($out:ident, $label:literal, $error:ident; $($variant:ident: $example:expr => $act:expr,)+) => {
        catalogue!(@ $out, $label, $error, |_| String::new(); $($variant: $example => $act,)+)
    };
    ($out:ident, $label:literal, $error:ident + advice; $($variant:ident: $example:expr => $act:expr,)+) => {
        catalogue!(@ $out, $label, $error, |error| format!("\n{}", error.advice()); $($variant: $example => $act,)+)
    };
    (@ $out:ident, $label:literal, $error:ident, $advice:expr; $($variant:ident: $example:expr => $act:expr,)+) => {{
        // Without a wildcard, so that a new variant does not compile.
        fn name(error: &$error) -> &'static str {
            match error { $($error::$variant { .. } => stringify!($variant),)+ }
        }
        let advice: fn(&$error) -> String = $advice;
        $({
            let example: $error = $example;
            assert_eq!(name(&example), stringify!($variant));
            let said = format!("{example}{}", advice(&example));
            $out.push(Shown { error: $label, variant: stringify!($variant), said, act: $act });
        })+
    }};
}
use catalogue;

/// An error that is one sentence.
fn one(error: &'static str, example: &impl std::error::Error, act: &'static str) -> Shown {
    Shown { error, variant: "", said: example.to_string(), act }
}

fn io() -> io::Error {
    io::Error::from(io::ErrorKind::PermissionDenied)
}

fn uid() -> Uid {
    Uid::parse("1.2.840.10008.1.2.4.50").unwrap()
}

fn title() -> AeTitle {
    AeTitle::parse("CT1").unwrap()
}

fn key() -> KeyId {
    KeyId::new([7; 16])
}

fn tag() -> Tag {
    Tag(0x0028, 0x0010)
}

fn place() -> Place {
    Place { tag: tag(), at: 512 }
}

fn path() -> PathBuf {
    PathBuf::from("/var/lib/sealgate/file")
}

fn all() -> Vec<Shown> {
    [wire::shown(), sealing::shown(), keeping::shown(), tools::shown()].into_iter().flatten().collect()
}

#[test]
fn every_error_says_what_happened_and_what_to_do_about_it() {
    let mut wrong = Vec::new();
    for Shown { error, variant, said, act } in all() {
        println!("{error} {variant}\n    {}", said.replace('\n', "\n    "));
        let words = said.split_whitespace().count();
        let is_debug = ["Err(", "Some(", "panicked", "{ "].iter().any(|code| said.contains(code));
        if words < 2 || is_debug || said.len() > 700 {
            wrong.push(format!("{error} {variant} does not read well: {said}"));
        }
        if !act.starts_with('(') && !said.contains(act) {
            wrong.push(format!("{error} {variant} does not say {act:?}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_about_a_file_of_secrets_repeats_none_of_it() {
    const SECRET: &str = "correct-horse-42";
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let mut errors = vec![hash("a:b", SECRET, None).unwrap_err()];
    for line in [format!("anna:{SECRET}"), format!("anna {SECRET}"), format!("anna:{SECRET}:a:b:c")] {
        fs::write(&users, line).unwrap();
        fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).unwrap();
        let config = Config { users: Some(users.clone()), ..Config::default() };
        errors.extend(Verifier::load(&config).err());
    }
    assert_eq!(errors.len(), 4, "none of it is a name or a record");
    for error in errors {
        let said = format!("{error} {error:?}");
        assert!(!said.contains(SECRET) && !said.contains("horse"), "{said}");
    }
}

/// The public errors of a source, each with its folder.
fn errors_of(folder: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("Error")) {
            continue;
        }
        let item = lines.by_ref().find(|line| line.contains("enum ") || line.contains("struct "));
        let words: Vec<&str> = item.unwrap_or_default().split([' ', '(', '<', ';']).collect();
        if let ["pub", "enum" | "struct", name, ..] = words[..] {
            found.push(format!("{folder}::{name}"));
        }
    }
    found
}

fn errors_below(folder: &Path, name: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = path.file_name().unwrap().to_str().unwrap();
            errors_below(&path, format!("{name}/{below}").trim_start_matches('/'), found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.extend(errors_of(name, &fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn no_public_error_is_left_out_of_the_catalogue() {
    let mut there = BTreeSet::new();
    errors_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut there);
    assert!(there.len() > 50, "only {} were found", there.len());
    let shown: BTreeSet<String> = all().iter().map(|one| one.error.to_owned()).collect();
    // Training is compiled with the feature tch alone.
    let missing: Vec<_> = there.difference(&shown).filter(|one| !one.starts_with("keygen/torch")).collect();
    let gone: Vec<_> = shown.difference(&there).collect();
    assert!(missing.is_empty() && gone.is_empty(), "never shown: {missing:#?}\nnot there: {gone:#?}");
}

#[test]
fn the_search_finds_public_errors_alone() {
    let source = "#[derive(Debug, thiserror::Error)]\n#[error(\"no\")]\npub struct One(String);\n\
                  #[derive(Debug, Error)]\npub enum Two<E> {\n#[derive(Debug, thiserror::Error)]\nenum Own {\n#[derive(Debug)]\npub enum No {";
    assert_eq!(errors_of("a/b", source), ["a/b::One", "a/b::Two"]);
}
