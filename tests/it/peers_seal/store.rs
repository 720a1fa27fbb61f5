//! Archives that sealed instances are stored in and retrieved from: DCMTK's dcmqrscp, and Orthanc.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sealgate::dicom::Uid;

use super::*;
use crate::ports::free_port;
use crate::seal::files_below;

/// An archive that runs until the value is dropped.
struct Archive {
    child: Child,
    /// Its DICOM port.
    port: u16,
    title: &'static str,
    folder: TempDir,
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Archive {
    fn start(program: &str, title: &'static str, port: u16, arguments: &[&str], folder: TempDir) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: run tests/run install"));
        let archive = Self { child, port, title, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !run("echoscu", &["-aet", "TESTER", "-aec", title, "127.0.0.1", &port.to_string()])
            .status
            .success()
        {
            assert!(Instant::now() < deadline, "{program} does not answer: {}", archive.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        archive
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Stores the sealed files of these cases.
    fn store(&self, cases: &[&Case]) {
        for batch in cases.chunks(20) {
            let port = self.port.to_string();
            let mut arguments = vec!["-R", "-aet", "TESTER", "-aec", self.title, "127.0.0.1", &port];
            arguments.extend(batch.iter().map(|case| text(&case.sealed)));
            let output = run("storescu", &arguments);
            assert!(
                output.status.success() && !said(&output).contains("W: "),
                "{}{}",
                said(&output),
                self.log()
            );
        }
    }

    /// Retrieves a study into a folder.
    fn get(&self, study: &Uid, into: &Path) {
        let key = format!("StudyInstanceUID={study}");
        let port = self.port.to_string();
        let fixed =
            ["-S", "-aet", "TESTER", "-aec", self.title, "-k", "QueryRetrieveLevel=STUDY", "-k", &key, "-od"];
        let output = run("getscu", &[&fixed[..], &[text(into), "127.0.0.1", &port]].concat());
        assert!(output.status.success(), "{}{}", said(&output), self.log());
    }

    /// Has a study sent to a receiver of our own.
    fn move_to(&self, study: &Uid, receiver: u16, into: &Path) {
        let key = format!("StudyInstanceUID={study}");
        let (port, receiver) = (self.port.to_string(), receiver.to_string());
        let fixed = [
            "-S",
            "-aet",
            "TESTER",
            "-aec",
            self.title,
            "-aem",
            "TESTER",
            "+P",
            &receiver,
            "-od",
            text(into),
        ];
        let keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", &key, "127.0.0.1", &port];
        let output = run("movescu", &[&fixed[..], &keys].concat());
        assert!(output.status.success(), "{}{}", said(&output), self.log());
    }
}

/// Cases that an archive can tell apart and find: with study, series and patient, and each UID once.
fn storable(corpus: &Corpus) -> Vec<(&Case, Uid, Uid)> {
    let mut instances = BTreeSet::new();
    let mut found = Vec::new();
    for case in &corpus.cases {
        let elements = elements(&fs::read(&case.sealed).unwrap());
        let explicit = |raw: &Vec<u8>| Uid::from_wire(&raw[8..]).ok();
        let uid = |tag| elements.get(&tag).and_then(explicit);
        let uids = [Tag(0x0008, 0x0018), Tag(0x0020, 0x000D), Tag(0x0020, 0x000E)].map(uid);
        let patient = elements.get(&Tag(0x0010, 0x0020)).is_some_and(|raw| raw.len() > 8);
        if let ([Some(instance), Some(study), Some(_)], true) = (uids, patient)
            && instances.insert(instance.clone())
        {
            found.push((case, instance, study));
        }
    }
    assert!(found.len() > 30, "{}", found.len());
    found
}

/// Holds what came back against the originals; every case has to be there.
fn check_retrieved(what: &str, cases: &[(&Case, Uid, Uid)], folder: &Path) {
    let mut files = BTreeMap::new();
    for path in files_below(folder) {
        let found = inspect(&fs::read(&path).unwrap()[..]).unwrap();
        files.insert(found.sop_instance.unwrap(), path);
    }
    for (case, instance, _) in cases {
        let file = files.get(instance).unwrap_or_else(|| panic!("{what}: {} did not come back", case.name));
        opens(case, file, &[]).unwrap_or_else(|error| panic!("{what}: {}: {error}", case.name));
    }
}

fn studies<'a>(cases: &'a [(&Case, Uid, Uid)]) -> BTreeSet<&'a Uid> {
    cases.iter().map(|(.., study)| study).collect()
}

#[test]
fn what_dcmqrscp_stored_comes_back_by_get_and_move() {
    let (corpus, folder) = (Corpus::seal(), folder());
    let (port, receiver) = (free_port(), free_port());
    let database = folder.path().join("database");
    fs::create_dir(&database).unwrap();
    let config = folder.path().join("dcmqrscp.cfg");
    let text_of_config = format!(
        "NetworkTCPPort = {port}\nMaxPDUSize = 65536\nMaxAssociations = 16\n\
         HostTable BEGIN\ntester = (TESTER, 127.0.0.1, {receiver})\nHostTable END\n\
         VendorTable BEGIN\nVendorTable END\n\
         AETable BEGIN\nQR {} RW (500, 1024mb) ANY\nAETable END\n",
        database.display()
    );
    fs::write(&config, text_of_config).unwrap();
    let archive = Archive::start("dcmqrscp", "QR", port, &["-c", text(&config)], folder);
    let cases = storable(&corpus);
    archive.store(&cases.iter().map(|(case, ..)| *case).collect::<Vec<_>>());
    let (got, moved) = (crate::keys::folder(), crate::keys::folder());
    for study in studies(&cases) {
        archive.get(study, got.path());
        archive.move_to(study, receiver, moved.path());
    }
    check_retrieved("C-GET", &cases, got.path());
    check_retrieved("C-MOVE", &cases, moved.path());
}

/// The body of an HTTP answer.
fn http(port: u16, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a header");
    assert!(
        answer.starts_with(b"HTTP/1") && answer[8..].starts_with(b" 200"),
        "{}",
        answer[..end].escape_ascii()
    );
    answer.split_off(end + 4)
}

#[test]
fn what_orthanc_stored_comes_back_by_get_move_and_rest() {
    let (corpus, folder) = (Corpus::seal(), folder());
    let (port, web, receiver) = (free_port(), free_port(), free_port());
    let config = folder.path().join("orthanc.json");
    let settings = serde_json::json!({
        "Name": "archive",
        "StorageDirectory": folder.path().join("storage"),
        "IndexDirectory": folder.path().join("index"),
        "Plugins": [],
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": web,
        "RemoteAccessAllowed": false,
        "AuthenticationEnabled": false,
        "DicomAlwaysAllowGet": true,
        "DicomAlwaysAllowMove": true,
        "DicomModalities": { "tester": ["TESTER", "127.0.0.1", receiver] },
        "KeepAlive": false,
    });
    fs::write(&config, settings.to_string()).unwrap();
    let archive = Archive::start("Orthanc", "ORTHANC", port, &[text(&config)], folder);
    let cases = storable(&corpus);
    archive.store(&cases.iter().map(|(case, ..)| *case).collect::<Vec<_>>());
    let [got, moved, rest] = [(); 3].map(|()| crate::keys::folder());
    for study in studies(&cases) {
        archive.get(study, got.path());
        archive.move_to(study, receiver, moved.path());
    }
    for (number, (_, instance, _)) in cases.iter().enumerate() {
        let uid = instance.as_str();
        let request = format!("POST /tools/lookup HTTP/1.0\r\nContent-Length: {}\r\n\r\n{uid}", uid.len());
        let found: serde_json::Value = serde_json::from_slice(&http(web, &request)).unwrap();
        let path = found[0]["Path"].as_str().unwrap_or_else(|| panic!("{uid}: {found}"));
        let file = http(web, &format!("GET {path}/file HTTP/1.0\r\n\r\n"));
        fs::write(rest.path().join(number.to_string()), file).unwrap();
    }
    check_retrieved("C-GET", &cases, got.path());
    check_retrieved("C-MOVE", &cases, moved.path());
    check_retrieved("REST", &cases, rest.path());
}
