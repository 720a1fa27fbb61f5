//! What a modality is answered: every status that the conformance statement lists for C-STORE, with senders of other makers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealgate::association::{self, Ending, Proposal, element, request};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax};

use super::hospital::Hospital;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};
use crate::http::client::metric;
use crate::keys::uid;
use crate::peers::{Sample, python, samples};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";

/// One that takes everything, and one that never answers; routes by the title that is called.
fn config(pacs: &Pacs, silent: &Pacs) -> String {
    let route = |title: &str, destination: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{title}\"\ncalled = [\"{title}\"]\ndestinations = [\"{destination}\"]\n{more}\n"
        )
    };
    [
        "[http]\naddress = \"127.0.0.1:0\"\n[app]\ndrain_seconds_max = 1\n[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nacknowledge_seconds_max = 1\n".to_owned(),
        "[[peers]]\nname = \"viewer\"\ntitle = \"VIEWER\"\naddresses = [\"127.0.0.1\"]\nmay = [\"get\"]\n"
            .to_owned(),
        format!("[[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n", pacs.peer()),
        format!("[[destinations]]\nname = \"silent\"\naddress = \"{}\"\n", silent.peer()),
        route("STRICT", "pacs", "without_pixels = \"refuse\""),
        route("MRONLY", "pacs", "modality = [\"MR\"]"),
        // The hospital has no generator.
        route("KEYSTREAM", "pacs", "suite = \"deepkeygen-xor\""),
        route("WAITS", "silent", "acknowledge = \"forwarded\""),
        route("PASSES", "pacs", "acknowledge = \"forwarded\""),
        route("SEALGATE", "pacs", ""),
    ]
    .concat()
}

fn sample(is_it: impl Fn(&Sample) -> bool) -> Sample {
    samples().into_iter().find(is_it).expect("a sample")
}

/// A small real image.
fn image() -> Sample {
    let plain = |one: &Sample| one.instance.transfer_syntax.keyword == "ExplicitVRLittleEndian";
    sample(|one| one.instance.class.as_str() == CT && plain(one) && one.data_set.len() < 600_000)
}

/// What pynetdicom hears when it stores a file so.
fn hears(hospital: &Hospital, options: &[&str], file: &Path) -> String {
    hears_of_all(hospital, options, &[file])
}

/// The same of several, over one association.
fn hears_of_all(hospital: &Hospital, options: &[&str], files: &[&Path]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/storer.py");
    let port = hospital.address.port();
    let output = Command::new(python())
        .args(["-B", script, &format!("--port={port}")])
        .args(options)
        .args(files)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{options:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The codes of the table of statuses for storage in the conformance statement.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFORMANCE.md")).unwrap();
    let section = text.split("### Storage\n").nth(1).expect("there is one").split("\n### ").next().unwrap();
    let codes = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    codes.filter(|code| code.len() == 5 && code.ends_with('H')).map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_sender_hears_every_status_that_is_documented() {
    let (pacs, silent) = (Pacs::start().await, Pacs::start().await);
    silent.behave(Behaviour::Silent);
    let hospital = Hospital::new(&config(&pacs, &silent));
    let gateway = hospital.start("");
    let (image, plan) = (image(), sample(|one| one.path.ends_with("rtplan.dcm")));
    let uid_of = |one: &Sample| one.instance.instance.as_str().to_owned();
    let (good, other) = (uid_of(&image), "1.2.3.4.5");
    let same_length = format!("{good}={}9", &good[..good.len() - 1]);
    let cases: &[(&str, &[&str], &Path)] = &[
        ("0000H", &[], &image.path),
        // No route, no generator, a PACS that is silent.
        ("A700H", &["--called=MRONLY"], &image.path),
        ("A700H", &["--called=KEYSTREAM"], &image.path),
        ("A700H", &["--called=WAITS"], &image.path),
        // The command says one thing, the data set another.
        ("A900H offending 00080018", &["--edit", &format!("AffectedSOPInstanceUID={other}")], &image.path),
        ("A900H offending 00080018", &["--replace", &same_length], &image.path),
        ("A900H offending 00080016", &["--replace", &format!("{CT}={MR}")], &image.path),
        ("C000H", &["--cut=100"], &image.path),
        ("C000H", &["--no-data-set"], &image.path),
        ("C000H", &["--called=STRICT"], &plan.path),
        ("0117H", &["--edit=AffectedSOPInstanceUID=1.2/../3"], &image.path),
        ("0117H", &["--edit=AffectedSOPInstanceUID"], &image.path),
        ("0122H", &["--edit", &format!("AffectedSOPClassUID={MR}")], &image.path),
        (
            "0124H",
            &["--edit=MoveOriginatorApplicationEntityTitle=SEALGATE", "--edit=MoveOriginatorMessageID=9"],
            &image.path,
        ),
    ];
    let mut heard = BTreeSet::new();
    for (expected, options, file) in cases {
        let said = hears(&hospital, options, file);
        let (code, tag) = expected.split_once(" offending ").unwrap_or((*expected, ""));
        let is_so = said.starts_with(&format!("status {} ", &code[..4])) && said.contains(tag);
        assert!(is_so, "{options:?}: {said}, not {expected}\n{}", gateway.log());
        heard.insert(code.to_owned());
    }
    assert_eq!(heard, documented(), "what is documented is tried, and nothing else is answered");
    assert_eq!(
        hears(&hospital, &["--title=VIEWER"], &image.path),
        "no context",
        "who may not store is told at once"
    );
    refusals_are_counted(&hospital, &gateway);
    // Of what was refused nothing is kept; what waits for the silent PACS is still there.
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    assert_eq!(pacs.instances(), [good.as_str()]);
    let waiting = hospital.spool().entries;
    assert!(waiting.iter().all(|entry| entry.deliveries[0].destination == "silent"), "{waiting:?}");
    refusals_outlive_the_process(&hospital, gateway, &[&good, other]);
}

/// Each but the one that is of no retrieval under way, by what was wrong with it.
fn refusals_are_counted(hospital: &Hospital, gateway: &Gateway) {
    let words = [
        ("command", 4),
        ("damaged", 4),
        ("no-route", 1),
        ("not-in-time", 1),
        ("not-sealed", 1),
        ("pixels", 1),
    ];
    for (word, times) in words {
        let name =
            format!("sealgate_store_instances_total{{peer=\"modality\",route=\"\",outcome=\"{word}\"}}");
        assert_eq!(metric(gateway, &name), times, "{word}");
    }
    let status = hospital.sealgate(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["totals"]["store_refused"], 12, "{status}");
}

/// What was refused stands in the trail, with its reason, whatever becomes of the counters.
fn refusals_outlive_the_process(hospital: &Hospital, mut gateway: Gateway, refused: &[&str]) {
    gateway.signal("TERM");
    gateway.wait();
    drop(gateway);
    let _gateway = hospital.start("");
    let shown = hospital.sealgate(&["audit", "show", "--json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let events = shown.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let failed: Vec<_> = events.filter(|one| one["event"] == "received" && one["ok"] == false).collect();
    for uid in refused {
        let of_it = |one: &&serde_json::Value| one["instances"].as_array().unwrap().contains(&(*uid).into());
        let found = failed.iter().find(of_it).unwrap_or_else(|| panic!("{uid}: {shown}"));
        assert!(!found["text"].as_str().unwrap().is_empty(), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_nobody_knows_or_that_say_too_little_are_answered() {
    let (pacs, silent) = (Pacs::start().await, Pacs::start().await);
    let hospital = Hospital::new(&config(&pacs, &silent));
    let _gateway = hospital.start("");
    let target = AeAddress::parse(&format!("SEALGATE@{}", hospital.address)).unwrap();
    let proposal = Proposal {
        abstract_syntax: uid(CT),
        transfer_syntaxes: vec![TransferSyntax::by_uid("1.2.840.10008.1.2").unwrap()],
        roles: None,
        extended: Vec::new(),
    };
    let limits = std::sync::Arc::new(association::Config::default());
    let title = AeTitle::parse("MODALITY").unwrap();
    let mut association =
        request(&target, &title, &[proposal], &limits, Ending::never()).await.expect("associated");
    let context = association.contexts()[0].id;
    let good = association::Command::store(7, &uid(CT), &uid("1.2.3"));
    let without_data = |mut command: association::Command| {
        command.set_u16(element::DATA_SET_TYPE, 0x0101);
        command
    };
    let mut unknown = without_data(good.clone());
    unknown.set_u16(element::COMMAND_FIELD, 0x0711);
    let mut of_another_service = without_data(good.clone());
    of_another_service.set_u16(element::COMMAND_FIELD, association::field::C_FIND);
    let mut nameless = without_data(good.clone());
    nameless.remove(element::AFFECTED_SOP_CLASS);
    for (command, expected) in [(unknown, 0x0211), (of_another_service, 0x0122), (nameless, 0x0212)] {
        association.send(context, &command).await.unwrap();
        let answer = association.receive().await.unwrap().expect("an answer");
        assert_eq!(answer.command.status(), Some(Status(expected)), "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_told_to_storescu_and_what_a_pacs_says_to_both() {
    let (mut pacs, silent) = (Pacs::start().await, Pacs::start().await);
    let mut hospital = Hospital::new(&config(&pacs, &silent));
    let files: Vec<PathBuf> = samples()
        .into_iter()
        .filter(|one| {
            one.instance.class.as_str() == CT && one.instance.transfer_syntax.uid == "1.2.840.10008.1.2.1"
        })
        .take(3)
        .map(|one| one.path)
        .collect();
    let port = hospital.address.port().to_string();
    let storescu = |called: &str, file: &Path| {
        let output = Command::new("storescu")
            .args(["-v", "-aet", "MODALITY", "-aec", called, "127.0.0.1", &port])
            .arg(file)
            .output()
            .unwrap();
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
    };
    let gateway = hospital.start("");
    for (code, said) in
        [(0xA900, "DataSetDoesNotMatchSOPClass"), (0xC123, "CannotUnderstand"), (0xB007, "Warning")]
    {
        pacs.behave(Behaviour::Answer(code));
        let heard = hears(&hospital, &["--called=PASSES"], &files[0]);
        assert!(heard.starts_with(&format!("status {code:04X} ")), "{heard}\n{}", gateway.log());
        let heard = storescu("PASSES", &files[1]);
        assert!(heard.contains(said), "{code:04X}: {heard}");
    }
    drop(gateway);
    pacs.leave();
    fs::remove_dir_all(hospital.path("spool")).unwrap();
    hospital.configure("[spool]\n", "[spool]\nentries_max = 2\n");
    let gateway = hospital.start("");
    let said = hears_of_all(&hospital, &[], &[&files[0], &files[1], &files[2]]);
    let said: Vec<&str> = said.lines().map(|line| line.split(" offending").next().unwrap()).collect();
    assert_eq!(said, ["status 0000", "status 0000", "status A700"], "{}", gateway.log());
    // Before anything is sent, over a new association.
    assert_eq!(hears(&hospital, &[], &files[2]), "rejected");
    let heard = storescu("SEALGATE", &files[2]);
    assert!(heard.contains("Rejected Transient") && heard.contains("Local Limit Exceeded"), "{heard}");
    assert_eq!(hospital.spool().entries.len(), 2);
}
