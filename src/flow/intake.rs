//! Intake: an instance is sealed while it arrives, and acknowledged when it cannot be lost any more.
//!
//! The order of the promises: the wrapped key durable in the key store, then the sealed instance durable in the spool,
//! then 0000H. What reaches the spool is sealed; the start of a data set is held in memory until its pixels have begun.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::block_in_place;

use super::commit::{End, KeyKept, Taken};
use super::gateway::{Gateway, Visitor};
use super::now_unix_millis;
use super::passing::Passing;
use super::refusal::Refused;
use super::steps::{Step, reached};
use super::ticket::Protection;
use crate::dicom::{Status, TransferSyntax, Uid, is_document, never_has_pixels};
use crate::keys::store::{Facts, OriginalAttributes};
use crate::keys::{Binding as KeyBinding, KeysError};
use crate::policy::{Instance, Route, WithoutPixels};
use crate::seal::{
    Binding, Claim, ContentKey, Described, KeyId, NewSeal, Original, Peek, SealError, Sealer, Sink, Suite,
    random,
};
use crate::spool::{Draft, Receipt};
use crate::telemetry::metrics::{ByOutcome, metrics};

/// What of an instance may be held until it is clear what it is: as much as a header may have.
const HEAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Modality and Station Name come among the first elements; a route is chosen without them after so many bytes.
const PEEK_BYTES_MAX: usize = 256 * 1024;

/// What a C-STORE request says.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Affected SOP Class UID.
    pub sop_class: Uid,
    /// Affected SOP Instance UID.
    pub sop_instance: Uid,
    /// The transfer syntax of the context.
    pub transfer_syntax: TransferSyntax,
}

/// An instance that was taken in.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    /// What is kept of it.
    pub kept: Kept,
    /// What its sender is answered: success, or the warning of a PACS that was waited for.
    pub status: Status,
}

/// What became of an instance that was taken in.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is in the spool, and its key in the archive.
    New(Receipt),
    /// The same bytes wait in the spool already.
    Before,
}

pub(super) type FindKey = Box<dyn FnMut(&Claim) -> Option<ContentKey> + Send>;
/// Why it cannot be known whether an instance that claims to be sealed is: to seal it again would make noise of it for good.
type Unsure = Arc<Mutex<Option<KeysError>>>;

/// One instance on its way in.
pub struct Intake {
    gateway: Arc<Gateway>,
    visitor: Arc<Visitor>,
    offered: Offered,
    /// The bytes so far, while they may still be needed.
    head: Vec<u8>,
    phase: Phase,
    route: Option<Route>,
    begun: Instant,
}

enum Phase {
    /// Nothing is decided: the route hangs on what the first elements say.
    Peeking(Box<Peek>),
    Sealing(Box<Sealing>),
    Passing(Box<Passing>),
}

struct Sealing {
    sealer: Sealer<DraftSink, FindKey>,
    unsure: Unsure,
    binding: Binding,
    /// The wrapped key, until it is given to the key store.
    record: Option<Vec<u8>>,
    /// Resolves when the wrapped key is durable.
    kept: Option<KeyKept>,
    /// How long sealing itself took so far.
    spent: Duration,
}

/// An entry of the spool as what a sealer writes to.
struct DraftSink(Draft);

impl Sink for DraftSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes).map_err(io::Error::other)
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.patch(at, bytes).map_err(io::Error::other)
    }
}

impl Intake {
    /// Begins to take an instance in.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, visitor: Arc<Visitor>, offered: Offered) -> Self {
        let encoding = offered.transfer_syntax.encoding;
        let wants_study = gateway.archive.wants_study();
        let peek = Box::new(if wants_study { Peek::up_to_study(encoding) } else { Peek::new(encoding) });
        let (phase, begun) = (Phase::Peeking(peek), Instant::now());
        Self { gateway, visitor, offered, head: Vec::new(), phase, route: None, begun }
    }

    /// Takes the next bytes of the data set. After an error only dropping is left.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match &mut self.phase {
            Phase::Peeking(peek) => {
                let more = peek.push(bytes)?;
                self.head.extend_from_slice(bytes);
                let wants_study = self.gateway.archive.wants_study();
                let limit = if wants_study { HEAD_BYTES_MAX } else { PEEK_BYTES_MAX };
                if more && self.head.len() < limit { Ok(()) } else { self.choose() }
            }
            Phase::Sealing(_) => self.seal(bytes),
            Phase::Passing(passing) => passing.push(bytes, &self.offered.sop_class),
        }
    }

    /// Chooses the route, and with it what happens to the instance; then goes on with what came so far.
    fn choose(&mut self) -> Result<(), Refused> {
        let Phase::Peeking(peek) = &self.phase else { return Ok(()) };
        let found = &peek.found;
        let class = &self.offered.sop_class;
        let rules = (self.gateway.rules)();
        let instance = Instance {
            calling: &self.visitor.calling,
            called: &self.visitor.called,
            modality: found.modality.as_deref(),
            sop_class: class,
            station: found.station.as_deref(),
        };
        let route = rules.route(&instance).cloned().ok_or_else(|| {
            let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
            let (modality, station) = (word(&found.modality), word(&found.station));
            Refused::NoRoute { modality, station, class: class.clone() }
        })?;
        let fate = never_has_pixels(class.as_str()).then_some(route.without_pixels);
        let suite = Suite::from_name(&route.suite).unwrap_or(Suite::DeepKeyGen);
        let route = self.route.insert(route);
        match fate {
            Some(WithoutPixels::Pass) => {
                let head = std::mem::take(&mut self.head);
                return self.pass(&head, Protection::Clear, false);
            }
            // What can be sealed is not let through as something that cannot.
            Some(WithoutPixels::Refuse) => return Err(Refused::NoPixels(route.name.clone())),
            Some(WithoutPixels::Seal) if !is_document(class.as_str()) => {
                return Err(Refused::NothingToSeal(route.name.clone()));
            }
            Some(WithoutPixels::Seal) | None => {}
        }
        let head = std::mem::take(&mut self.head);
        let study = found.study.clone();
        self.phase = Phase::Sealing(Box::new(self.begin_sealing(suite, study.as_ref())?));
        self.seal(&head)
    }

    fn begin_sealing(&self, suite: Suite, study: Option<&Uid>) -> Result<Sealing, Refused> {
        let archive = &self.gateway.archive;
        let Offered { sop_class, sop_instance, transfer_syntax } = &self.offered;
        let binding = Binding {
            suite,
            key_id: KeyId::new(random().map_err(KeysError::from)?),
            sop_class: sop_class.clone(),
            sop_instance: sop_instance.clone(),
        };
        let key = self.gateway.key_source.draw(&binding).map_err(KeysError::from)?;
        let for_keys = KeyBinding::from(&binding);
        let record = archive.wrap(&key, &for_keys)?;
        // A study's first instance waits for the disk.
        let key_record = if archive.wants_study() {
            aside(|| archive.in_tag(&record, &key, &for_keys, study))?
        } else {
            archive.in_tag(&record, &key, &for_keys, study)?
        };
        let (known, unsure) = (Arc::clone(archive), Unsure::default());
        let doubt = Arc::clone(&unsure);
        let find_key: FindKey = Box::new(move |claim| match known.find_claimed(claim) {
            Ok(found) => found.map(|found| found.content_key),
            Err(error) => {
                *doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        });
        let original = Original {
            transfer_syntax: Uid::parse(transfer_syntax.uid).expect("a UID of the standard's registry"),
            front_bytes: 0,
        };
        let draft = DraftSink(self.gateway.spool.begin(None)?);
        let new = NewSeal { binding: binding.clone(), key, key_record };
        let layers = &self.gateway.layers;
        let signer = archive.signer();
        let begin = || Sealer::signed(&original, new, layers, None, draft, find_key, signer);
        let sealer = if is_slow(suite) { aside(begin) } else { begin() }?;
        Ok(Sealing { sealer, unsure, binding, record: Some(record), kept: None, spent: Duration::ZERO })
    }

    fn seal(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let Phase::Sealing(sealing) = &mut self.phase else { return Ok(()) };
        let undecided = sealing.kept.is_none();
        if undecided && self.head.len() <= HEAD_BYTES_MAX {
            self.head.extend_from_slice(bytes);
        }
        match sealing.push(bytes) {
            Ok(()) => {}
            Err(SealError::AlreadySealed(key_id)) => {
                let head = std::mem::take(&mut self.head);
                return self.pass(&head, Protection::CameSealed(key_id.to_string()), true);
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(error) = undecided.then(|| sealing.take_doubt()).flatten() {
            return Err(Refused::Claim(error));
        }
        if let (true, Some(described)) = (undecided, sealing.sealer.described()) {
            // From here on it will be sealed: what was held goes, and the key is kept while the pixels arrive.
            self.head = Vec::new();
            let facts = facts(&described, &self.visitor, &self.offered);
            let (sender, receiver) = oneshot::channel();
            let begun = Instant::now();
            let done = Box::new(move |result: Result<u32, KeysError>| {
                reached(Step::KeyDurable);
                let outcome = if result.is_ok() { "kept" } else { "failed" };
                metrics().keys.kept.count(&ByOutcome { outcome });
                metrics().keys.commit_seconds.observe(begun.elapsed().as_secs_f64());
                let _gone = sender.send(result);
            });
            let record = sealing.record.take().unwrap_or_default();
            reached(Step::BeforeKey);
            self.gateway.archive.keep_later(record, KeyBinding::from(&sealing.binding), facts, done);
            sealing.kept = Some(receiver);
        }
        Ok(())
    }

    /// Goes on with the bytes as they come.
    fn pass(&mut self, head: &[u8], protection: Protection, may_have_pixels: bool) -> Result<(), Refused> {
        if head.len() > HEAD_BYTES_MAX {
            return Err(Refused::Undecided(HEAD_BYTES_MAX));
        }
        let mut passing =
            Box::new(Passing::begin(&self.gateway, &self.offered, protection, may_have_pixels)?);
        passing.push(head, &self.offered.sop_class)?;
        self.phase = Phase::Passing(passing);
        Ok(())
    }

    /// The data set is over. Returns when the instance cannot be lost any more; only then may it be acknowledged.
    pub async fn finish(mut self) -> Result<Stored, Refused> {
        if let Phase::Peeking(peek) = &mut self.phase {
            peek.finish()?;
            self.choose()?;
        }
        let Self { gateway, visitor, offered, head, phase, route, begun } = self;
        let route = route.ok_or(Refused::Task)?;
        let end = End { gateway, visitor, offered, route, begun };
        match phase {
            Phase::Sealing(sealing) => Box::pin(end.finish_sealing(*sealing, head)).await,
            Phase::Passing(passing) => Box::pin(end.finish_passing(*passing)).await,
            Phase::Peeking(_) => Err(Refused::Task),
        }
    }
}

impl Sealing {
    fn take_doubt(&self) -> Option<KeysError> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        let Self { sealer, binding, spent, .. } = self;
        let begun = Instant::now();
        let pushed = if is_slow(binding.suite) { aside(|| sealer.push(bytes)) } else { sealer.push(bytes) };
        *spent += begun.elapsed();
        pushed
    }
}

/// Whether sealing takes so much longer than reading that other associations would wait for it.
const fn is_slow(suite: Suite) -> bool {
    suite.inner().is_some()
}

/// Does something that takes milliseconds, while other associations go on.
fn aside<T>(deed: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(deed),
        _ => deed(),
    }
}

impl End {
    async fn finish_sealing(self, sealing: Sealing, head: Vec<u8>) -> Result<Stored, Refused> {
        let Sealing { sealer, binding, kept, spent, .. } = sealing;
        let begun = Instant::now();
        let finished = if is_slow(binding.suite) { aside(|| sealer.finish()) } else { sealer.finish() };
        let (sealed, sink) = match finished {
            Ok(sealed) => sealed,
            Err(SealError::NoPixels) => return self.without_pixels(&head).await,
            Err(error) => return Err(error.into()),
        };
        self.commit(Taken {
            draft: sink.0,
            transfer_syntax: Uid::parse(sealed.transfer_syntax).expect("a UID of the standard's registry"),
            study: sealed.study,
            series: sealed.series,
            patient: sealed.patient,
            protection: Protection::Sealed(binding.key_id.to_string()),
            sealing: Some((binding.suite, spent + begun.elapsed())),
            digest: sealed.digest,
            key: Some(kept.ok_or(Refused::Task)?),
        })
        .await
    }

    /// All of it came, and there were no pixels in it.
    async fn without_pixels(self, head: &[u8]) -> Result<Stored, Refused> {
        match self.route.without_pixels {
            WithoutPixels::Refuse => Err(Refused::NoPixels(self.route.name)),
            WithoutPixels::Seal => Err(Refused::NothingToSeal(self.route.name)),
            WithoutPixels::Pass if head.len() > HEAD_BYTES_MAX => Err(Refused::Undecided(HEAD_BYTES_MAX)),
            WithoutPixels::Pass => {
                let mut passing = Passing::begin(&self.gateway, &self.offered, Protection::Clear, false)?;
                passing.push(head, &self.offered.sop_class)?;
                self.finish_passing(passing).await
            }
        }
    }

    async fn finish_passing(self, mut passing: Passing) -> Result<Stored, Refused> {
        passing.finish_scan()?;
        let Passing { draft, protection, digest, study, series, patient, .. } = passing;
        let transfer_syntax =
            Uid::parse(self.offered.transfer_syntax.uid).expect("a UID of the standard's registry");
        let digest = digest.finish();
        let (key, sealing) = (None, None);
        self.commit(Taken {
            draft,
            transfer_syntax,
            study,
            series,
            patient,
            protection,
            sealing,
            digest,
            key,
        })
        .await
    }
}

/// What the key store keeps beside the key.
fn facts(described: &Described<'_>, visitor: &Visitor, offered: &Offered) -> Facts {
    let syntax = Uid::parse(offered.transfer_syntax.uid).expect("a UID of the standard's registry");
    Facts {
        study: described.study.cloned(),
        series: described.series.cloned(),
        calling: Some(visitor.calling.clone()),
        sealed_unix_millis: i64::try_from(now_unix_millis()).unwrap_or(i64::MAX),
        attributes: OriginalAttributes::of(described.image, syntax),
    }
}
