//! The command line explains itself: help with examples that parse, manual pages, completions.

use std::fs;
use std::process::{Command, Output};

use clap::CommandFactory;
use sealgate::cli::Cli;

/// Calls `look` with each command there is, from `sealgate` itself down, and its words.
fn each_command(all: clap::Command, look: &mut impl FnMut(&[String], &clap::Command)) {
    fn below(
        words: &mut Vec<String>,
        command: &clap::Command,
        look: &mut impl FnMut(&[String], &clap::Command),
    ) {
        words.push(command.get_name().to_owned());
        look(words, command);
        for next in command.get_subcommands().filter(|next| next.get_name() != "help") {
            below(words, next, look);
        }
        words.pop();
    }
    let mut all = all;
    all.build();
    below(&mut Vec::new(), &all, look);
}

/// The examples of a help text: what stands behind `Example:` or `Examples:`, line by line up to an empty one.
fn examples(help: &str) -> Vec<&str> {
    let rest = help.split_once("Example: ").or_else(|| help.split_once("Examples: "));
    let lines = rest.map_or("", |(_, rest)| rest).lines();
    lines.take_while(|line| !line.trim().is_empty()).flat_map(|line| line.split(';')).map(str::trim).collect()
}

/// The words of a line for a shell, up to a redirection or a pipe.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    assert!(quote.is_none(), "a quotation without an end: {line}");
    let ends = |word: &String| matches!(word.as_str(), ">" | ">>" | "|" | "<");
    words.into_iter().take_while(|word| !ends(word)).filter(|word| !word.is_empty()).collect()
}

/// How many commands there are, and what is wrong with their examples.
fn problems(all: &clap::Command) -> (usize, Vec<String>) {
    let (mut commands, mut problems) = (0, Vec::new());
    each_command(all.clone(), &mut |path, command| {
        commands += 1;
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let own: Vec<_> = examples(&help).into_iter().filter(|line| line.starts_with("sealgate ")).collect();
        if own.is_empty() {
            problems.push(format!("{}: no example", path.join(" ")));
        }
        for example in own {
            let words = words(example);
            if !words.starts_with(path) {
                problems.push(format!("{}: an example of another command: {example}", path.join(" ")));
            }
            if let Err(error) = all.clone().try_get_matches_from(&words) {
                problems.push(format!("{}: `{example}` does not parse: {error}", path.join(" ")));
            }
        }
    });
    (commands, problems)
}

#[test]
fn every_command_has_an_example_that_parses() {
    let (commands, problems) = problems(&Cli::command());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(commands > 50, "only {commands} commands were seen");
}

#[test]
fn a_missing_a_foreign_and_a_wrong_example_are_found() {
    let flag = clap::Arg::new("out").long("out").num_args(1);
    let all = clap::Command::new("sealgate").after_help("Example: sealgate one --out x > y").subcommands([
        clap::Command::new("one")
            .arg(flag.clone())
            .after_help("Examples: sealgate one --out 'a b'\n  sealgate two\n\nMore."),
        clap::Command::new("two").after_help("It has none."),
        clap::Command::new("three").arg(flag).after_help("Example: sealgate three --of x"),
    ]);
    let (commands, found) = problems(&all);
    let found: Vec<_> = found.iter().map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(commands, 4);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "sealgate one: an example of another command: sealgate two");
    assert_eq!(found[1], "sealgate two: no example");
    assert!(found[2].starts_with("sealgate three: `sealgate three --of x` does not parse"), "{found:?}");
}

#[test]
fn every_command_and_every_flag_says_what_it_is_for() {
    let mut problems = Vec::new();
    each_command(Cli::command(), &mut |path, command| {
        if command.get_about().is_none_or(|about| about.to_string().len() < 10) {
            problems.push(format!("{}: nothing is said about it", path.join(" ")));
        }
        let silent = command.get_arguments().filter(|argument| argument.get_help().is_none());
        problems.extend(silent.map(|argument| format!("{} {}", path.join(" "), argument.get_id())));
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn sealgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealgate")).args(arguments).output().unwrap()
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man");
    let output = sealgate(&["manual", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let mut pages = 0;
    each_command(Cli::command(), &mut |path, _| {
        let text = fs::read_to_string(out.join(format!("{}.1", path.join("-"))))
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(text.contains("Example"), "{path:?}");
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{path:?}: {text}");
        pages += 1;
    });
    assert_eq!(fs::read_dir(&out).unwrap().count(), pages, "pages of commands that are not there");
}

#[test]
fn shells_can_complete_what_there_is() {
    for shell in ["bash", "zsh", "fish"] {
        let output = sealgate(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("export-public"), "{shell}: {script:.200}");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("sealgate");
    fs::write(&script, sealgate(&["completions", "bash"]).stdout).unwrap();
    let asked =
        "COMP_WORDS=(sealgate keys rot); COMP_CWORD=2; _sealgate sealgate rot keys; echo \"${COMPREPLY[@]}\"";
    let line = format!("source {}; {asked}", script.display());
    let output = Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "rotate", "{output:?}");
}
