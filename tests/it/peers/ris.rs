//! pynetdicom as a RIS: `tests/peers/ris.py`.

use std::process::Command;

use tempfile::TempDir;

use super::{Process, free_port};

/// A running `tests/peers/ris.py`.
pub(crate) struct RisPeer {
    pub(crate) process: Process,
    folder: TempDir,
    pub(crate) port: u16,
}

impl RisPeer {
    /// Starts one with `--key=value` options, which stand at the top of the script.
    pub(crate) fn start(options: &[&str]) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let (folder, port) = (tempfile::tempdir().expect("a temporary folder"), free_port());
        let mut command = Command::new(super::python());
        command.arg("-B").arg(format!("{root}/tests/peers/ris.py"));
        command.arg(format!("--port={port}")).arg(format!("--folder={}", folder.path().display()));
        command.args(options);
        let process = Process::start(&mut command, folder.path().join("log"), port);
        Self { process, folder, port }
    }

    /// What it keeps of a step.
    pub(crate) fn kept(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path().join(name)).ok()
    }
}
