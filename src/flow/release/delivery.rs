//! An instance that is ready to go out, whole or as it comes, in the transfer syntax it has or in another one.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Release;
use super::convert::{Converter, can_convert};
use crate::dicom::{Encoding, TransferSyntax, Uid};
use crate::policy::Refusal;
use crate::scu::Source;
use crate::seal::OpenError;
use crate::transcode::{
    TranscodeError, can_compress, can_decompress, compress, decompress, deflate, lossless,
};

/// Why an instance does not go out. It becomes a failed sub-operation.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It does not open.
    #[error("{error}{}", .key.as_deref().map(|key| format!(": {key}")).unwrap_or_default())]
    Open {
        /// Why.
        error: OpenError,
        /// Why there is no key, where that is it.
        key: Option<String>,
    },
    /// Its key was destroyed, by people who had the right to.
    #[error("{0}")]
    Destroyed(String),
    /// The rules do not let these people have it.
    #[error(transparent)]
    Policy(#[from] Refusal),
    /// It was never sealed, and this receiver does not get such images.
    #[error("it is not sealed, and images in clear are not passed on here")]
    Unsealed,
    /// It was to be passed on as having no pixels, and then had some.
    #[error("it has pixels behind more than is held back")]
    LatePixels,
    /// The PACS broke off in the middle.
    #[error("the PACS broke off in the middle of it")]
    BrokenOff,
    /// Who asked has cancelled.
    #[error("the caller has cancelled the retrieval")]
    Cancelled,
    /// Who asked is gone, or who receives takes no more of it.
    #[error("whoever was to have it went away in the middle, or took no more of it")]
    Left,
    /// The receiver takes it in no transfer syntax that it can be given in.
    #[error("the receiver takes no transfer syntax that it can be given in, it is in {0}")]
    TransferSyntax(&'static str),
    /// It could not be decompressed, or compressed.
    #[error("it cannot be transcoded: {0}")]
    Transcode(#[from] TranscodeError),
    /// Of several transfer syntaxes that the receiver takes it can be given in none.
    #[error(
        "it can be given in none of the transfer syntaxes that the receiver takes, let the receiver take a native one: {0}"
    )]
    NoneFits(String),
    /// It could not be given in another transfer syntax.
    #[error("it cannot be converted: {0}")]
    Convert(String),
    /// It cannot be recorded that it is opened.
    #[error("the audit trail does not take it: {0}")]
    Unrecorded(String),
    /// A task of ours died.
    #[error("a task of the gateway ended before it was done")]
    Task,
}

impl Refused {
    /// Whether another PACS's copy of the same instance may go out: it can be whole where this one is not, or come from
    /// where these people may have it.
    pub(super) fn may_differ_elsewhere(&self) -> bool {
        match self {
            Self::Open { error: OpenError::Sink(_), .. } | Self::Destroyed(_) | Self::Unrecorded(_) => false,
            Self::Policy(refusal) => !matches!(refusal, Refusal::TooMany { .. }),
            _ => true,
        }
    }
}

/// An instance on its way out. Of a whole one every byte has verified; a stream ends in an error if its end does not.
pub struct Delivery {
    /// SOP Class UID.
    pub class: Uid,
    /// SOP Instance UID.
    pub instance: Uid,
    /// How its data set is encoded.
    pub transfer_syntax: TransferSyntax,
    pub(super) data: Data,
    converter: Option<Box<Converter>>,
}

/// The pieces of a stream; `None` is its end.
pub(super) type Pieces = mpsc::Receiver<io::Result<Option<Bytes>>>;

pub(super) enum Data {
    Whole(VecDeque<Bytes>),
    Stream(Pieces),
}

impl Delivery {
    pub(super) fn new(class: Uid, instance: Uid, transfer_syntax: TransferSyntax, data: Data) -> Self {
        Self { class, instance, transfer_syntax, data, converter: None }
    }

    /// Whether nothing can go wrong with it any more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.data, Data::Whole(_))
    }

    /// The same once more, where all of it is here: a stream comes once.
    pub(super) fn again(&self) -> Option<Self> {
        let Data::Whole(pieces) = &self.data else { return None };
        let (class, instance) = (self.class.clone(), self.instance.clone());
        Some(Self::new(class, instance, self.transfer_syntax, Data::Whole(pieces.clone())))
    }

    /// Its bytes, where they are known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.data {
            Data::Whole(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Data::Stream(_) => None,
        }
    }

    /// Of the syntaxes that the receiver takes those it can go out in, the best first: its own, or one that it can be given
    /// in without touching its pixels, or, where it may be transcoded, a native one. Where there is none of these, those that
    /// it may be compressed to without losses; which of them can hold this image shows when it is tried.
    #[must_use]
    pub fn choices(&self, taken: &[TransferSyntax], may_transcode: bool) -> Vec<TransferSyntax> {
        let own = self.transfer_syntax;
        if taken.contains(&own) {
            return vec![own];
        }
        let passes = |target: &&TransferSyntax| can_convert(own, **target);
        // Big endian was retired: it is given to those who take nothing else.
        if let Some(target) = taken.iter().filter(passes).min_by_key(|target| is_big(**target)) {
            return vec![*target];
        }
        let is_native = native().is_some_and(|native| can_convert(own, native));
        let may_decode = may_transcode && can_decompress(own);
        let mut natives = NATIVE.into_iter().filter_map(TransferSyntax::by_uid);
        if may_decode && let Some(target) = natives.find(|target| taken.contains(target)) {
            return vec![target];
        }
        let mut packed = Vec::new();
        if may_transcode && (is_native || may_decode) {
            packed.extend(lossless());
        }
        // No pixel is touched by it.
        if is_native || may_decode {
            packed.extend(TransferSyntax::by_uid(TransferSyntax::DEFLATED));
        }
        packed.retain(|target| taken.contains(target));
        packed
    }

    /// The same instance in the first of these choices that can hold it.
    pub async fn into_one_of(self, choices: &[TransferSyntax], release: &Release) -> Result<Self, Refused> {
        let keyword = self.transfer_syntax.keyword;
        let Some(first) = choices.first() else { return Err(Refused::TransferSyntax(keyword)) };
        if *first == self.transfer_syntax || !is_packed(*first) {
            return self.into_syntax(*first, release).await;
        }
        let mut native = self.into_native(release).await?;
        let mut reasons: Vec<String> = Vec::new();
        for target in choices {
            let left = if choices.last() == Some(target) { Left::Nothing } else { Left::Native };
            match native.packed(*target, left, release).await {
                Ok(delivery) => return Ok(delivery),
                Err(reason) if choices.len() == 1 => return Err(reason),
                Err(reason) => reasons.push(format!("{}: {reason}", target.keyword)),
            }
        }
        Err(Refused::NoneFits(reasons.join("; ")))
    }

    /// The same instance in another transfer syntax.
    pub async fn into_syntax(self, target: TransferSyntax, release: &Release) -> Result<Self, Refused> {
        if target == self.transfer_syntax {
            return Ok(self);
        }
        if self.transfer_syntax.encoding == Encoding::Encapsulated {
            let native = self.decompressed(release).await?;
            return Box::pin(native.into_syntax(target, release)).await;
        }
        if is_packed(target) {
            return self.into_native(release).await?.packed(target, Left::Nothing, release).await;
        }
        if !can_convert(self.transfer_syntax, target) {
            return Err(Refused::TransferSyntax(self.transfer_syntax.keyword));
        }
        let converter = Converter::new(self.transfer_syntax.encoding, target.encoding);
        match self.data {
            Data::Stream(_) => {
                Ok(Self { transfer_syntax: target, converter: Some(Box::new(converter)), ..self })
            }
            Data::Whole(pieces) => {
                let converted = tokio::task::spawn_blocking(move || converter.convert(pieces)).await;
                let pieces = converted
                    .map_err(|_| Refused::Task)?
                    .map_err(|error| Refused::Convert(error.to_string()))?;
                Ok(Self { transfer_syntax: target, data: Data::Whole(pieces), ..self })
            }
        }
    }

    /// The same in Explicit VR Little Endian with native pixels, taken in whole.
    pub(super) async fn into_native(self, release: &Release) -> Result<Self, Refused> {
        let explicit = native().ok_or(Refused::TransferSyntax(self.transfer_syntax.keyword))?;
        let native = Box::pin(self.into_syntax(explicit, release)).await?;
        let (class, instance) = (native.class.clone(), native.instance.clone());
        let pieces = native.whole(release.config.transcoded_bytes_max).await?;
        Ok(Self::new(class, instance, explicit, Data::Whole(pieces)))
    }

    /// A whole native one compressed without losses, or deflated.
    pub(super) async fn packed(
        &mut self,
        target: TransferSyntax,
        left: Left,
        release: &Release,
    ) -> Result<Self, Refused> {
        let Data::Whole(own) = &mut self.data else { return Err(Refused::TransferSyntax(target.keyword)) };
        let pieces = if left == Left::Native { own.clone() } else { std::mem::take(own) };
        let bytes_max = release.config.transcoded_bytes_max;
        // A semaphore that nobody closes always gives.
        let _permit = release.decoding.acquire().await;
        let packing = tokio::task::spawn_blocking(move || match target.encoding {
            Encoding::Deflated => deflate(&pieces),
            _ => compress(pieces, target, bytes_max),
        });
        let pieces = packing.await.map_err(|_| Refused::Task)??;
        Ok(Self::new(self.class.clone(), self.instance.clone(), target, Data::Whole(pieces)))
    }

    /// All of it as it goes out, once its end has verified.
    async fn whole(mut self, bytes_max: u64) -> Result<VecDeque<Bytes>, Refused> {
        if self.converter.is_none() {
            return self.data.gathered(bytes_max).await;
        }
        let (mut pieces, mut bytes) = (VecDeque::new(), 0_u64);
        while let Some(piece) = self.next().await.map_err(|error| Refused::Convert(error.to_string()))? {
            bytes = bytes.saturating_add(piece.len() as u64);
            if bytes > bytes_max {
                return Err(TranscodeError::TooLarge { bytes, max: bytes_max }.into());
            }
            pieces.push_back(piece);
        }
        Ok(pieces)
    }

    /// The same in Explicit VR Little Endian with native pixels. One that arrives as a stream is first taken in whole, as
    /// long as it is not larger than its pixels may be, so that nothing is decoded that has not verified.
    async fn decompressed(self, release: &Release) -> Result<Self, Refused> {
        let syntax = self.transfer_syntax;
        let native =
            native().filter(|_| can_decompress(syntax)).ok_or(Refused::TransferSyntax(syntax.keyword))?;
        // A semaphore that nobody closes always gives.
        let _permit = release.decoding.acquire().await;
        let bytes_max = release.config.transcoded_bytes_max;
        let pieces = self.data.gathered(bytes_max).await?;
        let decoding = tokio::task::spawn_blocking(move || decompress(pieces, syntax, bytes_max)).await;
        let pieces = decoding.map_err(|_| Refused::Task)??;
        Ok(Self::new(self.class, self.instance, native, Data::Whole(pieces)))
    }
}

/// What is left of an instance when it has been compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// All of it, for another try.
    Native,
    /// Its memory is used.
    Nothing,
}

/// Whether an instance is made smaller, and looked at again, to be in this transfer syntax.
fn is_packed(target: TransferSyntax) -> bool {
    target.encoding == Encoding::Deflated || can_compress(target)
}

/// The native transfer syntaxes that an image can be given in, the best first.
pub(super) const NATIVE: [&str; 3] =
    [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE, TransferSyntax::EXPLICIT_BIG];

fn is_big(target: TransferSyntax) -> bool {
    target.encoding == Encoding::ExplicitBig
}

fn native() -> Option<TransferSyntax> {
    TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE)
}

impl Data {
    /// All of it, once its end has verified.
    async fn gathered(self, bytes_max: u64) -> Result<VecDeque<Bytes>, Refused> {
        let mut stream = match self {
            Self::Whole(pieces) => return Ok(pieces),
            Self::Stream(stream) => stream,
        };
        let (mut pieces, mut bytes) = (VecDeque::new(), 0_u64);
        while let Some(piece) = stream.next().await.map_err(|error| Refused::Convert(error.to_string()))? {
            bytes = bytes.saturating_add(piece.len() as u64);
            if bytes > bytes_max {
                return Err(TranscodeError::TooLarge { bytes, max: bytes_max }.into());
            }
            pieces.push_back(piece);
        }
        Ok(pieces)
    }
}

impl Source for Delivery {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let piece = match &mut self.data {
                Data::Whole(pieces) => return Ok(pieces.pop_front()),
                Data::Stream(stream) => stream.next().await?,
            };
            let Some(converter) = &mut self.converter else { return Ok(piece) };
            let Some(piece) = piece else {
                converter.finish().map_err(io::Error::other)?;
                self.converter = None;
                return Ok(None);
            };
            let converted = converter.push(&piece).map_err(io::Error::other)?;
            if !converted.is_empty() {
                return Ok(Some(converted));
            }
        }
    }
}
