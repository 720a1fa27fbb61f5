//! What `seal`, `open` and `inspect` share: files and folders in, one result each, in parallel, nothing overwritten.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{Exit, complain};

/// The files a command works on.
#[derive(Debug, Args)]
pub(super) struct Inputs {
    /// DICOM files, and folders to be searched for them
    #[arg(required = true, value_name = "FILE or FOLDER")]
    paths: Vec<PathBuf>,
    /// Work on so many files at once; by default one for each core
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Print one JSON object for each file
    #[arg(long)]
    pub(super) json: bool,
}

/// Where a command writes.
#[derive(Debug, Args)]
pub(super) struct Outputs {
    /// Folder to write to; files from a folder keep their place below it
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// One input file, and its place below the folder that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) relative: PathBuf,
}

/// What became of one file: fields for `--json`, and the same as a sentence.
pub(super) struct Outcome {
    pub(super) fields: Value,
    pub(super) sentence: String,
}

impl Inputs {
    fn collect(&self) -> io::Result<Vec<Input>> {
        collect(&self.paths)
    }

    /// Runs `work` on every file, and says what became of each. `verb` is what the bar shows.
    pub(super) fn run<E: std::fmt::Display>(
        &self,
        verb: &'static str,
        work: impl Fn(&Input) -> Result<Outcome, E> + Sync,
    ) -> Exit {
        let files = match self.collect() {
            Ok(files) if files.is_empty() => {
                complain("there are no files in what was named");
                return Exit::Failed;
            }
            Ok(files) => files,
            Err(error) => {
                complain(error);
                return Exit::Failed;
            }
        };
        let pool = match rayon::ThreadPoolBuilder::new().num_threads(self.jobs.unwrap_or(0)).build() {
            Ok(pool) => pool,
            Err(error) => {
                complain(error);
                return Exit::Failed;
            }
        };
        let bar = progress(verb, files.len());
        let failures = Mutex::new(0_usize);
        pool.install(|| {
            files.par_iter().for_each(|input| {
                let outcome = work(input);
                bar.suspend(|| self.say(input, outcome, &failures));
                bar.inc(1);
            });
        });
        bar.finish_and_clear();
        let failed = failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failed == 0 {
            return Exit::Done;
        }
        complain(format_args!("{failed} of {} files failed, see above", files.len()));
        Exit::Failed
    }

    fn say<E: std::fmt::Display>(&self, input: &Input, outcome: Result<Outcome, E>, failures: &Mutex<usize>) {
        let path = input.path.display();
        match outcome {
            Ok(outcome) if self.json => {
                let mut line = json!({ "file": path.to_string(), "ok": true });
                merge(&mut line, outcome.fields);
                println!("{line}");
            }
            Ok(outcome) => println!("{path}: {}", outcome.sentence),
            Err(error) => {
                *failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                if self.json {
                    println!(
                        "{}",
                        json!({ "file": path.to_string(), "ok": false, "error": error.to_string() })
                    );
                } else {
                    complain(format_args!("{path}: {error}"));
                }
            }
        }
    }
}

fn merge(line: &mut Value, fields: Value) {
    if let (Value::Object(line), Value::Object(fields)) = (line, fields) {
        line.extend(fields);
    }
}

/// Every file named, and every regular file below every folder named, without following links out of it.
pub(super) fn collect(paths: &[PathBuf]) -> io::Result<Vec<Input>> {
    let mut found = Vec::new();
    for path in paths {
        let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if fs::metadata(path).map_err(about)?.is_dir() {
            walk(path, Path::new(""), &mut found)?;
        } else {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            found.push(Input { path: path.clone(), relative: name });
        }
    }
    Ok(found)
}

fn walk(folder: &Path, relative: &Path, found: &mut Vec<Input>) -> io::Result<()> {
    let mut pending = vec![(folder.to_owned(), relative.to_owned())];
    while let Some((folder, relative)) = pending.pop() {
        let mut entries = fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, relative) = (entry.path(), relative.join(entry.file_name()));
            // A link to a file is a file; a link to a folder could lead anywhere, even back up.
            if entry.file_type()?.is_dir() {
                pending.push((path, relative));
            } else if path.is_file() {
                found.push(Input { path, relative });
            }
        }
    }
    Ok(())
}

/// A bar on a terminal, nothing in a pipe.
fn progress(verb: &'static str, length: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(verb);
    bar
}

/// A file that comes into being whole, or not at all.
pub(super) struct Writing {
    temporary: NamedTempFile,
    path: PathBuf,
    overwrite: bool,
}

impl Outputs {
    /// Begins the file that belongs to `input`; it has its name only after [`Writing::finish`].
    pub(super) fn begin(&self, input: &Input) -> io::Result<Writing> {
        let path = self.out.join(&input.relative);
        if !self.force && path.exists() {
            return Err(taken(&path));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let temporary = tempfile::Builder::new().prefix(".sealgate-").tempfile_in(folder)?;
        Ok(Writing { temporary, path, overwrite: self.force })
    }
}

impl Writing {
    /// The file to write to.
    pub(super) fn file(&mut self) -> &mut fs::File {
        self.temporary.as_file_mut()
    }

    /// Makes the file durable and gives it its name.
    pub(super) fn finish(self) -> io::Result<PathBuf> {
        self.temporary.as_file().sync_all()?;
        let named = if self.overwrite {
            self.temporary.persist(&self.path)
        } else {
            self.temporary.persist_noclobber(&self.path)
        };
        match named {
            Ok(_) => Ok(self.path),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&self.path)),
            Err(failed) => Err(failed.error),
        }
    }
}

fn taken(path: &Path) -> io::Error {
    let message = format!("{} is already there; --force overwrites it", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn inputs(paths: &[&Path]) -> Inputs {
        Inputs { paths: paths.iter().map(|p| (*p).to_owned()).collect(), jobs: None, json: false }
    }

    #[test]
    fn files_of_a_folder_keep_their_place_below_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/one.dcm"), "1").unwrap();
        fs::write(folder.path().join("two.dcm"), "2").unwrap();
        let mut found = inputs(&[folder.path()]).collect().unwrap();
        found.sort_by(|a, b| a.relative.cmp(&b.relative));
        let places: Vec<_> = found.iter().map(|input| input.relative.to_str().unwrap()).collect();
        assert_eq!(places, ["a/one.dcm", "two.dcm"]);
    }

    #[test]
    fn a_link_that_leads_back_up_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("up")).unwrap();
        fs::write(folder.path().join("one.dcm"), "1").unwrap();
        assert_eq!(inputs(&[folder.path()]).collect().unwrap().len(), 1);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = inputs(&[Path::new("nowhere/at.dcm")]).collect().unwrap_err();
        assert!(error.to_string().starts_with("nowhere/at.dcm: "), "{error}");
    }

    #[test]
    fn nothing_is_overwritten_unless_asked_and_nothing_half_written_remains() {
        let folder = tempfile::tempdir().unwrap();
        let input = Input { path: "x.dcm".into(), relative: "x.dcm".into() };
        let mut outputs = Outputs { out: folder.path().join("out"), force: false };
        let write = |outputs: &Outputs, text: &str| -> io::Result<PathBuf> {
            let mut writing = outputs.begin(&input)?;
            writing.file().write_all(text.as_bytes())?;
            writing.finish()
        };
        let path = write(&outputs, "first").unwrap();
        assert_eq!(write(&outputs, "second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");

        // Taken between the beginning and the end.
        let racing = Outputs { out: folder.path().join("race"), force: false }.begin(&input).unwrap();
        fs::write(folder.path().join("race/x.dcm"), "other").unwrap();
        assert_eq!(racing.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(folder.path().join("race")).unwrap().count(), 1, "no temporary file is left");

        outputs.force = true;
        write(&outputs, "third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
    }
}
