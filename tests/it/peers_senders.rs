//! Other people's senders: every real file goes with each of them through the gateway, into two archives at once, and
//! what these hold is compared with what the same sender gives a plain receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sealgate::dicom::Encoding;
use sealgate::seal::inspect;
use sealgate::spool::look;

use super::peers::clear::{Clear, Watch};
use super::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample, data_set_of, python, samples};
use super::peers_seal::{canonical, python as script, said, text, valid};
use super::retrieve::has_pixels;
use super::retrieve::site::Front;

/// A program that sends what is in a folder, by transfer syntax in folders of their own, to a port of this machine.
struct Sender {
    name: &'static str,
    commands: fn(port: &str, folder: &Path) -> Vec<Command>,
    /// Files that it does not send, or not as what they are, and why.
    leaves_out: &'static [(&'static str, &'static str)],
}

const OTHER_UID: &str = "dicom-rs names the instance that the file meta information names, and the data set names another: \
                         the gateway refuses that";

const OF_DICOM_RS: &[(&str, &str)] =
    &[("chrJapMulti.dcm", OTHER_UID), ("rtdose_1frame.dcm", OTHER_UID), ("rtplan.dcm", OTHER_UID)];

const NO_STUDY: &str = "it has no Study Instance UID, and Orthanc refuses that";

/// What stays in the spool, sealed, for not both archives take it.
const STAYS: &[(&str, &str)] = &[
    ("JPEGLSNearLossless_08.dcm", NO_STUDY),
    ("JPEGLSNearLossless_16.dcm", NO_STUDY),
    ("SC_rgb_jls_lossy_line.dcm", NO_STUDY),
    ("SC_rgb_jls_lossy_sample.dcm", NO_STUDY),
    ("fall.dcm", NO_STUDY),
    ("hotiron.dcm", NO_STUDY),
    ("hotmetalblue.dcm", NO_STUDY),
    ("pet.dcm", NO_STUDY),
    ("pet20step.dcm", NO_STUDY),
    ("spring.dcm", NO_STUDY),
    ("summer.dcm", NO_STUDY),
    ("winter.dcm", NO_STUDY),
];

/// `storescu` proposes one compressed transfer syntax at a time.
fn storescu(port: &str, folder: &Path) -> Vec<Command> {
    let mut folders: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let of = |folder: PathBuf| {
        let syntax = folder.file_name().unwrap().to_str().unwrap();
        let proposed = match syntax {
            "1.2.840.10008.1.2" => "-xi",
            "1.2.840.10008.1.2.2" => "-xb",
            "1.2.840.10008.1.2.1.99" => "-xd",
            "1.2.840.10008.1.2.4.50" => "-xy",
            "1.2.840.10008.1.2.4.51" => "-xx",
            "1.2.840.10008.1.2.4.70" => "-xs",
            "1.2.840.10008.1.2.4.80" => "-xt",
            "1.2.840.10008.1.2.4.81" => "-xu",
            "1.2.840.10008.1.2.4.90" => "-xv",
            "1.2.840.10008.1.2.4.91" => "-xw",
            "1.2.840.10008.1.2.5" => "-xr",
            _ => "-xe",
        };
        let mut command = Command::new("storescu");
        command.args(["-nh", "-R", proposed, "-aet", "CT", "-aec", "SEALGATE", "+sd", "127.0.0.1", port]);
        command.arg(folder);
        command
    };
    folders.into_iter().map(of).collect()
}

const SENDERS: [Sender; 4] = [
    Sender { name: "storescu", commands: storescu, leaves_out: &[] },
    Sender {
        name: "dcmsend",
        commands: |port, folder| {
            let mut command = Command::new("dcmsend");
            command.args(["-nh", "-nuc", "-dn", "+ma", "-aet", "CT", "-aec", "SEALGATE", "+sd", "+r"]);
            command.args(["127.0.0.1", port]).arg(folder);
            vec![command]
        },
        leaves_out: &[],
    },
    Sender {
        name: "pynetdicom storescu",
        commands: |port, folder| {
            let mut command = Command::new(python());
            command.args(["-m", "pynetdicom", "storescu", "127.0.0.1", port]).arg(folder);
            command.args(["-r", "-cx", "-aet", "CT", "-aec", "SEALGATE"]);
            vec![command]
        },
        leaves_out: &[],
    },
    Sender {
        name: "dicom-rs storescu",
        commands: |port, folder| {
            let mut command = Command::new("dicom-storescu");
            command.args(["--never-transcode", "--calling-ae-title", "CT"]);
            command.arg(format!("SEALGATE@127.0.0.1:{port}")).arg(folder);
            vec![command]
        },
        leaves_out: OF_DICOM_RS,
    },
];

/// Every instance once.
fn each_once() -> Vec<Sample> {
    let mut seen = BTreeSet::new();
    samples().into_iter().filter(|sample| seen.insert(sample.instance.instance.clone())).collect()
}

fn is_in(list: &[(&str, &str)], sample: &Sample) -> bool {
    list.iter().any(|(name, _)| sample.path.ends_with(name))
}

fn uid_of(sample: &Sample) -> &str {
    sample.instance.instance.as_str()
}

fn uids_of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> BTreeSet<&'a str> {
    samples.into_iter().map(uid_of).collect()
}

impl Sender {
    /// Sends everything, and gives what it says.
    fn send(&self, port: u16, folder: &Path) -> String {
        let mut words = String::new();
        for mut command in (self.commands)(&port.to_string(), folder) {
            let output = command.output();
            let output =
                output.unwrap_or_else(|error| panic!("{}: {error}: run tests/run install", self.name));
            words.push_str(&said(&output));
        }
        words
    }

    /// What it gives a receiver that writes down what comes: data sets and transfer syntaxes by SOP Instance UID.
    fn plainly(&self, all: &[Sample], folder: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
        let receiver = Pynetdicom::start(&["--any-class"]);
        let words = self.send(receiver.address().port, folder);
        let log = receiver.process.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix("kept ")?.split_once(' '));
        let read = |(uid, syntax): (&str, &str)| {
            (uid.to_owned(), (syntax.to_owned(), receiver.data_set(uid).expect("it is kept")))
        };
        let found: BTreeMap<_, _> = lines.map(read).collect();
        let expected = uids_of(all.iter().filter(|one| !is_in(self.leaves_out, one)));
        let came: BTreeSet<&str> = found.keys().map(String::as_str).collect();
        let names = |of: &BTreeSet<&str>, but: &BTreeSet<&str>| -> Vec<String> {
            let is_meant = |one: &&Sample| of.contains(uid_of(one)) && !but.contains(uid_of(one));
            all.iter().filter(is_meant).map(|one| format!("{one:?}")).collect()
        };
        assert!(
            came == expected,
            "{}: not sent: {:#?}, sent after all: {:#?}, {}",
            self.name,
            names(&expected, &came),
            names(&came, &expected),
            words.lines().rev().take(30).collect::<Vec<_>>().join("\n")
        );
        found
    }
}

/// The files in folders by transfer syntax.
fn lay_out<'a>(all: impl IntoIterator<Item = &'a Sample>, folder: &Path) {
    for (number, sample) in all.into_iter().enumerate() {
        let own = folder.join(sample.instance.transfer_syntax.uid);
        fs::create_dir_all(&own).unwrap();
        fs::copy(&sample.path, own.join(format!("{number:03}.dcm"))).unwrap();
    }
}

fn in_spool(front: &Front) -> BTreeSet<String> {
    let entries = look(&front.site.path("spool")).unwrap().entries;
    entries.into_iter().map(|entry| String::from_utf8(entry.key).unwrap()).collect()
}

/// Waits until what is left in the spool is this.
async fn drain_to(front: &Front, left: &BTreeSet<&str>) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let there = in_spool(front);
        if there.len() == left.len() && there.iter().all(|uid| left.contains(uid.as_str())) {
            return;
        }
        assert!(Instant::now() < end, "{there:#?} are left, {left:#?} should be\n{}", front.gateway.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What an archive holds of an instance.
struct Held<'a> {
    sample: &'a Sample,
    place: &'static str,
    path: PathBuf,
}

impl Held<'_> {
    fn name(&self) -> String {
        format!("{:?} at {}", self.sample, self.place)
    }
}

/// What both archives hold, as files; everything in `expected` has to be at both, and of the rest dcmqrscp may have some.
fn held<'a>(
    expected: &[&'a Sample],
    rest: &BTreeSet<&str>,
    archives: (&Orthanc, &Dcmqrscp),
    folder: &Path,
) -> Vec<Held<'a>> {
    let files = archives.1.files().into_iter().map(|path| fs::read(path).unwrap());
    let mut at_qrscp: BTreeMap<String, Vec<u8>> =
        files.filter_map(|file| Some((inspect(&file[..]).ok()?.sop_instance?.to_string(), file))).collect();
    let mut copies = Vec::new();
    for &sample in expected {
        let uid = uid_of(sample);
        for (place, copy) in [("orthanc", archives.0.file(uid)), ("qrscp", at_qrscp.remove(uid))] {
            let copy = copy.unwrap_or_else(|| panic!("{sample:?} is not at {place}"));
            let path = folder.join(format!("{uid}.{place}"));
            fs::write(&path, copy).unwrap();
            copies.push(Held { sample, place, path });
        }
    }
    at_qrscp.retain(|uid, _| !rest.contains(uid.as_str()));
    assert!(at_qrscp.is_empty(), "{:?} came from nowhere", at_qrscp.keys());
    copies
}

/// No copy has an error for `dciodvfy` that its original has not.
fn stays_valid(copies: &[Held<'_>], folder: &Path) {
    let is_deflated = |sample: &Sample| sample.instance.transfer_syntax.encoding == Encoding::Deflated;
    let originals: BTreeSet<&Path> = copies.iter().map(|copy| copy.sample.path.as_path()).collect();
    let deflated = copies.iter().filter(|copy| is_deflated(copy.sample));
    let deflated: BTreeSet<&Path> = deflated.map(|copy| copy.sample.path.as_path()).collect();
    let mut before: BTreeMap<&Path, _> = originals
        .par_iter()
        .map(|path| (*path, valid::errors(path).filter(|_| !deflated.contains(path))))
        .collect();
    // What the validator cannot read as it is, it gets rewritten.
    let hard: Vec<&Path> =
        before.iter().filter(|(_, errors)| errors.is_none()).map(|(path, _)| *path).collect();
    assert!(hard.len() < 20, "{hard:?}");
    if !hard.is_empty() {
        script("twins.py", &[&[folder][..], &hard[..]].concat());
    }
    for path in hard {
        before.insert(path, valid::errors(&folder.join(path.file_name().unwrap())));
    }
    copies.par_iter().for_each(|copy| {
        let before = before[copy.sample.path.as_path()].as_ref().unwrap();
        let Some(after) = valid::errors(&copy.path) else { panic!("{}: dciodvfy broke down", copy.name()) };
        let new: Vec<_> = after.difference(before).collect();
        assert!(new.is_empty(), "{}: {new:#?}", copy.name());
    });
}

async fn everything_arrives(sender: &Sender) {
    let (all, folder) = (each_once(), tempfile::tempdir().unwrap());
    for (name, _) in [sender.leaves_out, STAYS].concat() {
        assert!(all.iter().any(|sample| sample.path.ends_with(name)), "there is no {name} any more");
    }
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (sent, kept, twins, plain) = (place("sent"), place("held"), place("twins"), place("plain"));
    lay_out(all.iter().filter(|one| !is_in(sender.leaves_out, one)), &plain);
    let given = sender.plainly(&all, &plain);
    lay_out(all.iter().filter(|one| !is_in(sender.leaves_out, one)), &sent);
    let clear = Arc::new(Clear::of(&all));

    let (orthanc, qrscp) = (Orthanc::start(), Dcmqrscp::start(&[]));
    let front = Front::over(&[("orthanc", &orthanc.address(), "get"), ("qrscp", &qrscp.address(), "get")]);
    let watch = Watch::start(&clear, front.site.path(""));
    let _ = sender.send(front.gateway.address.port(), &sent);
    let (seen, shown) = watch.end();
    assert!(shown.is_empty(), "{}: {shown:#?}", sender.name);
    let taken: Vec<&Sample> = all.iter().filter(|one| given.contains_key(uid_of(one))).collect();
    // Quick archives leave little time to look.
    assert!(seen > taken.len() / 8, "{}: of {seen} files while they waited", sender.name);

    let (stays, goes): (Vec<&Sample>, Vec<&Sample>) = taken.into_iter().partition(|one| is_in(STAYS, one));
    let stays = uids_of(stays);
    drain_to(&front, &stays).await;
    let copies = held(&goes, &stays, (&orthanc, &qrscp), &kept);
    for copy in &copies {
        let bytes = fs::read(&copy.path).unwrap();
        assert_eq!(clear.shown_in(&bytes), None, "{}", copy.name());
        let is_sealed = bytes.windows(8).any(|window| window == b"\x93SGATE\r\0");
        assert_eq!(is_sealed, has_pixels(copy.sample), "{}", copy.name());
    }
    stays_valid(&copies, &twins);

    let opened = folder.path().join("opened");
    let output = front.site.sealgate(&["open", text(&kept), "--out", text(&opened)]);
    let mut identical = 0;
    for copy in &copies {
        let (syntax, data_set) = &given[uid_of(copy.sample)];
        if has_pixels(copy.sample) {
            let path = opened.join(copy.path.file_name().unwrap());
            let file = fs::read(path).unwrap_or_else(|_| panic!("{} opens: {}", copy.name(), said(&output)));
            assert_eq!(inspect(&file[..]).unwrap().transfer_syntax.as_str(), syntax, "{}", copy.name());
            assert!(data_set_of(&file) == Some(&data_set[..]), "{}: other bytes", copy.name());
            identical += 1;
        } else {
            // What has nothing to seal the archives may write their own way.
            let own = twins.join("data_set");
            fs::write(&own, data_set).unwrap();
            assert!(canonical(&copy.path, &twins) == canonical(&own, &twins), "{}: other", copy.name());
        }
    }
    println!(
        "{}: {} sent, {} at both archives, {identical} copies identical",
        sender.name,
        given.len(),
        goes.len()
    );
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
