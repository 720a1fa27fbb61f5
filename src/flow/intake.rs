//! Intake: an instance is sealed while it arrives, and acknowledged when it cannot be lost any more.
//!
//! The order of the promises: the wrapped key durable in the key store, then the sealed instance durable in the spool,
//! then 0000H. What reaches the spool is sealed; the start of a data set is held in memory until its pixels have begun.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dicom_core::Tag;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;

use super::commitment;
use super::gateway::{Gateway, Visitor};
use super::now_unix_millis;
use super::refusal::Refused;
use super::ticket::{Protection, Ticket};
use super::waiting::Settled;
use crate::dicom::{TransferSyntax, Uid, never_has_pixels};
use crate::keys::store::{Facts, OriginalAttributes};
use crate::keys::{Binding as KeyBinding, KeysError};
use crate::policy::{Acknowledge, Instance, Route, WithoutPixels};
use crate::seal::element::is_pixel_data;
use crate::seal::scan::{Event, Limits, Scanner};
use crate::seal::{
    Binding, Claim, ContentKey, DataDigest, Described, KeyId, Original, Peek, SealError, Sealer, Sink, Suite,
    random,
};
use crate::spool::{Draft, Meta, Receipt, Summary};

const STUDY: Tag = Tag(0x0020, 0x000D);
const SERIES: Tag = Tag(0x0020, 0x000E);
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

/// What became of an instance that was taken in.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in the spool, and its key in the archive.
    New(Receipt),
    /// The same bytes wait in the spool already.
    Repeated,
}

type FindKey = Box<dyn FnMut(&Claim) -> Option<ContentKey> + Send>;

/// One instance on its way in.
pub struct Intake {
    gateway: Arc<Gateway>,
    visitor: Arc<Visitor>,
    offered: Offered,
    /// The bytes so far, while they may still be needed.
    head: Vec<u8>,
    phase: Phase,
    route: Option<Route>,
}

enum Phase {
    /// Nothing is decided: the route hangs on what the first elements say.
    Peeking(Box<Peek>),
    Sealing(Box<Sealing>),
    Passing(Box<Passing>),
}

struct Sealing {
    sealer: Sealer<DraftSink, FindKey>,
    binding: Binding,
    /// The wrapped key, until it is given to the key store.
    record: Option<Vec<u8>>,
    /// Resolves when the wrapped key is durable.
    kept: Option<oneshot::Receiver<Result<u32, KeysError>>>,
}

/// An instance that goes on as it came: already sealed, or without pixels.
struct Passing {
    draft: Draft,
    scanner: Scanner,
    protection: Protection,
    may_have_pixels: bool,
    digest: DataDigest,
    study: Option<Uid>,
    series: Option<Uid>,
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
        let peek = Box::new(Peek::new(offered.transfer_syntax.encoding));
        Self { gateway, visitor, offered, head: Vec::new(), phase: Phase::Peeking(peek), route: None }
    }

    /// Takes the next bytes of the data set. After an error only dropping is left.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match &mut self.phase {
            Phase::Peeking(peek) => {
                let more = peek.push(bytes)?;
                self.head.extend_from_slice(bytes);
                if more && self.head.len() < PEEK_BYTES_MAX { Ok(()) } else { self.choose() }
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
        let passes = route.without_pixels == WithoutPixels::Pass && never_has_pixels(class.as_str());
        let suite = Suite::from_name(&route.suite).unwrap_or(Suite::DeepKeyGen);
        self.route = Some(route);
        let head = std::mem::take(&mut self.head);
        if passes {
            return self.pass(&head, Protection::Clear, false);
        }
        self.phase = Phase::Sealing(Box::new(self.begin_sealing(suite)?));
        self.seal(&head)
    }

    fn begin_sealing(&self, suite: Suite) -> Result<Sealing, Refused> {
        let archive = &self.gateway.archive;
        let Offered { sop_class, sop_instance, transfer_syntax } = &self.offered;
        let binding = Binding {
            suite,
            key_id: KeyId::new(random().map_err(KeysError::from)?),
            sop_class: sop_class.clone(),
            sop_instance: sop_instance.clone(),
        };
        let key = self.gateway.key_source.draw(&binding).map_err(KeysError::from)?;
        let record = archive.wrap(&key, &KeyBinding::from(&binding))?;
        let known = Arc::clone(archive);
        let find_key: FindKey = Box::new(move |claim| {
            let binding = KeyBinding::from(&claim.binding);
            known
                .find(binding.key_id, claim.key_record.as_deref(), &binding)
                .ok()
                .map(|found| found.content_key)
        });
        let original = Original {
            transfer_syntax: Uid::parse(transfer_syntax.uid).expect("a UID of the standard's registry"),
            front_bytes: 0,
        };
        let draft = DraftSink(self.gateway.spool.begin(None)?);
        let key_record = archive.in_tag(&record).map(<[u8]>::to_vec);
        let sealer = Sealer::new(&original, binding.clone(), &key, key_record, None, draft, find_key)?;
        Ok(Sealing { sealer, binding, record: Some(record), kept: None })
    }

    fn seal(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let Phase::Sealing(sealing) = &mut self.phase else { return Ok(()) };
        let undecided = sealing.kept.is_none();
        if undecided && self.head.len() <= HEAD_BYTES_MAX {
            self.head.extend_from_slice(bytes);
        }
        match sealing.sealer.push(bytes) {
            Ok(()) => {}
            Err(SealError::AlreadySealed(key_id)) => {
                let head = std::mem::take(&mut self.head);
                return self.pass(&head, Protection::CameSealed(key_id.to_string()), true);
            }
            Err(error) => return Err(error.into()),
        }
        if let (true, Some(described)) = (undecided, sealing.sealer.described()) {
            // From here on it will be sealed: what was held goes, and the key is kept while the pixels arrive.
            self.head = Vec::new();
            let facts = facts(&described, &self.visitor, &self.offered);
            let (sender, receiver) = oneshot::channel();
            let done = Box::new(move |result| {
                let _gone = sender.send(result);
            });
            let record = sealing.record.take().unwrap_or_default();
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
        let mut passing = Box::new(Passing {
            draft: self.gateway.spool.begin(None)?,
            scanner: Scanner::new(self.offered.transfer_syntax.encoding, Limits::default(), None),
            protection,
            may_have_pixels,
            digest: DataDigest::default(),
            study: None,
            series: None,
        });
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
        let Self { gateway, visitor, offered, head, phase, route } = self;
        let route = route.ok_or(Refused::Task)?;
        let end = End { gateway, visitor, offered, route };
        match phase {
            Phase::Sealing(sealing) => end.finish_sealing(*sealing, head).await,
            Phase::Passing(passing) => end.finish_passing(*passing).await,
            Phase::Peeking(_) => Err(Refused::Task),
        }
    }
}

impl Passing {
    fn push(&mut self, bytes: &[u8], class: &Uid) -> Result<(), Refused> {
        let may_have_pixels = self.may_have_pixels;
        let (study, series) = (&mut self.study, &mut self.series);
        self.scanner.push(bytes, &mut |event| match event {
            Event::Element(element) => {
                match element.tag {
                    STUDY => *study = Uid::from_wire(element.value).ok(),
                    SERIES => *series = Uid::from_wire(element.value).ok(),
                    _ => {}
                }
                Ok(())
            }
            Event::Begin(head) if is_pixel_data(head.tag) && !may_have_pixels => {
                Err(Refused::Pixels(class.clone()))
            }
            _ => Ok(()),
        })?;
        self.digest.update(bytes);
        Ok(self.draft.write(bytes)?)
    }
}

/// What is known when the last byte has come.
struct End {
    gateway: Arc<Gateway>,
    visitor: Arc<Visitor>,
    offered: Offered,
    route: Route,
}

impl End {
    async fn finish_sealing(self, sealing: Sealing, head: Vec<u8>) -> Result<Stored, Refused> {
        let Sealing { sealer, binding, kept, .. } = sealing;
        let (sealed, sink) = match sealer.finish() {
            Ok(sealed) => sealed,
            Err(SealError::NoPixels) => return self.without_pixels(head).await,
            Err(error) => return Err(error.into()),
        };
        // First the key: what is in the spool can be opened.
        kept.ok_or(Refused::Task)?.await.map_err(|_| Refused::Task)??;
        let syntax = Uid::parse(sealed.transfer_syntax).expect("a UID of the standard's registry");
        let protection = Protection::Sealed(binding.key_id.to_string());
        let place = (sealed.study, sealed.series);
        self.commit(sink.0, syntax, place, protection, sealed.digest).await
    }

    /// All of it came, and there were no pixels in it.
    async fn without_pixels(self, head: Vec<u8>) -> Result<Stored, Refused> {
        match self.route.without_pixels {
            WithoutPixels::Refuse => Err(Refused::NoPixels(self.route.name)),
            WithoutPixels::Pass if head.len() > HEAD_BYTES_MAX => Err(Refused::Undecided(HEAD_BYTES_MAX)),
            WithoutPixels::Pass => {
                let mut draft = self.gateway.spool.begin(Some(head.len() as u64))?;
                draft.write(&head)?;
                let syntax = self.syntax();
                let digest = DataDigest::of(&head);
                let place = (
                    find_uid(&head, self.offered.transfer_syntax, STUDY),
                    find_uid(&head, self.offered.transfer_syntax, SERIES),
                );
                self.commit(draft, syntax, place, Protection::Clear, digest).await
            }
        }
    }

    async fn finish_passing(self, mut passing: Passing) -> Result<Stored, Refused> {
        passing.scanner.finish()?;
        let Passing { draft, protection, digest, study, series, .. } = passing;
        let syntax = self.syntax();
        self.commit(draft, syntax, (study, series), protection, digest.finish()).await
    }

    fn syntax(&self) -> Uid {
        Uid::parse(self.offered.transfer_syntax.uid).expect("a UID of the standard's registry")
    }

    async fn commit(
        self,
        draft: Draft,
        transfer_syntax: Uid,
        (study, series): (Option<Uid>, Option<Uid>),
        seal: Protection,
        digest: [u8; 32],
    ) -> Result<Stored, Refused> {
        let Self { gateway, visitor, offered, route } = self;
        let Offered { sop_class, sop_instance, .. } = offered;
        let turn = gateway.committing.turn(&sop_instance).await;
        let key = sop_instance.as_str().as_bytes().to_vec();
        let is_same = |entry: &Summary| {
            entry.is_open()
                && gateway.spool.read(entry.id).is_ok_and(|content| content.meta().digest == digest)
        };
        let same = gateway.spool.find(&key).into_iter().find(is_same);
        if let Some(same) = same {
            info!(instance = %sop_instance, entry = %same.id, "the same instance waits already, it is kept once");
            return Ok(Stored::Repeated);
        }
        let group = study.as_ref().map(|study| study.as_str().as_bytes().to_vec()).unwrap_or_default();
        let ticket = Ticket {
            sop_class,
            sop_instance: sop_instance.clone(),
            study,
            series,
            transfer_syntax,
            calling: visitor.calling.clone(),
            called: visitor.called.clone(),
            route: route.name.clone(),
            seal,
        };
        let meta = Meta {
            bytes: ticket.to_bytes(),
            destinations: route.destinations.clone(),
            key,
            group,
            digest: digest.to_vec(),
            holds: commitment::holds(&(gateway.rules)(), &route.destinations),
        };
        let (entry, bytes) = (draft.id(), draft.len());
        let waits: Vec<_> = match route.acknowledge {
            Acknowledge::Spooled => Vec::new(),
            Acknowledge::Forwarded => route
                .destinations
                .iter()
                .map(|name| (name.clone(), gateway.waiting.expect(entry, name)))
                .collect(),
        };
        let committed = tokio::task::spawn_blocking(move || draft.commit(meta, now_unix_millis())).await;
        drop(turn);
        let forgotten = Forget { gateway: &gateway, entry };
        let receipt = committed.map_err(|_| Refused::Task)??;
        info!(
            peer = visitor.permit.peer().name, instance = %sop_instance, %entry, bytes, route = route.name,
            protection = ?ticket.seal, "instance taken in"
        );
        let patience = Duration::from_secs(gateway.config.acknowledge_seconds_max);
        let answered = timeout(patience, forwarded(waits)).await;
        drop(forgotten);
        answered.map_err(|_| Refused::NotInTime(route.destinations.join(", ")))??;
        Ok(Stored::New(receipt))
    }
}

/// Nobody waits any more when the association is gone.
struct Forget<'a> {
    gateway: &'a Gateway,
    entry: crate::spool::EntryId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.gateway.waiting.forget(self.entry);
    }
}

/// Waits until every destination has it, or one does not take it.
async fn forwarded(waits: Vec<(String, oneshot::Receiver<Settled>)>) -> Result<(), Refused> {
    for (destination, settled) in waits {
        match settled.await {
            Ok(Settled::Taken) => {}
            Ok(Settled::Answered(status)) => return Err(Refused::Destination { destination, status }),
            Ok(Settled::Failed) | Err(_) => return Err(Refused::NotInTime(destination)),
        }
    }
    Ok(())
}

/// A UID of a data set that is in memory, if it is there and good.
fn find_uid(data: &[u8], syntax: TransferSyntax, tag: Tag) -> Option<Uid> {
    let values = super::release::element_values(data, syntax.encoding, &[tag]).ok()?;
    Uid::from_wire(values.get(&tag)?).ok()
}

/// What the key store keeps beside the key.
fn facts(described: &Described<'_>, visitor: &Visitor, offered: &Offered) -> Facts {
    let image = described.image;
    Facts {
        study: described.study.cloned(),
        series: described.series.cloned(),
        calling: Some(visitor.calling.clone()),
        sealed_unix_millis: i64::try_from(now_unix_millis()).unwrap_or(i64::MAX),
        attributes: OriginalAttributes {
            rows: Some(image.rows),
            columns: Some(image.columns),
            bits_allocated: Some(image.bits_allocated),
            bits_stored: Some(image.bits_stored),
            samples_per_pixel: Some(image.samples),
            photometric_interpretation: Some(image.photometric.clone()),
            frames: Some(image.frames),
            transfer_syntax: Uid::parse(offered.transfer_syntax.uid).ok(),
        },
    }
}
