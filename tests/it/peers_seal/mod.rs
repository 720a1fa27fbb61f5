//! Sealed instances in the hands of other programs: validators, readers, compressors, archives.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

mod damage;
mod documents;
mod store;
mod survive;
pub(crate) mod valid;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dicom_core::Tag;
use sealgate::dicom::TransferSyntax;
use sealgate::seal::scan::{Event, Limits, ScanError, Scanner, part10};
use sealgate::seal::{FileError, HeaderMode, SealError, inspect};
use tempfile::TempDir;

use crate::keys::folder;
use crate::peers::data_set_of;
use crate::seal::{open, real_files, seal};

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

    /// One case of every class, encoding and shape of pixels: what takes long is done with these.
    pub(super) fn kinds(&self) -> Vec<&Case> {
        let mut seen = BTreeSet::new();
        let is_new = |case: &&Case| {
            let original = inspect(&std::fs::read(&case.original).unwrap()[..]).unwrap();
            let image = original.image.unwrap();
            let class = original.sop_class.unwrap().to_string();
            let syntax = original.transfer_syntax.to_string();
            seen.insert((
                class,
                syntax,
                image.samples,
                image.bits_allocated,
                image.frames > 1,
                image.representation,
            ))
        };
        self.cases.iter().filter(is_new).collect()
    }
}

/// A file's elements by tag, as they are written there; of pixels, all bytes.
pub(super) fn elements(file: &[u8]) -> BTreeMap<Tag, Vec<u8>> {
    let (front, _) = part10::read(&mut &file[..], &Limits::default(), None).unwrap();
    let encoding = TransferSyntax::by_uid(front.transfer_syntax.as_str()).unwrap().encoding;
    let mut scanner = Scanner::new(encoding, Limits::default(), None);
    let (mut elements, mut large) = (BTreeMap::<Tag, Vec<u8>>::new(), Tag(0, 0));
    let mut on = |event: Event<'_>| {
        match event {
            Event::Element(element) => {
                elements.entry(element.tag).or_default().extend_from_slice(element.raw);
            }
            Event::Begin(head) => {
                large = head.tag;
                elements.entry(large).or_default().extend_from_slice(head.raw);
            }
            Event::Bytes(bytes) => elements.entry(large).or_default().extend_from_slice(bytes),
            Event::End(_) => {}
        }
        Ok::<(), ScanError>(())
    };
    scanner.push(&file[front.raw.len()..], &mut on).unwrap();
    elements
}

/// Whether a file opens: to the original, and with the PACS's header to the original but for these attributes, which
/// may have changed.
pub(super) fn opens(case: &Case, file: &Path, may_change: &[Tag]) -> Result<(), String> {
    let (bytes, original) = (std::fs::read(file).unwrap(), std::fs::read(&case.original).unwrap());
    let opened = |mode| open(&bytes, mode).map_err(|error| format!("{mode:?}: {error}"));
    if opened(HeaderMode::Original)?.0 != original {
        return Err("Original: other bytes".to_owned());
    }
    let (current, changes) = opened(HeaderMode::Current)?;
    let differing: Vec<Tag> =
        [&changes.changed, &changes.added, &changes.removed].into_iter().flatten().copied().collect();
    if differing.iter().any(|tag| !may_change.contains(tag)) {
        return Err(format!("Current: {changes:?}"));
    }
    if differing.is_empty() && current != original {
        return Err("Current: other bytes".to_owned());
    }
    let (mut current, mut original) = (elements(&current), elements(&original));
    for tag in differing {
        // The length of a group in which something changed would be wrong.
        for tag in [tag, Tag(tag.group(), 0)] {
            current.remove(&tag);
            original.remove(&tag);
        }
    }
    if current == original { Ok(()) } else { Err("Current: other elements".to_owned()) }
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
    python_with(script, &arguments.iter().map(|path| text(path)).collect::<Vec<_>>())
}

/// The same with arguments of any kind.
pub(super) fn python_with(script: &str, arguments: &[&str]) -> String {
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

/// The data set of a file, or of a data set alone, in one way of writing: lengths of sequences, group lengths and padding at the end are each
/// program's own.
pub(super) fn canonical(file: &Path, folder: &Path) -> Vec<u8> {
    let to = folder.join("canonical");
    let output = run("dcmconv", &["-q", "+te", "-g", "+e", "-p", text(file), text(&to)]);
    assert!(output.status.success(), "{}", said(&output));
    data_set_of(&std::fs::read(to).unwrap()).unwrap().to_vec()
}
