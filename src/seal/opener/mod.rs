//! The opener: a sealed instance's bytes in, in pieces of any size; the original out, while they arrive.
//!
//! Every byte that it gives out is authentic, but only [`Opener::finish`] says that they are all: what was given out
//! before an error has to be thrown away, and its transfer aborted.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod compare;
mod damage;
mod error;
mod merge;
mod restore;

pub use compare::element_digest;
pub use damage::Damage;
pub use error::OpenError;
pub use merge::Changes;
pub use restore::Opened;

use std::io;

use self::damage::Signs;
use self::merge::PacsHeader;
use self::restore::Restore;
use super::carrier::{Content, LIMITS};
use super::claim::{Claim, Claimed};
use super::derive::Binding;
use super::element::{Layout, is_pixel_data};
use super::header::{HEADER_BYTES, Header, HeaderError};
use super::key::ContentKey;
use super::layered::LayeredOpener;
use super::record::{Original, RecordReader, Restored};
use super::scan::{Element, Event, Head, ScanError, Scanner};
use super::sealer::around;
use super::signature::{SIGNATURE_BYTES, SIGNER_BYTES, SignerKey, Signing};
use crate::cipher::Layers;
use crate::dicom::{Encoding, TransferSyntax, Uid};

/// What is certain once an instance is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedInstance {
    /// What the original was.
    pub original: Original,
    /// The key that opened it, and what it is bound to.
    pub binding: Binding,
    /// The gateway that signed it, whose signature is good; none where nobody did.
    pub signer: Option<SignerKey>,
    /// What the PACS changed since; nothing where that was not asked for.
    pub changes: Changes,
}

/// Which header the opened instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderMode {
    /// Attributes that the PACS changed since are as the PACS has them.
    #[default]
    Current,
    /// Every byte is as it was sealed.
    Original,
}

/// Opens one sealed instance. `K` finds the content key for what the instance claims, or says by `None` that it has
/// none (and keeps the reason to itself).
pub struct Opener<K> {
    scanner: Scanner,
    work: Work<K>,
}

struct Work<K> {
    find_key: K,
    layers: Layers,
    claimed: Claimed,
    signs: Signs,
    pacs: Option<PacsHeader>,
    pixels: Pixels,
    /// Bytes of what holds the stream so far.
    pixel_bytes: u64,
    /// Who claims to have signed, and what of the signed bytes has come.
    signing: Option<(SignerKey, Signing)>,
    out: Out,
}

/// Where in the carrier's pixels it is, or in what stands in their place in a document.
enum Pixels {
    Before,
    /// In the fixed header.
    Header(Vec<u8>),
    /// In the signer's part, behind this fixed header.
    Signer(Header, Vec<u8>),
    /// In the stream, with so many bytes of it to come.
    Stream {
        stream: Box<LayeredOpener>,
        left: u64,
        header: Header,
    },
    /// In the signature.
    Signature(Header, Vec<u8>),
    /// Behind the stream.
    Padding,
}

/// What comes out of the stream.
struct Out {
    records: RecordReader,
    restore: Restore,
    binding: Option<Binding>,
    original: Option<Original>,
    front_left: usize,
}

impl Out {
    /// Takes authentic plaintext.
    fn push(
        &mut self,
        plain: &[u8],
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        let Self { records, restore, binding, original, front_left } = self;
        records.push(plain, &mut |restored| match restored {
            Restored::Begin(began) => {
                *front_left = usize::try_from(began.front_bytes).unwrap_or(usize::MAX);
                restore.begin(&began, binding.as_ref())?;
                if let Some(binding) = binding {
                    on(Opened::Begin(&began, binding))?;
                }
                *original = Some(began);
                Ok(())
            }
            Restored::Bytes(bytes) => {
                let (front, data) = bytes.split_at_checked(*front_left).unwrap_or((bytes, &[]));
                *front_left = front_left.saturating_sub(front.len());
                if !front.is_empty() {
                    on(Opened::Front(front))?;
                }
                if data.is_empty() { Ok(()) } else { restore.push(data, on) }
            }
        })
    }
}

impl<K: FnMut(&Claim) -> Option<ContentKey>> Opener<K> {
    /// Starts to open an instance that comes in this transfer syntax. `layers` has the inner layers of suites that have
    /// one; `total` is the length of the data set if known.
    pub fn new(
        transfer_syntax: &Uid,
        mode: HeaderMode,
        layers: &Layers,
        total: Option<u64>,
        find_key: K,
    ) -> Result<Self, OpenError> {
        let encoding = match TransferSyntax::by_uid(transfer_syntax.as_str()).map(|syntax| syntax.encoding) {
            None | Some(Encoding::Encapsulated | Encoding::ExplicitBig) => {
                return Err(OpenError::TransferSyntax(transfer_syntax.clone()));
            }
            Some(encoding) => encoding,
        };
        let pacs = (mode == HeaderMode::Current).then(|| PacsHeader::new(Layout::from(encoding)));
        let out = Out {
            records: RecordReader::default(),
            restore: Restore::Exact,
            binding: None,
            original: None,
            front_left: 0,
        };
        let work = Work {
            find_key,
            layers: layers.clone(),
            claimed: Claimed::default(),
            signs: Signs::new(encoding),
            pacs,
            pixels: Pixels::Before,
            pixel_bytes: 0,
            signing: None,
            out,
        };
        Ok(Self { scanner: Scanner::new(encoding, LIMITS, total), work })
    }

    /// Takes the next bytes of the sealed data set, and tells `on` what opens.
    pub fn push(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        let work = &mut self.work;
        self.scanner.push(bytes, &mut |event| work.take(&event, on))
    }

    /// The sealed data set is over. Only if this succeeds is what came out the original.
    pub fn finish(
        mut self,
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<OpenedInstance, OpenError> {
        self.scanner.finish()?;
        let Work { pixels, claimed, signing, out, .. } = self.work;
        let (Pixels::Padding, Some(original), Some(binding)) = (pixels, out.original, out.binding) else {
            let was_sealed = claimed.has_block();
            return Err(if was_sealed { OpenError::Damaged(Damage::NoPixels) } else { OpenError::NotSealed });
        };
        let changes = out.restore.finish(on)?;
        let signer = signing.map(|(signer, _)| signer);
        Ok(OpenedInstance { original, binding, signer, changes })
    }
}

impl<K: FnMut(&Claim) -> Option<ContentKey>> Work<K> {
    fn take(
        &mut self,
        event: &Event<'_>,
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        match event {
            Event::Element(element) => {
                // Behind the pixels a sealer writes nothing, and what a PACS adds there it cannot mean.
                if matches!(self.pixels, Pixels::Before) {
                    self.take_element(element);
                }
                Ok(())
            }
            Event::Begin(head) => self.begin(head),
            Event::Bytes(bytes) => self.take_pixels(bytes, on),
            Event::End(tail) if self.content().is_under(tail.tag) => self.end_pixels(),
            Event::End(_) => Ok(()),
        }
    }

    fn take_element(&mut self, element: &Element<'_>) {
        self.claimed.take(element);
        self.signs.take(element);
        if let Some(pacs) = &mut self.pacs {
            pacs.take(element);
        }
    }

    fn begin(&mut self, head: &Head<'_>) -> Result<(), OpenError> {
        if head.tag == self.content().carrier_tag() && matches!(self.pixels, Pixels::Before) {
            self.pixels = Pixels::Header(Vec::with_capacity(HEADER_BYTES));
        } else if is_pixel_data(head.tag) {
            return Err(self.not_sealed(&[]));
        }
        Ok(())
    }

    /// What its class says that is sealed in it.
    fn content(&self) -> Content {
        self.claimed.sop_class().map_or(Content::Pixels, Content::of)
    }

    fn take_pixels(
        &mut self,
        mut bytes: &[u8],
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        let before = self.pixel_bytes;
        if !matches!(self.pixels, Pixels::Before) {
            self.pixel_bytes = before.saturating_add(bytes.len() as u64);
        }
        if let Pixels::Header(gathered) = &mut self.pixels {
            let missing = HEADER_BYTES.saturating_sub(gathered.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            gathered.extend_from_slice(now);
            bytes = later;
            let Some(first) = gathered.first_chunk().copied() else { return Ok(()) };
            self.take_header(&first)?;
        }
        if let Pixels::Signer(header, gathered) = &mut self.pixels {
            let missing = SIGNER_BYTES.saturating_sub(gathered.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            gathered.extend_from_slice(now);
            bytes = later;
            let Some(signer) = gathered.first_chunk() else { return Ok(()) };
            let (signer, header) = (SignerKey::read(signer)?, *header);
            self.signing = Some((signer, Signing::new()));
            self.begin_stream(header)?;
        }
        if let Pixels::Stream { stream, left, header } = &mut self.pixels {
            let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
            *left = left.saturating_sub(now.len() as u64);
            bytes = later;
            if let Some((_, signing)) = &mut self.signing {
                signing.take(now);
            }
            let out = &mut self.out;
            stream.push(now, &mut |plain| out.push(plain, on))?;
            if *left == 0 {
                stream.finish(&mut |plain| out.push(plain, on))?;
                out.records.finish()?;
                let header = *header;
                self.pixels =
                    if header.signed { Pixels::Signature(header, Vec::new()) } else { Pixels::Padding };
            }
        }
        bytes = self.take_signature(bytes)?;
        match (&self.pixels, bytes.iter().position(|byte| *byte != 0)) {
            (Pixels::Padding, Some(wrong)) => {
                let behind = bytes.len().saturating_sub(wrong) as u64;
                Err(OpenError::Padding { at: self.pixel_bytes.saturating_sub(behind) })
            }
            _ => Ok(()),
        }
    }

    /// Takes what of these bytes belongs to the signature, and gives what does not.
    fn take_signature<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], OpenError> {
        let Pixels::Signature(header, gathered) = &mut self.pixels else { return Ok(bytes) };
        let missing = SIGNATURE_BYTES.saturating_sub(gathered.len());
        let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        gathered.extend_from_slice(now);
        let (Some(signature), Some((signer, signing))) = (gathered.first_chunk(), &self.signing) else {
            return Ok(later);
        };
        if let Some(uids) = self.claimed.uids() {
            signing.verify(*signer, header, uids, signature)?;
            self.pixels = Pixels::Padding;
        }
        Ok(later)
    }

    fn take_header(&mut self, first: &[u8; HEADER_BYTES]) -> Result<(), OpenError> {
        let header = match Header::read(first) {
            Ok(header) => header,
            Err(HeaderError::NotSealed) => return Err(self.not_sealed(first)),
            Err(error) => return Err(error.into()),
        };
        if header.signed {
            self.pixels = Pixels::Signer(header, Vec::with_capacity(SIGNER_BYTES));
            return Ok(());
        }
        self.begin_stream(header)
    }

    fn begin_stream(&mut self, header: Header) -> Result<(), OpenError> {
        let signer = self.signing.as_ref().map(|(signer, _)| *signer);
        let claim = self.claimed.claim(&header, signer)?;
        let key = (self.find_key)(&claim).ok_or(OpenError::NoKey(header.key_id))?;
        self.out.restore = Restore::Waiting(self.pacs.take());
        let stream = Box::new(LayeredOpener::new(key, &claim.binding, signer, &self.layers));
        self.out.binding = Some(claim.binding);
        self.pixels = Pixels::Stream { stream, left: header.stream_bytes, header };
        Ok(())
    }

    fn end_pixels(&self) -> Result<(), OpenError> {
        match &self.pixels {
            Pixels::Header(first) => Err(self.not_sealed(first)),
            Pixels::Stream { header, .. } | Pixels::Signer(header, _) | Pixels::Signature(header, _) => {
                let needed = header.stream_bytes.saturating_add(around(header.signed));
                Err(OpenError::Damaged(Damage::Shortened { have: self.pixel_bytes, needed }))
            }
            Pixels::Before | Pixels::Padding => Ok(()),
        }
    }

    /// Pixels that begin with `first` and no fixed header: an ordinary image, or one that the private block says was
    /// sealed.
    fn not_sealed(&self, first: &[u8]) -> OpenError {
        if self.claimed.has_block() {
            OpenError::Damaged(self.signs.explain(first))
        } else {
            OpenError::NotSealed
        }
    }
}

impl From<ScanError> for OpenError {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}
