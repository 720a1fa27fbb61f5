//! Security Alert (PS3.15 A.5.3.11): what somebody has to look at, or to account for.

use super::event::Party;

/// A Security Alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it is.
    pub what: What,
    /// Whether it is a failure or refusal rather than something that was done.
    pub failed: bool,
    /// Who did it, or wanted to.
    pub by: Option<Party>,
    /// What it is about: SOP instances, files, peers, keys; as URIs or names.
    pub subjects: Vec<String>,
    /// In words. No patient data: alerts are read by many.
    pub text: String,
}

/// The events that are Security Alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// A node was not let in.
    AssociationRefused,
    /// A query or retrieval was refused as a whole.
    RequestRefused,
    /// An instance did not open, or these people do not get it.
    NotReleased,
    /// An emergency access began.
    EmergencyBegan,
    /// An emergency access is over.
    EmergencyEnded,
    /// An operator gave deliveries up.
    DeliveriesDropped,
    /// An operator had deliveries tried again.
    DeliveriesRetried,
    /// A destination refuses an instance, which waits for somebody to decide.
    SetAside,
    /// Another destination took instances over.
    TakenOver,
    /// An instance came again with other bytes.
    CameAgain,
    /// The configuration was read again.
    Reconfigured,
    /// Keys were exported, shredded or otherwise handled by a person.
    KeyUsed,
    /// Keys were destroyed for good.
    KeysDestroyed,
    /// A legal hold was set.
    LegalHold,
    /// What takes two persons was asked for, approved, done or taken back.
    CustodyRequest,
    /// An escrow key was made in shares, or shares of one were put together.
    EscrowUsed,
    /// Somebody ran a command that is not their work.
    CommandRefused,
    /// The trail itself: damaged, cut, or with events lost.
    TrailDamaged,
}

/// The scheme of our own names of events.
pub(super) const OWN_SCHEME: &str = "99SEALGATE";

/// A code with its coding scheme and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) value: &'static str,
    pub(super) scheme: &'static str,
    pub(super) meaning: &'static str,
}

impl Code {
    /// One of PS3.16 CID 400 to 404.
    pub(super) const fn dcm(value: &'static str, meaning: &'static str) -> Self {
        Self { value, scheme: "DCM", meaning }
    }

    /// One of ours: PS3.3 8.2 has private schemes begin with 99.
    pub(super) const fn own(name: &'static str) -> Self {
        Self { value: name, scheme: OWN_SCHEME, meaning: name }
    }
}

impl What {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::AssociationRefused,
        Self::RequestRefused,
        Self::NotReleased,
        Self::EmergencyBegan,
        Self::EmergencyEnded,
        Self::DeliveriesDropped,
        Self::DeliveriesRetried,
        Self::SetAside,
        Self::TakenOver,
        Self::CameAgain,
        Self::Reconfigured,
        Self::KeyUsed,
        Self::KeysDestroyed,
        Self::LegalHold,
        Self::CustodyRequest,
        Self::EscrowUsed,
        Self::CommandRefused,
        Self::TrailDamaged,
    ];

    /// What `sealgate audit show` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AssociationRefused => "association-refused",
            Self::RequestRefused => "request-refused",
            Self::NotReleased => "not-released",
            Self::EmergencyBegan => "emergency-began",
            Self::EmergencyEnded => "emergency-ended",
            Self::DeliveriesDropped => "deliveries-dropped",
            Self::DeliveriesRetried => "deliveries-retried",
            Self::SetAside => "set-aside",
            Self::TakenOver => "taken-over",
            Self::CameAgain => "came-again",
            Self::Reconfigured => "reconfigured",
            Self::KeyUsed => "key-used",
            Self::KeysDestroyed => "keys-destroyed",
            Self::LegalHold => "legal-hold",
            Self::CustodyRequest => "custody-request",
            Self::EscrowUsed => "escrow-used",
            Self::CommandRefused => "command-refused",
            Self::TrailDamaged => "trail-damaged",
        }
    }

    /// PS3.16 CID 403, Security Alert Type Code; none where none of them fits, and our own name has to do.
    pub(super) const fn code(self) -> Option<Code> {
        Some(match self {
            Self::AssociationRefused => Code::dcm("110126", "Node Authentication"),
            Self::EmergencyBegan => Code::dcm("110127", "Emergency Override Started"),
            Self::EmergencyEnded => Code::dcm("110138", "Emergency Override Stopped"),
            Self::Reconfigured => Code::dcm("110129", "Security Configuration"),
            Self::RequestRefused
            | Self::KeyUsed
            | Self::CustodyRequest
            | Self::EscrowUsed
            | Self::CommandRefused => Code::dcm("110132", "Use of Restricted Function"),
            Self::KeysDestroyed | Self::LegalHold => {
                Code::dcm("110135", "Object Security Attributes Changed")
            }
            Self::TrailDamaged => Code::dcm("110133", "Audit Recording Stopped"),
            Self::NotReleased
            | Self::DeliveriesDropped
            | Self::DeliveriesRetried
            | Self::SetAside
            | Self::TakenOver
            | Self::CameAgain => return None,
        })
    }
}

impl Alert {
    /// Something that was done.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "whatever has words, as it comes")]
    pub fn done(what: What, text: impl ToString) -> Self {
        Self { what, failed: false, by: None, subjects: Vec::new(), text: text.to_string() }
    }

    /// Something that failed, or was refused.
    #[must_use]
    pub fn failed(what: What, text: impl ToString) -> Self {
        Self { failed: true, ..Self::done(what, text) }
    }

    /// The same, with who did it.
    #[must_use]
    pub fn by(self, by: Party) -> Self {
        Self { by: Some(by), ..self }
    }

    /// The same, about one thing more.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "whatever has words, as it comes")]
    pub fn about(mut self, subject: impl ToString) -> Self {
        self.subjects.push(subject.to_string());
        self
    }
}
