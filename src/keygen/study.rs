//! What a study of learning rates and batch sizes found: the entropy of keys after so many iterations of each.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::KeygenError;

/// Longest file of a study that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A study, whole or as far as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What everything in it follows from.
    pub design: Design,
    /// What was found, in the order in which it was.
    pub cells: Vec<Trial>,
}

/// What is varied, and everything that is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// The program.
    pub program: String,
    /// `full` or `lite`.
    pub kind: String,
    /// Everything random follows from it.
    pub seed: String,
    /// Where it was computed.
    pub device: String,
    /// Threads of the processor.
    pub threads: u32,
    /// Images that are trained with.
    pub training_images: usize,
    /// Images that keys are made of.
    pub validation_images: usize,
    /// SHA-256 of those that are trained with.
    pub data: String,
    /// Learning rates.
    pub rates: Vec<f64>,
    /// Batch sizes.
    pub batches: Vec<u32>,
    /// After how many iterations keys are made.
    pub milestones: Vec<u64>,
}

/// One way to train, up to one milestone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The learning rate.
    pub rate: f64,
    /// Images in a batch.
    pub batch: u32,
    /// Iterations done.
    pub iterations: u64,
    /// Mean bits per byte of the keys; none where the training diverged.
    pub entropy: Option<f64>,
}

impl Study {
    /// Reads a study from its file.
    pub fn load(path: &Path) -> Result<Self, KeygenError> {
        let refuse = |reason: String| KeygenError::Study { path: path.to_owned(), reason };
        let length = fs::metadata(path).map_err(KeygenError::file("reading", path))?.len();
        if length > FILE_BYTES_MAX {
            return Err(refuse(format!("{length} bytes, the limit is {FILE_BYTES_MAX}")));
        }
        let text = fs::read(path).map_err(KeygenError::file("reading", path))?;
        serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))
    }

    /// What was found there, if it was reached.
    #[must_use]
    pub fn trial(&self, rate: f64, batch: u32, iterations: u64) -> Option<&Trial> {
        let is = |trial: &&Trial| (trial.rate, trial.batch, trial.iterations) == (rate, batch, iterations);
        self.cells.iter().find(is)
    }

    /// The ways to train, in the order of the columns: for each rate, each batch size.
    pub fn ways(&self) -> impl Iterator<Item = (f64, u32)> + '_ {
        let Design { rates, batches, .. } = &self.design;
        rates.iter().flat_map(|rate| batches.iter().map(|batch| (*rate, *batch)))
    }

    /// Whether all of it is done.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.cells.len() == self.ways().count() * self.design.milestones.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two ways, two milestones, of which the second way diverges.
    pub(crate) fn small() -> Study {
        let trial = |batch, iterations, entropy| Trial { rate: 0.02, batch, iterations, entropy };
        Study {
            design: Design {
                program: "sealgate".into(),
                kind: "lite".into(),
                seed: "a seed".into(),
                device: "cpu".into(),
                threads: 1,
                training_images: 9,
                validation_images: 1,
                data: "00".into(),
                rates: vec![0.02],
                batches: vec![1, 6],
                milestones: vec![10, 20],
            },
            cells: vec![trial(1, 10, Some(7.5)), trial(1, 20, Some(7.25)), trial(6, 10, None)],
        }
    }

    #[test]
    fn a_study_is_whole_when_every_way_was_followed_to_its_end() {
        let mut study = small();
        assert_eq!(study.ways().collect::<Vec<_>>(), [(0.02, 1), (0.02, 6)]);
        assert_eq!(study.trial(0.02, 1, 20).unwrap().entropy, Some(7.25));
        assert!(study.trial(0.02, 6, 20).is_none() && !study.is_whole());
        study.cells.push(Trial { rate: 0.02, batch: 6, iterations: 20, entropy: None });
        assert!(study.is_whole());
    }

    #[test]
    fn a_file_that_is_no_study_is_refused_with_its_name_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.json");
        fs::write(&path, serde_json::to_vec(&small()).unwrap()).unwrap();
        assert_eq!(Study::load(&path).unwrap(), small());
        for wrong in ["", "{}", "{\"cells\":[]}"] {
            fs::write(&path, wrong).unwrap();
            let said = Study::load(&path).unwrap_err().to_string();
            assert!(said.contains("study.json"), "{said}");
        }
    }
}
