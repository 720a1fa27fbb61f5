//! DCMTK's `dcmqrscp`: a small PACS that keeps instances as files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
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
        let process = launch(&folder, port);
        Self { process, folder, port }
    }

    /// What the table of a destination has to say where it may be one: it loses what comes at the same time.
    pub(crate) fn takes(address: &AeAddress) -> &'static str {
        if address.title.as_str() == "QRSCP" { "sends_max = 1\n" } else { "" }
    }

    /// A copy of all that it keeps, as a backup has it.
    pub(crate) fn backup(&mut self) -> TempDir {
        let backup = tempfile::tempdir().expect("a temporary folder");
        self.stopped(|store| copy(store, backup.path()));
        backup
    }

    /// What it keeps is what the backup has; the rest is gone.
    pub(crate) fn restore(&mut self, backup: &TempDir) {
        self.stopped(|store| {
            fs::remove_dir_all(store).expect("its folder");
            fs::create_dir(store).expect("its folder");
            copy(backup.path(), store);
        });
    }

    /// Ends it, does something with its folder, and starts it again where it was.
    fn stopped(&mut self, deed: impl FnOnce(&Path)) {
        // Each association has a process of its own, which has the port open too.
        let children = self.process.children();
        self.process.kill();
        if !children.is_empty() {
            // One of them may have ended by itself.
            let _ended = Command::new("kill").arg("-KILL").args(&children).status();
        }
        deed(&self.folder.path().join("store"));
        self.process = launch(&self.folder, self.port);
        // What came in while the old one died is answered with a reset.
        let echo =
            || Command::new("echoscu").args(["-aec", "QRSCP", "127.0.0.1", &self.port.to_string()]).status();
        let answers = |_: &u32| echo().is_ok_and(|status| status.success());
        assert!((0..50).any(|number| answers(&number)), "it answers again: {}", self.process.log());
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

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

/// Starts it in its folder.
fn launch(folder: &TempDir, port: u16) -> Process {
    let mut command = Command::new("dcmqrscp");
    // Or each message waits 40 ms for a delayed acknowledgement.
    command.env("TCP_NODELAY", "1");
    command.args(["-v", "-dhl", "-c"]).arg(folder.path().join("dcmqrscp.cfg")).current_dir(folder.path());
    Process::start(&mut command, folder.path().join("log"), port)
}
