//! `sealgate check`: validates a configuration the way `serve` does, and says what it means.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::{ConfigArgs, Exit, complain};
use crate::app::{self, Listener};
use crate::cipher::Kind;
use crate::grants::GrantFile;
use crate::keygen::GeneratorStore;
use crate::keys::Keyring;
use crate::policy::{Criteria, Peer, Right, Route, Rules};
use crate::seal::Suite;
use crate::settings::{self, Settings, SettingsError, Source};
use crate::tls::{ClientCertificates, Expiry, Profiles};

/// Validate a configuration and say in plain words what it means
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate check --config conf/gateway.toml")]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Exit {
        let source = self.config.source();
        let checked = settings::load(&source).and_then(|settings| Ok((settings.rules()?, settings)));
        let checked = checked.and_then(|(rules, settings)| Ok((files_of(&settings)?, rules, settings)));
        let (files, rules, settings) = match checked {
            Ok(checked) => checked,
            Err(error) => return self.refuse(&error),
        };
        let probes = match app::ask_probes(&settings) {
            Ok(notes) => notes,
            Err(error) => return self.refuse(&error),
        };
        let warnings = [settings.warnings(), files.warnings, probes].concat();
        if self.json {
            println!("{:#}", as_json(&source, &settings, &rules, &warnings, &files.expiries));
        } else {
            print!("{}", in_words(&source, &settings, &rules, &warnings));
        }
        Exit::Done
    }

    fn refuse(&self, error: &SettingsError) -> Exit {
        if self.json {
            println!("{:#}", json!({ "ok": false, "error": error.to_string() }));
        } else {
            complain(error);
        }
        Exit::Configuration
    }
}

/// What the files of the TLS profiles say.
#[derive(Default)]
struct Files {
    warnings: Vec<String>,
    expiries: Vec<Expiry>,
}

/// Reads the files as `serve` does. What only the service's user can read is a note, not a mistake.
fn files_of(settings: &Settings) -> Result<Files, SettingsError> {
    let loaded = Profiles::load(&settings.tls, &Profiles::default());
    let profiles = match loaded.and_then(|profiles| settings.ways(&profiles).map(|_| profiles)) {
        Ok(profiles) => profiles,
        Err(error) if error.is_about_access() => {
            let note = format!("TLS files could not be checked: {error}; ask again as the service's user.");
            return Ok(Files { warnings: vec![note], ..Files::default() });
        }
        Err(error) => return Err(SettingsError::Value(error.to_string())),
    };
    let mut notes = Vec::new();
    match GrantFile::new(settings.grants.clone()).load() {
        Ok(grants) => {
            let now = u64::try_from(super::time::now_unix_millis() / 1000).unwrap_or_default();
            notes.extend(
                grants.open(now).map(|grant| format!("Emergency access {}.", super::grant::in_words(grant))),
            );
        }
        Err(error) if error.is_about_access() => {}
        Err(error) => notes.push(format!("No emergency access counts: {error}.")),
    }
    match settings.verifier() {
        Ok(_) => {}
        Err(error) if error.is_about_access() => notes.push(format!("Users could not be checked: {error}.")),
        Err(error) => return Err(SettingsError::Value(error.to_string())),
    }
    notes.extend(generator_notes(settings));
    notes.extend(dual_notes(settings));
    if let Some(users) = settings.identity.users.as_ref().filter(|users| is_open_to_all(users)) {
        notes.push(format!("Everybody on this machine can read {}: chmod 0600.", users.display()));
    }
    let now = SystemTime::now();
    let mut warnings: Vec<String> =
        profiles.expiries().filter_map(|expiry| expiry.warning(now)).map(|text| format!("{text}.")).collect();
    warnings.extend(profiles.open_keys().map(|key| {
        format!("Everybody on this machine can read the private key {key}: chmod 0600, owned by the service's user.")
    }));
    warnings.extend(notes);
    Ok(Files { warnings, expiries: profiles.expiries().cloned().collect() })
}

/// What the generator of the configuration is missing for.
fn generator_notes(settings: &Settings) -> Vec<String> {
    let Err(error) = GeneratorStore::new(&settings.keygen.folder).get(settings.keygen.generator) else {
        return Vec::new();
    };
    let inner = |route: &&Route| {
        Suite::from_name(&route.suite).is_some_and(|suite| suite.inner() == Some(Kind::NeuralStream))
    };
    let mut notes = vec![format!("Keys will rest on the operating system alone: {error}.")];
    notes.extend(settings.routes.iter().filter(inner).map(|route| {
        format!(
            "Route {} will refuse every image: its suite {} needs a generator: {error}.",
            route.name, route.suite
        )
    }));
    notes
}

/// Which routes wait for a dual key that there is none of.
fn dual_notes(settings: &Settings) -> Vec<String> {
    let keys = &settings.keys;
    let found =
        Keyring::load(&keys.keyring_path(), &keys.recipients).and_then(|keyring| keyring.dual_infos());
    let reason = match found {
        Ok(found) if found.is_empty() => "there is none; `sealgate keys dual` makes it".to_owned(),
        Ok(_) => return Vec::new(),
        Err(error) => error.to_string(),
    };
    let dual = |route: &&Route| Suite::from_name(&route.suite) == Some(Suite::Dual);
    let note = |route: &Route| {
        format!(
            "Route {} will refuse every image: its suite dual needs the site's dual key: {reason}.",
            route.name
        )
    };
    settings.routes.iter().filter(dual).map(note).collect()
}

fn is_open_to_all(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

fn name_of(source: &Source) -> String {
    source.file.as_ref().map_or_else(|| "built-in defaults".to_owned(), |file| file.display().to_string())
}

fn as_json(
    source: &Source,
    settings: &Settings,
    rules: &Rules,
    warnings: &[String],
    expiries: &[Expiry],
) -> serde_json::Value {
    let now = SystemTime::now();
    let certificates = expiries.iter().map(|expiry| {
        json!({
            "profile": expiry.profile, "key": expiry.key, "file": expiry.place, "name": expiry.name,
            "days_left": expiry.days_left(now),
        })
    });
    json!({
        "ok": true,
        "source": name_of(source),
        "listeners": settings.listeners,
        "titles": rules.titles(),
        "peers": rules.peers().collect::<Vec<_>>(),
        "destinations": rules.destinations(),
        "routes": rules.routes(),
        "ris": rules.ris(),
        "association": settings.association,
        "certificates": certificates.collect::<Vec<_>>(),
        "warnings": warnings,
    })
}

/// The configuration as someone would read it aloud.
fn in_words(source: &Source, settings: &Settings, rules: &Rules, warnings: &[String]) -> String {
    let mut text = String::new();
    let mut say = |line: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{line}");
    };
    say(format!("The configuration is good ({}).", name_of(source)));
    say(format!(
        "\nSealgate listens on {} and answers to {}.",
        list(settings.listeners.iter().map(listener_in_words)),
        list(rules.titles())
    ));
    say("\nWho may call (everybody else is refused):".to_owned());
    for peer in rules.peers() {
        say(format!("  {}", peer_in_words(peer)));
    }
    if rules.peers().len() == 0 {
        say("  nobody".to_owned());
    }
    say("\nWhere images go (the first route that fits is taken):".to_owned());
    for route in rules.routes() {
        say(format!("  {}", route_in_words(route, rules)));
    }
    if rules.routes().is_empty() {
        say("  nowhere: there are no routes, so nothing can be stored".to_owned());
    }
    if !rules.ris().is_empty() {
        say("\nWhere worklists come from and procedure steps go:".to_owned());
    }
    for ris in rules.ris() {
        let called =
            if ris.called.is_empty() { String::new() } else { format!(" for {}", list(&ris.called)) };
        say(format!("  {} ({}): {}{called}.", ris.name, ris.address, list(&ris.serves)));
    }
    let limits = &settings.association;
    say(format!(
        "\nLimits: {} associations, {} per peer, {} per address; a silent one is closed after {} s, any after {} s; \
         PDUs of up to {} bytes.",
        limits.associations_max,
        limits.associations_per_peer_max,
        limits.associations_per_address_max,
        limits.idle_seconds,
        limits.association_seconds_max,
        limits.pdu_bytes_max,
    ));
    for warning in warnings {
        say(format!("\nNote: {warning}"));
    }
    text
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn listener_in_words(listener: &Listener) -> String {
    let address = listener.address;
    match (&listener.tls, listener.asks()) {
        (None, _) => format!("{address} (plain)"),
        (Some(name), ClientCertificates::Required) => {
            format!("{address} (TLS {name}, with client certificates)")
        }
        (Some(name), ClientCertificates::Optional) => {
            format!("{address} (TLS {name}, client certificates optional)")
        }
        (Some(name), ClientCertificates::None) => {
            format!("{address} (TLS {name}, without client certificates)")
        }
    }
}

fn peer_in_words(peer: &Peer) -> String {
    let may = match peer.may.iter().collect::<Vec<_>>() {
        rights if rights.is_empty() => "may do nothing".to_owned(),
        rights => format!("may {}", list(rights)),
    };
    let at =
        if peer.called.is_empty() { String::new() } else { format!(", calling {} only", list(&peer.called)) };
    let sees = match (
        peer.may.contains(&Right::Open),
        peer.may.contains(&Right::Get) || peer.may.contains(&Right::Move) || peer.receives.is_some(),
    ) {
        (true, true) if peer.opens.is_empty() => " It receives images opened.".to_owned(),
        (true, true) => {
            let some: Vec<String> = peer.opens.iter().map(criteria_in_words).collect();
            format!(" It receives images opened {}.", some.join(", or "))
        }
        (false, true) => " It does not receive opened images.".to_owned(),
        _ => String::new(),
    };
    format!("{}: {} from {}{at} {may}.{sees}", peer.name, peer.title, list(&peer.addresses))
}

/// The conditions under which something is opened.
fn criteria_in_words(criteria: &Criteria) -> String {
    let one_of = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(" or ");
    let rows = [
        ("of modality", one_of(&mut criteria.modality.iter().cloned())),
        ("of institution", one_of(&mut criteria.institution.iter().cloned())),
        ("of department", one_of(&mut criteria.department.iter().cloned())),
        (
            "of studies at most so many days old:",
            one_of(&mut criteria.study_days_max.iter().map(u32::to_string)),
        ),
        ("that belong to route", one_of(&mut criteria.routes.iter().cloned())),
        ("at", one_of(&mut criteria.hours.iter().map(ToString::to_string))),
    ];
    let said = rows.iter().filter(|(_, values)| !values.is_empty());
    said.map(|(what, values)| format!("{what} {values}")).collect::<Vec<_>>().join(" ")
}

fn route_in_words(route: &Route, rules: &Rules) -> String {
    let mut conditions = Vec::new();
    let mut condition = |what: &str, values: Vec<String>| {
        if !values.is_empty() {
            conditions.push(format!("{what} {}", values.join(" or ")));
        }
    };
    condition("from", route.calling.iter().map(ToString::to_string).collect());
    condition("to", route.called.iter().map(ToString::to_string).collect());
    condition("of modality", route.modality.iter().cloned().collect());
    condition("of SOP class", route.sop_class.iter().map(ToString::to_string).collect());
    condition("from station", route.station.iter().cloned().collect());
    let what = if conditions.is_empty() {
        "everything".to_owned()
    } else {
        format!("what comes {}", conditions.join(", "))
    };
    let places = route.destinations.iter().map(|name| {
        let known = rules.destinations().iter().find(|destination| destination.name == *name);
        known.map_or_else(|| name.clone(), |destination| format!("{name} ({})", destination.address))
    });
    format!("{}: {what} goes to {}, sealed with {}.", route.name, list(places), route.suite)
}
