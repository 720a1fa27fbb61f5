//! How an engine behaves towards everything else that the machine has to do.

/// Whether somebody waits for what an engine makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Somebody does: it takes the processor like everybody else.
    Prompt,
    /// Nobody does: its threads take what others leave.
    Spare,
}

impl Pace {
    /// Has the calling thread keep to it from now on.
    pub(super) fn take_up(self) {
        // Linux alone has a niceness for each thread; elsewhere it would be that of the whole process.
        #[cfg(target_os = "linux")]
        if self == Self::Spare {
            // A thread may always step back; where the kernel says no after all, it only competes.
            let _ = rustix::process::setpriority_process(None, 19);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_spare_thread_steps_back_and_no_other_one() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let of_thread = |pace: Pace| {
            let thread = std::thread::spawn(move || {
                pace.take_up();
                rustix::process::getpriority_process(None).unwrap()
            });
            thread.join().unwrap()
        };
        assert_eq!((of_thread(Pace::Prompt), of_thread(Pace::Spare)), (before, 19));
        assert_eq!(niceness(), before);
    }
}
