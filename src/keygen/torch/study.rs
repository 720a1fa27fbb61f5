//! The study of table XXI: generators trained at several learning rates and batch sizes, and the entropy of their keys.
//!
//! As in the paper nine images in ten are trained with, and keys are made of the tenth. One training serves all milestones of
//! a way to train; what was found is on the disk before the next begins, and a study that was stopped goes on from there.

use std::fs;
use std::path::PathBuf;

use super::train::{generator_of, key_entropy};
use super::weights::replace;
use super::{Device, Images, Outcome, Plan, TrainError, train};
use crate::keygen::{Design, Kind, Study, Trial};

/// A checkpoint after this many iterations.
const CHECKPOINT_EVERY: u64 = 100;
/// Lines of the history of each training.
const REPORTS: u64 = 50;

/// What is varied, and everything that is not.
#[derive(Debug, Clone)]
pub struct StudyPlan {
    /// Which network.
    pub kind: Kind,
    /// Everything random follows from this text.
    pub seed: String,
    /// Where to compute.
    pub device: Device,
    /// Threads of the processor.
    pub threads: u32,
    /// Learning rates.
    pub rates: Vec<f64>,
    /// Batch sizes; none is 0.
    pub batches: Vec<u32>,
    /// After how many iterations keys are made, rising; with the last a training ends.
    pub milestones: Vec<u64>,
    /// Where the findings, the weights and the checkpoints go.
    pub folder: PathBuf,
}

/// How far a study is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudyProgress {
    /// The learning rate at hand.
    pub rate: f64,
    /// The batch size at hand.
    pub batch: u32,
    /// Iterations of this training.
    pub iteration: u64,
    /// Iterations of all trainings done.
    pub done: u64,
    /// Iterations of all trainings there are.
    pub of: u64,
}

/// Trains every way to its last milestone. `watch` hears of each iteration, and says whether to go on; what is not whole was
/// stopped.
pub fn study(
    plan: &StudyPlan,
    images: Images,
    watch: &mut dyn FnMut(StudyProgress) -> bool,
) -> Result<Study, TrainError> {
    let (training, validation) = images.apart().ok_or(TrainError::OneImage)?;
    let mut bench = Bench { plan, validation, study: begin(plan, &training)? };
    bench.study.design.validation_images = bench.validation.len();
    bench.take_over()?;
    let mut go_on = true;
    let ways: Vec<_> = bench.study.ways().collect();
    for (number, (rate, batch)) in (0..).zip(ways) {
        let last = plan.milestones.last().copied().unwrap_or(0);
        let of = last * plan.rates.len() as u64 * plan.batches.len() as u64;
        let mut tell = |iteration| {
            // Who said stop at a milestone meant all of it.
            go_on =
                go_on && watch(StudyProgress { rate, batch, iteration, done: number * last + iteration, of });
            go_on
        };
        if !bench.follow(rate, batch, &training, &mut tell)? {
            break;
        }
    }
    Ok(bench.study)
}

/// A study before its first finding.
fn begin(plan: &StudyPlan, training: &Images) -> Result<Study, TrainError> {
    fs::create_dir_all(&plan.folder).map_err(TrainError::file(&plan.folder))?;
    let design = Design {
        program: concat!("sealgate ", env!("CARGO_PKG_VERSION")).to_owned(),
        kind: plan.kind.name().to_owned(),
        seed: plan.seed.clone(),
        device: plan.device.to_string(),
        threads: plan.threads,
        training_images: training.len(),
        validation_images: 0,
        data: training.digest.clone(),
        rates: plan.rates.clone(),
        batches: plan.batches.clone(),
        milestones: plan.milestones.clone(),
    };
    Ok(Study { design, cells: Vec::new() })
}

/// A study at work.
struct Bench<'a> {
    plan: &'a StudyPlan,
    validation: Images,
    study: Study,
}

impl Bench<'_> {
    fn file(&self) -> PathBuf {
        self.plan.folder.join("study.json")
    }

    /// Goes on with what the folder holds, if it is of this study.
    fn take_over(&mut self) -> Result<(), TrainError> {
        let path = self.file();
        if !path.exists() {
            return self.keep();
        }
        let found = Study::load(&path)?;
        if found.design != self.study.design {
            let [ours, theirs] = [&self.study, &found]
                .map(|study| serde_json::to_string(&study.design).expect("numbers and text can be written"));
            return Err(TrainError::OtherStudy { path, theirs, ours });
        }
        self.study = found;
        Ok(())
    }

    fn keep(&self) -> Result<(), TrainError> {
        let text = serde_json::to_vec_pretty(&self.study).expect("numbers and text can be written");
        replace(&self.file(), &text)
    }

    /// Trains one way from milestone to milestone; whether it came to its end.
    fn follow(
        &mut self,
        rate: f64,
        batch: u32,
        training: &Images,
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, TrainError> {
        let mut diverged = false;
        for &iterations in &self.plan.milestones {
            if let Some(trial) = self.study.trial(rate, batch, iterations) {
                diverged = trial.entropy.is_none();
                continue;
            }
            let reached = if diverged {
                Reached::Nothing
            } else {
                self.train(rate, batch, iterations, training, tell)?
            };
            let entropy = match reached {
                Reached::Stopped => return Ok(false),
                Reached::Nothing => None,
                Reached::Entropy(bits) => Some(bits),
            };
            diverged = entropy.is_none();
            self.study.cells.push(Trial { rate, batch, iterations, entropy });
            self.keep()?;
        }
        let checkpoint = self.plan(rate, batch, 1).checkpoint;
        if checkpoint.exists() {
            fs::remove_file(&checkpoint).map_err(TrainError::file(&checkpoint))?;
        }
        Ok(true)
    }

    /// The training of one way.
    fn plan(&self, rate: f64, batch: u32, iterations: u64) -> Plan {
        let file = |end: &str| self.plan.folder.join(format!("rate-{rate}-batch-{batch}.{end}"));
        let checkpoint = file("checkpoint");
        Plan {
            kind: self.plan.kind,
            seed: self.plan.seed.clone(),
            device: self.plan.device,
            threads: self.plan.threads,
            rate,
            batch,
            iterations,
            report_every: self.plan.milestones.last().map_or(1, |last| last.div_ceil(REPORTS)).max(1),
            checkpoint_every: CHECKPOINT_EVERY,
            resume: checkpoint.exists(),
            checkpoint,
            out: file("safetensors"),
        }
    }

    /// Trains up to a milestone, and measures.
    fn train(
        &self,
        rate: f64,
        batch: u32,
        iterations: u64,
        training: &Images,
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Reached, TrainError> {
        let plan = self.plan(rate, batch, iterations);
        match train(&plan, training, &mut |progress| tell(progress.iteration)) {
            Err(TrainError::Diverged { .. }) => Ok(Reached::Nothing),
            Err(error) => Err(error),
            Ok(Outcome::Stopped(_)) => Ok(Reached::Stopped),
            Ok(Outcome::Done) => Ok(self.entropy(&plan)?.map_or(Reached::Nothing, Reached::Entropy)),
        }
    }

    /// Mean entropy of the keys of the images that were kept apart.
    #[expect(clippy::cast_precision_loss, reason = "there are few images")]
    fn entropy(&self, plan: &Plan) -> Result<Option<f64>, TrainError> {
        let generator = generator_of(&plan.out, plan.kind, plan.device)?;
        let mut sum = 0.0;
        for number in 0..self.validation.len() {
            let Some(bits) = key_entropy(&generator, self.validation.get(number), plan.device)? else {
                return Ok(None);
            };
            sum += bits;
        }
        Ok(Some(sum / self.validation.len() as f64))
    }
}

/// What became of the way to a milestone.
enum Reached {
    /// It was told to stop.
    Stopped,
    /// The training diverged.
    Nothing,
    /// The entropy there.
    Entropy(f64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::torch::draw::Draws;
    use crate::keygen::torch::network::Generator;
    use crate::keygen::torch::tests::pictures;

    fn plan(folder: &std::path::Path) -> StudyPlan {
        StudyPlan {
            kind: Kind::Lite,
            seed: "a study".to_owned(),
            device: Device::CPU,
            threads: 1,
            rates: vec![0.02, 0.0002],
            batches: vec![1, 2],
            milestones: vec![1, 3],
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_study_that_was_stopped_goes_on_and_finds_what_one_finds_that_ran_through() {
        let (folder, images) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let read = || pictures(images.path());
        let through = plan(&folder.path().join("through"));
        let whole = study(&through, read(), &mut |_| true).unwrap();
        assert!(
            whole.is_whole() && whole.cells.iter().all(|trial| trial.entropy.is_some_and(|bits| bits > 1.0))
        );
        // Another way to train is another generator.
        let found = |rate, batch| whole.trial(rate, batch, 3).unwrap().entropy;
        assert!(found(0.02, 1) != found(0.0002, 1) && found(0.0002, 1) != found(0.0002, 2), "{whole:?}");
        assert_eq!(Study::load(&through.folder.join("study.json")).unwrap(), whole);
        let left: Vec<_> =
            fs::read_dir(&through.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(
            left.iter().filter(|path| path.extension().unwrap() == "checkpoint").count(),
            0,
            "{left:?}"
        );

        // In the middle of the second way, between its two milestones.
        let stopped = plan(&folder.path().join("stopped"));
        let part = study(&stopped, read(), &mut |at| (at.done, at.iteration) != (5, 2)).unwrap();
        assert!(!part.is_whole() && part.cells[..] == whole.cells[..part.cells.len()], "{part:?}");
        let mut seen = Vec::new();
        let rest = study(&stopped, read(), &mut |at| {
            seen.push(at.done);
            true
        });
        assert_eq!((rest.unwrap().cells, seen), (whole.cells, vec![6, 7, 8, 9, 10, 11, 12]));

        let other = StudyPlan { seed: "another".to_owned(), ..stopped };
        let refused = study(&other, read(), &mut |_| true).unwrap_err().to_string();
        assert!(refused.contains("another folder") && refused.contains("a study"), "{refused}");
    }

    #[test]
    fn a_network_of_what_is_no_number_has_no_entropy() {
        let mut generator =
            Generator::new(Kind::Lite, &mut Draws::new("a", "weights", 0), Device::CPU.0).unwrap();
        let planes = vec![7; 3 * 256 * 256];
        assert!(key_entropy(&generator, &planes, Device::CPU).unwrap().is_some());
        generator.parameters[0].value = &generator.parameters[0].value * f64::NAN;
        assert!(key_entropy(&generator, &planes, Device::CPU).unwrap().is_none());
    }
}
