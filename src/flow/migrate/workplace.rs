//! Where files are made before they are whole: a folder of this run's own beside where they go. What a run that was killed
//! has left is cleared away by the next.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

const PREFIX: &str = ".sealgate-migrate-";
const LOCK: &str = "lock";

/// A folder that nobody else works in; it goes with this.
#[derive(Debug)]
pub(super) struct Workplace {
    folder: TempDir,
    _lock: File,
}

impl Workplace {
    /// Makes one in this folder.
    pub(super) fn open(within: &Path) -> io::Result<Self> {
        clear(within)?;
        let only_us = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(only_us).tempdir_in(within)?;
        let lock =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    /// Whose it is alone.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes those that nobody works in any more.
fn clear(within: &Path) -> io::Result<()> {
    for entry in fs::read_dir(within)? {
        let path = entry?.path();
        let is_ours =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        // Another one may end and go meanwhile.
        if is_ours && is_left(&path).unwrap_or(false) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Whether a run of this user has left it: one that works holds the lock.
fn is_left(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    let options = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let lock = OpenOptions::new().read(true).custom_flags(options).open(path.join(LOCK))?;
    Ok(lock.try_lock().is_ok())
}

/// A file that was written as a whole gets its name, durably; one of that name is never replaced, and only one with the same
/// bytes stands for it.
pub(super) fn name(file: NamedTempFile, path: &Path, digest: &[u8; 32]) -> io::Result<()> {
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
            if !holds(path, digest)? {
                let what = "there is another file of its name, which is not replaced: move it away";
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{}: {what}", path.display()),
                ));
            }
            // Whoever wrote it may have died before it was durable.
            File::open(path)?.sync_all()?;
        }
        Err(refused) => return Err(refused.error),
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Whether a file is one, and has these bytes: as the disk has them, as far as the system lets go of its own copy.
pub(super) fn holds(path: &Path, digest: &[u8; 32]) -> io::Result<bool> {
    let options = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(options).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let _hint = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let mut found = crate::seal::DataDigest::default();
    let mut bytes = crate::seal::ClearBytes::default();
    bytes.resize(256 * 1024, 0);
    loop {
        match io::Read::read(&mut file, &mut bytes)? {
            0 => return Ok(found.finish() == *digest),
            length => found.update(bytes.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::seal::DataDigest;

    #[test]
    fn what_a_killed_run_has_left_goes_and_what_a_living_one_has_stays() {
        let folder = tempfile::tempdir().unwrap();
        let living = Workplace::open(folder.path()).unwrap();
        let killed = Workplace::open(folder.path()).unwrap();
        let (left, foreign) = (killed.path().to_owned(), folder.path().join(".sealgate-migrate-file"));
        fs::write(left.join("half"), b"half").unwrap();
        fs::write(&foreign, b"a file").unwrap();
        // As kill -9 leaves it.
        let Workplace { folder: left_behind, _lock: lock } = killed;
        let _kept = left_behind.keep();
        drop(lock);
        let next = Workplace::open(folder.path()).unwrap();
        assert!(!left.exists() && living.path().exists() && next.path().exists() && foreign.exists());
        assert_eq!(fs::metadata(next.path()).unwrap().mode() & 0o777, 0o700);
        drop((living, next));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_file_is_replaced_and_only_the_same_bytes_stand_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.dcm");
        let put = |bytes: &[u8], at: &Path| {
            let mut file = NamedTempFile::new_in(folder.path()).unwrap();
            file.write_all(bytes).unwrap();
            name(file, at, &DataDigest::of(bytes))
        };
        put(b"one", &path).unwrap();
        put(b"one", &path).unwrap();
        let refused = put(b"two", &path).unwrap_err().to_string();
        assert!(refused.contains("move it away") && fs::read(&path).unwrap() == b"one", "{refused}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // A link of that name leads nowhere.
        let (link, target) = (folder.path().join("link.dcm"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(put(b"one", &link).is_err() && !target.exists());
        std::os::unix::fs::symlink(&path, folder.path().join("second.dcm")).unwrap();
        assert!(put(b"one", &folder.path().join("second.dcm")).is_err());
    }
}
