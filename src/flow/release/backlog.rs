//! What of a retrieval has come in and waits to go out. Where it is too much, the next instance has to wait: many small
//! ones may be on their way, and few large ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Of one retrieval.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: AtomicUsize,
    freed: Notify,
}

/// What of it is one instance, until that is taken to go out.
#[derive(Debug)]
pub(super) struct Load {
    of: Arc<Backlog>,
    bytes: AtomicUsize,
}

impl Backlog {
    /// Waits until less than `bytes_max` waits, then lets the next instance come in.
    pub(super) async fn next(self: &Arc<Self>, bytes_max: usize) -> Arc<Load> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on nothing that goes out is missed.
            freed.as_mut().enable();
            if self.bytes.load(Ordering::SeqCst) < bytes_max {
                return Arc::new(Load { of: Arc::clone(self), bytes: AtomicUsize::new(0) });
            }
            freed.await;
        }
    }
}

impl Load {
    /// So many bytes more have come in.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.of.bytes.fetch_add(bytes, Ordering::SeqCst);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::SeqCst);
        self.of.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_next_waits_until_what_is_too_much_has_gone() {
        let backlog = Arc::new(Backlog::default());
        let (one, two) = (backlog.next(100).await, backlog.next(100).await);
        one.add(60);
        let three = backlog.next(100).await;
        two.add(40);
        assert!(timeout(Duration::from_millis(50), backlog.next(100)).await.is_err(), "a hundred bytes wait");
        let waiting = tokio::spawn({
            let backlog = Arc::clone(&backlog);
            async move { backlog.next(100).await }
        });
        tokio::task::yield_now().await;
        drop((one, three));
        timeout(Duration::from_secs(9), waiting).await.expect("it goes on").expect("it ends");
        drop(two);
        assert_eq!(backlog.bytes.load(Ordering::SeqCst), 0);
    }
}
