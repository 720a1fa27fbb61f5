//! The process: no core dumps, no way to look into it, no calls that it has no use for.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::gateway::{ECHO_PEER, Gateway};

/// The value behind `name:` in a file of /proc.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn the_service_runs_without_core_dumps_and_with_its_calls_given_up() {
    let gateway = Gateway::start(ECHO_PEER);
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", gateway.id())).unwrap();
    let limits = of("limits");
    let core: Vec<String> =
        field(&limits, "Max core file size").split_whitespace().map(str::to_owned).collect();
    assert_eq!(core[..2], ["0", "0"], "the soft and the hard limit\n{limits}");
    let status = of("status");
    assert_eq!(field(&status, "Seccomp"), "2", "a filter is on\n{status}");
    assert_eq!(field(&status, "NoNewPrivs"), "1", "{status}");
    // Every thread has it, not the first one alone.
    for task in fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap() {
        let path = task.unwrap().path().join("status");
        // A thread may have ended meanwhile.
        if let Ok(status) = fs::read_to_string(path) {
            assert_eq!(field(&status, "Seccomp"), "2", "{status}");
        }
    }
    let locked = field(&status, "VmLck");
    if gateway.log().contains("memory is kept out of swap") {
        assert_ne!(locked, "0 kB");
    } else {
        gateway.wait_for_log("memory may be swapped out");
    }
    assert_eq!(gateway.echo("TESTER", "SEALGATE").0, 0, "and it works");
}

#[test]
fn a_crash_leaves_no_core_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    fs::write(&config, ECHO_PEER).unwrap();
    // Even where whoever starts it allows them.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -c unlimited; exec \"$0\" serve --listen 127.0.0.1:0 --config \"$1\""])
        .arg(env!("CARGO_BIN_EXE_sealgate"))
        .arg(&config)
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("listening")));
    assert!(found.is_some(), "it has started");
    assert!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(6), "{ended}");
    assert!(!ended.core_dumped(), "{ended}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["gateway.toml"]);
}
