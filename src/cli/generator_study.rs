//! `sealgate generator study`: which learning rate and batch size give which entropy of keys, as the paper's table XXI asks.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::generator_train::{KindName, learning_rate, seed_text};

#[cfg(not(feature = "tch"))]
use super::Exit;

/// How long each training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Length {
    /// 300 iterations: to see it work
    Quick,
    /// 30,000 iterations, as published
    Paper,
}

/// Train at several learning rates and batch sizes, and compare the keys: table XXI of the paper
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate generator study /data/images --profile paper --out study\n\n\
    Nine images in ten are trained with, and keys are made of the tenth, five times on the way of each training. FOLDER gets \
    study.json, study.csv and the weights. The same command goes on where it was stopped; \
    `sealgate evaluate --study FOLDER/study.json` sets it beside the published figures.")]
pub(super) struct Study {
    /// Folder of images; folders in it are searched too
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where everything goes
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Which network
    #[arg(long, value_enum, default_value_t = KindName::Full)]
    kind: KindName,
    /// How long each training is
    #[arg(long, value_enum, default_value_t = Length::Quick)]
    profile: Length,
    /// Iterations of each training, in place of the profile's number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(6..=1_000_000))]
    iterations: Option<u64>,
    /// Learning rates
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = learning_rate, default_value = "0.02,0.002,0.0002")]
    learning_rate: Vec<f64>,
    /// Batch sizes
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=256), default_value = "1,6,10")]
    batch: Vec<u32>,
    /// Everything random follows from this text
    #[arg(long, value_name = "TEXT", value_parser = seed_text, default_value = "study")]
    seed: String,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads of the processor; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

#[cfg(not(feature = "tch"))]
impl Study {
    /// Says how to build a program that can.
    #[expect(clippy::unused_self, reason = "the program that can needs it")]
    pub(super) fn run(self) -> Exit {
        super::generator_train::without_training()
    }
}

#[cfg(feature = "tch")]
mod training {
    use std::fmt::Write as _;
    use std::sync::atomic::Ordering;

    use super::{Length, Study};
    use crate::cli::generator_train::{bar, cores, stop_on_signals};
    use crate::cli::{Exit, complain};
    use crate::evaluate::papers::deep_key_gen as paper;
    use crate::keygen::torch::{Images, StudyPlan, StudyProgress, study};
    use crate::keygen::{self, Trial};

    impl Study {
        /// Trains until it is done or told to stop.
        pub(in crate::cli) fn run(self) -> Exit {
            match self.make() {
                Ok(found) => {
                    print!("{}", table(&found));
                    if found.is_whole() {
                        return Exit::Done;
                    }
                    complain("stopped; the same command goes on from there");
                    Exit::Unfinished
                }
                Err(reason) => {
                    complain(reason);
                    Exit::Failed
                }
            }
        }

        fn make(&self) -> Result<keygen::Study, String> {
            // The runtime lives as long as the trainings: it listens for the signals.
            let (_runtime, stop) = stop_on_signals().map_err(|error| error.to_string())?;
            let plan = self.plan()?;
            let images = Images::read(&self.folder, &plan.seed).map_err(|error| error.to_string())?;
            let bar = bar(0);
            let found = study(&plan, images, &mut |at: StudyProgress| {
                bar.set_length(at.of);
                bar.set_position(at.done);
                bar.set_message(format!("rate {} batch {}", at.rate, at.batch));
                !stop.load(Ordering::Relaxed)
            });
            bar.finish_and_clear();
            let found = found.map_err(|error| error.to_string())?;
            let path = self.out.join("study.csv");
            std::fs::write(&path, csv(&found)).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(found)
        }

        fn plan(&self) -> Result<StudyPlan, String> {
            let iterations = self.iterations.unwrap_or(match self.profile {
                Length::Quick => 300,
                Length::Paper => 30_000,
            });
            let mut batches = self.batch.clone();
            let mut rates: Vec<f64> = Vec::new();
            for rate in &self.learning_rate {
                if !rates.contains(rate) {
                    rates.push(*rate);
                }
            }
            batches.sort_unstable();
            batches.dedup();
            Ok(StudyPlan {
                kind: self.kind.into(),
                seed: self.seed.clone(),
                device: self.device.parse().map_err(|error| format!("{error}"))?,
                threads: self.threads.unwrap_or_else(cores),
                rates,
                batches,
                // The paper's 10,000, 15,000, 20,000, 25,000 and 30,000.
                milestones: (2..=6).map(|sixth| iterations * sixth / 6).collect(),
                folder: self.out.clone(),
            })
        }
    }

    /// What the paper has at the same share of its training: its iterations, and its entropy.
    fn published(study: &keygen::Study, trial: &Trial) -> Option<(u32, f64)> {
        let row = study.design.milestones.iter().position(|milestone| *milestone == trial.iterations)?;
        #[expect(clippy::float_cmp, reason = "rates are named, not computed")]
        let rate = paper::RATES.iter().position(|rate| *rate == trial.rate)?;
        let batch = paper::BATCHES.iter().position(|batch| *batch == trial.batch)?;
        let (iterations, entropies) = paper::HYPERPARAMETERS.get(row)?;
        Some((*iterations, *entropies.get(rate * paper::BATCHES.len() + batch)?))
    }

    fn bits(entropy: Option<f64>) -> String {
        entropy.filter(|bits| !bits.is_nan()).map_or_else(|| "NaN".to_owned(), |bits| format!("{bits:.4}"))
    }

    fn csv(study: &keygen::Study) -> String {
        let mut text = "rate,batch,iterations,entropy,published_iterations,published_entropy\n".to_owned();
        for trial in &study.cells {
            let Trial { rate, batch, iterations, entropy } = *trial;
            let _ = write!(text, "{rate},{batch},{iterations},{}", bits(entropy));
            let _ = match published(study, trial) {
                Some((iterations, entropy)) => writeln!(text, ",{iterations},{}", bits(Some(entropy))),
                None => writeln!(text, ",,"),
            };
        }
        text
    }

    /// One line for each finding, the paper's beside it.
    fn table(study: &keygen::Study) -> String {
        let mut text = "| rate | batch | iterations | entropy, bits a byte | published, after |\n|---|---|---|---|---|\n".to_owned();
        for trial in &study.cells {
            let Trial { rate, batch, iterations, entropy } = *trial;
            let beside = published(study, trial)
                .map_or_else(String::new, |(after, entropy)| format!("{}, {after}", bits(Some(entropy))));
            let _ = writeln!(text, "| {rate} | {batch} | {iterations} | {} | {beside} |", bits(entropy));
        }
        text
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn findings_stand_beside_those_of_the_paper_at_the_same_share_of_its_training() {
            let small = keygen::small_study();
            assert_eq!(
                csv(&small).lines().skip(1).collect::<Vec<_>>(),
                ["0.02,1,10,7.5000,10000,0.5222", "0.02,1,20,7.2500,15000,NaN", "0.02,6,10,NaN,10000,3.7878"]
            );
            assert!(table(&small).contains("| 0.02 | 1 | 20 | 7.2500 | NaN, 15000 |"));
        }
    }
}
