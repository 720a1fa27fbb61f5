//! Orthanc: a PACS with a REST interface to look into.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use sealgate::dicom::AeAddress;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Process, address, free_port};

/// A running Orthanc.
pub(crate) struct Orthanc {
    pub(crate) process: Process,
    folder: TempDir,
    dicom_port: u16,
    http_port: u16,
}

impl Orthanc {
    /// Starts one that lets everybody store, find, move and get.
    pub(crate) fn start() -> Self {
        Self::start_with(&json!({}))
    }

    /// The same with settings of its own over that.
    pub(crate) fn start_with(settings: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (http_port, store) = (free_port(), folder.path().join("store"));
        let asked = settings["DicomPort"].as_u64().and_then(|port| u16::try_from(port).ok());
        let dicom_port = asked.unwrap_or_else(free_port);
        let mut config = json!({
            "Name": "test", "StorageDirectory": store, "IndexDirectory": store,
            "DicomAet": "ORTHANC", "DicomPort": dicom_port, "HttpPort": http_port,
            "AuthenticationEnabled": false, "RemoteAccessAllowed": false, "Plugins": [],
            "DicomAlwaysAllowEcho": true, "DicomAlwaysAllowStore": true, "DicomAlwaysAllowFind": true,
            "DicomAlwaysAllowGet": true, "DicomAlwaysAllowMove": true, "DicomCheckModalityHost": false,
            "UnknownSopClassAccepted": true, "OverwriteInstances": true, "SaveJobs": false,
            "SynchronousCMove": true, "SyncStorageArea": false, "DicomThreadsCount": 4,
            "DicomScuTimeout": 20, "DicomScpTimeout": 30,
        });
        let (keys, more) = (config.as_object_mut().expect("a table"), settings.as_object().expect("a table"));
        keys.extend(more.clone());
        fs::write(folder.path().join("orthanc.json"), config.to_string()).expect("its configuration");
        let process = launch(&folder, dicom_port, http_port);
        let orthanc = Self { process, folder, dicom_port, http_port };
        assert!(orthanc.json("/system")["Version"].is_string());
        orthanc
    }

    /// Starts it again over what it has, after it was killed. Nodes that it knew it has to be told again.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.folder, self.dicom_port, self.http_port);
    }

    /// How it is called.
    pub(crate) fn address(&self) -> AeAddress {
        address("ORTHANC", self.dicom_port)
    }

    /// Tells it of a node on this machine, to move to or to report to.
    pub(crate) fn knows(&self, title: &str, port: u16) {
        let node = json!({ "AET": title, "Host": "127.0.0.1", "Port": port });
        self.http("PUT", &format!("/modalities/{title}"), node.to_string().as_bytes());
    }

    /// What it answers when something is asked of it.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Value {
        serde_json::from_slice(&self.http("POST", path, body)).expect("JSON")
    }

    /// What its REST interface says.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.http("GET", path, b"")
    }

    /// The same as JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path)).expect("JSON")
    }

    /// The file of an instance, if it has it.
    pub(crate) fn file(&self, instance: &str) -> Option<Vec<u8>> {
        let found = self.http("POST", "/tools/lookup", instance.as_bytes());
        let found: Value = serde_json::from_slice(&found).expect("JSON");
        let one = found.as_array()?.iter().find(|one| one["Type"] == "Instance")?;
        Some(self.get(&format!("{}/file", one["Path"].as_str()?)))
    }

    /// Has it lose an instance.
    pub(crate) fn delete(&self, instance: &str) {
        let found = self.http("POST", "/tools/lookup", instance.as_bytes());
        let found: Value = serde_json::from_slice(&found).expect("JSON");
        let one = found
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["Type"] == "Instance")
            .expect("it has it");
        self.http("DELETE", one["Path"].as_str().expect("a path"), b"");
    }

    /// How many instances it has.
    pub(crate) fn count(&self) -> usize {
        self.json("/instances").as_array().expect("a list").len()
    }

    /// Whether a node that it knows answers its C-ECHO.
    pub(crate) fn echoes(&self, node: &str) -> bool {
        self.ask("POST", &format!("/modalities/{node}/echo"), b"{}").0.contains(" 200 ")
    }

    fn http(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let (header, answer) = self.ask(method, path, body);
        assert!(header.contains(" 200 "), "{method} {path}: {header}");
        answer
    }

    /// The header of an answer, and what follows it.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        let head = format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let split = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a header");
        let rest = answer.split_off(split + 4);
        (String::from_utf8_lossy(&answer).into_owned(), rest)
    }
}

/// Starts it in its folder, and waits until both its doors are open.
fn launch(folder: &TempDir, dicom_port: u16, http_port: u16) -> Process {
    let mut command = Command::new("Orthanc");
    // Or each message waits 40 ms for a delayed acknowledgement.
    command.env("TCP_NODELAY", "1");
    command.arg(folder.path().join("orthanc.json")).current_dir(folder.path());
    let process = Process::start(&mut command, folder.path().join("log"), dicom_port);
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", http_port)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}
