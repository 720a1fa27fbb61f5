//! A trial to look at: `sealgate demo`, which has images behind it and an admin page in front, shared by the tests.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Answer, ask};

/// A demo that stays up.
pub(crate) struct Trial {
    child: Child,
    pub(crate) folder: TempDir,
    /// Of the web server.
    pub(crate) web: SocketAddr,
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Trial {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["demo", "--json", "--folder"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(told["ok"], true, "{told}");
        let page = told["admin_page"].as_str().unwrap();
        let web = page.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let word = |index: usize| told["admin"][index].as_str().unwrap().to_owned();
        Self { child, folder, web, name: word(0), password: word(1) }
    }

    /// Logs in: the cookie.
    pub(crate) fn log_in(&self) -> String {
        let answer = log_in(self.web, &self.name, &self.password);
        assert_eq!(answer.status, 303, "{}", answer.text());
        cookie(&answer)
    }

    /// `sealgate` with the trial's configuration.
    pub(crate) fn sealgate(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("gateway.toml"))
            .output()
            .unwrap()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Ctrl-C, so that it ends its gateway too.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// One trial at a time: the tests look at the same counters.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn log_in(to: SocketAddr, name: &str, password: &str) -> Answer {
    ask(to, "POST", "/login", &[], &format!("name={name}&password={password}"))
}

/// What a browser would send back.
pub(crate) fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}
