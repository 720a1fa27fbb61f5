//! The header of an image that is only looked at: what the beginning of its data set has of it.

use crate::dicom::Encoding;
use crate::seal::element::is_pixel_data;
use crate::seal::scan::{Element, Event, Limits, ScanError, Scanner};

/// Where the elements end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// At the pixels.
    Pixels,
    /// At what cannot be read, or is not taken.
    Unreadable,
}

enum Stop {
    Pixels,
    Scan,
}

impl From<ScanError> for Stop {
    fn from(_: ScanError) -> Self {
        Self::Scan
    }
}

/// Gives each element in front of the pixels; says where they end, and nothing while the pieces do not reach so far.
pub(super) fn each_element<T: AsRef<[u8]>>(
    pieces: &[T],
    encoding: Encoding,
    mut take: impl FnMut(&Element<'_>) -> Result<(), ScanError>,
) -> Option<Reached> {
    let mut scanner = Scanner::new(encoding, Limits::default(), None);
    let pushed = pieces.iter().try_for_each(|piece| {
        scanner.push(piece.as_ref(), &mut |event| match event {
            Event::Element(element) => Ok(take(&element)?),
            Event::Begin(head) if is_pixel_data(head.tag) => Err(Stop::Pixels),
            _ => Ok(()),
        })
    });
    match pushed {
        Ok(()) => None,
        Err(Stop::Pixels) => Some(Reached::Pixels),
        Err(Stop::Scan) => Some(Reached::Unreadable),
    }
}
