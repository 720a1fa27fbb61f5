//! The suites: which inner layer lies under the standard seal, by number on the wire and by name in the configuration.

use std::fmt;

use crate::cipher::{Kind, Map, Topology};

/// How an instance is sealed. A number that is not here is refused, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// No inner layer; the key image conditions the content key.
    DeepKeyGen,
    /// The same, over an inner layer: a keystream of key images.
    DeepKeyGenXor,
    /// Logistic maps over an inner layer of blocks; a ResNet-18 reads their parameters off the metadata.
    LogisticResNet18,
    /// The same with a `MobileNetV2`.
    LogisticMobileNetV2,
    /// The Lorenz equations, and a ResNet-18.
    LorenzResNet18,
    /// The Lorenz equations, and a `MobileNetV2`.
    LorenzMobileNetV2,
    /// The same, over an inner layer from chaos under a dual key.
    Dual,
}

/// A suite that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("suite {0} is unknown: it was sealed by a newer version, or the header was changed")]
pub struct UnknownSuite(pub u16);

impl Suite {
    /// Every suite there is.
    pub const ALL: &[Self] = &[
        Self::DeepKeyGen,
        Self::DeepKeyGenXor,
        Self::LogisticResNet18,
        Self::LogisticMobileNetV2,
        Self::LorenzResNet18,
        Self::LorenzMobileNetV2,
        Self::Dual,
    ];

    /// Its number in the sealed form.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::DeepKeyGen => 1,
            Self::DeepKeyGenXor => 2,
            Self::LogisticResNet18 => 16,
            Self::LogisticMobileNetV2 => 17,
            Self::LorenzResNet18 => 18,
            Self::LorenzMobileNetV2 => 19,
            Self::Dual => 32,
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeepKeyGen => "deepkeygen",
            Self::DeepKeyGenXor => "deepkeygen-xor",
            Self::LogisticResNet18 => "logistic-resnet18",
            Self::LogisticMobileNetV2 => "logistic-mobilenetv2",
            Self::LorenzResNet18 => "lorenz-resnet18",
            Self::LorenzMobileNetV2 => "lorenz-mobilenetv2",
            Self::Dual => "dual",
        }
    }

    /// What lies under the seal.
    #[must_use]
    pub const fn inner(self) -> Option<Kind> {
        match self {
            Self::DeepKeyGen => None,
            Self::DeepKeyGenXor => Some(Kind::NeuralStream),
            Self::LogisticResNet18 => Some(Kind::Chaos(Map::Logistic, Topology::ResNet18)),
            Self::LogisticMobileNetV2 => Some(Kind::Chaos(Map::Logistic, Topology::MobileNetV2)),
            Self::LorenzResNet18 => Some(Kind::Chaos(Map::Lorenz, Topology::ResNet18)),
            Self::LorenzMobileNetV2 => Some(Kind::Chaos(Map::Lorenz, Topology::MobileNetV2)),
            Self::Dual => Some(Kind::Dual),
        }
    }

    /// The suite with this number.
    pub fn from_id(id: u16) -> Result<Self, UnknownSuite> {
        Self::ALL.iter().copied().find(|suite| suite.id() == id).ok_or(UnknownSuite(id))
    }

    /// The suite with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.name() == name)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
