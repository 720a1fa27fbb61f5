//! Which presentation contexts are proposed for what: one for each pair of a class and a transfer syntax.

use crate::association::{Proposal, Roles};
use crate::dicom::{TransferSyntax, Uid};

/// What has to be accepted before an instance can be sent or taken: its class in its transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Need {
    /// The SOP class.
    pub class: Uid,
    /// How its data set is encoded.
    pub transfer_syntax: TransferSyntax,
}

impl Need {
    /// A class in a transfer syntax.
    #[must_use]
    pub fn new(class: Uid, transfer_syntax: TransferSyntax) -> Self {
        Self { class, transfer_syntax }
    }

    /// One context for this alone, so that the peer's preference cannot choose another syntax.
    #[must_use]
    pub fn proposal(&self) -> Proposal {
        Proposal::new(self.class.clone(), vec![self.transfer_syntax])
    }
}

/// Contexts to send instances on.
#[must_use]
pub fn for_storing<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Vec<Proposal> {
    needs.into_iter().map(Need::proposal).collect()
}

/// Contexts for a service whose data sets are small: Explicit VR Little Endian before Implicit, each on its own, so that
/// whoever has a data set in one of them can send it as it is.
#[must_use]
pub fn for_service(class: &Uid) -> Vec<Proposal> {
    [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE]
        .into_iter()
        .filter_map(TransferSyntax::by_uid)
        .map(|syntax| Proposal::new(class.clone(), vec![syntax]))
        .collect()
}

/// The same with an extended negotiation, such as `[1]` for relational queries (PS3.4 C.5.1.1).
#[must_use]
pub fn for_extended_service(class: &Uid, extended: &[u8]) -> Vec<Proposal> {
    for_service(class).into_iter().map(|proposal| proposal.with_extended(extended.to_vec())).collect()
}

/// Contexts for C-GET with `class`: the service, and what may come back on the same association, for which we take the
/// role of the SCP (PS3.4 C.5.3.1).
#[must_use]
pub fn for_getting<'a>(class: &Uid, needs: impl IntoIterator<Item = &'a Need>) -> Vec<Proposal> {
    let receiving = Roles { scu: false, scp: true };
    let storage = needs.into_iter().map(|need| need.proposal().with_roles(receiving));
    for_service(class).into_iter().chain(storage).collect()
}

/// Contexts to report as the SCP of a service on an association that we ask for, such as storage commitment (PS3.4 J.3.3).
#[must_use]
pub fn for_reporting(class: &Uid) -> Vec<Proposal> {
    let providing = Roles { scu: false, scp: true };
    for_service(class).into_iter().map(|proposal| proposal.with_roles(providing)).collect()
}
