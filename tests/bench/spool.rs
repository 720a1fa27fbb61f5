//! The spool with 1, 4 and 32 writers: durable entries in a second, beside plain `write` and `fsync` of the same files.
//!
//! `cargo bench --bench spool [-- FOLDER]` prints both in turns and their ratio. The folder has to be on a real disk: in
//! memory an fsync costs nothing. Fsyncs are counted, to show how many the writers share.

use std::any::Any;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sealgate::spool::{Config, Disk, DiskFile, Meta, Order, RealDisk, Spool};

/// A CT slice.
const BYTES: usize = 526_000;
const ENTRIES: u64 = 400;
const TURNS: usize = 5;
const NOW: u64 = 1_700_000_000_000;

fn main() {
    let place =
        env::args().skip(1).find(|word| !word.starts_with('-')).map_or_else(env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(&place).expect("a temporary folder");
    println!("{ENTRIES} entries of {BYTES} bytes on {}, median of {TURNS} turns", place.display());
    println!(
        "writers   spool commits/s   MB/s   folder fsyncs per commit   write+fsync files/s   ratio   done/s"
    );
    for writers in [1, 4, 32] {
        let (mut spool, mut plain, mut done, mut shared) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        for turn in 0..TURNS {
            let path = folder.path().join(format!("{writers}-{turn}"));
            plain.push(plain_rate(&path.join("plain"), writers));
            let measured = spool_rates(&path.join("spool"), writers);
            spool.push(measured.commits);
            done.push(measured.done);
            shared = measured.folder_fsyncs;
            fs::remove_dir_all(&path).expect("the folder is removed");
        }
        let (spool, plain, done) = (median(&mut spool), median(&mut plain), median(&mut done));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let megabytes = spool * BYTES as f64 / 1e6;
        let ratio = spool / plain;
        println!(
            "{writers:7}   {spool:15.0}   {megabytes:4.0}   {shared:24.2}   {plain:19.0}   {ratio:5.2}   {done:6.0}"
        );
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// What one turn gives, per second; and fsyncs of the folder for each commit.
struct Rates {
    commits: f64,
    done: f64,
    folder_fsyncs: f64,
}

fn spool_rates(folder: &Path, writers: usize) -> Rates {
    let counts = Arc::new(AtomicU64::new(0));
    let disk = Counting { disk: RealDisk, folders: Arc::clone(&counts) };
    let config = Config { folder: folder.to_owned(), refuse_stores_free_bytes: 0, ..Config::default() };
    let (spool, _) = Spool::open_on(Arc::new(disk), &config).expect("an empty spool");
    counts.store(0, Ordering::Relaxed);
    let content = content();
    let commits = rate(writers, |_| {
        let mut draft = spool.begin(Some(BYTES as u64)).expect("room");
        // As they come from an association.
        content.chunks(16_384).for_each(|piece| draft.write(piece).expect("room"));
        draft.patch(128, b"Rows").expect("written before");
        let meta = Meta { destinations: vec!["pacs".into()], key: b"1.2.3".to_vec(), ..Meta::default() };
        let _ = draft.commit(meta, NOW).expect("a sound disk");
    });
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let folder_fsyncs = counts.load(Ordering::Relaxed) as f64 / ENTRIES as f64;
    let done = rate(writers, |_| {
        let job = spool.take("pacs", NOW, 1, Order::Any).expect("a sound disk").pop().expect("one for each");
        job.done(NOW).expect("a sound disk");
    });
    Rates { commits, done, folder_fsyncs }
}

fn plain_rate(folder: &Path, writers: usize) -> f64 {
    fs::create_dir_all(folder).expect("a folder");
    let content = content();
    rate(writers, |number| {
        let mut file = File::create(folder.join(number.to_string())).expect("a file");
        file.write_all(&content).and_then(|()| file.sync_all()).expect("a sound disk");
    })
}

fn content() -> Vec<u8> {
    // Not zeros, which some disks store better.
    (0..BYTES as u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect()
}

/// How often in a second, with so many threads.
fn rate(threads: usize, work: impl Fn(u64) + Sync) -> f64 {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < ENTRIES) {
                    work(number);
                }
            });
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let entries = ENTRIES as f64;
    entries / start.elapsed().as_secs_f64()
}

/// The real disk, with the fsyncs of folders counted.
struct Counting {
    disk: RealDisk,
    folders: Arc<AtomicU64>,
}

impl Disk for Counting {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.make_folder(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_to_write(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.disk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.folders.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_folder(folder)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.disk.free_bytes(folder)
    }
}
