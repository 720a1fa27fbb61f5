//! `sealgate probe`: tries a destination out with synthetic sealed images, and records what it does to them.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::time::{now_unix_millis, utc};
use super::{ConfigArgs, Exit, complain, own_door};
use crate::dicom::AeTitle;
use crate::keys::Keyring;
use crate::policy::{Destination, Fetch};
use crate::probe::{Door, Finding, Kind, Line, Outcome, Plan, ProbeError, Profile, Step, Verdict, probe};
use crate::scu::{self, Switchboard};
use crate::settings::{self, Settings};
use crate::tls::Profiles;

/// Try a PACS out before it is used
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate probe archive --config conf/gateway.toml\n\n\
    Stores a synthetic sealed image of each kind, fetches them, opens them, and records what the PACS did to them. `serve` \
    uses no destination that failed. The images stay at the PACS under the patient SEALGATE-PROBE, and can be deleted there.")]
pub(super) struct Probe {
    /// Name of the destination in the configuration
    destination: String,
    /// Seconds the PACS may take until images can be retrieved, instead of `probe.wait_seconds_max`
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait: Option<u64>,
    /// Where a C-MOVE leads to, instead of the first listener, and in clear; only with retrieve = "move"
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Why there is no result, as an exit code and a sentence.
type Stopped = (Exit, String);

impl Probe {
    pub(super) fn run(self) -> Exit {
        match self.probe() {
            Ok((profile, verdict)) => {
                if self.json {
                    println!(
                        "{:#}",
                        json!({ "ok": verdict.is_good(), "profile": profile, "verdict": verdict })
                    );
                } else {
                    print!("{}", in_words(&profile, &verdict));
                }
                if verdict.is_good() { Exit::Done } else { Exit::Failed }
            }
            Err((exit, why)) => {
                if self.json {
                    println!("{:#}", json!({ "ok": false, "error": why }));
                } else {
                    complain(why);
                }
                exit
            }
        }
    }

    fn probe(&self) -> Result<(Profile, Verdict), Stopped> {
        let wrong = |error: &dyn std::fmt::Display| (Exit::Configuration, error.to_string());
        let failed = |error: &dyn std::fmt::Display| (Exit::Failed, error.to_string());
        let settings = settings::load(&self.config.source()).map_err(|error| wrong(&error))?;
        settings.rules().map_err(|error| wrong(&error))?;
        let destination = self.find(&settings)?;
        let keyring = Keyring::load(&settings.keys.keyring_path(), &settings.keys.recipients)
            .map_err(|error| (Exit::Failed, format!("{error}\n{}", error.advice())))?;
        let profiles = Profiles::load(&settings.tls, &Profiles::default()).map_err(|error| wrong(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let bar = self.bar();
        let (study, findings) = runtime
            .block_on(self.work(&settings, destination, &keyring, &profiles, &bar))
            .inspect_err(|_| bar.finish_and_clear())?;
        bar.finish_and_clear();
        let now = u64::try_from(now_unix_millis() / 1000).unwrap_or_default();
        let (name, address) = (destination.name.clone(), destination.address.clone());
        let profile = Profile::new(name, address, now, study, findings);
        profile.save(&settings.probe.folder).map_err(|error| failed(&error))?;
        let verdict = profile.verdict(settings.keys.archive);
        Ok((profile, verdict))
    }

    fn find<'a>(&self, settings: &'a Settings) -> Result<&'a Destination, Stopped> {
        let names =
            || settings.destinations.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        settings.destinations.iter().find(|one| one.name == self.destination).ok_or_else(|| {
            let known = if settings.destinations.is_empty() {
                "there are no destinations: add [[destinations]]".to_owned()
            } else {
                format!("the destinations are {}", names())
            };
            (Exit::Configuration, format!("there is no destination {:?}; {known}", self.destination))
        })
    }

    async fn work(
        &self,
        settings: &Settings,
        destination: &Destination,
        keyring: &Keyring,
        profiles: &Profiles,
        bar: &ProgressBar,
    ) -> Result<(crate::dicom::Uid, Vec<Finding>), Stopped> {
        let calling = destination.calling.clone().or_else(|| settings.titles.first().cloned());
        let calling = calling.expect("rules want at least one title");
        let dialer = Switchboard::default();
        dialer.replace(settings.ways(profiles).map_err(|error| (Exit::Configuration, error.to_string()))?);
        let door = match destination.retrieve {
            Fetch::Get => None,
            Fetch::Move => Some(self.door(settings, profiles, &calling).await?),
        };
        let line = Line {
            dialer: &dialer,
            to: scu::Destination { address: destination.address.clone(), calling },
            fetch: destination.retrieve,
            door: door.as_ref(),
            association: settings.association.clone(),
            scu: Arc::new(settings.scu.clone()),
        };
        let wait = Duration::from_secs(self.wait.unwrap_or(settings.probe.wait_seconds_max));
        let plan = Plan { kinds: &Kind::ALL, keyring, wait };
        probe(&line, &plan, |step| show(bar, step)).await.map_err(|error| self.stopped(&error))
    }

    /// Where the PACS knows us; while the gateway runs, it is there.
    async fn door(&self, settings: &Settings, profiles: &Profiles, title: &AeTitle) -> Result<Door, Stopped> {
        let (address, server) = own_door(settings, profiles, self.listen);
        Door::open(address, server, title.clone(), settings.association.clone()).await.map_err(|error| {
            let what = format!(
                "cannot listen on {address} for what C-MOVE brings: {error}; stop the gateway for as long as the probe \
                 takes, or name with --listen another address that the PACS knows {title} under"
            );
            (Exit::Failed, what)
        })
    }

    fn stopped(&self, error: &ProbeError) -> Stopped {
        let name = &self.destination;
        match error {
            ProbeError::Peer(failure) => {
                (Exit::Peer, format!("{name} was not probed: {failure}\n{}", failure.advice()))
            }
            ProbeError::Keys(error) => (Exit::Failed, format!("{error}\n{}", error.advice())),
            error => (Exit::Failed, format!("{name} was not probed: {error}")),
        }
    }

    fn bar(&self) -> ProgressBar {
        let target = if self.json || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let steps = Kind::ALL.len() as u64 + 2;
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(steps), target).with_style(style)
    }
}

fn show(bar: &ProgressBar, step: Step) {
    match step {
        Step::Storing(kind) => {
            bar.set_message(format!("storing {}", kind.name()));
            bar.inc(1);
        }
        Step::Fetching => {
            bar.set_message("retrieving");
            bar.inc(1);
        }
        Step::Waiting(missing) => bar.set_message(format!("waiting for {missing} more")),
        Step::Comparing => {
            bar.set_message("comparing");
            bar.inc(1);
        }
    }
}

/// The profile as someone would read it aloud.
fn in_words(profile: &Profile, verdict: &Verdict) -> String {
    let mut lines = Vec::new();
    for finding in &profile.findings {
        let outcome = match finding.outcome {
            Outcome::Intact => "came back and opens bit for bit",
            Outcome::Altered => "does not open any more",
            Outcome::Lost => "did not come back",
            Outcome::Refused => "was not taken",
        };
        lines.push(format!("{:<16} {outcome}", finding.kind.name()));
    }
    let when = utc(i64::try_from(profile.probed_unix_seconds).unwrap_or(i64::MAX));
    lines.push(format!("\n{} at {}, {}.", profile.destination, profile.address, when));
    lines.extend(verdict.failures.iter().map(|failure| format!("FAILED: {failure}")));
    lines.extend(verdict.notes.iter().map(|note| format!("Note: {note}")));
    lines.push(if verdict.is_good() {
        "It can be used.".to_owned()
    } else {
        "It must not be used like this: `sealgate serve` refuses it.".to_owned()
    });
    lines.push(format!(
        "The probe's images are still there: patient SEALGATE-PROBE, study {}.\n",
        profile.study
    ));
    lines.join("\n")
}
