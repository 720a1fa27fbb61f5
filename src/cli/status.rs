//! `sealgate status`: how the running gateway is, once or again and again.

use std::fmt::Write;
use std::io::{self, IsTerminal, Write as _};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{ConfigArgs, Exit, complain};
use crate::app::{StatusError, ask_status};
use crate::settings;
use crate::telemetry::snapshot::Snapshot;
use crate::telemetry::words::{bytes, span};

/// Show how the running gateway is: what comes in, what waits, what is wrong
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate status --watch\n\n\
    The exit code is 0 while the gateway is ready, and 1 where it is not or none runs.")]
pub(super) struct Status {
    #[command(flatten)]
    config: ConfigArgs,
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// Print it as JSON; with --watch one line each time
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Exit {
        let folder = match settings::load(&self.config.source()) {
            Ok(settings) => settings.spool.folder,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        loop {
            let shown = ask_status(&folder);
            let exit = self.show(&shown);
            match self.watch {
                // Whoever watches wants to see it come back.
                Some(seconds) => thread::sleep(Duration::from_secs(seconds)),
                None => return exit,
            }
        }
    }

    fn show(&self, shown: &Result<Snapshot, StatusError>) -> Exit {
        let clears = self.watch.is_some() && !self.json && io::stdout().is_terminal();
        let text = match shown {
            Ok(snapshot) if self.json => as_json(snapshot, self.watch.is_some()),
            Ok(snapshot) => in_words(snapshot),
            Err(error) => {
                if self.json {
                    println!("{}", json!({ "ok": false, "error": error.to_string() }));
                }
                complain(error);
                return Exit::Failed;
            }
        };
        // The screen is cleared and written in one go, or it would flicker.
        let text = if clears { format!("\x1b[H\x1b[2J{text}") } else { text };
        let written = writeln!(io::stdout(), "{text}");
        match shown {
            Ok(snapshot) if written.is_ok() && snapshot.not_ready.is_empty() => Exit::Done,
            _ => Exit::Failed,
        }
    }
}

fn as_json(snapshot: &Snapshot, one_line: bool) -> String {
    let mut value = json!(snapshot);
    value["ok"] = json!(snapshot.not_ready.is_empty());
    if one_line { value.to_string() } else { format!("{value:#}") }
}

fn in_words(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let now = snapshot.now_unix_millis / 1000;
    let ready = if snapshot.not_ready.is_empty() { "ready" } else { "NOT READY" };
    let up = span(now.saturating_sub(snapshot.started_unix));
    let memory = bytes(snapshot.process.resident_bytes);
    let _ = writeln!(out, "sealgate {} is {ready}, up {up}, {memory} of memory", snapshot.version);
    let doors: Vec<String> = snapshot
        .listeners
        .iter()
        .map(|one| match &one.tls {
            Some(profile) => format!("{} (tls {profile})", one.address),
            None => one.address.clone(),
        })
        .collect();
    let _ = writeln!(out, "listening    {}; {} associations", doors.join(", "), snapshot.associations);
    let totals = &snapshot.totals;
    let _ = writeln!(
        out,
        "since start  {} taken in, {} refused; {} forwarded, {} set aside; {} opened, {} not released",
        totals.stored,
        totals.store_refused,
        totals.forwarded,
        totals.set_aside,
        totals.opened,
        totals.not_opened
    );
    rooms(snapshot, &mut out);
    destinations(snapshot, &mut out);
    if snapshot.alarms.is_empty() {
        let _ = write!(out, "\nNothing to look at.");
    } else {
        let _ = write!(out, "\nTo look at:");
        for alarm in &snapshot.alarms {
            let _ = write!(out, "\n  {alarm}");
        }
    }
    out
}

/// Spool, keys, generator, audit trail and certificates, a line each.
fn rooms(snapshot: &Snapshot, out: &mut String) {
    if let Some(spool) = &snapshot.spool {
        let (used, limit, free) = (bytes(spool.bytes), bytes(spool.bytes_max), bytes(spool.free_bytes));
        let _ = writeln!(
            out,
            "spool        {} of {} instances, {used} of {limit}, {free} free on the disk",
            spool.entries, spool.entries_max
        );
    }
    if let Some(keys) = &snapshot.keys {
        let state =
            if keys.unlocked { "unlocked" } else { "locked: images are sealed, and cannot be opened here" };
        let _ = writeln!(out, "keys         for {}; {state}", keys.recipients.join(", "));
    }
    match &snapshot.generator {
        Some(one) => {
            let id = one.generator.get(..12).unwrap_or(&one.generator);
            let _ = writeln!(
                out,
                "generator    {id} on {}, {} of {} ready, {} missed",
                one.engine, one.ready, one.ready_max, one.missed
            );
        }
        None if snapshot.keys.is_some() => {
            let _ = writeln!(out, "generator    none; keys rest on system entropy alone");
        }
        None => {}
    }
    if let Some(audit) = &snapshot.audit {
        let behind: Vec<String> =
            audit.behind.iter().map(|(name, count)| format!("; {name} lacks {count}")).collect();
        let state = if audit.recording { "recording" } else { "NOT RECORDING" };
        let _ = writeln!(out, "audit trail  {state}, {} records{}", audit.durable, behind.concat());
    }
    if let Some(first) = snapshot.certificates.first() {
        let days = first.not_after_unix.saturating_sub(snapshot.now_unix_millis / 1000) / 86_400;
        let _ = writeln!(out, "certificates the first to end: {} in {days} days", first.name);
    }
}

fn destinations(snapshot: &Snapshot, out: &mut String) {
    if snapshot.destinations.is_empty() {
        return;
    }
    let widest = |of: fn(&crate::telemetry::snapshot::Destination) -> usize, least: usize| {
        snapshot.destinations.iter().map(of).max().unwrap_or(0).max(least)
    };
    let (name, address) = (widest(|one| one.name.len(), 11), widest(|one| one.address.len(), 7));
    let _ = writeln!(
        out,
        "\n{:<name$}  {:<address$}  {:<12}{:>9}{:>11}{:>10}",
        "destination", "address", "state", "waiting", "set aside", "oldest"
    );
    for one in &snapshot.destinations {
        let state =
            one.down_seconds.map_or_else(|| "up".to_owned(), |seconds| format!("DOWN {}", span(seconds)));
        let oldest = if one.waiting > 0 { span(one.oldest_seconds) } else { "-".to_owned() };
        let _ = writeln!(
            out,
            "{:<name$}  {:<address$}  {state:<12}{:>9}{:>11}{oldest:>10}",
            one.name, one.address, one.waiting, one.aside
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::snapshot::{Destination, Spool};

    #[test]
    fn what_is_down_and_what_waits_stands_in_the_table() {
        let snapshot = Snapshot {
            destinations: vec![Destination {
                name: "archive".into(),
                address: "ARCHIVE@pacs:104".into(),
                down_seconds: Some(130),
                waiting: 7,
                aside: 2,
                oldest_seconds: 60,
            }],
            spool: Some(Spool { entries: 9, ..Spool::default() }),
            not_ready: vec!["the spool is full".into()],
            alarms: vec!["the spool is full".into()],
            ..Snapshot::default()
        };
        let text = in_words(&snapshot);
        for wanted in [
            "NOT READY",
            "archive      ARCHIVE@pacs:104  DOWN 2 min          7          2      60 s",
            "To look at:\n  the spool is full",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }
}
