//! A sealed file: where its pixels lie, what they claim, and the stream in them.

use std::io::{Read, Seek, SeekFrom};

use super::plain::Plain;
use super::{Fault, FrameError};
use crate::cipher::Layers;
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::carrier::LIMITS;
use crate::seal::claim::{Claim, Claimed};
use crate::seal::element::{Length, PIXEL_DATA, is_pixel_data};
use crate::seal::header::{HEADER_BYTES, Header, HeaderError};
use crate::seal::key::ContentKey;
use crate::seal::opener::{Damage, OpenError};
use crate::seal::scan::part10::{self, FrontError};
use crate::seal::scan::{Event, ScanError, Scanner};
use crate::seal::sealer::around;
use crate::seal::signature::{SIGNER_BYTES, SignerKey};

const PIECE_BYTES: u64 = 64 * 1024;

/// Where the stream of a sealed file lies, and with what its key is looked for.
pub(super) struct Place<R> {
    file: R,
    pub(super) claim: Claim,
    header: Header,
    /// The stream's first byte, in the file.
    stream_at: u64,
}

impl<R: Read + Seek> Place<R> {
    /// Reads the header of the file, and the first of its pixels.
    pub(super) fn find(mut file: R) -> Result<Self, Fault> {
        file.seek(SeekFrom::Start(0))?;
        let (at, found) = look(&mut file)?;
        let block_there = found.claimed.has_block();
        let Some((behind, length)) = found.pixels else {
            return Err(if block_there {
                OpenError::Damaged(Damage::NoPixels)
            } else {
                OpenError::NotSealed
            }
            .into());
        };
        let mut at = at.saturating_add(behind);
        file.seek(SeekFrom::Start(at))?;
        let mut first = [0; HEADER_BYTES];
        let header = match read(&mut file, &mut first).map(|()| Header::read(&first)) {
            Some(Ok(header)) => header,
            Some(Err(HeaderError::NotSealed)) | None if block_there => return Err(FrameError::Harmed.into()),
            Some(Err(HeaderError::NotSealed)) | None => return Err(OpenError::NotSealed.into()),
            Some(Err(error)) => return Err(error.into()),
        };
        let needed = header.stream_bytes.saturating_add(around(header.signed));
        if u64::from(length) < needed {
            let have = u64::from(length);
            return Err(OpenError::Damaged(Damage::Shortened { have, needed }).into());
        }
        at = at.saturating_add(HEADER_BYTES as u64);
        let mut signer = None;
        if header.signed {
            let mut bytes = [0; SIGNER_BYTES];
            file.read_exact(&mut bytes)?;
            signer = Some(SignerKey::read(&bytes)?);
            at = at.saturating_add(SIGNER_BYTES as u64);
        }
        let claim = found.claimed.claim(&header, signer)?;
        Ok(Self { file, claim, header, stream_at: at })
    }

    /// Opens the stream.
    pub(super) fn open(self, key: &ContentKey, layers: &Layers) -> Result<Plain<R>, Fault> {
        let Self { file, claim, header, stream_at } = self;
        Plain::open(file, (stream_at, header.stream_bytes), key, (&claim.binding, claim.signer), layers)
    }
}

/// What the header of the file says.
#[derive(Default)]
struct Found {
    claimed: Claimed,
    /// Where the value of Pixel Data begins in the data set, and how long it is.
    pixels: Option<(u64, u32)>,
    done: bool,
}

impl Found {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            _ if self.done => {}
            Event::Element(element) => self.claimed.take(element),
            Event::Begin(head) if is_pixel_data(head.tag) => {
                self.done = true;
                if let (PIXEL_DATA, Length::Defined(length)) = (head.tag, head.length) {
                    self.pixels = Some((head.at.saturating_add(head.raw.len() as u64), length));
                }
            }
            Event::Begin(_) | Event::Bytes(_) | Event::End(_) => {}
        }
    }
}

/// Reads up to the pixels; gives where the data set begins in the file besides.
fn look(file: &mut impl Read) -> Result<(u64, Found), Fault> {
    let (front, mut piece) = part10::read(file, &LIMITS, None).map_err(|error| match error {
        FrontError::Io(error) => Fault::Io(error),
        FrontError::Scan(error) => Fault::Open(error.into()),
    })?;
    let syntax = front.transfer_syntax;
    let encoding = match TransferSyntax::by_uid(syntax.as_str()).map(|known| known.encoding) {
        None | Some(Encoding::Encapsulated | Encoding::ExplicitBig) => {
            return Err(OpenError::TransferSyntax(syntax).into());
        }
        Some(Encoding::Deflated) => return Err(FrameError::Deflated("the sealed instance").into()),
        Some(encoding) => encoding,
    };
    let (mut scanner, mut found) = (Scanner::new(encoding, LIMITS, None), Found::default());
    while !found.done {
        if piece.is_empty() {
            scanner.finish()?;
            break;
        }
        scanner.push(&piece, &mut |event| {
            found.take(&event);
            Ok::<(), ScanError>(())
        })?;
        piece.clear();
        file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
    }
    Ok((front.raw.len() as u64, found))
}

fn read(file: &mut impl Read, bytes: &mut [u8]) -> Option<()> {
    file.read_exact(bytes).ok()
}
