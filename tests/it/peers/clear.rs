//! A search for the originals' pixels in what others keep: no 16 bytes of them may stand there in clear.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use sealgate::dicom::Encoding;

use super::Sample;

const WINDOW: usize = 16;
/// Bits of the filter: one for each hash of the first four bytes of a window.
const FILTER_BITS: u32 = 24;

/// Every aligned window of the originals' pixels that has more than a few different bytes.
pub(crate) struct Clear {
    filter: Vec<u64>,
    windows: HashMap<u128, usize>,
    names: Vec<String>,
}

fn number(window: &[u8]) -> u128 {
    u128::from_le_bytes(*window.first_chunk().expect("a whole window"))
}

/// Which word of the filter, and which bit of it.
fn place(first: u32) -> (usize, u32) {
    let hash = first.wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS);
    ((hash >> 6) as usize, hash & 63)
}

/// Where the value of Pixel Data begins; a deflated data set is searched for as a whole.
fn pixels_at(sample: &Sample) -> usize {
    let tag: &[u8] = match sample.instance.transfer_syntax.encoding {
        Encoding::ExplicitBig => b"\x7F\xE0\0\x10",
        _ => b"\xE0\x7F\x10\0",
    };
    sample.data_set.windows(4).rposition(|window| window == tag).map_or(0, |at| at + 12)
}

impl Clear {
    /// What must not be seen of these. What stands in the header of the same instance too, such as the ramp of a
    /// look-up table, is no secret of the pixels.
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let varied = |window: &[u8]| window.iter().collect::<BTreeSet<_>>().len() > 8;
        let (mut windows, mut names) = (HashMap::new(), Vec::new());
        for sample in samples.iter().filter(|sample| crate::retrieve::has_pixels(sample)) {
            let (header, pixels) = sample.data_set.split_at(pixels_at(sample));
            let own = pixels.chunks_exact(WINDOW).filter(|window| varied(window));
            let mut own: HashMap<u128, usize> = own.map(|window| (number(window), names.len())).collect();
            for window in header.windows(WINDOW) {
                own.remove(&number(window));
            }
            names.push(format!("{sample:?}"));
            windows.extend(own);
        }
        let mut filter = vec![0; 1 << (FILTER_BITS - 6)];
        for window in windows.keys() {
            let (word, bit) = place(*window as u32);
            filter[word] |= 1 << bit;
        }
        Self { filter, windows, names }
    }

    /// Whose pixels these bytes show, if they show any.
    pub(crate) fn shown_in(&self, bytes: &[u8]) -> Option<&str> {
        let mut first = u32::from_le_bytes(*bytes.first_chunk()?);
        for at in 0..=bytes.len().checked_sub(WINDOW)? {
            let (word, bit) = place(first);
            if (self.filter[word] >> bit) & 1 == 1
                && let Some(owner) = self.windows.get(&number(&bytes[at..]))
            {
                return Some(&self.names[*owner]);
            }
            first = (first >> 8) | (u32::from(bytes[at + 4]) << 24);
        }
        None
    }

    /// The same for every file under a folder but these, which are added to. A file may go while it is looked at.
    fn look(&self, folder: &Path, seen: &mut BTreeSet<PathBuf>) -> Vec<String> {
        let mut found = Vec::new();
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                found.extend(self.look(&path, seen));
            } else if !seen.contains(&path)
                && let Ok(bytes) = fs::read(&path)
            {
                let shown = self.shown_in(&bytes);
                found.extend(shown.map(|name| format!("{} shows {name}", path.display())));
                // What has its last name is not written to any more.
                if path.extension().is_some_and(|kind| kind == "entry") {
                    seen.insert(path);
                }
            }
        }
        found
    }
}

/// Somebody who reads a folder over and over while it is written to.
pub(crate) struct Watch {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start(clear: &Arc<Clear>, folder: PathBuf) -> Self {
        let (clear, ending) = (Arc::clone(clear), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&ending);
        let thread = std::thread::spawn(move || {
            let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
            loop {
                // Asked before the look: the last one begins after the end was told.
                let is_last = over.load(Ordering::Acquire);
                found.extend(clear.look(&folder, &mut seen));
                if is_last {
                    return (seen.len(), found);
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        Self { ending, thread }
    }

    /// Looks once more: how many entries it has read, and what was in clear in this folder at any time.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.ending.store(true, Ordering::Release);
        self.thread.join().expect("it only reads")
    }
}
