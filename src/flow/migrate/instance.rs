//! One instance on its way: sealed or opened on a thread of its own while it arrives; what comes of it waits to be stored.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use super::content::{Content, ContentReader};
use super::{Direction, Migration, Target};
use crate::cipher::Layers;
use crate::dicom::{Encoding, TransferSyntax, Uid, is_document, never_has_pixels};
use crate::flow::lost::is_lost;
use crate::flow::pieces::Pieces;
use crate::flow::steps::{Step, reached};
use crate::keys::store::{Facts, OriginalAttributes};
use crate::keys::{Archive, Binding as KeyBinding, KeysError};
use crate::seal::element::is_pixel_data;
use crate::seal::scan::part10;
use crate::seal::scan::{Event, Limits, ScanError, Scanner};
use crate::seal::{
    Binding, Claim, ClearBytes, ContentKey, Damage, DataDigest, HeaderMode, KeyId, KeySource, NewSeal,
    NoEntropy, OpenError, Opened, Opener, Original, SealError, Sealed, Sealer, Sink, Suite, random,
};

/// What of an instance may be held until it is clear what it is.
const HEAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of an instance that comes in; its end is told, so that one that breaks off is not taken for whole.
pub(super) enum Piece {
    Data(Bytes),
    End,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sealed,
    Opened,
    /// It was as it should be.
    Unchanged,
    /// There is nothing to seal or open in it.
    WithoutPixels,
}

/// What it has to be when it is read back.
pub(super) enum Proof {
    /// It opens to the original data set with this digest.
    Original([u8; 32]),
    /// The file has this digest.
    File([u8; 32]),
    /// It says this.
    Content(Content),
    /// Nothing: it stays where it is.
    None,
}

/// Makes the proof while the instance is written.
enum Proving {
    File(Box<DataDigest>),
    Content(Box<ContentReader>),
    None,
}

impl Proving {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        match self {
            Self::File(digest) => digest.update(bytes),
            Self::Content(reader) => reader.push(bytes)?,
            Self::None => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Proof, ScanError> {
        Ok(match self {
            Self::File(digest) => Proof::File(digest.finish()),
            Self::Content(reader) => Proof::Content(reader.finish()?),
            Self::None => Proof::None,
        })
    }
}

/// Where it waits.
pub(super) enum Body {
    /// In a file: sealed, or without pixels, or in the folder that opened ones go to.
    File(NamedTempFile),
    /// In memory that is erased.
    Memory(VecDeque<Bytes>),
}

/// An instance that is ready to be stored.
pub(super) struct Prepared {
    pub(super) class: Uid,
    pub(super) instance: Uid,
    pub(super) syntax: TransferSyntax,
    pub(super) kind: Kind,
    pub(super) proof: Proof,
    pub(super) body: Body,
    pub(super) bytes: u64,
}

/// Why an instance cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unprepared {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it was sealed, and the archive has compressed its pixels: only a copy from before opens")]
    Compressed,
    #[error("it is still undecided after {HEAD_BYTES_MAX} bytes whether it has pixels")]
    Undecided,
    #[error("it broke off in the middle")]
    BrokenOff,
}

impl From<NoEntropy> for Unprepared {
    fn from(error: NoEntropy) -> Self {
        Self::Keys(error.into())
    }
}

/// What the thread works with.
pub(super) struct Job {
    archive: Arc<Archive>,
    keys: Arc<dyn KeySource>,
    layers: Layers,
    direction: Direction,
    suite: Suite,
    /// Where files are made: of sealed ones in the scratch folder, of opened ones beside where they go.
    folder: PathBuf,
    /// Whether opened ones are files.
    to_folder: bool,
    /// Whether what is as it should be stays where it is.
    is_back: bool,
    held_bytes_max: usize,
    study: Uid,
    class: Uid,
    instance: Uid,
    syntax: TransferSyntax,
}

impl Job {
    pub(super) fn new(
        migration: &Migration,
        study: &Uid,
        (class, instance): (&Uid, &Uid),
        syntax: TransferSyntax,
    ) -> Self {
        let plan = &migration.plan;
        Self {
            archive: Arc::clone(&migration.archive),
            keys: Arc::clone(&migration.generators.key_source),
            layers: migration.generators.layers.clone(),
            direction: plan.direction,
            suite: plan.suite,
            folder: migration.workplace.path().to_owned(),
            to_folder: matches!(plan.to, Target::Folder(_)),
            is_back: migration.is_back(),
            held_bytes_max: plan.held_bytes_max,
            study: study.clone(),
            class: class.clone(),
            instance: instance.clone(),
            syntax,
        }
    }

    /// Takes the pieces as they come; runs on a thread that may wait.
    pub(super) fn run(self, mut pieces: mpsc::Receiver<Piece>) -> Result<Prepared, Unprepared> {
        let may_be_sealed = self.direction == Direction::Open && is_document(self.class.as_str());
        if never_has_pixels(self.class.as_str()) && !may_be_sealed {
            return self.pass(&[], &mut pieces, Kind::WithoutPixels, |_| Ok(()));
        }
        match self.direction {
            Direction::Seal => self.seal(&mut pieces),
            Direction::Open => self.open(&mut pieces),
        }
    }

    fn seal(self, pieces: &mut mpsc::Receiver<Piece>) -> Result<Prepared, Unprepared> {
        let key_id = KeyId::new(random()?);
        let (sop_class, sop_instance) = (self.class.clone(), self.instance.clone());
        let binding = Binding { suite: self.suite, key_id, sop_class, sop_instance };
        let key = self.keys.draw(&binding)?;
        let for_keys = KeyBinding::from(&binding);
        let record = self.archive.wrap(&key, &for_keys)?;
        let transfer_syntax = Uid::parse(self.syntax.uid).expect("the table has good UIDs");
        let original = Original { transfer_syntax, front_bytes: 0 };
        let in_tag = self.archive.in_tag(&record, &key, &for_keys, Some(&self.study))?;
        let sink = FileSink(self.file()?);
        let unsure = Cell::new(None);
        let known = |claim: &Claim| {
            let found = self.archive.find_claimed(claim);
            found
                .unwrap_or_else(|error| {
                    unsure.set(Some(error));
                    None
                })
                .map(|found| found.content_key)
        };
        let new = NewSeal { binding: binding.clone(), key, key_record: in_tag };
        let mut sealer =
            Sealer::signed(&original, new, &self.layers, None, sink, known, self.archive.signer())?;
        let mut head = Head::default();
        while let Some(piece) = next(pieces)? {
            if sealer.described().is_none() {
                head.keep(&piece)?;
            }
            let undecided = sealer.described().is_none();
            match sealer.push(&piece) {
                Ok(()) => {}
                Err(SealError::AlreadySealed(_)) => return self.pass_sealed(&head.0, pieces),
                Err(error) => return Err(error.into()),
            }
            // To seal it once more would make noise of it for good.
            if let Some(error) = unsure.take() {
                return Err(error.into());
            }
            if undecided && sealer.described().is_some() && self.is_lost(&head) == Some(true) {
                return Err(OpenError::Damaged(Damage::Unmarked).into());
            }
        }
        let (sealed, sink) = match sealer.finish() {
            Ok(sealed) => sealed,
            Err(SealError::NoPixels) => return self.whole(&head.0),
            Err(error) => return Err(error.into()),
        };
        // First the key: what is stored can be opened.
        self.archive.keep(record, KeyBinding::from(&binding), facts(&sealed))?;
        reached(Step::MigratedKey);
        let syntax = TransferSyntax::by_uid(sealed.transfer_syntax).expect("a syntax of carriers");
        let (proof, bytes) = (Proof::Original(sealed.digest), sealed.bytes);
        let Self { class, instance, .. } = self;
        let body = Body::File(sink.0);
        Ok(Prepared { class, instance, syntax, kind: Kind::Sealed, proof, body, bytes })
    }

    fn open(self, pieces: &mut mpsc::Receiver<Piece>) -> Result<Prepared, Unprepared> {
        if matches!(self.syntax.encoding, Encoding::Encapsulated | Encoding::ExplicitBig) {
            return self.pass_compressed(pieces);
        }
        let transfer_syntax = Uid::parse(self.syntax.uid).expect("the table has good UIDs");
        let mut problem = None;
        let finder = |claim: &Claim| {
            let found = self.archive.find_to_open(claim).map(|found| found.content_key);
            found.map_err(|error| problem = Some(error)).ok()
        };
        let mut opener = Opener::new(&transfer_syntax, HeaderMode::Current, &self.layers, None, finder)?;
        let mut out = self.out()?;
        let mut head = Head::default();
        let failed = loop {
            let Some(piece) = next(pieces)? else { break None };
            if out.syntax.is_none() {
                head.keep(&piece)?;
            }
            if let Err(error) = opener.push(&piece, &mut |opened| out.take(&opened)) {
                break Some(error);
            }
        };
        let finished = match failed {
            Some(error) => Err(error),
            None => opener.finish(&mut |opened| out.take(&opened)).map(|_| ()),
        };
        match (finished, problem) {
            (Ok(()), _) => out.prepared(self),
            (Err(OpenError::NotSealed), _) if out.syntax.is_none() => {
                if self.is_lost(&head) == Some(true) {
                    return Err(OpenError::Damaged(Damage::Unmarked).into());
                }
                self.pass(&head.0, pieces, Kind::Unchanged, |_| Ok(()))
            }
            (Err(OpenError::NoKey(_)), Some(error)) => Err(error.into()),
            (Err(error), _) => Err(error.into()),
        }
    }

    /// What is compressed is not sealed as it is; it may have been.
    fn pass_compressed(self, pieces: &mut mpsc::Receiver<Piece>) -> Result<Prepared, Unprepared> {
        let mut head = Head::default();
        let mut pixels = Scanner::new(self.syntax.encoding, Limits::default(), None);
        loop {
            let Some(piece) = next(pieces)? else { return self.whole(&head.0) };
            head.keep(&piece)?;
            if !begins_pixels(&mut pixels, &piece) {
                continue;
            }
            return match self.is_lost(&head) {
                Some(true) => Err(Unprepared::Compressed),
                _ => self.pass(&head.0, pieces, Kind::Unchanged, |_| Ok(())),
            };
        }
    }

    /// It is sealed already, and stays so, if it opens to its end: a run that died may have been the one that stored it.
    fn pass_sealed(self, head: &[u8], pieces: &mut mpsc::Receiver<Piece>) -> Result<Prepared, Unprepared> {
        let mut opener = opener(&self.archive, &self.layers, self.syntax)?;
        let look = |bytes: &[u8]| Ok(opener.push(bytes, &mut |_| Ok(()))?);
        let prepared = self.pass(head, pieces, Kind::Unchanged, look)?;
        opener.finish(&mut |_| Ok(()))?;
        Ok(prepared)
    }

    /// Whether it is noise that says nothing of itself; nothing while that is not known.
    fn is_lost(&self, head: &Head) -> Option<bool> {
        is_lost(&self.archive, &self.instance, self.syntax.encoding, &[&*head.0])
    }

    /// Goes on with the bytes as they come, behind what has come; `look` sees them too.
    fn pass(
        self,
        head: &[u8],
        pieces: &mut mpsc::Receiver<Piece>,
        kind: Kind,
        mut look: impl FnMut(&[u8]) -> Result<(), Unprepared>,
    ) -> Result<Prepared, Unprepared> {
        let mut written = self.begin()?;
        look(head)?;
        written.write(head)?;
        // The piece that said that it is so is in the head; one whose end has come already sends none.
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::End => return self.unaltered(written, kind),
                Piece::Data(piece) => {
                    look(&piece)?;
                    written.write(&piece)?;
                }
            }
        }
        Err(Unprepared::BrokenOff)
    }

    /// All of it came, and it has no pixels.
    fn whole(self, head: &[u8]) -> Result<Prepared, Unprepared> {
        let mut written = self.begin()?;
        written.write(head)?;
        self.unaltered(written, Kind::WithoutPixels)
    }

    fn unaltered(self, written: Written, kind: Kind) -> Result<Prepared, Unprepared> {
        let Self { class, instance, syntax, .. } = self;
        let Written { file, proving, bytes } = written;
        Ok(Prepared {
            class,
            instance,
            syntax,
            kind,
            proof: proving.finish()?,
            body: Body::File(file),
            bytes,
        })
    }

    /// A file for what passes; one that stays a file begins with what stands before the data set in it.
    fn begin(&self) -> Result<Written, Unprepared> {
        let mut written = Written { file: self.file()?, proving: self.proving(self.syntax), bytes: 0 };
        if self.to_folder {
            written.write(&part10::write(&self.class, &self.instance, self.syntax.uid))?;
            written.bytes = 0;
        }
        Ok(written)
    }

    fn proving(&self, syntax: TransferSyntax) -> Proving {
        match (self.to_folder, self.is_back) {
            (true, _) => Proving::File(Box::default()),
            (false, true) => Proving::None,
            (false, false) => Proving::Content(Box::new(ContentReader::new(syntax))),
        }
    }

    fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.folder)
    }

    fn out(&self) -> io::Result<Out> {
        let file = if self.to_folder { Some(self.file()?) } else { None };
        Ok(Out {
            file,
            held: VecDeque::new(),
            gathered: Pieces::default(),
            bytes: 0,
            bytes_max: self.held_bytes_max as u64,
            syntax: None,
            proving: Proving::None,
        })
    }
}

/// The start of an instance while it may still be needed.
#[derive(Default)]
struct Head(ClearBytes);

impl Head {
    fn keep(&mut self, piece: &[u8]) -> Result<(), Unprepared> {
        self.0.extend_from_slice(piece);
        if self.0.len() > HEAD_BYTES_MAX { Err(Unprepared::Undecided) } else { Ok(()) }
    }
}

/// A file that is being written.
struct Written {
    file: NamedTempFile,
    proving: Proving,
    /// Of the data set.
    bytes: u64,
}

impl Written {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Unprepared> {
        self.proving.take(bytes)?;
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Takes what opens: into a file, or into memory as far as that goes.
struct Out {
    file: Option<NamedTempFile>,
    held: VecDeque<Bytes>,
    gathered: Pieces,
    bytes: u64,
    bytes_max: u64,
    syntax: Option<TransferSyntax>,
    proving: Proving,
}

impl Out {
    fn take(&mut self, opened: &Opened<'_>) -> io::Result<()> {
        match opened {
            Opened::Begin(original, binding) => {
                let syntax = TransferSyntax::by_uid(original.transfer_syntax.as_str());
                let syntax =
                    syntax.ok_or_else(|| io::Error::other("the original's transfer syntax is not known"))?;
                self.syntax = Some(syntax);
                let Some(file) = &mut self.file else {
                    self.proving = Proving::Content(Box::new(ContentReader::new(syntax)));
                    return Ok(());
                };
                self.proving = Proving::File(Box::default());
                let meta = part10::write(&binding.sop_class, &binding.sop_instance, syntax.uid);
                self.proving.take(&meta).map_err(io::Error::other)?;
                file.write_all(&meta)
            }
            Opened::Header(..) | Opened::Front(_) => Ok(()),
            Opened::Data(bytes) => {
                self.proving.take(bytes).map_err(io::Error::other)?;
                self.bytes += bytes.len() as u64;
                self.write(bytes)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        if self.bytes > self.bytes_max {
            return Err(io::Error::other(format!(
                "it has more than {} bytes, which is more than is held",
                self.bytes_max
            )));
        }
        self.gathered.write(bytes, |piece| {
            self.held.push_back(piece);
            Ok(())
        })
    }

    fn prepared(mut self, job: Job) -> Result<Prepared, Unprepared> {
        let syntax = self.syntax.ok_or(Unprepared::BrokenOff)?;
        self.held.extend(self.gathered.rest());
        let (kind, proof) = (Kind::Opened, self.proving.finish()?);
        let body = match self.file {
            Some(file) => Body::File(file),
            None => Body::Memory(self.held),
        };
        let Job { class, instance, .. } = job;
        Ok(Prepared { class, instance, syntax, kind, proof, body, bytes: self.bytes })
    }
}

/// Whether the pixels of a data set begin in this piece of it, or what cannot be read.
fn begins_pixels(scanner: &mut Scanner, piece: &[u8]) -> bool {
    let mut begins = false;
    let pushed = scanner.push(piece, &mut |event| {
        if let Event::Begin(head) = event {
            begins |= is_pixel_data(head.tag);
        }
        Ok::<(), ScanError>(())
    });
    begins || pushed.is_err()
}

fn next(pieces: &mut mpsc::Receiver<Piece>) -> Result<Option<Bytes>, Unprepared> {
    match pieces.blocking_recv() {
        Some(Piece::Data(piece)) => Ok(Some(piece)),
        Some(Piece::End) => Ok(None),
        None => Err(Unprepared::BrokenOff),
    }
}

pub(super) type KeyFinder = Box<dyn FnMut(&Claim) -> Option<ContentKey> + Send>;

/// Opens what is stored as it was before it was sealed, to see that it opens.
pub(super) fn opener(
    archive: &Arc<Archive>,
    layers: &Layers,
    syntax: TransferSyntax,
) -> Result<Opener<KeyFinder>, OpenError> {
    let archive = Arc::clone(archive);
    let finder: KeyFinder = Box::new(move |claim| {
        let binding = KeyBinding::from(&claim.binding);
        let found = archive.find(binding.key_id, claim.key_record.as_deref(), &binding);
        found.ok().map(|found| found.content_key)
    });
    let syntax = Uid::parse(syntax.uid).expect("the table has good UIDs");
    Opener::new(&syntax, HeaderMode::Original, layers, None, finder)
}

/// A file as what a sealer writes to.
struct FileSink(NamedTempFile);

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self.0.as_file(), bytes, at)
    }
}

/// What the key store keeps beside the key.
fn facts(sealed: &Sealed) -> Facts {
    Facts {
        study: sealed.study.clone(),
        series: sealed.series.clone(),
        calling: None,
        sealed_unix_millis: i64::try_from(crate::flow::now_unix_millis()).unwrap_or(i64::MAX),
        attributes: OriginalAttributes::of(sealed.image.as_ref(), sealed.original_syntax.clone()),
    }
}
