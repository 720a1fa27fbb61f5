//! Files that hold secrets: for their owner alone, written whole and durably or not at all, never overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keys::error::KeysError;

/// Mode bits of group and others.
const OTHERS_AND_GROUP: u32 = 0o077;

/// The files with this ending in a folder, one by one, in no order; none where there is no folder.
pub(crate) fn with_extension<'a>(
    folder: &'a Path,
    extension: &'a str,
) -> Result<impl Iterator<Item = Result<PathBuf, KeysError>> + 'a, KeysError> {
    let failed = || KeysError::file("reading the folder", folder);
    let entries = folder.exists().then(|| fs::read_dir(folder)).transpose().map_err(failed())?;
    let paths = entries.into_iter().flatten().map(move |entry| Ok(entry.map_err(failed())?.path()));
    Ok(paths.filter(move |path: &Result<PathBuf, _>| {
        path.as_ref().map_or(true, |path| path.extension().is_some_and(|found| found == extension))
    }))
}

/// Whether a file is one that is still being written.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Refuses a file that anybody but its owner may use.
pub(crate) fn check_private(file: &File, path: &Path) -> Result<(), KeysError> {
    check_mode(file, path, OTHERS_AND_GROUP)
}

/// The same without opening the file.
pub(crate) fn check_private_path(path: &Path) -> Result<(), KeysError> {
    let metadata = fs::metadata(path).map_err(KeysError::file("looking at", path))?;
    check_bits(&metadata, path, OTHERS_AND_GROUP)
}

/// Refuses a file that users outside its owner and group may use.
pub(crate) fn check_not_for_others(file: &File, path: &Path) -> Result<(), KeysError> {
    check_mode(file, path, 0o007)
}

fn check_mode(file: &File, path: &Path, forbidden: u32) -> Result<(), KeysError> {
    check_bits(&file.metadata().map_err(KeysError::file("looking at", path))?, path, forbidden)
}

fn check_bits(metadata: &fs::Metadata, path: &Path, forbidden: u32) -> Result<(), KeysError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & forbidden == 0 { Ok(()) } else { Err(KeysError::Permissions { path: path.to_owned(), mode }) }
}

/// Refuses when no file can be made beside `path`: the disk is read-only, or the folder is not ours.
pub(crate) fn check_writable_folder(path: &Path) -> Result<(), KeysError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let probe = path.with_file_name(format!(".{name}.{}.probe", std::process::id()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe) {
        Ok(_) => fs::remove_file(&probe).map_err(KeysError::file("removing", &probe)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(KeysError::File { doing: "writing beside", path: path.to_owned(), source }),
    }
}

/// Reads a private file of at most `limit` bytes.
pub(crate) fn read_private(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let file = File::open(path).map_err(KeysError::file("opening", path))?;
    check_private(&file, path)?;
    read_limited(file, path, limit)
}

/// Reads at most `limit` bytes and refuses a longer file.
pub(crate) fn read_limited(file: File, path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(KeysError::file("reading", path))?;
    if bytes.len() as u64 > limit {
        return Err(KeysError::malformed(path, &format!("longer than the limit of {limit} bytes")));
    }
    Ok(bytes)
}

/// What a private file of JSON says.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path, limit: u64) -> Result<T, KeysError> {
    serde_json::from_slice(&read_private(path, limit)?).map_err(|error| KeysError::malformed(path, &error))
}

/// Makes the folder with mode 0700 if it is missing; refuses one that others may write to or look into.
pub(crate) fn private_folder(path: &Path) -> Result<(), KeysError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            return Err(KeysError::File { doing: "making the folder", path: path.to_owned(), source });
        }
    }
    check_folder(path)
}

/// Refuses a folder that others may write to or look into.
pub(crate) fn check_folder(path: &Path) -> Result<(), KeysError> {
    let folder = File::open(path).map_err(KeysError::file("opening the folder", path))?;
    check_private(&folder, path)
}

/// Writes a new file of mode 0600: temporary name, fsync, final name unless taken, fsync of the folder.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    if path.exists() {
        return Err(KeysError::Exists(path.to_owned()));
    }
    let part = Part::create(path)?;
    let mut file = &part.file;
    file.write_all(bytes).map_err(KeysError::file("writing", &part.path))?;
    part.publish(path)
}

/// A file under a temporary name beside its target, removed again unless it is published.
pub(crate) struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    /// Makes an empty private file that will be published as `target`.
    pub(crate) fn create(target: &Path) -> Result<Self, KeysError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .read(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(KeysError::file("making", &path))?;
        Ok(Self { file, path })
    }

    /// Where the bytes are meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the bytes durable and gives them their name, which must still be free.
    pub(crate) fn publish(self, target: &Path) -> Result<(), KeysError> {
        self.file.sync_all().map_err(KeysError::file("syncing", &self.path))?;
        // A hard link, unlike a rename, fails when the name is taken: two processes cannot overwrite each other.
        match fs::hard_link(&self.path, target) {
            Ok(()) => sync_folder_of(target),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeysError::Exists(target.to_owned()))
            }
            Err(source) => Err(KeysError::File { doing: "naming", path: target.to_owned(), source }),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes names in the folder of `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), KeysError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(KeysError::file("syncing the folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_for_its_owner_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_private(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(create_private(&path, b"two"), Err(KeysError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_name_taken_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let part = Part::create(&path).unwrap();
        fs::write(&path, b"the other's").unwrap();
        assert!(matches!(part.publish(&path), Err(KeysError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"the other's");
    }

    #[test]
    fn refuses_a_file_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, b"x").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_private(&path, 10), Err(KeysError::Permissions { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_private(&path, 1).unwrap().as_slice(), b"x");
        assert!(matches!(read_private(&path, 0), Err(KeysError::Malformed { .. })));
    }
}
