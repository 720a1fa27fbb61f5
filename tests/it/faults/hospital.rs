//! A gateway that can be killed and started again over the same keys and spool, at an address that stays.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, Status};
use sealgate::keys::{self, Archive, ArchiveMode, Binding, Credential, Keyring, UnlockSecrets};
use sealgate::scu::{Caller, Config, Destination, Failure, FromReader, Tcp, for_storing, store};
use sealgate::seal::{Claim, HeaderMode, Opened, Opener};
use sealgate::spool::{Listing, look};

use super::image::{Image, shows_pixels};
use super::pacs::Kept;
use crate::gateway::Gateway;
use crate::ports::free_port;

/// Keys, a spool and a configuration.
pub(crate) struct Hospital {
    folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    config: String,
}

impl Hospital {
    /// One with this text of destinations and routes, and more of the configuration.
    pub(crate) fn new(rest: &str) -> Self {
        let hospital = Self::without_keys(rest);
        let made = hospital.sealgate(&["keys", "init"]);
        assert!(made.status.success(), "{made:?}");
        hospital
    }

    /// The same, with keys still to come.
    pub(crate) fn without_keys(rest: &str) -> Self {
        let folder = crate::keys::folder();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        // No passphrase, whose cost would be that of every start.
        let credential = folder.path().join("sealgate-kek");
        fs::write(&credential, [7; 32]).unwrap();
        fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).unwrap();
        let config = format!(
            "[log]\nlevel = \"info\"\n[keys]\nfolder = \"{keys}\"\nunlock = \"credential\"\narchive = \"sidecar\"\n\
             [audit]\nfolder = \"{audit}\"\n[keygen]\ngenerator = \"{generator}\"\n\
             [spool]\nfolder = \"{spool}\"\nrefuse_stores_free_bytes = 1048576\nrefuse_associations_free_bytes = 1048576\n\
             [[listeners]]\naddress = \"{address}\"\n\
             [[peers]]\nname = \"modality\"\ntitle = \"MODALITY\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\", \"store\"]\n\
             {rest}\n",
            // One that is not there: its first key images would be the cost of every start too.
            generator = "0".repeat(64),
            audit = folder.path().join("audit").display(),
            keys = folder.path().join("keys").display(),
            spool = folder.path().join("spool").display(),
        );
        let hospital = Self { folder, address, config };
        fs::write(hospital.path("gateway.toml"), &hospital.config).unwrap();
        hospital
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command with its configuration.
    pub(crate) fn sealgate(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(arguments)
            .arg("--config")
            .arg(self.path("gateway.toml"))
            .env("CREDENTIALS_DIRECTORY", self.folder.path())
            .output()
            .unwrap()
    }

    /// Starts the service, with a fault of its disk where one is named.
    pub(crate) fn start(&self, failpoint: &str) -> Gateway {
        let credentials = self.folder.path().to_str().unwrap();
        let environment = [("CREDENTIALS_DIRECTORY", credentials), ("SEALGATE_FAILPOINT", failpoint)];
        let asked = if failpoint.is_empty() { 1 } else { 2 };
        Gateway::start_with(&self.config, &environment[..asked])
    }

    /// Starts the service with these variables in its environment.
    pub(crate) fn start_with(&self, more: &[(&str, &str)]) -> Gateway {
        let credentials = self.folder.path().to_str().unwrap();
        let environment = [&[("CREDENTIALS_DIRECTORY", credentials)], more].concat();
        Gateway::start_with(&self.config, &environment)
    }

    /// Changes the configuration for the next start.
    pub(crate) fn configure(&mut self, from: &str, to: &str) {
        assert!(self.config.contains(from), "{from}");
        self.config = self.config.replace(from, to);
        fs::write(self.path("gateway.toml"), &self.config).unwrap();
    }

    /// The keys, as the gateway has them.
    pub(crate) fn archive(&self) -> Archive {
        let config = keys::Config { folder: self.path("keys"), ..keys::Config::default() };
        let credential = Some(Credential::load(self.folder.path(), "sealgate-kek").unwrap());
        let mut keyring = Keyring::load(&config.keyring_path(), &config.recipients).unwrap();
        keyring.unlock(&UnlockSecrets { credential, ..UnlockSecrets::default() }).unwrap();
        let store = Arc::new(config.open_store().unwrap());
        Archive::new(ArchiveMode::Sidecar, Arc::new(keyring), Some(store)).unwrap()
    }

    /// What is in the spool, from outside.
    pub(crate) fn spool(&self) -> Listing {
        look(&self.path("spool")).unwrap()
    }

    /// Fails where pixels stand in clear in any file of the spool, drafts and damaged ones among them.
    pub(crate) fn assert_nothing_in_clear(&self) {
        let mut folders = vec![self.path("spool")];
        while let Some(folder) = folders.pop() {
            // It may have been killed before there was any.
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    assert!(!shows_pixels(&bytes), "{} shows pixels", path.display());
                }
            }
        }
    }

    /// An association of the modality, for images.
    pub(crate) async fn call(&self) -> Result<Caller, Failure> {
        call(self.address).await
    }

    /// Stores over one association; the status of each, or how it failed.
    pub(crate) async fn store(&self, images: &[Image]) -> Vec<Result<Status, String>> {
        let mut caller = match self.call().await {
            Ok(caller) => caller,
            Err(failure) => return vec![Err(failure.to_string()); images.len()],
        };
        let mut answers = Vec::new();
        for image in images {
            answers.push(send(&mut caller, image).await);
        }
        caller.release().await;
        answers
    }
}

/// An association of the modality with the gateway there, for images.
pub(crate) async fn call(gateway: SocketAddr) -> Result<Caller, Failure> {
    call_as(gateway, "SEALGATE").await
}

/// The same with another of the gateway's AE titles.
pub(crate) async fn call_as(gateway: SocketAddr, called: &str) -> Result<Caller, Failure> {
    let address = AeAddress::parse(&format!("{called}@{gateway}")).unwrap();
    let to = Destination { address, calling: AeTitle::parse("MODALITY").unwrap() };
    let need = Image::new(1, 1, 1).instance.need();
    let (door, config) = (association::Config::default(), Arc::new(Config::default()));
    Caller::associate(&Tcp, &to, &for_storing(&[need]), &door, &config).await
}

/// Stores one image; the status, or how it failed.
pub(crate) async fn send(caller: &mut Caller, image: &Image) -> Result<Status, String> {
    let mut source = FromReader::new(&image.data_set[..]);
    match store(caller, &image.instance, &mut source).await {
        Ok(answer) => Ok(answer.status),
        Err(Failure::Status(answer)) => Ok(answer.status),
        Err(failure) => Err(failure.to_string()),
    }
}

/// The original of a sealed instance, to the byte, and the id of its key.
pub(crate) fn opened(archive: &Archive, kept: &Kept) -> Result<(Vec<u8>, String), String> {
    let syntax = kept.transfer_syntax.uid.parse().unwrap();
    let find = |claim: &Claim| {
        let binding = Binding::from(&claim.binding);
        archive
            .find(binding.key_id, claim.key_record.as_deref(), &binding)
            .ok()
            .map(|found| found.content_key)
    };
    let mut out = Vec::new();
    let mut on = |opened: Opened<'_>| {
        if let Opened::Data(bytes) = opened {
            out.extend_from_slice(bytes);
        }
        Ok(())
    };
    let mut opener =
        Opener::new(&syntax, HeaderMode::Original, &sealgate::cipher::Layers::none(), None, find)
            .map_err(|error| error.to_string())?;
    opener.push(&kept.data_set, &mut on).map_err(|error| error.to_string())?;
    let opened = opener.finish(&mut on).map_err(|error| error.to_string())?;
    Ok((out, opened.binding.key_id.to_string()))
}
