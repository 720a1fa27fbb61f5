//! Images compressed for viewers that take no native form: what other people's decoders make of each, and over the wire.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use dicom_core::Tag;
use dicom_object::open_file;
use sealgate::dicom::{Encoding, Status, TransferSyntax};
use sealgate::scu::Need;
use sealgate::transcode::{TranscodeError, can_decompress, compress, lossless};

use super::site::{Came, Front, one_study, studies};
use super::transcode::{PIXELS, native, write_file_in};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample, data_set_of, free_port, samples};
use crate::peers_seal::{python, python_with};

/// Bytes of a data set that takes no decoder too long.
const LARGE: usize = 2 << 20;

/// The data set in Explicit VR Little Endian with native pixels, if it can be had.
pub(super) fn explicit(sample: &Sample, folder: &Path) -> Option<Vec<u8>> {
    let syntax = sample.instance.transfer_syntax;
    if syntax.uid == TransferSyntax::EXPLICIT_LITTLE {
        return Some(sample.data_set.to_vec());
    }
    if syntax.encoding == Encoding::Encapsulated {
        return can_decompress(syntax).then(|| native(sample).ok()).flatten();
    }
    let out = folder.join("explicit.dcm");
    let output = Command::new("dcmconv").arg("+te").arg(&sample.path).arg(&out).output();
    assert!(output.expect("tests/run install").status.success(), "{sample:?}");
    data_set_of(&fs::read(out).ok()?).map(<[u8]>::to_vec)
}

/// Every real image that is not too large, natively.
fn images(folder: &Path) -> Vec<(Sample, Vec<u8>)> {
    let all = samples().into_iter().filter_map(|one| explicit(&one, folder).map(|data| (one, data)));
    let has_pixels = |data: &[u8]| data.windows(4).any(|window| window == b"\xE0\x7F\x10\0");
    all.filter(|(_, data)| data.len() < LARGE && has_pixels(data)).collect()
}

fn compressed(data_set: &[u8], target: TransferSyntax) -> Result<Vec<u8>, TranscodeError> {
    let pieces: VecDeque<Bytes> = data_set.chunks(100_000).map(Bytes::copy_from_slice).collect();
    Ok(compress(pieces, target, 64 << 20)?.into_iter().flatten().collect())
}

#[test]
fn every_real_image_is_the_same_for_other_decoders_in_each_syntax_that_can_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| folder.path().join(name);
    let (mut written, mut unfit, mut wrong) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (index, (sample, data_set)) in images(folder.path()).into_iter().enumerate() {
        write_file_in(&path(format!("{index}.dcm")), &data_set, TransferSyntax::EXPLICIT_LITTLE);
        for target in lossless() {
            match compressed(&data_set, target) {
                Ok(out) => {
                    write_file_in(&path(format!("{index}.{}.dcm", target.keyword)), &out, target.uid);
                    let (images, before, after) = written.entry(target.keyword).or_insert((0, 0, 0));
                    (*images, *before, *after) = (*images + 1, *before + data_set.len(), *after + out.len());
                }
                Err(
                    error
                    @ (TranscodeError::NotTheSame | TranscodeError::Codec(_) | TranscodeError::Panicked),
                ) => {
                    wrong.push(format!("{index} {sample:?} {}: {error}", target.keyword));
                }
                Err(error) => *unfit.entry(format!("{}: {error}", target.keyword)).or_insert(0) += 1,
            }
        }
    }
    println!("{written:#?}\n{unfit:#?}");
    let said = python("lossless.py", &[folder.path()]);
    let count: usize = written.values().map(|(images, ..)| images).sum();
    assert_eq!(said.trim(), format!("{count} compared"), "{}", wrong.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(written.len(), lossless().count());
    assert!(written.values().all(|(images, before, after)| *images > 20 && after < before), "{written:?}");
}

#[test]
fn dcmtk_and_gdcm_read_what_is_compressed_and_decompress_it_to_the_same_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.dcm"), folder.path().join("theirs.dcm"));
    let tools: [(&str, &[&str]); 3] = [
        ("RLELossless", &["dcmdrle"]),
        ("JPEGLSLossless", &["dcmdjpls"]),
        ("JPEG2000Lossless", &["gdcmconv", "--raw"]),
    ];
    let is_small = |(_, data): &(Sample, Vec<u8>)| data.len() < LARGE / 4;
    let images: Vec<_> = images(folder.path()).into_iter().filter(is_small).collect();
    let (mut compared, mut wrong) = (BTreeMap::new(), Vec::new());
    for (keyword, tool) in tools {
        let target = TransferSyntax::all().find(|syntax| syntax.keyword == keyword).unwrap();
        for (sample, data_set) in &images {
            let Ok(out) = compressed(data_set, target) else { continue };
            let _ = fs::remove_file(&theirs);
            write_file_in(&ours, &out, target.uid);
            let output = Command::new(tool[0])
                .args(&tool[1..])
                .arg(&ours)
                .arg(&theirs)
                .output()
                .expect("tests/run install");
            write_file_in(&ours, data_set, TransferSyntax::EXPLICIT_LITTLE);
            *compared.entry(keyword).or_insert(0) += 1;
            if !output.status.success() {
                wrong.push(format!("{sample:?} {keyword}: {}", String::from_utf8_lossy(&output.stderr)));
            } else if !has_same_pixels(&ours, &theirs) {
                wrong.push(format!("{sample:?} {keyword} differs"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared:?}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared.len() == 3 && compared.values().all(|count| *count > 20), "{compared:?}");
}

/// Colours that come back in another order are the same colours.
fn has_same_pixels(one: &Path, other: &Path) -> bool {
    let read = |path: &Path| {
        let file = open_file(path).expect("a file");
        let number =
            |tag| file.element_opt(tag).unwrap().and_then(|one| one.to_int::<u16>().ok()).unwrap_or(0);
        let pixels = file.element(PIXELS).unwrap().to_bytes().unwrap().to_vec();
        (pixels, number(Tag(0x0028, 0x0002)), number(Tag(0x0028, 0x0006)))
    };
    let sorted = |mut bytes: Vec<u8>| {
        bytes.sort_unstable();
        bytes
    };
    let ((before, colours, was_by_plane), (after, _, is_by_plane)) = (read(one), read(other));
    if colours == 1 || was_by_plane == is_by_plane {
        before == after
    } else {
        sorted(before) == sorted(after)
    }
}

/// Real images of each kind that a study of their own, and one class and syntax, can be had of: grey with a sign and without,
/// and colour of several frames.
fn kinds() -> Vec<(String, Sample)> {
    let folder = tempfile::tempdir().unwrap();
    let mut kinds = BTreeMap::new();
    for (study, samples) in studies() {
        for sample in samples {
            let syntax = sample.instance.transfer_syntax.uid;
            let is_native =
                [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE].contains(&syntax);
            let Some(data) = explicit(&sample, folder.path()).filter(|data| data.len() < LARGE) else {
                continue;
            };
            let file = open_file(&sample.path).unwrap();
            let number = |element| {
                let found = file.element_opt(Tag(0x0028, element)).unwrap();
                found.and_then(|one| one.to_int::<u32>().ok()).unwrap_or(0)
            };
            let kind = (number(0x0002), number(0x0100), number(0x0103), number(0x0008) > 1, is_native);
            let has_pixels = data.windows(4).any(|window| window == b"\xE0\x7F\x10\0");
            if has_pixels && matches!(kind.1, 8 | 16) {
                kinds.entry(kind).or_insert((study.clone(), sample));
            }
        }
    }
    kinds.into_values().collect()
}

/// What a viewer gets of the study of slices if this is all that it takes.
async fn got(front: &Front, calling: &str, study: &str, class: &Need, taken: &[TransferSyntax]) -> Came {
    let needs: Vec<Need> = taken.iter().map(|syntax| Need::new(class.class.clone(), *syntax)).collect();
    front.get(calling, study, &needs).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_gets_the_same_values_in_the_one_syntax_that_it_takes() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    let need = samples[0].instance.need();
    for target in lossless() {
        let came = got(&front, "VIEWER", &study, &need, &[target]).await;
        // A signed image is none for JPEG XL.
        if target.keyword == "JPEGXLLossless" {
            assert!(came.is_empty());
            let line = front.gateway.wait_for_log("as Pixel Representation is 1");
            assert!(line.contains("JPEGXLLossless"), "{line}");
            continue;
        }
        assert_eq!(came.len(), samples.len(), "{}\n{}", target.keyword, front.gateway.log());
        for sample in samples {
            let (syntax, data_set) = &came[sample.instance.instance.as_str()];
            assert_eq!(*syntax, target);
            let one = Sample {
                data_set: data_set.clone().into(),
                instance: sealgate::scu::Instance { transfer_syntax: target, ..sample.instance.clone() },
                path: sample.path.clone(),
            };
            let native = native(&one).unwrap();
            let pixels = &sample.data_set[sample.data_set.len() - 20_000..];
            assert!(native.windows(pixels.len()).any(|window| window == pixels), "{sample:?}");
        }
        let (came, ended) = front.get("PLAIN", &study, &[Need::new(need.class.clone(), target)]).await;
        let status = ended.answer.status;
        assert!(came.is_empty() && status == Status(0xA702), "not for a peer without transcode: {ended:?}");
    }
    // What cannot hold it is passed over.
    let keywords = ["JPEGXLLossless", "DeflatedImageFrameCompression"];
    let both: Vec<TransferSyntax> = lossless().filter(|one| keywords.contains(&one.keyword)).collect();
    let came = got(&front, "VIEWER", &study, &need, &both).await;
    assert!(came.len() == samples.len() && came.values().all(|(syntax, _)| syntax.keyword == keywords[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_takes_deflated_data_sets_alone_gets_those_even_without_transcoding() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    let deflated = TransferSyntax::by_uid(TransferSyntax::DEFLATED).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.dcm"), folder.path().join("theirs.dcm"));
    for viewer in ["VIEWER", "PLAIN"] {
        let came = got(&front, viewer, &study, &samples[0].instance.need(), &[deflated]).await;
        assert_eq!(came.len(), samples.len(), "{}", front.gateway.log());
        for sample in samples {
            let (syntax, data_set) = &came[sample.instance.instance.as_str()];
            assert!(*syntax == deflated && data_set.len() < sample.data_set.len() && data_set.len() % 2 == 0);
            write_file_in(&ours, data_set, deflated.uid);
            let output = Command::new("dcmconv").arg("+te").arg(&ours).arg(&theirs).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let file = fs::read(&theirs).unwrap();
            let pixels = &sample.data_set[sample.data_set.len() - 20_000..];
            assert!(file.windows(pixels.len()).any(|window| window == pixels), "{sample:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pynetdicom_gets_and_is_sent_every_kind_of_image_in_the_one_syntax_that_it_takes() {
    let archive = Orthanc::start();
    let kinds = kinds();
    assert!(kinds.len() > 6, "{kinds:?}");
    let all: Vec<Sample> = kinds.iter().map(|(_, sample)| sample.clone()).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| folder.path().join(name);
    for (index, sample) in all.iter().enumerate() {
        let data_set = explicit(sample, folder.path()).unwrap();
        write_file_in(&path(format!("{index}.dcm")), &data_set, TransferSyntax::EXPLICIT_LITTLE);
    }
    let mut came = 0;
    for target in lossless() {
        let peer = Pynetdicom::start(&[&format!("--syntax={}", target.uid)]);
        let port = peer.address().port;
        let front =
            Front::begin(free_port(), &[("pacs", &archive.address(), "get")], free_port(), |config| {
                let own = config.lines().find(|line| line.starts_with("receives = \"VIEWER-IN@")).unwrap();
                config.replace(own, &format!("receives = \"PYNETDICOM@127.0.0.1:{port}\""))
            });
        front.store(&all).await;
        let got = path(format!("got-{}", target.keyword));
        fs::create_dir(&got).unwrap();
        let port = front.gateway.address.port().to_string();
        let wanted = kinds.iter().flat_map(|(study, one)| [one.instance.class.as_str(), study.as_str()]);
        let arguments: Vec<&str> =
            [port.as_str(), got.to_str().unwrap(), target.uid].into_iter().chain(wanted).collect();
        python_with("getter.py", &arguments);
        for (index, (study, sample)) in kinds.iter().enumerate() {
            let instance = sample.instance.instance.as_str();
            let keys = ["0008,0052=STUDY".to_owned(), format!("0020,000d={study}")];
            front.dcmtk(
                "movescu",
                &["-aet", "VIEWER", "-aem", "PYNETDICOM"],
                &keys.each_ref().map(String::as_str),
            );
            let (moved, got) = (peer.data_set(instance), fs::read(got.join(instance)).ok());
            let is_fit = compressed(&explicit(sample, folder.path()).unwrap(), target).is_ok();
            let is_own = sample.instance.transfer_syntax == target;
            let log = || format!("{target:?} {sample:?}\n{}", front.gateway.log());
            assert!(got.is_some() == (is_fit || is_own) && moved == got, "{}", log());
            // What comes as it was made says nothing of us.
            if let Some(data_set) = got.filter(|_| !is_own) {
                write_file_in(&path(format!("{index}.{}.dcm", target.keyword)), &data_set, target.uid);
                came += 1;
            }
        }
    }
    // An archive may have written a data set anew, but not its pixels.
    assert!(came > 20, "{came}");
    assert_eq!(python("lossless.py", &[folder.path()]).trim(), format!("{came} compared"));
}
