//! Accesses that end by the clock: a time window that closes in the middle of a retrieval, and emergency accesses so short
//! that nobody looks while they are open, or that end while the service is away.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealgate::dicom::Status;

use super::differing;
use super::rights::get_until;
use super::site::{Front, needs_of, one_study, tall};
use crate::gateway::SOON;
use crate::peers::{Dcmqrscp, free_port};

const HOUR_MILLIS: u64 = 3_600_000;

/// A window that is open now and for an hour at least, where the clock shows UTC.
fn window() -> String {
    let hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600 % 24;
    format!("{hour:02}:00-{:02}:00", (hour + 2) % 24)
}

/// A gateway whose clock can be set, where CLOCKED may open in these hours.
fn clocked(archive: &Dcmqrscp, clock: &str, hours: &str) -> Front {
    let address = archive.address();
    let environment = [("SEALGATE_CLOCK", clock), ("TZ", "UTC")];
    Front::begin_in(&environment, free_port(), &[("pacs", &address, "get")], free_port(), |mut config| {
        let _ = write!(
            config,
            "[[peers]]\nname = \"CLOCKED\"\ntitle = \"CLOCKED\"\naddresses = [\"127.0.0.1\"]\n\
             may = [\"find\", \"get\", \"open\"]\nopens = [{{ hours = [{hours:?}] }}]\n"
        );
        config
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_window_that_closes_in_the_middle_opens_no_further_image() {
    let (archive, folder) = (Dcmqrscp::start(&[]), tempfile::tempdir().unwrap());
    let clock = folder.path().join("clock");
    let front = clocked(&archive, clock.to_str().unwrap(), &window());
    let (study, samples) = tall(12, 8192);
    front.store(&samples).await;
    let failed = get_until(&front, "CLOCKED", (&study, &samples), || {
        fs::write(&clock, (3 * HOUR_MILLIS).to_string()).unwrap();
        // It is looked at every ten milliseconds.
        std::thread::sleep(Duration::from_millis(200));
    });
    assert!(failed.await >= 6);
    let line = front.gateway.wait_for_log("instance not released");
    assert!(line.contains("none of the conditions") && line.contains("CLOCKED"), "{line}");
    let (came, ended) = front.get("CLOCKED", &study, &needs_of(&samples)).await;
    assert!(came.is_empty() && ended.answer.status == Status::NOT_AUTHORIZED, "{ended:?}");
    // The next day they are given again.
    fs::write(&clock, (24 * HOUR_MILLIS).to_string()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let (came, ended) = front.get("CLOCKED", &study, &needs_of(&samples)).await;
    assert!(ended.is_complete() && differing(&samples, &came).is_empty(), "{ended:?}");
}

fn grant(front: &Front, arguments: &[&str]) -> String {
    let output = front.site.sealgate(&[&["grant"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How often it was told in the log that an access is open, and that it is over.
fn told(front: &Front) -> (usize, usize) {
    let log = front.gateway.log();
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    (count("\"emergency access opened\""), count("\"emergency access over\""))
}

/// The same in the audit trail, since its beginning.
fn recorded(front: &Front) -> (usize, usize) {
    let shown = front.site.sealgate(&["audit", "show", "--json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    (shown.matches("emergency-began").count(), shown.matches("emergency-ended").count())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_access_that_nobody_saw_open_is_announced_all_the_same() {
    let archive = Dcmqrscp::start(&[]);
    let mut front = Front::over(&[("pacs", &archive.address(), "get")]);
    // Shorter than the time between two looks.
    grant(&front, &["NOSY", "--for", "60s", "--reason", "trauma"]);
    grant(&front, &["end", "NOSY"]);
    front.gateway.wait_for_log("emergency access over");
    let line = front.gateway.wait_for_log("emergency access opened");
    assert!(line.contains("NOSY") && line.contains("trauma"), "{line}");
    assert_eq!(told(&front), (1, 1));
    // While the service is away.
    front.stop();
    grant(&front, &["ER", "--for", "60s", "--reason", "stroke"]);
    grant(&front, &["end", "ER"]);
    front.restart();
    front.gateway.wait_for_log("emergency access over");
    assert!(front.gateway.wait_for_log("emergency access opened").contains("stroke"));
    assert_eq!(told(&front), (1, 1), "the first one is not told again\n{}", front.gateway.log());
    front.stop();
    assert_eq!(recorded(&front), (2, 2));
    front.restart();
    grant(&front, &["WARD", "--for", "60s", "--reason", "fire"]);
    assert!(front.gateway.wait_for_log("emergency access opened").contains("fire"));
    assert_eq!(told(&front), (1, 0), "{}", front.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_emergency_access_is_recorded_by_itself_though_the_service_was_killed_meanwhile() {
    let (archive, folder) = (Dcmqrscp::start(&[]), tempfile::tempdir().unwrap());
    let clock = folder.path().join("clock");
    let front = &mut clocked(&archive, clock.to_str().unwrap(), "00:00-24:00");
    let (study, samples) = one_study();
    front.store(&samples[..1]).await;
    let needs = needs_of(&samples);
    grant(front, &["NOSY", "--for", "1m", "--reason", "trauma"]);
    assert!(grant(front, &["list"]).contains("NOSY, open until"));
    front.gateway.wait_for_log("emergency access opened");
    assert_eq!(front.get("NOSY", &study, &needs).await.0.len(), 1);
    let kept = front.site.path("spool/emergencies.json");
    let end = Instant::now() + SOON;
    while !fs::read_to_string(&kept).is_ok_and(|text| text.contains("trauma")) {
        assert!(Instant::now() < end, "that it was told of is written down");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    front.gateway.signal("KILL");
    front.gateway.wait();
    // A minute later.
    fs::write(&clock, "60000").unwrap();
    front.restart_in(&[("SEALGATE_CLOCK", clock.to_str().unwrap()), ("TZ", "UTC")]);
    let line = front.gateway.wait_for_log("emergency access over");
    assert!(line.contains("NOSY") && line.contains("\"ended_early\":false"), "{line}");
    assert_eq!(told(front), (0, 1), "that it was opened was told before");
    let (came, ended) = front.get("NOSY", &study, &needs).await;
    assert!(came.is_empty() && ended.answer.status == Status::NOT_AUTHORIZED, "{ended:?}");
    front.stop();
    assert_eq!(recorded(front), (1, 1));
}
