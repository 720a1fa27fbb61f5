//! DCMTK's `storescp`: takes everything and writes it down bit for bit.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sealgate::dicom::AeAddress;
use tempfile::TempDir;

use super::{Process, address, free_port};

/// A running `storescp`.
pub(crate) struct StoreScp {
    pub(crate) process: Process,
    folder: TempDir,
    port: u16,
}

impl StoreScp {
    /// Starts one that takes every class in every transfer syntax it knows, and several associations at once.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--fork", "+xa", "-pm", "+B"])
    }

    /// The same on a port that somebody knows already.
    pub(crate) fn start_on(port: u16) -> Self {
        Self::start_at(port, &["--fork", "+xa", "-pm", "+B"])
    }

    /// Starts one with these options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_at(free_port(), options)
    }

    /// The same on a port that somebody knows already.
    pub(crate) fn start_at(port: u16, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        fs::create_dir(&store).expect("a folder for instances");
        let mut command = Command::new("storescp");
        command
            // Or each message waits 40 ms for a delayed acknowledgement.
            .env("TCP_NODELAY", "1")
            .args(["-v", "-aet", "STORESCP", "-dhl", "-od"])
            .arg(&store)
            .args(options)
            .arg(port.to_string());
        let process = Process::start(&mut command, folder.path().join("log"), port);
        Self { process, folder, port }
    }

    /// How it is called.
    pub(crate) fn address(&self) -> AeAddress {
        address("STORESCP", self.port)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it has written.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("store")).expect("its folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The file of an instance, if it is there.
    pub(crate) fn file(&self, instance: &str) -> Option<Vec<u8>> {
        let ends = |path: &PathBuf| {
            path.to_str().and_then(|path| path.strip_suffix(instance)).is_some_and(|rest| rest.ends_with('.'))
        };
        self.files().into_iter().find(ends).map(|path| fs::read(path).expect("it can be read"))
    }
}
