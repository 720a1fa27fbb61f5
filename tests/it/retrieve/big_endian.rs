//! Viewers that take nothing but Explicit VR Big Endian, which was retired: for other readers they get the same images.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use dicom_object::open_file;
use sealgate::dicom::{Encoding, TransferSyntax};

use super::lossless::explicit;
use super::site::{Front, one_study, studies};
use super::transcode::write_file_in;
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample, free_port};
use crate::peers_seal::{python, python_with, said};

const BIG: &str = "1.2.840.10008.1.2.2";

/// Real images of every class and kind, natively and one of each compression, none of them large.
fn images() -> Vec<(String, Sample)> {
    let mut seen = BTreeSet::new();
    let all = studies().into_iter().flat_map(|(study, samples)| {
        samples.into_iter().map(move |sample| (study.clone(), sample)).collect::<Vec<_>>()
    });
    let is_wanted = |(_, sample): &(String, Sample)| {
        let syntax = sample.instance.transfer_syntax;
        let kind = match syntax.encoding {
            Encoding::Encapsulated => syntax.uid.to_owned(),
            _ => format!("{} {:?}", sample.instance.class, sample.data_set.len() / 1000),
        };
        super::has_pixels(sample) && sample.data_set.len() < 1 << 20 && seen.insert(kind)
    };
    all.filter(is_wanted).collect()
}

fn put(folder: &Path, number: usize, was: &[u8], is: &[u8]) {
    write_file_in(&folder.join(format!("{number}.was.dcm")), was, TransferSyntax::EXPLICIT_LITTLE);
    write_file_in(&folder.join(format!("{number}.is.dcm")), is, BIG);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_big_endian_are_the_same_for_another_reader_by_get_and_by_move() {
    let (archive, folder) = (Orthanc::start(), tempfile::tempdir().unwrap());
    let receiver = Pynetdicom::start(&[&format!("--syntax={BIG}")]);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], receiver.address().port);
    let images: Vec<_> = images()
        .into_iter()
        .filter_map(|(study, sample)| Some((study, explicit(&sample, folder.path())?, sample)))
        .collect();
    assert!(images.len() > 20, "{}", images.len());
    let samples: Vec<Sample> = images.iter().map(|(.., sample)| sample.clone()).collect();
    front.store(&samples).await;
    let (got, pairs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wanted: BTreeSet<(&str, &str)> =
        images.iter().map(|(study, _, sample)| (sample.instance.class.as_str(), study.as_str())).collect();
    let port = front.gateway.address.port().to_string();
    let mut arguments = vec![port.as_str(), got.path().to_str().unwrap(), BIG];
    arguments.extend(wanted.iter().flat_map(|(class, study)| [*class, *study]));
    python_with("getter.py", &arguments);
    for (number, (_, was, sample)) in images.iter().enumerate() {
        let is = fs::read(got.path().join(sample.instance.instance.as_str()));
        let is = is.unwrap_or_else(|_| panic!("{sample:?} did not come\n{}", front.gateway.log()));
        put(pairs.path(), number, was, &is);
    }
    let (study, was, sample) = &images[0];
    front.move_to("VIEWER", study, "VIEWER-IN").await;
    let moved = receiver.data_set(sample.instance.instance.as_str());
    put(pairs.path(), images.len(), was, &moved.expect("by C-MOVE too"));
    let compared = python("same_values.py", &[pairs.path()]);
    assert_eq!(compared.trim(), format!("{} compared", images.len() + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn getscu_that_prefers_big_endian_gets_it_and_dcmtk_reads_the_same() {
    let (archive, folder) = (Dcmqrscp::start(&[]), tempfile::tempdir().unwrap());
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples).await;
    let asked = format!("0020,000d={study}");
    let options = ["+B", "+xb", "-aet", "VIEWER", "-od", folder.path().to_str().unwrap()];
    let output = front.dcmtk("getscu", &options, &["0008,0052=STUDY", &asked]);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), samples.len(), "{}\n{}", said(&output), front.gateway.log());
    for file in files {
        assert_eq!(open_file(&file).unwrap().meta().transfer_syntax(), BIG);
        let little = file.with_extension("little");
        let converted = Command::new("dcmconv").args(["+te"]).arg(&file).arg(&little).output().unwrap();
        assert!(converted.status.success(), "{}", said(&converted));
        let little = fs::read(little).unwrap();
        let is = |sample: &&Sample| {
            let uid = sample.instance.instance.as_str().as_bytes();
            little.windows(uid.len()).any(|window| window == uid)
        };
        let sample = samples.iter().find(is).expect("it is one of them");
        assert!(little.ends_with(&sample.data_set[sample.data_set.len() / 4..]), "other pixels: {sample:?}");
    }
}
