//! What the header of an image says that it may be released by: its route, its study, who asked for it.

use bytes::Bytes;
use chrono::{Datelike, NaiveDate};
use dicom_core::Tag;

use crate::dicom::tags::{MODALITY, PATIENT_ID, STUDY};
use crate::dicom::{Encoding, Uid, text_of};
use crate::flow::header::each_element;
use crate::policy::Facts;

const STUDY_DATE: Tag = Tag(0x0008, 0x0020);
const INSTITUTION: Tag = Tag(0x0008, 0x0080);
const STATION: Tag = Tag(0x0008, 0x1010);
const DEPARTMENT: Tag = Tag(0x0008, 0x1040);
const REQUESTING_SERVICE: Tag = Tag(0x0032, 0x1033);

/// Nothing yet, but where it comes from and its class.
pub(super) fn begin(pacs: &str, class: &Uid) -> Facts {
    Facts { pacs: pacs.to_owned(), sop_class: Some(class.clone()), ..Facts::default() }
}

/// Takes an element of the header.
pub(super) fn take(facts: &mut Facts, tag: Tag, value: &[u8]) {
    match tag {
        STUDY_DATE => facts.study_day = day(value),
        MODALITY => facts.modality = text_of(value),
        INSTITUTION => facts.institution = text_of(value),
        STATION => facts.station = text_of(value),
        DEPARTMENT | REQUESTING_SERVICE => facts.departments.extend(text_of(value)),
        _ => {}
    }
}

/// What an instance is about, for the audit trail alone.
#[derive(Debug, Clone, Default)]
pub(in crate::flow) struct Subject {
    pub(in crate::flow) study: Option<Uid>,
    pub(in crate::flow) patient: Option<String>,
}

impl Subject {
    /// Takes an element of the header.
    pub(super) fn take(&mut self, tag: Tag, value: &[u8]) {
        match tag {
            STUDY => self.study = Uid::from_wire(value).ok(),
            PATIENT_ID => self.patient = text_of(value),
            _ => {}
        }
    }

    /// By what the beginning of a data set has of the header.
    pub(super) fn of(pieces: &[Bytes], encoding: Encoding) -> Self {
        let mut subject = Self::default();
        each(pieces, encoding, |tag, value| subject.take(tag, value));
        subject
    }
}

/// Takes what the beginning of a data set has of the header. One that cannot be read has no facts, and then nothing
/// that asks for one holds.
pub(super) fn read(facts: &mut Facts, pieces: &[Bytes], encoding: Encoding) {
    each(pieces, encoding, |tag, value| take(facts, tag, value));
}

fn each(pieces: &[Bytes], encoding: Encoding, mut take: impl FnMut(Tag, &[u8])) {
    each_element(pieces, encoding, |element| {
        take(element.tag, element.value);
        Ok(())
    });
}

/// PS3.5 6.2, DA: `YYYYMMDD`; before 1993 `YYYY.MM.DD`.
fn day(value: &[u8]) -> Option<i64> {
    let text = text_of(value)?.replace('.', "");
    let date = NaiveDate::parse_from_str(&text, "%Y%m%d").ok().filter(|_| text.len() == 8)?;
    Some(i64::from(date.num_days_from_ce() - NaiveDate::default().num_days_from_ce()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_an_image_is_released_by() {
        let mut facts = begin("archive", &Uid::parse("1.2").unwrap());
        let header = b"\x08\0\x20\0DA\x08\x0020260105\x08\0\x60\0CS\x02\0CT\x08\0\x80\0LO\x06\0M\xFCller\
                       \x08\0\x40\x10LO\x06\0CARDIO\x32\0\x33\x10LO\x04\0ER  \xE0\x7F\x10\0OW\0\0\x02\0\0\0ab";
        let pieces: Vec<Bytes> = header.chunks(7).map(Bytes::copy_from_slice).collect();
        read(&mut facts, &pieces, Encoding::ExplicitLittle);
        assert_eq!(facts.study_day, Some(20_458));
        assert_eq!((facts.modality.as_deref(), facts.institution.as_deref()), (Some("CT"), Some("Müller")));
        assert_eq!(facts.departments, ["CARDIO", "ER"]);
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "2026", "20261301", "202601055", "19700101-", "today   "] {
            assert_eq!(day(text.as_bytes()), None, "{text}");
        }
        assert_eq!((day(b"1970.01.02"), day(b"19700101")), (Some(1), Some(0)));
    }
}
