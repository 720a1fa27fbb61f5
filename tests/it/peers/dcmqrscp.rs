//! DCMTK's `dcmqrscp`: a small PACS that keeps instances as files.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sealgate::dicom::AeAddress;
use tempfile::TempDir;

use super::{Process, address, free_port};

/// A running `dcmqrscp`.
pub(crate) struct Dcmqrscp {
    pub(crate) process: Process,
    folder: TempDir,
    port: u16,
}

impl Dcmqrscp {
    /// Starts one that can move to these nodes on this machine.
    pub(crate) fn start(known: &[(&str, u16)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, store) = (free_port(), folder.path().join("store"));
        fs::create_dir(&store).expect("a folder for instances");
        let mut config =
            format!("NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 64\nHostTable BEGIN\n");
        for (number, (title, port)) in known.iter().enumerate() {
            let _ = writeln!(config, "node{number} = ({title}, 127.0.0.1, {port})");
        }
        let _ = write!(
            config,
            "HostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\n\
             QRSCP {} RW (1000, 4096mb) ANY\nAETable END\n",
            store.display()
        );
        let file = folder.path().join("dcmqrscp.cfg");
        fs::write(&file, config).expect("its configuration");
        let mut command = Command::new("dcmqrscp");
        // Or each message waits 40 ms for a delayed acknowledgement.
        command.env("TCP_NODELAY", "1");
        command.args(["-v", "-dhl", "-c"]).arg(&file).current_dir(folder.path());
        let process = Process::start(&mut command, folder.path().join("log"), port);
        Self { process, folder, port }
    }

    /// How it is called.
    pub(crate) fn address(&self) -> AeAddress {
        address("QRSCP", self.port)
    }

    /// The file of an instance, if it keeps it.
    pub(crate) fn file(&self, instance: &str) -> Option<PathBuf> {
        let holds = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(instance.len()).any(|window| window == instance.as_bytes())
        };
        self.files().into_iter().find(holds)
    }

    /// What it keeps.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("store")).expect("its folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|kind| kind != "dat")).collect()
    }
}
