//! A gateway with keys and a spool of its own between archives and viewers, and what a viewer does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use dicom_core::Tag;
use dicom_dictionary_std::uids;
use sealgate::association::{self, Proposal, SubOperations};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax};
use sealgate::scu::{
    Caller, Config, Destination, Failure, Got, Instance, Moved, Need, Retrieved, Tcp, for_getting,
    for_service, for_storing, get, move_, store,
};
use std::sync::Arc;

use crate::gateway::Gateway;
use crate::keys::command::Site;
use crate::peers::archive::{STUDY, identifier, text, uid};
use crate::peers::{Dcmqrscp, Sample, free_port, samples};

pub(crate) const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;
pub(crate) const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;

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

const OPENS: &str = "\"find\", \"move\", \"get\", \"open\"";

/// A time window that is not now, in any time zone.
fn other_day() -> String {
    let seconds = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    // 1970-01-01 was a Thursday.
    let day = days[usize::try_from(seconds / 86_400 + 3 + 3).expect("few") % 7];
    format!("opens = [{{ hours = [\"{day} 00:00-24:00\"] }}]\n")
}

fn config(site: &Site, port: u16, archives: &[Archive<'_>], viewer: u16) -> String {
    let mut config = fs::read_to_string(site.path("gateway.toml")).expect("its configuration");
    // One association: of two instances that dcmqrscp takes at once, it may keep one under the name of the other.
    let _ = write!(
        config,
        "[[listeners]]\naddress = \"127.0.0.1:{port}\"\n[spool]\nfolder = {:?}\nrefuse_stores_free_bytes = 1048576\n\
         refuse_associations_free_bytes = 1048576\n[release]\npending_milliseconds = 0\nheld_bytes_max = 1048576\n\
         [forward]\nretry_seconds_min = 1\nretry_seconds_max = 2\n[scu]\npending_seconds = 20\n\
         associations_per_destination_max = 1\n[grants]\nfile = {:?}\n",
        site.path("spool"),
        site.path("grants.json"),
    );
    let not_today = other_day();
    let rights = [
        ("CT", "\"store\"", ""),
        ("VIEWER", "\"find\", \"move\", \"get\", \"open\"", ""),
        ("BACKUP", "\"find\", \"move\", \"get\"", "without_open = \"sealed\"\n"),
        ("NOSY", "\"find\", \"move\", \"get\"", ""),
        ("ER", "\"echo\"", ""),
        ("WARD", OPENS, "opens = [{ modality = [\"CT\"], institution = [\"JFK IMAGING CENTER\"] }]\n"),
        ("MRONLY", OPENS, "opens = [{ modality = [\"MR\"] }]\nwithout_open = \"sealed\"\n"),
        ("RECENT", OPENS, "opens = [{ study_days_max = 30 }]\n"),
        ("LATER", OPENS, not_today.as_str()),
        ("ROUTED", OPENS, "opens = [{ routes = [\"all\"] }]\n"),
        ("PLAIN", OPENS, "transcode = false\n"),
        ("SLOW", OPENS, "openings = { per_minute = 1, burst = 2 }\n"),
    ];
    for (peer, may, more) in rights {
        let _ = write!(
            config,
            "[[peers]]\nname = \"{peer}\"\ntitle = \"{peer}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n\
             receives = \"{peer}-IN@127.0.0.1:{viewer}\"\n{more}"
        );
    }
    // Known under its title, from another address.
    config.push_str(
        "[[peers]]\nname = \"FAR\"\ntitle = \"FAR\"\naddresses = [\"127.0.0.9\"]\nmay = [\"find\", \"get\", \"open\"]\n",
    );
    for (name, address, retrieve) in archives {
        let title = &address.title;
        if *retrieve == "move" {
            let _ = write!(
                config,
                "[[peers]]\nname = \"{name}\"\ntitle = \"{title}\"\naddresses = [\"127.0.0.1\"]\nmay = [\"store\"]\n"
            );
        }
        let _ = write!(
            config,
            "[[destinations]]\nname = \"{name}\"\naddress = \"{title}@{}:{}\"\nretrieve = \"{retrieve}\"\n{}",
            address.host,
            address.port,
            Dcmqrscp::takes(address),
        );
    }
    let names: Vec<String> = archives.iter().map(|(name, ..)| format!("{name:?}")).collect();
    let _ = write!(config, "[[routes]]\nname = \"all\"\ndestinations = [{}]\n", names.join(", "));
    config
}

impl Front {
    /// Starts one that listens on `port`, with viewers that receive on `viewer`.
    pub(crate) fn start(port: u16, archives: &[Archive<'_>], viewer: u16) -> Self {
        Self::begin(port, archives, viewer, |config| config)
    }

    /// The same where nobody has to know its port, with another text in its configuration.
    pub(crate) fn with(archives: &[Archive<'_>], old: &str, new: &str) -> Self {
        Self::begin(free_port(), archives, free_port(), |config| {
            assert_eq!(config.matches(old).count(), 1, "{old}");
            config.replace(old, new)
        })
    }

    /// The same with a configuration that is changed before.
    pub(crate) fn begin(
        port: u16,
        archives: &[Archive<'_>],
        viewer: u16,
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        Self::begin_in(&[], port, archives, viewer, edit)
    }

    /// The same with variables in its environment.
    pub(crate) fn begin_in(
        environment: &[(&str, &str)],
        port: u16,
        archives: &[Archive<'_>],
        viewer: u16,
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let config = edit(config(&site, port, archives, viewer));
        fs::write(site.path("gateway.toml"), &config).expect("for commands beside it");
        let gateway = Gateway::start_with(&config, environment);
        Self { gateway, site }
    }

    /// The same where nobody has to know its port.
    pub(crate) fn over(archives: &[Archive<'_>]) -> Self {
        Self::start(free_port(), archives, free_port())
    }

    /// Ends the gateway as an operator does.
    pub(crate) fn stop(&mut self) {
        self.gateway.signal("TERM");
        self.gateway.wait();
    }

    /// Kills it in the middle of whatever it does, and starts it again.
    pub(crate) fn crash(&mut self) {
        self.gateway.signal("KILL");
        self.gateway.wait();
        self.restart();
    }

    /// Starts it again where it was, with the same configuration.
    pub(crate) fn restart(&mut self) {
        self.restart_in(&[]);
    }

    /// The same with variables in its environment.
    pub(crate) fn restart_in(&mut self, environment: &[(&str, &str)]) {
        let config = fs::read_to_string(self.site.path("gateway.toml")).expect("its configuration");
        self.gateway = Gateway::start_with(&config, environment);
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
        self.send(samples).await;
        self.drain().await;
    }

    /// Stores instances as CT.
    pub(crate) async fn send(&self, samples: &[Sample]) {
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
    }

    /// Waits until nothing is on its way to the archives.
    pub(crate) async fn drain(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        while self.site.in_spool() > 0 {
            assert!(Instant::now() < end, "the spool drains\n{}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Retrieves a study by C-GET: what came, and the end.
    pub(crate) async fn get(&self, calling: &str, study: &str, needs: &[Need]) -> (Came, Retrieved) {
        let (came, ended, _) = self.get_by(calling, ("STUDY", &[(STUDY, study)]), needs).await;
        (came, ended)
    }

    /// The same by a level and its keys, with the counts that were told meanwhile.
    pub(crate) async fn get_by(
        &self,
        calling: &str,
        asked: (&str, &[(Tag, &str)]),
        needs: &[Need],
    ) -> (Came, Retrieved, Vec<SubOperations>) {
        let caller = self.call(calling, &for_getting(&uid(GET), needs)).await;
        let got = get_each(caller, asked).await;
        got.unwrap_or_else(|failure| panic!("{failure}\n{}", self.gateway.log()))
    }

    /// Moves a study to a receiver: every pending response, and the end.
    pub(crate) async fn move_to(
        &self,
        calling: &str,
        study: &str,
        receiver: &str,
    ) -> (Vec<SubOperations>, Retrieved) {
        let mut caller = self.call(calling, &for_service(&uid(MOVE))).await;
        let context = caller.context_of(&uid(MOVE)).expect("accepted");
        let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
        let mut moving = move_(&mut caller, &context, &asked, &title(receiver)).await.expect("asked");
        let mut pending = Vec::new();
        loop {
            match moving.next().await.unwrap_or_else(|failure| panic!("{failure}\n{}", self.gateway.log())) {
                Moved::Pending(counts) => pending.push(counts),
                Moved::Ended(ended) => {
                    caller.release().await;
                    return (pending, ended);
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

/// Retrieves a study by C-GET from whoever is called: what came, and the end.
pub(crate) async fn get_all(caller: Caller, study: &str) -> Result<(Came, Retrieved), Failure> {
    get_each(caller, ("STUDY", &[(STUDY, study)])).await.map(|(came, ended, _)| (came, ended))
}

/// The same by a level and its keys, with the counts that were told meanwhile.
async fn get_each(
    mut caller: Caller,
    (level, keys): (&str, &[(Tag, &str)]),
) -> Result<(Came, Retrieved, Vec<SubOperations>), Failure> {
    let context = caller.context_of(&uid(GET)).expect("accepted");
    let asked = identifier(level, keys, context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await?;
    let (mut came, mut told) = (Came::new(), Vec::new());
    loop {
        match getting.next().await? {
            Got::Store(incoming) => {
                let mut data = Vec::new();
                while let Some(piece) = getting.next_data().await? {
                    data.extend_from_slice(&piece);
                }
                getting.answer(Status::SUCCESS).await?;
                let syntax = incoming.context.transfer_syntax;
                let before = came.insert(incoming.instance.to_string(), (syntax, data));
                assert!(before.is_none(), "{} came twice", incoming.instance);
            }
            Got::Pending(counts) => told.push(counts),
            Got::Ended(retrieved) => {
                drop(getting);
                caller.release().await;
                return Ok((came, retrieved, told));
            }
        }
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
    let file = dicom_object::OpenFileOptions::new().read_until(Tag(0x0020, 0x0010));
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

/// A study of several images: one real CT slice, under SOP Instance UIDs of their own.
pub(crate) fn one_study() -> (String, Vec<Sample>) {
    slices(8)
}

/// The same with so many images, up to 90.
pub(crate) fn slices(count: u32) -> (String, Vec<Sample>) {
    let is_slice = |one: &Sample| {
        let plain = one.instance.transfer_syntax.uid == TransferSyntax::EXPLICIT_LITTLE;
        plain && one.instance.class.as_str() == uids::CT_IMAGE_STORAGE && one.data_set.len() > 8192
    };
    let slice = samples().into_iter().find(|one| is_slice(one)).expect("a CT slice");
    let study = study_of(&slice).expect("it is of a study");
    (study, (10..10 + count).map(|number| numbered(&slice, number)).collect())
}

/// The same image under a UID of the same length that ends in this number.
fn numbered(sample: &Sample, number: u32) -> Sample {
    let old = sample.instance.instance.to_string();
    let new = format!("{}{number}", &old[..old.len() - 2]);
    let mut data_set = sample.data_set.to_vec();
    let at = data_set.windows(old.len()).position(|window| window == old.as_bytes()).expect("its UID");
    data_set[at..at + old.len()].copy_from_slice(new.as_bytes());
    let instance = Instance { instance: uid(&new), ..sample.instance.clone() };
    Sample { instance, data_set: data_set.into(), path: sample.path.clone() }
}

/// So many images of so many rows, of the same slice again and again: each of 256 bytes a row.
pub(crate) fn tall(count: u32, rows: u16) -> (String, Vec<Sample>) {
    let (study, samples) = slices(count);
    let samples = samples.into_iter().map(|sample| {
        let data = &sample.data_set;
        let find = |text: &[u8]| data.windows(text.len()).position(|window| window == text).expect("there");
        let (rows_at, pixels_at) = (find(b"\x28\0\x10\0US\x02\0") + 8, find(b"\xE0\x7F\x10\0OW\0\0"));
        let mut header = data[..pixels_at + 8].to_vec();
        header[rows_at..rows_at + 2].copy_from_slice(&rows.to_le_bytes());
        let slice = &data[pixels_at + 12..pixels_at + 12 + 128 * 256];
        let length = usize::from(rows) * 256;
        header.extend_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
        header.extend(slice.iter().copied().cycle().take(length));
        Sample { data_set: header.into(), ..sample }
    });
    (study, samples.collect())
}

/// Where the bytes of a file are that belong to its pixels, for tampering: the last quarter.
pub(crate) fn tamper(path: &PathBuf) {
    let mut bytes = fs::read(path).expect("a stored file");
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 0x40;
    fs::write(path, bytes).expect("written again");
}
