//! How an engine behaves towards everything else that the machine has to do.

#[cfg(target_os = "linux")]
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

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
        // Other systems have neither such a policy nor a niceness for each thread.
        #[cfg(target_os = "linux")]
        if self == Self::Spare {
            // A thread may always step back; where the kernel says no after all, it only competes. Niceness alone would still
            // make a processor look busy to whoever wakes up, and images wait there.
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).is_err() {
                let _ = rustix::process::setpriority_process(None, 19);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use thread_priority::thread_schedule_policy;

    #[test]
    fn a_spare_thread_steps_back_and_no_other_one() {
        let here = || thread_schedule_policy().unwrap();
        let before = here();
        let of_thread = |pace: Pace| {
            let thread = std::thread::spawn(move || {
                pace.take_up();
                here()
            });
            thread.join().unwrap()
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!((of_thread(Pace::Prompt), of_thread(Pace::Spare)), (before, idle));
        assert_eq!(here(), before);
    }
}
