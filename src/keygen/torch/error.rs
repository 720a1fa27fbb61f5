//! What can go wrong around a training.

use std::io;
use std::path::PathBuf;

use tch::TchError;

use crate::keygen::KeygenError;

/// Why a training did not begin, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder holds nothing to train with.
    #[error("{path}: none of {files} files is a DICOM image or a PNG; a training needs at least one", path = path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// How many files are in it.
        files: usize,
    },
    /// A checkpoint belongs to another training.
    #[error("{path}: the checkpoint has {what} {theirs}, this training {ours}; go on as it began, or begin anew without --resume", path = path.display())]
    OtherTraining {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The checkpoint's value.
        theirs: String,
        /// The value asked for.
        ours: String,
    },
    /// A folder holds the findings of another study.
    #[error("{path}: the study there is {theirs}, this one {ours}; choose another folder, or go on as it began", path = path.display())]
    OtherStudy {
        /// Its file.
        path: PathBuf,
        /// What it is.
        theirs: String,
        /// What was asked for.
        ours: String,
    },
    /// A folder of which no images can be kept apart.
    #[error("one image can be decoded; a study needs at least 2, since it keeps one in ten apart")]
    OneImage,
    /// The file of a study.
    #[error(transparent)]
    Study(#[from] KeygenError),
    /// A checkpoint that is damaged, or no checkpoint.
    #[error("{path}: no usable checkpoint: {why}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A device that is not there.
    #[error("device {asked}: {why}")]
    Device {
        /// What was asked for.
        asked: String,
        /// Why it cannot be had.
        why: &'static str,
    },
    /// The losses are no longer numbers.
    #[error(
        "iteration {iteration}: the loss is {loss}; the training has diverged, the last checkpoint stands"
    )]
    Diverged {
        /// In which iteration.
        iteration: u64,
        /// The loss.
        loss: f64,
    },
    /// libtorch reported an error.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

impl TrainError {
    /// An error about a file.
    pub(super) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
