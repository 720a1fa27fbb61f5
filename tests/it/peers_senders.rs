//! Other people's senders: every real file goes with each of them through the gateway, into two archives at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use sealgate::dicom::{Uid, never_has_pixels};
use sealgate::seal::inspect;

use super::peers::{Dcmqrscp, Orthanc, Sample, data_set_of, python, samples};
use super::retrieve::site::{Front, study_of};
use super::store::shows_nothing;

/// A program that sends what is in a folder to a port of this machine.
struct Sender {
    name: &'static str,
    command: fn(port: &str, folder: &Path) -> Command,
    /// How many of a hundred files it sends at least: some have no codec, or no context, for some.
    percent: usize,
}

const SENDERS: [Sender; 4] = [
    Sender {
        name: "storescu",
        command: |port, folder| {
            let mut command = Command::new("storescu");
            command
                .args(["-nh", "-R", "-aet", "CT", "-aec", "SEALGATE", "+sd", "127.0.0.1", port])
                .arg(folder);
            command
        },
        percent: 75,
    },
    Sender {
        name: "dcmsend",
        command: |port, folder| {
            let mut command = Command::new("dcmsend");
            command.args([
                "-nh",
                "-nuc",
                "-dn",
                "+ma",
                "-aet",
                "CT",
                "-aec",
                "SEALGATE",
                "+sd",
                "127.0.0.1",
                port,
            ]);
            command.arg(folder);
            command
        },
        percent: 98,
    },
    Sender {
        name: "pynetdicom storescu",
        command: |port, folder| {
            let mut command = Command::new(python());
            command.args(["-m", "pynetdicom", "storescu", "127.0.0.1", port]).arg(folder);
            command.args(["-r", "-cx", "-aet", "CT", "-aec", "SEALGATE"]);
            command
        },
        percent: 98,
    },
    Sender {
        name: "dicom-rs storescu",
        command: |port, folder| {
            let mut command = Command::new("dicom-storescu");
            command.args(["--never-transcode", "--calling-ae-title", "CT"]);
            command.arg(format!("SEALGATE@127.0.0.1:{port}")).arg(folder);
            command
        },
        percent: 98,
    },
];

/// Every valid image once: archives refuse those of no study, and the colour palettes, and some reports.
fn each_once() -> Vec<Sample> {
    let mut seen = BTreeSet::new();
    let is_image = |sample: &Sample| {
        let class = sample.instance.class.as_str();
        let is_palette = class == "1.2.840.10008.5.1.4.39.1";
        !is_palette && !never_has_pixels(class) && !sample.path.ends_with("badVR.dcm")
    };
    let all = samples().into_iter().filter(|sample| is_image(sample) && study_of(sample).is_some());
    all.filter(|sample| seen.insert(sample.instance.instance.clone())).collect()
}

/// Pixel Data and what follows it, in the little-endian syntaxes.
fn pixels_of(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.windows(4).rposition(|window| window == b"\xE0\x7F\x10\0")?;
    bytes.get(at..)
}

async fn everything_arrives(sender: &Sender) {
    let (orthanc, qrscp) = (Orthanc::start(), Dcmqrscp::start(&[]));
    let front = Front::over(&[("orthanc", &orthanc.address(), "get"), ("qrscp", &qrscp.address(), "get")]);
    let all = each_once();
    let folder = tempfile::tempdir().unwrap();
    let (sent, held) = (folder.path().join("sent"), folder.path().join("held"));
    fs::create_dir(&sent).unwrap();
    fs::create_dir(&held).unwrap();
    for (number, sample) in all.iter().enumerate() {
        fs::copy(&sample.path, sent.join(format!("{number:03}.dcm"))).unwrap();
    }
    let port = front.gateway.address.port().to_string();
    let output = (sender.command)(&port, &sent)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: run tests/run install", sender.name));
    front.drain().await;
    let files = qrscp.files().into_iter().map(|path| fs::read(path).unwrap());
    let mut at_qrscp: BTreeMap<Uid, Vec<u8>> =
        files.filter_map(|file| Some((inspect(&file[..]).ok()?.sop_instance?, file))).collect();
    let mut arrived = 0;
    for sample in &all {
        let uid = &sample.instance.instance;
        let copies = [orthanc.file(uid.as_str()), at_qrscp.remove(uid)];
        let [Some(one), Some(other)] = &copies else {
            // What it sends at all is at both.
            assert!(copies.iter().all(Option::is_none), "{}: {sample:?} is at one alone", sender.name);
            continue;
        };
        arrived += 1;
        for (place, copy) in [("orthanc", one), ("qrscp", other)] {
            let is_ramp = sample.path.to_str().unwrap().contains("lut_");
            let is_sealed = copy.windows(8).any(|window| window == b"\x93SGATE\r\0");
            let has_pixels = pixels_of(&sample.data_set).is_some();
            assert!(is_sealed || !has_pixels, "{}: {sample:?} is in clear at {place}", sender.name);
            assert!(is_ramp || !is_sealed || shows_nothing(sample, copy), "{}: {sample:?}", sender.name);
            if is_sealed {
                fs::write(held.join(format!("{uid}.{place}")), copy).unwrap();
            }
        }
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        arrived * 100 >= all.len() * sender.percent,
        "{}: {arrived} of {}: {said}",
        sender.name,
        all.len()
    );

    let opened = folder.path().join("opened");
    let output = front.site.sealgate(&["open", held.to_str().unwrap(), "--out", opened.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let mut compared = 0;
    for sample in &all {
        for place in ["orthanc", "qrscp"] {
            let path = opened.join(format!("{}.{place}", sample.instance.instance));
            let Ok(file) = fs::read(path) else { continue };
            let opened = data_set_of(&file).and_then(pixels_of);
            // A sender may write offset tables its own way, and leave padding out; the pixels are what it was given.
            if let (Some(opened), Some(pixels)) = (opened, pixels_of(&sample.data_set)) {
                let third = pixels.len() / 3;
                let middle = &pixels[third..pixels.len() - third];
                let is_there = opened.windows(middle.len()).any(|window| window == middle);
                assert!(is_there, "{}: {sample:?} at {place}", sender.name);
                compared += 1;
            }
        }
    }
    assert!(compared >= arrived, "{}: {compared} of {arrived}", sender.name);
    println!("{}: {arrived} of {}, {compared} compared", sender.name, all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_file_arrives_sealed_at_two_archives_by_dcmtks_storescu() {
    everything_arrives(&SENDERS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_file_arrives_sealed_at_two_archives_by_dcmtks_dcmsend() {
    everything_arrives(&SENDERS[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_file_arrives_sealed_at_two_archives_by_pynetdicom() {
    everything_arrives(&SENDERS[2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_file_arrives_sealed_at_two_archives_by_dicom_rs() {
    everything_arrives(&SENDERS[3]).await;
}
