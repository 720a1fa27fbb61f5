//! Sealed images that lost their pixels to the PACS: each is told apart from an attack, and from the others, in the message.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealgate::dicom::{Status, TransferSyntax, Uid};

use super::differing;
use super::faults::file_of;
use super::site::{Front, needs_of, slices};
use crate::peers::{Dcmqrscp, Sample, python};

/// What a PACS does to a file, and what is said of it afterwards; nothing where it opens all the same.
struct Deed {
    name: &'static str,
    /// Programs and their options, one after the other; "pacs.py" does what its option says.
    programs: &'static [(&'static str, &'static [&'static str])],
    says: Option<&'static str>,
}

const DEEDS: &[Deed] = &[
    Deed {
        name: "compressed without losses, and back",
        programs: &[("dcmcjpeg", &["+e1"]), ("dcmdjpeg", &[])],
        says: None,
    },
    Deed {
        name: "the private block left out, the pixels as they were",
        programs: &[("pacs.py", &["remove_private"])],
        says: None,
    },
    Deed {
        name: "compressed with losses, and back",
        programs: &[("gdcmconv", &["--j2k", "--lossy", "-q", "50"]), ("gdcmconv", &["--raw"])],
        says: Some("was compressed with loss"),
    },
    Deed {
        name: "compressed with losses, and back, the private block left out",
        programs: &[
            ("gdcmconv", &["--j2k", "--lossy", "-q", "50"]),
            ("gdcmconv", &["--raw"]),
            ("pacs.py", &["remove_private"]),
        ],
        says: Some("the key store says that it was sealed"),
    },
    Deed {
        name: "cropped",
        programs: &[("pacs.py", &["crop"])],
        says: Some("rescaled, cropped or processed"),
    },
    Deed { name: "blanked", programs: &[("pacs.py", &["zeros"])], says: Some("its pixels are blank") },
    Deed { name: "cut off", programs: &[("pacs.py", &["truncate"])], says: Some("the PACS cut it off") },
    Deed { name: "fewer bits", programs: &[("pacs.py", &["twelve_bits"])], says: Some("all but 12 bits") },
    Deed { name: "turned around", programs: &[("pacs.py", &["swap"])], says: Some("turned around") },
    Deed { name: "inverted", programs: &[("pacs.py", &["inverse"])], says: Some("are inverted") },
    Deed {
        name: "without pixels",
        programs: &[("pacs.py", &["no_pixels"])],
        says: Some("it has no pixels any more"),
    },
    // What nobody does by mistake.
    Deed { name: "an attack", programs: &[("pacs.py", &["burnt_in"])], says: Some("is not authentic") },
];

fn run(program: &mut Command) {
    let output =
        program.output().unwrap_or_else(|error| panic!("{program:?}: {error}: run tests/run install"));
    assert!(output.status.success(), "{program:?}: {output:?}");
}

/// Does it to a stored file.
fn do_to(path: &Path, deed: &Deed) {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    for folder in [&from, &to] {
        fs::create_dir(folder).unwrap();
    }
    let (before, after) = (from.join("a.dcm"), to.join("a.dcm"));
    fs::copy(path, &before).unwrap();
    for (program, options) in deed.programs {
        if *program == "pacs.py" {
            let script = format!("{}/tests/peers/pacs.py", env!("CARGO_MANIFEST_DIR"));
            run(Command::new(python()).args(["-B", &script]).args(*options).args([&from, &to]));
        } else {
            run(Command::new(program).args(*options).args([&before, &after]));
        }
        fs::rename(&after, &before).unwrap();
    }
    fs::copy(&before, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pacs_does_to_pixels_is_told_apart_from_an_attack() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = slices(u32::try_from(DEEDS.len() + 1).unwrap());
    front.store(&samples).await;
    for (sample, deed) in samples.iter().zip(DEEDS) {
        do_to(&file_of(&archive, sample), deed);
    }
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    let log = front.gateway.log();
    assert_eq!(ended.answer.status, Status::INCOMPLETE, "{ended:?}\n{log}");
    let mut wrong = Vec::new();
    for (sample, deed) in samples.iter().zip(DEEDS) {
        let came = came.get(sample.instance.instance.as_str());
        wrong.extend(judge(sample, deed, came, &ended.failed, &log));
    }
    assert!(wrong.is_empty(), "{}\n{log}", wrong.join("\n"));
    assert!(differing(&samples[DEEDS.len()..], &came).is_empty(), "what nothing was done to comes");
}

/// What is wrong with what became of one of them.
fn judge(
    sample: &Sample,
    deed: &Deed,
    came: Option<&(TransferSyntax, Vec<u8>)>,
    failed: &[Uid],
    log: &str,
) -> Option<String> {
    let instance = sample.instance.instance.as_str();
    let Some(says) = deed.says else {
        // The PACS has written the header anew; the pixels are what counts.
        let pixels = &sample.data_set[sample.data_set.len() - 10_000..];
        let is_it = came.is_some_and(|(_, data)| data.ends_with(pixels));
        return (!is_it).then(|| format!("{}: it does not open", deed.name));
    };
    let is_listed = failed.iter().any(|one| one.as_str() == instance);
    let told = log.lines().find(|line| line.contains("instance not released") && line.contains(instance));
    match told {
        _ if came.is_some() || !is_listed => Some(format!("{}: came or is not listed", deed.name)),
        Some(line) if line.contains(says) && line.contains("\"alarm\":true") => None,
        told => Some(format!("{}: {told:?} does not say {says}", deed.name)),
    }
}
