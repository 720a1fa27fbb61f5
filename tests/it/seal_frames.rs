//! One frame by itself: it is what it was, whatever became of the others, and it is proven to be that frame.

use std::convert::Infallible;
use std::fs;
use std::io::Cursor;
use std::sync::Mutex;

use proptest::prelude::*;
use sealgate::dicom::Uid;
use sealgate::seal::scan::part10;
use sealgate::seal::{
    Binding, ContentKey, FileError, Frame, FrameError, KeyId, NewSeal, OpenError, StreamError, Suite,
    open_frame, seal_file_signed,
};

use super::keys::command::Site;
use super::seal_dual::layers;
use super::seal_layers::{HEADER, KEY, Refusal, seal_with, stream_of};
use super::seal_signed::signer;

const CHUNK: usize = 16_400;
const FRAMES: usize = 8;
pub(crate) const NATIVE: &str = "1.2.840.10008.1.2.1";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const UNDEFINED: u32 = u32::MAX;

/// An original under construction, in Explicit VR Little Endian.
pub(crate) struct Original(Vec<u8>);

impl Original {
    pub(crate) fn new(syntax: &str, frames: usize, (rows, columns, bits): (u16, u16, u16)) -> Self {
        let [class, instance] = ["1.2.840.10008.5.1.4.1.1.7", "2.25.77"].map(|uid| Uid::parse(uid).unwrap());
        let mut out = Self(part10::write(&class, &instance, syntax));
        out.short(0x0008_0016, *b"UI", class.as_str().as_bytes());
        out.short(0x0008_0018, *b"UI", instance.as_str().as_bytes());
        out.short(0x0020_000D, *b"UI", b"2.25.1");
        out.short(0x0028_0002, *b"US", &1_u16.to_le_bytes());
        out.short(0x0028_0004, *b"CS", b"MONOCHROME2");
        out.short(0x0028_0008, *b"IS", frames.to_string().as_bytes());
        let high = bits - 1;
        let numbers = [
            (0x0028_0010, rows),
            (0x0028_0011, columns),
            (0x0028_0100, bits),
            (0x0028_0101, bits),
            (0x0028_0102, high),
            (0x0028_0103, 0),
        ];
        for (tag, number) in numbers {
            out.short(tag, *b"US", &number.to_le_bytes());
        }
        out
    }

    fn tag(&mut self, tag: u32) {
        self.0.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
        self.0.extend_from_slice(&(tag as u16).to_le_bytes());
    }

    fn short(&mut self, tag: u32, vr: [u8; 2], value: &[u8]) {
        self.tag(tag);
        let padded = value.len().next_multiple_of(2);
        self.0.extend_from_slice(&vr);
        self.0.extend_from_slice(&(padded as u16).to_le_bytes());
        self.0.extend_from_slice(value);
        let pad = if &vr == b"UI" { 0 } else { b' ' };
        self.0.resize(self.0.len() + padded - value.len(), pad);
    }

    fn long(&mut self, tag: u32, vr: [u8; 2], length: u32) {
        self.tag(tag);
        self.0.extend_from_slice(&vr);
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    pub(crate) fn native(mut self, value: &[u8]) -> Vec<u8> {
        let padded = value.len().next_multiple_of(2);
        self.long(0x7FE0_0010, *b"OW", padded as u32);
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len() + padded - value.len(), 0);
        // Something behind the pixels.
        self.long(0xFFFC_FFFC, *b"OB", 4);
        self.0.extend_from_slice(&[0; 4]);
        self.0
    }

    /// Encapsulated pixels: an offset table, then fragments.
    fn encapsulated(mut self, table: &[u32], fragments: &[Vec<u8>]) -> Vec<u8> {
        self.long(0x7FE0_0010, *b"OB", UNDEFINED);
        let table: Vec<u8> = table.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        for item in [&table].into_iter().chain(fragments) {
            self.tag(0xFFFE_E000);
            self.0.extend_from_slice(&(item.len() as u32).to_le_bytes());
            self.0.extend_from_slice(item);
        }
        self.tag(0xFFFE_E0DD);
        self.0.extend_from_slice(&[0; 4]);
        self.0
    }
}

/// Bytes that are others in each frame and at each place.
fn noise(frame: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + at / 251 + frame * 97) % 253) as u8).collect()
}

/// Frames of one chunk and a half.
fn native_frames() -> Vec<Vec<u8>> {
    (0..FRAMES).map(|frame| noise(frame, 2 * 120 * 101)).collect()
}

fn native() -> Vec<u8> {
    Original::new(NATIVE, FRAMES, (120, 101, 16)).native(&native_frames().concat())
}

fn frame_of(sealed: &[u8], number: u32) -> Result<Frame, Refusal> {
    open_frame(Cursor::new(sealed), number, &layers(), |_| Ok::<_, Infallible>(ContentKey::new(KEY)))
}

fn sealed_with(suite: Suite, original: &[u8]) -> Vec<u8> {
    seal_with(suite, &layers(), original).unwrap()
}

fn frame_error(result: Result<Frame, Refusal>) -> FrameError {
    match result.map(|frame| frame.bytes.len()) {
        Err(FileError::Open(OpenError::Frame(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_frame_of_every_suite_is_what_it_was() {
    let frames = native_frames();
    for suite in Suite::ALL.iter().copied() {
        let sealed = sealed_with(suite, &native());
        // Key images take their time where the program is not optimised.
        let wanted = if suite == Suite::DeepKeyGen { &[1, 2, 3, 4, 5, 6, 7, 8][..] } else { &[1, 5, 8] };
        for number in wanted.iter().copied() {
            let frame = frame_of(&sealed, number).unwrap();
            assert!(*frame.bytes == frames[number as usize - 1], "{suite}, frame {number}");
            assert_eq!((frame.number, frame.image.frames, frame.binding.suite), (number, 8, suite));
        }
    }
}

#[test]
fn frames_of_bits_that_begin_inside_of_a_byte_begin_at_one() {
    // 7 x 5 pixels of one bit: 35 bits, so that frame 2 begins at bit 3 of byte 4.
    let pixels: Vec<bool> = (0..5 * 35).map(|at| at * at % 7 < 3).collect();
    let pack = |bits: &[bool]| -> Vec<u8> {
        bits.chunks(8)
            .map(|eight| eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect()
    };
    let sealed = sealed_with(Suite::DeepKeyGen, &Original::new(NATIVE, 5, (7, 5, 1)).native(&pack(&pixels)));
    for (number, bits) in (1..).zip(pixels.chunks(35)) {
        assert_eq!(*frame_of(&sealed, number).unwrap().bytes, pack(bits), "frame {number}");
    }
}

#[test]
fn compressed_frames_are_found_by_the_table_or_by_their_fragments() {
    let fragments: Vec<Vec<u8>> = (0..6).map(|at| noise(at, 9000 + 2000 * at)).collect();
    let start = |at: usize| fragments[..at].iter().map(|one| one.len() as u32 + 8).sum::<u32>();
    let image = |frames| Original::new(JPEG, frames, (64, 64, 8));
    let three = [fragments[..2].concat(), fragments[2..5].concat(), fragments[5].clone()];
    let table = [0, start(2), start(5)];
    let mut extended = image(3);
    extended.long(0x7FE0_0001, *b"OV", 24);
    for offset in table {
        extended.0.extend_from_slice(&u64::from(offset).to_le_bytes());
    }
    let cases = [
        (image(3).encapsulated(&table, &fragments), three.to_vec()),
        (extended.encapsulated(&[], &fragments), three.to_vec()),
        (image(6).encapsulated(&[], &fragments), fragments.clone()),
        (image(1).encapsulated(&[], &fragments), vec![fragments.concat()]),
    ];
    for (case, (original, frames)) in cases.iter().enumerate() {
        for suite in [Suite::DeepKeyGen, Suite::LorenzMobileNetV2, Suite::Dual] {
            let sealed = sealed_with(suite, original);
            for (number, expected) in (1..).zip(frames) {
                let frame = frame_of(&sealed, number).unwrap();
                assert!(*frame.bytes == *expected, "case {case}, {suite}, frame {number}");
                assert_eq!(frame.original.transfer_syntax.as_str(), JPEG);
            }
        }
    }
    // Six fragments, three frames, and no table, or one that leads into a fragment.
    for table in [&[][..], &[0, start(2) + 8, start(5)], &[0, start(5), start(2)], &[0, 8, u32::MAX]] {
        let sealed = sealed_with(Suite::DeepKeyGen, &image(3).encapsulated(table, &fragments));
        assert!(
            matches!(frame_error(frame_of(&sealed, 2)), FrameError::Fragments { frames: 3, .. }),
            "{table:?}"
        );
    }
}

#[test]
fn only_the_chunks_of_the_header_the_frame_and_the_end_are_read() {
    let sealed = sealed_with(Suite::DeepKeyGen, &native());
    for number in 1..=FRAMES as u32 {
        let frame = frame_of(&sealed, number).unwrap();
        assert_eq!(frame.chunks, 12);
        // The last, the header's, and the frame's two or three, of which the header's may be one.
        assert!((3..=5).contains(&frame.chunks_read), "{} chunks for frame {number}", frame.chunks_read);
    }
}

#[test]
fn of_compressed_frames_the_bodies_of_the_others_are_not_read_either() {
    let fragments: Vec<Vec<u8>> = (0..6).map(|at| noise(at, 100_000)).collect();
    let table: Vec<u32> = (0..6).map(|at| at * 100_008).collect();
    let original = Original::new(JPEG, 6, (64, 64, 8)).encapsulated(&table, &fragments);
    let mut sealed = sealed_with(Suite::DeepKeyGen, &original);
    let frame = frame_of(&sealed, 6).unwrap();
    assert_eq!(frame.chunks, 37);
    // The last, the header's, one for the head of each frame before, and the frame's own seven or eight.
    assert!(frame.chunks_read <= 1 + 1 + 6 + 8, "{} chunks", frame.chunks_read);
    // The middle of each other frame.
    for n in [3, 9, 15, 21, 27] {
        let at = chunk(&sealed, n);
        sealed[at] ^= 1;
    }
    assert!(*frame_of(&sealed, 6).unwrap().bytes == fragments[5]);
    assert!(frame_of(&sealed, 5).is_err());
}

/// Where chunk `n` of a sealed file begins.
fn chunk(sealed: &[u8], n: usize) -> usize {
    stream_of(sealed).0 + HEADER + 56 + n * CHUNK
}

#[test]
fn a_frame_opens_whatever_became_of_the_others_and_not_when_it_was_changed_itself() {
    let sealed = sealed_with(Suite::DeepKeyGen, &native());
    // Frame 5 lies in chunks 5 to 7 of 0 to 11.
    for n in 0..12 {
        let mut changed = sealed.clone();
        changed[chunk(&sealed, n) + 99] ^= 1;
        let opened = frame_of(&changed, 5);
        if [0, 5, 6, 7, 11].contains(&n) {
            let expected = StreamError::Chunk { chunk: n as u64 };
            assert!(
                matches!(&opened, Err(FileError::Open(OpenError::Stream(error))) if *error == expected),
                "chunk {n}: {:?}",
                opened.err()
            );
        } else {
            assert!(*opened.unwrap().bytes == native_frames()[4], "chunk {n}");
        }
    }
}

#[test]
fn no_chunk_stands_in_for_another_and_no_cut_goes_unseen() {
    let sealed = sealed_with(Suite::DeepKeyGen, &native());
    let mut swapped = sealed.clone();
    swapped[chunk(&sealed, 5)..chunk(&sealed, 7)].rotate_left(CHUNK);
    assert!(matches!(
        frame_of(&swapped, 5),
        Err(FileError::Open(OpenError::Stream(StreamError::Chunk { chunk: 5 })))
    ));
    // The same image sealed again, under the same key: its chunks are of another stream.
    let twin = sealed_with(Suite::DeepKeyGen, &native());
    let mut mixed = sealed.clone();
    mixed[chunk(&sealed, 6)..chunk(&sealed, 7)].copy_from_slice(&twin[chunk(&twin, 6)..chunk(&twin, 7)]);
    assert!(frame_of(&mixed, 5).is_err());
    // Shorter by whole chunks, with a header that says so.
    let (start, _) = stream_of(&sealed);
    let mut cut = sealed.clone();
    let length = (56 + 9 * CHUNK) as u64;
    cut[start + 28..start + HEADER].copy_from_slice(&length.to_be_bytes());
    assert!(frame_of(&cut, 1).is_err(), "a stream ends with a chunk that is shorter than the others");
    let end = chunk(&sealed, 9);
    assert!(frame_of(&sealed[..end], 1).is_err(), "a file that was cut off");
    let (_, end) = stream_of(&sealed);
    assert!(frame_of(&sealed[..end - 1], 1).is_err());
}

#[test]
fn a_frame_of_another_instance_or_under_another_key_does_not_open() {
    let sealed = sealed_with(Suite::DeepKeyGen, &native());
    let mut other = sealed.clone();
    let uid = sealed.windows(7).rposition(|window| window == b"2.25.77").unwrap();
    other[uid + 6] = b'8';
    let wrong_key = |_: &_| Ok::<_, Infallible>(ContentKey::new([1; 32]));
    let results = [frame_of(&other, 1), open_frame(Cursor::new(&sealed), 1, &layers(), wrong_key)];
    for result in results {
        let refused = matches!(result, Err(FileError::Open(OpenError::Stream(StreamError::Commitment))));
        assert!(refused);
    }
}

#[test]
fn what_cannot_be_had_by_itself_is_told_as_what_it_is() {
    let sealed = sealed_with(Suite::DeepKeyGen, &native());
    for asked in [0, 9, u32::MAX] {
        assert_eq!(frame_error(frame_of(&sealed, asked)), FrameError::Number { asked, frames: 8 });
    }
    let short = Original::new(NATIVE, FRAMES, (120, 101, 16)).native(&native_frames()[..7].concat());
    assert_eq!(frame_error(frame_of(&sealed_with(Suite::DeepKeyGen, &short), 1)), FrameError::Pixels);
    assert!(matches!(frame_of(&native(), 1), Err(FileError::Open(OpenError::NotSealed))));
    assert!(frame_of(b"no DICOM file", 1).is_err());
}

#[test]
fn the_command_opens_one_frame_and_says_what_proved_it() {
    let site = Site::new();
    assert!(site.sealgate(&["keys", "init"]).status.success());
    fs::write(site.path("in.dcm"), native()).unwrap();
    let at = |name: &str| site.path(name).to_str().unwrap().to_owned();
    assert!(site.sealgate(&["keys", "signer"]).status.success());
    let seal = ["seal", "--set", "keys.sign=true", &at("in.dcm"), "--out", &at("sealed")];
    assert!(site.sealgate(&seal).status.success());
    let open = |number: &str| {
        site.sealgate(&["open", "--frame", number, "--json", &at("sealed/in.dcm"), "--out", &at("opened")])
    };
    let output = open("3");
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(fs::read(site.path("opened/in.dcm.frame-3")).unwrap() == native_frames()[2]);
    assert_eq!((&said["frame"], &said["frames"], &said["rows"]), (&3.into(), &8.into(), &120.into()));
    assert_eq!(said["claims_to_be_signed_by"], "signer-0001");
    assert!(said["chunks_read"].as_u64().unwrap() < said["chunks"].as_u64().unwrap() / 2, "{said}");
    let none = open("9");
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stdout).contains("frames 1 to 8"), "{none:?}");
    assert!(!site.path("opened/in.dcm.frame-9").exists());
}

#[test]
fn of_a_signed_instance_the_signer_belongs_to_every_frame() {
    let mut out = Cursor::new(Vec::new());
    let new_seal = |sop_class, sop_instance, _| {
        let binding =
            Binding { suite: Suite::DeepKeyGen, key_id: KeyId::new([9; 16]), sop_class, sop_instance };
        Ok::<_, Infallible>(NewSeal { binding, key: ContentKey::new(KEY), key_record: None })
    };
    seal_file_signed(&native()[..], &mut out, &layers(), new_seal, |_| None, Some(signer())).unwrap();
    let sealed = out.into_inner();
    let frame = frame_of(&sealed, 8).unwrap();
    assert!(*frame.bytes == native_frames()[7]);
    assert_eq!(frame.signer, Some(signer().key()));
    let (start, _) = stream_of(&sealed);
    let mut other = sealed;
    other[start + HEADER + 5] ^= 1;
    assert!(matches!(frame_of(&other, 8), Err(FileError::Open(OpenError::Stream(StreamError::Commitment)))));
}

/// The sealed image, made once for each suite: networks take their time where the program is not optimised.
fn sealed_once(suite: Suite) -> Vec<u8> {
    static SEALED: Mutex<Vec<(Suite, Vec<u8>)>> = Mutex::new(Vec::new());
    let mut sealed = SEALED.lock().unwrap();
    if let Some((_, file)) = sealed.iter().find(|(known, _)| *known == suite) {
        return file.clone();
    }
    let file = sealed_with(suite, &native());
    sealed.push((suite, file.clone()));
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_changed_file_gives_the_frame_or_nothing(
        at in any::<prop::sample::Index>(),
        by in 1_u8..,
        number in 1..=FRAMES,
        suite in prop::sample::select(vec![Suite::DeepKeyGen, Suite::LogisticMobileNetV2, Suite::Dual]),
    ) {
        let mut sealed = sealed_once(suite);
        let at = at.index(sealed.len());
        sealed[at] ^= by;
        if let Ok(frame) = frame_of(&sealed, number as u32) {
            prop_assert!(*frame.bytes == native_frames()[number - 1]);
        }
    }
}
