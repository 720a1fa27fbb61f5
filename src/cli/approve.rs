//! `sealgate approve`: the second person's word, without which nothing is destroyed.

use clap::Args;
use serde_json::{Value, json};

use super::custody::Office;
use super::time::{now_unix_millis, utc};
use super::{ConfigArgs, Exit, complain};
use crate::custody::{Action, Request};
use crate::flow::audit_custody;
use crate::grants::GrantFile;
use crate::keys::KeysError;
use crate::keys::destroy::{Holds, Order, destroy, parse_key_id};
use crate::settings::{self, Settings};

/// Approve what somebody else has asked for, which is done at once; or see what waits
#[derive(Debug, Args)]
#[command(after_help = "Examples: sealgate approve --list\n          \
    sealgate approve 1f0c23aa94b0d6e7812c")]
pub(super) struct Approve {
    /// The request, by the name it was given
    #[arg(required_unless_present = "list")]
    id: Option<String>,
    /// Show what waits for an approval
    #[arg(long, conflicts_with = "id")]
    list: bool,
    /// Take the request back instead
    #[arg(long, conflicts_with = "list")]
    withdraw: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

type Said = Result<(Value, String), String>;

impl Approve {
    pub(super) fn run(self) -> Exit {
        let settings = match settings::load(&self.config.source()) {
            Ok(settings) => settings,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        let office = Office::of(&settings);
        let said = match (&self.id, self.withdraw) {
            (None, _) => list(&office, &settings),
            (Some(id), true) => withdraw(&office, id),
            (Some(id), false) => approve(&office, &settings, id),
        };
        match said {
            Ok((mut fields, text)) => {
                fields["ok"] = json!(true);
                if self.json {
                    println!("{fields:#}");
                } else {
                    println!("{text}");
                }
                Exit::Done
            }
            Err(problem) => {
                if self.json {
                    println!("{:#}", json!({ "ok": false, "error": problem }));
                }
                complain(problem);
                Exit::Failed
            }
        }
    }
}

pub(super) fn now() -> u64 {
    u64::try_from(now_unix_millis() / 1000).unwrap_or_default()
}

fn list(office: &Office, settings: &Settings) -> Said {
    let waiting = office.requests.waiting(now()).map_err(|error| error.to_string())?;
    let as_json = |request: &Request| {
        let mut value = json!(request);
        value["id"] = json!(request.id());
        value["expires_unix_seconds"] = json!(request.expires(&settings.roles));
        value
    };
    let line = |request: &Request| {
        let until = utc(i64::try_from(request.expires(&settings.roles)).unwrap_or(i64::MAX));
        format!("{}  {} asks, until {until}: {}", request.id(), request.by, request.action.words())
    };
    let lines: Vec<String> = waiting.iter().map(line).collect();
    let text = if lines.is_empty() { "Nothing waits for an approval.".to_owned() } else { lines.join("\n") };
    Ok((json!({ "requests": waiting.iter().map(as_json).collect::<Vec<_>>() }), text))
}

fn withdraw(office: &Office, id: &str) -> Said {
    let request = office.requests.withdraw(id, &office.person).map_err(|error| error.to_string())?;
    audit_custody::withdrawn(id, &office.person.name, &request.action.words());
    Ok((json!({ "withdrawn": id }), format!("Withdrew {id}: {}.", request.action.words())))
}

/// Says that something was asked for, the same way for every action.
pub(super) fn asked(request: &Request) -> (Value, String) {
    let (id, what) = (request.id(), request.action.words());
    audit_custody::requested(&id, &request.by, request.uid, &what);
    let text = format!("{what}.\nThis needs a second person: `sealgate approve {id}`.");
    (json!({ "request": id, "waits_for": "a second person" }), text)
}

fn approve(office: &Office, settings: &Settings, id: &str) -> Said {
    let (person, at) = (&office.person, now());
    let request = office.requests.approve(id, person, at).map_err(|problem| {
        audit_custody::approval_refused(id, &person.name, person.uid, &problem.to_string());
        problem.to_string()
    })?;
    let done = carry_out(settings, &request, &person.name, at);
    let what = request.action.words();
    match &done {
        Ok(_) => audit_custody::approved(id, &request.by, &person.name, &what),
        Err(problem) => audit_custody::approved_in_vain(id, &person.name, &what, &problem.to_string()),
    }
    let said = done.map_err(|problem| format!("{problem}\n{}", problem.advice()))?;
    office.requests.close(id).map_err(|error| error.to_string())?;
    Ok(said)
}

fn carry_out(
    settings: &Settings,
    request: &Request,
    approver: &str,
    now: u64,
) -> Result<(Value, String), KeysError> {
    match &request.action {
        Action::Shred { studies, keys, reason } => {
            let wrong = |key: &String| KeysError::Destruction(format!("{key:?} is not the id of a key"));
            let order = Order {
                studies: studies.clone(),
                keys: keys
                    .iter()
                    .map(|key| parse_key_id(key).ok_or_else(|| wrong(key)))
                    .collect::<Result<_, _>>()?,
                reason: reason.clone(),
                requested_by: request.by.clone(),
                approved_by: approver.to_owned(),
                request: request.id(),
            };
            let certificate = destroy(&settings.keys, &order, now)?;
            let statement = &certificate.statement;
            audit_custody::destroyed(&certificate);
            let text = format!(
                "Destroyed {} keys of {} studies for good.\nWhat that cannot reach:\n  {}\n\
                 The certificate: `sealgate keys destroyed {} --json`.",
                statement.keys.len(),
                statement.studies.len(),
                statement.not_reached.join("\n  "),
                statement.request
            );
            Ok((json!({ "certificate": certificate }), text))
        }
        Action::LiftHold { hold, .. } => {
            let lifted = Holds::of(&settings.keys).lift(hold)?;
            Ok((json!({ "lifted": lifted }), format!("The legal hold {hold} is lifted.")))
        }
        Action::Grant { peer, seconds, reason } => {
            let by = format!("{} and {approver}", request.by);
            let grant = GrantFile::new(settings.grants.clone())
                .open(peer, *seconds, reason, &by, now)
                .map_err(|error| KeysError::Custody(error.to_string()))?;
            Ok((json!({ "grant": grant }), super::grant::in_words(&grant)))
        }
    }
}
