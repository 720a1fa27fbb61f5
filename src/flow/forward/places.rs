//! How many instances are on their way to a destination at once, and how many that it has wait to be written down.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Deliveries of one destination whose end is being made durable. They are made so together, so more are no gain.
const SETTLING_MAX: usize = 64;

/// The places of one destination.
pub(super) struct Places {
    free: Arc<Semaphore>,
    settling: Arc<Semaphore>,
    wake: Arc<Notify>,
}

impl Places {
    /// So many places; `wake` hears of each that becomes free.
    pub(super) fn new(count: usize, wake: &Arc<Notify>) -> Self {
        let settling = Arc::new(Semaphore::new(SETTLING_MAX));
        Self { free: Arc::new(Semaphore::new(count)), settling, wake: Arc::clone(wake) }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Waits until one is free, and takes it.
    pub(super) async fn take(&self) -> Place {
        let (settling, wake) = (Arc::clone(&self.settling), Arc::clone(&self.wake));
        Place { taken: Arc::clone(&self.free).acquire_owned().await.ok(), settling, wake }
    }
}

/// The place of one delivery, free again when it is dropped.
pub(super) struct Place {
    taken: Option<OwnedSemaphorePermit>,
    settling: Arc<Semaphore>,
    wake: Arc<Notify>,
}

impl Place {
    /// Leaves it to the next delivery, once not too many before it wait to be written down. What is returned is kept until
    /// this one is.
    pub(super) async fn leave(self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.settling).acquire_owned().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.taken.take());
        self.wake.notify_one();
    }
}
