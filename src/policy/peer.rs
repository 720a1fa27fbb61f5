//! A peer: a node that may call, from where, and what it may ask for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::criteria::Criteria;
use super::rate::OpeningRate;
use crate::dicom::{AeAddress, AeTitle, Certificate, Fingerprint, IdentityKind};

/// Something a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Right {
    /// C-ECHO.
    Echo,
    /// C-STORE.
    Store,
    /// C-FIND.
    Find,
    /// C-MOVE.
    Move,
    /// C-GET.
    Get,
    /// Receive opened images; without it a retrieval gives ciphertext or a refusal.
    Open,
    /// Storage commitment.
    Commit,
    /// Modality worklist.
    Worklist,
    /// Modality performed procedure step.
    Mpps,
    /// Report to us what was committed, as a PACS does.
    Report,
}

impl Right {
    /// Every right there is.
    pub const ALL: [Self; 10] = [
        Self::Echo,
        Self::Store,
        Self::Find,
        Self::Move,
        Self::Get,
        Self::Open,
        Self::Commit,
        Self::Worklist,
        Self::Mpps,
        Self::Report,
    ];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Store => "store",
            Self::Find => "find",
            Self::Move => "move",
            Self::Get => "get",
            Self::Open => "open",
            Self::Commit => "commit",
            Self::Worklist => "worklist",
            Self::Mpps => "mpps",
            Self::Report => "report",
        }
    }
}

impl TryFrom<String> for Right {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let known = Self::ALL.map(Self::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|right| right.word() == word)
            .ok_or(format!("{word:?} is not one of {known}"))
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A node that may call. Everything that is not given is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The name in logs and messages; unique.
    pub name: String,
    /// The calling AE title it uses.
    pub title: AeTitle,
    /// From where it calls.
    pub addresses: Vec<AddressPattern>,
    /// What it may do.
    #[serde(default)]
    pub may: BTreeSet<Right>,
    /// The called AE titles it may use; empty means all of the gateway's.
    #[serde(default)]
    pub called: BTreeSet<AeTitle>,
    /// Associations it may hold at once, if less than the general limit.
    #[serde(default)]
    pub associations_max: Option<usize>,
    /// The certificates it may show, one of which it must then show on a TLS connection; empty asks for none.
    #[serde(default)]
    pub certificates: Vec<CertificateName>,
    /// What it gets of sealed images without the right to open them.
    #[serde(default)]
    pub without_open: WithoutOpen,
    /// What it may receive opened, one of which has to hold; empty means all that it asks for.
    #[serde(default)]
    pub opens: Vec<Criteria>,
    /// How many images it may be given opened in a time; no limit without it.
    #[serde(default)]
    pub openings: Option<OpeningRate>,
    /// Whether images are decompressed for it where it takes no other form of them.
    #[serde(default = "yes")]
    pub transcode: bool,
    /// Where it takes what a C-MOVE sends to it; a peer without this is no destination.
    #[serde(default)]
    pub receives: Option<AeAddress>,
    /// The TLS profile to reach it with there; without one it is reached in clear.
    #[serde(default)]
    pub receives_tls: Option<String>,
    /// Where it hears what was committed; by default where it receives.
    #[serde(default)]
    pub reports: Option<AeAddress>,
    /// The TLS profile to reach it with there; without one it is reached in clear.
    #[serde(default)]
    pub reports_tls: Option<String>,
    /// How its users may identify themselves, one of which they then must; empty asks for none.
    #[serde(default)]
    pub identity: BTreeSet<Identification>,
}

impl Peer {
    /// Where it hears what was committed, if it said so.
    #[must_use]
    pub fn hears_at(&self) -> Option<&AeAddress> {
        self.reports.as_ref().or(self.receives.as_ref())
    }
}

fn yes() -> bool {
    true
}

/// What a retrieval gives a peer that may not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutOpen {
    /// A refusal (0124H).
    #[default]
    Refuse,
    /// The sealed images as the PACS has them, for routers and backups.
    Sealed,
}

/// A way for users to identify themselves that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identification {
    /// A user name with a password.
    Password,
    /// A JSON Web Token.
    Jwt,
}

impl Identification {
    /// Whether an identity of this kind is one.
    #[must_use]
    pub const fn fits(self, kind: IdentityKind) -> bool {
        matches!(
            (self, kind),
            (Self::Password, IdentityKind::NameAndPasscode) | (Self::Jwt, IdentityKind::Jwt)
        )
    }
}

/// How a certificate is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateName {
    /// The SHA-256 of the certificate.
    Fingerprint(Fingerprint),
    /// The SHA-256 of its public key, which a renewed certificate may keep.
    KeyFingerprint(Fingerprint),
    /// A DNS name, IP address, mail address or URI among the subject's alternative names.
    AlternativeName(String),
    /// A common name of the subject.
    CommonName(String),
    /// The subject's whole distinguished name as RFC 4514 writes it.
    Subject(String),
}

impl CertificateName {
    /// Whether this is a name of that certificate.
    #[must_use]
    pub fn fits(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Fingerprint(fingerprint) => *fingerprint == certificate.fingerprint,
            Self::KeyFingerprint(fingerprint) => *fingerprint == certificate.key_fingerprint,
            // RFC 4343: DNS names know no case.
            Self::AlternativeName(name) => {
                certificate.alternative_names.iter().any(|other| other.eq_ignore_ascii_case(name))
            }
            Self::CommonName(name) => certificate.common_names.contains(name),
            Self::Subject(name) => certificate.subject == *name,
        }
    }

    /// Whether it names anything.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Fingerprint(_) | Self::KeyFingerprint(_) => false,
            Self::AlternativeName(name) | Self::CommonName(name) | Self::Subject(name) => name.is_empty(),
        }
    }
}

/// An address, a network, or a host name that is resolved at start, on reload and at intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPattern {
    /// One address, or a network in CIDR notation.
    Net(IpNet),
    /// A name in the DNS or the hosts file, in lower case.
    Host(String),
}

/// Why a text is neither an address, nor a network, nor a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IP address, a network like 192.0.2.0/24, or a host name")]
pub struct AddressPatternError(String);

impl AddressPattern {
    /// Reads one of the three forms.
    pub fn parse(text: &str) -> Result<Self, AddressPatternError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(address.into()));
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::Net(net.trunc()));
        }
        // What looks like an address or a network but is none must not pass as a name that never resolves.
        let label =
            |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let is_name = text.len() <= 253
            && text.split('.').all(label)
            && text.bytes().any(|b| b.is_ascii_alphabetic())
            && !text.split('.').next_back().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if is_name {
            Ok(Self::Host(text.to_ascii_lowercase()))
        } else {
            Err(AddressPatternError(text.to_owned()))
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Self::Net(net) => write!(f, "{net}"),
            Self::Host(name) => f.write_str(name),
        }
    }
}

impl Serialize for AddressPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_networks_and_names() {
        for (text, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("CT1.Radiology.Example", "ct1.radiology.example"),
        ] {
            assert_eq!(AddressPattern::parse(text).map(|p| p.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn refuses_what_only_looks_like_an_address() {
        for text in ["192.0.2.300", "192.0.2.0/33", "", "a b", "host:104", "1.2.3", "*"] {
            assert!(AddressPattern::parse(text).is_err(), "{text}");
        }
    }
}
