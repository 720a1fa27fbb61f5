//! Whole files: a DICOM file sealed into another, and back, in one pass each.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::carrier::LIMITS;
use super::claim::Claim;
use super::derive::Binding;
use super::key::ContentKey;
use super::opener::{HeaderMode, OpenError, Opened, OpenedInstance, Opener};
use super::peek::{Peek, Peeked};
use super::record::Original;
use super::scan::ScanError;
use super::scan::part10::{self, Front, FrontError};
use super::sealer::{NewSeal, SealError, Sealed, Sealer, Sink};
use super::signature::Signer;
use crate::cipher::Layers;
use crate::dicom::tags::{SOP_CLASS, SOP_INSTANCE};
use crate::dicom::{TransferSyntax, Uid};

const PIECE_BYTES: u64 = 64 * 1024;

/// Why a file cannot be sealed or opened. `E` is what the caller's own part says.
#[derive(Debug, thiserror::Error)]
pub enum FileError<E> {
    /// It cannot be read.
    #[error("it cannot be read: {0}; check the path, and who may read it")]
    Io(#[from] io::Error),
    /// It is no DICOM file, or a damaged one.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Opening failed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key is not to be had.
    #[error("{0}")]
    Key(E),
}

impl<E> From<FrontError> for FileError<E> {
    fn from(error: FrontError) -> Self {
        match error {
            FrontError::Io(error) => Self::Io(error),
            FrontError::Scan(error) => Self::Scan(error),
        }
    }
}

/// Seals `file` into `out`. `new_seal` makes the key, for the SOP Class and Instance UID of the data set; `find_key` knows
/// the keys of instances that are sealed already, which are refused.
pub fn seal_file<E>(
    mut file: impl Read,
    out: &mut (impl Write + Seek),
    layers: &Layers,
    new_seal: impl FnOnce(Uid, Uid) -> Result<NewSeal, E>,
    find_key: impl FnMut(&Claim) -> Option<ContentKey>,
) -> Result<(Sealed, Binding), FileError<E>> {
    let new_seal = |class, instance, _| new_seal(class, instance);
    seal_file_signed(&mut file, out, layers, new_seal, find_key, None)
}

/// The same, with the study known as well, where the file names one, and signed by the gateway that `signer` is.
pub fn seal_file_signed<E>(
    mut file: impl Read,
    out: &mut (impl Write + Seek),
    layers: &Layers,
    new_seal: impl FnOnce(Uid, Uid, Option<Uid>) -> Result<NewSeal, E>,
    find_key: impl FnMut(&Claim) -> Option<ContentKey>,
    signer: Option<Signer>,
) -> Result<(Sealed, Binding), FileError<E>> {
    let (front, first) = part10::read(&mut file, &LIMITS, None)?;
    let (mut start, sop_class, sop_instance, study) = read_uids(&mut file, &front, first)?;
    let new = new_seal(sop_class.clone(), sop_instance.clone(), study).map_err(FileError::Key)?;
    let binding = new.binding.clone();
    let syntax = syntax_of(&front)?;
    let meta = part10::write(&sop_class, &sop_instance, super::carrier::transfer_syntax(syntax.encoding));
    out.write_all(&meta).map_err(SealError::Sink)?;
    let original = Original {
        transfer_syntax: front.transfer_syntax,
        front_bytes: u32::try_from(front.raw.len()).unwrap_or(u32::MAX),
    };
    let sink = FileSink { file: out, base: meta.len() as u64 };
    let mut sealer = Sealer::signed(&original, new, layers, None, sink, find_key, signer)?;
    sealer.push_front(&front.raw)?;
    while !start.is_empty() {
        sealer.push(&start)?;
        start.clear();
        file.by_ref().take(PIECE_BYTES).read_to_end(&mut start)?;
    }
    Ok((sealer.finish()?.0, binding))
}

/// Opens the sealed `file` into `out`, as the file it was; one that came over the network gets a new preamble and file
/// meta information. What is in `out` after an error is to be thrown away.
pub fn open_file<E>(
    mut file: impl Read,
    mut out: impl Write,
    mode: HeaderMode,
    layers: &Layers,
    find_key: impl FnOnce(&Claim) -> Result<ContentKey, E>,
) -> Result<OpenedInstance, FileError<E>> {
    let (front, mut piece) = part10::read(&mut file, &LIMITS, None)?;
    let (mut find_key, mut refused) = (Some(find_key), None);
    let mut opener = Opener::new(&front.transfer_syntax, mode, layers, None, |claim: &Claim| {
        let found = find_key.take()?(claim);
        found.map_err(|error| refused = Some(error)).ok()
    })?;
    let mut on = |opened: Opened<'_>| match opened {
        Opened::Begin(original, binding) if original.front_bytes == 0 => {
            let syntax = original.transfer_syntax.as_str();
            out.write_all(&part10::write(&binding.sop_class, &binding.sop_instance, syntax))
        }
        Opened::Begin(..) | Opened::Header(..) => Ok(()),
        Opened::Front(bytes) | Opened::Data(bytes) => out.write_all(bytes),
    };
    let mut open = || {
        while !piece.is_empty() {
            opener.push(&piece, &mut on)?;
            piece.clear();
            file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
        }
        Ok(())
    };
    let outcome = open().and_then(|()| Ok(opener.finish(&mut on)?));
    match (outcome, refused) {
        (Err(FileError::Open(OpenError::NoKey(_))), Some(error)) => Err(FileError::Key(error)),
        (outcome, _) => outcome,
    }
}

fn syntax_of(front: &Front) -> Result<TransferSyntax, SealError> {
    TransferSyntax::by_uid(front.transfer_syntax.as_str())
        .ok_or_else(|| SealError::TransferSyntax(front.transfer_syntax.clone()))
}

/// Reads on until the data set has said its UIDs, which a key has to be bound to before anything can be sealed.
///
/// Gives all bytes of the data set that were read.
fn read_uids(
    file: &mut impl Read,
    front: &Front,
    first: Vec<u8>,
) -> Result<(Vec<u8>, Uid, Uid, Option<Uid>), SealError> {
    let mut peek = Peek::up_to_study(syntax_of(front)?.encoding);
    let (mut start, mut done) = (first, 0);
    loop {
        let piece = start.get(done..).unwrap_or_default();
        let ended = piece.is_empty();
        done = start.len();
        let more = peek.push(piece)?;
        let over = !more || ended || start.len() as u64 > LIMITS.header_bytes_max;
        if let Peeked { sop_class: Some(class), sop_instance: Some(instance), study, .. } = &peek.found
            && (over || study.is_some())
        {
            return Ok((start, class.clone(), instance.clone(), study.clone()));
        }
        if over {
            if ended {
                // A file that ends too soon is told as what it is.
                peek.finish()?;
            }
            let class = peek.found.sop_class.is_some();
            return Err(SealError::NoUid(if class { SOP_INSTANCE } else { SOP_CLASS }));
        }
        file.by_ref().take(PIECE_BYTES).read_to_end(&mut start)?;
    }
}

/// A data set inside a file, behind `base` bytes.
struct FileSink<'a, F> {
    file: &'a mut F,
    base: u64,
}

impl<F: Write + Seek> Sink for FileSink<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.base.saturating_add(at)))?;
        self.file.write_all(bytes)?;
        self.file.seek(SeekFrom::End(0)).map(|_| ())
    }
}
