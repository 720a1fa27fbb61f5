//! `sealgate generator train --chaos`: the network of a chaotic suite, in every build.

use std::path::Path;

use clap::ValueEnum;

use super::{Exit, complain};
use crate::keygen::parametric::fit;
use crate::keygen::{KeygenError, Topology, write_new};

/// The suites that have a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ChaosName {
    /// Logistic maps, `ResNet-18`
    #[value(name = "logistic-resnet18")]
    LogisticResNet18,
    /// Logistic maps, `MobileNetV2`
    #[value(name = "logistic-mobilenetv2")]
    LogisticMobileNetV2,
    /// Lorenz equations, `ResNet-18`
    #[value(name = "lorenz-resnet18")]
    LorenzResNet18,
    /// Lorenz equations, `MobileNetV2`
    #[value(name = "lorenz-mobilenetv2")]
    LorenzMobileNetV2,
}

impl ChaosName {
    /// Makes its network, ready for use, in a new file.
    pub(super) fn train(self, seed: Option<String>, out: &Path) -> Exit {
        match self.write(seed, out) {
            Ok(()) => Exit::Done,
            Err(error) => {
                complain(format_args!("{error}; {}", error.advice()));
                Exit::Failed
            }
        }
    }

    fn write(self, seed: Option<String>, out: &Path) -> Result<(), KeygenError> {
        let topology = match self {
            Self::LogisticResNet18 | Self::LorenzResNet18 => Topology::ResNet18,
            Self::LogisticMobileNetV2 | Self::LorenzMobileNetV2 => Topology::MobileNetV2,
        };
        let suite = self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let seed = seed.map_or_else(random_seed, Ok)?;
        let network = fit(&suite, topology, &seed)?;
        write_new(out, &network.to_bytes())?;
        eprintln!("{}", network.provenance());
        println!("{}", out.display());
        Ok(())
    }
}

fn random_seed() -> Result<String, KeygenError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeygenError::NoEntropy)?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}
