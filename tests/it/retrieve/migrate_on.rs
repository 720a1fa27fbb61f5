//! Migrations that do not go smoothly: through mutual TLS alone, and with an archive that is killed in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::site::studies;
use crate::keys::command::Site;
use crate::peers::{Orthanc, Sample, free_port};
use crate::peers_tls_way::{orthanc, pki_of};
use crate::tls::pki::Pki;

/// Bytes of pixels that are looked for.
const WINDOW: usize = 256;

/// An image and bytes of it that stand nowhere by chance.
pub(super) struct Image {
    pub(super) study: String,
    pub(super) sample: Sample,
    telling: Vec<u8>,
}

impl Image {
    fn of(study: &str, sample: Sample) -> Option<Self> {
        let native = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"];
        let has_pixels = sample.data_set.windows(4).any(|window| window == b"\xE0\x7F\x10\0");
        let is_native = native.contains(&sample.instance.transfer_syntax.uid) && has_pixels;
        if !is_native || !(20_000..700_000).contains(&sample.data_set.len()) {
            return None;
        }
        let is_telling = |run: &&[u8]| run.iter().collect::<BTreeSet<_>>().len() > 24;
        let middle = &sample.data_set[sample.data_set.len() / 2..];
        let telling = middle.chunks_exact(WINDOW).find(is_telling)?.to_vec();
        Some(Self { study: study.to_owned(), sample, telling })
    }

    pub(super) fn uid(&self) -> &str {
        self.sample.instance.instance.as_str()
    }

    /// Whether a file shows what it is of.
    pub(super) fn is_clear_in(&self, file: &[u8]) -> bool {
        file.windows(WINDOW).any(|window| window == self.telling)
    }
}

/// Images of so many studies, the larger studies first, up to four of each.
pub(super) fn images(count: usize) -> Vec<Image> {
    let few = |(study, samples): (String, Vec<Sample>)| -> Vec<Image> {
        samples.into_iter().filter_map(|one| Image::of(&study, one)).take(4).collect()
    };
    let mut all: Vec<Vec<Image>> = studies().into_iter().map(few).collect();
    all.sort_by_key(|images| std::cmp::Reverse(images.len()));
    let images: Vec<Image> = all.into_iter().take(count).flatten().collect();
    assert!(images.len() > count, "{}", images.len());
    images
}

pub(super) fn fill(archive: &Orthanc, images: &[Image]) {
    for image in images {
        archive.post("/instances", &fs::read(&image.sample.path).unwrap());
    }
    assert_eq!(archive.count(), images.len());
}

/// A site with two archives: where they listen, and how they are asked.
pub(super) fn site(port: u16, archives: [(&str, u16); 2], retrieve: &str, pki: Option<&Pki>) -> Site {
    let site = Site::new();
    assert!(site.sealgate(&["keys", "init", "--algorithm", "ecdh-p256"]).status.success());
    let mut config = fs::read_to_string(site.path("gateway.toml")).unwrap();
    let tls = if pki.is_some() { "tls = \"clinic\"\n" } else { "" };
    let _ = write!(
        config,
        "[[listeners]]\naddress = \"127.0.0.1:{port}\"\n{tls}[spool]\nfolder = {:?}\n{}\
         [[peers]]\nname = \"ct\"\ntitle = \"CT\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\"]\n",
        site.path("spool"),
        pki.map(|pki| pki.profile("")).unwrap_or_default(),
    );
    for ((title, port), name) in archives.iter().zip(["pacs", "other"]) {
        let address = format!("{title}@localhost:{port}");
        let _ = write!(
            config,
            "[[destinations]]\nname = \"{name}\"\naddress = \"{address}\"\nretrieve = \"{retrieve}\"\n{tls}"
        );
    }
    config.push_str("[[routes]]\nname = \"all\"\ndestinations = [\"pacs\", \"other\"]\n");
    fs::write(site.path("gateway.toml"), config).unwrap();
    site
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn behind_mutual_tls_an_archive_is_sealed_by_move_and_opened_into_another_one() {
    let pki = pki_of(&["gateway", "pacs", "other"]);
    let [port, pacs_port, other_port] = [free_port(), free_port(), free_port()];
    let (pacs, other) = (orthanc(&pki, "pacs", pacs_port, port), orthanc(&pki, "other", other_port, port));
    let site = site(port, [("PACS", pacs_port), ("OTHER", other_port)], "move", Some(&pki));
    let images = images(3);
    fill(&pacs, &images);
    let journal = |name: &str| site.path(name).to_str().unwrap().to_owned();

    let door = format!("127.0.0.1:{port}");
    let clear = ["migrate", "--from", "pacs", "--journal", &journal("j0"), "--listen", &door];
    let clear = site.sealgate(&clear);
    assert_eq!(clear.status.code(), Some(5), "what speaks TLS does not come in clear: {}", said(&clear));

    let sealed = site.sealgate(&["migrate", "--from", "pacs", "--journal", &journal("j1")]);
    assert!(sealed.status.success(), "{}", said(&sealed));
    assert_eq!(pacs.count(), images.len());
    for image in &images {
        assert!(!image.is_clear_in(&pacs.file(image.uid()).unwrap()), "{:?}", image.sample);
    }
    let open = ["migrate", "--from", "pacs", "--open", "--to", "other", "--journal", &journal("j2")];
    let opened = site.sealgate(&open);
    assert!(opened.status.success(), "{}", said(&opened));
    assert_eq!(other.count(), images.len());
    for image in &images {
        assert!(image.is_clear_in(&other.file(image.uid()).unwrap()), "{:?}", image.sample);
        assert!(!image.is_clear_in(&pacs.file(image.uid()).unwrap()), "there it stays sealed");
    }
}

/// What a journal says, line by line behind its title.
pub(super) fn lines(journal: &Path) -> Vec<(String, bool)> {
    let text = fs::read_to_string(journal).unwrap_or_default();
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a line of a journal");
        (value["study"].as_str().expect("a study").to_owned(), value["done"].as_bool().expect("or not"))
    };
    whole.lines().skip(1).map(read).collect()
}

/// Runs a migration slowly and, when the first study is done, kills an archive; it ends as unfinished.
fn killed(site: &Site, arguments: &[&str], journal: &Path, victim: &mut Orthanc) {
    let own = ["--journal", journal.to_str().unwrap(), "--per-second", "4"];
    let mut command = site.command(&[arguments, &own].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    while !lines(journal).iter().any(|(_, is_done)| *is_done) {
        assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "{:?}", lines(journal));
        std::thread::sleep(Duration::from_millis(10));
    }
    victim.process.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(lines(journal).iter().any(|(_, is_done)| !is_done), "{:?}", lines(journal));
}

/// Runs it again to its end: every study is done, and each once.
fn gone_on_with(site: &Site, arguments: &[&str], journal: &Path, images: &[Image]) {
    let before = lines(journal).iter().filter(|(_, is_done)| *is_done).count();
    let output = site.sealgate(&[arguments, &["--journal", journal.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("{before} were before")), "{}", said(&output));
    let done: Vec<String> =
        lines(journal).into_iter().filter(|(_, is_done)| *is_done).map(|(study, _)| study).collect();
    let studies: BTreeSet<String> = images.iter().map(|image| image.study.clone()).collect();
    assert_eq!(done.len(), studies.len(), "each is done once: {done:?}");
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), studies);
}

/// What an archive has of them.
pub(super) fn files(archive: &Orthanc, images: &[Image]) -> BTreeMap<String, Vec<u8>> {
    images.iter().filter_map(|one| Some((one.uid().to_owned(), archive.file(one.uid())?))).collect()
}

/// Sealed in place with the archive killed, then opened into another one with that one, or the first, killed.
fn through_deaths(retrieve: &str, kills_target: bool) {
    let port = free_port();
    let (mut pacs, mut other) = (Orthanc::start(), Orthanc::start());
    let introduce = |archive: &Orthanc| archive.knows("SEALGATE", port);
    [&pacs, &other].into_iter().for_each(introduce);
    let ports = [("ORTHANC", pacs.address().port), ("ORTHANC", other.address().port)];
    let (site, images) = (site(port, ports, retrieve, None), images(6));
    fill(&pacs, &images);

    let (seal, journal) = (["migrate", "--from", "pacs"], site.path("seal.journal"));
    killed(&site, &seal, &journal, &mut pacs);
    pacs.restart();
    introduce(&pacs);
    let before = files(&pacs, &images);
    assert_eq!(before.len(), images.len(), "nothing is lost");
    gone_on_with(&site, &seal, &journal, &images);
    let after = files(&pacs, &images);
    assert!(pacs.count() == images.len() && after.len() == images.len(), "nothing is there twice");
    let mut kept = 0;
    for image in &images {
        let (before, after) = (&before[image.uid()], &after[image.uid()]);
        assert!(!image.is_clear_in(after), "{:?}", image.sample);
        if !image.is_clear_in(before) {
            kept += 1;
            assert!(before == after, "what was sealed is not sealed again: {:?}", image.sample);
        }
    }
    assert!((1..images.len()).contains(&kept), "{kept} were sealed before it was killed");

    let open = ["migrate", "--from", "pacs", "--open", "--to", "other"];
    let journal = site.path("open.journal");
    let victim = if kills_target { &mut other } else { &mut pacs };
    killed(&site, &open, &journal, victim);
    victim.restart();
    introduce(victim);
    gone_on_with(&site, &open, &journal, &images);
    let opened = files(&other, &images);
    assert!(other.count() == images.len() && opened.len() == images.len(), "nothing is there twice");
    assert!(images.iter().all(|image| image.is_clear_in(&opened[image.uid()])));
    assert!(files(&pacs, &images) == after, "the archive that they come from stays as it is");
}

#[test]
fn an_archive_that_is_killed_while_it_is_asked_by_get_is_gone_on_with_and_so_is_the_one_that_takes() {
    through_deaths("get", true);
}

#[test]
fn an_archive_that_is_killed_while_it_is_asked_by_move_is_gone_on_with_in_both_directions() {
    through_deaths("move", false);
}
