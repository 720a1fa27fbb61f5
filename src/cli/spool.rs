//! `sealgate spool`: what waits for the PACS, why, and what an operator decides about it.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::custody::{self, Office};
use super::spool_drain::drain;
use super::time::now_unix_millis;
use super::{ConfigArgs, Exit, complain};
use crate::audit::AuditError;
use crate::custody::{Person, Role};
use crate::flow::Ticket;
use crate::flow::audit_custody::Ledger;
use crate::flow::commitment::{AskedOf, Pending, Stage, kept_until, pending};
use crate::policy::Destination;
use crate::settings;
use crate::spool::{
    Config, EntryId, Listing, Mailbox, Reply, Request, Spool, SpoolError, State, Summary, Wish, look, look_at,
};
use crate::telemetry::words::span;

/// How long the service may take to carry out what is asked.
const REPLY_PATIENCE: Duration = Duration::from_secs(20);

/// See and decide about what waits for the PACS
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate spool list")]
pub(super) struct SpoolCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what is in the spool, while the service runs or not
    #[command(after_help = "Example: sealgate spool list --aside --json")]
    List(List),
    /// Show one entry
    #[command(after_help = "Example: sealgate spool show 00112233445566778899aabbccddeeff")]
    Show(Show),
    /// Try deliveries again that were put off or set aside
    #[command(after_help = "Example: sealgate spool retry --destination archive")]
    Retry(Decide),
    /// Give deliveries up, for good
    #[command(
        after_help = "Example: sealgate spool drop 00112233445566778899aabbccddeeff --reason 'sent again by hand'"
    )]
    Drop(Drop),
    /// Wait until nothing is on its way any more
    #[command(after_help = "Example: sealgate spool drain --timeout 600")]
    Drain(Drain),
    /// List the storage commitments that modalities wait for
    #[command(after_help = "Example: sealgate spool commitments --json")]
    Commitments(Commitments),
}

#[derive(Debug, Args)]
struct Common {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
struct List {
    /// Only what goes to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only what was set aside
    #[arg(long)]
    aside: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Show {
    /// The entry, as `list` names it
    entry: EntryId,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Decide {
    /// The entries, as `list` names them; without any, all that were put off or set aside
    entries: Vec<EntryId>,
    /// Only their delivery to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Drop {
    /// The entries, as `list` names them
    #[arg(required = true)]
    entries: Vec<EntryId>,
    /// Only their delivery to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Commitments {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Drain {
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    common: Common,
}

impl SpoolCommand {
    pub(super) fn run(self) -> Exit {
        let common = match &self.action {
            Action::List(list) => &list.common,
            Action::Show(show) => &show.common,
            Action::Retry(decide) => &decide.common,
            Action::Drop(drop) => &drop.common,
            Action::Drain(drain) => &drain.common,
            Action::Commitments(commitments) => &commitments.common,
        };
        let settings = match settings::load(&common.config.source()) {
            Ok(settings) => settings,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        if matches!(self.action, Action::Retry(_) | Action::Drop(_))
            && let Err(exit) = custody::require(&settings, &[Role::Operator])
        {
            return exit;
        }
        let ledger = || Office::of(&settings).ledger;
        let (config, places) = (&settings.spool, &settings.destinations);
        let as_json = common.json;
        let answer = match &self.action {
            Action::List(list) => list.run(config, places),
            Action::Show(show) => show.run(config, places),
            Action::Retry(decide) => decide.run(config, ledger),
            Action::Drop(drop) => drop.run(config, ledger),
            Action::Drain(drain) => drain.run(config),
            Action::Commitments(_) => commitments(config),
        };
        match answer {
            Ok((fields, _, exit)) if as_json => {
                println!("{fields:#}");
                exit
            }
            Ok((_, text, exit)) => {
                println!("{text}");
                exit
            }
            Err(Problem(text)) => {
                complain(text);
                Exit::Failed
            }
        }
    }
}

/// As JSON, in words, and how it ended.
type Answer = Result<(Value, String, Exit), Problem>;

/// What to tell whoever asked.
struct Problem(String);

impl From<SpoolError> for Problem {
    fn from(error: SpoolError) -> Self {
        Self(format!("{error}\n{}", error.advice()))
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        let advice = error.advice();
        Self(format!("this cannot be recorded in the audit trail, so it is not done: {error}\n{advice}"))
    }
}

fn now() -> u64 {
    u64::try_from(now_unix_millis()).unwrap_or(0)
}

impl List {
    fn run(&self, config: &Config, places: &[Destination]) -> Answer {
        let Listing { entries, damaged, unreadable } = look(&config.folder)?;
        let wanted = |entry: &&Summary| {
            entry.deliveries.iter().any(|delivery| {
                self.destination.as_ref().is_none_or(|name| *name == delivery.destination)
                    && (!self.aside || delivery.delivery.state == State::Aside)
            })
        };
        let found: Vec<&Summary> = entries.iter().filter(wanted).collect();
        let mut lines: Vec<String> = found.iter().map(|entry| in_words(entry, places)).collect();
        lines.extend(damaged.iter().map(|entry| format!("{}  damaged: {}", entry.id, entry.reason)));
        lines.extend(unreadable.iter().map(|entry| format!("{}  does not read: {}", entry.id, entry.reason)));
        if lines.is_empty() {
            lines.push("Nothing waits.".to_owned());
        }
        let found: Vec<Value> = found.into_iter().map(|entry| as_json(entry, places)).collect();
        let fields = json!({ "entries": found, "damaged": damaged, "unreadable": unreadable });
        Ok((fields, lines.join("\n"), Exit::Done))
    }
}

/// What an entry still waits for at a place that has it.
fn until(entry: &Summary, index: usize, places: &[Destination]) -> Option<&'static str> {
    let delivery = entry.deliveries.get(index)?;
    let place = places.iter().find(|place| place.name == delivery.destination);
    kept_until(entry.holds, index, place).filter(|_| delivery.delivery.state == State::Done)
}

fn as_json(entry: &Summary, places: &[Destination]) -> Value {
    let deliveries = entry.deliveries.iter().enumerate().map(|(index, delivery)| {
        let mut fields = json!(delivery);
        fields["kept_until"] = json!(until(entry, index, places));
        fields
    });
    json!({
        "entry": entry.id, "instance": String::from_utf8_lossy(&entry.key), "bytes": entry.content_bytes,
        "committed_unix_millis": entry.committed_unix_millis, "deliveries": deliveries.collect::<Vec<_>>(),
    })
}

fn in_words(entry: &Summary, places: &[Destination]) -> String {
    let age = span(entry.age_millis(now()) / 1000);
    let deliveries: Vec<String> = entry
        .deliveries
        .iter()
        .enumerate()
        .map(|(index, found)| {
            let delivery = &found.delivery;
            let state = format!("{:?}", delivery.state).to_lowercase();
            let tries = if delivery.attempts > 0 {
                format!(" after {} tries", delivery.attempts)
            } else {
                String::new()
            };
            let why =
                if delivery.reason.is_empty() { String::new() } else { format!(" ({})", delivery.reason) };
            let kept =
                until(entry, index, places).map_or_else(String::new, |word| format!(", kept until {word}"));
            format!("{}: {state}{tries}{why}{kept}", found.destination)
        })
        .collect();
    let instance = String::from_utf8_lossy(&entry.key);
    format!(
        "{}  {age:>7}  {:>12} bytes  {instance}\n    {}",
        entry.id,
        entry.content_bytes,
        deliveries.join("; ")
    )
}

fn commitments(config: &Config) -> Answer {
    let (found, damaged) = pending(&config.folder)?;
    let mut lines: Vec<String> = found.iter().map(commitment_in_words).collect();
    lines
        .extend(damaged.iter().map(|paper| format!("paper {paper} does not read; its modality is not told")));
    if lines.is_empty() {
        lines.push("No modality waits for a storage commitment.".to_owned());
    }
    Ok((json!({ "commitments": found, "damaged": damaged }), lines.join("\n"), Exit::Done))
}

fn commitment_in_words(one: &Pending) -> String {
    let Pending { transaction, peer, instances, stage, asked, received_unix_millis } = one;
    let stage = match stage {
        Stage::Forwarding => "its instances are being forwarded",
        Stage::Asking => "PACS are asked",
        Stage::Telling => "decided, the modality has not heard it yet",
    };
    let asked: Vec<String> = asked
        .iter()
        .map(|AskedOf { destination, instances, asked_unix_millis, failed }| {
            match (failed, asked_unix_millis) {
                (Some(0), _) => format!("{destination}: has all {instances}"),
                (Some(failed), _) => format!("{destination}: {failed} of {instances} not committed"),
                (None, 0) => format!("{destination}: not asked yet"),
                (None, at) => {
                    format!("{destination}: asked {} ago, no answer", span(now().saturating_sub(*at) / 1000))
                }
            }
        })
        .collect();
    let age = span(now().saturating_sub(*received_unix_millis) / 1000);
    let asked = if asked.is_empty() { String::new() } else { format!("\n    {}", asked.join("; ")) };
    format!("{transaction}  {age:>7}  {instances} instances of {peer}: {stage}{asked}")
}

impl Show {
    fn run(&self, config: &Config, places: &[Destination]) -> Answer {
        let meta = look_at(&config.folder, self.entry)?;
        let listing = look(&config.folder)?;
        let summary = listing.entries.iter().find(|entry| entry.id == self.entry);
        let ticket = Ticket::read(&meta.bytes).ok();
        let fields = json!({ "entry": summary.map(|entry| as_json(entry, places)), "ticket": ticket });
        let mut text = summary.map_or_else(|| self.entry.to_string(), |entry| in_words(entry, places));
        if let Some(Ticket { sop_class, study, transfer_syntax, calling, called, route, seal, .. }) = ticket {
            let study = study.map_or("unknown".to_owned(), |study| study.to_string());
            text = format!(
                "{text}\n    class {sop_class}, study {study}, transfer syntax {transfer_syntax}\n    \
                 from {calling} to {called}, route {route}, {seal:?}"
            );
        }
        Ok((fields, text, Exit::Done))
    }
}

/// Who has the spool.
enum Held {
    Here(Spool),
    ByTheService,
}

fn open(config: &Config) -> Result<Held, SpoolError> {
    match Spool::open(config) {
        Ok((spool, _)) => Ok(Held::Here(spool)),
        Err(SpoolError::Locked(_)) => Ok(Held::ByTheService),
        Err(error) => Err(error),
    }
}

/// Has the running service decide.
fn ask(
    config: &Config,
    wish: Wish,
    entries: Vec<EntryId>,
    destination: Option<String>,
    reason: String,
) -> Answer {
    let by = Person::here(None).name;
    let request = Request { wish, entries, destination, reason, by };
    let Some(Reply { changed, problems }) = Mailbox::of(&config.folder).ask(&request, REPLY_PATIENCE)? else {
        let seconds = REPLY_PATIENCE.as_secs();
        let text = format!("The service has not answered within {seconds} s. Asking again does no harm.");
        return Ok((json!({ "answered": false }), text, Exit::Failed));
    };
    let (key, words) = match wish {
        Wish::Retry => ("retried", "are tried again now"),
        Wish::Drop => ("dropped", "were given up"),
    };
    let text = std::iter::once(format!("{changed} deliveries {words}.")).chain(problems.iter().cloned());
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Failed };
    Ok((json!({ key: changed, "problems": problems }), text.collect::<Vec<_>>().join("\n"), exit))
}

impl Decide {
    fn run(&self, config: &Config, ledger: impl FnOnce() -> Ledger) -> Answer {
        let spool = match open(config)? {
            Held::Here(spool) => spool,
            Held::ByTheService => {
                let (entries, reason) = (self.entries.clone(), String::new());
                return ask(config, Wish::Retry, entries, self.destination.clone(), reason);
            }
        };
        let all = || spool.list(0, usize::MAX).into_iter().map(|entry| entry.id).collect();
        let entries: Vec<EntryId> = if self.entries.is_empty() { all() } else { self.entries.clone() };
        ledger().retries(entries.len(), self.destination.as_deref())?;
        let mut tried = 0;
        for entry in entries {
            tried += spool.retry(entry, self.destination.as_deref(), now())?;
        }
        Ok((
            json!({ "retried": tried }),
            format!("{tried} deliveries are tried again when the service starts."),
            Exit::Done,
        ))
    }
}

impl Drop {
    fn run(&self, config: &Config, ledger: impl FnOnce() -> Ledger) -> Answer {
        let spool = match open(config)? {
            Held::Here(spool) => spool,
            Held::ByTheService => {
                let (entries, reason) = (self.entries.clone(), self.reason.clone());
                return ask(config, Wish::Drop, entries, self.destination.clone(), reason);
            }
        };
        let (ledger, to) = (ledger(), self.destination.as_deref());
        let mut dropped = 0;
        for entry in &self.entries {
            let instance = spool.show(*entry)?.key;
            ledger.gives_up(*entry, &String::from_utf8_lossy(&instance), to, &self.reason)?;
            dropped += spool.discard(*entry, to, &self.reason, now())?;
        }
        Ok((json!({ "dropped": dropped }), format!("{dropped} deliveries were given up."), Exit::Done))
    }
}

impl Drain {
    fn run(&self, config: &Config) -> Answer {
        let left = drain(&config.folder, self.timeout)?;
        let exit = if left.waiting == 0 { Exit::Done } else { Exit::Unfinished };
        Ok((left.as_json(), left.in_words(), exit))
    }
}
