//! Other people's nodes for tests: each a process on a free port in a folder of its own, ended by its id when dropped.

pub(crate) mod archive;
pub(crate) mod clear;
mod corpus;
mod dcmqrscp;
mod orthanc;
mod pynetdicom;
mod ris;
mod storescp;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealgate::dicom::AeAddress;

pub(crate) use corpus::{Sample, data_set_of, samples};
pub(crate) use dcmqrscp::Dcmqrscp;
pub(crate) use orthanc::Orthanc;
pub(crate) use pynetdicom::Pynetdicom;
pub(crate) use ris::RisPeer;
pub(crate) use storescp::StoreScp;

pub(crate) use crate::ports::free_port;

/// How long a peer may take to start on a loaded machine.
const START: Duration = Duration::from_secs(60);

/// A process that is ended when this is dropped; what it says goes into a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it and waits until it listens on `port`.
    pub(crate) fn start(command: &mut Command, log: PathBuf, port: u16) -> Self {
        let file = File::create(&log).expect("a log");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}: run tests/run install"));
        let mut process = Self { child, log };
        let end = Instant::now() + START;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect(address).is_err() {
            let ended = process.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "{command:?} has ended: {}", process.log());
            assert!(Instant::now() < end, "{command:?} does not listen: {}", process.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("its log")).into_owned()
    }

    /// Waits until it has said this so many times: what it does and what it says may be seen in either order.
    pub(crate) fn says(&self, text: &str, times: usize) {
        let end = Instant::now() + START;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < end, "{times} times {text:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The processes that it has started.
    pub(crate) fn children(&self) -> Vec<String> {
        let id = self.child.id();
        let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        list.split_whitespace().map(ToOwned::to_owned).collect()
    }

    /// Sends it a signal, such as STOP, after which it is silent.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "the signal {name} was sent");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Python that has the peers' packages.
pub(crate) fn python() -> String {
    let own = || format!("{}/tests/.venv/bin/python", env!("CARGO_MANIFEST_DIR"));
    std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| own())
}

/// `TITLE@127.0.0.1:port`.
pub(crate) fn address(title: &str, port: u16) -> AeAddress {
    AeAddress::parse(&format!("{title}@127.0.0.1:{port}")).expect("an address")
}
