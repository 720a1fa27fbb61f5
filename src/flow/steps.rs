//! The steps of the path by name, for tests that end the process at each of them; nothing where debug assertions are off.

#[cfg(debug_assertions)]
use std::sync::OnceLock;

/// Who is told of each step.
#[cfg(debug_assertions)]
pub(crate) static REACHED: OnceLock<Box<dyn Fn(Step) + Send + Sync>> = OnceLock::new();

/// A place between two promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The wrapped key goes to the key store next.
    BeforeKey,
    /// The wrapped key is durable, and nobody has heard of it.
    KeyDurable,
    /// The content is on the disk and the key durable; the entry has no name yet.
    BeforeName,
    /// The entry is durable, and its sender has not heard 0000H.
    BeforeSuccess,
    /// An entry was taken out of the queue, and nothing of it has been sent.
    BeforeForward,
    /// The destination has answered, and nothing of that is written down.
    BeforeVerdict,
    /// What became of the delivery is durable, and nobody has heard of it.
    VerdictDurable,
    /// Of a migration: the key of a sealed instance is durable, and the instance is nowhere yet.
    MigratedKey,
    /// The instance is stored, or has its name in the folder, and was not read back.
    MigratedStored,
    /// A study was read back, and the journal does not say so.
    MigratedReadBack,
    /// The journal says so.
    MigratedWritten,
}

impl Step {
    /// As tests name it.
    #[cfg(debug_assertions)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BeforeKey => "before-key",
            Self::KeyDurable => "key-durable",
            Self::BeforeName => "before-name",
            Self::BeforeSuccess => "before-success",
            Self::BeforeForward => "before-forward",
            Self::BeforeVerdict => "before-verdict",
            Self::VerdictDurable => "verdict-durable",
            Self::MigratedKey => "migrated-key",
            Self::MigratedStored => "migrated-stored",
            Self::MigratedReadBack => "migrated-read-back",
            Self::MigratedWritten => "migrated-written",
        }
    }
}

/// A step is reached.
pub(crate) fn reached(step: Step) {
    #[cfg(debug_assertions)]
    if let Some(tell) = REACHED.get() {
        tell(step);
    }
    #[cfg(not(debug_assertions))]
    let _ = step;
}
