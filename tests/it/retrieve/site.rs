//! A gateway with keys and a spool of its own between archives and viewers, and what a viewer does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use sealgate::association::{self, Proposal};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, never_has_pixels};
use sealgate::scu::{
    Caller, Config, Destination, Got, Need, Retrieved, Tcp, for_getting, for_storing, get, store,
};
use std::sync::Arc;

use crate::gateway::Gateway;
use crate::keys::command::Site;
use crate::peers::archive::{STUDY, identifier, text, uid};
use crate::peers::{Sample, free_port, samples};

pub(crate) const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;

/// An archive behind the gateway: its name, where it listens, `get` or `move`.
pub(crate) type Archive<'a> = (&'a str, &'a AeAddress, &'a str);

/// A running gateway: CT may store, VIEWER may open, BACKUP gets what is sealed, NOSY may ask and not open.
pub(crate) struct Front {
    pub(crate) gateway: Gateway,
    pub(crate) site: Site,
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("a title")
}

fn config(site: &Site, port: u16, archives: &[Archive<'_>], viewer: u16) -> String {
    let mut config = fs::read_to_string(site.path("gateway.toml")).expect("its configuration");
    // One association: of two instances that dcmqrscp takes at once, it may keep one under the name of the other.
    let _ = write!(
        config,
        "[[listeners]]\naddress = \"127.0.0.1:{port}\"\n[spool]\nfolder = {:?}\nrefuse_stores_free_bytes = 1048576\n\
         refuse_associations_free_bytes = 1048576\n[release]\npending_milliseconds = 0\nheld_bytes_max = 1048576\n\
         [forward]\nretry_seconds_min = 1\nretry_seconds_max = 2\n[scu]\npending_seconds = 20\n\
         associations_per_destination_max = 1\n",
        site.path("spool"),
    );
    let rights = [
        ("CT", "\"store\"", ""),
        ("VIEWER", "\"find\", \"move\", \"get\", \"open\"", ""),
        ("BACKUP", "\"find\", \"move\", \"get\"", "without_open = \"sealed\"\n"),
        ("NOSY", "\"find\", \"move\", \"get\"", ""),
    ];
    for (peer, may, more) in rights {
        let _ = write!(
            config,
            "[[peers]]\nname = \"{peer}\"\ntitle = \"{peer}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n\
             receives = \"{peer}-IN@127.0.0.1:{viewer}\"\n{more}"
        );
    }
    for (name, address, retrieve) in archives {
        let title = &address.title;
        let _ = write!(
            config,
            "[[peers]]\nname = \"{name}\"\ntitle = \"{title}\"\naddresses = [\"127.0.0.1\"]\nmay = [\"store\"]\n\
             [[destinations]]\nname = \"{name}\"\naddress = \"{title}@{}:{}\"\nretrieve = \"{retrieve}\"\n",
            address.host, address.port
        );
    }
    let names: Vec<String> = archives.iter().map(|(name, ..)| format!("{name:?}")).collect();
    let _ = write!(config, "[[routes]]\nname = \"all\"\ndestinations = [{}]\n", names.join(", "));
    config
}

impl Front {
    /// Starts one that listens on `port`, with viewers that receive on `viewer`.
    pub(crate) fn start(port: u16, archives: &[Archive<'_>], viewer: u16) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let gateway = Gateway::start(&config(&site, port, archives, viewer));
        Self { gateway, site }
    }

    /// The same where nobody has to know its port.
    pub(crate) fn over(archives: &[Archive<'_>]) -> Self {
        Self::start(free_port(), archives, free_port())
    }

    fn to(&self, calling: &str) -> Destination {
        let address = AeAddress::parse(&format!("SEALGATE@{}", self.gateway.address)).expect("an address");
        Destination { address, calling: title(calling) }
    }

    pub(crate) async fn call(&self, calling: &str, proposals: &[Proposal]) -> Caller {
        let door = association::Config::default();
        let config = Arc::new(Config::default());
        Caller::associate(&Tcp, &self.to(calling), proposals, &door, &config).await.expect("associated")
    }

    /// Stores instances as CT, and waits until the archives have them.
    pub(crate) async fn store(&self, samples: &[Sample]) {
        let needs: BTreeSet<_> = samples.iter().map(|one| key_of(&one.instance.need())).collect();
        for key in needs {
            let own: Vec<&Sample> =
                samples.iter().filter(|one| key_of(&one.instance.need()) == key).collect();
            let mut caller = self.call("CT", &for_storing([&own[0].instance.need()])).await;
            for one in own {
                let stored = store(&mut caller, &one.instance, &mut one.data_set.clone()).await;
                stored.unwrap_or_else(|failure| panic!("{one:?}: {failure}\n{}", self.gateway.log()));
            }
            caller.release().await;
        }
        let end = Instant::now() + Duration::from_secs(120);
        let waits = || fs::read_dir(self.site.path("spool/entries")).is_ok_and(|entries| entries.count() > 0);
        while waits() {
            assert!(Instant::now() < end, "the spool drains\n{}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Retrieves a study by C-GET: what came, and the end.
    pub(crate) async fn get(&self, calling: &str, study: &str, needs: &[Need]) -> (Came, Retrieved) {
        let mut caller = self.call(calling, &for_getting(&uid(GET), needs)).await;
        let context = caller.context_of(&uid(GET)).expect("accepted");
        let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
        let mut getting = get(&mut caller, &context, &asked).await.expect("asked");
        let mut came = Came::new();
        loop {
            match getting.next().await.unwrap_or_else(|failure| panic!("{failure}\n{}", self.gateway.log())) {
                Got::Store(incoming) => {
                    let mut data = Vec::new();
                    while let Some(piece) = getting.next_data().await.expect("its data set") {
                        data.extend_from_slice(&piece);
                    }
                    getting.answer(Status::SUCCESS).await.expect("answered");
                    let syntax = incoming.context.transfer_syntax;
                    let before = came.insert(incoming.instance.to_string(), (syntax, data));
                    assert!(before.is_none(), "{} came twice", incoming.instance);
                }
                Got::Pending(_) => {}
                Got::Ended(retrieved) => {
                    drop(getting);
                    caller.release().await;
                    return (came, retrieved);
                }
            }
        }
    }

    /// One of DCMTK's tools as a viewer: its options, then where, then its keys.
    pub(crate) fn dcmtk(&self, tool: &str, options: &[&str], keys: &[&str]) -> Output {
        let mut command = Command::new(tool);
        command.args(["-v", "-S", "-aec", "SEALGATE"]).args(options);
        command.args(["127.0.0.1", &self.gateway.address.port().to_string()]);
        for key in keys {
            command.args(["-k", key]);
        }
        command.output().unwrap_or_else(|error| panic!("{tool}: {error}: run tests/run install"))
    }
}

/// What came, by SOP Instance UID.
pub(crate) type Came = BTreeMap<String, (TransferSyntax, Vec<u8>)>;

/// Needs have no order of their own.
fn key_of(need: &Need) -> (String, &'static str) {
    (need.class.to_string(), need.transfer_syntax.uid)
}

/// What a viewer has to take to get these as they are.
pub(crate) fn needs_of(samples: &[Sample]) -> Vec<Need> {
    let mut seen = BTreeSet::new();
    samples.iter().map(|one| one.instance.need()).filter(|need| seen.insert(key_of(need))).collect()
}

/// A study of a sample, if it has one.
pub(crate) fn study_of(sample: &Sample) -> Option<String> {
    let file = dicom_object::OpenFileOptions::new().read_until(dicom_core::Tag(0x0020, 0x0010));
    let study = text(&file.open_file(&sample.path).ok()?.into_inner(), STUDY);
    (!study.is_empty()).then_some(study)
}

/// Real instances of one study each, by study; every SOP Instance UID once.
pub(crate) fn studies() -> BTreeMap<String, Vec<Sample>> {
    let mut seen = BTreeSet::new();
    let mut studies: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in samples() {
        if let Some(study) = study_of(&sample)
            && seen.insert(sample.instance.instance.clone())
        {
            studies.entry(study).or_default().push(sample);
        }
    }
    studies
}

/// The study with the most images, with siblings of its largest up to a dozen; what has no pixels is left out.
pub(crate) fn one_study() -> (String, Vec<Sample>) {
    let has_pixels = |one: &Sample| {
        let plain = one.instance.transfer_syntax.uid == TransferSyntax::EXPLICIT_LITTLE;
        plain && one.data_set.len() > 8192 && !never_has_pixels(one.instance.class.as_str())
    };
    let images = studies().into_iter().map(|(study, mut samples)| {
        samples.retain(has_pixels);
        (study, samples)
    });
    let (study, mut samples) = images.max_by_key(|(_, samples)| samples.len()).expect("a study");
    let largest = samples.iter().max_by_key(|one| one.data_set.len()).expect("an image").clone();
    samples.extend((10..).map(|number| sibling(&largest, number)).take(12 - samples.len()));
    (study, samples)
}

/// The same image as another instance: the last two digits of its UID are the number.
fn sibling(sample: &Sample, number: u8) -> Sample {
    let old = sample.instance.instance.as_str();
    let new = format!("{}{number}", &old[..old.len() - 2]);
    assert!(number > 9 && new != old, "a UID of its own");
    let at =
        sample.data_set.windows(old.len()).position(|window| window == old.as_bytes()).expect("(0008,0018)");
    let mut data_set = sample.data_set.to_vec();
    data_set[at..at + new.len()].copy_from_slice(new.as_bytes());
    let mut other = sample.clone();
    (other.instance.instance, other.data_set) = (uid(&new), data_set.into());
    other
}

/// Where the bytes of a file are that belong to its pixels, for tampering: the last quarter.
pub(crate) fn tamper(path: &PathBuf) {
    let mut bytes = fs::read(path).expect("a stored file");
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 0x40;
    fs::write(path, bytes).expect("written again");
}
