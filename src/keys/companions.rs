//! Key files that are no key encryption keys and that a backup of the store takes along: what is secret in them is wrapped.

use std::fs;
use std::path::{Path, PathBuf};

use crate::keys::error::KeysError;
use crate::keys::file;

/// Longest of them.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file of one kind.
pub(super) trait Companion: Sized {
    /// What can be told about one.
    type Info;
    /// How the names of their files end.
    const EXTENSION: &'static str;

    /// Reads one, and refuses it if it is damaged.
    fn read(path: &Path) -> Result<Self, KeysError>;

    /// Whether it holds what the other one holds.
    fn is(&self, other: &Self) -> bool;

    /// What can be told about it.
    fn info(&self, path: &Path) -> Self::Info;
}

/// Copies those of a keyring's folder beside a backup, each as the backup's name, a dot, and its own.
pub(super) fn back_up<C: Companion>(folder: &Path, backup: &Path) -> Result<Vec<C::Info>, KeysError> {
    let mut copied = Vec::new();
    for path in paths(folder, C::EXTENSION)? {
        let document = C::read(&path)?;
        file::create_private(&beside(backup, &path), &file::read_private(&path, FILE_BYTES_MAX)?)?;
        copied.push(document.info(&path));
    }
    Ok(copied)
}

/// Brings those beside a backup back into a keyring's folder; none that is there is replaced.
pub(super) fn restore<C: Companion>(folder: &Path, backup: &Path) -> Result<Vec<C::Info>, KeysError> {
    let around = backup.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begin = format!("{}.", backup.file_name().unwrap_or_default().to_string_lossy());
    let mut restored = Vec::new();
    for from in paths(around, C::EXTENSION)? {
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix(&begin) else { continue };
        let (document, to) = (C::read(&from)?, folder.join(name));
        if to.exists() {
            if !C::read(&to)?.is(&document) {
                return Err(KeysError::Exists(to));
            }
            continue;
        }
        file::private_folder(folder)?;
        file::create_private(&to, &file::read_private(&from, FILE_BYTES_MAX)?)?;
        restored.push(document.info(&to));
    }
    Ok(restored)
}

/// Those of a folder, by name; none where there is no folder.
fn paths(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, KeysError> {
    if fs::metadata(folder).is_err() {
        return Ok(Vec::new());
    }
    let mut found = file::with_extension(folder, extension)?.collect::<Result<Vec<_>, _>>()?;
    found.retain(|path| !file::is_hidden(path));
    found.sort();
    Ok(found)
}

fn beside(backup: &Path, path: &Path) -> PathBuf {
    let mut name = backup.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(path.file_name().unwrap_or_default());
    backup.with_file_name(name)
}
