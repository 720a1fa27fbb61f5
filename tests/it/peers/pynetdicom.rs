//! pynetdicom as a node with programmed answers: `tests/peers/scp.py`.

use std::path::PathBuf;
use std::process::Command;

use sealgate::dicom::AeAddress;
use tempfile::TempDir;

use super::{Process, address, free_port};

/// A running `tests/peers/scp.py`.
pub(crate) struct Pynetdicom {
    pub(crate) process: Process,
    folder: TempDir,
    port: u16,
}

impl Pynetdicom {
    /// Starts one with `--key=value` options, which stand at the top of the script.
    pub(crate) fn start(options: &[&str]) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let python =
            std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| format!("{root}/tests/.venv/bin/python"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(python);
        command.arg("-B").arg(format!("{root}/tests/peers/scp.py"));
        command.arg(format!("--port={port}")).arg(format!("--folder={}", folder.path().display()));
        command.args(options);
        let process = Process::start(&mut command, folder.path().join("log"), port);
        Self { process, folder, port }
    }

    /// How it is called.
    pub(crate) fn address(&self) -> AeAddress {
        address("PYNETDICOM", self.port)
    }

    /// The data set of an instance as it came, if it has it.
    pub(crate) fn data_set(&self, instance: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(instance)).ok()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
