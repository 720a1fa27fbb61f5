//! An instance that passes as it came, sealed already or without pixels, on its way into the spool.

use std::io;
use std::sync::Arc;

use super::gateway::Gateway;
use super::intake::{FindKey, Offered};
use super::refusal::Refused;
use super::ticket::Protection;
use crate::dicom::tags::{PATIENT_ID, SERIES, STUDY};
use crate::dicom::{Uid, is_document, text_of};
use crate::seal::element::is_pixel_data;
use crate::seal::scan::{Event, Limits, ScanError, Scanner};
use crate::seal::{DataDigest, HeaderMode, Opened, Opener};
use crate::spool::Draft;

/// An instance that goes on as it came: already sealed, or without pixels.
pub(super) struct Passing {
    pub(super) draft: Draft,
    scanner: Scanner,
    pub(super) protection: Protection,
    may_have_pixels: bool,
    pub(super) digest: DataDigest,
    pub(super) study: Option<Uid>,
    pub(super) series: Option<Uid>,
    pub(super) patient: Option<String>,
    /// Of a document: whoever sees whether it is sealed.
    looking: Option<Box<Opener<FindKey>>>,
}

impl Passing {
    pub(super) fn begin(
        gateway: &Gateway,
        offered: &Offered,
        protection: Protection,
        may_have_pixels: bool,
    ) -> Result<Self, Refused> {
        let is_unsure = protection == Protection::Clear && is_document(offered.sop_class.as_str());
        Ok(Self {
            draft: gateway.spool.begin(None)?,
            looking: is_unsure.then(|| looking(gateway, offered)).flatten(),
            scanner: Scanner::new(offered.transfer_syntax.encoding, Limits::default(), None),
            protection,
            may_have_pixels,
            digest: DataDigest::default(),
            study: None,
            series: None,
            patient: None,
        })
    }

    pub(super) fn finish_scan(&mut self) -> Result<(), ScanError> {
        if let Some(opener) = self.looking.take() {
            let mut key = None;
            let _only_its_beginning = opener.finish(&mut |opened| saw(&opened, &mut key));
            self.came_sealed(key);
        }
        self.scanner.finish()
    }

    /// Looks at what passes: a document that was sealed elsewhere, or by us, is not in clear.
    fn look(&mut self, bytes: &[u8]) {
        let Some(opener) = &mut self.looking else { return };
        let mut key = None;
        let pushed = opener.push(bytes, &mut |opened| saw(&opened, &mut key));
        if pushed.is_err() || key.is_some() {
            self.looking = None;
        }
        self.came_sealed(key);
    }

    fn came_sealed(&mut self, key: Option<String>) {
        if let Some(key) = key {
            self.protection = Protection::CameSealed(key);
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], class: &Uid) -> Result<(), Refused> {
        let may_have_pixels = self.may_have_pixels;
        let (study, series, patient) = (&mut self.study, &mut self.series, &mut self.patient);
        self.scanner.push(bytes, &mut |event| match event {
            Event::Begin(head) if is_pixel_data(head.tag) && !may_have_pixels => {
                Err(Refused::Pixels(class.clone()))
            }
            Event::Element(element) if element.tag == STUDY => {
                *study = Uid::from_wire(element.value).ok();
                Ok(())
            }
            Event::Element(element) if element.tag == PATIENT_ID => {
                *patient = text_of(element.value);
                Ok(())
            }
            Event::Element(element) if element.tag == SERIES => {
                *series = Uid::from_wire(element.value).ok();
                Ok(())
            }
            _ => Ok(()),
        })?;
        self.look(bytes);
        self.digest.update(bytes);
        Ok(self.draft.write(bytes)?)
    }
}

/// Whoever opens a document far enough to know that it is sealed; nothing where it could not be.
fn looking(gateway: &Gateway, offered: &Offered) -> Option<Box<Opener<FindKey>>> {
    let syntax = Uid::parse(offered.transfer_syntax.uid).expect("a UID of the standard's registry");
    let known = Arc::clone(&gateway.archive);
    let find_key: FindKey =
        Box::new(move |claim| known.find_claimed(claim).ok().flatten().map(|found| found.content_key));
    let opener = Opener::new(&syntax, HeaderMode::Original, &gateway.layers, None, find_key);
    opener.ok().map(Box::new)
}

/// The key of what has begun to open: by then its commitment has verified.
#[expect(clippy::unnecessary_wraps, reason = "the shape that the opener asks for")]
fn saw(opened: &Opened<'_>, key: &mut Option<String>) -> io::Result<()> {
    if let Opened::Begin(_, binding) = opened {
        *key = Some(binding.key_id.to_string());
    }
    Ok(())
}
