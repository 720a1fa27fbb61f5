//! Compressed images from the PACS: none of them is a sealed one as it was sealed, so the question is whether one was.

use dicom_core::Tag;

use crate::dicom::{TransferSyntax, Uid};
use crate::seal::element::is_pixel_data;
use crate::seal::scan::{Element, Event, Limits, ScanError, Scanner};
use crate::seal::{OpenError, is_our_creator};

/// Looks at the header of a compressed image, or of one in big endian, for signs of a seal.
pub(super) struct Compressed {
    scanner: Scanner,
    syntax: TransferSyntax,
    was_sealed: bool,
}

/// What the scanner is stopped by.
enum Stop {
    Pixels,
    Scan(ScanError),
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl Compressed {
    pub(super) fn new(syntax: TransferSyntax) -> Self {
        let scanner = Scanner::new(syntax.encoding, Limits::default(), None);
        Self { scanner, syntax, was_sealed: false }
    }

    /// Takes the next bytes. Stops with [`OpenError::NotSealed`] where nothing says that it was ever sealed, and with what
    /// is wrong where something does.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let Self { scanner, was_sealed, .. } = self;
        let pushed = scanner.push(bytes, &mut |event| match event {
            Event::Element(element) => {
                *was_sealed |= is_ours(&element);
                Ok(())
            }
            Event::Begin(head) if is_pixel_data(head.tag) => Err(Stop::Pixels),
            _ => Ok(()),
        });
        match pushed {
            Ok(()) => Ok(()),
            Err(Stop::Scan(error)) => Err(OpenError::Scan(error)),
            Err(Stop::Pixels) if self.was_sealed => Err(self.lost()),
            Err(Stop::Pixels) => Err(OpenError::NotSealed),
        }
    }

    /// The input is over, without pixels.
    pub(super) fn finish(mut self) -> OpenError {
        match self.scanner.finish() {
            Err(error) => OpenError::Scan(error),
            Ok(()) if self.was_sealed => self.lost(),
            Ok(()) => OpenError::NotSealed,
        }
    }

    fn lost(&self) -> OpenError {
        let syntax = Uid::parse(self.syntax.uid).expect("the table has good UIDs");
        OpenError::TransferSyntax(syntax)
    }
}

fn is_ours(element: &Element<'_>) -> bool {
    let Tag(group, number) = element.tag;
    group % 2 == 1 && (0x0010..=0x00FF).contains(&number) && is_our_creator(element.value)
}
