//! The whole corpus comes back to other people's viewers, by C-GET and by C-MOVE, from both archives, asked either way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealgate::seal::inspect;

use super::has_pixels;
use super::site::{Front, needs_of, studies};
use crate::peers::{Dcmqrscp, Orthanc, Sample, StoreScp, data_set_of, free_port, python};
use crate::peers_seal::{canonical, said, text};

type Studies = BTreeMap<String, Vec<Sample>>;

/// What came: its transfer syntax and its data set, by SOP Instance UID.
type Came = BTreeMap<String, (String, Vec<u8>)>;

/// How DCMTK's `getscu` has a transfer syntax preferred; the uncompressed ones it takes all.
fn preferred(sample: &Sample) -> &'static str {
    match sample.instance.transfer_syntax.uid {
        "1.2.840.10008.1.2" => "+xi",
        "1.2.840.10008.1.2.2" => "+xb",
        "1.2.840.10008.1.2.1.99" => "+xd",
        "1.2.840.10008.1.2.4.50" => "+xy",
        "1.2.840.10008.1.2.4.51" => "+xx",
        "1.2.840.10008.1.2.4.70" => "+xs",
        "1.2.840.10008.1.2.4.80" => "+xt",
        "1.2.840.10008.1.2.4.81" => "+xu",
        "1.2.840.10008.1.2.4.90" => "+xv",
        "1.2.840.10008.1.2.4.91" => "+xw",
        "1.2.840.10008.1.2.5" => "+xr",
        _ => "+xe",
    }
}

fn read(files: impl IntoIterator<Item = PathBuf>) -> Came {
    let files = files.into_iter().map(|path| fs::read(path).unwrap());
    let file = |file: Vec<u8>| {
        let found = inspect(&file[..]).unwrap();
        let uid = found.sop_instance.unwrap().to_string();
        (uid, (found.transfer_syntax.to_string(), data_set_of(&file).unwrap().to_vec()))
    };
    files.map(file).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Every study with `getscu`, once for each transfer syntax in it: one context of it has one.
fn by_getscu(front: &Front, studies: &Studies) -> Came {
    let mut came = Came::new();
    for (study, samples) in studies {
        for option in samples.iter().map(preferred).collect::<BTreeSet<_>>() {
            let folder = tempfile::tempdir().unwrap();
            let keys = ["0008,0052=STUDY".to_owned(), format!("0020,000d={study}")];
            let options = ["+B", option, "-aet", "VIEWER", "-od", text(folder.path())];
            let output = front.dcmtk("getscu", &options, &[&keys[0], &keys[1]]);
            let found = read(files_in(folder.path()));
            let own = samples.iter().filter(|sample| preferred(sample) == option);
            for sample in own {
                let uid = sample.instance.instance.as_str();
                let one = found.get(uid).unwrap_or_else(|| {
                    panic!("getscu {option}: {sample:?}: {}\n{}", said(&output), front.gateway.log())
                });
                came.insert(uid.to_owned(), one.clone());
            }
        }
    }
    came
}

/// Every study with `movescu` to `storescp`.
fn by_movescu(front: &Front, studies: &Studies, receiver: &StoreScp) -> Came {
    for path in receiver.files() {
        fs::remove_file(path).unwrap();
    }
    for study in studies.keys() {
        let keys = ["0008,0052=STUDY".to_owned(), format!("0020,000d={study}")];
        let output = front.dcmtk("movescu", &["-aet", "VIEWER", "-aem", "VIEWER-IN"], &[&keys[0], &keys[1]]);
        assert!(output.status.success(), "{study}: {}\n{}", said(&output), front.gateway.log());
    }
    read(receiver.files())
}

/// Every study with pynetdicom: what came by C-GET, and by C-MOVE to a door of its own.
fn by_pynetdicom(front: &Front, studies: &Studies, own: u16) -> [Came; 2] {
    let folder = tempfile::tempdir().unwrap();
    let line = |study: &str, samples: &[Sample]| -> String {
        let needs = needs_of(samples);
        needs.iter().map(|need| format!("{study}\t{}\t{}\n", need.class, need.transfer_syntax.uid)).collect()
    };
    let list: String = studies.iter().map(|(study, samples)| line(study, samples)).collect();
    fs::write(folder.path().join("list"), list).unwrap();
    let output = Command::new(python())
        .arg("-B")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fetch.py"))
        .arg(format!("--port={}", front.gateway.address.port()))
        .arg(format!("--own={own}"))
        .arg(format!("--list={}", folder.path().join("list").display()))
        .arg(format!("--folder={}", folder.path().display()))
        .output()
        .unwrap();
    let words = said(&output);
    assert!(output.status.success(), "{words}\n{}", front.gateway.log());
    for (study, samples) in studies {
        for kind in ["get", "move"] {
            let end = format!("{kind} {study} 0000 {} 0", samples.len());
            assert!(words.lines().any(|line| line == end), "{end}: {words}\n{}", front.gateway.log());
        }
    }
    ["get", "move"].map(|kind| {
        let kept =
            words.lines().filter_map(|line| line.strip_prefix(&format!("kept {kind} "))?.split_once(' '));
        let one = |(uid, syntax): (&str, &str)| {
            let data_set = fs::read(folder.path().join(kind).join(uid)).unwrap();
            (uid.to_owned(), (syntax.to_owned(), data_set))
        };
        kept.map(one).collect()
    })
}

/// Everything that was stored came, and it is what was stored.
fn is_identical(studies: &Studies, came: &Came, how: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for sample in studies.values().flatten() {
        let Some((syntax, data_set)) = came.get(sample.instance.instance.as_str()) else {
            wrong.push(format!("{sample:?} did not come"));
            continue;
        };
        // `getscu` of DCMTK 3.6.7 takes explicit VR first, whatever it is told, and gets that.
        let is_converted = how.starts_with("getscu")
            && sample.instance.transfer_syntax.encoding == sealgate::dicom::Encoding::ImplicitLittle;
        if has_pixels(sample) && !is_converted {
            if *syntax != sample.instance.transfer_syntax.uid {
                wrong.push(format!("{sample:?} in {syntax}"));
            } else if *data_set != sample.sent() {
                wrong.push(format!("{sample:?}: other bytes"));
            }
        } else {
            // What has nothing to seal the archives may write their own way.
            let own = folder.path().join("data_set");
            fs::write(&own, data_set).unwrap();
            if canonical(&own, folder.path()) != canonical(&sample.path, folder.path()) {
                wrong.push(format!("{sample:?}: other attributes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{how}: {wrong:#?}");
}

/// Whether each viewer is tried with both ways of asking each archive, and not with one: with `SEALGATE_SOAK=1`, for it takes minutes.
fn every_pair() -> bool {
    std::env::var("SEALGATE_SOAK").is_ok_and(|value| value != "0")
}

/// Stores everything, and retrieves it with other people's viewers: DCMTK's while the archive is asked in one way,
/// pynetdicom while it is asked in the other. With two archives, each seen the other way round, every viewer is seen with
/// each archive and with each way, and every archive with each way.
async fn everything_comes_back(mut front: Front, receiver: &StoreScp, own: u16, dcmtk_while: &str) {
    let studies = studies();
    let all: Vec<Sample> = studies.values().flatten().cloned().collect();
    assert!(all.len() > 140, "{}", all.len());
    front.store(&all).await;
    for asked in ["move", "get"] {
        if asked == dcmtk_while || every_pair() {
            is_identical(
                &studies,
                &by_getscu(&front, &studies),
                &format!("getscu, archive asked by {asked}"),
            );
            let moved = by_movescu(&front, &studies, receiver);
            is_identical(&studies, &moved, &format!("movescu, archive asked by {asked}"));
        }
        if asked != dcmtk_while || every_pair() {
            let [got, moved] = by_pynetdicom(&front, &studies, own);
            is_identical(&studies, &got, &format!("pynetdicom's C-GET, archive asked by {asked}"));
            is_identical(&studies, &moved, &format!("pynetdicom's C-MOVE, archive asked by {asked}"));
        }
        if asked == "move" {
            front.stop();
            let path = front.site.path("gateway.toml");
            let config = fs::read_to_string(&path).unwrap();
            assert_eq!(config.matches("retrieve = \"move\"").count(), 1);
            fs::write(path, config.replace("retrieve = \"move\"", "retrieve = \"get\"")).unwrap();
            front.restart();
        }
    }
}

/// A gateway whose viewers receive with `storescp` and, as PLAIN, on a port of its own.
fn front(port: u16, archive: &sealgate::dicom::AeAddress, receiver: &StoreScp, own: u16) -> Front {
    Front::begin(port, &[("pacs", archive, "move")], receiver.port(), |config| {
        let (old, new) = (receiver.port(), own);
        config.replace(&format!("PLAIN-IN@127.0.0.1:{old}"), &format!("PLAIN-IN@127.0.0.1:{new}"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_corpus_comes_back_from_dcmqrscp_to_other_peoples_viewers() {
    let (port, own, receiver) = (free_port(), free_port(), StoreScp::start());
    let archive = Dcmqrscp::start(&[("SEALGATE", port)]);
    let front = front(port, &archive.address(), &receiver, own);
    everything_comes_back(front, &receiver, own, "move").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_corpus_comes_back_from_orthanc_to_other_peoples_viewers() {
    let (port, own, receiver, archive) = (free_port(), free_port(), StoreScp::start(), Orthanc::start());
    archive.knows("SEALGATE", port);
    let front = front(port, &archive.address(), &receiver, own);
    everything_comes_back(front, &receiver, own, "get").await;
}
