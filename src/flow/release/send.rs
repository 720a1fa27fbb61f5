//! To the destination of a C-MOVE: each instance as a store, in its own transfer syntax or in one that the destination takes.

use std::sync::Arc;

use super::delivery::{Delivery, Left, NATIVE, Refused};
use crate::dicom::{AeTitle, Status, TransferSyntax};
use crate::flow::Gateway;
use crate::scu::{Destination, Failure, Instance, Lease, Need, store};

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
    let sending = Sending { gateway, to, originator };
    let syntaxes =
        [Some(delivery.transfer_syntax)].into_iter().chain(NATIVE.map(TransferSyntax::by_uid)).flatten();
    let mut refused = None;
    for syntax in syntaxes {
        if delivery.choices(&[syntax], may_transcode).is_empty() {
            continue;
        }
        if let Some(lease) = sending.lease(&delivery, syntax, &mut refused).await? {
            let delivery = delivery.into_syntax(syntax, &gateway.release).await?;
            return sending.store(lease, delivery).await;
        }
    }
    let others = TransferSyntax::all().filter(|syntax| *syntax != delivery.transfer_syntax);
    let others: Vec<TransferSyntax> =
        others.filter(|syntax| NATIVE.iter().all(|native| syntax.uid != *native)).collect();
    let packed = delivery.choices(&others, may_transcode);
    sending.packed(delivery, &packed, refused).await
}

/// What is the same for all that is tried.
struct Sending<'a> {
    gateway: &'a Arc<Gateway>,
    to: &'a Destination,
    originator: (AeTitle, u16),
}

impl Sending<'_> {
    /// An association that takes the instance so; nothing where the destination does not, which is kept in `refused`.
    async fn lease(
        &self,
        delivery: &Delivery,
        syntax: TransferSyntax,
        refused: &mut Option<Failure>,
    ) -> Result<Option<Lease>, NotSent> {
        match self.gateway.pool.lease(self.to, &Need::new(delivery.class.clone(), syntax)).await {
            Ok(lease) => Ok(Some(lease)),
            Err(failure @ Failure::NoContext { .. }) => {
                refused.get_or_insert(failure);
                Ok(None)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Sends it in the first of these syntaxes that the destination takes and that can hold it.
    async fn packed(
        &self,
        delivery: Delivery,
        choices: &[TransferSyntax],
        mut refused: Option<Failure>,
    ) -> Result<Status, NotSent> {
        let keyword = delivery.transfer_syntax.keyword;
        // One association asks for them all.
        let needs: Vec<Need> = choices.iter().map(|to| Need::new(delivery.class.clone(), *to)).collect();
        self.gateway.pool.expect(self.to, &needs);
        let release = &self.gateway.release;
        let (mut delivery, mut reasons): (_, Vec<String>) = (delivery, Vec::new());
        for target in choices {
            let Some(lease) = self.lease(&delivery, *target, &mut refused).await? else { continue };
            delivery = delivery.into_native(release).await?;
            let left = if choices.last() == Some(target) { Left::Nothing } else { Left::Native };
            match delivery.packed(*target, left, release).await {
                Ok(packed) => return self.store(lease, packed).await,
                Err(reason) => reasons.push(format!("{}: {reason}", target.keyword)),
            }
        }
        if !reasons.is_empty() {
            return Err(Refused::NoneFits(reasons.join("; ")).into());
        }
        Err(refused.map_or(NotSent::Refused(Refused::TransferSyntax(keyword)), NotSent::Failure))
    }

    async fn store(&self, mut lease: Lease, mut delivery: Delivery) -> Result<Status, NotSent> {
        let (class, instance) = (delivery.class.clone(), delivery.instance.clone());
        let instance = Instance {
            length: delivery.length(),
            originator: Some(self.originator.clone()),
            ..Instance::new(class, instance, delivery.transfer_syntax)
        };
        Ok(store(&mut lease, &instance, &mut delivery).await?.status)
    }
}
