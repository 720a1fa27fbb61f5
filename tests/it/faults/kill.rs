//! The gateway killed again and again while senders store and retry: what was acknowledged is at the PACS or in the spool,
//! and opens to what was sent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealgate::dicom::Status;

use super::disk::{is_up, spooled, to_deliver};
use super::hospital::{Hospital, call, opened, send};
use super::image::{Image, shows_pixels};
use super::pacs::{Behaviour, Pacs};
use crate::spool::sim::Chance;

const SENDERS: u32 = 3;
/// The steps of the path, each of which is where some lives end (`flow::steps`).
const STEPS: [&str; 7] = [
    "before-key",
    "key-durable",
    "before-name",
    "before-success",
    "before-forward",
    "before-verdict",
    "verdict-durable",
];
/// As `scu.associations_per_destination_max` and `SETTLING_MAX` of `flow::forward` have it.
const ASSOCIATIONS_MAX: usize = 4;
const SETTLING_MAX: usize = 64;
/// What a life may last that ends at a step.
const STEP_LIFE: Duration = Duration::from_secs(3);

/// Digests of what was acknowledged, by SOP Instance UID, as the senders noted them.
type Acknowledged = Arc<Mutex<BTreeMap<String, blake3::Hash>>>;

/// How often it is killed: 200 times, or as often as `SEALGATE_SOAK` says; 10,000 times where that is 1.
fn kills() -> usize {
    match std::env::var("SEALGATE_SOAK").ok().and_then(|text| text.parse().ok()) {
        Some(0) | None => 200,
        Some(1) => 10_000,
        Some(number) => number,
    }
}

/// Stores one image after the other, each until it is acknowledged.
async fn send_for_ever(gateway: SocketAddr, study: u32, acknowledged: Acknowledged, ended: Arc<AtomicBool>) {
    let mut chance = Chance(u64::from(study));
    let mut number = 0;
    let mut caller = None;
    while !ended.load(Ordering::Relaxed) {
        number += 1;
        let rows = if chance.next().is_multiple_of(10) { 2000 } else { 1 + chance.next() % 60 };
        let image = Image::new(study, number, u16::try_from(rows).unwrap());
        while !ended.load(Ordering::Relaxed) {
            if caller.is_none() {
                caller = call(gateway).await.ok();
            }
            let Some(there) = caller.as_mut() else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            match send(there, &image).await {
                Ok(Status::SUCCESS) => {
                    let digest = blake3::hash(&image.data_set);
                    acknowledged.lock().unwrap().insert(image.uid().to_owned(), digest);
                    break;
                }
                // As a modality does: the same instance again.
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => caller = None,
            }
        }
    }
}

/// A gateway that nobody waits for.
pub(super) fn spawn(hospital: &Hospital, failpoint: &str) -> Child {
    let log = File::options().append(true).create(true).open(hospital.path("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("serve").arg("--config").arg(hospital.path("gateway.toml"));
    command.env("CREDENTIALS_DIRECTORY", hospital.path("."));
    if !failpoint.is_empty() {
        command.env("SEALGATE_FAILPOINT", failpoint);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// What came of it all.
#[derive(Debug, Default)]
struct Outcome {
    acknowledged: usize,
    /// Acknowledged, and in no copy that opens to what was sent.
    lost: Vec<String>,
}

struct Scene {
    hospital: Hospital,
    pacs: Pacs,
    acknowledged: Acknowledged,
    chance: Chance,
    /// Where the last copy of each sealed version stands in what the PACS keeps, of the first so many that it was given.
    kept: (usize, HashMap<blake3::Hash, usize>),
    /// Copies that the PACS had answered and the spool did not know to be delivered at some kill: each goes there once more.
    in_hand: BTreeSet<usize>,
    /// Of these the most that one kill has left behind.
    in_hand_max: usize,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let pacs = Pacs::start().await;
        let hospital = Hospital::new(&format!(
            "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
             [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
            pacs.peer()
        ));
        Self {
            hospital,
            pacs,
            acknowledged: Acknowledged::default(),
            chance: Chance(seed),
            kept: (0, HashMap::new()),
            in_hand: BTreeSet::new(),
            in_hand_max: 0,
        }
    }

    /// Kills it so many times. `failpoint` says what is wrong with its disk in every life, if anything.
    async fn kill(&mut self, kills: usize, failpoint: &str) {
        let ended = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|study| {
                let (acknowledged, ended) = (Arc::clone(&self.acknowledged), Arc::clone(&ended));
                tokio::spawn(send_for_ever(self.hospital.address, study, acknowledged, ended))
            })
            .collect();
        for life in 0..kills {
            self.live_and_die(life, failpoint).await;
        }
        ended.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.unwrap();
        }
    }

    async fn live_and_die(&mut self, life: usize, failpoint: &str) {
        // Of four lives one ends at some call to the disk, before, between and behind the steps of the path; and one at a
        // step, each in its turn.
        let (own, at_step) = match life % 4 {
            0 => (format!("any:{}:die", 1 + self.chance.next() % 400), false),
            2 => (format!("{}:{}:die", STEPS[life / 4 % STEPS.len()], 1 + self.chance.next() % 6), true),
            _ => (String::new(), false),
        };
        let (failpoint, at_step) = if failpoint.is_empty() { (&*own, at_step) } else { (failpoint, false) };
        let behaviour = match self.chance.next() % 8 {
            0 if !at_step => Behaviour::Answer(0xA700),
            1 if !at_step => Behaviour::CloseAnswering,
            2 if !at_step => Behaviour::AbortMidway,
            _ => Behaviour::Good,
        };
        self.pacs.behave(behaviour);
        let mut child = spawn(&self.hospital, failpoint);
        // Some while they start, most while they work.
        if !self.chance.next().is_multiple_of(8) {
            is_up(&self.hospital, &mut child).await;
        }
        let life = if at_step { STEP_LIFE } else { Duration::from_millis(self.chance.next() % 300) };
        let end = Instant::now() + life;
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // SIGKILL; it may be dead by its own hand.
        let _ = child.kill();
        child.wait().unwrap();
        self.hospital.assert_nothing_in_clear();
        self.pacs.is_alone().await;
        self.count_in_hand();
    }

    /// Counts what the PACS has and will get once more. What was counted at an earlier kill, and has not gone out since,
    /// goes there once more and not twice.
    fn count_in_hand(&mut self) {
        let all = self.pacs.kept();
        let (known, versions) = &mut self.kept;
        let new = all.iter().enumerate().skip(*known);
        versions.extend(new.map(|(place, kept)| (blake3::hash(&kept.data_set), place)));
        *known = all.len();
        let unanswered = self.pacs.unanswered();
        let open = to_deliver(&self.hospital);
        let last = open.iter().filter_map(|one| versions.get(&blake3::hash(one)));
        let before = self.in_hand.len();
        self.in_hand.extend(last.filter(|place| !unanswered.contains(place)));
        self.in_hand_max = self.in_hand_max.max(self.in_hand.len() - before);
    }

    /// Copies of one sealed version at the PACS beyond the first.
    fn again(&self) -> usize {
        let all = self.pacs.kept();
        let versions: HashSet<blake3::Hash> = all.iter().map(|kept| blake3::hash(&kept.data_set)).collect();
        all.len() - versions.len()
    }

    /// How often a life ended at each step.
    fn struck(&self) -> BTreeMap<&'static str, usize> {
        let log = std::fs::read_to_string(self.hospital.path("log")).unwrap();
        STEPS.map(|step| (step, log.matches(&format!("struck at {step},")).count())).into()
    }

    /// Holds what was acknowledged against what is there.
    fn outcome(&self) -> Outcome {
        let archive = self.hospital.archive();
        let mut copies: HashMap<String, HashSet<blake3::Hash>> = HashMap::new();
        for kept in self.pacs.kept().into_iter().chain(spooled(&self.hospital)) {
            assert!(!shows_pixels(&kept.data_set), "{} is stored in clear", kept.instance);
            let opened = opened(&archive, &kept).map(|(original, _)| blake3::hash(&original));
            let digest = opened.unwrap_or_else(|error| panic!("{} does not open: {error}", kept.instance));
            copies.entry(kept.instance).or_default().insert(digest);
        }
        let acknowledged = self.acknowledged.lock().unwrap();
        let is_lost = |(uid, digest): &(&String, &blake3::Hash)| {
            !copies.get(*uid).is_some_and(|found| found.contains(digest))
        };
        Outcome {
            acknowledged: acknowledged.len(),
            lost: acknowledged.iter().filter(is_lost).map(|(uid, _)| uid.clone()).collect(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives_kills_at_any_time_and_at_every_step() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let mut scene = Scene::new(seed).await;
    let kills = kills();
    scene.kill(kills, "").await;
    let outcome = scene.outcome();
    println!("{kills} kills: {outcome:?}");
    assert_eq!(outcome.lost, [""; 0]);
    assert!(outcome.acknowledged > kills / 2, "{outcome:?}: it did something between the kills");
    let struck = scene.struck();
    println!("struck {struck:?}");
    assert!(struck.values().all(|count| *count > 0), "every step was reached: {struck:?}");
    // Deliveries side by side, and those whose end is being written down (`flow::forward`).
    println!("at most {} in hand at a kill", scene.in_hand_max);
    assert!(scene.in_hand_max <= ASSOCIATIONS_MAX + SETTLING_MAX, "{}", scene.in_hand_max);
    // And in the end all of it is at the PACS.
    scene.pacs.behave(Behaviour::Good);
    let gateway = scene.hospital.start("");
    let end = Instant::now() + Duration::from_secs(60);
    while !scene.hospital.spool().entries.is_empty() {
        assert!(
            Instant::now() < end,
            "the spool drains: {:?}\n{}",
            scene.hospital.spool().entries,
            gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(gateway);
    let at_the_pacs: HashSet<String> = scene.pacs.instances().into_iter().collect();
    let acknowledged = scene.acknowledged.lock().unwrap();
    assert!(acknowledged.keys().all(|uid| at_the_pacs.contains(uid)));
    // What went there twice is what it kept when the gateway died, or broke the connection over: no more, and no less.
    let (again, in_hand, unanswered) = (scene.again(), scene.in_hand.len(), scene.pacs.unanswered().len());
    println!("{again} copies again: {in_hand} in hand and {unanswered} unanswered");
    assert_eq!(again, in_hand + unanswered);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_instance_is_safe_is_noticed() {
    let mut scene = Scene::new(1).await;
    for _ in 0..20 {
        scene.kill(5, "rename:1:late").await;
        if !scene.outcome().lost.is_empty() {
            return;
        }
    }
    panic!("renames that come late lose nothing: this test sees nothing");
}
