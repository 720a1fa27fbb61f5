//! `sealgate approve`: the second person's word, without which nothing is destroyed.

use clap::Args;
use serde_json::{Value, json};

use super::custody::Office;
use super::time::{now_unix_millis, utc};
use super::{ConfigArgs, Exit, complain};
use crate::custody::{Action, Request};
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
    office.ledger.withdrawn(id, &request.action.words()).map_err(|error| error.to_string())?;
    Ok((json!({ "withdrawn": id }), format!("Withdrew {id}: {}.", request.action.words())))
}

/// Asks for something that takes two persons, the same way for every action. What cannot be recorded is not asked for.
pub(super) fn ask(office: &Office, action: Action) -> Result<(Value, String), KeysError> {
    let request = office.requests.ask(action, &office.person, now())?;
    let (id, what) = (request.id(), request.action.words());
    if let Err(problem) = office.ledger.requested(&id, &what) {
        office.requests.close(&id)?;
        return Err(problem.into());
    }
    let text = format!("{what}.\nThis needs a second person: `sealgate approve {id}`.");
    Ok((json!({ "request": id, "waits_for": "a second person" }), text))
}

fn approve(office: &Office, settings: &Settings, id: &str) -> Said {
    let (ledger, at) = (&office.ledger, now());
    let request = office.requests.approve(id, &office.person, at).map_err(|problem| {
        ledger.approval_refused(id, &problem.to_string()).unwrap_or_else(complain);
        problem.to_string()
    })?;
    let what = request.action.words();
    ledger.approves(id, &request.by, &what).map_err(|problem| KeysError::from(problem).to_string())?;
    let done = carry_out(settings, &request, office, at);
    let noted = match &done {
        Ok(_) => ledger.carried_out(id, &what),
        Err(problem) => ledger.approved_in_vain(id, &what, &problem.to_string()),
    };
    noted.unwrap_or_else(complain);
    let said = done.map_err(|problem| format!("{problem}\n{}", problem.advice()))?;
    office.requests.close(id).map_err(|error| error.to_string())?;
    Ok(said)
}

fn carry_out(
    settings: &Settings,
    request: &Request,
    office: &Office,
    now: u64,
) -> Result<(Value, String), KeysError> {
    let approver = &office.person.name;
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
                approved_by: approver.clone(),
                request: request.id(),
            };
            let certificate = destroy(&settings.keys, &order, now)?;
            let statement = &certificate.statement;
            // It is done, and the certificate lies there: a record that fails is told, and undoes nothing.
            office.ledger.destroyed(&certificate).unwrap_or_else(complain);
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
