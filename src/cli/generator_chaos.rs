//! `sealgate generator train --chaos`: the network of a chaotic suite, trained where there is libtorch, else fitted.

use clap::ValueEnum;

use crate::keygen::Topology;

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
    fn topology(self) -> Topology {
        match self {
            Self::LogisticResNet18 | Self::LorenzResNet18 => Topology::ResNet18,
            Self::LogisticMobileNetV2 | Self::LorenzMobileNetV2 => Topology::MobileNetV2,
        }
    }

    fn suite(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// 32 random bytes as text.
fn random_seed() -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(not(feature = "tch"))]
mod fitting {
    use std::path::Path;

    use super::{ChaosName, random_seed};
    use crate::cli::{Exit, complain};
    use crate::keygen::parametric::fit;
    use crate::keygen::{KeygenError, write_new};

    impl ChaosName {
        /// Makes its network, ready for use, in a new file.
        pub(in crate::cli) fn train(self, seed: Option<String>, out: &Path) -> Exit {
            match self.write(&seed.unwrap_or_else(random_seed), out) {
                Ok(()) => Exit::Done,
                Err(error) => {
                    complain(format_args!("{error}; {}", error.advice()));
                    Exit::Failed
                }
            }
        }

        fn write(self, seed: &str, out: &Path) -> Result<(), KeygenError> {
            let network = fit(&self.suite(), self.topology(), seed)?;
            write_new(out, &network.to_bytes())?;
            complain(
                "this program was built without training: only the last layer was fitted, the others are as drawn",
            );
            eprintln!("{}", network.provenance());
            println!("{}", out.display());
            Ok(())
        }
    }
}

#[cfg(feature = "tch")]
mod training {
    use std::path::{Path, PathBuf};

    use super::{ChaosName, random_seed};
    use crate::keygen::torch::{
        NetworkError, NetworkOutcome, NetworkPlan, NetworkProgress, RATE, Samples, train_network,
    };
    use crate::keygen::write_new;

    /// Iterations unless another number is named; and after how many of them comes a checkpoint.
    const ITERATIONS: u64 = 600;
    const CHECKPOINT_EVERY: u64 = 50;
    /// Pieces of metadata in a batch, unless another number is named.
    const BATCH: u32 = 16;

    /// How a network is to be trained.
    pub(in crate::cli) struct Wishes {
        pub(in crate::cli) seed: Option<String>,
        pub(in crate::cli) iterations: Option<u64>,
        pub(in crate::cli) batch: Option<u32>,
        pub(in crate::cli) rate: Option<f64>,
        pub(in crate::cli) threads: u32,
        pub(in crate::cli) checkpoint: PathBuf,
        pub(in crate::cli) resume: bool,
    }

    impl ChaosName {
        /// Trains its network from end to end, and writes it, ready for use, into a new file; after how many iterations it was
        /// stopped, if it was.
        pub(in crate::cli) fn train(
            self,
            wishes: Wishes,
            out: &Path,
            watch: &mut dyn FnMut(NetworkProgress) -> bool,
        ) -> Result<Option<u64>, NetworkError> {
            let plan = NetworkPlan {
                suite: self.suite(),
                topology: self.topology(),
                seed: wishes.seed.unwrap_or_else(random_seed),
                iterations: wishes.iterations.unwrap_or(ITERATIONS),
                batch: wishes.batch.unwrap_or(BATCH),
                rate: wishes.rate.unwrap_or(RATE),
                samples: Samples::default(),
                threads: wishes.threads,
                checkpoint_every: CHECKPOINT_EVERY,
                checkpoint: wishes.checkpoint,
                resume: wishes.resume,
            };
            eprintln!("training {} for {} iterations, seed {}", plan.suite, plan.iterations, plan.seed);
            match train_network(&plan, watch)? {
                NetworkOutcome::Stopped(at) => Ok(Some(at)),
                NetworkOutcome::Done(network) => {
                    write_new(out, &network.to_bytes())?;
                    println!("{}", out.display());
                    Ok(None)
                }
            }
        }
    }
}

#[cfg(feature = "tch")]
pub(super) use training::Wishes;
