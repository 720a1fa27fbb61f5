//! The configuration as a whole: one file, the environment, then flags; every key known, every rule checked.

mod error;
mod load;
mod weak;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::association::Transport;
use crate::dicom::{AeAddress, AeTitle, Uid};
use crate::identity::{IdentityError, Verifier};
use crate::policy::{
    Commitment, Destination, Fetch, Identification, Peer, PurgeAfter, Right, Ris, Route, Rules, Serves,
};
use crate::seal::Suite;
use crate::tls::{self, LoadError, Profile, Profiles};
use crate::{
    app, association, audit, custody, flow, grants, http, identity, keygen, keys, probe, scu, spool,
    telemetry,
};

pub use error::SettingsError;
pub use load::{Source, load};
pub use weak::{Severity, Weakness};

/// Everything that can be configured. `conf/gateway.toml` says what each key does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The AE titles the gateway answers to.
    pub titles: Vec<AeTitle>,
    /// Storage SOP classes beyond the dictionary's, such as a vendor's private ones.
    pub private_storage_classes: Vec<Uid>,
    /// Where calls are taken.
    pub listeners: Vec<app::Listener>,
    /// The process: how it ends, how often it looks around.
    pub app: app::Config,
    /// Limits on connections and what comes over them.
    pub association: association::Config,
    /// Against what users' identities are verified.
    pub identity: identity::Config,
    /// Limits on what we ask of other nodes.
    pub scu: scu::Config,
    /// Certificates, keys and trust, for listeners and destinations.
    pub tls: Vec<Profile>,
    /// What waits for the PACS, on the disk.
    pub spool: spool::Config,
    /// How it is forwarded and acknowledged.
    pub forward: flow::Config,
    /// How it is made sure that the PACS has them for good.
    pub commitment: flow::commitment::Config,
    /// How images come back.
    pub release: flow::release::Config,
    /// Emergency accesses.
    pub grants: grants::Config,
    /// The audit trail.
    pub audit: audit::Config,
    /// The log.
    pub log: telemetry::Config,
    /// Key encryption keys, and where wrapped keys are kept.
    pub keys: keys::Config,
    /// Generators of key images.
    pub keygen: keygen::Config,
    /// Probes of destinations.
    pub probe: probe::Config,
    /// Who may run which command.
    pub roles: custody::Config,
    /// The web server.
    pub http: http::Config,
    /// Who may call.
    pub peers: Vec<Peer>,
    /// The PACS.
    pub destinations: Vec<Destination>,
    /// Which instances go where.
    pub routes: Vec<Route>,
    /// Where worklists come from and procedure steps go.
    pub ris: Vec<Ris>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            titles: vec![AeTitle::parse("SEALGATE").expect("a literal of eight letters")],
            private_storage_classes: Vec::new(),
            listeners: app::Listener::defaults(),
            app: app::Config::default(),
            association: association::Config::default(),
            identity: identity::Config::default(),
            scu: scu::Config::default(),
            tls: Vec::new(),
            spool: spool::Config::default(),
            forward: flow::Config::default(),
            commitment: flow::commitment::Config::default(),
            release: flow::release::Config::default(),
            grants: grants::Config::default(),
            audit: audit::Config::default(),
            log: telemetry::Config::default(),
            keys: keys::Config::default(),
            keygen: keygen::Config::default(),
            probe: probe::Config::default(),
            roles: custody::Config::default(),
            http: http::Config::default(),
            peers: Vec::new(),
            destinations: Vec::new(),
            routes: Vec::new(),
            ris: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks what no single key can show, and gives the rules that the gateway runs by.
    pub fn rules(&self) -> Result<Rules, SettingsError> {
        self.app.check().map_err(SettingsError::value)?;
        app::Listener::check_all(&self.listeners).map_err(SettingsError::value)?;
        self.check_tls().map_err(SettingsError::value)?;
        self.association.check().map_err(SettingsError::value)?;
        self.check_identity().map_err(SettingsError::value)?;
        self.scu.check().map_err(SettingsError::value)?;
        self.spool.check().map_err(SettingsError::value)?;
        self.forward.check().map_err(SettingsError::value)?;
        self.commitment.check().map_err(SettingsError::value)?;
        self.release.check().map_err(SettingsError::value)?;
        self.grants.check().map_err(SettingsError::value)?;
        self.audit.check().map_err(SettingsError::value)?;
        self.log.check().map_err(SettingsError::value)?;
        self.keys.check().map_err(SettingsError::value)?;
        self.keygen.check().map_err(SettingsError::value)?;
        self.probe.check().map_err(SettingsError::value)?;
        self.roles.check().map_err(SettingsError::value)?;
        self.http.check().map_err(SettingsError::value)?;
        for route in &self.routes {
            if Suite::from_name(&route.suite).is_none() {
                return Err(SettingsError::Value(format!(
                    "route {:?} has the suite {:?}, which is not one of: {}",
                    route.name,
                    route.suite,
                    Suite::ALL.iter().map(|suite| suite.name()).collect::<Vec<_>>().join(", ")
                )));
            }
        }
        let rules = Rules::new(&self.titles, &self.peers, &self.destinations, &self.routes);
        rules.and_then(|rules| rules.with_ris(&self.ris)).map_err(SettingsError::value)
    }

    /// Whether every use of a TLS profile has one that fits.
    fn check_tls(&self) -> Result<(), tls::ConfigError> {
        Profile::check_all(&self.tls)?;
        for listener in &self.listeners {
            if let Some(name) = &listener.tls {
                let user = listener.words();
                Profile::find(&self.tls, name, &user)?.check_for_listener(&user, listener.asks())?;
            }
        }
        if let Some(name) = &self.http.tls {
            Profile::find(&self.tls, name, "http")?
                .check_for_listener("http", tls::ClientCertificates::None)?;
        }
        for peer in &self.peers {
            if let Some(name) = &peer.receives_tls {
                let user = format!("peer {}", peer.name);
                Profile::find(&self.tls, name, &user)?.check_for_calls(&user)?;
            }
        }
        for peer in &self.peers {
            if let Some(name) = &peer.reports_tls {
                let user = format!("peer {}", peer.name);
                Profile::find(&self.tls, name, &user)?.check_for_calls(&user)?;
            }
        }
        for repository in &self.audit.repositories {
            if let Some(name) = &repository.tls {
                let user = format!("audit repository {}", repository.name);
                Profile::find(&self.tls, name, &user)?.check_for_calls(&user)?;
            }
        }
        for destination in &self.destinations {
            if let Some(name) = &destination.tls {
                let user = format!("destination {}", destination.name);
                Profile::find(&self.tls, name, &user)?.check_for_calls(&user)?;
            }
        }
        for ris in &self.ris {
            if let Some(name) = &ris.tls {
                let user = format!("ris {}", ris.name);
                Profile::find(&self.tls, name, &user)?.check_for_calls(&user)?;
            }
        }
        Ok(())
    }

    /// Whether what peers demand of their users can be verified.
    fn check_identity(&self) -> Result<(), IdentityError> {
        self.identity.check()?;
        for peer in &self.peers {
            let demands = |way| peer.identity.contains(&way);
            let lacks = match &self.identity {
                config if demands(Identification::Password) && config.users.is_none() => "identity.users",
                config if demands(Identification::Jwt) && config.jwt.key.is_none() => "identity.jwt.key",
                _ => continue,
            };
            return Err(IdentityError::Config(format!(
                "peer {} demands an identity that nothing can verify: set {lacks}",
                peer.name
            )));
        }
        Ok(())
    }

    /// What identities are verified against, read from its files.
    pub fn verifier(&self) -> Result<Verifier, IdentityError> {
        let verifier = Verifier::load(&self.identity)?;
        for (user, word) in verifier.limits() {
            Right::try_from(word.to_owned())
                .map_err(|error| IdentityError::Config(format!("user {user} in identity.users: {error}")))?;
        }
        Ok(verifier)
    }

    /// How each node that we call is reached. `profiles` are those of these settings, loaded.
    pub fn ways(&self, profiles: &Profiles) -> Result<HashMap<AeAddress, Transport>, LoadError> {
        let mut ways = HashMap::new();
        let called = self.destinations.iter().map(|one| {
            (
                format!("destination {}", one.name),
                &one.address,
                one.tls.as_deref(),
                one.server_name.as_deref(),
            )
        });
        let asked = self.ris.iter().map(|one| {
            (format!("ris {}", one.name), &one.address, one.tls.as_deref(), one.server_name.as_deref())
        });
        let sent_to = self.peers.iter().filter_map(|one| {
            let address = one.receives.as_ref()?;
            Some((format!("peer {}", one.name), address, one.receives_tls.as_deref(), None))
        });
        let told = self.peers.iter().filter_map(|one| {
            let address = one.reports.as_ref()?;
            Some((format!("peer {}", one.name), address, one.reports_tls.as_deref(), None))
        });
        for (user, address, profile, server_name) in called.chain(asked).chain(sent_to).chain(told) {
            if !ways.contains_key(address) {
                ways.insert(address.clone(), way(profiles, &user, profile, server_name)?);
            }
        }
        Ok(ways)
    }

    /// Choices that are allowed but that an administrator would want to hear about.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.audit.on {
            found.push("There is no audit trail: set audit.on = true.".to_owned());
        }
        if self.peers.is_empty() {
            found.push("There are no peers, so every association will be refused: add [[peers]].".to_owned());
        }
        for peer in self.peers.iter().filter(|peer| peer.may.is_empty()) {
            found
                .push(format!("Peer {} may do nothing: give it rights with may = [\"echo\", …].", peer.name));
        }
        for destination in self.destinations.iter().filter(|one| one.retrieve == Fetch::Move) {
            let title = &destination.address.title;
            let stores = |peer: &Peer| peer.title == *title && peer.may.contains(&Right::Store);
            if !self.peers.iter().any(stores) {
                found.push(format!(
                    "Destination {} is retrieved from by C-MOVE to the gateway's own door, and no peer {title} may store: \
                     add it to peers, or set retrieve = \"get\".",
                    destination.name
                ));
            }
        }
        found.extend(self.commitment_warnings());
        for (right, service) in [(Right::Worklist, Serves::Worklist), (Right::Mpps, Serves::Mpps)] {
            let asks = |peer: &&Peer| peer.may.contains(&right);
            let served = self.ris.iter().any(|ris| ris.serves.contains(&service));
            for peer in self.peers.iter().filter(|_| !served).filter(asks) {
                let name = &peer.name;
                found.push(format!(
                    "Peer {name} may {right}, and no ris serves it: add one with serves = [\"{service}\"]."
                ));
            }
        }
        for destination in &self.destinations {
            let takes_over = |other: &Destination| other.fallback.as_ref() == Some(&destination.name);
            let is_used = self.routes.iter().any(|route| route.destinations.contains(&destination.name));
            if !is_used && !self.destinations.iter().any(takes_over) {
                found
                    .push(format!("Destination {} is in no route: nothing will go there.", destination.name));
            }
        }
        found
    }

    /// What would keep a commitment from being told, or asked for.
    fn commitment_warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let commits = |peer: &&Peer| peer.may.contains(&Right::Commit);
        for peer in self.peers.iter().filter(commits).filter(|peer| peer.hears_at().is_none()) {
            found.push(format!(
                "Peer {} may ask for storage commitment and hears of it only on the same association: set reports.",
                peer.name
            ));
        }
        let any_commits = self.peers.iter().any(|peer| commits(&peer));
        for destination in &self.destinations {
            let (name, title) = (&destination.name, &destination.address.title);
            let own = destination.confirmation() == Some(Commitment::Request);
            let asked = own || (any_commits && destination.commitment == Commitment::Request);
            let reports = |peer: &Peer| peer.title == *title && peer.may.contains(&Right::Report);
            if asked && !self.peers.iter().any(reports) {
                found.push(format!(
                    "Destination {name} is asked for storage commitment, and no peer {title} may report: add it to peers, or \
                     set commitment = \"find\", \"read-back\" or \"trust\"."
                ));
            }
            if destination.purge_after == PurgeAfter::Committed && destination.confirmation().is_none() {
                found.push(format!(
                    "Destination {name} has purge_after = \"committed\" and commitment = \"trust\", so its word for a store is enough."
                ));
            }
        }
        found
    }

    /// What an attacker would like about it, the worst first.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<Weakness> {
        weak::of(self)
    }
}

/// How a node is reached, by its TLS profile or in clear.
fn way(
    profiles: &Profiles,
    user: &str,
    profile: Option<&str>,
    server_name: Option<&str>,
) -> Result<Transport, LoadError> {
    let Some(profile) = profile else { return Ok(Transport::Plain) };
    let client = profiles.client(profile, server_name);
    let client = client.expect("a profile that passed the check for calls makes a client");
    client.map(Transport::Tls).map_err(|error| LoadError::Setup(format!("{user}: {error}")))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
