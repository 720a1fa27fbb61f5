//! Queries that are cancelled in the middle, and viewers that do not read: the archive hears of it, and nothing piles up.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use sealgate::dicom::Status;
use sealgate::scu::{Caller, find, for_service};

use super::{ask, gateway};
use crate::gateway::SOON;
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Process, Pynetdicom};
use crate::peers_query::counting;
use crate::retrieve::faults::resident;
use crate::retrieve::site::Front;

const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const STUDIES: [&str; 2] = ["--level=STUDY", "--key=0020000D="];
const MANY: &str = "--matches=10000";

/// Waits until the archive has said this; the number that follows.
fn heard(archive: &Process, text: &str) -> u64 {
    let end = Instant::now() + SOON;
    loop {
        let log = archive.log();
        if let Some(line) = log.lines().find_map(|line| line.strip_prefix(text)) {
            return line.trim().parse().expect("a number");
        }
        assert!(Instant::now() < end, "{text:?} in\n{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_other_peoples_viewers_reaches_the_archive_in_the_middle_of_ten_thousand_matches() {
    let archive = Pynetdicom::start(&[MANY, "--pad=2000"]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let asked = ask(&gateway(&front), &[&STUDIES[..], &["--cancel=5"]].concat()).remove(0);
    assert_eq!(asked.status, Some(0xFE00), "{}", front.gateway.log());
    assert!((5..9000).contains(&asked.found.len()), "{}", asked.found.len());
    assert!((5..9000).contains(&heard(&archive.process, "cancelled after")), "{}", archive.process.log());

    let archive = Pynetdicom::start(&[MANY, "--pad=2000"]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let output =
        front.dcmtk("findscu", &["-aet", "VIEWER", "--cancel", "5"], &["0008,0052=STUDY", "0020,000d"]);
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(said.contains("Cancel: MatchingTerminatedDueToCancelRequest"), "{said}");
    assert!((5..9000).contains(&heard(&archive.process, "cancelled after")), "{}", archive.process.log());
}

/// Asks for all studies, reads one match and cancels: how the query ended. The association goes on.
async fn ask_and_cancel(caller: &mut Caller, before: impl FnOnce()) -> Option<Status> {
    let context = caller.context_of(&uid(FIND)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("a match").is_some());
    before();
    finding.cancel().await.expect("sent");
    while finding.next().await.expect("a match or the end").is_some() {}
    finding.ended().map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_cancels_does_not_wait_for_an_archive_that_goes_on_or_is_silent() {
    // Matches for half an hour.
    let deaf = Pynetdicom::start(&["--matches=1000000", "--pause=0.002", "--deaf"]);
    let front = Front::over(&[("deaf", &deaf.address(), "get")]);
    let mut caller = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let since = Instant::now();
    // The next is answered while the archive still goes on with the ones before.
    for _ in 0..5 {
        assert_eq!(ask_and_cancel(&mut caller, || ()).await, Some(Status::CANCEL));
    }
    caller.release().await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    front.gateway.wait_for_logs("a cancelled query was broken off", 5);

    let silent = Pynetdicom::start(&["--matches=1000000", "--pause=0.002"]);
    let front = Front::over(&[("silent", &silent.address(), "get")]);
    let mut caller = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let ended = ask_and_cancel(&mut caller, || silent.process.signal("STOP")).await;
    silent.process.signal("CONT");
    assert_eq!(ended, Some(Status::CANCEL), "{}", front.gateway.log());
    caller.release().await;
}

/// Waits until so many bytes have come from the archive.
async fn until_passed(passed: &AtomicU64, bytes: u64) {
    let end = Instant::now() + SOON;
    while passed.load(Ordering::Relaxed) < bytes {
        assert!(Instant::now() < end, "{bytes} bytes come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_stops_in_the_middle_of_a_query_holds_up_the_archive_and_no_memory_until_it_is_cut_off()
{
    // 600 MB in all.
    let archive = Pynetdicom::start(&[MANY, "--pad=60000"]);
    let (address, passed) = counting(archive.address()).await;
    let front =
        Front::with(&[("pacs", &address, "get")], "[scu]\n", "[association]\nsend_seconds = 3\n[scu]\n");
    let before = resident(front.gateway.id());
    let mut viewer = Command::new("findscu")
        .args(["-S", "-aet", "VIEWER", "-aec", "SEALGATE", "127.0.0.1"])
        .arg(front.gateway.address.port().to_string())
        .args(["-k", "0008,0052=STUDY", "-k", "0020,000d", "-k", "0010,4000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("findscu runs: run tests/run install");
    until_passed(&passed, 1_000_000).await;
    let stopped = Command::new("kill").args(["-STOP", &viewer.id().to_string()]).status().expect("kill runs");
    assert!(stopped.success());
    let line = front.gateway.wait_for_log("association ended");
    let held = resident(front.gateway.id()).saturating_sub(before);
    let taken = passed.load(Ordering::Relaxed);
    viewer.kill().expect("it is ours");
    viewer.wait().expect("it is ours");
    assert!(line.contains("to take what was sent to it"), "{line}");
    assert!(held < 24 << 20, "{held} bytes are held for it");
    // What the sockets on the way hold, and what findscu had read.
    assert!(taken < 100_000_000, "{taken} bytes were taken from the archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_pauses_gets_every_match_and_no_memory_piles_up_meanwhile() {
    let archive = Pynetdicom::start(&["--matches=1500", "--pad=60000"]);
    let (address, passed) = counting(archive.address()).await;
    let front = Front::over(&[("pacs", &address, "get")]);
    let before = resident(front.gateway.id());
    let mut caller = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let context = caller.context_of(&uid(FIND)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("a match").is_some());
    // Until nothing comes any more: the archive waits, or all of it has come.
    let mut taken = 0;
    while passed.load(Ordering::Relaxed) > taken {
        taken = passed.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let held = resident(front.gateway.id()).saturating_sub(before);
    assert!(taken < 60_000_000 && held < 24 << 20, "{held} bytes are held of {taken}, and nobody reads");
    let mut count = 1;
    while finding.next().await.expect("a match").is_some() {
        count += 1;
    }
    assert_eq!((count, finding.ended().map(|answer| answer.status)), (1500, Some(Status::SUCCESS)));
    caller.release().await;
}
