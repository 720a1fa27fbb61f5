//! What a configuration allows and an attacker would like: each with how bad it is, and what to do instead.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Settings;
use crate::keys::{ArchiveMode, UnlockMethod};
use crate::policy::{AddressPattern, Destination, Peer, Right};
use crate::tls::ClientCertificates;

/// How much a weakness gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Low,
    /// One more thing has to go wrong before it hurts.
    Medium,
    /// It hurts as it is.
    High,
}

impl Severity {
    const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|severity| severity.word() == text);
        found.ok_or_else(|| format!("{text:?} is not one of low, medium, high"))
    }
}

/// One weakness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weakness {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it: a name that stays, for programs.
    pub check: &'static str,
    /// What is weak, with the name of what it is about.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Weakness {
    /// One weakness; `what` is a sentence without its full stop, `advice` one without its capital.
    #[must_use]
    pub fn new(
        severity: Severity,
        check: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { severity, check, what: what.into(), advice: advice.into() }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.", self.what, self.advice)
    }
}

/// All weaknesses of the configuration itself, the worst first. Files and the machine are looked at elsewhere.
pub(super) fn of(settings: &Settings) -> Vec<Weakness> {
    let mut found = Vec::new();
    listeners(settings, &mut found);
    for peer in &settings.peers {
        addresses(peer, &mut found);
        known_by(settings, peer, &mut found);
        openings(peer, &mut found);
    }
    calls(settings, &mut found);
    keys(settings, &mut found);
    roles(settings, &mut found);
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.check.cmp(b.check)));
    found
}

fn listeners(settings: &Settings, found: &mut Vec<Weakness>) {
    for listener in settings.listeners.iter().filter(|listener| !listener.address.ip().is_loopback()) {
        let address = listener.address;
        let required = "set client_certificates = \"required\"";
        found.extend(match (&listener.tls, listener.asks()) {
            (None, _) => Some(Weakness::new(
                Severity::High,
                "plain-listener",
                format!(
                    "Listener {address} takes plain DICOM, which others on the network can read and forge"
                ),
                "give it a tls profile",
            )),
            (Some(_), ClientCertificates::None) => Some(Weakness::new(
                Severity::High,
                "no-client-certificates",
                format!("Listener {address} asks callers for no certificate"),
                required,
            )),
            (Some(_), ClientCertificates::Optional) => Some(Weakness::new(
                Severity::Medium,
                "optional-client-certificates",
                format!("Listener {address} takes callers without a certificate too"),
                required,
            )),
            (Some(_), ClientCertificates::Required) => None,
        });
    }
}

fn addresses(peer: &Peer, found: &mut Vec<Weakness>) {
    let is_wide =
        |pattern: &AddressPattern| matches!(pattern, AddressPattern::Net(net) if net.prefix_len() == 0);
    if !peer.addresses.iter().any(is_wide) {
        return;
    }
    let hurts = [Right::Store, Right::Open].into_iter().find(|right| peer.may.contains(right));
    let (severity, check) = match hurts {
        Some(Right::Store) => (Severity::High, "store-from-any-address"),
        Some(_) => (Severity::High, "open-from-any-address"),
        None => (Severity::Medium, "any-address"),
    };
    let what = format!("Peer {} may call from any address", peer.name);
    found.push(Weakness::new(severity, check, what, "list the ones it has"));
}

fn known_by(settings: &Settings, peer: &Peer, found: &mut Vec<Weakness>) {
    let name = &peer.name;
    let plain = settings.listeners.iter().any(|listener| listener.tls.is_none());
    let has_tls = settings.listeners.iter().any(|listener| listener.tls.is_some());
    if !peer.certificates.is_empty() {
        return;
    }
    if plain && !peer.identity.is_empty() {
        found.push(Weakness::new(
            Severity::High,
            "password-in-clear",
            format!("Users of peer {name} may send their passwords or tokens in clear"),
            "bind the peer to a certificate",
        ));
    }
    if has_tls {
        found.push(Weakness::new(
            Severity::Medium,
            "no-certificate-bound",
            format!(
                "Peer {name} is bound to no certificate, so its AE title and address are all it is known by"
            ),
            "list certificates",
        ));
    } else if peer.may.contains(&Right::Open) && peer.identity.is_empty() {
        found.push(Weakness::new(
            Severity::Medium,
            "open-without-proof",
            format!("Peer {name} opens images, and its AE title and address are all it is known by"),
            "bind it to a certificate, or demand an identity",
        ));
    }
}

fn openings(peer: &Peer, found: &mut Vec<Weakness>) {
    if peer.may.contains(&Right::Open) && peer.openings.is_none() {
        found.push(Weakness::new(
            Severity::Low,
            "unlimited-openings",
            format!("Peer {} may open as many images as it can fetch, however fast", peer.name),
            "give it openings = { per_minute = …, burst = … }",
        ));
    }
}

fn calls(settings: &Settings, found: &mut Vec<Weakness>) {
    let plain = |name: &str, host: &str| {
        (!super::is_this_machine(host)).then(|| {
            let what = format!("{name} is called without TLS");
            Weakness::new(Severity::Medium, "plain-call", what, "give it a tls profile")
        })
    };
    for ris in settings.ris.iter().filter(|ris| ris.tls.is_none()) {
        found.extend(plain(&format!("Ris {}", ris.name), &ris.address.host));
    }
    for one in settings.destinations.iter().filter(|one| one.tls.is_none()) {
        // Pixels are sealed; names, dates and whatever else the header says are not.
        found.extend(plain(&format!("Destination {}", one.name), &one.address.host));
    }
    for one in settings.destinations.iter().filter(|one: &&Destination| one.allow_failed_probe) {
        found.push(Weakness::new(
            Severity::Medium,
            "failed-probe-allowed",
            format!("Destination {} is used although its probe failed", one.name),
            "mend the PACS, probe again, and take allow_failed_probe out",
        ));
    }
    for peer in settings.peers.iter().filter(|peer| peer.receives_tls.is_none()) {
        if let Some(receives) = peer.receives.as_ref().filter(|one| !super::is_this_machine(&one.host)) {
            found.push(Weakness::new(
                Severity::High,
                "opened-images-in-clear",
                format!("Peer {} is sent opened images at {receives} without TLS", peer.name),
                "give it receives_tls",
            ));
        }
    }
}

fn keys(settings: &Settings, found: &mut Vec<Weakness>) {
    let keys = &settings.keys;
    if settings.routes.is_empty() {
        return;
    }
    if keys.recipients.len() < 2 {
        let severity = if keys.archive == ArchiveMode::Tag { Severity::High } else { Severity::Medium };
        found.push(Weakness::new(
            severity,
            "no-escrow",
            "Every image can be opened with one key alone, and is lost with it",
            "add a second recipient, such as an escrow key in shares (`sealgate keys escrow split`)",
        ));
    }
    if keys.unlock == UnlockMethod::PassphraseFile {
        found.push(Weakness::new(
            Severity::Medium,
            "passphrase-file",
            "The passphrase of the keys lies in a file on this machine's disk",
            "use a systemd credential (unlock = \"passphrase-credential\"), encrypted to the machine, or a token",
        ));
    }
}

fn roles(settings: &Settings, found: &mut Vec<Weakness>) {
    if !settings.roles.separates() {
        found.push(Weakness::new(
            Severity::Low,
            "no-roles",
            "Whoever can run the commands may do everything, alone",
            "set [roles] with operators, custodians and auditors",
        ));
    }
}
