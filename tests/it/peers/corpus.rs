//! Real instances: every file of the Python packages pydicom and pydicom-data that can be sent as it is.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dicom_core::Tag;
use dicom_object::OpenFileOptions;
use sealgate::dicom::{Encoding, TransferSyntax, Uid, is_storage};
use sealgate::scu::Instance;

/// Not valid: cut short on purpose, or not in the transfer syntax that they say.
const FAULTY: [&str; 4] = [
    "emri_small_jpeg_2k_lossless_too_short.dcm",
    "MR_truncated.dcm",
    "rtplan_truncated.dcm",
    "SC_rgb_jpeg.dcm",
];

/// A file that is an instance.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) path: PathBuf,
    pub(crate) instance: Instance,
    /// The bytes behind the file meta information.
    pub(crate) data_set: Bytes,
}

impl Sample {
    /// What goes over the wire: a deflated data set of odd length gets its NUL (PS3.5 A.5).
    pub(crate) fn sent(&self) -> Vec<u8> {
        let is_short =
            self.instance.transfer_syntax.encoding == Encoding::Deflated && self.data_set.len() % 2 == 1;
        [&self.data_set[..], if is_short { &[0] } else { &[] }].concat()
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.path.display(), self.instance.need())
    }
}

/// The data set of a file: what follows the preamble, the prefix and group 0002 (PS3.10 section 7.1).
pub(crate) fn data_set_of(file: &[u8]) -> Option<&[u8]> {
    // 128 bytes, DICM, then (0002,0000) UL with the length of what follows it in group 0002.
    if file.get(128..140)? != b"DICM\x02\0\0\0UL\x04\0" {
        return None;
    }
    let length = u32::from_le_bytes(*file.get(140..144)?.first_chunk()?);
    file.get(144 + usize::try_from(length).ok()?..)
}

fn sample(path: &Path) -> Option<Sample> {
    let file = fs::read(path).ok()?;
    let data_set = Bytes::copy_from_slice(data_set_of(&file)?);
    // The file meta information of some says another instance than the data set.
    let head = OpenFileOptions::new().read_until(Tag(0x0008, 0x0020)).open_file(path).ok()?;
    let uid = |tag| Uid::parse(head.element(tag).ok()?.to_str().ok()?.trim_end_matches(['\0', ' '])).ok();
    let (class, instance) = (uid(Tag(0x0008, 0x0016))?, uid(Tag(0x0008, 0x0018))?);
    let meta = head.meta();
    let syntax = TransferSyntax::by_uid(meta.transfer_syntax.trim_end_matches(['\0', ' ']))?;
    let is_faulty = path.file_name().is_some_and(|name| FAULTY.iter().any(|faulty| name == *faulty));
    let sendable = is_storage(class.as_str()) && !data_set.is_empty() && !is_faulty;
    let instance = Instance::new(class, instance, syntax);
    sendable.then(|| Sample { path: path.to_owned(), instance, data_set })
}

/// Every instance there is, the smaller ones first, each SOP Instance UID once in each transfer syntax.
pub(crate) fn samples() -> Vec<Sample> {
    let root = std::env::var_os("SEALGATE_REAL_DICOM").expect("SEALGATE_REAL_DICOM: see tests/run");
    let mut found: Vec<Sample> = files(Path::new(&root)).iter().filter_map(|path| sample(path)).collect();
    found.sort_by_key(|sample| (sample.data_set.len(), sample.path.clone()));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|sample| {
        seen.insert((sample.instance.instance.clone(), sample.instance.transfer_syntax.uid))
    });
    assert!(found.len() > 60, "{} instances", found.len());
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
