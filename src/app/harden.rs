//! What the process gives up at its start: core dumps, being looked into, swap, and calls to the system that it never makes.

use std::fmt;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use tracing::{info, warn};

/// Calls that a gateway has no use for, and that are worth much to somebody who has taken it over: other processes' memory,
/// other namespaces, the kernel, its keyring, the clock. systemd's filter takes away more; this one is there without systemd.
const FORBIDDEN: &[&str] = &[
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "finit_module",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_load",
    "keyctl",
    "mount",
    "move_pages",
    "open_by_handle_at",
    "perf_event_open",
    "personality",
    "pidfd_getfd",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
];

/// Starting another program.
const PROGRAMS: &[&str] = &["execve", "execveat"];

/// Whether the service may start other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Programs {
    /// The library of a token or a graphics card may want to.
    Allowed,
    /// It never does.
    Refused,
}

/// Nothing of this process ever goes to a core file, and nobody but root looks into its memory.
///
/// The first thing that the program does, before it holds any secret.
pub fn refuse_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Also where core files go to a program, which the limit does not keep from running (core(5)); and no process of the
    // same user attaches to this one or reads its memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Keeps all memory of the process out of swap, as it is used: secrets, and clear pixels as well.
fn lock_memory() -> Result<(), Unlocked> {
    let unlimited = Rlimit { current: None, maximum: None };
    if getrlimit(Resource::Memlock) != unlimited {
        // Under a limit, memory that is asked for later would be refused once it is reached.
        setrlimit(Resource::Memlock, unlimited).map_err(|_| Unlocked::Limit)?;
    }
    // ONFAULT: what is only reserved, such as the stacks of threads, takes no memory by being locked.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error| Unlocked::System(error.into()))
}

/// Why memory may be swapped out.
#[derive(Debug)]
enum Unlocked {
    Limit,
    System(io::Error),
}

impl fmt::Display for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit => f.write_str("the limit for locked memory is too low, set LimitMEMLOCK=infinity"),
            Self::System(error) => write!(f, "the system refuses to lock it: {error}"),
        }
    }
}

/// Gives up, for this thread and all that it starts, the calls to the system that the service never makes, and any
/// privilege that starting a program could bring.
fn forbid_calls(programs: Programs) -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = compile_from_json(rules(programs).as_bytes(), arch)?;
    filter.values().try_for_each(|program: &BpfProgram| apply_filter(program))
}

fn rules(programs: Programs) -> String {
    let also = if programs == Programs::Refused { PROGRAMS } else { &[] };
    let calls: Vec<_> =
        FORBIDDEN.iter().chain(also).map(|name| serde_json::json!({ "syscall": name })).collect();
    let refused = serde_json::json!({ "errno": rustix::io::Errno::PERM.raw_os_error() });
    let filter = serde_json::json!({ "mismatch_action": "allow", "match_action": refused, "filter": calls });
    serde_json::json!({ "service": filter }).to_string()
}

/// Hardens the service, before its first thread; what the system does not let it do, the log says.
pub(super) fn harden(programs: Programs) {
    match lock_memory() {
        Ok(()) => info!("memory is kept out of swap"),
        Err(reason) => {
            warn!(%reason, "memory may be swapped out: switch swap off, or encrypt it");
        }
    }
    match forbid_calls(programs) {
        Ok(()) => info!(calls = FORBIDDEN.len(), ?programs, "calls to the system given up"),
        Err(error) => warn!(%error, "calls to the system could not be given up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_for_every_processor_it_is_built_for() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            for (programs, more) in [(Programs::Allowed, 0), (Programs::Refused, PROGRAMS.len())] {
                let compiled =
                    compile_from_json(rules(programs).as_bytes(), arch).expect("the rules are good");
                let filter = &compiled["service"];
                assert!(filter.len() > FORBIDDEN.len() + more, "one rule for each call");
            }
        }
    }
}
