//! The configuration as a whole: one file, the environment, then flags; every key known, every rule checked.

mod error;
mod load;

use serde::{Deserialize, Serialize};

use crate::dicom::{AeTitle, Uid};
use crate::policy::{Destination, Peer, Route, Rules};
use crate::seal::Suite;
use crate::{app, association, keygen, keys, telemetry};

pub use error::SettingsError;
pub use load::{Source, load};

/// Everything that can be configured. `conf/gateway.toml` says what each key does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The AE titles the gateway answers to.
    pub titles: Vec<AeTitle>,
    /// Storage SOP classes beyond the dictionary's, such as a vendor's private ones.
    pub private_storage_classes: Vec<Uid>,
    /// The process: where it listens, how it ends.
    pub app: app::Config,
    /// Limits on connections and what comes over them.
    pub association: association::Config,
    /// The log.
    pub log: telemetry::Config,
    /// Key encryption keys, and where wrapped keys are kept.
    pub keys: keys::Config,
    /// Generators of key images.
    pub keygen: keygen::Config,
    /// Who may call.
    pub peers: Vec<Peer>,
    /// The PACS.
    pub destinations: Vec<Destination>,
    /// Which instances go where.
    pub routes: Vec<Route>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            titles: vec![AeTitle::parse("SEALGATE").expect("a literal of eight letters")],
            private_storage_classes: Vec::new(),
            app: app::Config::default(),
            association: association::Config::default(),
            log: telemetry::Config::default(),
            keys: keys::Config::default(),
            keygen: keygen::Config::default(),
            peers: Vec::new(),
            destinations: Vec::new(),
            routes: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks what no single key can show, and gives the rules that the gateway runs by.
    pub fn rules(&self) -> Result<Rules, SettingsError> {
        self.app.check().map_err(SettingsError::value)?;
        self.association.check().map_err(SettingsError::value)?;
        self.log.check().map_err(SettingsError::value)?;
        self.keys.check().map_err(SettingsError::value)?;
        self.keygen.check().map_err(SettingsError::value)?;
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
        Rules::new(&self.titles, &self.peers, &self.destinations, &self.routes).map_err(SettingsError::value)
    }

    /// Choices that are allowed but that an administrator would want to hear about.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.peers.is_empty() {
            found.push("There are no peers, so every association will be refused: add [[peers]].".to_owned());
        }
        for peer in self.peers.iter().filter(|peer| peer.may.is_empty()) {
            found
                .push(format!("Peer {} may do nothing: give it rights with may = [\"echo\", …].", peer.name));
        }
        for peer in &self.peers {
            let wide = peer.addresses.iter().find(|pattern| match pattern {
                crate::policy::AddressPattern::Net(net) => net.prefix_len() == 0,
                crate::policy::AddressPattern::Host(_) => false,
            });
            if wide.is_some() {
                found.push(format!("Peer {} may call from any address: list the ones it has.", peer.name));
            }
        }
        for destination in &self.destinations {
            if !self.routes.iter().any(|route| route.destinations.contains(&destination.name)) {
                found
                    .push(format!("Destination {} is in no route: nothing will go there.", destination.name));
            }
        }
        found
    }
}
