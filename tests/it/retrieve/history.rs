//! A random history of stores, re-stores, retrievals, rotations, destroyed keys, crashes and restored archives, held to a
//! simple model: what was acknowledged comes back as it was sent last, and nothing else does.
//!
//! `SEALGATE_SOAK=1` makes it long; `SEALGATE_SEED` repeats one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sealgate::dicom::Status;
use sealgate::scu::{Need, for_storing, store};
use tempfile::TempDir;

use super::differing;
use super::shred::run_as;
use super::site::{Came, Front, needs_of, slices};
use crate::peers::archive::call;
use crate::peers::{Dcmqrscp, Sample, free_port};
use crate::taker::Taker;

/// How long it goes on where it is not made long.
const USUAL: Duration = Duration::from_secs(20);

/// Numbers that a seed gives again.
pub(super) struct Draws(pub(super) u64);

impl Draws {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// An image is stored, perhaps again with other bytes.
    Store,
    /// One is stored again with the same bytes.
    StoreAgain,
    /// An image in clear is in the archive, as from before there was a gateway.
    OldImage,
    Crash,
    Rotate,
    /// The keys of the study are destroyed.
    Shred,
    /// The archive is backed up.
    Backup,
    /// The archive is restored from its backup.
    Restore,
    Get,
    Move,
    /// Somebody asks who may not open.
    Nosy,
}

const DEEDS: [Deed; 11] = [
    Deed::Store,
    Deed::StoreAgain,
    Deed::OldImage,
    Deed::Crash,
    Deed::Rotate,
    Deed::Backup,
    Deed::Shred,
    Deed::Restore,
    Deed::Get,
    Deed::Move,
    Deed::Nosy,
];

/// What the archive has of an image.
#[derive(Debug, Clone)]
enum Held {
    Sealed(Sample),
    /// Its key is destroyed.
    Closed(Sample),
    /// It was never sealed.
    Clear(Sample),
}

type Model = BTreeMap<String, Held>;

struct History {
    archive: Dcmqrscp,
    front: Front,
    viewer: Taker,
    study: String,
    samples: Vec<Sample>,
    needs: Vec<Need>,
    model: Model,
    backup: Option<(TempDir, Model)>,
    draws: Draws,
}

/// The same image with one sample of another value, by which versions differ.
fn version(sample: &Sample, number: u64) -> Sample {
    let mut data_set = sample.data_set.to_vec();
    let at = data_set.len() / 2;
    let number = u8::try_from(number % 251).unwrap();
    data_set[at] = data_set[at].wrapping_add(number);
    Sample { data_set: data_set.into(), ..sample.clone() }
}

fn uid_of(sample: &Sample) -> String {
    sample.instance.instance.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_history_ends_in_what_was_acknowledged_last() {
    let soak = std::env::var("SEALGATE_SOAK").is_ok_and(|value| value != "0");
    let seed = std::env::var("SEALGATE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEALGATE_SEED={seed}");
    let (archive, viewer) = (Dcmqrscp::start(&[]), Taker::start().await);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], viewer.address.port());
    let (study, samples) = slices(8);
    let (needs, draws) = (needs_of(&samples), Draws(seed));
    let (model, backup) = (Model::new(), None);
    let mut history = History { archive, front, viewer, study, samples, needs, model, backup, draws };
    // Each once in some order, so that a short one has them all; then whatever comes.
    let mut first = DEEDS.to_vec();
    let (begun, mut done) = (Instant::now(), Vec::new());
    for _ in 0..if soak { 500 } else { 40 } {
        let deed = if first.is_empty() {
            DEEDS[usize::try_from(history.draws.below(DEEDS.len() as u64)).unwrap()]
        } else {
            first.remove(usize::try_from(history.draws.below(first.len() as u64)).unwrap())
        };
        done.push(deed);
        let what = format!("seed {seed}, {done:?}");
        history.step(deed, &what).await;
        if !soak && first.is_empty() && begun.elapsed() > USUAL {
            break;
        }
    }
    println!("{} deeds in {:?}", done.len(), begun.elapsed());
    let what = format!("seed {seed}, the end of {done:?}");
    history.got(&what).await;
    history.moved(&what).await;
}

impl History {
    async fn step(&mut self, deed: Deed, what: &str) {
        match deed {
            Deed::Store => {
                // The last two come to the archive by themselves, and may be stored through the gateway later.
                let index = usize::try_from(self.draws.below(self.samples.len() as u64)).unwrap();
                let sent = version(&self.samples[index], self.draws.below(200));
                self.front.send(std::slice::from_ref(&sent)).await;
                self.model.insert(uid_of(&sent), Held::Sealed(sent));
                if self.draws.below(3) == 0 {
                    // At the moment when it is acknowledged and perhaps not forwarded.
                    self.front.crash();
                }
            }
            Deed::StoreAgain => {
                let held = self.model.values().find_map(|held| match held {
                    Held::Sealed(sample) | Held::Closed(sample) => Some(sample.clone()),
                    Held::Clear(_) => None,
                });
                if let Some(sample) = held {
                    self.front.send(std::slice::from_ref(&sample)).await;
                    self.model.insert(uid_of(&sample), Held::Sealed(sample));
                }
            }
            Deed::OldImage => self.old_image().await,
            Deed::Crash => self.front.crash(),
            Deed::Rotate => {
                let rotated = self.front.site.sealgate(&["keys", "rotate"]);
                assert!(rotated.status.success(), "{what}: {rotated:?}");
                // A running gateway goes on with the keys of its start.
                if self.draws.below(2) == 0 {
                    self.front.crash();
                }
            }
            Deed::Shred => self.shred(what).await,
            Deed::Backup => {
                self.front.drain().await;
                self.backup = Some((self.archive.backup(), self.model.clone()));
            }
            Deed::Restore => {
                self.front.drain().await;
                if let Some((backup, model)) = &self.backup {
                    self.archive.restore(backup);
                    self.model = model.clone();
                }
            }
            Deed::Get => self.got(what).await,
            Deed::Move => self.moved(what).await,
            Deed::Nosy => {
                self.front.drain().await;
                let (came, ended) = self.front.get("NOSY", &self.study, &self.needs).await;
                let is_refused = ended.answer.status == Status::NOT_AUTHORIZED || self.model.is_empty();
                assert!(came.is_empty() && is_refused, "{what}: {ended:?}");
            }
        }
    }

    /// One that the gateway has never seen.
    async fn old_image(&mut self) {
        let unseen = |one: &&Sample| !self.model.contains_key(&uid_of(one)) && !self.is_known(one);
        let Some(sample) = self.samples[6..].iter().find(unseen).cloned() else { return };
        let mut caller = call(self.archive.address(), &for_storing(&self.needs)).await;
        store(&mut caller, &sample.instance, &mut sample.data_set.clone())
            .await
            .expect("the archive takes it");
        caller.release().await;
        self.model.insert(uid_of(&sample), Held::Clear(sample));
    }

    /// Whether the key store has keys of it: what was sealed once and lost every sign of it is no old image.
    fn is_known(&self, sample: &Sample) -> bool {
        let listed = self.front.site.sealgate(&["keys", "list", "--study", &self.study, "--json"]);
        String::from_utf8_lossy(&listed.stdout).contains(&uid_of(sample))
    }

    async fn shred(&mut self, what: &str) {
        self.front.drain().await;
        if !self.model.values().any(|held| matches!(held, Held::Sealed(_))) {
            return;
        }
        let arguments = ["keys", "shred", "--json", "--study", &self.study, "--reason", "asked"];
        let (done, asked, said) = run_as(&self.front, "70002", &arguments);
        assert!(done, "{what}: {said}");
        let request = asked["request"].as_str().expect("a request");
        let (done, _, said) = run_as(&self.front, "70003", &["approve", "--json", request]);
        assert!(done, "{what}: {said}");
        let backed_up = self.backup.iter_mut().flat_map(|(_, model)| model.values_mut());
        for held in self.model.values_mut().chain(backed_up) {
            if let Held::Sealed(sample) = held {
                *held = Held::Closed(sample.clone());
            }
        }
    }

    async fn got(&mut self, what: &str) {
        self.front.drain().await;
        let (came, ended) = self.front.get("VIEWER", &self.study, &self.needs).await;
        self.check(&came, &ended.failed, ended.answer.status, what);
    }

    async fn moved(&mut self, what: &str) {
        self.front.drain().await;
        let before = self.viewer.taken().len();
        let (_, ended) = self.front.move_to("VIEWER", &self.study, "VIEWER-IN").await;
        let taken = self.viewer.taken().split_off(before);
        let count = taken.len();
        let came: Came = taken
            .into_iter()
            .map(|one| (one.instance.to_string(), (one.transfer_syntax, one.data_set)))
            .collect();
        assert_eq!(came.len(), count, "{what}: each once");
        self.check(&came, &ended.failed, ended.answer.status, what);
    }

    /// What came is what the model says, and what did not is named.
    fn check(&self, came: &Came, failed: &[sealgate::dicom::Uid], status: Status, what: &str) {
        let (mut open, mut clear, mut closed) = (Vec::new(), Vec::new(), BTreeSet::new());
        for held in self.model.values() {
            match held {
                Held::Sealed(sample) => open.push(sample.clone()),
                Held::Clear(sample) => clear.push(sample),
                Held::Closed(sample) => drop(closed.insert(uid_of(sample))),
            }
        }
        let log = || format!("{what}: {status}\n{}", self.front.gateway.log());
        let other = differing(&open, came);
        assert!(other.is_empty(), "{other:?}, {}", log());
        for sample in &clear {
            // The archive writes the header of what is not sealed its own way.
            let pixels = &sample.data_set[sample.data_set.len() / 2..][..8192];
            let shows = |data: &[u8]| data.windows(pixels.len()).any(|window| window == pixels);
            let is_it = came.get(&uid_of(sample)).is_some_and(|(_, data)| shows(data));
            assert!(is_it, "{sample:?} in clear, {}", log());
        }
        assert_eq!(came.len(), open.len() + clear.len(), "{}", log());
        let failed: BTreeSet<String> = failed.iter().map(ToString::to_string).collect();
        assert_eq!(failed, closed, "{}", log());
        let expected = match (closed.is_empty(), came.is_empty()) {
            (true, _) => Status::SUCCESS,
            (false, false) => Status::INCOMPLETE,
            (false, true) => Status::SUB_OPERATIONS_REFUSED,
        };
        assert_eq!(status, expected, "{}", log());
    }
}
