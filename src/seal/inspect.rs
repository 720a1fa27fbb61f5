//! What a DICOM file is, from one pass through it: its class, its image, and whether it is sealed.

use std::io::{self, Read};

use dicom_core::Tag;

use super::carrier::{BlockFinder, Content};
use super::element::is_pixel_data;
use super::header::{HEADER_BYTES, Header, HeaderError};
use super::scan::part10::{self, FrontError};
use super::scan::{Element, Event, Image, ImageAttributes, Limits, ScanError, Scanner};
use super::signature::{SIGNATURE_BYTES, SIGNER_BYTES, SignatureError, SignerKey, Signing};
use crate::dicom::tags::{SOP_CLASS, SOP_INSTANCE};
use crate::dicom::{TransferSyntax, Uid};

const PIECE_BYTES: usize = 64 * 1024;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The transfer syntax of the file.
    pub transfer_syntax: Uid,
    /// SOP Class UID, if it has a good one.
    pub sop_class: Option<Uid>,
    /// SOP Instance UID, if it has a good one.
    pub sop_instance: Option<Uid>,
    /// Bytes of the data set.
    pub data_set_bytes: u64,
    /// The image, if there are pixels.
    pub image: Option<Image>,
    /// Whether the pixels begin like those of a sealed image, and what they claim.
    pub seal: Seal,
    /// The gateway that signed it, or why its signature does not hold; none where the fixed header says that nobody did.
    pub signature: Option<Result<SignerKey, SignatureProblem>>,
    /// The key record in the instance's private block, if there is one; a padding byte may stand behind it.
    pub key_record: Option<Vec<u8>>,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// It does not verify.
    #[error(transparent)]
    Wrong(#[from] SignatureError),
    /// The pixels, or a UID, that it would cover are not there.
    #[error("the signature cannot be verified: pixels or UIDs that it covers are missing")]
    Incomplete,
}

/// Whether an instance is sealed. It is a claim: only a key can verify it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// There are no pixels that could be, and no document.
    NoPixels,
    /// The pixels, or the document, are ordinary ones.
    Clear,
    /// They begin with a fixed header.
    Sealed(Header),
    /// They begin with one that this program cannot use.
    Unusable(HeaderError),
}

/// Why a file cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("it cannot be read: {0}; check the path, and who may read it")]
    Io(#[from] io::Error),
    /// It is not a DICOM file, or a damaged one.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Its transfer syntax has no pixels in the file, or is none.
    #[error("transfer syntax {0} is not one that this program takes")]
    TransferSyntax(Uid),
}

impl From<FrontError> for InspectError {
    fn from(error: FrontError) -> Self {
        match error {
            FrontError::Io(error) => Self::Io(error),
            FrontError::Scan(error) => Self::Scan(error),
        }
    }
}

/// Reads a file from its first byte to its last, holding no more of it than the scanner does.
pub fn inspect(mut file: impl Read) -> Result<Inspection, InspectError> {
    let limits = Limits::default();
    let (front, mut piece) = part10::read(&mut file, &limits, None)?;
    let syntax = TransferSyntax::by_uid(front.transfer_syntax.as_str())
        .ok_or_else(|| InspectError::TransferSyntax(front.transfer_syntax.clone()))?;
    let mut scanner = Scanner::new(syntax.encoding, limits, None);
    let mut finding = Finding::new(ImageAttributes::new(syntax.encoding));
    loop {
        scanner.push(&piece, &mut |event| finding.take(&event))?;
        piece.clear();
        if file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)? == 0 {
            break;
        }
    }
    scanner.finish()?;
    finding.conclude(front.transfer_syntax, scanner.position())
}

/// What is gathered on the way.
struct Finding {
    attributes: ImageAttributes,
    sop_class: Option<Uid>,
    sop_instance: Option<Uid>,
    has_pixels: bool,
    has_document: bool,
    /// In what holds the stream of a sealed instance.
    in_content: bool,
    first_pixels: Vec<u8>,
    signed: Option<Signed>,
    block: BlockFinder,
}

/// The signed bytes of the pixels, as far as they have come.
struct Signed {
    header: Header,
    signer: Vec<u8>,
    stream: Signing,
    stream_left: u64,
    signature: Vec<u8>,
}

impl Signed {
    fn new(header: Header) -> Self {
        let (signer, signature) = (Vec::with_capacity(SIGNER_BYTES), Vec::with_capacity(SIGNATURE_BYTES));
        Self { header, signer, stream: Signing::new(), stream_left: header.stream_bytes, signature }
    }

    fn take(&mut self, bytes: &[u8]) {
        let bytes = gather(&mut self.signer, SIGNER_BYTES, bytes);
        let now = usize::try_from(self.stream_left).unwrap_or(usize::MAX).min(bytes.len());
        let (stream, behind) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
        self.stream.take(stream);
        self.stream_left = self.stream_left.saturating_sub(now as u64);
        gather(&mut self.signature, SIGNATURE_BYTES, behind);
    }

    fn verify(&self, class: Option<&Uid>, instance: Option<&Uid>) -> Result<SignerKey, SignatureProblem> {
        let parts = (self.signer.first_chunk(), self.signature.first_chunk(), class, instance);
        let (Some(signer), Some(signature), Some(class), Some(instance)) = parts else {
            return Err(SignatureProblem::Incomplete);
        };
        let signer = SignerKey::read(signer)?;
        self.stream.verify(signer, &self.header, (class, instance), signature)?;
        Ok(signer)
    }
}

/// Fills a field of so many bytes, and gives what is left.
fn gather<'a>(field: &mut Vec<u8>, length: usize, bytes: &'a [u8]) -> &'a [u8] {
    let missing = length.saturating_sub(field.len());
    let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
    field.extend_from_slice(now);
    later
}

impl Finding {
    fn new(attributes: ImageAttributes) -> Self {
        Self {
            attributes,
            sop_class: None,
            sop_instance: None,
            has_pixels: false,
            has_document: false,
            in_content: false,
            first_pixels: Vec::with_capacity(HEADER_BYTES),
            signed: None,
            block: BlockFinder::default(),
        }
    }

    fn take(&mut self, event: &Event<'_>) -> Result<(), ScanError> {
        match event {
            Event::Element(element) => return self.take_element(element),
            Event::Begin(head) => {
                let content = self.sop_class.as_ref().map_or(Content::Pixels, Content::of);
                self.in_content = head.tag == content.carrier_tag();
                self.has_pixels |= is_pixel_data(head.tag);
                self.has_document |= content == Content::Document && content.is_under(head.tag);
            }
            Event::Bytes(bytes) if self.in_content => self.take_pixels(bytes),
            Event::Bytes(_) => {}
            Event::End(_) => self.in_content = false,
        }
        Ok(())
    }

    fn take_pixels(&mut self, bytes: &[u8]) {
        let whole = self.first_pixels.len() == HEADER_BYTES;
        let bytes = gather(&mut self.first_pixels, HEADER_BYTES, bytes);
        if !whole && let Some(Ok(header)) = self.first_pixels.first_chunk().map(Header::read) {
            self.signed = header.signed.then(|| Signed::new(header));
        }
        if let Some(signed) = &mut self.signed {
            signed.take(bytes);
        }
    }

    fn take_element(&mut self, element: &Element<'_>) -> Result<(), ScanError> {
        match element.tag {
            SOP_CLASS => self.sop_class = Uid::from_wire(element.value).ok(),
            SOP_INSTANCE => self.sop_instance = Uid::from_wire(element.value).ok(),
            Tag(group, _) if group % 2 == 1 => self.block.take(element.tag, element.value),
            _ => {}
        }
        self.attributes.take(element)
    }

    fn conclude(self, transfer_syntax: Uid, data_set_bytes: u64) -> Result<Inspection, InspectError> {
        let seal = match self.first_pixels.first_chunk().map(Header::read) {
            _ if !self.has_pixels && !self.has_document => Seal::NoPixels,
            None | Some(Err(HeaderError::NotSealed)) => Seal::Clear,
            Some(Ok(header)) => Seal::Sealed(header),
            Some(Err(error)) => Seal::Unusable(error),
        };
        let image = if self.has_pixels { Some(self.attributes.image()?) } else { None };
        let Self { sop_class, sop_instance, signed, block, .. } = self;
        let signature = signed.map(|signed| signed.verify(sop_class.as_ref(), sop_instance.as_ref()));
        let key_record = block.key_record().map(<[u8]>::to_vec);
        Ok(Inspection {
            transfer_syntax,
            sop_class,
            sop_instance,
            data_set_bytes,
            image,
            seal,
            signature,
            key_record,
        })
    }
}
