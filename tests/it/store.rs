//! The store path: from a modality through the gateway into a PACS, and nothing lost on the way.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax};
use sealgate::scu::{
    Caller, Config, Destination, Failure, FromReader, Instance, Need, Tcp, for_storing, store,
};
use sealgate::seal::inspect;
use sealgate::spool::look;

use super::gateway::Gateway;
use super::keys::command::Site;
use super::peers::{Orthanc, Pynetdicom, Sample, StoreScp, data_set_of, free_port, samples};

/// A gateway with keys and a spool of its own, in front of one destination.
pub(crate) struct Front {
    pub(crate) site: Site,
    pub(crate) gateway: Gateway,
}

impl Front {
    /// The configuration: one peer that may store, one destination, one route with `route` in it, and `more`.
    fn config(site: &Site, destination: &str, route: &str, more: &str) -> String {
        let keys = fs::read_to_string(site.path("gateway.toml")).unwrap();
        let spool = site.path("spool");
        format!(
            "{keys}\n[spool]\nfolder = \"{}\"\nrefuse_stores_free_bytes = 1048576\nrefuse_associations_free_bytes = 1048576\n\
             [forward]\nretry_seconds_min = 1\nretry_seconds_max = 2\n\
             [[peers]]\nname = \"modality\"\ntitle = \"MODALITY\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\", \"store\"]\n\
             [[destinations]]\nname = \"archive\"\naddress = \"{destination}\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"archive\"]\n{route}\n{more}\n",
            spool.display()
        )
    }

    pub(crate) fn start(destination: &str, route: &str) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let gateway = Gateway::start(&Self::config(&site, destination, route, ""));
        Self { site, gateway }
    }

    fn restart(self, destination: &str, route: &str) -> Self {
        let Self { site, gateway } = self;
        drop(gateway);
        let gateway = Gateway::start(&Self::config(&site, destination, route, ""));
        Self { site, gateway }
    }

    fn port(&self) -> String {
        self.gateway.address.port().to_string()
    }

    /// DCMTK's `storescu`, which proposes what each file needs.
    pub(crate) fn storescu(&self, files: &[PathBuf]) -> Output {
        let mut command = Command::new("storescu");
        command.args(["-v", "-aet", "MODALITY", "-aec", "SEALGATE"]);
        command
            .args(["127.0.0.1", &self.port()])
            .args(files)
            .output()
            .expect("storescu runs: run tests/run install")
    }

    /// Waits until nothing waits in the spool.
    pub(crate) fn drained(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.spool_is_empty() {
            assert!(Instant::now() < end, "the spool drains: {:?}", self.gateway.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn spool_is_empty(&self) -> bool {
        self.site.in_spool() == 0
    }
}

/// Every sample once by SOP Instance UID: a folder of a PACS has one file for each.
fn each_once() -> Vec<Sample> {
    let mut seen = BTreeSet::new();
    // DCMTK's `storescp` has no context for colour palettes.
    let is_palette = |sample: &Sample| sample.instance.class.as_str() == "1.2.840.10008.5.1.4.39.1";
    let found = samples().into_iter().filter(|sample| !is_palette(sample));
    found.filter(|sample| seen.insert(sample.instance.instance.clone())).collect()
}

fn modality() -> AeTitle {
    AeTitle::parse("MODALITY").unwrap()
}

/// Sends over one association and gives the status of each, or the failure in words.
async fn send(gateway: &Gateway, samples: &[Sample]) -> Vec<Result<Status, String>> {
    let address = AeAddress::parse(&format!("SEALGATE@{}", gateway.address)).unwrap();
    let to = Destination { address, calling: modality() };
    let mut needs: Vec<Need> = Vec::new();
    for sample in samples {
        if !needs.contains(&sample.instance.need()) {
            needs.push(sample.instance.need());
        }
    }
    let (door, config) = (association::Config::default(), Arc::new(Config::default()));
    let mut caller =
        Caller::associate(&Tcp, &to, &for_storing(&needs), &door, &config).await.expect("associated");
    let mut answers = Vec::new();
    for sample in samples {
        let mut source = FromReader::new(&sample.data_set[..]);
        answers.push(match store(&mut caller, &sample.instance, &mut source).await {
            Ok(answer) => Ok(answer.status),
            Err(Failure::Status(answer)) => Ok(answer.status),
            Err(failure) => Err(failure.to_string()),
        });
    }
    caller.release().await;
    answers
}

/// The last element with the tag of Pixel Data, and what follows it.
fn pixels_of(bytes: &[u8]) -> &[u8] {
    let at = bytes.windows(4).rposition(|window| window == b"\xE0\x7F\x10\0").expect("there are pixels");
    &bytes[at..]
}

/// No 16 bytes of the original's pixels stand anywhere in what is kept of it.
pub(crate) fn shows_nothing(sample: &Sample, kept: &[u8]) -> bool {
    let tag: &[u8] = if sample.instance.transfer_syntax.keyword.contains("Big") {
        b"\x7F\xE0\0\x10"
    } else {
        b"\xE0\x7F\x10\0"
    };
    let start = sample.data_set.windows(4).rposition(|window| window == tag).map_or(0, |at| at + 12);
    let pixels = &sample.data_set[start..];
    let varied = |window: &[u8]| window.iter().collect::<BTreeSet<_>>().len() > 8;
    let windows: HashSet<&[u8]> = pixels.chunks_exact(16).filter(|window| varied(window)).collect();
    let shown = kept.windows(16).find(|window| windows.contains(window));
    shown.inspect(|shown| println!("{sample:?} shows {}", shown.escape_ascii())).is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_image_reaches_the_pacs_sealed_and_opens_to_identical_bytes() {
    let pacs = StoreScp::start();
    let front = Front::start(&pacs.address().to_string(), "");
    let all = each_once();
    let answers = send(&front.gateway, &all).await;
    let mut taken = Vec::new();
    for (sample, answer) in all.iter().zip(&answers) {
        match answer {
            Ok(Status::SUCCESS) => taken.push(sample),
            // Objects that are not what they say, which no reader takes.
            Ok(status) => assert!(
                ["badVR.dcm"].iter().any(|name| sample.path.ends_with(name)),
                "{sample:?} {status}: {}",
                front.gateway.log()
            ),
            Err(failure) => panic!("{sample:?}: {failure}"),
        }
    }
    assert!(taken.len() > 60);
    front.drained();
    let folder = front.site.path("pacs");
    fs::create_dir(&folder).unwrap();
    let mut sealed = 0;
    for sample in &taken {
        let uid = sample.instance.instance.as_str();
        let file =
            pacs.file(uid).unwrap_or_else(|| panic!("{sample:?} is at the PACS: {}", front.gateway.log()));
        if file.windows(8).any(|window| window == b"\x93SGATE\r\0") {
            // The ramps of look-up tables stand in the pixels of these test images too.
            let is_ramp = sample.path.to_str().unwrap().contains("lut_");
            assert!(is_ramp || shows_nothing(sample, &file), "{sample:?}");
            fs::write(folder.join(uid), file).unwrap();
            sealed += 1;
        } else {
            assert!(data_set_of(&file) == Some(&sample.sent()), "{sample:?} has no pixels and passes");
        }
    }
    assert!(sealed > 40, "{sealed}");
    let opened = front.site.path("opened");
    let paths = [folder.to_str().unwrap(), opened.to_str().unwrap()];
    let output = front.site.sealgate(&["open", paths[0], "--out", paths[1]]);
    assert!(output.status.success(), "{output:?}");
    for sample in taken {
        if let Ok(file) = fs::read(opened.join(sample.instance.instance.as_str())) {
            assert!(data_set_of(&file) == Some(&sample.sent()), "{sample:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_real_image_stands_in_clear_in_the_spool() {
    let front = Front::start(&format!("STORESCP@127.0.0.1:{}", free_port()), "without_pixels = \"refuse\"");
    let all = each_once();
    let answers = send(&front.gateway, &all).await;
    assert!(answers.iter().filter(|answer| **answer == Ok(Status::SUCCESS)).count() > 40);
    let mut seen = 0;
    for entry in look(&front.site.path("spool")).unwrap().entries {
        let uid = String::from_utf8(entry.key).unwrap();
        let sample = all.iter().find(|sample| sample.instance.instance.as_str() == uid).unwrap();
        let file = fs::read(front.site.path(&format!("spool/entries/{}.entry", entry.id))).unwrap();
        let is_ramp = sample.path.to_str().unwrap().contains("lut_");
        assert!(is_ramp || shows_nothing(sample, &file), "{sample:?}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

fn small_images(count: usize) -> Vec<Sample> {
    let has_pixels = |sample: &Sample| sample.data_set.windows(4).any(|window| window == b"\xE0\x7F\x10\0");
    let is_image =
        |sample: &Sample| sample.instance.class.as_str() == "1.2.840.10008.5.1.4.1.1.2" && has_pixels(sample);
    let found: Vec<_> = each_once().into_iter().filter(is_image).take(count).collect();
    assert_eq!(found.len(), count);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_crash_and_a_pacs_that_is_away() {
    let port = free_port();
    let destination = format!("STORESCP@127.0.0.1:{port}");
    let front = Front::start(&destination, "");
    let images = small_images(2);
    assert_eq!(send(&front.gateway, &images).await, [Ok(Status::SUCCESS), Ok(Status::SUCCESS)]);
    front.gateway.signal("KILL");
    let front = front.restart(&destination, "");
    let pacs = StoreScp::start_on(port);
    front.drained();
    for image in &images {
        let file = pacs.file(image.instance.instance.as_str()).expect("it was forwarded");
        assert!(shows_nothing(image, &file));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_kept_once_and_other_bytes_of_the_same_instance_beside_them() {
    let front = Front::start(&format!("STORESCP@127.0.0.1:{}", free_port()), "");
    let image = small_images(1).remove(0);
    let success = [Ok(Status::SUCCESS)];
    for _ in 0..3 {
        assert_eq!(send(&front.gateway, std::slice::from_ref(&image)).await, success);
    }
    let entries = || front.site.in_spool();
    assert_eq!(entries(), 1);
    let mut other = image.clone();
    let mut bytes = other.data_set.to_vec();
    let last = bytes.len() - 200;
    bytes[last] ^= 1;
    other.data_set = bytes.into();
    assert_eq!(send(&front.gateway, std::slice::from_ref(&other)).await, success);
    assert_eq!(entries(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_with_a_keystream_seals_under_it_and_refuses_where_there_is_no_generator() {
    let suite = "suite = \"deepkeygen-xor\"";
    let pacs = StoreScp::start();
    let front = Front::start(&pacs.address().to_string(), suite);
    let images = small_images(2);
    assert_eq!(send(&front.gateway, &images).await, vec![Ok(Status::SUCCESS); 2], "{}", front.gateway.log());
    front.drained();
    let folder = front.site.path("pacs");
    fs::create_dir(&folder).unwrap();
    for sample in &images {
        let uid = sample.instance.instance.as_str();
        let file = pacs.file(uid).expect("it is at the PACS");
        let at = file.windows(8).position(|window| window == b"\x93SGATE\r\0").expect("it is sealed");
        assert_eq!(file[at + 10..at + 12], [0, 2], "the suite of the fixed header");
        fs::write(folder.join(uid), file).unwrap();
    }
    let opened = front.site.path("opened");
    let output = front.site.sealgate(&["open", folder.to_str().unwrap(), "--out", opened.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for sample in &images {
        let file = fs::read(opened.join(sample.instance.instance.as_str())).unwrap();
        assert!(data_set_of(&file) == Some(&sample.sent()), "{sample:?}");
    }

    let missing = "00".repeat(32);
    let site = front.site;
    drop(front.gateway);
    let config = Front::config(&site, &pacs.address().to_string(), suite, "");
    let config = config.replace("generator = \"lite\"", &format!("generator = \"{missing}\""));
    let gateway = Gateway::start(&config);
    assert_eq!(send(&gateway, &images[..1]).await, [Ok(Status::OUT_OF_RESOURCES)]);
    gateway.wait_for_log("the inner layer of a route cannot be made");
    assert!(gateway.log().contains(&format!("generator {missing} is not in")), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dual_route_through_orthanc_opens_with_the_dual_key_alone_and_refuses_where_there_is_none() {
    let orthanc = Orthanc::start();
    let suite = "suite = \"dual\"";
    let front = Front::start(&orthanc.address().to_string(), suite);
    let images = small_images(2);
    assert_eq!(send(&front.gateway, &images[..1]).await, [Ok(Status::OUT_OF_RESOURCES)]);
    front.gateway.wait_for_log("the inner layer of a route cannot be made");
    let Front { site, gateway } = front;
    drop(gateway);
    assert!(site.sealgate(&["keys", "dual"]).status.success());
    let gateway = Gateway::start(&Front::config(&site, &orthanc.address().to_string(), suite, ""));
    let front = Front { site, gateway };
    assert_eq!(send(&front.gateway, &images).await, vec![Ok(Status::SUCCESS); 2], "{}", front.gateway.log());
    front.drained();
    let backup = front.site.path("backup").to_str().unwrap().to_owned();
    assert!(front.site.sealgate(&["keys", "backup", &backup]).status.success());
    let folder = front.site.path("pacs");
    fs::create_dir(&folder).unwrap();
    for sample in &images {
        let uid = sample.instance.instance.as_str();
        let file = orthanc.file(uid).expect("Orthanc has it");
        let at = file.windows(8).position(|window| window == b"\x93SGATE\r\0").expect("it is sealed");
        assert_eq!(file[at + 10..at + 12], [0, 32], "the suite of the fixed header");
        fs::write(folder.join(uid), file).unwrap();
    }
    let open = |out: &str| {
        let out = front.site.path(out);
        front.site.sealgate(&["open", folder.to_str().unwrap(), "--out", out.to_str().unwrap()])
    };
    let key = front.site.path("keys/kek/dual-0001.dual");
    fs::remove_file(&key).unwrap();
    let output = open("refused");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("dual key") && said.contains("keys restore"), "{said}");
    drop(front.gateway);
    let restored = front.site.sealgate(&["keys", "restore", &backup]);
    assert!(restored.status.success() && key.exists(), "{restored:?}");
    let output = open("opened");
    assert!(output.status.success(), "{output:?}");
    for sample in &images {
        let file = fs::read(front.site.path("opened").join(sample.instance.instance.as_str())).unwrap();
        assert!(pixels_of(&file) == pixels_of(&sample.data_set), "{sample:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_waits_for_the_pacs_passes_its_answer_on() {
    let pacs = StoreScp::start();
    let front = Front::start(&pacs.address().to_string(), "acknowledge = \"forwarded\"");
    let image = small_images(1).remove(0);
    assert_eq!(send(&front.gateway, std::slice::from_ref(&image)).await, [Ok(Status::SUCCESS)]);
    assert!(pacs.file(image.instance.instance.as_str()).is_some(), "acknowledged is forwarded here");
    let refusing = Pynetdicom::start(&["--status", "43264"]);
    let front = front.restart(&refusing.address().to_string(), "acknowledge = \"forwarded\"");
    assert_eq!(send(&front.gateway, std::slice::from_ref(&image)).await, [Ok(Status::DATA_SET_MISMATCH)]);
    // It took it, and has something to say.
    let warning = Pynetdicom::start(&["--status", "45063"]);
    let front = front.restart(&warning.address().to_string(), "acknowledge = \"forwarded\"");
    assert_eq!(send(&front.gateway, &small_images(2)[1..]).await, [Ok(Status(0xB007))]);
    front.gateway.wait_for_log("forwarded with a warning");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_without_pixels_pass_or_are_refused_as_the_route_says() {
    let pacs = StoreScp::start();
    let report: Vec<Sample> =
        each_once().into_iter().filter(|sample| sample.path.ends_with("rtplan.dcm")).collect();
    for (route, expected) in
        [("", Status::SUCCESS), ("without_pixels = \"refuse\"", Status::CANNOT_UNDERSTAND)]
    {
        let front = Front::start(&pacs.address().to_string(), route);
        assert_eq!(send(&front.gateway, &report).await, [Ok(expected)], "{}", front.gateway.log());
        front.drained();
    }
    let file = pacs.file(report[0].instance.instance.as_str()).expect("it passed");
    assert!(data_set_of(&file) == Some(&report[0].sent()));
}

/// A PDF as an instance, made by DCMTK of a file that says these words.
pub(crate) fn pdf_instance(words: &str, folder: &Path) -> Sample {
    let (pdf, dcm) = (folder.join("letter.pdf"), folder.join("letter.dcm"));
    fs::write(&pdf, format!("%PDF-1.4\n% {}\n%%EOF\n", words.repeat(200))).unwrap();
    let made = Command::new("pdf2dcm").args([&pdf, &dcm]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let file = fs::read(&dcm).unwrap();
    let found = inspect(&file[..]).unwrap();
    let syntax = TransferSyntax::by_uid(found.transfer_syntax.as_str()).unwrap();
    let instance = Instance::new(found.sop_class.unwrap(), found.sop_instance.unwrap(), syntax);
    Sample { path: dcm, instance, data_set: data_set_of(&file).unwrap().to_vec().into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_sealed_where_the_route_says_so_and_what_cannot_be_is_refused() {
    let pacs = StoreScp::start();
    let route = "without_pixels = \"seal\"";
    let front = Front::start(&pacs.address().to_string(), route);
    let words = "a diagnosis that nobody else may read ";
    let letter = pdf_instance(words, &front.site.path(""));
    let plan: Vec<Sample> =
        each_once().into_iter().filter(|sample| sample.path.ends_with("rtplan.dcm")).collect();
    let answers = send(&front.gateway, &[letter.clone(), plan[0].clone()]).await;
    assert_eq!(answers, [Ok(Status::SUCCESS), Ok(Status::CANNOT_UNDERSTAND)], "{}", front.gateway.log());
    front.drained();
    assert!(pacs.file(plan[0].instance.instance.as_str()).is_none(), "nothing that cannot be sealed goes on");
    let uid = letter.instance.instance.as_str();
    let sealed = pacs.file(uid).expect("it was forwarded");
    let says_it = |bytes: &[u8]| bytes.windows(11).any(|at| at == b"a diagnosis");
    assert!(says_it(&letter.data_set) && !says_it(&sealed));
    // What comes back from the PACS is not sealed once more, also not where the key is in the tag alone.
    let mut again = letter.clone();
    again.data_set = data_set_of(&sealed).unwrap().to_vec().into();
    assert_eq!(send(&front.gateway, &[again]).await, [Ok(Status::SUCCESS)]);
    front.drained();
    let (folder, opened) = (front.site.path("pacs"), front.site.path("opened"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(uid), pacs.file(uid).unwrap()).unwrap();
    let output = front.site.sealgate(&["open", folder.to_str().unwrap(), "--out", opened.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let file = fs::read(opened.join(uid)).unwrap();
    assert!(data_set_of(&file) == Some(&letter.sent()[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_instance_that_comes_back_passes_as_it_is() {
    let pacs = StoreScp::start();
    let front = Front::start(&pacs.address().to_string(), "");
    let image = small_images(1).remove(0);
    send(&front.gateway, std::slice::from_ref(&image)).await;
    front.drained();
    let sealed = pacs.file(image.instance.instance.as_str()).unwrap();
    let sealed = data_set_of(&sealed).unwrap().to_vec();
    let mut again = image.clone();
    again.data_set = sealed.clone().into();
    again.instance.transfer_syntax =
        TransferSyntax::by_uid(if image.instance.transfer_syntax.uid == "1.2.840.10008.1.2" {
            "1.2.840.10008.1.2"
        } else {
            "1.2.840.10008.1.2.1"
        })
        .unwrap();
    assert_eq!(send(&front.gateway, std::slice::from_ref(&again)).await, [Ok(Status::SUCCESS)]);
    front.drained();
    let kept = pacs.file(image.instance.instance.as_str()).unwrap();
    assert!(data_set_of(&kept) == Some(&sealed[..]), "it is not sealed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn uids_that_differ_and_damaged_data_sets_are_refused_and_leave_nothing() {
    let front = Front::start(&format!("STORESCP@127.0.0.1:{}", free_port()), "");
    let image = small_images(1).remove(0);
    let mut other = image.clone();
    other.instance.instance = "1.2.3.4.5".parse().unwrap();
    let mut cut = image.clone();
    cut.data_set = image.data_set.slice(..image.data_set.len() - 100);
    let answers = send(&front.gateway, &[other, cut, image]).await;
    assert_eq!(answers, [Ok(Status::DATA_SET_MISMATCH), Ok(Status::CANNOT_UNDERSTAND), Ok(Status::SUCCESS)]);
    assert_eq!(front.site.in_spool(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dcmtk_sends_through_the_gateway_and_orthanc_holds_what_opens() {
    let orthanc = Orthanc::start();
    let front = Front::start(&orthanc.address().to_string(), "");
    // DCMTK has no JPEG 2000.
    let images: Vec<Sample> = small_images(8)
        .into_iter()
        .filter(|image| image.instance.transfer_syntax.uid == "1.2.840.10008.1.2.1")
        .collect();
    assert!(images.len() > 1);
    let paths: Vec<PathBuf> = images.iter().map(|image| image.path.clone()).collect();
    let sent = front.storescu(&paths);
    assert!(sent.status.success(), "{sent:?} {}", front.gateway.log());
    front.drained();
    for image in &images {
        let file = orthanc.file(image.instance.instance.as_str()).expect("Orthanc has it");
        assert!(shows_nothing(image, &file));
        let (sealed, opened) = (front.site.path("sealed.dcm"), front.site.path("opened"));
        fs::write(&sealed, file).unwrap();
        let output = front.site.sealgate(&[
            "open",
            "--force",
            sealed.to_str().unwrap(),
            "--out",
            opened.to_str().unwrap(),
        ]);
        assert!(output.status.success(), "{output:?}");
        let opened = fs::read(opened.join("sealed.dcm")).unwrap();
        // DCMTK writes sequences its own way; the pixels it leaves alone.
        assert!(pixels_of(&opened) == pixels_of(&image.data_set), "{image:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_seen_and_decided_about() {
    let refusing = Pynetdicom::start(&["--status", "43264"]);
    let mut front = Front::start(&refusing.address().to_string(), "");
    let image = small_images(1).remove(0);
    assert_eq!(send(&front.gateway, std::slice::from_ref(&image)).await, [Ok(Status::SUCCESS)]);
    front.gateway.wait_for_log("set aside");
    let spool = |arguments: &[&str]| {
        let set = format!("spool.folder={}", front.site.path("spool").display());
        front.site.sealgate(&[&["spool"], arguments, &["--json", "--set", &set]].concat())
    };
    let listed = spool(&["list", "--aside"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let entry = listed["entries"][0]["entry"].as_str().unwrap().to_owned();
    assert_eq!(listed["entries"][0]["instance"], image.instance.instance.as_str());
    assert!(listed["entries"][0]["deliveries"][0]["reason"].as_str().unwrap().contains("A900H"), "{listed}");
    let shown = spool(&["show", &entry]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["ticket"]["route"], "all");
    assert!(spool(&["drain"]).status.success(), "nothing is on its way");
    front.gateway.signal("TERM");
    front.gateway.wait();
    assert!(spool(&["retry", &entry]).status.success());
    let dropped = spool(&["drop", &entry, "--reason", "a test"]);
    assert!(dropped.status.success(), "{dropped:?}");
    let listed: serde_json::Value = serde_json::from_slice(&spool(&["list"]).stdout).unwrap();
    assert_eq!(listed["entries"], serde_json::json!([]));
    // The trail takes in what was decided while nobody kept it.
    let notes = fs::read_dir(front.site.path("audit/inbox")).unwrap();
    let notes: String = notes.map(|note| fs::read_to_string(note.unwrap().path()).unwrap()).collect();
    for said in ["given up: a test", image.instance.instance.as_str(), "deliveries-retried"] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
}
