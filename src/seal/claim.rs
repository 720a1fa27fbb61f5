//! What a sealed instance claims to be, gathered from its header.

use dicom_core::Tag;

use super::carrier::BlockFinder;
use super::derive::Binding;
use super::header::Header;
use super::opener::OpenError;
use super::scan::Element;
use super::signature::SignerKey;
use crate::dicom::Uid;
use crate::dicom::tags::{SOP_CLASS, SOP_INSTANCE};

/// What a sealed instance claims, with which its key is looked for. Only the key commitment makes it more than a claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Suite, key id, SOP Class and Instance UID.
    pub binding: Binding,
    /// The key record in the private block; a padding byte may stand behind it.
    pub key_record: Option<Vec<u8>>,
    /// The gateway that signed it. With another one, or none, no content key opens it.
    pub signer: Option<SignerKey>,
}

/// What of a data set's header goes into its claim.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    sop_class: Option<Uid>,
    sop_instance: Option<Uid>,
    block: BlockFinder,
}

impl Claimed {
    /// Looks at an element that stands before the pixels.
    pub(super) fn take(&mut self, element: &Element<'_>) {
        match element.tag {
            SOP_CLASS => self.sop_class = Uid::from_wire(element.value).ok(),
            SOP_INSTANCE => self.sop_instance = Uid::from_wire(element.value).ok(),
            Tag(group, _) if group % 2 == 1 => self.block.take(element.tag, element.value),
            _ => {}
        }
    }

    /// SOP Class UID, where it has one.
    pub(super) fn sop_class(&self) -> Option<&Uid> {
        self.sop_class.as_ref()
    }

    /// Whether a private block says that it was sealed.
    pub(super) fn has_block(&self) -> bool {
        self.block.is_present()
    }

    /// SOP Class and Instance UID, where it has both.
    pub(super) fn uids(&self) -> Option<(&Uid, &Uid)> {
        self.sop_class.as_ref().zip(self.sop_instance.as_ref())
    }

    /// The claim, with what stands before the stream.
    pub(super) fn claim(&self, header: &Header, signer: Option<SignerKey>) -> Result<Claim, OpenError> {
        let binding = Binding {
            suite: header.suite,
            key_id: header.key_id,
            sop_class: self.sop_class.clone().ok_or(OpenError::Uid(SOP_CLASS))?,
            sop_instance: self.sop_instance.clone().ok_or(OpenError::Uid(SOP_INSTANCE))?,
        };
        Ok(Claim { binding, key_record: self.block.key_record().map(<[u8]>::to_vec), signer })
    }
}
