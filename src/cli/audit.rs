//! `sealgate audit`: the audit trail verified, and shown to people.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::custody::{self, Office};
use super::time::unix_millis;
use super::{ConfigArgs, Exit, complain};
use crate::audit::{AuditError, Entry, Filter, Record, Report, entries, note_use, verify};
use crate::custody::{Person, Role};
use crate::settings;

/// Verify the audit trail, or see what is in it
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate audit show --failed")]
pub(super) struct AuditCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Find out whether records were changed, removed or put elsewhere; while the service runs or not
    #[command(after_help = "Example: sealgate audit verify --key \"$(cat signing.pub)\"")]
    Verify(Verify),
    /// Show what happened
    #[command(
        after_help = "Example: sealgate audit show --from 2026-01-31 --peer er-viewer --event released"
    )]
    Show(Show),
}

#[derive(Debug, Args)]
struct Common {
    /// The folder of the log, instead of audit.folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
struct Verify {
    /// The public key, as signing.pub has it, from a copy that was kept elsewhere
    #[arg(long, value_name = "DIGITS")]
    key: Option<String>,
    /// A record that has to be there, as the log of the service or a colleague noted it
    #[arg(long, value_name = "NUMBER:HASH", value_parser = expected)]
    expect: Option<(u64, String)>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Show {
    /// Not before: 2026-01-31 or 2026-01-31T06:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// Only what this peer took part in: its name, AE title or address
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// Only what is about this study, patient or instance
    #[arg(long, value_name = "ID")]
    study: Option<String>,
    /// Only events of this name
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only failures and refusals
    #[arg(long)]
    failed: bool,
    /// Print the messages as they are sent
    #[arg(long, conflicts_with = "json")]
    xml: bool,
    #[command(flatten)]
    common: Common,
}

impl AuditCommand {
    pub(super) fn run(self) -> Exit {
        match self.action {
            Action::Verify(verify) => verify.run(),
            Action::Show(show) => show.run(),
        }
    }
}

impl Common {
    /// The folder to read, once it is recorded that somebody reads it (PS3.15 A.5.3.2).
    fn folder(&self, how: &str) -> Result<PathBuf, Exit> {
        if let Some(folder) = &self.folder {
            // A copy at an auditor's desk has no service, and needs no record; the trail itself gets one by any name.
            let _ = note_use(folder, &Person::here(None).name, how);
            return Ok(folder.clone());
        }
        let settings = settings::load(&self.config.source()).map_err(|error| {
            complain(error);
            Exit::Configuration
        })?;
        custody::require(&settings, &[Role::Auditor, Role::Custodian])?;
        // A trail that takes no records is the one that has to be looked at: said, and not refused.
        let noted = Office::of(&settings).ledger.reads_the_trail(how);
        noted.unwrap_or_else(|problem| complain(format_args!("this reading is not recorded: {problem}")));
        Ok(settings.audit.folder)
    }

    fn fail(&self, error: &AuditError) -> Exit {
        if self.json {
            println!("{:#}", json!({ "good": false, "error": error.to_string() }));
        }
        complain(format_args!("{error}\n{}", error.advice()));
        Exit::Failed
    }
}

impl Verify {
    fn run(self) -> Exit {
        let folder = match self.common.folder("audit verify") {
            Ok(folder) => folder,
            Err(exit) => return exit,
        };
        let expect = self.expect.as_ref().map(|(number, hash)| (*number, hash.as_str()));
        let report = match verify(&folder, self.key.as_deref(), expect) {
            Ok(report) => report,
            Err(error) => return self.common.fail(&error),
        };
        if self.common.json {
            println!("{:#}", json!(report));
        } else {
            println!("{}", in_words(&report, self.key.is_some()));
        }
        if report.good { Exit::Done } else { Exit::Failed }
    }
}

fn in_words(report: &Report, has_own_key: bool) -> String {
    let Report { records, events, signatures, first, last, last_hash, signed, key, .. } = report;
    let mut lines = vec![format!(
        "{records} records, {first} to {last}: {events} messages, {signatures} good signatures of the key {key}."
    )];
    lines.push(format!("The last record is {last}:{last_hash}."));
    if !has_own_key {
        lines
            .push("The key stands beside the log: compare it with a copy kept elsewhere (--key).".to_owned());
    }
    if signed < last {
        let unsigned = last - signed;
        lines.push(format!(
            "{unsigned} records behind the last signature: of these the end could be cut off unseen."
        ));
    }
    lines.extend(report.notes.iter().map(|note| format!("Note: {note}.")));
    lines.extend(report.problems.iter().map(|problem| format!("WRONG: {problem}.")));
    let verdict = if report.good {
        "The audit trail is as it was written."
    } else {
        "The audit trail is NOT as it was written."
    };
    lines.push(verdict.to_owned());
    lines.join("\n")
}

impl Show {
    fn run(self) -> Exit {
        let folder = match self.common.folder("audit show") {
            Ok(folder) => folder,
            Err(exit) => return exit,
        };
        let filter = Filter {
            from: self.from,
            until: self.until,
            peer: self.peer.clone(),
            about: self.study.clone(),
            event: self.event.clone(),
            failed: self.failed,
        };
        let shown = entries(&folder, &filter, |entry, record| {
            println!("{}", self.line(&entry, record));
            true
        });
        match shown {
            Ok(0) => Exit::Done,
            Ok(bad) => {
                complain(format_args!("{bad} lines are no records: ask `sealgate audit verify`"));
                Exit::Failed
            }
            Err(error) => self.common.fail(&error),
        }
    }

    fn line(&self, entry: &Entry, record: &Record) -> String {
        if self.xml {
            return record.body.clone();
        }
        if self.common.json {
            return json!(entry).to_string();
        }
        let Entry { number, time, event, ok, parties, objects, instances, text, .. } = entry;
        let outcome = if *ok { "" } else { " FAILED" };
        let count =
            if instances.is_empty() { String::new() } else { format!("; {} instances", instances.len()) };
        let text = if text.is_empty() { String::new() } else { format!("; {text}") };
        // What others have sent must not steer the terminal.
        let line = format!(
            "{number}  {time}  {event}{outcome}: {}; about {}{count}{text}",
            parties.join(", "),
            objects.join(", ")
        );
        line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}

fn time(text: &str) -> Result<u64, String> {
    u64::try_from(unix_millis(text)?).map_err(|_| format!("{text:?} lies before 1970"))
}

fn expected(text: &str) -> Result<(u64, String), String> {
    let wrong = || format!("{text:?} is not NUMBER:HASH");
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok((
        number.parse().map_err(|_| wrong())?,
        Some(hash.to_lowercase()).filter(|_| is_hash).ok_or_else(wrong)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_number_and_hash() {
        let hash = "a".repeat(64);
        assert_eq!(expected(&format!("12:{hash}")), Ok((12, hash)));
        for text in ["12", "12:aa", &format!("x:{}", "a".repeat(64))] {
            assert!(expected(text).is_err());
        }
    }
}
