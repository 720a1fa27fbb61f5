//! Reads the files of a profile, each within a limit, and notices when one has changed.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::config::Place;
use super::error::LoadError;

/// Certificates and keys have a few kilobytes, revocation lists of large issuers some megabytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a file looked like from outside when it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// A rename puts another file there, perhaps of the same age and length.
    inode: u64,
}

/// Where the bytes are.
pub(super) fn path_of(place: &Place) -> Result<PathBuf, LoadError> {
    match place {
        Place::File(path) => Ok(path.clone()),
        Place::Credential(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
            let folder = folder.ok_or_else(|| LoadError::NoCredentials { place: place.clone() })?;
            Ok(PathBuf::from(folder).join(name))
        }
    }
}

/// Everything in the file; erased when dropped, as it may be a key.
pub(super) fn read(place: &Place) -> Result<Zeroizing<Vec<u8>>, LoadError> {
    let failed = |error| LoadError::Unreadable { place: place.clone(), error };
    let file = File::open(path_of(place)?).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { place: place.clone(), bytes: length, max: FILE_BYTES_MAX });
    }
    // Room for all of it at once: a vector that grows leaves copies of a key behind.
    let room = usize::try_from(length).unwrap_or_default().saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(length).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// How the file looks now; nothing if it is not there.
pub(super) fn stamp(place: &Place) -> Option<Stamp> {
    let metadata = fs::metadata(path_of(place).ok()?).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len(), inode: metadata.ino() })
}

/// Whether everybody on the machine may read the file.
pub(super) fn is_open_to_all(place: &Place) -> bool {
    let metadata = path_of(place).ok().and_then(|path| fs::metadata(path).ok());
    metadata.is_some_and(|metadata| metadata.mode() & 0o004 != 0)
}
