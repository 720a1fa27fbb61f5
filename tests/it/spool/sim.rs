//! A file system in memory that fails on demand, and forgets at a power cut what was not synced.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use sealgate::spool::{Disk, DiskFile};

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Nothing.
    Nothing,
    /// All of it, as when only the process is killed.
    All,
    /// Some pieces of some writes, and some names, by chance.
    Some(u64),
}

/// What goes wrong, counted in calls to the file system from 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The power fails at this call: it and every later one does nothing.
    Crash(u64),
    /// This call fails with EIO, and the others work.
    Eio(u64),
    /// The disk is full from this call on, until the fault is taken away.
    Full(u64),
    /// Every write takes only some of its bytes.
    ShortWrites,
}

/// Which syncs are left out, by the path that the file had when it was made, or of the folder.
pub(crate) type Omit = fn(&Path) -> bool;

#[derive(Default, Clone)]
struct Inode {
    made_as: PathBuf,
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Where it was cut off after these writes, not synced either.
    cut: Option<usize>,
}

#[derive(Clone)]
enum NameChange {
    Folder(PathBuf),
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl NameChange {
    fn touches(&self, folder: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(folder);
        match self {
            Self::Folder(path) | Self::Link(path, _) | Self::Unlink(path) => inside(path),
            Self::Rename(from, to, _) => inside(from) || inside(to),
        }
    }
}

/// Names: a folder has none, a file has its inode.
type Names = BTreeMap<PathBuf, Option<usize>>;

fn apply(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Folder(path) => _ = names.insert(path.clone(), None),
        NameChange::Link(path, inode) => _ = names.insert(path.clone(), Some(*inode)),
        NameChange::Unlink(path) => _ = names.remove(path),
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), Some(*inode));
        }
    }
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    now: Names,
    durable: Names,
    unsynced: Vec<NameChange>,
    locked: BTreeSet<PathBuf>,
    calls: u64,
    fault: Fault,
    /// What the last fault struck.
    struck: Option<String>,
    omit: Option<Omit>,
    free: u64,
}

/// The file system; clones are the same one.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

impl Sim {
    /// An empty one with one folder, `/sim`.
    pub(crate) fn new() -> Self {
        let names = Names::from([(PathBuf::from("/sim"), None)]);
        let world = World { now: names.clone(), durable: names, free: 1 << 40, ..World::default() };
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        self.set_fault(fault);
        self
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.world().fault = fault;
    }

    pub(crate) fn omitting(self, omit: Omit) -> Self {
        self.world().omit = Some(omit);
        self
    }

    pub(crate) fn set_free(&self, free: u64) {
        self.world().free = free;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.world().calls
    }

    /// What the call was that the fault struck.
    pub(crate) fn struck(&self) -> Option<String> {
        self.world().struck.clone()
    }

    /// Every path and what it holds now.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        let file = |(path, inode): (&PathBuf, &Option<usize>)| {
            Some((path.clone(), world.inodes[(*inode)?].now.clone()))
        };
        world.now.iter().filter_map(file).collect()
    }

    /// Changes the bytes of a file behind everybody's back.
    pub(crate) fn spoil(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let inode = world.now[path].expect("a file");
        change(&mut world.inodes[inode].now);
        let inode = &mut world.inodes[inode];
        inode.durable.clone_from(&inode.now);
    }

    /// The file system as it is found after the power came back.
    pub(crate) fn after(&self, cut: Cut) -> Self {
        let world = self.world();
        let mut chance = Chance(match cut {
            Cut::Some(seed) => seed | 1,
            _ => 1,
        });
        let mut keep = || match cut {
            Cut::Nothing => false,
            Cut::All => true,
            Cut::Some(_) => chance.next().is_multiple_of(2),
        };
        let mut names = world.durable.clone();
        for change in &world.unsynced {
            if keep() {
                apply(&mut names, change);
            }
        }
        // A name in a folder that is not there is not there either.
        let folders = names.clone();
        names.retain(|path, _| {
            path.ancestors().skip(1).all(|up| up == Path::new("/") || folders.contains_key(up))
        });
        let mut inodes = world.inodes.clone();
        for inode in &mut inodes {
            for (at, bytes) in std::mem::take(&mut inode.unsynced) {
                let kept = bytes.chunks(512).enumerate().filter(|_| keep());
                kept.for_each(|(number, piece)| put(&mut inode.durable, at + number * 512, piece));
            }
            if let Some(length) = inode.cut.take().filter(|_| keep()) {
                inode.durable.truncate(length);
            }
            inode.now = inode.durable.clone();
        }
        let free = world.free;
        Self(Arc::new(Mutex::new(World {
            inodes,
            now: names.clone(),
            durable: names,
            free,
            ..World::default()
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Counts a call, and lets it fail if it shall.
    fn call(&self, what: &str, path: &Path, takes_room: bool) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        let number = world.calls;
        world.calls += 1;
        let code = match world.fault {
            Fault::Crash(at) if number >= at => Some(EIO),
            Fault::Eio(at) if number == at => Some(EIO),
            Fault::Full(at) if number >= at && takes_room => Some(ENOSPC),
            _ => None,
        };
        let Some(code) = code else { return Ok(world) };
        world.struck.get_or_insert_with(|| format!("{what} {}", path.display()));
        Err(io::Error::from_raw_os_error(code))
    }

    /// As the kernel does when a write-back fails: the pages count as clean, and are never written again.
    fn forget_unsynced(&self, inode: usize) {
        let mut world = self.world();
        if matches!(world.fault, Fault::Eio(_)) {
            world.inodes[inode].unsynced.clear();
            world.inodes[inode].cut = None;
        }
    }

    fn open_inode(&self, what: &str, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let world = self.call(what, path, false)?;
        match world.now.get(path) {
            Some(Some(inode)) => Ok(Box::new(SimFile { sim: self.clone(), inode: *inode })),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let end = at + piece.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(piece);
}

impl Disk for Sim {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let is_new = !self.world().now.contains_key(path);
        let mut world = self.call("make folder", path, is_new)?;
        if is_new {
            let change = NameChange::Folder(path.to_owned());
            apply(&mut world.now, &change);
            world.unsynced.push(change);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut world = self.call("lock", path, false)?;
        if !world.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone(), path.to_owned())))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.call("create", path, true)?;
        if world.now.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = world.inodes.len();
        world.inodes.push(Inode { made_as: path.to_owned(), ..Inode::default() });
        let change = NameChange::Link(path.to_owned(), inode);
        apply(&mut world.now, &change);
        world.unsynced.push(change);
        Ok(Box::new(SimFile { sim: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_inode("open", path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_inode("open to write", path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.call("rename", from, false)?;
        let Some(Some(inode)) = world.now.get(from).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), inode);
        apply(&mut world.now, &change);
        world.unsynced.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.call("remove", path, false)?;
        if !world.now.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Unlink(path.to_owned());
        apply(&mut world.now, &change);
        world.unsynced.push(change);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let world = self.call("list", folder, false)?;
        let inside = world.now.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| path.file_name().map(OsString::from)).collect())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut guard = self.call("sync folder", folder, false)?;
        let world = &mut *guard;
        if world.omit.is_some_and(|omit| omit(folder)) {
            return Ok(());
        }
        let (durable, unsynced) = (&mut world.durable, &mut world.unsynced);
        unsynced.retain(|change| {
            let touched = change.touches(folder);
            if touched {
                apply(durable, change);
            }
            !touched
        });
        Ok(())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        Ok(self.call("free bytes", folder, false)?.free)
    }
}

struct SimLock(Sim, PathBuf);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.world().locked.remove(&self.1);
    }
}

struct SimFile {
    sim: Sim,
    inode: usize,
}

impl SimFile {
    fn call(&self, what: &str, takes_room: bool) -> io::Result<MutexGuard<'_, World>> {
        let path = self.sim.world().inodes[self.inode].made_as.clone();
        let result = self.sim.call(what, &path, takes_room);
        if result.is_err() && what == "sync" {
            self.sim.forget_unsynced(self.inode);
        }
        result
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        // Bytes over bytes that are there need no room.
        let inside = at + bytes.len() as u64 <= self.sim.world().inodes[self.inode].now.len() as u64;
        let mut world = self.call("write", !inside)?;
        let count = match world.fault {
            Fault::ShortWrites => bytes.len().div_ceil(2),
            _ => bytes.len(),
        };
        let (inode, at) = (&mut world.inodes[self.inode], usize::try_from(at).unwrap());
        put(&mut inode.now, at, &bytes[..count]);
        inode.unsynced.push((at, bytes[..count].to_vec()));
        Ok(count)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.call("read", false)?;
        let (now, at) = (&world.inodes[self.inode].now, usize::try_from(at).unwrap());
        let rest = now.get(at..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.call("size", false)?.inodes[self.inode].now.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.call("sync", false)?;
        let omit = world.omit;
        let inode = &mut world.inodes[self.inode];
        if omit.is_some_and(|omit| omit(&inode.made_as)) {
            return Ok(());
        }
        for (at, bytes) in std::mem::take(&mut inode.unsynced) {
            put(&mut inode.durable, at, &bytes);
        }
        if let Some(length) = inode.cut.take() {
            inode.durable.truncate(length);
        }
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.call("cut", false)?;
        let (inode, length) = (&mut world.inodes[self.inode], usize::try_from(bytes).unwrap());
        inode.now.truncate(length);
        inode.cut = Some(length);
        Ok(())
    }
}

/// Numbers that look like chance and are the same every time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64, by its published constants.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count + 8);
        while out.len() < count {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(count);
        out
    }
}
