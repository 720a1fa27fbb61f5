//! A day at work in small: storing, retrieving, refusals, rubbish and reloads while the archive goes away and comes back;
//! nothing is lost, and neither memory nor open files grow. `SEALGATE_SOAK=1` makes it half an hour.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sealgate::dicom::Status;

use super::differing;
use super::site::{Front, needs_of, slices};
use crate::gateway::Gateway;
use crate::peers::{Orthanc, free_port};

/// Rounds over which everything is warmed up: pools, caches, associations.
const WARM: usize = 3;
/// What memory may grow by between the first and the last third: an allocator keeps what it had at the busiest moment.
const GROWTH_MAX: u64 = 24 << 20;

fn time() -> Duration {
    let long = std::env::var("SEALGATE_SOAK").is_ok_and(|value| value != "0");
    Duration::from_secs(if long { 1800 } else { 30 })
}

/// What the gateway holds while nothing is on its way.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident: u64,
    files: usize,
}

impl Held {
    fn by(gateway: &Gateway) -> Self {
        let process = format!("/proc/{}", gateway.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10;
        Self { resident, files: fs::read_dir(format!("{process}/fd")).unwrap().count() }
    }
}

/// Callers that mean no good, or are lost.
fn rubbish(gateway: &Gateway) {
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\0\x05hello", &[0xFF; 300], b""] {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        let _gone = stream.write_all(words);
    }
}

/// The middle one of some figures.
fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_time_at_work_loses_nothing_and_holds_no_more_than_at_first() {
    let mut archive = Orthanc::start();
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], free_port());
    let (study, samples) = slices(30);
    let needs = needs_of(&samples);
    let end = Instant::now() + time();
    let mut held = Vec::new();
    let mut round = 0_usize;
    while Instant::now() < end || held.len() < WARM + 6 {
        round += 1;
        let is_away = round.is_multiple_of(3);
        if is_away {
            archive.process.kill();
        }
        rubbish(&front.gateway);
        tokio::join!(front.send(&samples), front.send(&samples[..7]));
        if is_away {
            archive.restart();
        }
        front.drain().await;
        let (came, ended) = front.get("VIEWER", &study, &needs).await;
        let wrong = differing(&samples, &came);
        assert!(ended.is_complete() && wrong.is_empty(), "round {round}: {ended:?}: {wrong:?}");
        let (refused, ended) = front.get("NOSY", &study, &needs).await;
        assert!(refused.is_empty() && ended.answer.status == Status(0x0124), "round {round}: {ended:?}");
        if round.is_multiple_of(4) {
            front.gateway.signal("HUP");
        }
        held.push(Held::by(&front.gateway));
    }
    let held = held.split_off(WARM);
    let third = held.len() / 3;
    let of = |part: &[Held]| median(part.iter().map(|held| held.resident).collect());
    let (first, last) = (of(&held[..third]), of(&held[held.len() - third..]));
    println!("{round} rounds, {} MiB, then {} MiB resident; {:?}", first >> 20, last >> 20, held.last());
    assert!(last <= first + GROWTH_MAX, "memory grows: {held:?}");
    let files = |part: &[Held]| part.iter().map(|held| held.files).max().unwrap();
    let (first, last) = (files(&held[..third]), files(&held[held.len() - third..]));
    assert!(last <= first + 12, "open files grow from {first} to {last}: {held:?}");
    assert!(!front.gateway.log().contains("panicked"), "{}", front.gateway.log());
}
