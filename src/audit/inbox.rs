//! What commands record beside the running service: a file for each event, taken into the log by who writes it.
//!
//! A command makes `inbox/NAME.alert` durable before it does what it records. The service takes it in within seconds, or at its
//! next start, and removes it when the record is durable: after a crash one may stand in the log twice, and none is lost.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use tracing::error;

use super::alert::{Alert, What};
use super::clock::now_unix_millis;
use super::error::AuditError;
use super::event::{ACCESSED, Access, Event, Instance, LOG_USED, LogUse, Party};
use super::file::sync_folder;
use crate::dicom::Uid;

/// Bytes of a file, and files that are taken at once.
const BYTES_MAX: u64 = 64 * 1024;
const FILES_MAX: usize = 100;

/// An alert as a file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    unix_millis: u64,
    what: String,
    failed: bool,
    by: String,
    subjects: Vec<String>,
    text: String,
}

fn folder_of(folder: &Path) -> PathBuf {
    folder.join("inbox")
}

/// Records an alert from a command; it is durable when this returns. Nothing is recorded where the trail was never begun.
pub fn note(folder: &Path, alert: &Alert) -> Result<(), AuditError> {
    let Alert { what, failed, by, subjects, text } = alert;
    let by = by.as_ref().map(|party| party.name.clone()).unwrap_or_default();
    let (what, unix_millis) = (what.name().to_owned(), now_unix_millis());
    let (failed, subjects, text) = (*failed, subjects.clone(), text.clone());
    leave(folder, &Note { unix_millis, what, failed, by, subjects, text })
}

/// Records that somebody reads the trail in this folder, and how.
pub fn note_use(folder: &Path, by: &str, how: &str) -> Result<(), AuditError> {
    let log = format!("file://{}", folder.display());
    let (by, text, what) = (by.to_owned(), how.to_owned(), LOG_USED.to_owned());
    let unix_millis = now_unix_millis();
    leave(folder, &Note { unix_millis, what, failed: false, by, subjects: vec![log], text })
}

/// Records which instances somebody has opened.
pub fn note_access(folder: &Path, access: &Access) -> Result<(), AuditError> {
    let named =
        |one: &Instance| format!("{} {} {}", one.class, one.uid, one.key_id.as_deref().unwrap_or_default());
    let subjects = access.instances.iter().map(named).collect();
    let text = access.study.as_ref().map_or_else(String::new, ToString::to_string);
    let (unix_millis, what, by) = (now_unix_millis(), ACCESSED.to_owned(), access.by.name.clone());
    leave(folder, &Note { unix_millis, what, failed: false, by, subjects, text })
}

/// What `note_access` wrote.
fn access(by: &str, study: &str, subjects: &[String]) -> io::Result<Access> {
    let uid = |text: Option<&str>| Uid::parse(text.unwrap_or_default()).map_err(io::Error::other);
    let instance = |subject: &String| {
        let mut words = subject.split_whitespace();
        let (class, instance) = (uid(words.next())?, uid(words.next())?);
        Ok(Instance { class, uid: instance, key_id: words.next().map(ToOwned::to_owned) })
    };
    let instances = subjects.iter().map(instance).collect::<io::Result<Vec<Instance>>>()?;
    let study = if study.is_empty() { None } else { Some(uid(Some(study))?) };
    Ok(Access { by: Party::named(by), study, instances })
}

fn leave(folder: &Path, note: &Note) -> Result<(), AuditError> {
    // Two notes of one process in one millisecond.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let inbox = folder_of(folder);
    match fs::metadata(&inbox) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(AuditError::disk("looking for", &inbox))?,
    };
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!("{:015}-{process}-{count:06}", note.unix_millis);
    let (part, path) = (inbox.join(format!("{name}.new")), inbox.join(format!("{name}.alert")));
    write(&inbox, &part, note).map_err(AuditError::disk("writing", &part))?;
    fs::rename(&part, &path).map_err(AuditError::disk("renaming", &part))?;
    sync_folder(&inbox)
}

fn write(inbox: &Path, part: &Path, note: &Note) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    file.write_all(&serde_json::to_vec(note)?)?;
    // An operator who is root writes it; the service, whose folder it is, has to read it. Nobody else may give files away.
    let owner = fs::metadata(inbox)?;
    let _ = chown(part, Some(std::os::unix::fs::MetadataExt::uid(&owner)), None);
    file.sync_all()
}

/// Makes the folder, for the service's user alone.
pub(super) fn open(folder: &Path) -> Result<(), AuditError> {
    let inbox = folder_of(folder);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&inbox);
    made.map_err(AuditError::disk("making", &inbox))
}

/// What waits, the oldest first, each with its file. What is none is told, and put out of the way.
pub(super) fn waiting(folder: &Path) -> Vec<(PathBuf, u64, Event)> {
    let entries = fs::read_dir(folder_of(folder)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "alert"))
        .collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    let mut found = Vec::new();
    for path in paths {
        match read(&path) {
            Ok((unix_millis, event)) => found.push((path, unix_millis, event)),
            Err(problem) => {
                error!(file = %path.display(), %problem, alarm = true, "a command's audit record cannot be read");
                let _ = fs::rename(&path, path.with_extension("bad"));
            }
        }
    }
    found
}

fn read(path: &Path) -> io::Result<(u64, Event)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let Note { unix_millis, what, failed, by, subjects, text } = serde_json::from_slice(&bytes)?;
    if what == LOG_USED {
        let log = subjects.into_iter().next().unwrap_or_default();
        let used = LogUse { by: Party::named(&by), log, how: text };
        return Ok((unix_millis, Event::LogUsed(Box::new(used))));
    }
    if what == ACCESSED {
        return Ok((unix_millis, Event::Accessed(Box::new(access(&by, &text, &subjects)?))));
    }
    let known = What::ALL.into_iter().find(|known| known.name() == what);
    let what = known.ok_or_else(|| io::Error::other(format!("{what:?} is no event")))?;
    let by = (!by.is_empty()).then(|| Party::named(&by));
    Ok((unix_millis, Event::Alert(Box::new(Alert { what, failed, by, subjects, text }))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_notes_is_found_and_what_is_none_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let alert = Alert::done(What::KeyUsed, "exported").by(Party::named("root")).about("key 1");
        note(folder.path(), &alert).unwrap();
        assert!(waiting(folder.path()).is_empty(), "there is no trail");
        open(folder.path()).unwrap();
        note(folder.path(), &alert).unwrap();
        note_use(folder.path(), "root", "shown").unwrap();
        fs::write(folder_of(folder.path()).join("1.alert"), "{}").unwrap();
        let found = waiting(folder.path());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].2, Event::Alert(Box::new(alert)));
        assert!(matches!(&found[1].2, Event::LogUsed(used) if used.by.name == "root" && used.how == "shown"));
        assert!(folder_of(folder.path()).join("1.bad").exists());
    }
}
