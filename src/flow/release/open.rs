//! One instance on its way from the PACS: opened while it arrives, on a thread of its own, and held until it has verified.
//!
//! What comes out is kept in memory that is erased, up to `release.held_bytes_max`; then its end has verified and it goes
//! out whole. A larger one goes out while it arrives, and breaks off in an error where its end does not verify.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::backlog::Load;
use super::compressed::Compressed;
use super::config::Unsealed;
use super::delivery::{Data, Delivery, Refused};
use super::facts::{self, Subject};
use super::ledger::Candidate;
use crate::dicom::{Encoding, TransferSyntax, Uid};
use crate::flow::audit::{self, Begin, Parties};
use crate::flow::lost::is_lost;
use crate::flow::pieces::Pieces;
use crate::flow::{Gateway, moment};
use crate::keys::{KeysError, Source};
use crate::policy::{Access, Answer, Facts};
use crate::seal::{Claim, ContentKey, Damage, HeaderMode, OpenError, Opened, OpenedInstance, Opener};
use crate::telemetry::metrics::{ByReason, metrics};

/// Pieces that wait on either side of the thread.
pub(super) const PIECES_MAX: usize = 16;
/// From so many bytes or pieces on, the thread is woken for what has come: a slice costs it one wake.
const GATHERED_BYTES: usize = 1024 * 1024;
const GATHERED_MAX: usize = 64;

/// Of an instance that comes in.
pub(super) enum Piece {
    Data(Bytes),
    /// All has come; without it, it was broken off.
    End,
}

/// An instance that comes in from the PACS, and who it is for.
pub(in crate::flow) struct Job {
    pub(in crate::flow) gateway: Arc<Gateway>,
    pub(in crate::flow) access: Access,
    pub(in crate::flow) parties: Parties,
    pub(in crate::flow) class: Uid,
    pub(in crate::flow) instance: Uid,
    pub(in crate::flow) transfer_syntax: TransferSyntax,
    /// Whether the caller has cancelled; without a sender the caller is gone.
    pub(in crate::flow) cancelled: watch::Receiver<bool>,
}

/// What leads to the thread: pieces are handed over several at a time, for to wake it costs about what opening one does.
/// For the same reason it is started with the first of them.
pub(super) struct Feed {
    pieces: mpsc::Sender<Piece>,
    gathered: Vec<Piece>,
    bytes: usize,
    load: Arc<Load>,
    thread: Option<Box<dyn FnOnce() + Send>>,
}

/// Nobody takes the pieces any more: it was refused, or nobody wants it.
pub(super) struct Gone;

impl Feed {
    /// Takes the next piece; waits where the receiver is slower than the PACS.
    pub(super) async fn push(&mut self, piece: Bytes) -> Result<(), Gone> {
        self.load.add(piece.len());
        self.bytes = self.bytes.saturating_add(piece.len());
        self.gathered.push(Piece::Data(piece));
        let is_enough = self.bytes >= GATHERED_BYTES || self.gathered.len() >= GATHERED_MAX;
        if is_enough { self.hand_over().await } else { Ok(()) }
    }

    /// All has come. Without it, it was broken off.
    pub(super) async fn finish(mut self) {
        self.gathered.push(Piece::End);
        let _ = self.hand_over().await;
    }

    async fn hand_over(&mut self) -> Result<(), Gone> {
        self.bytes = 0;
        let room = self.pieces.reserve_many(self.gathered.len()).await.map_err(|_| Gone)?;
        room.zip(self.gathered.drain(..)).for_each(|(room, piece)| room.send(piece));
        self.start();
        Ok(())
    }

    fn start(&mut self) {
        if let (Some(thread), Ok(runtime)) = (self.thread.take(), Handle::try_current()) {
            runtime.spawn_blocking(thread);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // What was broken off before anything was handed over has failed like everything else.
        self.start();
    }
}

type Reply = oneshot::Sender<Result<Delivery, Refused>>;

/// Prepares the thread: pieces go in through what is given back, what comes of them is told to `copy` and through `reply`.
pub(super) fn prepare(job: Job, copy: Candidate, load: Arc<Load>, reply: Reply) -> Feed {
    let (sender, pieces) = mpsc::channel(GATHERED_MAX + 1);
    let begun = Instant::now();
    let thread = move || {
        let limit = job.gateway.release.config.held_bytes_max;
        let mut out = Out {
            reply: Some(reply),
            class: job.class.clone(),
            instance: job.instance.clone(),
            transfer_syntax: job.transfer_syntax,
            held: VecDeque::new(),
            held_bytes: 0,
            limit,
            stream: None,
            is_left: false,
            gathered: Pieces::default(),
            gate: Gate::new(&job),
        };
        let mut search = KeySearch { may_open: job.may_open(), ..KeySearch::default() };
        match run(&job, pieces, &mut out, &mut search) {
            Ok(()) => {
                if search.found.is_some() {
                    metrics().open.seconds.observe(begun.elapsed().as_secs_f64());
                }
                copy.judge(Ok(()));
                out.finish();
            }
            Err(refused) => {
                search.count();
                let refused = if out.is_left { Refused::Left } else { search.explain(refused) };
                audit::failed(&job.gateway.trail, &job.parties, &job.instance, &refused);
                copy.judge(Err(&refused));
                out.fail(refused);
            }
        }
    };
    Feed { pieces: sender, gathered: Vec::new(), bytes: 0, load, thread: Some(Box::new(thread)) }
}

/// What is known of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not yet whether it is sealed: its bytes are kept.
    Undecided,
    /// It has no pixels in more than is kept: it goes out, and is still looked at.
    Watched,
    /// It opens.
    Opening,
    /// It goes out as it is.
    Passing,
}

/// Where a key came from, and why there was none.
#[derive(Default)]
struct KeySearch {
    may_open: bool,
    found: Option<Source>,
    problem: Option<String>,
    /// Whether the key was destroyed.
    is_destroyed: bool,
}

impl KeySearch {
    /// Counts a key that could not be had.
    fn count(&self) {
        if self.problem.is_some() && self.found.is_none() {
            let reason = if self.is_destroyed { "destroyed" } else { "not-found" };
            metrics().keys.missing.count(&ByReason { reason });
        }
    }

    /// The same refusal, told as what it is where the key was destroyed.
    fn explain(&self, refused: Refused) -> Refused {
        match refused {
            Refused::Open { key: Some(words), .. } if self.is_destroyed => Refused::Destroyed(words),
            refused => refused,
        }
    }
}

fn run(
    job: &Job,
    mut pieces: mpsc::Receiver<Piece>,
    out: &mut Out,
    search: &mut KeySearch,
) -> Result<(), Refused> {
    let mut judge = Judge::new(job, search)?;
    let mut state = State::Undecided;
    let mut kept: Vec<Bytes> = Vec::new();
    loop {
        let piece = pieces.blocking_recv();
        if let Some(unwanted) = job.unwanted() {
            return Err(unwanted);
        }
        let piece = match piece {
            None => return Err(Refused::BrokenOff),
            Some(Piece::End) => break,
            Some(Piece::Data(piece)) => piece,
        };
        if state == State::Passing {
            out.pass(piece)?;
            continue;
        }
        let mut began = false;
        let pushed = judge.push(&piece, out, &mut began);
        if began && state == State::Watched {
            return Err(Refused::LatePixels);
        }
        match pushed {
            Ok(()) if began || state == State::Opening => {
                state = State::Opening;
                // Until it is decided who gets it opened, it may still have to go out as it came.
                if out.gate.is_decided() { kept.clear() } else { kept.push(piece) }
            }
            Ok(()) if state == State::Watched => out.pass(piece)?,
            Ok(()) => {
                kept.push(piece);
                let bytes: usize = kept.iter().map(Bytes::len).sum();
                if bytes > out.limit {
                    out.gate.grant = job.may_watch(&kept)?;
                    state = State::Watched;
                    kept.drain(..).try_for_each(|piece| out.pass(piece))?;
                }
            }
            Err(error) => {
                kept.push(piece);
                let failed = (error, judge.problem());
                let (sealed, grant) = job.instead(failed, state, true, out, &kept)?;
                job.may_go(&kept, sealed, grant.as_deref())?;
                state = State::Passing;
                kept.drain(..).try_for_each(|piece| out.pass(piece))?;
            }
        }
    }
    if state == State::Passing {
        return Ok(());
    }
    match judge.finish(out) {
        Ok((opened, found)) => {
            let (trail, subject) = (&job.gateway.trail, &out.gate.subject);
            audit::opened(trail, &job.parties, subject, (&opened, found), out.gate.grant.as_deref());
            Ok(())
        }
        Err(failed) => {
            let (sealed, grant) = job.instead(failed, state, false, out, &kept)?;
            job.may_go(&kept, sealed, grant.as_deref())?;
            kept.drain(..).try_for_each(|piece| out.pass(piece))
        }
    }
}

impl Job {
    /// Why nobody wants it any more, if nobody does.
    fn unwanted(&self) -> Option<Refused> {
        match (self.cancelled.has_changed().is_err(), *self.cancelled.borrow()) {
            (_, true) => Some(Refused::Cancelled),
            (true, false) => Some(Refused::Left),
            (false, false) => None,
        }
    }

    /// Whether anything may be opened for these people now.
    fn may_open(&self) -> bool {
        self.access.may_open(moment(), &self.gateway.release.grants.now())
    }

    fn decide(&self, facts: &Facts) -> Answer {
        self.access.decide(facts, moment(), &self.gateway.release.grants.now())
    }

    /// What becomes of an instance that was never sealed, by the header that the PACS has of it.
    fn decide_unsealed(&self, kept: &[Bytes]) -> Answer {
        let mut facts = facts::begin(&self.parties.pacs, &self.class);
        facts::read(&mut facts, kept, self.transfer_syntax.encoding);
        self.decide(&facts)
    }

    /// Records that an instance goes out as it came; of one in clear, that it is about to, before it does.
    fn may_go(&self, kept: &[Bytes], sealed: bool, grant: Option<&str>) -> Result<(), Refused> {
        let subject = Subject::of(kept, self.transfer_syntax.encoding);
        if !sealed {
            self.begin(&subject, grant)?;
        }
        let about = (&self.class, &self.instance);
        audit::passed(&self.gateway.trail, &self.parties, &subject, about, (sealed, grant));
        Ok(())
    }

    fn begin(&self, subject: &Subject, grant: Option<&str>) -> Result<(), Refused> {
        Begin::of(self).record(subject, grant).map_err(Refused::Unrecorded)
    }

    /// Whether an instance with a large header, and no pixels by now, may go out while it is looked at.
    /// Says by which emergency access.
    fn may_watch(&self, kept: &[Bytes]) -> Result<Option<String>, Refused> {
        match self.decide_unsealed(kept) {
            Answer::Opened(grant) => {
                self.begin(&Subject::of(kept, self.transfer_syntax.encoding), grant.as_deref())?;
                Ok(grant)
            }
            Answer::Sealed => Err(Refused::LatePixels),
            Answer::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// What goes out as it came, since it does not open: whether it is sealed, and by which emergency access.
    fn instead(
        &self,
        (error, key): (OpenError, Option<String>),
        state: State,
        has_pixels: bool,
        out: &mut Out,
        kept: &[Bytes],
    ) -> Result<(bool, Option<String>), Refused> {
        if let Some(problem) = out.gate.unrecorded.take() {
            return Err(Refused::Unrecorded(problem));
        }
        match (out.gate.denied.take(), state) {
            (Some(Answer::Refused(refusal)), _) => Err(refusal.into()),
            (Some(_), _) => Ok((true, None)),
            (None, State::Opening) => Err(Refused::Open { error, key }),
            (None, State::Watched) if has_pixels => Err(Refused::LatePixels),
            // It was decided when the first of it went out.
            (None, State::Watched) if matches!(error, OpenError::NotSealed) => {
                Ok((false, out.gate.grant.take()))
            }
            _ => self.may_pass(error, key, has_pixels, kept),
        }
    }

    /// Whether an instance that does not open may go out as it is; whether it is sealed, and by which emergency access.
    fn may_pass(
        &self,
        error: OpenError,
        key: Option<String>,
        has_pixels: bool,
        kept: &[Bytes],
    ) -> Result<(bool, Option<String>), Refused> {
        match error {
            // Nobody was asked for a key: it begins as a sealed one does.
            // Who might open when the retrieval began and may not now gets ciphertext only where the rules say so.
            error @ OpenError::NoKey(_) if key.is_none() => match self.decide_unsealed(kept) {
                Answer::Refused(refusal) => Err(refusal.into()),
                Answer::Sealed => Ok((true, None)),
                Answer::Opened(_) => Err(Refused::Open { error, key }),
            },
            OpenError::NotSealed if has_pixels && self.is_lost(kept) => {
                Err(Refused::Open { error: OpenError::Damaged(Damage::Unmarked), key })
            }
            OpenError::NotSealed => match self.decide_unsealed(kept) {
                Answer::Refused(refusal) => Err(refusal.into()),
                Answer::Opened(grant) => {
                    let passes = !has_pixels || self.gateway.release.config.unsealed == Unsealed::Pass;
                    if passes { Ok((false, grant)) } else { Err(Refused::Unsealed) }
                }
                Answer::Sealed if has_pixels => Err(Refused::Unsealed),
                Answer::Sealed => Ok((false, None)),
            },
            error => Err(Refused::Open { error, key }),
        }
    }

    /// Whether it is noise that says nothing of itself.
    fn is_lost(&self, kept: &[Bytes]) -> bool {
        let encoding = self.transfer_syntax.encoding;
        is_lost(&self.gateway.archive, &self.instance, encoding, kept).unwrap_or(true)
    }

    /// The content key of what an instance claims to be; none for those who get it sealed.
    fn find_key(&self, claim: &Claim, search: &mut KeySearch) -> Option<ContentKey> {
        if !search.may_open {
            return None;
        }
        match self.gateway.archive.find_to_open(claim) {
            Ok(found) => {
                for (place, error) in &found.failures {
                    tracing::warn!(instance = %claim.binding.sop_instance, place, %error, "a key came from its second place");
                }
                search.found = Some(found.source);
                Some(found.content_key)
            }
            Err(error) => {
                search.is_destroyed = matches!(error.root(), KeysError::Destroyed { .. });
                search.problem = Some(error.to_string());
                None
            }
        }
    }
}

/// Whoever says whether it is sealed.
enum Judge<'a> {
    Opener(Box<Opener<KeyFinder<'a>>>, std::rc::Rc<std::cell::RefCell<&'a mut KeySearch>>),
    Compressed(Box<Compressed>),
}

type KeyFinder<'a> = Box<dyn FnMut(&Claim) -> Option<ContentKey> + 'a>;

impl<'a> Judge<'a> {
    fn new(job: &'a Job, search: &'a mut KeySearch) -> Result<Self, Refused> {
        if matches!(job.transfer_syntax.encoding, Encoding::Encapsulated | Encoding::ExplicitBig) {
            let judge = Compressed::new(job.transfer_syntax);
            return Ok(Self::Compressed(Box::new(judge)));
        }
        let syntax = Uid::parse(job.transfer_syntax.uid).expect("the table has good UIDs");
        let search = std::rc::Rc::new(std::cell::RefCell::new(search));
        let shared = std::rc::Rc::clone(&search);
        let finder: KeyFinder<'a> = Box::new(move |claim| {
            // Whoever asks for a sealed instance must get this instance, not another one that opens.
            let is_it = claim.binding.sop_instance == job.instance && claim.binding.sop_class == job.class;
            let mut search = shared.borrow_mut();
            if !is_it {
                search.problem = Some("the data set has other UIDs than the store of the PACS".to_owned());
                return None;
            }
            job.find_key(claim, &mut search)
        });
        let opener = Opener::new(&syntax, HeaderMode::Current, &job.gateway.layers, None, finder)
            .map_err(|error| Refused::Open { error, key: None })?;
        Ok(Self::Opener(Box::new(opener), search))
    }

    fn push(&mut self, piece: &[u8], out: &mut Out, began: &mut bool) -> Result<(), OpenError> {
        match self {
            Self::Compressed(judge) => judge.push(piece),
            Self::Opener(opener, _) => opener.push(piece, &mut |opened| out.take(&opened, began)),
        }
    }

    fn problem(&self) -> Option<String> {
        match self {
            Self::Opener(_, search) => search.borrow_mut().problem.take(),
            Self::Compressed(_) => None,
        }
    }

    fn finish(self, out: &mut Out) -> Result<(OpenedInstance, Option<Source>), (OpenError, Option<String>)> {
        match self {
            Self::Compressed(judge) => Err((judge.finish(), None)),
            Self::Opener(opener, search) => {
                let finished = opener.finish(&mut |opened| out.take(&opened, &mut false));
                let mut search = search.borrow_mut();
                finished.map(|opened| (opened, search.found)).map_err(|error| (error, search.problem.take()))
            }
        }
    }
}

/// What goes out: held, or as a stream once it is too much.
struct Out {
    reply: Option<Reply>,
    class: Uid,
    instance: Uid,
    transfer_syntax: TransferSyntax,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    limit: usize,
    stream: Option<mpsc::Sender<io::Result<Option<Bytes>>>>,
    /// Whether nobody takes the stream any more.
    is_left: bool,
    /// For the next piece.
    gathered: Pieces,
    gate: Gate,
}

type Decide = Box<dyn FnOnce(&Facts) -> Answer + Send>;

/// Nothing of an opened instance gets past it before its header has shown that these people may have it.
struct Gate {
    facts: Facts,
    /// For the audit trail.
    subject: Subject,
    decide: Option<Decide>,
    begin: Begin,
    grant: Option<String>,
    /// What was decided, if it is not that it may be opened.
    denied: Option<Answer>,
    /// Why it cannot be recorded that it is opened.
    unrecorded: Option<String>,
}

impl Gate {
    fn new(job: &Job) -> Self {
        let (access, gateway) = (job.access.clone(), Arc::clone(&job.gateway));
        let parties = job.parties.clone();
        let decide = move |facts: &Facts| {
            let answer = access.decide(facts, moment(), &gateway.release.grants.now());
            // An emergency access is not held up: it has its own alarm, and its own end.
            if answer != Answer::Opened(None) {
                return answer;
            }
            match gateway.release.meter(&access) {
                Ok(()) => answer,
                Err(limited) => {
                    if limited.is_first {
                        audit::limited(&gateway.trail, &parties, &limited.refusal);
                    }
                    Answer::Refused(limited.refusal)
                }
            }
        };
        let facts = facts::begin(&job.parties.pacs, &job.class);
        Self {
            facts,
            subject: Subject::default(),
            decide: Some(Box::new(decide)),
            begin: Begin::of(job),
            grant: None,
            denied: None,
            unrecorded: None,
        }
    }

    fn is_decided(&self) -> bool {
        self.decide.is_none()
    }

    /// The header is complete: whether what follows may go out.
    fn pass(&mut self) -> io::Result<()> {
        let Some(decide) = self.decide.take() else { return Ok(()) };
        match decide(&self.facts) {
            Answer::Opened(grant) => {
                self.grant = grant;
                self.begin.record(&self.subject, self.grant.as_deref()).map_err(|problem| {
                    self.unrecorded = Some(problem.clone());
                    io::Error::other(problem)
                })
            }
            denied => {
                self.denied = Some(denied);
                Err(io::Error::other("it may not be opened for these people"))
            }
        }
    }
}

impl Out {
    fn take(&mut self, opened: &Opened<'_>, began: &mut bool) -> io::Result<()> {
        match opened {
            Opened::Begin(original, _) => {
                *began = true;
                let syntax = TransferSyntax::by_uid(original.transfer_syntax.as_str());
                self.transfer_syntax = syntax
                    .ok_or_else(|| io::Error::other("the original's transfer syntax is not known here"))?;
                Ok(())
            }
            // What stood before the data set in a file has no place on the network.
            Opened::Front(_) => Ok(()),
            Opened::Header(tag, value) => {
                facts::take(&mut self.gate.facts, *tag, value);
                self.gate.subject.take(*tag, value);
                Ok(())
            }
            Opened::Data(bytes) => {
                self.gate.pass()?;
                self.write(bytes)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let written = gathered.write(bytes, |piece| self.put(piece));
        self.gathered = gathered;
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.gathered.rest().map_or(Ok(()), |piece| self.put(piece))
    }

    /// Hands on a piece that is no secret of ours.
    fn pass(&mut self, piece: Bytes) -> Result<(), Refused> {
        self.put(piece).map_err(|error| Refused::Open { error: OpenError::Sink(error), key: None })
    }

    fn put(&mut self, piece: Bytes) -> io::Result<()> {
        if let Some(stream) = &self.stream {
            self.is_left = stream.blocking_send(Ok(Some(piece))).is_err();
            let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it any more");
            return if self.is_left { Err(gone()) } else { Ok(()) };
        }
        self.held_bytes = self.held_bytes.saturating_add(piece.len());
        self.held.push_back(piece);
        if self.held_bytes > self.limit {
            let (sender, receiver) = mpsc::channel(PIECES_MAX);
            self.tell(Data::Stream(receiver));
            self.stream = Some(sender);
            let held = std::mem::take(&mut self.held);
            held.into_iter().try_for_each(|piece| self.put(piece))?;
        }
        Ok(())
    }

    fn tell(&mut self, data: Data) {
        if let Some(reply) = self.reply.take() {
            let delivery =
                Delivery::new(self.class.clone(), self.instance.clone(), self.transfer_syntax, data);
            // Nobody waits any more where the caller has gone.
            let _ = reply.send(Ok(delivery));
        }
    }

    /// Everything has come and has verified.
    fn finish(mut self) {
        if self.flush().is_err() {
            return;
        }
        if let Some(stream) = &self.stream {
            let _ = stream.blocking_send(Ok(None));
        } else {
            let held = std::mem::take(&mut self.held);
            self.tell(Data::Whole(held));
        }
    }

    fn fail(mut self, refused: Refused) {
        if let Some(stream) = &self.stream {
            let _ = stream.blocking_send(Err(io::Error::other(refused.to_string())));
        }
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(refused));
        }
    }
}
