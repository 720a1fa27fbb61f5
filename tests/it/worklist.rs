//! Modality worklists through the gateway, from DCMTK's server and from several at once.

use std::fs;
use std::process::{Command, Output};

use dicom_dictionary_std::uids;
use sealgate::dicom::{Encoding, Status};
use sealgate::scu::{Failure, find, for_service};

use crate::mpps::{Department, ris_at};
use crate::peers::archive::uid;
use crate::peers::{Process, RisPeer, free_port};

const SERVES: &str = "serves = [\"worklist\"]";

fn worklist() -> sealgate::dicom::Uid {
    uid(uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND)
}

/// A step and its place in a query, in Implicit VR Little Endian.
fn query() -> Vec<u8> {
    b"\x10\0\x20\0\0\0\0\0\x40\0\0\x01\x10\0\0\0\xFE\xFF\0\xE0\x08\0\0\0\x40\0\x09\0\0\0\0\0".to_vec()
}

/// The ends of what came: each item's step, the last status.
async fn ask(front: &Department) -> (Vec<String>, Status) {
    let mut caller = front.call("CT", "SEALGATE", &for_service(&worklist())).await;
    let context =
        caller.contexts().iter().find(|one| one.transfer_syntax.encoding == Encoding::ImplicitLittle);
    let context = context.expect("Implicit VR").clone();
    let mut finding = find(&mut caller, &context, &query()).await.expect("asked");
    let mut steps = Vec::new();
    let status = loop {
        match finding.next().await {
            Ok(Some(found)) => {
                let text = String::from_utf8_lossy(&found.identifier).into_owned();
                assert!(
                    found.identifier.windows(6).any(|w| w == b"M\xFCller"),
                    "bytes are not touched: {text}"
                );
                let at = text.find("STEP").or(text.find("MORE")).expect("a step");
                steps.push(text[at..at + 5].to_owned());
            }
            Ok(None) => break finding.ended().map_or(Status::SUCCESS, |answer| answer.status),
            Err(Failure::Status(answer)) => break answer.status,
            Err(failure) => panic!("{failure}"),
        }
    };
    caller.release().await;
    (steps, status)
}

#[tokio::test]
async fn several_worklists_are_one_and_what_both_have_is_told_once() {
    let (one, other) = (RisPeer::start(&[]), RisPeer::start(&["--items=3"]));
    let third = RisPeer::start(&["--prefix=MORE", "--items=1"]);
    let tables = [one.port, other.port, third.port].map(|port| ris_at(port, SERVES)).concat();
    let front = Department::start(&tables);
    let (mut steps, status) = ask(&front).await;
    steps.sort();
    assert_eq!(
        (steps, status),
        (["MORE0", "STEP0", "STEP1", "STEP2"].map(String::from).to_vec(), Status::SUCCESS)
    );
}

#[tokio::test]
async fn a_worklist_that_does_not_answer_is_said_and_the_others_are_told() {
    let one = RisPeer::start(&[]);
    let front = Department::start(&[one.port, free_port()].map(|port| ris_at(port, SERVES)).concat());
    let (steps, status) = ask(&front).await;
    assert_eq!((steps.len(), status), (2, Status::INCOMPLETE));
    let none = Department::start(&ris_at(free_port(), SERVES));
    assert_eq!(ask(&none).await, (vec![], Status::UNABLE_TO_PROCESS));
    // Nothing is configured for worklists: never the archive instead.
    let nobody = Department::start(&ris_at(one.port, "serves = [\"mpps\"]"));
    assert_eq!(ask(&nobody).await, (vec![], Status::UNABLE_TO_PROCESS));
}

#[tokio::test]
async fn a_worklist_that_ends_of_itself_has_not_told_all_that_it_has() {
    // Cancelled by nobody, and a warning.
    for end in [0xFE00_u16, 0xB000] {
        let cut = RisPeer::start(&[&format!("--end={end}")]);
        let alone = Department::start(&ris_at(cut.port, SERVES));
        assert_eq!(ask(&alone).await, (vec!["STEP0".to_owned(), "STEP1".to_owned()], Status(end)));
        let whole = RisPeer::start(&["--prefix=MORE"]);
        let both = Department::start(&[cut.port, whole.port].map(|port| ris_at(port, SERVES)).concat());
        let (steps, status) = ask(&both).await;
        assert_eq!((steps.len(), status), (4, Status::INCOMPLETE));
    }
}

#[tokio::test]
async fn a_cancel_reaches_the_worklist() {
    let slow = RisPeer::start(&["--items=200", "--slow=0.1"]);
    let front = Department::start(&ris_at(slow.port, SERVES));
    let mut caller = front.call("CT", "SEALGATE", &for_service(&worklist())).await;
    let context = caller.context_of(&worklist()).expect("accepted");
    let asked = if context.transfer_syntax.encoding == Encoding::ImplicitLittle {
        query()
    } else {
        b"\x10\0\x20\0LO\0\0".to_vec()
    };
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("an item").is_some());
    finding.cancel().await.expect("sent");
    while finding.next().await.is_ok_and(|found| found.is_some()) {}
    drop(finding);
    caller.release().await;
    for _ in 0..100 {
        if slow.process.log().contains("cancelled after") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{}", slow.process.log());
}

/// DCMTK's worklist server with two items.
struct Wlmscpfs {
    _folder: tempfile::TempDir,
    _process: Process,
    port: u16,
}

fn item(number: u32) -> String {
    format!(
        "(0008,0005) CS [ISO_IR 100]\n(0008,0050) SH [ACC{number}]\n(0010,0010) PN [Doe^Jane]\n(0010,0020) LO [P{number}]\n\
         (0010,0030) DA [19700101]\n(0010,0040) CS [F]\n(0020,000d) UI [1.2.826.0.1.{number}]\n(0032,1060) LO [CT head]\n\
         (0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS [CT]\n(0040,0001) AE [CT]\n(0040,0002) DA [20260101]\n\
         (0040,0003) TM [0800]\n(0040,0007) LO [CT head]\n(0040,0009) SH [SPS{number}]\n(fffe,e00d) -\n(fffe,e0dd) -\n\
         (0040,1001) SH [RP{number}]\n"
    )
}

impl Wlmscpfs {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let items = folder.path().join("RIS");
        fs::create_dir(&items).expect("made");
        fs::write(items.join("lockfile"), "").expect("written");
        for number in [1, 2] {
            let dump = folder.path().join("dump");
            fs::write(&dump, item(number)).expect("written");
            let made = Command::new("dump2dcm").args([&dump, &items.join(format!("{number}.wl"))]).output();
            let made = made.expect("dump2dcm runs: run tests/run install");
            assert!(made.status.success(), "{made:?}");
        }
        let mut command = Command::new("wlmscpfs");
        command.args(["-v", "-dfp"]).arg(folder.path()).arg(port.to_string());
        let process = Process::start(&mut command, folder.path().join("log"), port);
        Self { _folder: folder, _process: process, port }
    }
}

fn findscu(called: &str, port: u16) -> Output {
    let mut command = Command::new("findscu");
    command.args(["-v", "-W", "-aet", "CT", "-aec", called, "127.0.0.1", &port.to_string()]);
    for key in ["0010,0010", "0010,0020", "0020,000d", "0040,0100[0].0008,0060=CT", "0040,0100[0].0040,0009"]
    {
        command.args(["-k", key]);
    }
    command.output().expect("findscu runs: run tests/run install")
}

/// The lines that are elements, without addresses and titles.
fn elements(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    text.lines()
        .filter(|line| line.starts_with("I: ") && line.contains("(00"))
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn dcmtk_finds_through_the_gateway_what_it_finds_at_its_own_server() {
    let server = Wlmscpfs::start();
    let front = Department::start(&ris_at(server.port, SERVES));
    let direct = findscu("RIS", server.port);
    let through = findscu("SEALGATE", front.gateway.address.port());
    assert!(direct.status.success() && through.status.success(), "{direct:?}\n{through:?}");
    let (mut direct, mut through) = (elements(&direct), elements(&through));
    assert!(direct.iter().any(|line| line.contains("[SPS2]")), "{direct:?}");
    direct.sort();
    through.sort();
    assert_eq!(direct, through);
}

#[tokio::test]
async fn a_gateway_without_a_route_and_without_keys_has_a_worklist() {
    let peer = RisPeer::start(&[]);
    let front = Department::without_images(&ris_at(peer.port, SERVES));
    let (steps, status) = ask(&front).await;
    assert_eq!((steps.len(), status), (2, Status::SUCCESS));
}
