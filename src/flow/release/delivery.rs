//! An instance that is ready to go out, whole or as it comes, in the transfer syntax it has or in another one.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::convert::{Converter, can_convert};
use crate::dicom::{TransferSyntax, Uid};
use crate::scu::Source;
use crate::seal::OpenError;

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
    /// It was never sealed, and this receiver does not get such images.
    #[error("it is not sealed, and images in clear are not passed on here")]
    Unsealed,
    /// It was to be passed on as having no pixels, and then had some.
    #[error("it has pixels behind more than is held back")]
    LatePixels,
    /// The PACS broke off in the middle.
    #[error("the PACS broke off in the middle of it")]
    BrokenOff,
    /// The receiver takes it in no transfer syntax that it can be given in.
    #[error("the receiver takes no transfer syntax that it can be given in, it is in {0}")]
    TransferSyntax(&'static str),
    /// It could not be given in another transfer syntax.
    #[error("it cannot be converted: {0}")]
    Convert(String),
    /// A task of ours died.
    #[error("a task of the gateway ended before it was done")]
    Task,
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

    /// Its bytes, where they are known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.data {
            Data::Whole(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Data::Stream(_) => None,
        }
    }

    /// Of the syntaxes that the receiver takes the one it goes out in: its own, or one that it can be given in.
    #[must_use]
    pub fn choose(&self, taken: &[TransferSyntax]) -> Option<TransferSyntax> {
        if taken.contains(&self.transfer_syntax) {
            return Some(self.transfer_syntax);
        }
        taken.iter().copied().find(|target| can_convert(self.transfer_syntax, *target, self.is_whole()))
    }

    /// The same instance in another transfer syntax.
    pub async fn into_syntax(self, target: TransferSyntax) -> Result<Self, Refused> {
        if target == self.transfer_syntax {
            return Ok(self);
        }
        if !can_convert(self.transfer_syntax, target, self.is_whole()) {
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
