//! Faults of the disk under the spool, on demand of the environment: for tests, and in debug builds alone.
//!
//! `SEALGATE_FAILPOINT=CALL:NUMBER:WHAT` strikes one call, counted from 1: `sync:3:eio` is the third fsync of a file.
//! CALL is `any`, the name of a step of `flow::steps`, or one of `make`, `open`, `write`, `read`, `sync`, `rename`, `remove`, `list`, `sync-folder`. WHAT is
//! `die` (before the call does anything, as with kill -9), `eio`, `full` (this call and every later one), or `late`: every
//! rename from that one on is said to be done and is done a little later, as if 0000H were sent before the instance is
//! safe. The tests have to notice that one. Who dies says on the error output at what: `struck at rename, call 3`.
//!
//! `SEALGATE_CLOCK` names a file with the milliseconds by which the clock is wrong; it is read again and again.

use std::any::Any;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::flow::CLOCK_AHEAD_MILLIS;
use crate::flow::steps::{REACHED, Step};
use crate::spool::{Disk, DiskFile, RealDisk};

const VARIABLE: &str = "SEALGATE_FAILPOINT";
const CLOCK: &str = "SEALGATE_CLOCK";
/// How soon a clock that is set otherwise is heard of.
const CLOCK_LOOK: Duration = Duration::from_millis(10);
/// How long a `late` rename is late.
const LATE: Duration = Duration::from_millis(40);
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Die,
    Eio,
    Full,
    Late,
}

/// Which call is struck, and how.
struct Plan {
    call: String,
    number: u64,
    strike: Strike,
    calls: AtomicU64,
}

impl Plan {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (call, number) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let strike = match parts.next()? {
            "die" => Strike::Die,
            "eio" => Strike::Eio,
            "full" => Strike::Full,
            "late" => Strike::Late,
            _ => return None,
        };
        Some(Self { call, number, strike, calls: AtomicU64::new(0) })
    }

    /// Counts a call, and strikes where it is due.
    fn count(&self, call: &str) -> io::Result<()> {
        if self.call != "any" && self.call != call {
            return Ok(());
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        match self.strike {
            Strike::Die if number == self.number => {
                eprintln!("struck at {call}, call {number}");
                std::process::abort()
            }
            Strike::Eio if number == self.number => Err(io::Error::from_raw_os_error(EIO)),
            Strike::Full if number >= self.number && matches!(call, "make" | "write" | "rename") => {
                Err(io::Error::from_raw_os_error(ENOSPC))
            }
            _ => Ok(()),
        }
    }

    /// Counts a step, which `any` does not mean.
    fn reach(&self, step: Step) {
        if self.call == step.name() {
            let _only_dies = self.count(step.name());
        }
    }

    fn is_late(&self) -> bool {
        self.strike == Strike::Late && self.calls.load(Ordering::SeqCst) >= self.number
    }
}

/// Has the clock go wrong, where the environment says so.
fn set_clock() {
    let Some(path) = std::env::var_os(CLOCK) else { return };
    thread::spawn(move || {
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if let Ok(millis) = text.trim().parse() {
                CLOCK_AHEAD_MILLIS.store(millis, Ordering::Relaxed);
            }
            thread::sleep(CLOCK_LOOK);
        }
    });
}

/// The disk that the environment asks for; the real one where it asks for nothing.
pub(super) fn disk() -> Arc<dyn Disk> {
    set_clock();
    plan_of_steps().map_or_else(|| Arc::new(RealDisk) as Arc<dyn Disk>, |plan| Arc::new(FailingDisk(plan)))
}

/// Strikes at a step, where the environment says so.
fn plan_of_steps() -> Option<Arc<Plan>> {
    let text = std::env::var(VARIABLE).ok()?;
    let plan = Plan::parse(&text).unwrap_or_else(|| panic!("{VARIABLE} is {text:?}, see failpoints.rs"));
    let plan = Arc::new(plan);
    let told = Arc::clone(&plan);
    let _once = REACHED.set(Box::new(move |step: Step| told.reach(step)));
    Some(plan)
}

/// The same for a command, which has no disk that could fail.
pub(crate) fn watch_steps() {
    let _plan = plan_of_steps();
}

struct FailingDisk(Arc<Plan>);

struct FailingFile {
    file: Box<dyn DiskFile>,
    plan: Arc<Plan>,
    /// Whether it has its room already, as the journal has: a full disk takes nothing from it.
    has_room: bool,
}

impl FailingDisk {
    fn file(
        &self,
        call: &str,
        path: &Path,
        open: impl FnOnce() -> io::Result<Box<dyn DiskFile>>,
    ) -> io::Result<Box<dyn DiskFile>> {
        self.0.count(call)?;
        // It keeps zeros ahead of its end, and gets its name when it is whole.
        let has_room = path.file_name().is_some_and(|name| name == "journal" || name == "journal.new");
        Ok(Box::new(FailingFile { file: open()?, plan: Arc::clone(&self.0), has_room }))
    }
}

impl Disk for FailingDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_folder(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        RealDisk.lock(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file("make", path, || RealDisk.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file("open", path, || RealDisk.open(path))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file("open", path, || RealDisk.open_to_write(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.count("rename")?;
        if !self.0.is_late() {
            return RealDisk.rename(from, to);
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        thread::spawn(move || {
            thread::sleep(LATE);
            RealDisk.rename(&from, &to)
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.count("remove")?;
        RealDisk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.0.count("list")?;
        RealDisk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.count("sync-folder")?;
        RealDisk.sync_folder(folder)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(folder)
    }
}

impl DiskFile for FailingFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        if !(self.has_room && self.plan.strike == Strike::Full) {
            self.plan.count("write")?;
        }
        self.file.write_at(bytes, at)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.plan.count("read")?;
        self.file.read_at(bytes, at)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.plan.count("write")?;
        self.file.cut(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.count("sync")?;
        self.file.sync()
    }
}
