//! Group commit: many callers ask for the same costly work at once, one of them does it for all who asked before.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks; what this room does under a lock does not panic half-way.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Who asked, and how far the work is.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    state: Mutex<Progress>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    asked: u64,
    done: u64,
    running: bool,
    broken: bool,
}

impl Rounds {
    /// Asks for a round that begins from now on.
    pub(crate) fn ask(&self) -> Ticket {
        let mut state = locked(&self.state);
        state.asked += 1;
        Ticket(state.asked)
    }

    /// Whether a round that began after `ticket` was given has ended well.
    pub(crate) fn is_done(&self, ticket: Ticket) -> bool {
        let state = locked(&self.state);
        !state.broken && state.done >= ticket.0
    }

    /// Waits until a round that began after `ticket` was given has ended; does the work itself if nobody does.
    ///
    /// False when the work failed, now or ever before: it is not tried again.
    pub(crate) fn wait(&self, ticket: Ticket, work: impl FnOnce() -> bool) -> bool {
        let mut state = locked(&self.state);
        loop {
            if state.broken {
                return false;
            }
            if state.done >= ticket.0 {
                return true;
            }
            if !state.running {
                break;
            }
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.running = true;
        let covers = state.asked;
        drop(state);
        // Whoever unwinds out of the work leaves the rounds broken rather than everybody waiting.
        let mut end = End { rounds: self, covers, ok: false };
        end.ok = work();
        end.ok
    }
}

struct End<'a> {
    rounds: &'a Rounds,
    covers: u64,
    ok: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.rounds.state);
        state.running = false;
        if self.ok {
            state.done = self.covers;
        } else {
            state.broken = true;
        }
        self.rounds.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_round_serves_all_who_asked_before_it_began() {
        let (rounds, worked) = (Rounds::default(), AtomicUsize::new(0));
        let work = || {
            worked.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            true
        };
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| assert!(rounds.wait(rounds.ask(), work)));
            }
        });
        let worked = worked.into_inner();
        assert!((1..=16).contains(&worked), "{worked} rounds for 32 callers");
    }

    #[test]
    fn a_round_that_began_before_does_not_count() {
        let rounds = Rounds::default();
        let first = rounds.ask();
        let mut later = None;
        assert!(rounds.wait(first, || {
            later = Some(rounds.ask());
            true
        }));
        let mut again = false;
        assert!(rounds.wait(later.unwrap(), || {
            again = true;
            true
        }));
        assert!(again, "what was asked for during a round needs another");
    }

    #[test]
    fn a_failure_is_for_ever() {
        let rounds = Rounds::default();
        let ticket = rounds.ask();
        assert!(!rounds.wait(ticket, || false));
        let ticket = rounds.ask();
        assert!(!rounds.wait(ticket, || unreachable!("it is not tried again")));
    }
}
