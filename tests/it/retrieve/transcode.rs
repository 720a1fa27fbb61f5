//! Compressed images for viewers that take no compression: what other people's decoders make of them, and over the wire.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use dicom_core::Tag;
use dicom_object::open_file;
use sealgate::dicom::{Encoding, Status, TransferSyntax};
use sealgate::scu::Need;
use sealgate::transcode::{can_decompress, decompress};

use super::site::{Front, needs_of, studies};
use crate::peers::{Dcmqrscp, Sample, samples};

/// Pixel Data.
pub(super) const PIXELS: Tag = Tag(0x7FE0, 0x0010);

/// What the other decoder makes of a file: its attributes and its pixels.
fn decoded_by_others(sample: &Sample, out: &Path) -> bool {
    let keyword = sample.instance.transfer_syntax.keyword;
    let tool = match keyword {
        "RLELossless" => vec!["dcmdrle"],
        "JPEGLSLossless" | "JPEGLSNearLossless" => vec!["dcmdjpls"],
        "JPEG2000Lossless" | "JPEG2000" => vec!["gdcmconv", "--raw"],
        _ => vec!["dcmdjpeg", "+px"],
    };
    let mut command = Command::new(tool[0]);
    let output = command.args(&tool[1..]).arg(&sample.path).arg(out).output().expect("tests/run install");
    output.status.success() && out.exists()
}

/// Whether two decoders may differ by rounding: of lossy images, each value a little.
fn is_lossy(sample: &Sample) -> bool {
    matches!(sample.instance.transfer_syntax.keyword, "JPEGBaseline8Bit" | "JPEGExtended12Bit" | "JPEG2000")
}

pub(super) fn native(sample: &Sample) -> Result<Vec<u8>, String> {
    let pieces: VecDeque<Bytes> = sample.data_set.chunks(100_000).map(Bytes::copy_from_slice).collect();
    let native =
        decompress(pieces, sample.instance.transfer_syntax, 512 << 20).map_err(|error| error.to_string())?;
    Ok(native.into_iter().flatten().collect())
}

/// A Part 10 file around a data set in Explicit VR Little Endian.
fn write_file(path: &Path, data_set: &[u8]) {
    write_file_in(path, data_set, TransferSyntax::EXPLICIT_LITTLE);
}

/// The same in this transfer syntax.
pub(super) fn write_file_in(path: &Path, data_set: &[u8], syntax: &str) {
    let padded = if syntax.len() % 2 == 1 { format!("{syntax}\0") } else { syntax.to_owned() };
    let length = u16::try_from(padded.len()).unwrap().to_le_bytes();
    let element = [&b"\x02\0\x10\0UI"[..], &length, padded.as_bytes()].concat();
    let group = u32::try_from(element.len()).unwrap().to_le_bytes();
    let meta = [&[0; 128][..], b"DICM\x02\0\0\0UL\x04\0", &group, &element].concat();
    fs::write(path, [&meta[..], data_set].concat()).unwrap();
}

/// Whether both have the same image; what differs otherwise.
fn compare(ours: &Path, theirs: &Path, lossy: bool, is_gdcm: bool) -> Result<(), String> {
    let read = |path: &Path| open_file(path).map_err(|error| format!("{}: {error}", path.display()));
    let (ours, theirs) = (read(ours)?, read(theirs)?);
    let text = |file: &dicom_object::DefaultDicomObject, tag| {
        file.element(tag).ok().and_then(|element| element.to_str().ok().map(|text| text.trim().to_owned()))
    };
    for element in [0x0002, 0x0004, 0x0008, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103, 0x2110] {
        let tag = Tag(0x0028, element);
        // GDCM takes these from the stream; DCMTK says nothing of losses in JPEG.
        let is_theirs = (is_gdcm && matches!(element, 0x0101 | 0x0102)) || (lossy && element == 0x2110);
        if text(&ours, tag) != text(&theirs, tag) && !is_theirs {
            return Err(format!("{tag}: {:?}, theirs {:?}", text(&ours, tag), text(&theirs, tag)));
        }
    }
    for tag in [Tag(0x0008, 0x0018), Tag(0x0008, 0x0008)] {
        if text(&ours, tag) != text(&theirs, tag) && !lossy {
            return Err(format!("{tag}"));
        }
    }
    let pixels =
        |file: &dicom_object::DefaultDicomObject| file.element(PIXELS).unwrap().to_bytes().unwrap().to_vec();
    let (ours, theirs) = (pixels(&ours), pixels(&theirs));
    if ours.len().abs_diff(theirs.len()) > 1 {
        return Err(format!("{} bytes, theirs {}", ours.len(), theirs.len()));
    }
    let differing = ours.iter().zip(&theirs).filter(|(one, other)| one != other).count();
    let far = ours.iter().zip(&theirs).filter(|(one, other)| one.abs_diff(**other) > 8).count();
    match lossy {
        false if differing > 0 => Err(format!("{differing} bytes differ")),
        true if far * 50 > ours.len() => {
            Err(format!("{far} of {} bytes differ by more than rounding", ours.len()))
        }
        _ => Ok(()),
    }
}

#[test]
fn decompressed_images_are_those_of_other_decoders() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.dcm"), folder.path().join("theirs.dcm"));
    let (mut compared, mut wrong, mut refused) = (0, Vec::new(), Vec::new());
    for sample in samples() {
        let syntax = sample.instance.transfer_syntax;
        if syntax.encoding != Encoding::Encapsulated || !can_decompress(syntax) {
            continue;
        }
        let _ = fs::remove_file(&theirs);
        match native(&sample) {
            Ok(data_set) if decoded_by_others(&sample, &theirs) => {
                write_file(&ours, &data_set);
                compared += 1;
                if let Err(error) =
                    compare(&ours, &theirs, is_lossy(&sample), syntax.keyword.starts_with("JPEG2000"))
                {
                    wrong.push(format!("{sample:?}: {error}"));
                }
            }
            Ok(_) => {}
            Err(error) => refused.push(format!("{sample:?}: {error}")),
        }
    }
    println!("{compared} compared; refused:\n{}", refused.join("\n"));
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 20, "{compared}\n{}", refused.join("\n"));
}

#[test]
fn broken_streams_are_errors_whatever_is_broken() {
    let mut tried = 0;
    for sample in samples().into_iter().filter(|sample| can_decompress(sample.instance.transfer_syntax)) {
        // A few of each syntax and size are enough.
        if sample.data_set.len() > 40_000 {
            continue;
        }
        for step in 1..8 {
            let mut broken = sample.data_set.to_vec();
            let at = broken.len() - broken.len() * step / 9 - 1;
            broken[at..].iter_mut().step_by(7).for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
            let pieces = VecDeque::from([Bytes::from(broken)]);
            // Whether it is an image by chance or an error, the process lives and the size is that of the header.
            let _ = decompress(pieces, sample.instance.transfer_syntax, 64 << 20);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_codecs_gets_native_images_and_a_peer_may_forbid_it() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let is_good = |sample: &Sample| {
        let syntax = sample.instance.transfer_syntax;
        syntax.encoding == Encoding::Encapsulated && can_decompress(syntax) && native(sample).is_ok()
    };
    let found = studies().into_iter().find_map(|(study, mut samples)| {
        samples.retain(is_good);
        (!samples.is_empty()).then_some((study, samples))
    });
    let (study, samples) = found.expect("a study with compressed images");
    front.store(&samples).await;
    let implicit = TransferSyntax::by_uid(TransferSyntax::IMPLICIT_LITTLE).unwrap();
    let explicit = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).unwrap();
    for syntax in [explicit, implicit] {
        let needs: Vec<Need> =
            needs_of(&samples).into_iter().map(|need| Need::new(need.class, syntax)).collect();
        let (came, ended) = front.get("VIEWER", &study, &needs[..1]).await;
        assert!(ended.is_complete(), "{ended:?}\n{}", front.gateway.log());
        let sample = samples.iter().find(|one| one.instance.class == needs[0].class).unwrap();
        let (came_in, data) = &came[sample.instance.instance.as_str()];
        assert_eq!(*came_in, syntax);
        if syntax == explicit {
            assert!(*data == native(sample).unwrap(), "{sample:?}");
        }
        let (came, ended) = front.get("PLAIN", &study, &needs[..1]).await;
        assert!(came.is_empty(), "transcode = false");
        assert_eq!(ended.answer.status, Status(0xA702), "{ended:?}");
        assert!(!ended.failed.is_empty());
    }
}
