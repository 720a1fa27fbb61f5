//! Viewers that change their mind: a cancel in the middle is answered at once with the right counts, reaches the archive by
//! either way that it is asked, and stops what goes to the receiver; one that goes away is told as what it is.

use std::process::Command;
use std::time::{Duration, Instant};

use super::differing;
use super::movers::mover;
use super::site::{Front, needs_of, slices, tall};
use crate::http::client::metric;
use crate::peers::{Dcmqrscp, Process, Pynetdicom, StoreScp, free_port, python};
use crate::peers_seal::said;
use crate::taker::{Plan, Taker};

/// Runs `tests/peers/canceller.py`: what it said.
fn canceller(front: &Front, study: &str, after: usize, options: &[&str]) -> String {
    let script = format!("{}/tests/peers/canceller.py", env!("CARGO_MANIFEST_DIR"));
    let (port, after) = (front.gateway.address.port().to_string(), after.to_string());
    let mut command = Command::new(python());
    let output = command.args(["-B", &script, &port, study, &after]).args(options).output().unwrap();
    format!("{}\n{}", said(&output), front.gateway.log())
}

/// The last response to a viewer that has cancelled.
#[derive(Debug)]
struct Ended {
    status: String,
    remaining: usize,
    completed: usize,
    failed: usize,
    milliseconds: usize,
    /// Instances in its list.
    named: usize,
}

impl Ended {
    fn read(said: &str) -> Self {
        let line = said.lines().find_map(|line| line.strip_prefix("ended "));
        let words: Vec<&str> = line.unwrap_or_else(|| panic!("no end: {said}")).split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap_or_else(|_| panic!("{said}"));
        Self {
            status: words[0].to_owned(),
            remaining: number(1),
            completed: number(2),
            failed: number(3),
            milliseconds: number(5),
            named: number(6),
        }
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many images have come to a receiver.
fn kept(receiver: &Pynetdicom) -> usize {
    receiver.process.log().lines().filter(|line| line.starts_with("kept")).count()
}

/// A study in a slow archive, whose gateway asks it in this way, and a receiver.
async fn scene(retrieve: &str, options: &[&str]) -> (Process, tempfile::TempDir, Pynetdicom, Front, String) {
    let (port, receiver) = (free_port(), Pynetdicom::start(&["--delay=0.01"]));
    let (archive, folder, address) = mover(port, options);
    let front = Front::start(port, &[("pacs", &address, retrieve)], receiver.address().port);
    let (study, samples) = slices(30);
    front.store(&samples).await;
    (archive, folder, receiver, front, study)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_move_ends_at_once_with_right_counts_and_the_archive_hears_of_it() {
    for retrieve in ["get", "move"] {
        let (archive, _folder, receiver, front, study) = scene(retrieve, &["--pause=0.1"]).await;
        let said = canceller(&front, &study, 3, &["--to=VIEWER-IN"]);
        let ended = Ended::read(&said);
        let log = || format!("{retrieve}: {ended:?}\n{}\n{}", archive.log(), front.gateway.log());
        assert_eq!(ended.status, "FE00", "{}", log());
        assert!(ended.milliseconds < 2000 && (3..30).contains(&ended.completed), "{}", log());
        assert_eq!((ended.completed + ended.remaining, ended.failed), (30, 0), "{}", log());
        // It hears of it before its next instance, and stops: nothing more goes to the receiver.
        wait_for("the archive hears it", || archive.log().contains("cancelled after"));
        assert!(!archive.log().contains("sent 30"), "{}", log());
        assert_eq!(kept(&receiver), ended.completed, "{}", log());
        let line = front.gateway.wait_for_log("retrieval ended");
        assert!(
            line.contains("FE00") && line.contains(&format!("\"completed\":{}", ended.completed)),
            "{line}"
        );
        let log = front.gateway.log();
        for wrong in ["broke off", "not answered in full", "alarm\":true"] {
            assert!(!log.contains(wrong), "{wrong}: {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_does_not_hear_a_cancel_holds_up_nobody_and_reaches_no_receiver() {
    for retrieve in ["get", "move"] {
        let (archive, _folder, receiver, front, study) = scene(retrieve, &["--pause=0.1", "--deaf"]).await;
        let ended = Ended::read(&canceller(&front, &study, 2, &["--to=VIEWER-IN"]));
        assert!(!archive.log().contains("sent 30"), "the archive still sends: {ended:?}");
        assert!(ended.status == "FE00" && ended.milliseconds < 1500, "{ended:?}\n{}", front.gateway.log());
        wait_for("the archive has sent all", || archive.log().contains("sent 30"));
        assert_eq!(kept(&receiver), ended.completed, "{}", front.gateway.log());
        assert_eq!(front.site.in_spool(), 0, "what still came was not taken for new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_stuck_does_not_hold_up_a_cancel() {
    let viewer = Taker::start_with(Plan { stuck_at: Some(3), ..Plan::default() }).await;
    let archive = Dcmqrscp::start(&[]);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], viewer.address.port());
    let (study, samples) = slices(12);
    front.store(&samples).await;
    let said = canceller(&front, &study, 2, &["--to=VIEWER-IN"]);
    let ended = Ended::read(&said);
    assert!(ended.status == "FE00" && ended.milliseconds < 8000, "{said}\n{}", front.gateway.log());
    // The third has failed, unless the cancel was heard before it began.
    let all = ended.completed + ended.failed + ended.remaining;
    assert_eq!((ended.completed, all), (2, 12), "{said}\n{}", front.gateway.log());
    assert!(ended.failed <= 1 && ended.named == ended.failed, "{said}\n{}", front.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn dcmtks_movescu_cancels_and_dcmqrscp_hears_it() {
    let (archive, receiver) =
        (Dcmqrscp::start(&[]), StoreScp::start_with(&["--fork", "+xa", "--sleep-after", "1"]));
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], receiver.port());
    let (study, samples) = tall(24, 2048);
    front.store(&samples).await;
    // More than can wait here: the archive still has some to send.
    let asked = format!("0020,000d={study}");
    let options = ["-d", "-aet", "VIEWER", "-aem", "VIEWER-IN", "--cancel", "1"];
    let begun = Instant::now();
    let said = said(&front.dcmtk("movescu", &options, &["0008,0052=STUDY", &asked])).to_lowercase();
    assert!(said.contains("0xfe00"), "{said}\n{}", front.gateway.log());
    assert!(begun.elapsed() < Duration::from_secs(10), "24 images take it 24 seconds: {said}");
    wait_for("the archive hears it", || archive.process.log().contains("Received C-Cancel RQ"));
    let line = front.gateway.wait_for_log("retrieval ended");
    assert!(receiver.files().len() < 8, "{}\n{line}", receiver.files().len());
    // The next one is served as if nothing had been.
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert!(ended.is_complete() && differing(&samples, &came).is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_aborts_in_the_middle_is_named_and_the_archive_is_not_blamed() {
    for (retrieve, rows) in [("get", 4096), ("move", 64), ("get", 16_384)] {
        let port = free_port();
        let (archive, _folder, address) = mover(port, &["--pause=0.02"]);
        let front = Front::begin(port, &[("pacs", &address, retrieve)], free_port(), |config| {
            format!("[http]\naddress = \"127.0.0.1:0\"\n{config}")
        });
        let (study, samples) = tall(12, rows);
        front.store(&samples).await;
        let said = canceller(&front, &study, 3, &["--abort"]);
        assert!(said.contains("aborted after 3 images"), "{said}\n{}", archive.log());
        let line = front.gateway.wait_for_log("retrieval broken off on the caller's side");
        assert!(line.contains("\"caller\":\"VIEWER\"") && line.contains("C-GET"), "{line}");
        assert!(line.contains("\"completed\":2") || line.contains("\"completed\":3"), "{line}");
        front.gateway.wait_for_log("association ended");
        let log = front.gateway.log();
        for wrong in ["the PACS broke off", "not answered in full", "alarm\":true", "retrieval ended"] {
            assert!(!log.contains(wrong), "{retrieve}: {wrong}: {log}");
        }
        let requests =
            "sealgate_retrieve_requests_total{peer=\"VIEWER\",operation=\"C-GET\",outcome=\"broken-off\"}";
        assert_eq!(metric(&front.gateway, requests), 1, "{retrieve}");
        let failed = "sealgate_open_instances_total{peer=\"VIEWER\",outcome=\"failed\"}";
        assert_eq!(metric(&front.gateway, failed), 0, "{retrieve}");
        let shown = front.site.sealgate(&["audit", "show", "--json"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let told = shown.lines().find(|line| line.contains("broken off on the side of VIEWER"));
        assert!(told.is_some(), "{shown}");
        assert!(!shown.contains("PACS broke off"), "{shown}");
    }
}
