//! How associations hear that the process is about to end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// How long a peer may take to close its side when the process ends.
const GRACE_SECONDS: u64 = 1;

/// Tells associations that the process is about to end: they finish the message in hand.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<bool>);

impl Ending {
    /// The receiving half; the sender says `true` once.
    #[must_use]
    pub fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// An end that never comes.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for `work`, but hardly longer once the end has begun.
    pub(super) async fn cuts_short<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let grace = async {
            self.begins().await;
            sleep(Duration::from_secs(GRACE_SECONDS)).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = grace => None,
        }
    }

    /// Resolves when it begins.
    pub async fn begins(&mut self) {
        if self.0.wait_for(|ending| *ending).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
