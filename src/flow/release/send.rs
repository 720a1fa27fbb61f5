//! To the destination of a C-MOVE: each instance as a store, in its own transfer syntax or in one that the destination takes.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

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

/// The sub-operations of one C-MOVE, towards its receiver.
pub struct Sender {
    gateway: Arc<Gateway>,
    to: Destination,
    /// Who asked for it, in which message.
    originator: (AeTitle, u16),
    may_transcode: bool,
    began: Instant,
}

impl Sender {
    /// For a C-MOVE that begins now.
    #[must_use]
    pub fn new(
        gateway: &Arc<Gateway>,
        to: Destination,
        originator: (AeTitle, u16),
        may_transcode: bool,
    ) -> Self {
        Self { gateway: Arc::clone(gateway), to, originator, may_transcode, began: Instant::now() }
    }

    /// Sends an instance; the status is success or a warning.
    pub async fn send(&self, delivery: Delivery) -> Result<Status, NotSent> {
        let syntaxes =
            [Some(delivery.transfer_syntax)].into_iter().chain(NATIVE.map(TransferSyntax::by_uid)).flatten();
        let mut refused = None;
        for syntax in syntaxes {
            if delivery.choices(&[syntax], self.may_transcode).is_empty() {
                continue;
            }
            if let Some(lease) = self.lease(&delivery, syntax, &mut refused).await? {
                let delivery = delivery.into_syntax(syntax, &self.gateway.release).await?;
                return self.store(lease, delivery).await;
            }
        }
        let others = TransferSyntax::all().filter(|syntax| *syntax != delivery.transfer_syntax);
        let others: Vec<TransferSyntax> =
            others.filter(|syntax| NATIVE.iter().all(|native| syntax.uid != *native)).collect();
        let packed = delivery.choices(&others, self.may_transcode);
        self.packed(delivery, &packed, refused).await
    }

    /// An association that takes the instance so; nothing where the destination does not, which is kept in `refused`.
    async fn lease(
        &self,
        delivery: &Delivery,
        syntax: TransferSyntax,
        refused: &mut Option<Failure>,
    ) -> Result<Option<Lease>, NotSent> {
        match self.gateway.pool.lease(&self.to, &Need::new(delivery.class.clone(), syntax)).await {
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
        self.gateway.pool.expect(&self.to, &needs);
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

    /// An association that stood idle before this C-MOVE began may be dead, and nobody has told us: that is no failure of
    /// the instance, which goes out on a new one.
    async fn store(&self, mut lease: Lease, mut delivery: Delivery) -> Result<Status, NotSent> {
        let (class, instance) = (delivery.class.clone(), delivery.instance.clone());
        let instance = Instance {
            length: delivery.length(),
            originator: Some(self.originator.clone()),
            ..Instance::new(class, instance, delivery.transfer_syntax)
        };
        if !lease.was_idle_at(self.began) {
            return Ok(store(&mut lease, &instance, &mut delivery).await?.status);
        }
        let Some(mut again) = delivery.again() else {
            // What is gone of a stream is gone: it is not tried on one that may be dead.
            let mut lease = self.anew(lease, &instance).await?;
            return Ok(store(&mut lease, &instance, &mut delivery).await?.status);
        };
        match store(&mut lease, &instance, &mut delivery).await {
            Err(failure) if failure.may_be_of_the_association() => {
                let (instance_uid, peer) = (&instance.instance, &self.to.address);
                info!(instance = %instance_uid, %peer, error = %failure, "an association that was idle is dead, sending on a new one");
                let mut lease = self.anew(lease, &instance).await?;
                match store(&mut lease, &instance, &mut again).await {
                    // It may have it from the first try, whose answer was lost, or from long ago: a warning.
                    Err(Failure::Status(answer)) if answer.status == Status::DUPLICATE_SOP_INSTANCE => {
                        Ok(answer.status)
                    }
                    sent => Ok(sent?.status),
                }
            }
            sent => Ok(sent?.status),
        }
    }

    /// An association that was not there before.
    async fn anew(&self, old: Lease, instance: &Instance) -> Result<Lease, Failure> {
        drop(old);
        self.gateway.pool.distrust(&self.to);
        self.gateway.pool.lease(&self.to, &instance.need()).await
    }
}
