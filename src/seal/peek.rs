//! A look at the first elements of a data set: what it is, before anything is decided about it.

use dicom_core::Tag;

use super::carrier::LIMITS;
use super::scan::{Event, ScanError, Scanner};
use crate::dicom::tags::{MODALITY, PATIENT_ID, SOP_CLASS, SOP_INSTANCE, STUDY};
use crate::dicom::{Encoding, Uid, text_of};

/// The last element that a route hangs on.
const STATION: Tag = Tag(0x0008, 0x1010);
/// Longer ones are no code strings and no short texts.
const TEXT_BYTES_MAX: usize = 64;

/// Reads until everything is known, or cannot come any more.
pub struct Peek {
    scanner: Scanner,
    /// What was found.
    pub found: Peeked,
    /// The last element that is looked at.
    last: Tag,
    done: bool,
}

/// The first things that a data set says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peeked {
    /// SOP Class UID.
    pub sop_class: Option<Uid>,
    /// SOP Instance UID.
    pub sop_instance: Option<Uid>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Station Name (0008,1010).
    pub station: Option<String>,
    /// Patient ID (0010,0020), where the study was looked for.
    pub patient: Option<String>,
    /// Study Instance UID (0020,000D), where it was looked for.
    pub study: Option<Uid>,
}

impl Peek {
    /// Starts at the first byte of a data set.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self::until(encoding, STATION)
    }

    /// The same, looking on until the study is known.
    #[must_use]
    pub fn up_to_study(encoding: Encoding) -> Self {
        Self::until(encoding, STUDY)
    }

    fn until(encoding: Encoding, last: Tag) -> Self {
        Self { scanner: Scanner::new(encoding, LIMITS, None), found: Peeked::default(), last, done: false }
    }

    /// Takes the next bytes, and says whether more of them could tell more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, ScanError> {
        let (found, last, done) = (&mut self.found, self.last, &mut self.done);
        self.scanner.push(bytes, &mut |event| {
            let element = match event {
                Event::Element(element) => element,
                Event::Begin(head) => {
                    *done |= head.tag > last;
                    return Ok(());
                }
                Event::Bytes(_) | Event::End(_) => return Ok(()),
            };
            *done |= element.tag >= last;
            match element.tag {
                SOP_CLASS => found.sop_class = Some(Uid::from_wire(element.value)?),
                SOP_INSTANCE => found.sop_instance = Some(Uid::from_wire(element.value)?),
                MODALITY => found.modality = text(element.value),
                STATION => found.station = text(element.value),
                PATIENT_ID => found.patient = text_of(element.value),
                STUDY => found.study = Some(Uid::from_wire(element.value)?),
                _ => {}
            }
            Ok::<(), ScanError>(())
        })?;
        Ok(!self.done)
    }

    /// The input is over.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        self.scanner.finish()
    }
}

fn text(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let value = value.strip_suffix(b"\0").unwrap_or(value);
    let text = std::str::from_utf8(value).ok()?;
    (!text.is_empty() && text.len() <= TEXT_BYTES_MAX).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_as_soon_as_everything_is_known() {
        let mut peek = Peek::new(Encoding::ImplicitLittle);
        assert!(peek.push(b"\x08\0\x16\0\x04\0\0\x001.2\0\x08\0\x18\0\x04\0\0\x001.3\0").unwrap());
        assert!(peek.push(b"\x08\0\x60\0\x02\0\0\0CT").unwrap());
        assert!(!peek.push(b"\x08\0\x10\x10\x04\0\0\0ROOM").unwrap());
        let found = &peek.found;
        assert_eq!(found.sop_instance.as_ref().map(Uid::as_str), Some("1.3"));
        assert_eq!((found.modality.as_deref(), found.station.as_deref()), (Some("CT"), Some("ROOM")));
    }

    #[test]
    fn looks_on_until_the_study_is_known_where_that_matters() {
        let mut peek = Peek::up_to_study(Encoding::ImplicitLittle);
        assert!(peek.push(b"\x08\0\x10\x10\x04\0\0\0ROOM\x10\0\x20\0\x04\0\0\x004711").unwrap());
        assert!(!peek.push(b"\x20\0\x0D\0\x04\0\0\x001.9\0").unwrap());
        let Peeked { study, patient, .. } = &peek.found;
        assert_eq!((study.as_ref().map(Uid::as_str), patient.as_deref()), (Some("1.9"), Some("4711")));
    }

    #[test]
    fn what_comes_later_cannot_tell_more() {
        let mut peek = Peek::new(Encoding::ImplicitLittle);
        assert!(!peek.push(b"\x10\0\x10\0\x04\0\0\0A^B ").unwrap());
        assert_eq!(peek.found, Peeked::default());
    }
}
