//! The original on its way out: merged with what the PACS changed, or exactly as it was.

use std::io::{self, Write};

use dicom_core::Tag;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::OpenError;
use super::merge::{Changes, Merge, PacsHeader};
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::carrier::{Content, LIMITS};
use crate::seal::derive::Binding;
use crate::seal::element::{Layout, PIXEL_DATA};
use crate::seal::record::Original;
use crate::seal::scan::{Event, Scanner};

/// Of a deflated original's start nothing goes out before its header is compared; this is what may wait.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the opener tells.
#[derive(Debug)]
pub enum Opened<'a> {
    /// What the original was, and what its key is bound to; always first.
    Begin(&'a Original, &'a Binding),
    /// An element of the original's header as it was sealed, whatever the PACS made of it since. Told where the two are
    /// compared ([`super::HeaderMode::Current`]), before the first bytes of the data set.
    Header(Tag, &'a [u8]),
    /// The next bytes of what stood before the data set in a file.
    Front(&'a [u8]),
    /// The next bytes of the data set.
    Data(&'a [u8]),
}

/// Takes the bytes of the original as they come out of the stream.
pub(super) enum Restore {
    /// Nothing is known yet; the PACS's header waits, or none is wanted.
    Waiting(Option<PacsHeader>),
    /// Every byte as it was.
    Exact,
    /// Compared on the way.
    Merged(Box<Merged>),
}

pub(super) struct Merged {
    content: Content,
    scanner: Scanner,
    merge: Merge,
    in_header: bool,
    /// Scratch for what goes out.
    out: Vec<u8>,
    deflated: Option<Deflated>,
}

/// A deflated data set: what came goes out, unless something in it changes.
enum Deflated {
    /// Its header is not complete; these are its bytes so far.
    Waiting(Vec<u8>),
    /// Nothing changed.
    AsItWas,
    /// It is deflated anew.
    Anew(DeflateEncoder<Vec<u8>>),
}

impl Restore {
    /// Begins with what the original was.
    pub(super) fn begin(&mut self, original: &Original, binding: Option<&Binding>) -> Result<(), OpenError> {
        let Self::Waiting(pacs) = self else { return Ok(()) };
        let Some(pacs) = pacs.take() else {
            *self = Self::Exact;
            return Ok(());
        };
        let syntax = TransferSyntax::by_uid(original.transfer_syntax.as_str())
            .ok_or_else(|| OpenError::OriginalSyntax(original.transfer_syntax.clone()))?;
        *self = Self::Merged(Box::new(Merged {
            content: binding.map_or(Content::Pixels, |binding| Content::of(&binding.sop_class)),
            scanner: Scanner::new(syntax.encoding, LIMITS, None),
            merge: Merge::new(pacs, Layout::from(syntax.encoding)),
            in_header: true,
            out: Vec::new(),
            deflated: (syntax.encoding == Encoding::Deflated).then(|| Deflated::Waiting(Vec::new())),
        }));
        Ok(())
    }

    /// Takes the next bytes of the original data set.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        match self {
            Self::Merged(merged) => merged.push(bytes, on),
            Self::Exact | Self::Waiting(_) => Ok(on(Opened::Data(bytes))?),
        }
    }

    /// The original is complete.
    pub(super) fn finish(
        self,
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<Changes, OpenError> {
        match self {
            Self::Merged(merged) => merged.finish(on),
            Self::Exact | Self::Waiting(_) => Ok(Changes::default()),
        }
    }
}

impl Merged {
    fn push(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        match &mut self.deflated {
            None => return self.scan(bytes, on),
            Some(Deflated::AsItWas) => return Ok(on(Opened::Data(bytes))?),
            Some(Deflated::Anew(_)) => {}
            Some(Deflated::Waiting(waiting)) => {
                waiting.extend_from_slice(bytes);
                if waiting.len() > WAITING_BYTES_MAX {
                    return Err(OpenError::HeaderTooLarge);
                }
            }
        }
        // What the merged data set inflates to is gathered, and goes out as a whole.
        let mut inflated = Vec::new();
        self.scan(bytes, &mut |opened| match opened {
            Opened::Data(bytes) => {
                inflated.extend_from_slice(bytes);
                Ok(())
            }
            other => on(other),
        })?;
        if let (Some(Deflated::Waiting(waiting)), false) = (&mut self.deflated, self.in_header) {
            let waiting = std::mem::take(waiting);
            if self.merge.is_unchanged() {
                self.deflated = Some(Deflated::AsItWas);
                return Ok(on(Opened::Data(&waiting))?);
            }
            self.deflated = Some(Deflated::Anew(DeflateEncoder::new(Vec::new(), Compression::default())));
        }
        if let Some(Deflated::Anew(encoder)) = &mut self.deflated {
            encoder.write_all(&inflated).expect("writing to memory does not fail");
            on(Opened::Data(encoder.get_ref()))?;
            encoder.get_mut().clear();
        }
        Ok(())
    }

    fn scan(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
    ) -> Result<(), OpenError> {
        let Self { content, scanner, merge, in_header, out, .. } = self;
        scanner.push(bytes, &mut |event| take(&event, *content, merge, in_header, out, on))
    }

    fn finish(mut self, on: &mut impl FnMut(Opened<'_>) -> io::Result<()>) -> Result<Changes, OpenError> {
        // Behind an image there is nothing left to merge, and something without an image is not sealed.
        if !matches!(self.deflated, Some(Deflated::AsItWas)) {
            self.scanner.finish()?;
        }
        if let Some(Deflated::Anew(encoder)) = self.deflated.take() {
            on(Opened::Data(&encoder.finish().expect("writing to memory does not fail")))?;
        }
        Ok(self.merge.into_changes())
    }
}

/// One event of the original's scanner.
fn take(
    event: &Event<'_>,
    content: Content,
    merge: &mut Merge,
    in_header: &mut bool,
    out: &mut Vec<u8>,
    on: &mut impl FnMut(Opened<'_>) -> io::Result<()>,
) -> Result<(), OpenError> {
    match event {
        Event::Element(element) if *in_header => {
            merge.take(element);
            Ok(on(Opened::Header(element.tag, element.value))?)
        }
        Event::Element(element) => Ok(on(Opened::Data(element.raw))?),
        Event::Begin(head) => {
            if *in_header {
                let ends = content.is_under(head.tag);
                let next = if ends && content == Content::Pixels { PIXEL_DATA } else { head.tag };
                out.clear();
                merge.flush(next, out)?;
                *in_header = !ends;
                if !out.is_empty() {
                    on(Opened::Data(out))?;
                }
            }
            Ok(on(Opened::Data(head.raw))?)
        }
        Event::Bytes(bytes) => Ok(on(Opened::Data(bytes))?),
        Event::End(_) => Ok(()),
    }
}
