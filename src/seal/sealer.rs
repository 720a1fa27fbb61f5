//! The sealer: an original's bytes in, in pieces of any size; the sealed instance out, while they arrive.
//!
//! Clear bytes are held in memory only, and few of them: the header until the pixels begin, one chunk of the stream.

use std::io;

use dicom_core::Tag;

use super::carrier::{self, BlockFinder, CarrierHeader, Content, LIMITS, Room, Unfinished};
use super::claim::Claim;
use super::derive::{Binding, NoEntropy, random};
use super::element::Length;
use super::fragments::{Fragments, Part};
use super::geometry::TooLarge;
use super::header::{HEADER_BYTES, Header, MAGIC};
use super::key::{ContentKey, KeyId};
use super::layered::LayeredSealer;
use super::metadata::Metadata;
use super::record::{Original, RecordWriter};
use super::scan::{Element, Event, Head, Image, ImageAttributes, ScanError, Scanner};
use super::signature::{SIGNATURE_BYTES, SIGNER_BYTES, Signer, SignerKey, Signing, context};
use super::stream::{PREFIX_BYTES, SALT_BYTES, StreamError, commits, sealed_length};
use crate::cipher::{CipherError, Layers};
use crate::dicom::tags::{PATIENT_ID, SERIES, SOP_CLASS, SOP_INSTANCE, STUDY};
use crate::dicom::{Encoding, TransferSyntax, Uid, text_of};

/// What of the stream waits for the carrier's header, at most: a packed header.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// PS3.5 7.1.1: lengths are 32-bit numbers, even, and FFFFFFFFH means something else.
const PIXELS_BYTES_MAX: u64 = 0xFFFF_FFFE;
/// What it takes at most to verify that an instance is sealed already: fixed header, signer, salt and commitment.
const CLAIM_BYTES: usize = HEADER_BYTES + SIGNER_BYTES + PREFIX_BYTES;

/// Where a sealed instance goes. It gets ciphertext and a header that may be read by anyone, never clear pixels.
pub trait Sink {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Writes over bytes that it took before; `at` counts from the first one.
    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let place = start.checked_add(bytes.len()).and_then(|end| self.get_mut(start..end));
        place.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
        Ok(())
    }
}

/// Why an instance cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The data set is damaged, or more than the limits allow.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Its transfer syntax is not one that Sealgate takes.
    #[error("transfer syntax {0} is not one that this program takes")]
    TransferSyntax(Uid),
    /// The data set has other UIDs than the message or file it came in, or none.
    #[error("{tag} of the data set is {found}, but it was announced as {announced}")]
    Uid {
        /// SOP Class UID or SOP Instance UID.
        tag: Tag,
        /// What the data set has.
        found: String,
        /// What the command or file meta information said.
        announced: Uid,
    },
    /// The data set does not say what it is.
    #[error("{0} is missing: without it the data set is no instance that a key can belong to")]
    NoUid(Tag),
    /// It is sealed already, under a key that is known and that it commits to.
    #[error("the instance is sealed already, under key {0}")]
    AlreadySealed(KeyId),
    /// There is nothing to seal.
    #[error("the instance has no pixels, and no document either that could be sealed")]
    NoPixels,
    /// The carrier cannot hold it.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// More frames than the sealed stream has bytes.
    #[error("{frames} frames in {bytes} bytes: no image has less than a byte for a frame")]
    Frames {
        /// Number of Frames.
        frames: u32,
        /// Bytes of the stream.
        bytes: u64,
    },
    /// More in front of the pixels than is held in memory.
    #[error("the header takes more than {WAITING_BYTES_MAX} bytes when it is packed")]
    Header,
    /// The cipher refuses to go on.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The inner layer of the suite cannot be made.
    #[error(transparent)]
    Layer(#[from] CipherError),
    /// No random numbers.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The sealed bytes cannot be written.
    #[error("the sealed instance cannot be written: {0}; check the disk, and who may write there")]
    Sink(#[from] io::Error),
}

/// What a new seal is made of.
pub struct NewSeal {
    /// What it is bound to.
    pub binding: Binding,
    /// The content key, made for this binding.
    pub key: ContentKey,
    /// What goes into the private block.
    pub key_record: Option<Vec<u8>>,
}

/// What is known of an instance from when its pixels begin.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// What its pixels are; none in a document.
    pub image: Option<&'a Image>,
    /// Study Instance UID, if there is a good one.
    pub study: Option<&'a Uid>,
    /// Series Instance UID, if there is a good one.
    pub series: Option<&'a Uid>,
}

/// What is known of an instance once it is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The transfer syntax of the sealed instance.
    pub transfer_syntax: &'static str,
    /// Bytes of the sealed data set.
    pub bytes: u64,
    /// The transfer syntax that the original came in.
    pub original_syntax: Uid,
    /// What the original's pixels were; none in a document.
    pub image: Option<Image>,
    /// Study Instance UID, if there is a good one.
    pub study: Option<Uid>,
    /// Patient ID, for the audit trail alone.
    pub patient: Option<String>,
    /// Series Instance UID, if there is a good one.
    pub series: Option<Uid>,
    /// Digest of the original data set, keyed by nothing: a secret like the data set itself.
    pub digest: [u8; 32],
}

/// Seals one instance. `K` finds the content key of an instance that claims to be sealed already, if it is known.
pub struct Sealer<S, K> {
    scanner: Scanner,
    deflated: bool,
    work: Work<S, K>,
}

/// Everything but the scanner, which hands its events to it.
struct Work<S, K> {
    find_key: K,
    binding: Binding,
    key_record: Option<Vec<u8>>,
    syntax: Uid,
    encoding: Encoding,
    records: RecordWriter,
    stream: LayeredSealer,
    out: Output<S>,
    content: Content,
    /// The carrier's header, until the pixels or the document begin.
    header: Option<CarrierHeader>,
    /// What stays clear behind a document.
    behind: Option<CarrierHeader>,
    attributes: ImageAttributes,
    seen: Seen,
    metadata: Metadata,
    block: BlockFinder,
    image: Option<Image>,
    /// The first pixels, while they could be those of a sealed instance.
    first: Option<First>,
    /// While encapsulated pixels pass.
    fragments: Option<Fragments>,
}

/// The beginning of native pixels that so far look like a fixed header.
struct First {
    /// The length of the pixels.
    length: Length,
    bytes: Vec<u8>,
}

/// UIDs of the data set.
#[derive(Default)]
struct Seen {
    sop_class: bool,
    sop_instance: bool,
    study: Option<Uid>,
    series: Option<Uid>,
    patient: Option<String>,
}

/// Where the stream goes: into memory until the carrier's header is out, then to the sink.
struct Output<S> {
    sink: S,
    waiting: Vec<u8>,
    carrier: Option<Unfinished>,
    /// Bytes of the stream.
    stream_bytes: u64,
    /// Who signs, and what of the signature there is so far.
    signing: Option<(Signer, Signing)>,
}

impl<S> Output<S> {
    /// Bytes of fixed header, stream and signature so far.
    fn needed(&self) -> u64 {
        self.stream_bytes.saturating_add(around(self.signing.is_some()))
    }
}

/// Bytes around the stream: the fixed header, and of a signed instance signer and signature.
pub(super) const fn around(signed: bool) -> u64 {
    const SIGNED: usize = HEADER_BYTES + SIGNER_BYTES + SIGNATURE_BYTES;
    (if signed { SIGNED } else { HEADER_BYTES }) as u64
}

impl<S: Sink> Output<S> {
    fn stream(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        self.stream_bytes = self.stream_bytes.saturating_add(bytes.len() as u64);
        if let Some((_, signing)) = &mut self.signing {
            signing.take(bytes);
        }
        let Some(carrier) = &self.carrier else {
            self.waiting.extend_from_slice(bytes);
            return if self.waiting.len() > WAITING_BYTES_MAX { Err(SealError::Header) } else { Ok(()) };
        };
        let needed = self.needed();
        if needed > PIXELS_BYTES_MAX {
            return Err(TooLarge { needed, frames: carrier.frames() }.into());
        }
        Ok(self.sink.write(bytes)?)
    }
}

impl<S: Sink, K: FnMut(&Claim) -> Option<ContentKey>> Sealer<S, K> {
    /// Starts to seal what `original` describes. `layers` has the inner layer of the suite, if the suite has one; `total`
    /// is the length of the data set where it is known.
    pub fn new(
        original: &Original,
        new: NewSeal,
        layers: &Layers,
        total: Option<u64>,
        sink: S,
        find_key: K,
    ) -> Result<Self, SealError> {
        Self::signed(original, new, layers, total, sink, find_key, None)
    }

    /// The same, signed by the gateway that `signer` is.
    pub fn signed(
        original: &Original,
        new: NewSeal,
        layers: &Layers,
        total: Option<u64>,
        sink: S,
        find_key: K,
        signer: Option<Signer>,
    ) -> Result<Self, SealError> {
        let syntax = TransferSyntax::by_uid(original.transfer_syntax.as_str())
            .ok_or_else(|| SealError::TransferSyntax(original.transfer_syntax.clone()))?;
        let salt: [u8; SALT_BYTES] = random()?;
        let by = signer.as_ref().map(Signer::key);
        let signing = signer.map(|signer| (signer, Signing::new()));
        let waiting = Vec::with_capacity(16 * 1024);
        let mut out = Output { sink, waiting, carrier: None, stream_bytes: 0, signing };
        let NewSeal { binding, key, key_record } = new;
        let mut stream =
            LayeredSealer::new(&key, &salt, &binding, by, layers, &mut |sealed| out.stream(sealed))?;
        let records =
            RecordWriter::new(original, &mut |plain| stream.push(plain, &mut |sealed| out.stream(sealed)))?;
        let work = Work {
            find_key,
            content: Content::of(&binding.sop_class),
            behind: None,
            binding,
            key_record,
            syntax: original.transfer_syntax.clone(),
            encoding: syntax.encoding,
            records,
            stream,
            out,
            header: Some(CarrierHeader::new(syntax.encoding)),
            attributes: ImageAttributes::new(syntax.encoding),
            seen: Seen::default(),
            metadata: Metadata::default(),
            block: BlockFinder::default(),
            image: None,
            first: None,
            fragments: None,
        };
        let scanner = Scanner::new(syntax.encoding, LIMITS, total);
        Ok(Self { scanner, deflated: syntax.encoding == Encoding::Deflated, work })
    }

    /// Takes the next bytes of what stands before the data set in a file; before all else, and as many as `original` said.
    pub fn push_front(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        self.work.pack(bytes)
    }

    /// Takes the next bytes of the data set.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        let work = &mut self.work;
        if self.deflated {
            // What is sealed is what came; the events describe what it inflates to.
            work.verbatim(bytes)?;
        }
        let deflated = self.deflated;
        self.scanner.push(bytes, &mut |event| work.take(&event, deflated))
    }

    /// What the instance is, once it is certain that it will be sealed: there are pixels, and they are not sealed yet.
    #[must_use]
    pub fn described(&self) -> Option<Described<'_>> {
        let Work { image, seen, out, .. } = &self.work;
        out.carrier.as_ref()?;
        Some(Described { image: image.as_ref(), study: seen.study.as_ref(), series: seen.series.as_ref() })
    }

    /// The data set is over: completes the sealed instance. Without it, what the sink got is worth nothing.
    pub fn finish(mut self) -> Result<(Sealed, S), SealError> {
        self.scanner.finish()?;
        self.work.finish()
    }
}

impl<S: Sink, K: FnMut(&Claim) -> Option<ContentKey>> Work<S, K> {
    fn take(&mut self, event: &Event<'_>, deflated: bool) -> Result<(), SealError> {
        match event {
            Event::Element(element) => {
                self.take_element(element)?;
                if deflated { Ok(()) } else { self.pack(element.raw) }
            }
            Event::Begin(head) => {
                if !deflated {
                    self.pack(head.raw)?;
                }
                let begins = self.content.is_under(head.tag) && self.header.is_some();
                if begins { self.begin_content(head, deflated) } else { Ok(()) }
            }
            Event::Bytes(bytes) if self.first.is_some() => self.look_at(bytes),
            Event::Bytes(_) if deflated => Ok(()),
            // A long sequence before the pixels waits in memory: it is worth packing.
            Event::Bytes(bytes) if self.header.is_some() => self.pack(bytes),
            Event::Bytes(bytes) if self.fragments.is_some() => self.encapsulated(bytes),
            Event::Bytes(bytes) => self.verbatim(bytes),
            Event::End(_) => {
                self.fragments = None;
                // Too short to be a sealed instance.
                self.decide()
            }
        }
    }

    fn take_element(&mut self, element: &Element<'_>) -> Result<(), SealError> {
        let uid = || Uid::from_wire(element.value).ok();
        match element.tag {
            SOP_CLASS => self.seen.sop_class = same_uid(element, &self.binding.sop_class)?,
            SOP_INSTANCE => self.seen.sop_instance = same_uid(element, &self.binding.sop_instance)?,
            STUDY => self.seen.study = uid(),
            PATIENT_ID => self.seen.patient = text_of(element.value),
            SERIES => self.seen.series = uid(),
            Tag(group, _) if group % 2 == 1 => self.block.take(element.tag, element.value),
            _ => {}
        }
        self.attributes.take(element)?;
        // Nothing that stands behind the pixels is shown in clear.
        match (&mut self.header, &mut self.behind) {
            (Some(header), _) => {
                self.metadata.take(element);
                Ok(header.take(element)?)
            }
            (None, Some(behind)) => Ok(behind.take_behind(element)?),
            (None, None) => Ok(()),
        }
    }

    fn begin_content(&mut self, head: &Head<'_>, deflated: bool) -> Result<(), SealError> {
        if !self.seen.sop_class {
            return Err(SealError::NoUid(SOP_CLASS));
        }
        if !self.seen.sop_instance {
            return Err(SealError::NoUid(SOP_INSTANCE));
        }
        if self.content == Content::Pixels {
            let image = self.attributes.image()?;
            if let Length::Defined(length) = head.length {
                self.check_room(&image, length)?;
            }
            self.image = Some(image);
        }
        if head.tag == self.content.carrier_tag() && self.is_native() && !deflated {
            self.first = Some(First { length: head.length, bytes: Vec::with_capacity(CLAIM_BYTES) });
            return Ok(());
        }
        self.begin_carrier(head.length, deflated)
    }

    /// Writes the carrier's header, and lets the stream through from here on.
    fn begin_carrier(&mut self, length: Length, deflated: bool) -> Result<(), SealError> {
        let header = self.header.take().ok_or(ScanError::Spent)?;
        let (key_id, key_record) = (self.binding.key_id, self.key_record.as_deref());
        let (bytes, carrier) = if let Some(image) = &self.image {
            header.finish(image, &self.binding.sop_class, key_id, key_record)
        } else {
            let (bytes, carrier, behind) = header.finish_document(key_id, key_record);
            self.behind = Some(behind);
            (bytes, carrier)
        };
        let Self { stream, metadata, out, .. } = self;
        stream.describe(metadata.bytes(), &mut |sealed| out.stream(sealed))?;
        out.sink.write(&bytes)?;
        // Filled in at the end, when the length is known: until then nobody takes it for a sealed image.
        out.sink.write(&[0; HEADER_BYTES])?;
        if let Some((signer, _)) = &out.signing {
            out.sink.write(&signer.key().write())?;
        }
        out.sink.write(&out.waiting)?;
        out.waiting = Vec::new();
        out.carrier = Some(carrier);
        match length {
            Length::Defined(length) if !deflated => self.announce(length),
            Length::Undefined if !deflated => {
                self.fragments = Some(Fragments::default());
                Ok(())
            }
            Length::Defined(_) | Length::Undefined => Ok(()),
        }
    }

    /// Gathers the first pixels for as long as they look like those of a sealed instance.
    fn look_at(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        let Some(first) = &mut self.first else { return Ok(()) };
        let missing = CLAIM_BYTES.saturating_sub(first.bytes.len());
        let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        first.bytes.extend_from_slice(now);
        let looks_sealed = first.bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic);
        if looks_sealed && first.bytes.len() < CLAIM_BYTES {
            return Ok(());
        }
        self.decide()?;
        if later.is_empty() { Ok(()) } else { self.verbatim(later) }
    }

    /// Ends the look at the first pixels: a good claim is no error of the sender, everything else is an image.
    fn decide(&mut self) -> Result<(), SealError> {
        let Some(First { length, bytes }) = self.first.take() else { return Ok(()) };
        if let Some(key_id) = self.sealed_under(&bytes) {
            return Err(SealError::AlreadySealed(key_id));
        }
        self.begin_carrier(length, false)?;
        if bytes.is_empty() { Ok(()) } else { self.verbatim(&bytes) }
    }

    /// The key that an instance with these first pixels is sealed under, if that key is known and committed to.
    fn sealed_under(&mut self, pixels: &[u8]) -> Option<KeyId> {
        let (header, prefix) = pixels.split_first_chunk()?;
        let header = Header::read(header).ok()?;
        let (signer, prefix) = match prefix.split_first_chunk() {
            Some((signer, behind)) if header.signed => (Some(SignerKey::read(signer).ok()?), behind),
            _ => (None, prefix),
        };
        let binding = Binding { suite: header.suite, key_id: header.key_id, ..self.binding.clone() };
        let context = context(&binding, signer);
        let key_record = self.block.key_record().map(<[u8]>::to_vec);
        let key = (self.find_key)(&Claim { binding, key_record, signer })?;
        commits(&key, &context, prefix.first_chunk()?).then_some(header.key_id)
    }

    /// What cannot fit is refused before anything of it is stored.
    fn check_room(&self, image: &Image, pixels: u32) -> Result<(), SealError> {
        let sealed = sealed_length(u64::from(pixels)).unwrap_or(u64::MAX);
        let least = sealed.saturating_add(around(self.out.signing.is_some()));
        Ok(Room::of(image, &self.binding.sop_class).shape(least, self.is_native()).map(|_| ())?)
    }

    fn is_native(&self) -> bool {
        self.encoding != Encoding::Encapsulated
    }

    fn finish(self) -> Result<(Sealed, S), SealError> {
        let native = self.is_native();
        let Self { records, mut stream, mut out, image, behind, seen, syntax, encoding, .. } = self;
        let carrier = out.carrier.ok_or(SealError::NoPixels)?;
        let digest = records.finish(&mut |plain| stream.push(plain, &mut |sealed| out.stream(sealed)))?;
        stream.finish(&mut |sealed| out.stream(sealed))?;
        let needed = out.needed();
        if u64::from(carrier.frames()) > needed {
            return Err(SealError::Frames { frames: carrier.frames(), bytes: needed });
        }
        let shape = carrier.shape(needed, native)?;
        let padding = u64::from(shape.bytes).saturating_sub(needed);
        let Binding { suite, key_id, .. } = self.binding;
        let signed = out.signing.is_some();
        let header = Header { suite, key_id, signed, stream_bytes: out.stream_bytes };
        if let Some((signer, signing)) = &out.signing {
            out.sink.write(&signing.sign(signer, &header, &self.binding))?;
        }
        write_zeros(&mut out.sink, padding)?;
        let behind = behind.map(|mut behind| behind.elements(|_, _| {})).unwrap_or_default();
        out.sink.write(&behind)?;
        for (at, bytes) in carrier.patches(shape, &header) {
            out.sink.patch(at, &bytes)?;
        }
        let sealed = Sealed {
            transfer_syntax: carrier::transfer_syntax(encoding),
            bytes: carrier
                .content_at
                .saturating_add(u64::from(shape.bytes))
                .saturating_add(behind.len() as u64),
            original_syntax: syntax,
            image,
            study: seen.study,
            patient: seen.patient,
            series: seen.series,
            digest,
        };
        Ok((sealed, out.sink))
    }

    fn pack(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        let Self { records, stream, out, .. } = self;
        records.pack(bytes, &mut |plain| stream.push(plain, &mut |sealed| out.stream(sealed)))
    }

    fn verbatim(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        let Self { records, stream, out, .. } = self;
        records.verbatim(bytes, &mut |plain| stream.push(plain, &mut |sealed| out.stream(sealed)))
    }

    /// Takes bytes of encapsulated pixels: each fragment becomes one record.
    fn encapsulated(&mut self, mut bytes: &[u8]) -> Result<(), SealError> {
        while let (false, Some(fragments)) = (bytes.is_empty(), &mut self.fragments) {
            let (part, later) = fragments.next(bytes);
            bytes = later;
            match part {
                Part::Bytes(now) => self.verbatim(now)?,
                Part::Fragment(head, length) => {
                    self.verbatim(head)?;
                    self.announce(length)?;
                }
            }
        }
        Ok(())
    }

    fn announce(&mut self, length: u32) -> Result<(), SealError> {
        let Self { records, stream, out, .. } = self;
        records.announce(length, &mut |plain| stream.push(plain, &mut |sealed| out.stream(sealed)))
    }
}

fn same_uid(element: &Element<'_>, announced: &Uid) -> Result<bool, SealError> {
    let found = Uid::from_wire(element.value);
    if found.as_ref() == Ok(announced) {
        return Ok(true);
    }
    let found = found.map_or_else(|error| error.to_string(), |uid| uid.to_string());
    Err(SealError::Uid { tag: element.tag, found, announced: announced.clone() })
}

fn write_zeros(sink: &mut impl Sink, mut left: u64) -> io::Result<()> {
    let zeros = [0; 4096];
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        sink.write(zeros.get(..usize::try_from(now).unwrap_or(0)).unwrap_or_default())?;
        left = left.saturating_sub(now);
    }
    Ok(())
}
