//! Images that are larger than the memory they may take, and one that is larger than a carrier.

use std::fs;
use std::io;
use std::process::Command;

use dicom_core::{Tag, VR};
use sealgate::cipher::Layers;
use sealgate::seal::element::{Layout, PIXEL_DATA};
use sealgate::seal::{Claim, ContentKey, HEADER_BYTES, HeaderMode, Opened, Opener, SealError, Sealed, Sink};

use super::build::{DataSet, Pixels, element, sequence};
use super::{key, noise, seal, sealer, uid};
use crate::scan::peaks;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// What sealer and opener may take for one instance, together.
const MEMORY_KIB_MAX: u64 = 32 * 1024;

/// A data set up to its pixels, which are claimed to have this length.
fn start(set: &DataSet, length: u32) -> Vec<u8> {
    let mut bytes = set.bytes();
    bytes.extend_from_slice(b"\xE0\x7F\x10\0OW\0\0");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

/// Keeps nothing but what stands before the pixels, and what was written over later.
#[derive(Default)]
struct Rehearsal {
    head: Vec<u8>,
    patches: Vec<(u64, Vec<u8>)>,
    written: u64,
}

impl Sink for Rehearsal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written == 0 {
            self.head = bytes.to_vec();
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.patches.push((at, bytes.to_vec()));
        Ok(())
    }
}

/// Keeps nothing.
struct Discard;

impl Sink for Discard {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn patch(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Hands the sealed bytes to an opener as they are made, with the fields filled in that a rehearsal learnt.
struct Through<'a, K: FnMut(&Claim) -> Option<ContentKey>> {
    rehearsal: &'a Rehearsal,
    opener: Opener<K>,
    begun: bool,
    patches: Vec<(u64, Vec<u8>)>,
    /// Of what was opened.
    digest: blake3::Hasher,
    bytes: u64,
}

impl<'a> Through<'a, fn(&Claim) -> Option<ContentKey>> {
    fn new(rehearsal: &'a Rehearsal) -> Self {
        let (mode, find_key) = (HeaderMode::Current, (|_| Some(key())) as fn(&Claim) -> _);
        let opener = Opener::new(&uid(EXPLICIT), mode, &Layers::none(), None, find_key);
        let (digest, patches) = (blake3::Hasher::new(), Vec::new());
        Self { rehearsal, opener: opener.unwrap(), begun: false, patches, digest, bytes: 0 }
    }
}

impl<K: FnMut(&Claim) -> Option<ContentKey>> Through<'_, K> {
    fn open(&mut self, sealed: &[u8]) -> io::Result<()> {
        let Self { opener, digest, bytes, .. } = self;
        let mut on = |part: Opened<'_>| {
            if let Opened::Data(data) = part {
                digest.update(data);
                *bytes += data.len() as u64;
            }
            Ok(())
        };
        opener.push(sealed, &mut on).map_err(io::Error::other)
    }

    /// What the rehearsal wrote over the header, and over the fixed header behind it.
    fn filled_in(&self, part: &[u8], at: u64) -> Vec<u8> {
        let mut part = part.to_vec();
        for (patch_at, bytes) in &self.rehearsal.patches {
            let offset =
                patch_at.checked_sub(at).map_or(usize::MAX, |offset| usize::try_from(offset).unwrap());
            if let Some(place) = part.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
                place.copy_from_slice(bytes);
            }
        }
        part
    }
}

impl<K: FnMut(&Claim) -> Option<ContentKey>> Sink for Through<'_, K> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let head = self.rehearsal.head.len() as u64;
        if !std::mem::replace(&mut self.begun, true) {
            assert_eq!(bytes.len() as u64, head);
            return self.open(&self.filled_in(bytes, 0));
        }
        // The fixed header comes next, as zeros.
        if bytes == [0; HEADER_BYTES] { self.open(&self.filled_in(bytes, head)) } else { self.open(bytes) }
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.patches.push((at, bytes.to_vec()));
        Ok(())
    }
}

/// Pushes a data set of `total` bytes of pixels that are made on the way.
fn push_large<S: Sink>(set: &DataSet, total: u32, sink: S) -> Result<(Sealed, S), SealError> {
    let mut sealer = sealer(EXPLICIT, None, sink)?;
    sealer.push(&start(set, total))?;
    let mut piece = noise(1, 1 << 16);
    let mut left = usize::try_from(total).unwrap();
    while left > 0 {
        let now = left.min(piece.len());
        // Never the same twice, and cheap.
        piece[..8].copy_from_slice(&left.to_le_bytes());
        sealer.push(&piece[..now])?;
        left -= now;
    }
    sealer.finish()
}

/// What a deed gives; the memory of this process may grow by the bound at its peak.
fn measured<T>(name: &str, deed: impl FnOnce() -> T) -> T {
    // 5 sets the peak back to what is there now (proc(5)).
    fs::write("/proc/self/clear_refs", "5").expect("a process may reset its own peak");
    let before = peaks();
    let outcome = deed();
    let after = peaks();
    let grown = after[1] - before[1];
    println!("{name}: {grown} KiB");
    assert!(grown < MEMORY_KIB_MAX, "{name} took {grown} KiB: {before:?} to {after:?}");
    outcome
}

/// Seals into an opener, and holds the memory that both take together against the bound.
fn seal_and_open_within_bounds(set: &DataSet, total: u32) {
    let small = push_large(set, 1 << 20, Rehearsal::default());
    drop(small.expect("it can be sealed"));
    let (sealed, rehearsal) =
        measured("sealing", || push_large(set, total, Rehearsal::default())).expect("it can be sealed");
    let (again, through) =
        measured("sealing and opening", || push_large(set, total, Through::new(&rehearsal)))
            .expect("it can be sealed and opened");
    assert_eq!((sealed.bytes, sealed.digest), (again.bytes, again.digest));
    assert_eq!(through.patches, rehearsal.patches, "sealing the same again takes the same room");
    assert_eq!(through.bytes, start(set, 0).len() as u64 + u64::from(total));
    assert_eq!(*through.digest.finalize().as_bytes(), sealed.digest);
    let Through { opener, .. } = through;
    let outcome = opener.finish(&mut |_| Ok(())).expect("the end verifies");
    assert!(outcome.changes.is_empty(), "{:?}", outcome.changes);
}

/// Whether this is a process of its own, in which nothing else is measured; the others start one.
fn alone(test: &str) -> bool {
    const INSIDE: &str = "SEALGATE_TEST_MEASURES_MEMORY";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let name = format!("seal_kinds::large::{test}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--test-threads=1", "--nocapture"])
        .env(INSIDE, "1")
        // What is freed goes back at once, and is not there to be used again unmeasured (mallopt(3)).
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    false
}

fn plain_image() -> DataSet {
    let pixels = Pixels { rows: 2048, columns: 2048, frames: 499, ..Pixels::default() };
    DataSet::image(Layout::ExplicitLittle, &pixels)
}

#[test]
fn images_of_gigabytes_take_less_than_32_mib_sealed_and_opened_at_once() {
    // 3.9 GiB take half a minute: tests/run asks for them.
    let tenths = if std::env::var_os("SEALGATE_TEST_LARGE").is_some() { 39 } else { 1 };
    if alone("images_of_gigabytes_take_less_than_32_mib_sealed_and_opened_at_once") {
        seal_and_open_within_bounds(&plain_image(), tenths * ((1 << 30) / 10) / 4 * 4);
    }
}

#[test]
fn the_largest_headers_take_less_than_32_mib_too() {
    if alone("the_largest_headers_take_less_than_32_mib_too") {
        check_large_header("1.2.840.10008.1.2", Layout::ImplicitLittle);
        check_large_header(EXPLICIT, Layout::ExplicitLittle);
        check_large_header("1.2.840.10008.1.2.2", Layout::ExplicitBig);
    }
}

/// Nearly as much in front of the pixels as a data set may have: a large sequence, and large texts.
fn large_header(layout: Layout) -> Vec<u8> {
    let text = |seed| noise(seed, 1_000_000).iter().map(|byte| b' ' + byte % 64).collect::<Vec<u8>>();
    let mut set = DataSet::image(layout, &Pixels::default());
    let items: Vec<_> =
        (0..3).map(|seed| element(layout, Tag(0x0040, 0xA160), VR::UT, &text(seed))).collect();
    set.raw(Tag(0x0040, 0xA730), sequence(layout, Tag(0x0040, 0xA730), &items, false));
    for (seed, number) in (3..8).zip([0x0241, 0x0242, 0x0243, 0x0254, 0x0256]) {
        set.put(Tag(0x0040, number), VR::UT, &text(seed));
    }
    set.put(PIXEL_DATA, VR::OW, &noise(9, Pixels::default().length()));
    set.bytes()
}

fn check_large_header(syntax: &str, layout: Layout) {
    let bytes = large_header(layout);
    // The dictionary is there, and pages of the program are in memory.
    let (sealed, carrier) = seal(syntax, &bytes, 4096).unwrap();
    measured(&format!("sealing a large header in {layout:?}"), || {
        let mut work = sealer(syntax, None, Discard).unwrap();
        bytes.chunks(4096).for_each(|piece| work.push(piece).unwrap());
        work.finish().expect("it can be sealed");
    });
    for mode in [HeaderMode::Original, HeaderMode::Current] {
        let outcome = measured(&format!("opening a large header in {layout:?}, {mode:?}"), || {
            let mut opener =
                Opener::new(&uid(carrier), mode, &Layers::none(), None, |_| Some(key())).unwrap();
            let mut at = 0;
            let mut on = |part: Opened<'_>| {
                if let Opened::Data(data) = part {
                    assert!(bytes[at..].starts_with(data));
                    at += data.len();
                }
                Ok(())
            };
            sealed.chunks(4096).for_each(|piece| opener.push(piece, &mut on).unwrap());
            let outcome = opener.finish(&mut on).unwrap();
            assert_eq!(at, bytes.len());
            outcome
        });
        assert!(outcome.changes.is_empty(), "{:?}", outcome.changes);
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    for length in [0xFFFF_FFFE_u32, 0xFFFF_FFFE - 2_000_000] {
        let mut sealer = sealer(EXPLICIT, None, Untouched).unwrap();
        let refused = sealer.push(&start(&plain_image(), length)).unwrap_err();
        assert!(matches!(refused, SealError::TooLarge(_)), "{refused}");
        let message = refused.to_string();
        assert!(message.contains("499 frames") && message.contains("fewer frames"), "{message}");
    }
}

/// Refuses to be written to.
struct Untouched;

impl Sink for Untouched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        panic!("{} bytes were written", bytes.len())
    }

    fn patch(&mut self, at: u64, _: &[u8]) -> io::Result<()> {
        panic!("byte {at} was written over")
    }
}

#[test]
fn compressed_images_that_grow_too_large_are_refused_on_the_way() {
    if std::env::var_os("SEALGATE_TEST_LARGE").is_none() {
        return;
    }
    let mut sealer = sealer("1.2.840.10008.1.2.4.102", None, Rehearsal::default()).unwrap();
    sealer.push(&plain_image().bytes()).unwrap();
    sealer.push(b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\0\0\0\0").unwrap();
    let fragment = [b"\xFE\xFF\0\xE0\0\0\x10\0".to_vec(), noise(1, 1 << 20)].concat();
    let refused = (0..4100).find_map(|number| sealer.push(&fragment).err().map(|error| (number, error)));
    let (number, error) = refused.expect("4 GiB do not fit");
    assert!(matches!(error, SealError::TooLarge(_)) && number > 4000, "{number}: {error}");
}
