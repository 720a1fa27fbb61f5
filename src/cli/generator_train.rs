//! `sealgate generator train`: a site's own generator, from a folder of its images.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::generator_chaos::ChaosName;

#[cfg(not(feature = "tch"))]
use super::Exit;

/// Which of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KindName {
    /// The published network
    Full,
    /// The same with depthwise separable convolutions: 5.5 times fewer multiplications
    Lite,
}

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// 300 iterations: to see it work
    Quick,
    /// 20,000 iterations, as published
    Paper,
}

impl Profile {
    /// Iterations, and after how many of them comes a line of the history and a checkpoint.
    #[cfg_attr(not(feature = "tch"), expect(dead_code, reason = "only training reads it"))]
    const fn lengths(self) -> (u64, u64, u64) {
        match self {
            Self::Quick => (300, 20, 100),
            Self::Paper => (20_000, 100, 200),
        }
    }
}

/// Train a generator on a folder of DICOM and PNG files
#[derive(Debug, Args)]
#[command(
    after_help = "Example: sealgate generator train /data/images --kind full --profile paper --out site.safetensors\n\n\
    The weights go through `sealgate generator quantise` before the gateway can use them. While training, \
    FILE.checkpoint holds everything that --resume needs. SIGINT and SIGTERM write the checkpoint and the weights so \
    far. The same folder, seed, settings, device and number of threads give the same weights."
)]
pub(super) struct Train {
    /// Folder of images; folders in it are searched too
    #[arg(value_name = "DIR", required_unless_present = "chaos")]
    folder: Option<PathBuf>,
    /// Make the network of this chaotic suite instead: it needs no images, and FILE is ready for use, as SUITE.sgn in the
    /// folder of generators. Without libtorch only its last layer is fitted
    #[arg(long, value_name = "SUITE", value_enum, conflicts_with_all = ["folder", "kind", "profile", "device"])]
    #[cfg_attr(not(feature = "tch"), arg(conflicts_with_all = ["iterations", "learning_rate", "batch", "threads", "resume"]))]
    chaos: Option<ChaosName>,
    /// Which network
    #[arg(long, value_enum, default_value_t = KindName::Full)]
    kind: KindName,
    /// How long
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    profile: Profile,
    /// Where the weights go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Iterations, in place of the profile's number
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// The learning rate; by default 0.0002, as published
    #[arg(long, value_name = "RATE", value_parser = learning_rate)]
    learning_rate: Option<f64>,
    /// Images in a batch; by default 1 as published, with --chaos 16 pieces of metadata
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: Option<u32>,
    /// Everything random follows from this text; without it 32 random bytes. It stands in the training record
    #[arg(long, value_name = "TEXT", value_parser = seed_text)]
    seed: Option<String>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads of the processor; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Go on from FILE.checkpoint
    #[arg(long)]
    resume: bool,
}

/// A learning rate: more than 0, at most 1.
pub(super) fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err("a number above 0, at most 1, was expected".to_owned()),
    }
}

pub(super) fn seed_text(text: &str) -> Result<String, String> {
    match text.len() {
        1..=256 => Ok(text.to_owned()),
        n => Err(format!("{n} bytes; 1 to 256 were expected")),
    }
}

#[cfg(not(feature = "tch"))]
impl Train {
    /// Says how to build a program that can.
    pub(super) fn run(self) -> Exit {
        if let Some(chaos) = self.chaos {
            return chaos.train(self.seed, &self.out);
        }
        without_training()
    }
}

/// Says how to build a program that can train.
#[cfg(not(feature = "tch"))]
pub(super) fn without_training() -> Exit {
    super::complain(
        "this program was built without training. In its source folder, \
        eval \"$(conf/libtorch/fetch DIR)\" && cargo build --release --features tch builds one that can train",
    );
    Exit::Failed
}

#[cfg(feature = "tch")]
pub(super) use training::{bar, cores, stop_on_signals};

#[cfg(feature = "tch")]
impl From<KindName> for crate::keygen::Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Full => Self::Full,
            KindName::Lite => Self::Lite,
        }
    }
}

#[cfg(feature = "tch")]
mod training {
    use std::ffi::OsString;
    use std::io::{self, IsTerminal};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
    use tokio::signal::unix::{SignalKind, signal};

    use super::Train;
    use crate::cli::generator_chaos::{ChaosName, Wishes};
    use crate::cli::{Exit, complain};
    use crate::keygen::torch::{
        Images, NetworkError, NetworkProgress, Outcome, Plan, Progress, RATE, TrainError, resumed_seed, train,
    };

    /// A line about a network's loss after this many iterations.
    const LINE_EVERY: u64 = 20;

    impl Train {
        /// Trains until it is done or told to stop.
        pub(in crate::cli) fn run(self) -> Exit {
            // The runtime lives as long as the training: it listens for the signals.
            let (runtime, stop) = match stop_on_signals() {
                Ok(both) => both,
                Err(error) => {
                    complain(error);
                    return Exit::Failed;
                }
            };
            let result = match self.chaos {
                Some(chaos) => self.train_network(chaos, &stop),
                None => self.train(&stop).map_err(NetworkError::from),
            };
            drop(runtime);
            match result {
                Ok(Outcome::Done) => Exit::Done,
                Ok(Outcome::Stopped(iterations)) => {
                    complain(format_args!(
                        "stopped after {iterations} iterations; --resume goes on from there"
                    ));
                    Exit::Unfinished
                }
                Err(error) => {
                    complain(error);
                    Exit::Failed
                }
            }
        }

        fn train_network(&self, chaos: ChaosName, stop: &AtomicBool) -> Result<Outcome, NetworkError> {
            let checkpoint = beside(&self.out, ".checkpoint");
            let seed = match &self.seed {
                None if self.resume => Some(resumed_seed(&checkpoint)?),
                seed => seed.clone(),
            };
            let wishes = Wishes {
                seed,
                iterations: self.iterations,
                batch: self.batch,
                rate: self.learning_rate,
                threads: self.threads(),
                checkpoint,
                resume: self.resume,
            };
            let stopped = chaos.train(wishes, &self.out, &mut |NetworkProgress { iteration, loss }| {
                if iteration.is_multiple_of(LINE_EVERY) {
                    eprintln!("iteration {iteration}: loss {loss:.4}");
                }
                !stop.load(Ordering::Relaxed)
            })?;
            Ok(stopped.map_or(Outcome::Done, Outcome::Stopped))
        }

        fn threads(&self) -> u32 {
            self.threads.unwrap_or_else(cores)
        }

        fn train(&self, stop: &AtomicBool) -> Result<Outcome, TrainError> {
            let plan = self.plan()?;
            // Without --chaos a folder is required.
            let folder = self.folder.as_deref().unwrap_or_else(|| Path::new(""));
            let images = Images::read(folder, &plan.seed)?;
            eprintln!(
                "{} images, {} files skipped; training {} on {} with {} threads, seed {}",
                images.len(),
                images.skipped,
                plan.kind.name(),
                plan.device,
                plan.threads,
                plan.seed
            );
            let bar = bar(plan.iterations);
            let outcome = train(&plan, &images, &mut |progress| {
                show(&bar, progress, plan.report_every);
                !stop.load(Ordering::Relaxed)
            });
            bar.finish_and_clear();
            outcome.inspect(|_| println!("{}", plan.out.display()))
        }

        fn plan(&self) -> Result<Plan, TrainError> {
            let (iterations, report_every, checkpoint_every) = self.profile.lengths();
            let checkpoint = beside(&self.out, ".checkpoint");
            Ok(Plan {
                kind: self.kind.into(),
                seed: match &self.seed {
                    Some(seed) => seed.clone(),
                    None if self.resume => resumed_seed(&checkpoint)?,
                    None => random_seed(),
                },
                device: self.device.parse()?,
                threads: self.threads(),
                rate: self.learning_rate.unwrap_or(RATE),
                batch: self.batch.unwrap_or(1),
                iterations: self.iterations.unwrap_or(iterations),
                report_every,
                checkpoint_every,
                checkpoint,
                resume: self.resume,
                out: self.out.clone(),
            })
        }
    }

    fn random_seed() -> String {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn beside(path: &Path, end: &str) -> PathBuf {
        let mut name = OsString::from(path);
        name.push(end);
        PathBuf::from(name)
    }

    /// One thread for each core.
    pub(in crate::cli) fn cores() -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(cores).unwrap_or(1)
    }

    /// A flag that is set when SIGINT or SIGTERM arrives, as long as the runtime lives.
    pub(in crate::cli) fn stop_on_signals() -> io::Result<(tokio::runtime::Runtime, Arc<AtomicBool>)> {
        let flag = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let inside = runtime.enter();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stop = Arc::clone(&flag);
        runtime.spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(inside);
        Ok((runtime, flag))
    }

    /// A bar on a terminal, nothing elsewhere.
    pub(in crate::cli) fn bar(iterations: u64) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} {per_sec} {eta} {msg}");
        let bar = ProgressBar::with_draw_target(Some(iterations), ProgressDrawTarget::stderr());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    }

    /// The bar's text; in a pipe a line where the history has one.
    fn show(bar: &ProgressBar, at: Progress, report_every: u64) {
        let entropy = at.entropy.map_or_else(|| "–".to_owned(), |bits| format!("{bits:.4}"));
        let text = format!("D {:.4} G {:.4} entropy {entropy}", at.discriminator, at.generator);
        if bar.is_hidden() {
            if at.iteration.is_multiple_of(report_every) {
                eprintln!("iteration {}: {text}", at.iteration);
            }
        } else {
            bar.set_position(at.iteration);
            bar.set_message(text);
        }
    }
}
