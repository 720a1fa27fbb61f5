//! The instances that the trial's modality sends: real images, one of each kind that a hospital has; where they come from
//! stands in `testdata/demo/README.md`.

use bytes::Bytes;

use crate::dicom::tags::{SOP_CLASS, SOP_INSTANCE, STUDY};
use crate::dicom::{TransferSyntax, Uid};
use crate::scu::Instance;
use crate::seal::scan::{Event, Limits, ScanError, Scanner, part10};

/// The files, each with what people call it.
const FILES: [(&str, &[u8]); 5] = [
    ("CT, 16 bits", include_bytes!("../../testdata/demo/ct.dcm")),
    ("MR, JPEG 2000", include_bytes!("../../testdata/demo/mr.dcm")),
    ("X-ray, JPEG 2000", include_bytes!("../../testdata/demo/x-ray.dcm")),
    ("ultrasound, colour", include_bytes!("../../testdata/demo/ultrasound.dcm")),
    ("ultrasound, JPEG, 30 frames", include_bytes!("../../testdata/demo/ultrasound-frames.dcm")),
];

/// An instance, with what people call it.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) study: Uid,
    pub(super) instance: Instance,
    pub(super) data_set: Bytes,
}

/// All of them.
pub(super) fn samples() -> Vec<Sample> {
    FILES.iter().map(|(name, file)| read(name, file)).collect()
}

/// A small one, for a page to show.
pub(super) fn small() -> Sample {
    let (name, file) = FILES[0];
    read(name, file)
}

fn read(name: &'static str, file: &'static [u8]) -> Sample {
    const READ: &str = "a test reads each of the files that are built in";
    let front = part10::split(file, true, &Limits::default(), None).expect(READ);
    let part10::Split::At(front_bytes, syntax) = front else { unreachable!("{READ}") };
    let syntax = TransferSyntax::by_uid(syntax.as_str()).expect(READ);
    let data_set = &file[front_bytes..];
    let [class, instance, study] = uids(data_set, syntax).expect(READ).map(|uid| uid.expect(READ));
    let instance = Instance::new(class, instance, syntax);
    Sample { name, study, instance, data_set: Bytes::from_static(data_set) }
}

/// SOP class, instance and study.
fn uids(data_set: &[u8], syntax: TransferSyntax) -> Result<[Option<Uid>; 3], ScanError> {
    let mut found = [const { None }; 3];
    let mut scanner = Scanner::new(syntax.encoding, Limits::default(), Some(data_set.len() as u64));
    scanner.push(data_set, &mut |event| {
        if let Event::Element(element) = event
            && let Some(at) = [SOP_CLASS, SOP_INSTANCE, STUDY].iter().position(|tag| *tag == element.tag)
        {
            let text = String::from_utf8_lossy(element.value);
            found[at] = Uid::parse(text.trim_end_matches('\0')).ok();
        }
        Ok::<(), ScanError>(())
    })?;
    scanner.finish()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::demo::picture::Picture;

    #[test]
    fn every_file_is_a_data_set_of_a_study_of_its_own_with_a_picture() {
        let studies: HashSet<Uid> = samples().into_iter().map(|sample| sample.study).collect();
        assert_eq!(studies.len(), FILES.len());
        for sample in samples() {
            let picture = Picture::of(&sample.data_set, sample.instance.transfer_syntax);
            let png = picture.unwrap_or_else(|| panic!("{}", sample.name)).png().unwrap();
            assert!(png.len() > 5_000, "{}: {} bytes", sample.name, png.len());
        }
    }
}
