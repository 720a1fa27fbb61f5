//! `sealgate grant`: emergency access for a peer, for a reason and for a time, while the service runs.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::custody::Office;
use super::time::{now_unix_millis, utc};
use super::{ConfigArgs, Exit, complain};
use crate::custody::{Action, Role};
use crate::grants::GrantFile;
use crate::policy::Grant;
use crate::settings::{self, Settings};

/// Let a peer find and open every image for a while, whatever the configuration says; the service sees it at once
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example: sealgate grant er-viewer --for 30m --reason \"trauma, Dr. Weiss on call\""
)]
pub(super) struct GrantCommand {
    #[command(subcommand)]
    command: Option<Other>,
    /// The peer's name in the configuration
    #[arg(required = true)]
    peer: Option<String>,
    /// How long: 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, required = true)]
    time: Option<Duration>,
    /// Why; it goes into the audit trail, so name no patient
    #[arg(long, value_name = "TEXT", required = true)]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Show the emergency accesses that are open
    #[command(after_help = "Example: sealgate grant list --all")]
    List {
        /// Those that are over too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: Common,
    },
    /// End an emergency access before its time
    #[command(after_help = "Example: sealgate grant end er-viewer")]
    End {
        /// Its number, or the peer's name for all of that peer
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

impl GrantCommand {
    pub(super) fn run(self) -> Exit {
        match self.command {
            Some(Other::List { all, common }) => common.list(all),
            Some(Other::End { name, common }) => common.end(&name),
            None => {
                let (peer, time) = (self.peer.unwrap_or_default(), self.time.unwrap_or_default());
                self.common.open(&peer, time, &self.reason.unwrap_or_default())
            }
        }
    }
}

impl Common {
    fn open(&self, peer: &str, time: Duration, reason: &str) -> Exit {
        let (file, peers) = match self.file(&[Role::Operator, Role::Custodian]) {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        if !peers.iter().any(|known| known == peer) {
            complain(format_args!("there is no peer {peer:?} in the configuration: {}", peers.join(", ")));
            return Exit::Failed;
        }
        match self.ask(peer, time, reason) {
            Ok(None) => {}
            Ok(Some(exit)) | Err(exit) => return exit,
        }
        match file.open(peer, time.as_secs(), reason, &operator(), now()) {
            Ok(grant) => self.say(&[grant], "opened"),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// An operator opens no emergency access alone, where there are roles; a custodian may.
    fn ask(&self, peer: &str, time: Duration, reason: &str) -> Result<Option<Exit>, Exit> {
        let settings = self.settings()?;
        if !settings.roles.separates() {
            return Ok(None);
        }
        let office = Office::of(&settings);
        if office.person.has(Role::Custodian, &settings.roles) {
            return Ok(None);
        }
        let (peer, reason, seconds) = (peer.to_owned(), reason.to_owned(), time.as_secs());
        let asked = super::approve::ask(&office, Action::Grant { peer, seconds, reason });
        let (mut fields, text) = asked.map_err(|error| self.fail(&error.to_string()))?;
        fields["ok"] = json!(true);
        if self.json {
            println!("{fields:#}");
        } else {
            println!("{text}");
        }
        Ok(Some(Exit::Done))
    }

    fn list(&self, all: bool) -> Exit {
        let (file, _) = match self.file(&[Role::Operator, Role::Custodian, Role::Auditor]) {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        match file.load() {
            Ok(grants) => {
                let is_shown = |grant: &&Grant| all || grant.is_open(now());
                let shown: Vec<Grant> = grants.all().iter().filter(is_shown).cloned().collect();
                self.say(&shown, "listed")
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn end(&self, name: &str) -> Exit {
        let (file, _) = match self.file(&[Role::Operator, Role::Custodian]) {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        match file.end(name, now()) {
            Ok(ended) => self.say(&ended, "ended"),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// The file of grants, and the names of the peers there are.
    fn file(&self, wanted: &[Role]) -> Result<(GrantFile, Vec<String>), Exit> {
        let settings = self.settings()?;
        super::custody::require(&settings, wanted)?;
        let peers = settings.peers.iter().map(|peer| peer.name.clone()).collect();
        Ok((GrantFile::new(settings.grants), peers))
    }

    fn settings(&self) -> Result<Settings, Exit> {
        settings::load(&self.config.source()).map_err(|error| {
            complain(error);
            Exit::Configuration
        })
    }

    fn say(&self, grants: &[Grant], verb: &str) -> Exit {
        if self.json {
            let grants: Vec<Value> = grants.iter().map(as_json).collect();
            println!("{:#}", json!({ "ok": true, "done": verb, "grants": grants }));
        } else if grants.is_empty() {
            println!("No emergency access is open.");
        }
        for grant in grants.iter().filter(|_| !self.json) {
            println!("{}", in_words(grant));
        }
        Exit::Done
    }

    fn fail(&self, error: &str) -> Exit {
        if self.json {
            println!("{:#}", json!({ "ok": false, "error": error }));
        }
        complain(error);
        Exit::Failed
    }
}

fn as_json(grant: &Grant) -> Value {
    let mut value = json!(grant);
    value["open"] = json!(grant.is_open(now()));
    value
}

/// One line for people.
pub(super) fn in_words(grant: &Grant) -> String {
    let at = |seconds: u64| utc(i64::try_from(seconds).unwrap_or(i64::MAX));
    let Grant { id, peer, reason, by, from, until, ended } = grant;
    let end = match ended {
        Some(ended) => format!("ended {}", at(*ended)),
        None if grant.is_open(now()) => format!("open until {}", at(*until)),
        None => format!("over since {}", at(*until)),
    };
    format!("{id}: {peer}, {end}; opened {} by {by}: {reason}", at(*from))
}

fn now() -> u64 {
    u64::try_from(now_unix_millis() / 1000).unwrap_or_default()
}

/// Who is at the terminal, as far as the system says.
fn operator() -> String {
    let named = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
    let name = named.unwrap_or_else(|| "unknown".to_owned());
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// `90s`, `30m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time: write it as 30m or 2h");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "30", "m", "-1m", "1d", "ü"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
