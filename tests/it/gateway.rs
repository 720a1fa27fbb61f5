//! A gateway of its own for a test: the real binary on a free port, stopped by its process id.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything that should happen at once may take on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running `sealgate serve`.
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    log: Arc<Log>,
    /// Of its first listener.
    pub(crate) address: SocketAddr,
    /// Of all of them, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// A peer that may echo, as the tests need it most often.
pub(crate) const ECHO_PEER: &str = r#"
[[peers]]
name = "tester"
title = "TESTER"
addresses = ["127.0.0.1"]
may = ["echo"]
"#;

impl Gateway {
    /// Starts one with this configuration; it logs JSON, and listens on a free loopback port unless the configuration
    /// has listeners.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("gateway.toml"), config).expect("the configuration is written");
        let listeners = config.matches("[[listeners]]").count();
        let listen: &[&str] = if listeners == 0 { &["--listen", "127.0.0.1:0"] } else { &[] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .arg("serve")
            .args(listen)
            .args(["--log-format", "json", "--config"])
            .arg(folder.path().join("gateway.toml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().expect("it was piped"));
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    log.lines.lock().expect("no panic holds it").push(line);
                    log.more.notify_all();
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Self { child, folder, log, address, addresses: Vec::new() };
        gateway.addresses = gateway
            .wait_for_logs("\"listening\"", listeners.max(1))
            .iter()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
                line["address"].as_str().expect("an address").parse().expect("a socket address")
            })
            .collect();
        gateway.address = gateway.addresses[0];
        gateway
    }

    /// The configuration file it was started with.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first log line that contains `text`, once it is there.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_logs(text, 1).remove(0)
    }

    /// The first so many log lines that contain `text`, once they are there.
    pub(crate) fn wait_for_logs(&self, text: &str, count: usize) -> Vec<String> {
        let end = Instant::now() + SOON;
        let mut lines = self.log.lines.lock().expect("no panic holds it");
        loop {
            let found: Vec<String> =
                lines.iter().filter(|line| line.contains(text)).take(count).cloned().collect();
            if found.len() == count {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {count} log lines with {text:?} in\n{}",
                found.len(),
                lines.join("\n")
            );
            lines = self.log.more.wait_timeout(lines, left).expect("no panic holds it").0;
        }
    }

    /// Waits until something is so that should be soon.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + SOON;
        while !is_so() {
            assert!(Instant::now() < end, "{what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The whole log up to now.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().expect("no panic holds it").iter().fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{line}");
            all
        })
    }

    /// Sends it a signal by its process id.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "the signal {name} was sent");
    }

    /// How it ended, if it ends soon.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not end\n{}", self.log());
    }

    /// `sealgate echo` from TESTER to `called` at this gateway: exit code and standard output.
    pub(crate) fn echo(&self, calling: &str, called: &str) -> (i32, String) {
        let target = format!("{called}@{}", self.address);
        let output = Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["echo", &target, "--calling", calling, "--json"])
            .output()
            .expect("the command runs");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
