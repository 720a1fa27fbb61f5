//! `sealgate handover`: the keys of a study to another site and in from one, and a text into an image and out again.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tracing::info;

use super::custody::{self, Office};
use super::{ConfigArgs, Exit, complain};
use crate::custody::Role;
use crate::dicom::Uid;
use crate::flow::audit::AUDIT;
use crate::flow::audit_custody::Ledger;
use crate::handover::{
    self, Contents, Handover, HandoverError, Picture, WithDual, find, hide, read_codes, write_codes,
};
use crate::keys::store::KeyStore;
use crate::keys::{
    Argon2Cost, Config, Keyring, KeysError, Passphrase, PublicKek, RecipientName, write_new_file,
};
use crate::settings::{self, Settings};
use crate::telemetry;

/// Longest text that is embedded.
const TEXT_BYTES_MAX: u64 = 4096;

/// Carry the keys of a study to another site, or a text in an image
#[derive(Debug, Args)]
#[command(
    after_help = "Example: sealgate handover export --study 1.2.3 --to north.kek --out keys.handover\n\n\
    The other site makes its file with `sealgate keys export-public`, and reads ours with `sealgate handover import`."
)]
pub(super) struct HandoverCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Seal the keys of a study for another site: as a file, as QR codes, or hidden in a picture
    #[command(
        after_help = "Example: sealgate handover export --study 1.2.840.113619.2.5 --to north.kek --out keys.handover"
    )]
    Export(Export),
    /// Take in the keys that another site sealed for this one: from its file, pictures of its codes, or its cover
    #[command(after_help = "Example: sealgate handover import keys.handover")]
    Import(Import),
    /// Embed a small text in an image, so that the image can be had back bit for bit
    #[command(
        after_help = "Example: sealgate handover embed image.dcm --text patient.txt --to north.kek --out carrier.dcm"
    )]
    Embed(Embed),
    /// Take the text out of an image, and put the image back as it was
    #[command(after_help = "Example: sealgate handover extract carrier.dcm --out image.dcm")]
    Extract(Extract),
}

#[derive(Debug, Args)]
struct Export {
    /// The study
    #[arg(long, value_name = "UID")]
    study: Uid,
    #[command(flatten)]
    to: To,
    /// The file to write; with --qr what the names of the PNG sheets begin with
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// As QR codes on PNG sheets to print, twelve to a page; one lost code is made up for
    #[arg(long, conflicts_with = "cover")]
    qr: bool,
    /// Hidden in the lowest bits of this PNG or DICOM Secondary Capture, which is not changed itself
    #[arg(long, value_name = "FILE")]
    cover: Option<PathBuf>,
    /// Hand over this site's dual keys too, if images of the study need them: they are those of all images of the site
    #[arg(long)]
    with_dual_keys: bool,
    /// File with a password in its first line, mode 0600, that the other site has to know too
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    /// The public key file of the other site
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Or a recipient whose key is in the keyring
    #[arg(long, value_name = "NAME")]
    recipient: Option<RecipientName>,
}

#[derive(Debug, Args)]
struct Import {
    /// The file, the cover, or the pictures of the QR codes
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// File with the password in its first line, mode 0600
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Embed {
    /// A PNG, or a DICOM file with native pixels
    image: PathBuf,
    /// The text, such as name, id and diagnosis; at most 4 KiB
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    #[command(flatten)]
    to: To,
    /// The image with the text in it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Extract {
    /// The image with the text in it
    image: PathBuf,
    /// The image as it was
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// What there is to say: as fields and as a sentence.
type Said = (Value, String);

impl HandoverCommand {
    pub(super) fn run(self) -> Exit {
        let common = match &self.action {
            Action::Export(export) => &export.common,
            Action::Import(import) => &import.common,
            Action::Embed(embed) => &embed.common,
            Action::Extract(extract) => &extract.common,
        };
        let settings = match settings::load(&common.config.source()) {
            Ok(settings) => settings,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        // Whoever hands keys over accounts for it: the log goes where that of the service goes.
        if let Err(error) = telemetry::init(&settings.log) {
            complain(error);
            return Exit::Configuration;
        }
        if let Err(exit) = self.permitted(&settings) {
            return exit;
        }
        let keys = &settings.keys;
        let said = match &self.action {
            Action::Export(export) => export.run(keys, &Office::of(&settings).ledger),
            Action::Import(import) => import.run(keys, &Office::of(&settings).ledger),
            Action::Embed(embed) => embed.run(keys),
            Action::Extract(extract) => extract.run(keys),
        };
        match said {
            Ok((mut fields, _)) if common.json => {
                fields["ok"] = true.into();
                println!("{fields:#}");
                Exit::Done
            }
            Ok((_, sentence)) => {
                println!("{sentence}");
                Exit::Done
            }
            Err(error) => {
                if common.json {
                    println!("{:#}", json!({ "ok": false, "error": error.to_string() }));
                }
                complain(&error);
                if let HandoverError::Keys(error) = error {
                    complain(error.advice());
                }
                Exit::Failed
            }
        }
    }
}

impl HandoverCommand {
    /// Keys leave and come through the hands of those who hold them; texts in images are nobody's keys.
    fn permitted(&self, settings: &Settings) -> Result<(), Exit> {
        match &self.action {
            Action::Export(_) | Action::Import(_) => custody::require(settings, &[Role::Custodian]),
            Action::Embed(_) | Action::Extract(_) => Ok(()),
        }
    }
}

impl To {
    /// Runs `with` the public key that is meant.
    fn with<T>(
        &self,
        keyring: &Keyring,
        with: impl FnOnce(&PublicKek) -> Result<T, HandoverError>,
    ) -> Result<T, HandoverError> {
        match (&self.to, &self.recipient) {
            (Some(file), _) => with(&Keyring::read_public(file)?),
            (None, Some(name)) => with(keyring.public_of(name)?),
            (None, None) => {
                Err(KeysError::Recipient("name the other site with --to or --recipient".into()).into())
            }
        }
    }
}

fn password(file: Option<&PathBuf>) -> Result<Option<Passphrase>, HandoverError> {
    Ok(file.map(|file| Passphrase::from_file(file)).transpose()?)
}

impl Export {
    fn run(&self, config: &Config, ledger: &Ledger) -> Result<Said, HandoverError> {
        let password = password(self.password_file.as_ref())?;
        if let Some(password) = &password {
            password.check_strength()?;
        }
        let (keyring, store) = (config.open_keyring()?, config.open_store()?);
        let with_dual = if self.with_dual_keys { WithDual::Yes } else { WithDual::No };
        let gathered = Handover::gather(&self.study, &keyring, &store, with_dual)?;
        let (count, dual) = (gathered.keys.len(), gathered.dual.len());
        let (package, kek) = self.to.with(&keyring, |kek| {
            let password = password.as_ref().map(|password| (password, Argon2Cost::default()));
            let package = handover::seal(Contents::Keys, &gathered.to_bytes()?, kek, password)?;
            Ok((package, kek.id().to_string()))
        })?;
        let text = format!("handover export: {count} keys for key {kek}");
        ledger.uses_about(&text, self.study.as_str()).map_err(KeysError::from)?;
        let (files, carrier) = self.write(&package)?;
        info!(
            target: AUDIT, study = %self.study, keys = count, dual_keys = dual, kek, carrier, with_password = password.is_some(),
            "keys handed over to another site"
        );
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        let and = if dual == 0 { String::new() } else { format!(" and {dual} dual keys") };
        let sentence = format!("Handed over {count} keys{and} for key {kek}, in {}.", names.join(", "));
        Ok((
            json!({ "study": self.study, "keys": count, "dual_keys": dual, "kek": kek, "bytes": package.len(), "files": names }),
            sentence,
        ))
    }

    /// Writes the package as it was asked for; gives the files and what they are.
    fn write(&self, package: &[u8]) -> Result<(Vec<PathBuf>, &'static str), HandoverError> {
        if self.qr {
            let mut files = Vec::new();
            for (number, sheet) in (1..).zip(write_codes(package)?) {
                let mut name = self.out.clone().into_os_string();
                name.push(format!("-{number}.png"));
                write_new_file(name.as_ref(), &sheet)?;
                files.push(name.into());
            }
            return Ok((files, "qr"));
        }
        let (bytes, carrier) = match &self.cover {
            Some(cover) => {
                let mut picture = Picture::read(fs::read(cover)?)?;
                hide(&mut picture, package)?;
                (picture.write()?, "cover")
            }
            None => (package.to_vec(), "file"),
        };
        write_new_file(&self.out, &bytes)?;
        Ok((vec![self.out.clone()], carrier))
    }
}

impl Import {
    fn run(&self, config: &Config, ledger: &Ledger) -> Result<Said, HandoverError> {
        let password = password(self.password_file.as_ref())?;
        let files = self.files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
        let (package, carrier) = unpacked(files)?;
        let archive = config.open_archive()?;
        let store = config.open_store()?;
        let plain = handover::open(Contents::Keys, &package, archive.keyring(), password.as_ref())?;
        let taken = Handover::parse(&plain)?;
        let (study, count, dual) = (taken.study.clone(), taken.keys.len(), taken.dual.len());
        let text = format!("handover import: {count} keys");
        ledger.uses_about(&text, study.as_str()).map_err(KeysError::from)?;
        let new = taken.keep(&archive, &store as &dyn KeyStore)?;
        info!(target: AUDIT, study = %study, keys = count, new, dual_keys = dual, carrier, "keys taken in from another site");
        let sentence = format!("Took in {count} keys of study {study}, {new} of them new.");
        Ok((json!({ "study": study, "keys": count, "new": new, "carrier": carrier }), sentence))
    }
}

/// The package in these files, and what carried it.
fn unpacked(mut files: Vec<Vec<u8>>) -> Result<(Vec<u8>, &'static str), HandoverError> {
    if let [file] = &mut files[..] {
        if file.starts_with(b"SGHO") {
            return Ok((std::mem::take(file), "file"));
        }
        if !file.starts_with(b"\x89PNG") {
            return Ok((find(&Picture::read(std::mem::take(file))?)?.package, "cover"));
        }
    }
    match (read_codes(&files), files.pop()) {
        (Err(HandoverError::NoCodes), Some(only)) if files.is_empty() => {
            Ok((find(&Picture::read(only)?)?.package, "cover"))
        }
        (reading, _) => Ok((reading?.package, "qr")),
    }
}

impl Embed {
    fn run(&self, config: &Config) -> Result<Said, HandoverError> {
        let length = fs::metadata(&self.text)?.len();
        if length > TEXT_BYTES_MAX {
            let (needed, limit, advice) = (length, TEXT_BYTES_MAX, "shorten it");
            return Err(HandoverError::TooLarge { what: "the text", needed, limit, advice });
        }
        let text = fs::read(&self.text)?;
        let mut picture = Picture::read(fs::read(&self.image)?)?;
        let keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
        let package = self.to.with(&keyring, |kek| handover::seal(Contents::Text, &text, kek, None))?;
        let embedded = handover::embed(&mut picture, &package)?;
        write_new_file(&self.out, &picture.write()?)?;
        let sentence = format!(
            "Embedded {length} bytes; {} samples changed, by one each; PSNR {:.1} dB.",
            embedded.changed, embedded.psnr
        );
        Ok((json!({ "bytes": length, "changed": embedded.changed, "psnr": embedded.psnr }), sentence))
    }
}

impl Extract {
    fn run(&self, config: &Config) -> Result<Said, HandoverError> {
        let mut picture = Picture::read(fs::read(&self.image)?)?;
        let package = handover::extract(&mut picture)?;
        let text = handover::open(Contents::Text, &package, &config.open_keyring()?, None)?;
        write_new_file(&self.out, &picture.write()?)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((json!({ "text": text }), text))
    }
}
