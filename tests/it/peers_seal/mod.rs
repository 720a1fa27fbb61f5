//! Sealed instances in the hands of other programs: validators, readers, compressors, archives.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

mod valid;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealgate::seal::{FileError, SealError};
use tempfile::TempDir;

use crate::keys::folder;
use crate::seal::{real_files, seal};

/// A real image and what it was sealed into.
pub(super) struct Case {
    /// Its name in the corpus, for messages.
    pub(super) name: String,
    pub(super) original: PathBuf,
    pub(super) sealed: PathBuf,
}

/// Every image of the real corpus, sealed into a folder that goes away.
pub(super) struct Corpus {
    /// Originals are `original/NNN.dcm`, sealed ones `sealed/NNN.dcm`.
    pub(super) folder: TempDir,
    pub(super) cases: Vec<Case>,
}

impl Corpus {
    pub(super) fn seal() -> Self {
        let folder = folder();
        for name in ["original", "sealed"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut cases = Vec::new();
        for path in real_files() {
            let bytes = std::fs::read(&path).unwrap();
            let sealed_bytes = match seal(&bytes) {
                Ok(sealed) => sealed,
                Err(FileError::Seal(SealError::NoPixels | SealError::NoUid(_) | SealError::Scan(_))) => {
                    continue;
                }
                Err(FileError::Scan(_)) => continue,
                Err(error) => panic!("{}: {error}", path.display()),
            };
            let place = |kind: &str| folder.path().join(kind).join(format!("{:03}.dcm", cases.len()));
            let (original, sealed) = (place("original"), place("sealed"));
            std::fs::write(&original, &bytes).unwrap();
            std::fs::write(&sealed, &sealed_bytes).unwrap();
            let name = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect::<Vec<_>>();
            cases.push(Case { name: name.into_iter().rev().collect::<Vec<_>>().join("/"), original, sealed });
        }
        assert!(cases.len() > 100, "{} images, install pydicom and pydicom-data", cases.len());
        Self { folder, cases }
    }
}

/// Runs a program to its end.
pub(super) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: run tests/run install"))
}

/// What a program said, on both channels.
pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Runs a script of `tests/peers` in the virtual environment; it has to end well, and its output is given.
pub(super) fn python(script: &str, arguments: &[&Path]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let python =
        std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| format!("{root}/tests/.venv/bin/python"));
    let output = Command::new(python)
        .arg(format!("{root}/tests/peers/{script}"))
        .args(arguments)
        .output()
        .expect("the virtual environment is there: run tests/run install");
    assert!(output.status.success(), "{script}: {}", said(&output));
    String::from_utf8(output.stdout).expect("scripts print UTF-8")
}

/// The path as an argument.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
