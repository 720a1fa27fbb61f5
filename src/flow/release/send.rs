//! To the destination of a C-MOVE: each instance as a store, in its own transfer syntax or in one that the destination takes.

use std::sync::Arc;

use super::delivery::{Delivery, Refused};
use crate::dicom::{AeTitle, Status, TransferSyntax};
use crate::flow::Gateway;
use crate::scu::{Destination, Failure, Instance, Need, store};

/// Why an instance did not get there.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The destination.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The instance.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Sends an instance as a sub-operation of the C-MOVE that `originator` names; the status is success or a warning.
pub async fn send_to(
    gateway: &Arc<Gateway>,
    to: &Destination,
    delivery: Delivery,
    originator: (AeTitle, u16),
    may_transcode: bool,
) -> Result<Status, NotSent> {
    let others =
        [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE, TransferSyntax::RLE_LOSSLESS];
    let syntaxes = [Some(delivery.transfer_syntax)].into_iter().chain(others.map(TransferSyntax::by_uid));
    let mut refused = None;
    for syntax in syntaxes.flatten() {
        if delivery.choose(&[syntax], may_transcode).is_none() {
            continue;
        }
        let mut lease = match gateway.pool.lease(to, &Need::new(delivery.class.clone(), syntax)).await {
            Ok(lease) => lease,
            Err(failure @ Failure::NoContext { .. }) => {
                refused.get_or_insert(failure);
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut delivery = delivery.into_syntax(syntax, &gateway.release).await?;
        let instance = Instance {
            length: delivery.length(),
            originator: Some(originator),
            ..Instance::new(delivery.class.clone(), delivery.instance.clone(), syntax)
        };
        return Ok(store(&mut lease, &instance, &mut delivery).await?.status);
    }
    let keyword = delivery.transfer_syntax.keyword;
    Err(refused.map_or(NotSent::Refused(Refused::TransferSyntax(keyword)), NotSent::Failure))
}
